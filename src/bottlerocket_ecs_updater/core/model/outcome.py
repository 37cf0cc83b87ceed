"""The outcome of an instance in a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from bottlerocket_ecs_updater.core.model.ids import (
    InstanceId,
)
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold, Reason
from bottlerocket_ecs_updater.core.model.version import Version


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
    """It runs the target version, proven by a new boot id."""

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


def count(outcomes: Mapping[InstanceId, Outcome]) -> dict[str, int]:
    """How many instances have each kind of outcome."""
    counts = {"updated": 0, "held": 0, "failed": 0, "quarantined": 0, "up_to_date": 0, "not_bottlerocket": 0}
    for outcome in outcomes.values():
        counts[kind_of(outcome)] += 1
    return counts


def kind_of(outcome: Outcome) -> str:
    """The kind that an outcome is counted under."""
    match outcome:
        case Updated():
            return "updated"
        case UpToDate():
            return "up_to_date"
        case Failed():
            return "failed"
        case Quarantined():
            return "quarantined"
        case Hold(reason=Reason.NOT_BOTTLEROCKET):
            return "not_bottlerocket"
        case Hold():
            return "held"


LONGEST_BACKOFF = timedelta(days=2)


FOR_EVER = timedelta(days=3650)
"""Until a person clears it."""


def longest_backoff(rest: Backoff) -> timedelta:
    """The longest that this backoff can last."""
    return FOR_EVER if rest.rolled_back else LONGEST_BACKOFF
