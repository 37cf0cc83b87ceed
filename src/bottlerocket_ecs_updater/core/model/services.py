"""Services of the cluster, and their health."""

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
    """A service of the cluster and how many of its tasks run."""

    arn: ServiceArn
    name: str
    desired: int
    running: int
    daemon: bool = False
    deploying: bool = False
    """Whether it is in the middle of a deployment."""
    moving: DeploymentLimits | None = None
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
    below: frozenset[ServiceArn] = frozenset()
    """The services that the last look found below what they had."""
    dips: Mapping[ServiceArn, int] = field(default_factory=dict)
    """How often since the return each service fell below what it had, after a look that found it as before."""
    unseen: timedelta = timedelta()
    """How much of the time since the return nobody looked: AWS, or the state store, did not answer."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the last look at alarms and probes found."""

    at: datetime
    unwell: tuple[str, ...] = ()
    """Why each that is not well is not; empty where all are."""
    since: datetime | None = None
    """Since when every look in a row found something unwell, None where the last one found nothing."""


def see_health(before: Health | None, unwell: tuple[str, ...], at: datetime) -> Health:
    """What is known after one more look."""
    since = (before.since if before is not None else None) or at
    return Health(at, unwell, since if unwell else None)
