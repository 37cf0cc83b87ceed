"""All rules of the operator, and the order in which they are evaluated.

Selection, version and schedule are checked before an update is staged: a host boots a staged update at any reboot, so
only an admitted version may be staged. Checkpoints, tasks and room are checked only before a drain. All rules are
evaluated, so that `explain` can show each result; everything else shows the first hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoints
from bottlerocket_ecs_updater.core.rules.health import HealthRules
from bottlerocket_ecs_updater.core.rules.promotion import StageRules
from bottlerocket_ecs_updater.core.rules.selection import Selection
from bottlerocket_ecs_updater.core.rules.tasks import TaskRules
from bottlerocket_ecs_updater.core.rules.versions import VersionRules
from bottlerocket_ecs_updater.core.rules.windows import Schedule


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules that an operator may set. By default only running tasks hold an instance."""

    selection: Selection = field(default_factory=Selection)
    versions: VersionRules = field(default_factory=VersionRules)
    schedule: Schedule = field(default_factory=Schedule)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    tasks: TaskRules = field(default_factory=TaskRules)
    check_room: bool = True
    """Whether an instance is held if its tasks have no room elsewhere."""
    health: HealthRules = field(default_factory=HealthRules)
    stages: StageRules = field(default_factory=StageRules)
    calendars: tuple[str, ...] = ()
    """ARNs of change calendars that must be open, also for an expedited version."""
    finish_only: bool = False
    """Whether no update may start, also of an expedited version."""

    def expedited(self, *, windows: bool, freezes: bool) -> Rules:
        """The rules for an expedited version: no minimum age, promotion or checkpoints, and by choice no windows.

        Budgets, health, room, the daily limit, denied and unpublished versions stay as they are.
        """
        schedule = Schedule(() if windows else self.schedule.windows, () if freezes else self.schedule.freezes)
        return replace(
            self,
            versions=replace(self.versions, minimum_age=timedelta()),
            schedule=schedule,
            checkpoints=replace(self.checkpoints, steps=()),
            stages=replace(self.stages, promoted_by=()),
        )

    @property
    def needs_memory(self) -> tuple[str, ...]:
        """The settings in use that need a state store, because they depend on what earlier runs saw."""
        asked = {
            "minimum-age": self.versions.minimum_age > timedelta(),
            "checkpoints": bool(self.checkpoints.steps),
            "max-per-day": self.checkpoints.per_day is not None,
            "stage": bool(self.stages.stage),
            "promoted-by": bool(self.stages.promoted_by),
        }
        return tuple(name for name, needed in asked.items() if needed)
