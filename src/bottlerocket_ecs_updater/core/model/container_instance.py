"""Container instances and their tasks as ECS shows them, and whether Systems Manager reaches them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from bottlerocket_ecs_updater.core.model.ids import (
    ContainerInstanceArn,
    InstanceId,
    TaskArn,
    Zone,
)
from bottlerocket_ecs_updater.core.model.resources import RemainingResources
from bottlerocket_ecs_updater.core.model.version import Version

NAMELESS = "ECS does not say which EC2 instance it is"
"""Why one is left out that was described: it is left alone. Every other reason is ECS's own."""


EXTERNAL_ATTRIBUTE = "ecs.capability.external"
"""The agent of an ECS Anywhere instance registers with it; nothing else does."""


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
    remaining: RemainingResources | None = None
    """What it has left for more tasks."""
    impaired: str = ""
    """What ECS's own checks find wrong with it; empty where that is nothing, or where ECS does not say."""
    registered: RemainingResources | None = None
    """What it has for tasks while none is on it."""
    capabilities: frozenset[str] | None = None
    """Names of what its agent can do, None where they are not known. They are in no other attribute."""
    agent_version: str = ""
    """Empty where ECS does not tell."""

    @property
    def external(self) -> bool:
        """Whether it is an ECS Anywhere instance. Source: "External instances (Amazon ECS Anywhere)"."""
        return EXTERNAL_ATTRIBUTE in self.attributes


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
    own_interface: bool = False
    """Whether it has a network interface of its own, as in the network mode awsvpc."""

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


class PingStatus(Enum):
    """What Systems Manager last said about its agent on an instance. ONLINE may be minutes out of date."""

    ONLINE = "Online"
    CONNECTION_LOST = "ConnectionLost"
    UNKNOWN = "unknown to Systems Manager"


@dataclass(frozen=True, slots=True)
class ManagedNode:
    """What Systems Manager tells of an instance without asking it."""

    reach: PingStatus
    version: Version | None = None
    """The release that its agent last named; older hosts (before 1.7.0) name none. Minutes old, and never proof."""


FAILED_CODES = frozenset({"TaskFailedToStart", "EssentialContainerExited"})
"""How tasks end that nobody has stopped. Source: `stopCode` of DescribeTasks."""


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """A task that has stopped, as ECS tells of it for an hour."""

    where: ContainerInstanceArn
    group: str
    code: str
    """ECS's stopCode; empty where it gives none."""
    why: str
    """The task's own words: why it stopped, with the reasons of its containers."""
    exit_code: int | None
    stopped_at: datetime
    launched_at: datetime

    @property
    def failed(self) -> bool:
        """Whether nobody stopped it, and it did not end well."""
        return self.code in FAILED_CODES and self.exit_code != 0
