"""The summary of a run: every instance with its outcome and the reason.

A run that died has no last event. Its instances then have the last outcome that was recorded for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.event import (
    Claimed,
    Drained,
    Event,
    HostChecked,
    InstanceEvent,
    InstanceFailed,
    InstanceHeld,
    InstanceLost,
    InstanceQuarantined,
    InstanceUpdated,
    PhaseEntered,
    Rebooted,
    RunFinished,
    RunHalted,
    RunStarted,
)
from bottlerocket_ecs_updater.core.model.host_report import HostReport
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import (
    Outcome,
    OutcomeKind,
    Quarantined,
    RunOutcome,
    Updated,
    UpToDate,
    kind_of,
)
from bottlerocket_ecs_updater.core.model.passing import needs_a_person
from bottlerocket_ecs_updater.core.model.phase import IN_PROGRESS, Phase
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.version import Version

NEEDS_A_PERSON_TEXT = ", needs a person"
"""Follows the code of a hold that lasts until a person acts."""


@dataclass(frozen=True, slots=True)
class Row:
    """One instance."""

    instance: InstanceId
    became: OutcomeKind
    outcome: Outcome

    @property
    def code(self) -> str:
        """The code of its reason; empty if there is none."""
        match self.outcome:
            case Hold(reason=reason):
                return reason.code
            case Failed(failure=failure) | Quarantined(why=Failed(failure=failure)):
                return failure.code
            case _:
                return ""

    @property
    def needs_a_person(self) -> bool:
        """Whether it is held until a person acts."""
        return isinstance(self.outcome, Hold) and needs_a_person(self.outcome)

    @property
    def why(self) -> str:
        """The reason as a sentence; empty if nothing went wrong."""
        match self.outcome:
            case Hold() | Failed():
                return str(self.outcome)
            case Quarantined(why=why):
                return str(why)
            case _:
                return ""

    @property
    def remedy(self) -> str:
        """What a person can do; empty if there is nothing to do."""
        match self.outcome:
            case Hold() | Failed():
                return self.outcome.remedy
            case Quarantined(why=why):
                return why.remedy
            case _:
                return ""

    @property
    def versions(self) -> tuple[Version, ...]:
        """From which version to which, or the version that it runs."""
        match self.outcome:
            case Updated(source=source, target=target):
                return source, target
            case UpToDate(version=version):
                return (version,)
            case _:
                return ()


@dataclass(frozen=True, slots=True)
class Summary:
    """One run."""

    run: str
    cluster: str
    updater_version: str
    outcome: RunOutcome
    exit_code: int | None
    """None for a run that died."""
    why: str
    """Why it halted, stopped or could not run; empty if all went well."""
    began: datetime | None
    ended: datetime | None
    took: timedelta
    rows: tuple[Row, ...]
    """Worst first, then by instance id."""
    calls: Mapping[str, int]
    throttles: int = 0
    """How many calls AWS throttled."""
    reboots: Mapping[str, int] = field(default_factory=dict)
    """How reboots were verified, as in `RunFinished`."""
    lost: tuple[InstanceId, ...] = ()
    """Instances that left the cluster after their update."""

    @property
    def counts(self) -> Mapping[OutcomeKind, int]:
        """How many instances have each outcome."""
        return {became: sum(1 for row in self.rows if row.became is became) for became in OutcomeKind}

    @property
    def halted(self) -> bool:
        """Whether a person must act before another run may start updates."""
        return self.outcome is RunOutcome.HALTED


@dataclass(slots=True)
class _Seen:
    """The last that was recorded about an instance. If the run died, it is all that is known."""

    phase: Phase = Phase.UNKNOWN
    running: Version | None = None
    lost: bool = False
    """Whether it left the cluster after its update."""

    def note(self, event: InstanceEvent) -> None:
        match event:
            case PhaseEntered(phase=phase):
                self.phase = phase
            case Claimed() | Drained():
                # The phase is recorded after the look that shows it. A run that was killed in between recorded only
                # this.
                self.phase = Phase.DRAINING
            case HostChecked(answer=HostReport(running=running)) | Rebooted(version=running):
                self.running = running
            case InstanceLost():
                self.lost = True
            case _:
                pass

    @property
    def ours(self) -> bool:
        """Whether it is a Bottlerocket host. For others, no phase is recorded."""
        return self.phase is not Phase.UNKNOWN

    @property
    def outcome(self) -> Outcome:
        if self.phase is Phase.CURRENT and self.running is not None:
            return UpToDate(self.running)
        return hold(Reason.IN_PROGRESS if self.phase in IN_PROGRESS else Reason.NOT_REACHED, phase=self.phase.value)


def summarize(events: Iterable[Event]) -> Summary:
    """Summarize a run from its events, in order."""
    started: RunStarted | None = None
    finished: RunFinished | None = None
    halted, last = "", None
    outcomes: dict[InstanceId, Outcome] = {}
    seen: dict[InstanceId, _Seen] = {}
    for event in events:
        last = event.at
        if isinstance(event, InstanceEvent):
            seen.setdefault(event.instance, _Seen()).note(event)
        match event:
            case RunStarted():
                started = event
            case RunFinished():
                finished, outcomes = event, dict(event.outcomes)
            case RunHalted(why=why):
                halted = why
            case InstanceUpdated(instance=instance, source=source, target=target):
                outcomes[instance] = Updated(source, target)
            case InstanceFailed(instance=instance, failure=failure):
                outcomes[instance] = failure
            case InstanceQuarantined(instance=instance, failure=failure):
                outcomes[instance] = Quarantined(failure)
            case InstanceHeld(instance=instance, hold=held):
                outcomes[instance] = held
            case Claimed(instance=instance) if isinstance(outcomes.get(instance), Hold):
                # A claimed instance is no longer held.
                del outcomes[instance]
            case _:
                continue
    if finished is None:
        outcomes = {id_: one.outcome for id_, one in seen.items() if one.ours} | outcomes
    began = started.at if started is not None else _began(finished)
    return Summary(
        run=finished.run if finished is not None else started.run if started is not None else "",
        cluster=started.cluster if started is not None else "",
        updater_version=started.updater_version if started is not None else "",
        outcome=finished.outcome if finished is not None else RunOutcome.UNFINISHED,
        exit_code=finished.exit_code if finished is not None else None,
        why=finished.why if finished is not None else halted,
        began=began,
        ended=last,
        took=finished.took if finished is not None else last - began if last and began else timedelta(),
        rows=rows_of(outcomes),
        calls=dict(finished.calls) if finished is not None else {},
        throttles=finished.throttles if finished is not None else 0,
        reboots=dict(finished.reboots) if finished is not None else {},
        lost=tuple(sorted(id_ for id_, one in seen.items() if one.lost)),
    )


def _began(finished: RunFinished | None) -> datetime | None:
    """When a run began that looked at nothing, from its duration."""
    return finished.at - finished.took if finished is not None else None


def rows_of(outcomes: Mapping[InstanceId, Outcome]) -> tuple[Row, ...]:
    """A row for each instance, worst first."""
    order = list(OutcomeKind)
    rows = [Row(instance, kind_of(outcome), outcome) for instance, outcome in outcomes.items()]
    return tuple(sorted(rows, key=lambda row: (order.index(row.became), row.instance)))
