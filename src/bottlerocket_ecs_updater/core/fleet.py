"""Everything we know at one moment: what core decides on.

`Instance` gathers what four witnesses say of one instance: ECS (`Registration`, `Task`), Systems Manager
(`Reach`, commands), the host itself (`Told`), and the run's own record (`Trail`). A witness that has not been
heard is None, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from bottlerocket_ecs_updater.core.claim import Claim
from bottlerocket_ecs_updater.core.fit import Definition, Moving, Remaining
from bottlerocket_ecs_updater.core.health import Health
from bottlerocket_ecs_updater.core.host import HostAnswer, HostReport
from bottlerocket_ecs_updater.core.ids import (
    BootId,
    CommandId,
    ContainerInstanceArn,
    InstanceId,
    Own,
    RunId,
    ServiceArn,
    TaskArn,
    Zone,
)
from bottlerocket_ecs_updater.core.launch import Launches
from bottlerocket_ecs_updater.core.lifecycle import Membership
from bottlerocket_ecs_updater.core.past import Past
from bottlerocket_ecs_updater.core.reasons import Failed, Hold
from bottlerocket_ecs_updater.core.reboots import SentReboot
from bottlerocket_ecs_updater.core.version import Version

NAMELESS = "ECS does not say which EC2 instance it is"
"""Why one is left out that was described: it is left alone. Every other reason is ECS's own."""


class Status(Enum):
    """The status of a container instance, as ECS writes it; OTHER for one that a later API may add."""

    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    REGISTERING = "REGISTERING"
    DEREGISTERING = "DEREGISTERING"
    REGISTRATION_FAILED = "REGISTRATION_FAILED"
    INACTIVE = "INACTIVE"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Registration:
    """A container instance as ECS describes it."""

    arn: ContainerInstanceArn
    id: InstanceId
    status: Status
    connected: bool
    zone: Zone
    variant: str | None
    """The value of the attribute `bottlerocket.variant`; None on every other operating system."""
    running_tasks: int
    """Tasks whose desired status is RUNNING: those that are still stopping are not counted by ECS."""
    pending_tasks: int
    attributes: Mapping[str, str]
    registered_at: datetime
    at: datetime
    """When we looked."""
    capacity_provider: str = ""
    """Empty where it has none."""
    remaining: Remaining | None = None
    """What it has left for more tasks."""
    impaired: str = ""
    """What ECS's own checks find wrong with it; empty where that is nothing, or where ECS does not say."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task on a container instance."""

    arn: TaskArn
    last_status: str
    started_by: str
    group: str
    daemon: bool = False
    family: str = ""
    """The family of its task definition; empty where ECS did not tell."""

    @property
    def stopped(self) -> bool:
        """Whether nothing of it is left on the host."""
        return self.last_status == "STOPPED"

    @property
    def of_service(self) -> bool:
        """Whether a service placed it, and so will place another one. Source: ECS writes `ecs-svc/<deployment>`.

        `startedBy` alone can be set by whoever calls RunTask, so the group that ECS derives must agree.
        """
        return self.started_by.startswith("ecs-svc/") and (not self.group or self.group.startswith("service:"))


@dataclass(frozen=True, slots=True)
class Tasks:
    """The tasks of one instance that are not STOPPED, whatever their desired status."""

    left: tuple[Task, ...]
    at: datetime

    @property
    def standalone(self) -> tuple[Task, ...]:
        """Those that no service would start again elsewhere."""
        return tuple(task for task in self.left if not task.of_service)


class Reach(Enum):
    """What Systems Manager last said about its agent on an instance. ONLINE may be minutes out of date."""

    ONLINE = "Online"
    CONNECTION_LOST = "ConnectionLost"
    UNKNOWN = "unknown to Systems Manager"


@dataclass(frozen=True, slots=True)
class Managed:
    """What Systems Manager tells of an instance without asking it."""

    reach: Reach
    version: Version | None = None
    """The release that its agent last named; older hosts (before 1.7.0) name none. Minutes old, and never proof."""


class Kind(Enum):
    """The three documents, and the two that an operator may add."""

    CHECK = "check"
    APPLY = "apply"
    REBOOT = "reboot"
    BEFORE_DRAIN = "before-drain"
    AFTER_REBOOT = "after-reboot"


@dataclass(frozen=True, slots=True)
class Flight:
    """A Run Command command that was sent to an instance and has not ended as far as we know."""

    kind: Kind
    command: CommandId
    sent_at: datetime


class End(Enum):
    """How Systems Manager says that a command ended on an instance. Across a reboot it is no proof of anything."""

    SUCCESS = "Success"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    NOT_DELIVERED = "NotDelivered"
    CANCELLED = "Cancelled"
    ABANDONED = "Abandoned"
    """Nothing was heard within our own limit."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    kind: Kind
    command: CommandId
    sent_at: datetime
    ended_at: datetime
    end: End
    exit_code: int
    detail: str
    """The host's telling line."""
    busy: bool = False
    """Whether the host refused because another update command held its lock."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the host answered to a check, and when it was asked: facts older than an act say nothing about it."""

    answer: HostAnswer
    asked_at: datetime
    at: datetime

    @property
    def report(self) -> HostReport | None:
        """The report, None where the check gave a problem."""
        return self.answer if isinstance(self.answer, HostReport) else None


@dataclass(frozen=True, slots=True)
class Rest:
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


@dataclass(frozen=True, slots=True)
class Trail:
    """What this run itself did with an instance, and saw since. Lost with the run; nothing depends on its survival."""

    outcome: Outcome | None = None
    """What is settled about the instance in this run, None while open."""
    checks_failed: int = 0
    """Checks without a report in a row."""
    first_busy_at: datetime | None = None
    offered: Version | None = None
    """The release that the host last said it would take: what failed, where it says nothing more."""
    applies: int = 0
    applied_on: BootId | None = None
    """The boot that the host was in when it was last told to apply, as far as it had said."""
    applies_unheard: int = 0
    """Applies among them whose sending got no reply, and of which nothing was ever found."""
    drain_sent_at: datetime | None = None
    drain_seen: bool = False
    """Whether ECS confirmed our drain, or showed it."""
    claim_seen: bool = False
    """Whether we saw our attribute on the instance in this run."""
    unmarked: bool = False
    """Whether this run dropped the claim on it: a reader that lags may still show it."""
    claim_absent_looks: int = 0
    """Looks in a row in which the attribute, once seen, was missing."""
    overwritten_looks: int = 0
    """Looks in a row that found the claim of another run, which we did not take it over from, in place of ours."""
    overwritten_by: str = ""
    doubted_at: datetime | None = None
    """When the last look was that counted among either: one that followed too closely shows nothing new."""
    taken_from: RunId | None = None
    """The run whose claim this run took over: a reader that lags may still show it."""
    claimed_at: datetime | None = None
    """When this run first knew of the claim."""
    phase_seen_at: datetime | None = None
    """When this run first saw, or wrote, the claim in its present phase."""
    found_in_quarantine: bool = False
    """Whether it was quarantined already when this run first saw its claim."""
    reboot_sent_at: datetime | None = None
    away_at: datetime | None = None
    """When the agent was last seen to go, since it was marked for its reboot and before a new boot was proven."""
    connected_looks: int = 0
    """Looks in a row that saw the agent connected since the reboot (all looks where there was none)."""
    connected_at: datetime | None = None
    """When the last look was that counted among those: one that followed too closely shows nothing new."""
    disconnected_since: datetime | None = None
    """Since when every look saw its agent disconnected, None while it is connected."""
    proof_at: datetime | None = None
    """When a check was asked that showed a boot id other than the claim's, and that none before had shown."""
    proof_boot: BootId | None = None
    """That boot id: where a later check shows yet another, the host rebooted once more."""
    moving: Mapping[str, int] = field(default_factory=dict)
    """How many tasks of each service its drain has to move, by service name."""
    verdict: Outcome | None = None
    """What it becomes once it is seen ACTIVE."""
    return_sent_at: datetime | None = None
    return_confirmed: bool = False
    """Whether ECS confirmed that it was set ACTIVE."""
    pending_since: datetime | None = None
    """Since when every look found tasks on it that do not run yet, None while it does not serve."""
    impaired_since: datetime | None = None
    """Since when every look found it IMPAIRED by ECS's own checks."""
    was_impaired: bool = False
    """Whether it was so before its drain: then its update is not to blame."""
    missing_looks: int = 0
    """Looks in a row in which ECS did not list it."""
    dark_looks: int = 0
    """Looks in a row in which ECS listed it and did not describe it."""
    in_vain_since: datetime | None = None
    """Since when AWS has taken no act on it, None where it took the last one."""
    deficits_before: Mapping[ServiceArn, int] | None = None
    """How many tasks each service lacked when its drain began, None where another run began it."""
    successor_called_at: datetime | None = None
    """When another run was asked for that takes it, because this one runs on it."""
    successor: TaskArn | None = None
    """The task of that other run, once it was seen on another host."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a survey found of one instance, beside its own state."""

    at: datetime
    membership: Membership | None = None
    """None where Auto Scaling was not asked, or did not say."""
    group_at: datetime | None = None
    """When its group last answered, or could not be asked at all; None where neither ever was."""
    group_missed_since: datetime | None = None
    """Since when every question to its group in a row got no answer, None where the last one got one."""
    protected: Mapping[TaskArn, datetime] = field(default_factory=dict)
    """Until when tasks on it are protected."""
    asked_at: datetime | None = None
    """When all of it was last asked together, as it is before a drain; None where that never was."""
    unasked: str = ""
    """What AWS did not say then, though a rule asks for it, and why; empty where it said all."""
    unasked_since: datetime | None = None
    """Since when every such survey in a row has missed something."""


@dataclass(frozen=True, slots=True)
class Instance:
    """Everything we know about one EC2 instance of the cluster."""

    id: InstanceId
    registration: Registration | None = None
    """None where ECS did not list or describe it at the last full look."""
    undescribed: str = ""
    """ECS's reason for not describing it."""
    reach: Reach = Reach.UNKNOWN
    shown_version: Version | None = None
    """What Systems Manager shows that it runs; for people to read, never to decide by."""
    told: Told | None = None
    flight: Flight | None = None
    applied: Ended | None = None
    """The last apply that ended."""
    reboots: tuple[SentReboot, ...] = ()
    """The reboots that may have been sent under its claim. None of them keeps a host from being checked."""
    prepared: Ended | None = None
    """How the operator's document before the drain last ended."""
    vetted: Ended | None = None
    """How the operator's document after the reboot last ended, since that reboot was asked for."""
    send_refused: str = ""
    send_denied: str = ""
    """What AWS said when it did not allow the last command to it, empty where it allowed it, or none was tried."""
    mute: bool = False
    """Whether AWS did not allow the last check of it."""
    claim: Claim | None = None
    """Our claim, from the instance itself or from the store's copy."""
    claimed_arn: ContainerInstanceArn | None = None
    """The registration under which the store's copy says that it was claimed."""
    claim_on_instance: bool = False
    claim_unreadable: str = ""
    rest: Rest | None = None
    tasks: Tasks | None = None
    around: Around | None = None
    """None where nobody surveyed it."""
    trail: Trail = field(default_factory=Trail)

    @property
    def bottlerocket(self) -> bool:
        """Whether it is one of ours to look after."""
        if self.registration is None:
            return self.claim is not None
        return self.registration.variant is not None

    @property
    def registered(self) -> bool:
        """Whether the cluster has it: ECS calls one INACTIVE that was terminated or deregistered."""
        return self.registration is not None and self.registration.status is not Status.INACTIVE

    @property
    def phase_began(self) -> datetime:
        """When the phase of its claim began: what limits count from. Only for instances that carry a claim.

        A clock that was wrong may have dated it in the future. It then began when this run first saw it.
        """
        assert self.claim is not None
        return min(self.claim.since, self.trail.phase_seen_at or self.claim.since)

    @property
    def unknown(self) -> bool:
        """Whether ECS lists it and did not describe it at the last look: nobody knows how it stands."""
        return self.undescribed not in ("", NAMELESS)

    @property
    def zone(self) -> Zone:
        """Its availability zone, empty when unknown."""
        return self.registration.zone if self.registration else Zone("")


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the cluster and how many of its tasks run."""

    arn: ServiceArn
    name: str
    desired: int
    running: int
    daemon: bool = False
    deploying: bool = False
    """Whether it is in the middle of a deployment."""
    moving: Moving | None = None
    """How it moves its tasks, None where ECS did not say."""
    unknown: str = ""
    """Why ECS lists it and would not describe it now; all else is of an earlier look then, or nothing."""
    elsewhere: bool = False
    """Whether its tasks are on no EC2 instance: on Fargate, or on ECS Anywhere."""
    providers: tuple[str, ...] = ()
    """The capacity providers that place its tasks; empty where any instance may have them."""
    deploying_since: datetime | None = None
    """When ECS began the deployment that is in progress, None where it says nothing of it."""
    unasked_starts: int = 0
    """How many tasks it started in the last hour beyond those that were stopped, by its events."""
    restless: int = 0
    """How many tasks it loses at once by itself, by its events of the last hour; 0 where it does not."""

    @property
    def deficit(self) -> int:
        """How many tasks it lacks."""
        return max(0, self.desired - self.running)


@dataclass(frozen=True, slots=True)
class Services:
    """All services that may have tasks on our hosts, as of one look."""

    all: tuple[Service, ...]
    at: datetime
    seen_deploying: Mapping[ServiceArn, datetime] = field(default_factory=dict)
    """Since when every look in a row has seen each of these services in a deployment."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the budget that is still taken after its instance was returned, until the cluster has settled."""

    instance: InstanceId
    zone: Zone
    returned_at: datetime
    deficits_before: Mapping[ServiceArn, int]
    steady_since: datetime | None = None
    unsteady: tuple[str, ...] = ()
    """Services that were worse off than before at the last look, and what else was not well."""
    looked_at: datetime | None = None
    """When the last look at the services was taken, None where none was since the return."""
    unseen: timedelta = timedelta()
    """How much of the time since the return nobody looked: AWS, or the state store, did not answer."""


@dataclass(frozen=True, slots=True)
class Durations:
    """The shortest drain and reboot seen in this run: before that, looking is waste."""

    drain: timedelta | None = None
    reboot: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Halt:
    """The run starts nothing more; what is in flight finishes; a person must look."""

    why: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """One cluster, at one moment."""

    run: RunId
    started_at: datetime
    at: datetime
    """When this look was taken."""
    full_at: datetime
    """When all instances were last listed and described."""
    instances: Mapping[InstanceId, Instance]
    services: Services | None = None
    slots: tuple[Slot, ...] = ()
    durations: Durations = Durations()
    halt: Halt | None = None
    stopping: str = ""
    """Why the run was told to begin nothing more; empty while it may."""
    barred: str = ""
    """What AWS does not let us do, so that no update can be brought to its end; empty while it lets us."""
    hosts_mute: bool = False
    """Whether AWS does not let us send commands to hosts, or hear their answers."""
    suspects: Mapping[Version, int] = field(default_factory=dict)
    """Releases that failed after a reboot, and on how many instances of this cluster."""
    past: Past = field(default_factory=Past)
    """What this cluster's ledger remembers, this run's own deeds included."""
    paused: str = ""
    """Who paused the updates, and why; empty while nobody did."""
    attributes_survive: bool = False
    """Whether an attribute was seen on an instance of this cluster after its reboot."""
    rival_at: datetime | None = None
    """When the claim of a run with another store last appeared, or was gone."""
    store: str = ""
    """A short name of the state store that this run shares with others; empty for a run that has none."""
    surveyed: bool = False
    """Whether instances are surveyed before they begin."""
    health: Health | None = None
    """What the operator watches beside the services, None where that is nothing."""
    definitions: Mapping[str, Definition] | None = None
    """Task definitions that were read so far, None where they cannot be read: then nobody asks whether tasks fit."""
    own: Own | None = None
    """The task that this run is, None where it is none or cannot tell."""
    launches: Launches | None = None
    """How its Auto Scaling groups start instances, None where nobody looked."""
