"""What a watcher holds a run to, and what it says in the end: values that can be written as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Budget:
    """What an updater was told not to exceed, and what it may not install; None where nothing was said."""

    max_unavailable: int | None = None
    max_unavailable_per_zone: int | None = None
    not_counted: frozenset[str] = frozenset()
    """Instances that it was told to leave out: their outages are nobody's budget."""
    denied_versions: frozenset[str] = frozenset()
    may_stop_standalone_tasks: bool = False
    drain_timeout: timedelta = timedelta(minutes=25)
    """A drain that was given up after so long was in vain for the tasks that were left."""


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant of the design that was broken, by its number there."""

    invariant: int
    at: datetime
    subject: str
    """An instance id, a task or a caller."""
    facts: str


@dataclass(frozen=True, slots=True)
class KilledTask:
    """A task whose containers ran when their host went down."""

    task: str
    group: str
    instance: str
    at: datetime
    by_updater: bool


@dataclass(frozen=True, slots=True)
class Findings:
    """What the world saw of one run, or of several."""

    violations: tuple[Violation, ...]
    tasks_killed: tuple[KilledTask, ...]
    stranded: tuple[str, ...]
    """Instances that an updater drained and that are neither ACTIVE nor quarantined."""
    quarantined: tuple[str, ...]
    most_out_at_once: int
    most_out_by_zone: dict[str, int]
    seconds_out: dict[str, float]
    """How long each instance was out of service, for whatever reason."""
    task_moves: int
    """Service tasks that were stopped because their instance was drained."""
    boots: dict[str, int]
    """Boots since the world began, by instance."""
    versions: dict[str, str]
    calls: dict[str, int]
    errors: dict[str, int]

    @property
    def clean(self) -> bool:
        """Whether an updater has broken nothing, killed nothing and forgotten nothing."""
        killed = any(task.by_updater for task in self.tasks_killed)
        return not (self.violations or killed or self.stranded)

    def to_dict(self) -> dict[str, Any]:
        """As values that JSON knows; times in ISO 8601."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def _plain(value: object) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case dict():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple() | frozenset():
            return [_plain(inner) for inner in value]
        case _:
            return value
