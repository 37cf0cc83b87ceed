"""The outcome of an instance in a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold, Reason
from bottlerocket_ecs_updater.core.model.version import Version

UNTIL_CLEARED = "a person clears it"
"""Instead of a time, if only a person can end the backoff."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """A failed attempt at a version, which is not repeated before `until`. It is kept in the state store."""

    version: Version
    attempts: int
    until: datetime
    why: str
    rolled_back: bool = False
    """Whether the version did not boot here. It is then not tried again on this instance until a person clears it."""


@dataclass(frozen=True, slots=True)
class Updated:
    """It runs the target version, verified by a new boot id."""

    source: Version
    target: Version

    @property
    def downgrade(self) -> bool:
        """Whether the target is older than the version it ran before, as after a withdrawn version."""
        return self.target < self.source


@dataclass(frozen=True, slots=True)
class UpToDate:
    """No update was available for it."""

    version: Version


@dataclass(frozen=True, slots=True)
class Quarantined:
    """It is left DRAINING, out of service, and needs a person."""

    why: Failed


Outcome = Updated | UpToDate | Hold | Failed | Quarantined
"""The outcome of an instance in a run."""


class OutcomeKind(Enum):
    """The kinds of outcome under which runs count instances, worst first."""

    QUARANTINED = "quarantined"
    FAILED = "failed"
    UPDATED = "updated"
    HELD = "held"
    UP_TO_DATE = "up_to_date"
    NOT_BOTTLEROCKET = "not_bottlerocket"

    @property
    def words(self) -> str:
        """The kind as text for people."""
        return self.value.replace("_", " ")


COUNTED = (
    OutcomeKind.UPDATED,
    OutcomeKind.HELD,
    OutcomeKind.FAILED,
    OutcomeKind.QUARANTINED,
    OutcomeKind.UP_TO_DATE,
)
"""The kinds in the order in which a summary names them."""


def count_kinds(outcomes: Mapping[InstanceId, Outcome]) -> dict[str, int]:
    """How many instances have each kind of outcome, by the kind as text."""
    counts = {kind.value: 0 for kind in (*COUNTED, OutcomeKind.NOT_BOTTLEROCKET)}
    for outcome in outcomes.values():
        counts[kind_of(outcome).value] += 1
    return counts


def kind_of(outcome: Outcome) -> OutcomeKind:
    """The kind that an outcome is counted under."""
    match outcome:
        case Updated():
            return OutcomeKind.UPDATED
        case UpToDate():
            return OutcomeKind.UP_TO_DATE
        case Failed():
            return OutcomeKind.FAILED
        case Quarantined():
            return OutcomeKind.QUARANTINED
        case Hold(reason=Reason.NOT_BOTTLEROCKET):
            return OutcomeKind.NOT_BOTTLEROCKET
        case Hold():
            return OutcomeKind.HELD


def version_of(outcome: Outcome) -> Version | None:
    """The version that an instance with this outcome runs; None if the outcome does not say."""
    match outcome:
        case Updated(target=version) | UpToDate(version=version):
            return version
        case _:
            return None


LONGEST_BACKOFF = timedelta(days=2)


FOR_EVER = timedelta(days=3650)
"""Until a person clears it."""


def longest_backoff(rest: Backoff) -> timedelta:
    """The longest that this backoff can last."""
    return FOR_EVER if rest.rolled_back else LONGEST_BACKOFF


class RunOutcome(Enum):
    """How a run ended, in the words of logs and records."""

    OK = "ok"
    FAILURES = "failures"
    """An instance failed or is left out of service, or drains failed as they did in an earlier run."""
    STUCK = "stuck"
    """No update could start, for a reason that does not pass by itself."""
    HALTED = "halted"
    """It started no more updates, because they failed."""
    INTERRUPTED = "interrupted"
    """It was stopped."""
    ERROR = "error"
    LEFT = "left"
    """Another run held the lease."""
    UNFINISHED = "unfinished"
    """Its record stops before its end."""
