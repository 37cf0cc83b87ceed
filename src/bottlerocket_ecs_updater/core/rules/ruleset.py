"""The operator's rules, gathered, and the order in which they are asked.

Who, what and when are asked before an update is staged on a host: a host with a staged update takes it at any reboot,
so none is staged that policy would not let it boot. How fast, which tasks and whether there is room are asked only
before a drain. Every rule is asked, so that `explain` can show each with its answer; the first that says no is the
reason that is shown elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoints
from bottlerocket_ecs_updater.core.rules.health import HealthRules
from bottlerocket_ecs_updater.core.rules.promotion import StageRules
from bottlerocket_ecs_updater.core.rules.selection import Selection
from bottlerocket_ecs_updater.core.rules.tasks import TaskRules
from bottlerocket_ecs_updater.core.rules.versions import ReleaseRules
from bottlerocket_ecs_updater.core.rules.windows import Schedule


@dataclass(frozen=True, slots=True)
class Rules:
    """All that an operator may set. As it is by default, nothing is held back beyond what protects running tasks."""

    selection: Selection = field(default_factory=Selection)
    releases: ReleaseRules = field(default_factory=ReleaseRules)
    schedule: Schedule = field(default_factory=Schedule)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    tasks: TaskRules = field(default_factory=TaskRules)
    check_room: bool = True
    """Whether an instance whose tasks have nowhere to go is held instead of drained."""
    health: HealthRules = field(default_factory=HealthRules)
    stages: StageRules = field(default_factory=StageRules)
    calendars: tuple[str, ...] = ()
    """ARNs of change calendars that must be open. They hold an expedited version, too."""

    def expedited(self, *, windows: bool, freezes: bool) -> Rules:
        """The same for a version that must not wait: no age, no promotion, no checkpoints, and no window by choice.

        Budgets, health, room, how many a day, and every version that is denied stay as they are.
        """
        schedule = Schedule(() if windows else self.schedule.windows, () if freezes else self.schedule.freezes)
        return replace(
            self,
            releases=replace(self.releases, minimum_age=timedelta()),
            schedule=schedule,
            checkpoints=replace(self.checkpoints, steps=()),
            stages=replace(self.stages, promoted_by=()),
        )

    @property
    def needs_memory(self) -> tuple[str, ...]:
        """The settings that cannot be kept without a state store, since they ask for what earlier runs saw."""
        asked = {
            "minimum-age": self.releases.minimum_age > timedelta(),
            "checkpoints": bool(self.checkpoints.steps),
            "max-per-day": self.checkpoints.per_day is not None,
            "stage": bool(self.stages.stage),
            "promoted-by": bool(self.stages.promoted_by),
        }
        return tuple(name for name, needed in asked.items() if needed)
