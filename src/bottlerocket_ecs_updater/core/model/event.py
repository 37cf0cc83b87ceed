"""What happened: facts of a run, each once, as values.

The log line, the metric, the message, the report's bar and the test's assertion all come from these.
Each carries the time at which it happened in the world, and a dotted name that is stable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

from bottlerocket_ecs_updater.core.model.host_report import HostAnswer
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import Outcome
from bottlerocket_ecs_updater.core.model.phase import Phase
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.version import Version


@dataclass(frozen=True, slots=True)
class Event:
    """A fact with its time."""

    name: ClassVar[str] = ""
    at: datetime


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run began to look at a cluster."""

    name: ClassVar[str] = "run.started"
    run: RunId
    cluster: str
    updater_version: str


@dataclass(frozen=True, slots=True)
class ClusterLooked(Event):
    """The whole cluster was listed."""

    name: ClassVar[str] = "cluster.looked"
    instances: int
    bottlerocket: int
    services: int


@dataclass(frozen=True, slots=True)
class InstanceEvent(Event):
    """A fact about one instance."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class HostChecked(InstanceEvent):
    """A host answered an update check."""

    name: ClassVar[str] = "host.checked"
    answer: HostAnswer


@dataclass(frozen=True, slots=True)
class CommandSent(InstanceEvent):
    """A document was sent to a host."""

    name: ClassVar[str] = "command.sent"
    kind: DocumentKind
    command: str


@dataclass(frozen=True, slots=True)
class PhaseEntered(InstanceEvent):
    """An instance went from one phase to another."""

    name: ClassVar[str] = "phase.entered"
    phase: Phase
    before: Phase
    took: timedelta | None
    """How long the phase before lasted, None where its beginning was not seen."""


@dataclass(frozen=True, slots=True)
class Claimed(InstanceEvent):
    """We marked an instance: from here on it is ours to restore."""

    name: ClassVar[str] = "instance.claimed"
    source: Version
    target: Version
    downgrade: bool


@dataclass(frozen=True, slots=True)
class ClaimFound(InstanceEvent):
    """A claim of an earlier run was found: it is finished first."""

    name: ClassVar[str] = "claim.found"
    phase: str
    run: RunId
    since: datetime


@dataclass(frozen=True, slots=True)
class Drained(InstanceEvent):
    """ECS was asked to drain it, and confirmed."""

    name: ClassVar[str] = "instance.drained"
    tasks: int | None = None
    """How many tasks of services ECS has to move to other instances; None in records that do not tell."""


@dataclass(frozen=True, slots=True)
class Rebooted(InstanceEvent):
    """A new boot id proved the reboot."""

    name: ClassVar[str] = "host.rebooted"
    version: Version
    took: timedelta | None
    """From the sending of the reboot to the proof."""


@dataclass(frozen=True, slots=True)
class Returned(InstanceEvent):
    """It was seen ACTIVE again, and our claim was dropped."""

    name: ClassVar[str] = "instance.returned"
    out_of_service: timedelta | None


@dataclass(frozen=True, slots=True)
class Settled(InstanceEvent):
    """The cluster was steady for the settle time after its return: its slot is free."""

    name: ClassVar[str] = "cluster.settled"
    took: timedelta


@dataclass(frozen=True, slots=True)
class InstanceHeld(InstanceEvent):
    """It is passed over; said when the reason changes."""

    name: ClassVar[str] = "instance.held"
    hold: Hold


@dataclass(frozen=True, slots=True)
class InstanceUpdated(InstanceEvent):
    """It runs the target on a proven new boot, and is back in service."""

    name: ClassVar[str] = "instance.updated"
    source: Version
    target: Version
    downgrade: bool


@dataclass(frozen=True, slots=True)
class InstanceFailed(InstanceEvent):
    """Its update had begun and did not come to its end; it is in service."""

    name: ClassVar[str] = "instance.failed"
    failure: Failed


@dataclass(frozen=True, slots=True)
class InstanceQuarantined(InstanceEvent):
    """It is left DRAINING: a person must look."""

    name: ClassVar[str] = "instance.quarantined"
    failure: Failed


@dataclass(frozen=True, slots=True)
class SuccessorCalled(InstanceEvent):
    """Another run was asked for, on another host, to take the instance that this one runs on."""

    name: ClassVar[str] = "successor.called"


@dataclass(frozen=True, slots=True)
class ActUnclear(InstanceEvent):
    """AWS did not say whether an act took effect; the next look shows it."""

    name: ClassVar[str] = "act.unclear"
    act: str
    why: str


@dataclass(frozen=True, slots=True)
class LookPostponed(Event):
    """AWS or the state store did not answer; nothing was done, the pass is taken again."""

    name: ClassVar[str] = "look.postponed"
    why: str
    for_: timedelta
    since: datetime | None = None
    """Since when there was no answer; None in records that do not tell."""
    until: datetime | None = None
    """When the run gives up at the latest."""


@dataclass(frozen=True, slots=True)
class WaitBegan(Event):
    """The run waits for something outside of it: an answer of AWS, or a lease that another run holds."""

    name: ClassVar[str] = "wait.began"
    what: str
    since: datetime
    until: datetime | None
    """When the wait ends at the latest; None where nobody can tell."""


@dataclass(frozen=True, slots=True)
class HealthChanged(Event):
    """Alarms or probes that updates wait for are not well, or all are well again; said when that changes."""

    name: ClassVar[str] = "health.changed"
    unwell: str
    """What is not well, and why; empty where all is."""


@dataclass(frozen=True, slots=True)
class RuleOff(Event):
    """What a rule asks cannot be had, so the run does without the rule; said once."""

    name: ClassVar[str] = "rule.off"
    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class TellingFailed(Event):
    """What happened could not be told there: the run goes on, and the others are told; said once of each."""

    name: ClassVar[str] = "telling.failed"
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class ActDenied(Event):
    """AWS does not allow an act that the run can do without; it is not asked for again in this run. Said once."""

    name: ClassVar[str] = "act.denied"
    action: str
    """The IAM action."""
    why: str


@dataclass(frozen=True, slots=True)
class StateUnreadable(Event):
    """An object of the state store cannot be read, and the run does without it; said once of each."""

    name: ClassVar[str] = "state.unreadable"
    key: str
    why: str


@dataclass(frozen=True, slots=True)
class StandingPublished(Event):
    """The run wrote down where its cluster stands, for other clusters and for the page of the fleet."""

    name: ClassVar[str] = "standing.published"
    stage: str
    """Empty for a cluster that is in none."""
    version: Version | None
    """What the whole cluster runs at least, None where an instance has not said."""
    healthy_since: datetime | None
    """Since when the whole cluster has run it, and was healthy; None where it is not."""
    behind: timedelta | None
    """How long ago a newer version than its oldest instance runs was first seen; None where all run the newest."""
    updated_within: timedelta | None
    """From the first sight of the version to the last instance that came to it, in the run that saw it come."""
    trouble: str
    """What is not healthy; empty where all is."""


@dataclass(frozen=True, slots=True)
class LeaseTaken(Event):
    """This run has the right to act on the cluster."""

    name: ClassVar[str] = "lease.taken"
    epoch: int
    from_whom: str
    """The dead run that it was taken from; empty where it was free."""
    warning: str = ""
    """What this right does not protect from."""


@dataclass(frozen=True, slots=True)
class LeaseRefused(Event):
    """Another run acts on the cluster; this one leaves."""

    name: ClassVar[str] = "lease.refused"
    holder: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class UpdatesPaused(Event):
    """Somebody paused the updates of the cluster: the run begins nothing more, and finishes what is begun."""

    name: ClassVar[str] = "updates.paused"
    why: str
    """Who paused, since when, and why."""


@dataclass(frozen=True, slots=True)
class UpdatesResumed(Event):
    """The updates of the cluster, which were paused, go on."""

    name: ClassVar[str] = "updates.resumed"
    was: str
    """The pause that was ended: by whom, since when, and why."""


@dataclass(frozen=True, slots=True)
class RunHalted(Event):
    """The run begins nothing more; a person must look."""

    name: ClassVar[str] = "run.halted"
    why: str


@dataclass(frozen=True, slots=True)
class RunStopping(Event):
    """The run was told to stop, by a signal."""

    name: ClassVar[str] = "run.stopping"
    why: str


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """The canonical summary, last of every run."""

    name: ClassVar[str] = "run.finished"
    run: RunId
    outcome: str
    exit_code: int
    counts: Mapping[str, int]
    took: timedelta
    why: str
    outcomes: Mapping[InstanceId, Outcome]
    calls: Mapping[str, int]
    throttles: int = 0
    """How many of them AWS refused for their rate."""
    reboots: Mapping[str, int] = field(default_factory=dict)
    """How many proven reboots were seen to begin, were over before a look showed it, and were proven twice."""
