"""What this run did with an instance and saw since.

It ends with the run; a later run does not need it.

Facts that become known together are one value, and None until then: a drain that was sent, the new boot, a return that
was sent, the request for another run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.container_instance import HealthStatus
from bottlerocket_ecs_updater.core.model.ids import BootId, RunId, ServiceArn, TaskArn
from bottlerocket_ecs_updater.core.model.outcome import Outcome
from bottlerocket_ecs_updater.core.model.version import Version


@dataclass(frozen=True, slots=True)
class Applies:
    """The applies that this run sent to a host."""

    sent: int = 0
    unheard: int = 0
    """How many of them got no reply from Systems Manager and were never found there."""
    on_boot: BootId | None = None
    """The host's boot id when the last one was sent; None if it was not known."""
    target: Version | None = None
    """The version that the host would have staged when the last one was sent; None if it was not known."""


@dataclass(frozen=True, slots=True)
class SentDrain:
    """A drain that this run sent."""

    at: datetime
    names: tuple[str, ...] = ()
    """The groups and families of the tasks that were on the instance then."""
    moving: Mapping[str, int] = field(default_factory=dict)
    """How many tasks the drain has to move, by service name."""
    deficits_before: Mapping[ServiceArn, int] = field(default_factory=dict)
    """How many tasks each service lacked then."""
    running_before: Mapping[ServiceArn, int] | None = None
    """How many tasks each service had then, up to its desired count; None if that is not known."""


@dataclass(frozen=True, slots=True)
class TakenOut:
    """Somebody else took the instance out of service: it drains, left the cluster, or its agent is disconnected."""

    at: datetime
    tasks: int
    """For how many tasks it had room: those on it, or those that our drain moved away shortly before."""


@dataclass(frozen=True, slots=True)
class NewBoot:
    """The first check that showed a new boot id, other than the claim's."""

    asked_at: datetime
    answered_at: datetime
    """When its answer arrived. The SSM agent of that boot was up by then."""
    boot: BootId
    """The new boot id. If a later check shows another one, the host rebooted again."""


@dataclass(frozen=True, slots=True)
class SentReturn:
    """A return to service that this run sent."""

    at: datetime
    outcome: Outcome
    """The outcome of the instance once ECS shows it ACTIVE."""
    confirmed: bool = False
    """Whether ECS confirmed that it was set ACTIVE."""


@dataclass(frozen=True, slots=True)
class Impaired:
    """The looks that found its ECS health status IMPAIRED."""

    since: datetime | None
    """Since when every look has; None if the last one has not."""
    last_at: datetime
    times: int = 1
    """How often it became IMPAIRED."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """The request for another run that updates the instance, because this run runs on it."""

    called_at: datetime
    task: TaskArn | None = None
    """The task of that other run, after it was seen on another host."""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """What this run did with an instance and saw since."""

    outcome: Outcome | None = None
    """The outcome of the instance in this run; None while it is open."""
    checks_failed: int = 0
    """How many checks in a row gave no report."""
    first_busy_at: datetime | None = None
    offered: Version | None = None
    """The version that the host was last offered. If the host then fails to answer, this is the version that failed."""
    applies: Applies = Applies()
    drain: SentDrain | None = None
    """None if this run did not drain it."""
    drain_seen: bool = False
    """Whether ECS confirmed our drain or showed the instance DRAINING."""
    drain_shown: bool = False
    """Whether a look has shown the instance DRAINING since our drain."""
    read_lag: timedelta = timedelta()
    """How long looks still showed the state from before a drain, or a claim for the reboot, that ECS had confirmed."""
    claim_seen: bool = False
    """Whether ECS confirmed our claim to this run, or showed it on the instance."""
    unmarked: bool = False
    """Whether this run removed its claim. A stale read may still show it."""
    claim_absent_looks: int = 0
    """How many looks in a row did not find the claim that was seen before."""
    overwritten_looks: int = 0
    """How many looks in a row found another run's claim instead of ours, not counting one that we took over."""
    overwritten_by: str = ""
    doubted_at: datetime | None = None
    """When the last of these looks was counted. A look too soon after it does not count."""
    doubted_since: datetime | None = None
    """When the first of the looks in a row that miss our claim missed it."""
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
    """When the agent was last seen to disconnect, after the claim for the reboot and before a new boot was seen."""
    connected_looks: int = 0
    """How many looks in a row saw the agent connected since the reboot; all looks if there was no reboot."""
    looks_when_asked: int = 0
    """The value of `connected_looks` when the last check was sent."""
    connected_at: datetime | None = None
    """When `connected_looks` was last raised. A look too soon after it does not count."""
    disconnected_since: datetime | None = None
    """Since when every look has seen its agent disconnected; None while it is connected."""
    last_away_at: datetime | None = None
    """When a look last saw its agent disconnected while it was not claimed: it may have booted since its report."""
    absences: int = 0
    """How often its agent was first seen disconnected, or ECS first did not describe it, after a look that found it."""
    new_boot: NewBoot | None = None
    """The check that showed a new boot; None until there is one."""
    sent_return: SentReturn | None = None
    """None if this run did not return it."""
    pending_since: datetime | None = None
    """Since when every look has found tasks on it that are not running yet; None while it is out of service."""
    impaired: Impaired | None = None
    """How ECS reports it as IMPAIRED; None if no look has found it so."""
    health_before: HealthStatus | None = None
    """Its ECS health status before its drain; IMPAIRED if it was recently. None if ECS reported none."""
    gpus_before: int | None = None
    """How many GPUs ECS showed on it when it was empty, right before its reboot; None if that is not known."""
    missing_looks: int = 0
    """How many looks in a row did not list it."""
    undescribed_looks: int = 0
    """How many looks in a row listed it but did not describe it."""
    stalled_since: datetime | None = None
    """Since when AWS has accepted no call for it; None if it accepted the last one."""
    hand_over: HandOver | None = None
    """None if no other run was requested for it."""
    taken_out: TakenOut | None = None
    """None while it is in service, or if it is out of service because of us."""

    @property
    def impaired_since(self) -> datetime | None:
        """Since when every look has found its ECS health status IMPAIRED, while its agent was connected."""
        return self.impaired.since if self.impaired is not None else None

    @property
    def was_impaired(self) -> bool:
        """Whether it was IMPAIRED before its drain, so that the update is not the cause."""
        return self.health_before is HealthStatus.IMPAIRED

    @property
    def moving(self) -> Mapping[str, int]:
        """How many tasks its drain has to move, by service name; none if this run did not drain it."""
        return self.drain.moving if self.drain is not None else {}

    @property
    def return_confirmed(self) -> bool:
        """Whether ECS confirmed that it was set ACTIVE."""
        return self.sent_return is not None and self.sent_return.confirmed
