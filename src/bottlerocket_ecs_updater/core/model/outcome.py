"""What became of an instance in a run."""

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
    """A note that an attempt failed: not tried again before `until`. Outlasts runs where there is a store."""

    version: Version
    attempts: int
    until: datetime
    why: str
    rolled_back: bool = False
    """The version did not boot here: not tried again on this instance until a person says so."""


@dataclass(frozen=True, slots=True)
class Updated:
    """It runs the target, on a new boot."""

    source: Version
    target: Version

    @property
    def downgrade(self) -> bool:
        """Whether its repository had withdrawn the release that it ran."""
        return self.target < self.source


@dataclass(frozen=True, slots=True)
class UpToDate:
    """There was nothing to do."""

    version: Version


@dataclass(frozen=True, slots=True)
class Quarantined:
    """It is left DRAINING, out of service, and a person must look."""

    why: Failed


Outcome = Updated | UpToDate | Hold | Failed | Quarantined
"""What became of an instance in a run."""


class OutcomeKind(Enum):
    """The kinds of outcome, by the words that runs count them under, worst first."""

    QUARANTINED = "quarantined"
    FAILED = "failed"
    UPDATED = "updated"
    HELD = "held"
    UP_TO_DATE = "up_to_date"
    NOT_BOTTLEROCKET = "not_bottlerocket"

    @property
    def words(self) -> str:
        """As a person writes it."""
        return self.value.replace("_", " ")


def count(outcomes: Mapping[InstanceId, Outcome]) -> dict[str, int]:
    """How many instances came to each kind of end."""
    counts = {"updated": 0, "held": 0, "failed": 0, "quarantined": 0, "up_to_date": 0, "not_bottlerocket": 0}
    for outcome in outcomes.values():
        counts[kind_of(outcome)] += 1
    return counts


def kind_of(outcome: Outcome) -> str:
    """The word that an outcome is counted under."""
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
"""Until a person says otherwise."""


def longest_backoff(rest: Backoff) -> timedelta:
    """No rest of its kind is longer."""
    return FOR_EVER if rest.rolled_back else LONGEST_BACKOFF
