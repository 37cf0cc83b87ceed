"""The events of a run, as values.

Log lines, metrics, messages, report pages and test assertions are all made from them.
Each event has the time at which it happened and a stable dotted name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.host_report import HostAnswer
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import Outcome, RunOutcome
from bottlerocket_ecs_updater.core.model.phase import Phase
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.version import Version


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, with its time."""

    name: ClassVar[str] = ""
    at: datetime


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run started on a cluster."""

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
    """Something that happened to one instance."""

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
    """An instance moved from one phase to another."""

    name: ClassVar[str] = "phase.entered"
    phase: Phase
    before: Phase
    took: timedelta | None
    """How long the previous phase lasted; None if its start was not seen."""


@dataclass(frozen=True, slots=True)
class Claimed(InstanceEvent):
    """The run claimed an instance: from now on the updater must return it to service."""

    name: ClassVar[str] = "instance.claimed"
    source: Version
    target: Version
    downgrade: bool


@dataclass(frozen=True, slots=True)
class ClaimFound(InstanceEvent):
    """The run found a claim of an earlier run, and finishes that update first."""

    name: ClassVar[str] = "claim.found"
    phase: str
    run: RunId
    since: datetime
    source: Version | None = None
    target: Version | None = None
    """The versions that the claim names; None in records of earlier versions."""

    @classmethod
    def of(cls, at: datetime, instance: InstanceId, claim: Claim) -> ClaimFound:
        """The event that a run found this claim."""
        return cls(at, instance, claim.phase.value, claim.run, claim.since, claim.source, claim.target)


@dataclass(frozen=True, slots=True)
class Drained(InstanceEvent):
    """ECS confirmed that the instance is DRAINING."""

    name: ClassVar[str] = "instance.drained"
    tasks: int | None = None
    """How many tasks of services ECS has to move to other instances; None in older records."""


@dataclass(frozen=True, slots=True)
class Rebooted(InstanceEvent):
    """A new boot id confirmed the reboot."""

    name: ClassVar[str] = "host.rebooted"
    version: Version
    took: timedelta | None
    """From sending the reboot command to the answer with the new boot id."""


@dataclass(frozen=True, slots=True)
class Returned(InstanceEvent):
    """ECS showed it ACTIVE again, and its claim was removed."""

    name: ClassVar[str] = "instance.returned"
    out_of_service: timedelta | None


@dataclass(frozen=True, slots=True)
class Settled(InstanceEvent):
    """The cluster was steady for the settle time after its return, so its slot is free."""

    name: ClassVar[str] = "cluster.settled"
    took: timedelta


@dataclass(frozen=True, slots=True)
class InstanceHeld(InstanceEvent):
    """The instance is held; sent again when the reason changes."""

    name: ClassVar[str] = "instance.held"
    hold: Hold


@dataclass(frozen=True, slots=True)
class InstanceUpdated(InstanceEvent):
    """It runs the target version after a verified reboot, and is back in service."""

    name: ClassVar[str] = "instance.updated"
    source: Version
    target: Version
    downgrade: bool


@dataclass(frozen=True, slots=True)
class InstanceLost(InstanceEvent):
    """It left the cluster in the run that updated it: its group or a person terminated it, and a replacement starts.

    ECS removes scale-in protection from a drained instance, so a scale-in terminates an updated instance first.
    """

    name: ClassVar[str] = "instance.lost"
    version: Version
    """The version that it had been updated to."""
    after: timedelta
    """How long after its update this was seen."""


@dataclass(frozen=True, slots=True)
class InstanceFailed(InstanceEvent):
    """Its update failed; the instance is in service."""

    name: ClassVar[str] = "instance.failed"
    failure: Failed


@dataclass(frozen=True, slots=True)
class InstanceQuarantined(InstanceEvent):
    """It is left DRAINING, and needs a person."""

    name: ClassVar[str] = "instance.quarantined"
    failure: Failed


@dataclass(frozen=True, slots=True)
class SuccessorCalled(InstanceEvent):
    """The run requested another run, on another host, to update the instance that it runs on itself."""

    name: ClassVar[str] = "successor.called"


@dataclass(frozen=True, slots=True)
class ActUnclear(InstanceEvent):
    """AWS did not say whether a call took effect; the next look shows it."""

    name: ClassVar[str] = "act.unclear"
    act: str
    why: str


@dataclass(frozen=True, slots=True)
class LookPostponed(Event):
    """AWS or the state store did not answer; nothing was done, and the run tries again."""

    name: ClassVar[str] = "look.postponed"
    why: str
    for_: timedelta
    since: datetime | None = None
    """Since when there has been no answer; None in older records."""
    until: datetime | None = None
    """The latest time at which the run gives up."""


@dataclass(frozen=True, slots=True)
class WaitBegan(Event):
    """The run waits for something external: an answer from AWS, or a lease held by another run."""

    name: ClassVar[str] = "wait.began"
    what: str
    since: datetime
    until: datetime | None
    """The latest time at which the wait ends; None if that is not known."""


@dataclass(frozen=True, slots=True)
class HealthChanged(Event):
    """Alarms or probes became unhealthy, or all are healthy again; sent when that changes."""

    name: ClassVar[str] = "health.changed"
    unwell: str
    """What is not healthy, and why; empty if everything is."""


@dataclass(frozen=True, slots=True)
class VersionSeen(Event):
    """When a version was first seen that hosts run or are offered; sent once for each version in a run."""

    name: ClassVar[str] = "version.seen"
    version: Version
    first_seen: datetime
    """In this cluster, or in one that shares the state store."""


@dataclass(frozen=True, slots=True)
class VersionWithdrawn(Event):
    """A public parameter names an older version than it once did; sent once in each run that reads it."""

    name: ClassVar[str] = "version.withdrawn"
    build: str
    """The variant and the architecture, such as `aws-ecs-2/x86_64`."""
    version: Version
    """The newest version that it ever named."""
    latest: Version
    """The version that it names now."""
    since: datetime
    """When that was first read."""


@dataclass(frozen=True, slots=True)
class RuleOff(Event):
    """The run ignores a rule because AWS does not provide what it needs; sent once."""

    name: ClassVar[str] = "rule.off"
    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class OutputFailed(Event):
    """An output failed, such as a message or a report; the run and its other outputs continue. Sent once for each."""

    name: ClassVar[str] = "output.failed"
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class ActDenied(Event):
    """AWS denied a call that the run can do without, and does not make again. Sent once."""

    name: ClassVar[str] = "act.denied"
    action: str
    """The IAM action."""
    why: str


@dataclass(frozen=True, slots=True)
class StateUnreadable(Event):
    """An object in the state store cannot be read, and the run continues without it; sent once for each."""

    name: ClassVar[str] = "state.unreadable"
    key: str
    why: str


@dataclass(frozen=True, slots=True)
class StandingPublished(Event):
    """The run published the state of its cluster, for other clusters and for the fleet page."""

    name: ClassVar[str] = "standing.published"
    stage: str
    """Empty for a cluster that is in no stage."""
    version: Version | None
    """The oldest version in the cluster; None if an instance has not reported its version."""
    healthy_since: datetime | None
    """Since when the whole cluster has run it and been healthy; None if it is not."""
    behind: timedelta | None
    """How long ago a version newer than the oldest in the cluster was first seen; None if all run the newest."""
    updated_within: timedelta | None
    """From when the version was first seen until the last instance ran it; set in the run that saw this happen."""
    trouble: str
    """What is not healthy; empty if everything is."""


@dataclass(frozen=True, slots=True)
class LeaseTaken(Event):
    """This run may act on the cluster."""

    name: ClassVar[str] = "lease.taken"
    epoch: int
    from_whom: str
    """The dead run that it was taken from; empty if it was free."""
    warning: str = ""
    """What the lease does not protect against."""


@dataclass(frozen=True, slots=True)
class LeaseRefused(Event):
    """Another run works on the cluster, so this one ends."""

    name: ClassVar[str] = "lease.refused"
    holder: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class UpdatesPaused(Event):
    """Somebody paused updates of the cluster: the run starts no more updates, and finishes those in progress."""

    name: ClassVar[str] = "updates.paused"
    why: str
    """Who paused, since when, and why."""


@dataclass(frozen=True, slots=True)
class UpdatesResumed(Event):
    """Updates of the cluster were resumed."""

    name: ClassVar[str] = "updates.resumed"
    was: str
    """The pause that ended: by whom, since when, and why."""


@dataclass(frozen=True, slots=True)
class RunHalted(Event):
    """The run starts no more updates, and needs a person."""

    name: ClassVar[str] = "run.halted"
    why: str


@dataclass(frozen=True, slots=True)
class RunStopping(Event):
    """The run received a signal to stop."""

    name: ClassVar[str] = "run.stopping"
    why: str


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """The summary of the run, and its last event."""

    name: ClassVar[str] = "run.finished"
    run: RunId
    outcome: RunOutcome
    exit_code: int
    counts: Mapping[str, int]
    took: timedelta
    why: str
    outcomes: Mapping[InstanceId, Outcome]
    calls: Mapping[str, int]
    throttles: int = 0
    """How many of the calls AWS throttled."""
    reboots: Mapping[str, int] = field(default_factory=dict)
    """How many verified reboots were seen to start, finished before a look saw them, or were verified twice."""
