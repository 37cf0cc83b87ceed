"""One instance: everything that is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bottlerocket_ecs_updater.core.model.auto_scaling import Membership
from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.container_instance import NAMELESS, PingStatus, Registration, Status, Tasks
from bottlerocket_ecs_updater.core.model.ids import (
    BootId,
    ContainerInstanceArn,
    InstanceId,
    RunId,
    ServiceArn,
    TaskArn,
    Zone,
)
from bottlerocket_ecs_updater.core.model.outcome import Backoff, Outcome
from bottlerocket_ecs_updater.core.model.reboots import SentReboot
from bottlerocket_ecs_updater.core.model.run_command import CheckAnswer, CommandResult, PendingCommand
from bottlerocket_ecs_updater.core.model.version import Version


@dataclass(frozen=True, slots=True)
class RunProgress:
    """What this run did with an instance and saw since. It ends with the run; a later run does not need it."""

    outcome: Outcome | None = None
    """The outcome of the instance in this run; None while it is open."""
    checks_failed: int = 0
    """How many checks in a row gave no report."""
    first_busy_at: datetime | None = None
    offered: Version | None = None
    """The version that the host was last offered. If the host then fails to answer, this is the version that failed."""
    applies: int = 0
    applied_on: BootId | None = None
    """The host's boot id when the last apply was sent; None if it was not known."""
    applies_unheard: int = 0
    """How many of `applies` got no reply from Systems Manager and were never found there."""
    drain_sent_at: datetime | None = None
    drain_seen: bool = False
    """Whether ECS confirmed our drain or showed the instance DRAINING."""
    claim_seen: bool = False
    """Whether this run saw our claim on the instance."""
    unmarked: bool = False
    """Whether this run removed its claim. A stale read may still show it."""
    claim_absent_looks: int = 0
    """How many looks in a row did not find the claim that was seen before."""
    overwritten_looks: int = 0
    """How many looks in a row found another run's claim in place of ours, not counting one that we took over."""
    overwritten_by: str = ""
    doubted_at: datetime | None = None
    """When the last of these looks was counted. A look too soon after it counts for nothing."""
    taken_from: RunId | None = None
    """The run whose claim this run took over. A stale read may still show its claim."""
    claimed_at: datetime | None = None
    """When this run first knew of the claim."""
    phase_seen_at: datetime | None = None
    """When this run first saw or wrote the claim in its current phase."""
    found_in_quarantine: bool = False
    """Whether it was already quarantined when this run first saw its claim."""
    reboot_sent_at: datetime | None = None
    away_at: datetime | None = None
    """When the agent was last seen to disconnect, after the reboot was marked and before a new boot was proven."""
    connected_looks: int = 0
    """How many looks in a row saw the agent connected since the reboot; all looks if there was no reboot."""
    looks_when_asked: int = 0
    """The value of `connected_looks` when the last check was sent."""
    connected_at: datetime | None = None
    """When `connected_looks` was last raised. A look too soon after it counts for nothing."""
    disconnected_since: datetime | None = None
    """Since when every look has seen its agent disconnected; None while it is connected."""
    proof_at: datetime | None = None
    """When the check was sent that first showed a new boot id, other than the claim's."""
    proof_heard_at: datetime | None = None
    """When its answer arrived. The SSM agent of that boot was up by then."""
    proof_boot: BootId | None = None
    """The new boot id. If a later check shows another one, the host rebooted again."""
    groups: tuple[str, ...] = ()
    """The groups of the tasks that were on it when its drain started."""
    moving: Mapping[str, int] = field(default_factory=dict)
    """How many tasks its drain has to move, by service name."""
    pending_outcome: Outcome | None = None
    """Its outcome once ECS shows it ACTIVE."""
    return_sent_at: datetime | None = None
    return_confirmed: bool = False
    """Whether ECS confirmed that it was set ACTIVE."""
    pending_since: datetime | None = None
    """Since when every look has found tasks on it that are not running yet; None while it is out of service."""
    impaired_since: datetime | None = None
    """Since when every look has found its ECS health status IMPAIRED."""
    was_impaired: bool = False
    """Whether it was IMPAIRED before its drain, so that the update is not the cause."""
    missing_looks: int = 0
    """How many looks in a row did not list it."""
    dark_looks: int = 0
    """How many looks in a row listed it but did not describe it."""
    stalled_since: datetime | None = None
    """Since when AWS has accepted no call for it; None if it accepted the last one."""
    deficits_before: Mapping[ServiceArn, int] | None = None
    """How many tasks each service lacked when its drain started; None if another run started it."""
    successor_called_at: datetime | None = None
    """When another run was requested to update it, because this run runs on it."""
    successor: TaskArn | None = None
    """The task of that other run, after it was seen on another host."""


MANAGED_INSTANCES = "ecs.amazonaws.com"
"""The service that EC2 names as the operator of ECS Managed Instances."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The instance as EC2 describes it. Read only for instances that ECS or Systems Manager cannot reach."""

    state: str
    """As EC2 writes it: `running`, `stopped`, …; empty if EC2 knows no such instance."""
    managed_by: str = ""
    """The AWS service that operates it, such as `ecs.amazonaws.com` for Managed Instances; empty if none does."""
    address: str = ""
    """Its private IPv4 address."""
    unknown_looks: int = 0
    """How many looks in a row found that EC2 knows no such instance."""

    @property
    def managed_by_ecs(self) -> bool:
        """Whether it is an ECS Managed Instance."""
        return self.managed_by == MANAGED_INSTANCES

    @property
    def stopped(self) -> bool:
        """Whether it is stopped. It comes back only when somebody starts it."""
        return self.state in ("stopping", "stopped")

    @property
    def terminated(self) -> bool:
        """Whether it is terminated. EC2 forgets a terminated instance after about an hour."""
        return self.state in ("shutting-down", "terminated", "")

    @property
    def certainly_terminated(self) -> bool:
        """The same, but one look at which EC2 did not know it is not enough: EC2's answers may lag."""
        return self.terminated and (bool(self.state) or self.unknown_looks > 1)


@dataclass(frozen=True, slots=True)
class Node:
    """A node that registered with Systems Manager through a hybrid activation, under its own id."""

    id: str
    """`mi-…`."""
    address: str = ""
    bottlerocket: bool = False
    """Whether its agent reports Bottlerocket as its platform. Versions before 1.7.0 never report it."""


@dataclass(frozen=True, slots=True)
class SurveyedFacts:
    """What a survey found around one instance: Auto Scaling, EC2 and task protection."""

    at: datetime
    membership: Membership | None = None
    """None if Auto Scaling was not asked or did not answer."""
    group_at: datetime | None = None
    """When its group last answered, or turned out not to be readable at all; None if neither happened yet."""
    group_missed_since: datetime | None = None
    """Since when no read of its group has been answered; None if the last one was."""
    machine: Machine | None = None
    """None if EC2 was not asked about it or did not answer."""
    protected: Mapping[TaskArn, datetime] = field(default_factory=dict)
    """Until when tasks on it are protected."""
    asked_at: datetime | None = None
    """When all of it was last read together, as is done before a drain; None if never."""
    unasked: str = ""
    """What a rule needs that AWS did not answer then, and why; empty if it answered everything."""
    unasked_since: datetime | None = None
    """Since when every survey has missed something."""


@dataclass(frozen=True, slots=True)
class Instance:
    """Everything we know about one EC2 instance of the cluster."""

    id: InstanceId
    registration: Registration | None = None
    """None if ECS did not list or describe it at the last full look."""
    undescribed: str = ""
    """ECS's reason for not describing it."""
    reach: PingStatus = PingStatus.UNKNOWN
    node: str = ""
    """The other id under which Systems Manager knows it, or may know it; empty if there is none."""
    shown_version: Version | None = None
    """The version that Systems Manager shows. For people to read; decisions never use it."""
    check_answer: CheckAnswer | None = None
    pending: PendingCommand | None = None
    applied: CommandResult | None = None
    """The last apply that ended."""
    reboots: tuple[SentReboot, ...] = ()
    """The reboots that may have been sent under its claim. A pending one does not stop checks."""
    before_drain_result: CommandResult | None = None
    """The last result of the before-drain document."""
    after_reboot_result: CommandResult | None = None
    """The last result of the after-reboot document since the reboot was requested."""
    send_refused: str = ""
    send_denied: str = ""
    """The error of AWS when it denied the last command to it; empty if it did not."""
    mute: bool = False
    """Whether AWS denied the last check of it."""
    claim: Claim | None = None
    """Our claim, from the instance itself or from the copy in the state store."""
    claimed_arn: ContainerInstanceArn | None = None
    """The container instance ARN under which it was claimed, according to the state store."""
    claim_on_instance: bool = False
    claim_unreadable: str = ""
    backoff: Backoff | None = None
    tasks: Tasks | None = None
    stopping: Tasks | None = None
    """The tasks with desired status STOPPED that had not stopped, which `tasks` lacks unless we drain the instance.

    Read only while the history names blockers; None if they were not read.
    """
    around: SurveyedFacts | None = None
    """None if it was not surveyed."""
    progress: RunProgress = field(default_factory=RunProgress)

    @property
    def bottlerocket(self) -> bool:
        """Whether it is a Bottlerocket host; true also for a claimed one that is not registered now."""
        if self.registration is None:
            return self.claim is not None
        return self.registration.variant is not None

    @property
    def registered(self) -> bool:
        """Whether it is registered in the cluster. ECS shows a terminated or deregistered one as INACTIVE."""
        return self.registration is not None and self.registration.status is not Status.INACTIVE

    @property
    def phase_began(self) -> datetime:
        """When the phase of its claim began, from which its limits count. Only for claimed instances.

        A wrong clock may have written a time in the future. Then the time when this run first saw it counts.
        """
        assert self.claim is not None
        return min(self.claim.since, self.progress.phase_seen_at or self.claim.since)

    @property
    def unknown(self) -> bool:
        """Whether ECS listed it but did not describe it at the last look, so that its state is not known."""
        return self.undescribed not in ("", NAMELESS)

    @property
    def zone(self) -> Zone:
        """Its availability zone; empty if unknown."""
        return self.registration.zone if self.registration else Zone("")
