"""How a run ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from bottlerocket_ecs_updater.core.model.event import Event, LeaseRefused
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import OutcomeKind, RunOutcome
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.report.analysis.summary import Row, Summary
from bottlerocket_ecs_updater.report.analysis.timeline import Lane, Timeline
from bottlerocket_ecs_updater.report.analysis.withdrawals import withdrawals


class Ending(Enum):
    """How a run ended."""

    WELL = "success"
    NOTHING = "nothing to do"
    HELD = "held back"
    NEEDS_A_PERSON = "needs a person"
    """Nothing failed, but an instance waits for a person, or a version was withdrawn."""
    FAILURES = "failures"
    STUCK = "no update could start"
    HALTED = "halted"
    STOPPED = "stopped"
    STOPPED_AFTER_FAILURES = "stopped, after failures"
    CUT_SHORT = "stopped in the middle of an update"
    ERROR = "could not continue"
    DIED = "no end recorded"
    LEFT = "left to another run"

    @property
    def bad(self) -> bool:
        """Whether a person should look at it."""
        return self in _BAD


_BAD = frozenset(
    {
        Ending.NEEDS_A_PERSON,
        Ending.FAILURES,
        Ending.STUCK,
        Ending.HALTED,
        Ending.ERROR,
        Ending.DIED,
        Ending.STOPPED_AFTER_FAILURES,
        Ending.CUT_SHORT,
    }
)


def ending_of(summary: Summary, timeline: Timeline | None, events: Sequence[Event]) -> Ending:
    match summary.outcome:
        case RunOutcome.HALTED:
            return Ending.HALTED
        case RunOutcome.FAILURES:
            return Ending.FAILURES
        case RunOutcome.STUCK:
            return Ending.STUCK
        case RunOutcome.INTERRUPTED:
            return _stopped(summary, timeline)
        case RunOutcome.ERROR:
            return Ending.ERROR
        case RunOutcome.OK:
            if needing_a_person(summary) or withdrawals(events):
                return Ending.NEEDS_A_PERSON
            if summary.counts[OutcomeKind.UPDATED]:
                return Ending.WELL
            return Ending.HELD if summary.counts[OutcomeKind.HELD] else Ending.NOTHING
        case RunOutcome.LEFT:
            return Ending.LEFT
        case RunOutcome.UNFINISHED:
            return Ending.LEFT if any(isinstance(event, LeaseRefused) for event in events) else Ending.DIED


def needing_a_person(summary: Summary) -> Sequence[Row]:
    """The instances that are held until a person acts."""
    return [row for row in summary.rows if row.needs_a_person]


def _stopped(summary: Summary, timeline: Timeline | None) -> Ending:
    """How a run that was stopped left the cluster."""
    counts = summary.counts
    failed = bool(counts[OutcomeKind.FAILED] or counts[OutcomeKind.QUARANTINED])
    if (timeline is not None and list(open_lanes(summary, timeline.lanes))) or (summary.exit_code and not failed):
        return Ending.CUT_SHORT
    return Ending.STOPPED_AFTER_FAILURES if failed else Ending.STOPPED


def open_lanes(summary: Summary, lanes: Mapping[InstanceId, Lane]) -> Iterable[Lane]:
    """Instances that are out of service, and that the next run can finish: not quarantined, not in a warm pool."""
    others = {
        row.instance
        for row in summary.rows
        if row.became is OutcomeKind.QUARANTINED or row.code == Reason.WARM_POOL_DRAINED.code
    }
    return (lane for lane in lanes.values() if lane.out_since is not None and lane.instance not in others)
