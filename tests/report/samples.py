"""Sample runs, as events, for tests of everything that reads events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bottlerocket_ecs_updater.core.model.event import (
    Claimed,
    Drained,
    Event,
    HostChecked,
    InstanceFailed,
    InstanceHeld,
    InstanceQuarantined,
    InstanceUpdated,
    RunFinished,
    RunHalted,
    RunStarted,
    VersionSeen,
)
from bottlerocket_ecs_updater.core.model.host_report import HostReport, UpdateState
from bottlerocket_ecs_updater.core.model.ids import BootId, InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Quarantined, RunOutcome, Updated, UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Failed, Failure, Hold, Reason, failed, hold
from bottlerocket_ecs_updater.core.model.version import Version

RUN = RunId("20260105-0900-3f9c")
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
OLDER, OLD, NEW = Version(1, 19, 5), Version(1, 20, 0), Version(1, 21, 0)
STARTED = RunStarted(START, RUN, "web", "1.0.0")
HALT = (
    "2 instances failed after their drain began; one of them: it did not come back within 20m after the reboot: silence"
)
NOT_BACK = failed(Failure.NOT_BACK, limit="20m", detail="silence")
ROLLED_BACK = failed(Failure.ROLLED_BACK, version=OLD, target=NEW)
STANDALONE = hold(Reason.STANDALONE_TASK, task="batch/42")
ANY_WORDS = {word: "x" for reason in Reason for word in re.findall(r"{(\w+)}", str(reason.value))}
"""A value for each fact that any reason names."""


def name(number: int) -> InstanceId:
    """An EC2 instance id of the usual length."""
    return InstanceId(f"i-0abc{number:013x}")


def finished(
    outcomes: Mapping[InstanceId, Outcome], outcome: RunOutcome = RunOutcome.OK, exit_code: int = 0, why: str = ""
) -> RunFinished:
    """The last event of a run of 24 minutes."""
    took = timedelta(minutes=24, seconds=9)
    return RunFinished(START + took, RUN, outcome, exit_code, {}, took, why, outcomes, {"ecs:ListTasks": 12})


def events_for(outcomes: Mapping[InstanceId, Outcome]) -> list[Event]:
    """The events with the outcome of each instance, one a minute."""
    events: list[Event] = [STARTED]
    for minute, (instance, outcome) in enumerate(outcomes.items(), 1):
        at = START + timedelta(minutes=minute)
        match outcome:
            case Updated(source=source, target=target):
                events += [Claimed(at, instance, source, target, outcome.downgrade), Drained(at, instance)]
                events.append(InstanceUpdated(at, instance, source, target, outcome.downgrade))
            case Failed():
                events.append(InstanceFailed(at, instance, outcome))
            case Quarantined(why=why):
                events.append(InstanceQuarantined(at, instance, why))
            case Hold():
                events.append(InstanceHeld(at, instance, outcome))
            case UpToDate():
                pass
    return events


CLEAN: dict[InstanceId, Outcome] = {name(1): Updated(OLD, NEW), name(2): Updated(OLD, NEW), name(3): UpToDate(NEW)}

HALTED: dict[InstanceId, Outcome] = {
    name(1): Updated(OLD, NEW),
    name(2): Updated(NEW, OLDER),
    name(3): Quarantined(NOT_BACK),
    name(4): ROLLED_BACK,
    name(5): STANDALONE,
    name(6): hold(Reason.HALTED, why=HALT),
    name(7): UpToDate(NEW),
    name(8): hold(Reason.NOT_BOTTLEROCKET),
}

LARGE: Mapping[InstanceId, Outcome] = (
    {name(n): Updated(OLD, NEW) for n in range(40)}
    | {name(n): hold(Reason.BUDGET, unavailable=5, limit=5, who=name(n % 9)) for n in range(40, 430)}
    | {name(n): UpToDate(NEW) for n in range(430, 495)}
    | {name(n): NOT_BACK for n in range(495, 500)}
)

SEEN: tuple[Event, ...] = (
    VersionSeen(START, OLD, START - timedelta(days=40)),
    VersionSeen(START, NEW, START - timedelta(days=2, hours=3)),
)
OFFERED = HostChecked(START, name(6), HostReport(BootId("b"), UpdateState.AVAILABLE, OLD, NEW, None))

CLEAN_RUN: list[Event] = [*events_for(CLEAN), *SEEN, finished(CLEAN)]
HALTED_RUN: list[Event] = [
    *events_for(HALTED),
    *SEEN,
    OFFERED,
    RunHalted(START + timedelta(minutes=20), HALT),
    finished(HALTED, RunOutcome.HALTED, 4, HALT),
]
LARGE_RUN: list[Event] = [*events_for(LARGE), finished(LARGE, RunOutcome.FAILURES, 3)]


def started_as(run: RunId, events: Iterable[Event]) -> Iterator[Event]:
    """The same run with another id."""
    for event in events:
        yield replace(event, run=run) if isinstance(event, RunStarted | RunFinished) else event
