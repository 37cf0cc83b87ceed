"""The limits that the invariant checker applies to a run, and its findings, as JSON-serializable values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class UpdaterLimits:
    """The limits that an updater was given; None for a limit that was not set."""

    max_unavailable: int | None = None
    max_unavailable_per_zone: int | None = None
    not_counted: frozenset[str] = frozenset()
    """Excluded instances: their outages do not count against the budget."""
    denied_versions: frozenset[str] = frozenset()
    published_only: bool = False
    """Whether only versions are admitted that a public parameter names."""
    may_stop_standalone_tasks: bool = False
    drain_timeout: timedelta = timedelta(minutes=25)
    """A drain that was given up after this long counts as blocked by the remaining tasks."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A violated invariant, by its number in the design."""

    invariant: int
    at: datetime
    subject: str
    """An instance id, a task or a caller."""
    facts: str


@dataclass(frozen=True, slots=True)
class KilledTask:
    """A task whose containers were running when the host went down."""

    task: str
    group: str
    instance: str
    at: datetime
    by_updater: bool


@dataclass(frozen=True, slots=True)
class Findings:
    """What the world observed in one or more runs."""

    violations: tuple[Violation, ...]
    tasks_killed: tuple[KilledTask, ...]
    stranded: tuple[str, ...]
    """Instances that an updater drained and that are now neither ACTIVE nor quarantined."""
    quarantined: tuple[str, ...]
    most_out_at_once: int
    most_out_by_zone: dict[str, int]
    seconds_out: dict[str, float]
    """How long each instance was out of service, for any reason."""
    task_moves: int
    """Service tasks that stopped because their instance was drained."""
    boots: dict[str, int]
    """Boots since the start of the simulation, by instance."""
    versions: dict[str, str]
    calls: dict[str, int]
    errors: dict[str, int]

    @property
    def clean(self) -> bool:
        """Whether no invariant was violated, no task killed, and no instance left out of service."""
        killed = any(task.by_updater for task in self.tasks_killed)
        return not (self.violations or killed or self.stranded)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; times in ISO 8601."""
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
