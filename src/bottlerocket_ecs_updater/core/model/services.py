"""Services of the cluster and their health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.ids import (
    InstanceId,
    ServiceArn,
    Zone,
)
from bottlerocket_ecs_updater.core.model.resources import DeploymentLimits


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the cluster, with how many of its tasks run."""

    arn: ServiceArn
    name: str
    desired: int
    running: int
    daemon: bool = False
    deploying: bool = False
    """Whether a deployment of it is in progress."""
    failed: bool = False
    """Whether its newest deployment failed, so that ECS starts no task of it until somebody deploys it again."""
    deployment: DeploymentLimits | None = None
    """How it replaces its tasks; None if ECS did not say."""
    unknown: str = ""
    """Why ECS listed it but did not describe it now. All other fields are then from an earlier look, or empty."""
    elsewhere: bool = False
    """Whether none of its tasks run on EC2 instances, but on Fargate or ECS Anywhere."""
    providers: tuple[str, ...] = ()
    """The capacity providers that run its tasks; empty if any instance may."""
    deployed_at: datetime | None = None
    """When its newest deployment started; None if ECS does not say."""
    extra_starts: int = 0
    """How many more tasks it started than stopped in the last hour, by its events."""
    flaps_by: int = 0
    """How many tasks it loses at once by itself, by its events of the last hour; 0 if it loses none."""
    pending: int = 0
    """How many of its tasks have a place, and do not run yet."""
    unplaced: bool = False
    """Whether it lacks tasks for which ECS found no room."""

    @property
    def deficit(self) -> int:
        """How many tasks it lacks."""
        return max(0, self.desired - self.running)

    @property
    def deploying_since(self) -> datetime | None:
        """When the deployment in progress started; None if none is, or if ECS does not say."""
        return self.deployed_at if self.deploying else None

    @property
    def may_lack(self) -> int:
        """How many tasks its deployment may stop before it has replaced them; 0 if none is in progress or failed."""
        if self.deployment is None or not (self.deploying or self.failed):
            return 0
        return self.desired - self.deployment.floor(self.desired)


@dataclass(frozen=True, slots=True)
class Services:
    """All services that may have tasks on our hosts, at one look."""

    all: tuple[Service, ...]
    at: datetime
    seen_deploying: Mapping[ServiceArn, datetime] = field(default_factory=dict)
    """Since when every look has seen each of these services deploying."""
    ends_unread: bool = False
    """Whether a service was in doubt at this look, and how its tasks ended was last read some time before."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot in the budget that stays taken after its instance was returned, until the cluster has settled."""

    instance: InstanceId
    zone: Zone
    returned_at: datetime
    deficits_before: Mapping[ServiceArn, int]
    steady_since: datetime | None = None
    unsteady: tuple[str, ...] = ()
    """What was not steady at the last look: services with fewer tasks than before, and other health problems."""
    looked_at: datetime | None = None
    """When the services were last looked at; None if not since the return."""
    below: frozenset[ServiceArn] = frozenset()
    """The services with fewer tasks than before, at the last look."""
    dips: Mapping[ServiceArn, int] = field(default_factory=dict)
    """How often since the return each service lost tasks again after a look that found it recovered."""
    unseen: timedelta = timedelta()
    """How long since the return no look was possible, because AWS or the state store did not answer."""
    running_before: Mapping[ServiceArn, int] | None = None
    """How many tasks each service had before the drain; None if that is not known. A service that was scaled up since
    may lack tasks without having lost any."""
    drained_at: datetime | None = None
    """When its drain started; None if another run started it."""


@dataclass(frozen=True, slots=True)
class Health:
    """The result of the last look at alarms and probes."""

    at: datetime
    unwell: tuple[str, ...] = ()
    """Why each unhealthy alarm or probe is unhealthy; empty if all are healthy."""
    since: datetime | None = None
    """Since when every look has found something unhealthy; None if the last one did not."""
    denied: bool = False
    """Whether AWS denied reading the alarms: that does not pass by itself."""


def see_health(before: Health | None, unwell: tuple[str, ...], at: datetime, *, denied: bool = False) -> Health:
    """The health after one more look."""
    since = (before.since if before is not None else None) or at
    return Health(at, unwell, since if unwell else None, denied)
