"""One instance: everything that is known of it."""

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
    looks_when_asked: int = 0
    """How many those were when the last check was sent to it."""
    connected_at: datetime | None = None
    """When the last look was that counted among those: one that followed too closely shows nothing new."""
    disconnected_since: datetime | None = None
    """Since when every look saw its agent disconnected, None while it is connected."""
    proof_at: datetime | None = None
    """When a check was asked that showed a boot id other than the claim's, and that none before had shown."""
    proof_heard_at: datetime | None = None
    """When its answer was heard: the Systems Manager agent of that boot was up by then."""
    proof_boot: BootId | None = None
    """That boot id: where a later check shows yet another, the host rebooted once more."""
    groups: tuple[str, ...] = ()
    """The groups of the tasks that were on it when its drain began."""
    moving: Mapping[str, int] = field(default_factory=dict)
    """How many tasks of each service its drain has to move, by service name."""
    pending_outcome: Outcome | None = None
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
    stalled_since: datetime | None = None
    """Since when AWS has taken no act on it, None where it took the last one."""
    deficits_before: Mapping[ServiceArn, int] | None = None
    """How many tasks each service lacked when its drain began, None where another run began it."""
    successor_called_at: datetime | None = None
    """When another run was asked for that takes it, because this one runs on it."""
    successor: TaskArn | None = None
    """The task of that other run, once it was seen on another host."""


MANAGED_INSTANCES = "ecs.amazonaws.com"
"""The service that EC2 names as the operator of ECS Managed Instances."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The EC2 instance, as EC2 shows it; asked only about those that ECS or Systems Manager cannot reach."""

    state: str
    """As EC2 writes it: `running`, `stopped`, …"""
    managed_by: str = ""
    """The AWS service that looks after it, such as `ecs.amazonaws.com` after Managed Instances; empty for none."""
    address: str = ""
    """Its private IPv4 address."""

    @property
    def managed_by_ecs(self) -> bool:
        """Whether it is an ECS Managed Instance."""
        return self.managed_by == MANAGED_INSTANCES

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped it: it comes back only when it is started."""
        return self.state in ("stopping", "stopped")


@dataclass(frozen=True, slots=True)
class Node:
    """A node that Systems Manager knows by a hybrid activation, under an id of its own."""

    id: str
    """`mi-…`."""
    address: str = ""
    bottlerocket: bool = False
    """Whether its agent says that it runs on Bottlerocket; before 1.7.0 none does."""


@dataclass(frozen=True, slots=True)
class SurveyedFacts:
    """What a survey found of one instance, beside its own state."""

    at: datetime
    membership: Membership | None = None
    """None where Auto Scaling was not asked, or did not say."""
    group_at: datetime | None = None
    """When its group last answered, or could not be asked at all; None where neither ever was."""
    group_missed_since: datetime | None = None
    """Since when every question to its group in a row got no answer, None where the last one got one."""
    machine: Machine | None = None
    """None where EC2 was not asked about it, or did not say."""
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
    reach: PingStatus = PingStatus.UNKNOWN
    node: str = ""
    """Under which other id Systems Manager knows it, or may know it; empty where nothing tells of one."""
    shown_version: Version | None = None
    """What Systems Manager shows that it runs; for people to read, never to decide by."""
    check_answer: CheckAnswer | None = None
    pending: PendingCommand | None = None
    applied: CommandResult | None = None
    """The last apply that ended."""
    reboots: tuple[SentReboot, ...] = ()
    """The reboots that may have been sent under its claim. None of them keeps a host from being checked."""
    before_drain_result: CommandResult | None = None
    """How the operator's document before the drain last ended."""
    after_reboot_result: CommandResult | None = None
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
    backoff: Backoff | None = None
    tasks: Tasks | None = None
    around: SurveyedFacts | None = None
    """None where nobody surveyed it."""
    progress: RunProgress = field(default_factory=RunProgress)

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
        return min(self.claim.since, self.progress.phase_seen_at or self.claim.since)

    @property
    def unknown(self) -> bool:
        """Whether ECS lists it and did not describe it at the last look: nobody knows how it stands."""
        return self.undescribed not in ("", NAMELESS)

    @property
    def zone(self) -> Zone:
        """Its availability zone, empty when unknown."""
        return self.registration.zone if self.registration else Zone("")
