"""Container instances and their tasks as ECS describes them, and whether Systems Manager reaches them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, InstanceId, TaskArn, Zone
from bottlerocket_ecs_updater.core.model.resources import RemainingResources
from bottlerocket_ecs_updater.core.model.version import Version

NAMELESS = "ECS does not say which EC2 instance it is"
"""Why a container instance that ECS described is left out. Every other reason comes from ECS itself."""

SERVICE_GROUP = "service:"
"""The group of a service's tasks is this and the name of the service."""

FAMILY_GROUP = "family:"
"""The group of a task that no service started, unless its starter named another one: this and its family."""


TYPE_ATTRIBUTE = "ecs.instance-type"

VARIANT_ATTRIBUTE = "bottlerocket.variant"
"""Bottlerocket's ECS agent registers this attribute; no other agent does."""

EXTERNAL_ATTRIBUTE = "ecs.capability.external"
"""The attribute that only the agent of an ECS Anywhere instance registers."""


class Status(Enum):
    """The status of a container instance in ECS; OTHER for one that the API may add later."""

    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    REGISTERING = "REGISTERING"
    DEREGISTERING = "DEREGISTERING"
    REGISTRATION_FAILED = "REGISTRATION_FAILED"
    INACTIVE = "INACTIVE"
    OTHER = "OTHER"


class HealthStatus(Enum):
    """The result of ECS's own health checks. Source: "Monitor Amazon ECS container instance health"."""

    OK = "OK"
    IMPAIRED = "IMPAIRED"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"
    INITIALIZING = "INITIALIZING"


@dataclass(frozen=True, slots=True)
class InstanceHealth:
    """What ECS reports about the health of a container instance."""

    status: HealthStatus
    why: str = ""
    """The checks with that status, and their reasons; empty for OK."""
    updated_at: datetime | None = None
    """When the oldest of its checks was last updated; None if ECS does not say."""

    def __str__(self) -> str:
        return f"{self.status.value}: {self.why}" if self.why else self.status.value


@dataclass(frozen=True, slots=True)
class Registration:
    """A container instance, as ECS describes it."""

    arn: ContainerInstanceArn
    id: InstanceId
    status: Status
    connected: bool
    zone: Zone
    variant: str | None
    """The value of the attribute `bottlerocket.variant`; None on every other operating system."""
    running_tasks: int
    """Running tasks whose desired status is RUNNING. ECS does not count tasks that are still stopping."""
    pending_tasks: int
    attributes: Mapping[str, str]
    registered_at: datetime
    at: datetime
    """When it was described."""
    capacity_provider: str = ""
    """Empty if it has none."""
    remaining: RemainingResources | None = None
    """The resources it has left for more tasks."""
    health: InstanceHealth | None = None
    """The result of ECS's own health checks; None if ECS reports none, as with agents before 1.57."""
    registered: RemainingResources | None = None
    """The resources it has for tasks when it is empty."""
    capabilities: frozenset[str] | None = None
    """Names of its agent's capabilities; None if not known. They are not in `attributes`."""
    agent_version: str = ""
    """Empty if ECS does not say."""

    @property
    def counted_tasks(self) -> int:
        """How many tasks ECS counts on it: those that run or start, but not those that are stopping."""
        return self.running_tasks + self.pending_tasks

    @property
    def type(self) -> str:
        """Its EC2 instance type; empty if its agent has reported none."""
        return self.attributes.get(TYPE_ATTRIBUTE, "")

    @property
    def in_service(self) -> bool:
        """Whether ECS places tasks on it now."""
        return self.status is Status.ACTIVE and self.connected

    @property
    def impaired(self) -> str:
        """Why ECS's own health checks call it IMPAIRED; empty if they do not, or if ECS does not say."""
        return self.health.why if self.health is not None and self.health.status is HealthStatus.IMPAIRED else ""

    @property
    def external(self) -> bool:
        """Whether it is an ECS Anywhere instance. Source: "External instances (Amazon ECS Anywhere)"."""
        return EXTERNAL_ATTRIBUTE in self.attributes


class TaskStatus(Enum):
    """The last status of a task in ECS, with OTHER for every other value and for a task that ECS did not describe.

    Source: "Amazon ECS task lifecycle" in the ECS guide.
    """

    PROVISIONING = "PROVISIONING"
    PENDING = "PENDING"
    ACTIVATING = "ACTIVATING"
    RUNNING = "RUNNING"
    DEACTIVATING = "DEACTIVATING"
    STOPPING = "STOPPING"
    DEPROVISIONING = "DEPROVISIONING"
    STOPPED = "STOPPED"
    DELETED = "DELETED"
    OTHER = "status unknown"

    @classmethod
    def _missing_(cls, value: object) -> TaskStatus:  # noqa: ARG003 - the form that Enum requires
        return cls.OTHER


def family_name(family: str) -> str:
    """The name of a family among groups of tasks, as ECS writes it for tasks of no service; empty for none."""
    return f"{FAMILY_GROUP}{family}" if family else ""


@dataclass(frozen=True, slots=True)
class Task:
    """A task on a container instance."""

    arn: TaskArn
    last_status: TaskStatus
    started_by: str
    group: str
    daemon: bool = False
    family: str = ""
    """The family of its task definition; empty if ECS did not say."""
    own_interface: bool = False
    """Whether it has its own network interface, as in network mode awsvpc."""
    own_volume: bool = False
    """Whether ECS attached an EBS volume to its instance for it."""
    launched_at: datetime | None = None
    """When a task that no service started was created; None for others, or if ECS did not say."""
    stopped_at: datetime | None = None
    """When it stopped; None if it has not, or if ECS did not say."""

    @property
    def service(self) -> str:
        """The name of its service; empty for a task of no service."""
        return self.group.removeprefix(SERVICE_GROUP) if self.group.startswith(SERVICE_GROUP) else ""

    @property
    def stopped(self) -> bool:
        """Whether it has stopped, so that nothing of it is left on the host."""
        return self.last_status is TaskStatus.STOPPED

    @property
    def names(self) -> tuple[str, ...]:
        """Its group and its family, under which tasks like it are known."""
        return tuple(name for name in (self.group, family_name(self.family)) if name)

    @property
    def stopping(self) -> bool:
        """Whether it is being stopped, and has not stopped yet."""
        return self.last_status in (TaskStatus.DEACTIVATING, TaskStatus.STOPPING, TaskStatus.DEPROVISIONING)

    @property
    def of_service(self) -> bool:
        """Whether a service started it, and so will replace it. Source: ECS sets `startedBy` to `ecs-svc/<deployment>`.

        A caller of RunTask can set `startedBy` too, so the group that ECS derives must agree.
        """
        return self.started_by.startswith("ecs-svc/") and (not self.group or self.group.startswith(SERVICE_GROUP))


@dataclass(frozen=True, slots=True)
class Tasks:
    """The tasks of one instance that are not STOPPED, whatever their desired status."""

    left: tuple[Task, ...]
    at: datetime
    with_stopping: bool = False
    """Whether all tasks that are still stopping were listed at that time, as right before a reboot."""

    @property
    def standalone(self) -> tuple[Task, ...]:
        """The tasks that no service would replace."""
        return tuple(task for task in self.left if not task.of_service)


class PingStatus(Enum):
    """The ping status of the SSM agent, as Systems Manager reports it. ONLINE may be minutes out of date."""

    ONLINE = "Online"
    CONNECTION_LOST = "ConnectionLost"
    UNKNOWN = "unknown to Systems Manager"


@dataclass(frozen=True, slots=True)
class ManagedNode:
    """What Systems Manager knows about an instance without sending it a command."""

    reach: PingStatus
    version: Version | None = None
    """The version that its agent last reported; hosts before 1.7.0 report none. It may be minutes old."""
    ping: str = ""
    """Its ping status as Systems Manager writes it; empty if Systems Manager does not know it."""


EXITED = "EssentialContainerExited"
FAILED_CODES = frozenset({"TaskFailedToStart", EXITED})
"""The stop codes of tasks that were not stopped by a person or by ECS. Source: `stopCode` of DescribeTasks."""

UNHEALTHY_WORDS = ("failed container health checks", "failed ELB health checks")
"""Parts of `stoppedReason` where ECS stopped a task because it was not healthy. The stop code is that of a normal stop.

Source: "Stopped task error messages" in the ECS guide.
"""

_FETCHING = ("CannotPull", "ResourceInitializationError")
_REFUSED = re.compile(
    r"too ?many ?requests|rate exceeded|throttl|unexpected status code|manifest unknown|not ?found|does not exist"
    r"|forbidden|denied|unauthorized|not authorized|matching platform",
    re.IGNORECASE,
)
"""Parts of the reason if a registry, or a service with secrets, answered and refused: a rate limit, a missing image.

Source: "CannotPullContainer task errors" and "ResourceInitializationError errors" in the ECS guide.
"""

_NOT_OF_HOST = (
    "Unexpected EC2 error",
    "unused device index",
    "unable to assume",
    "failed to set up the EBS volume",
)
"""Parts of the reason if EC2 or IAM gave ECS no network interface, volume or role for the task: a full subnet, a quota.

Source: "TaskFailedToStart errors" and "Status reasons for Amazon EBS volume attachment" in the ECS guide.
"""

EXITS_AT_ONCE = timedelta(minutes=1)
"""A task of a service that exits this soon has failed, even with exit code 0: a service is meant to keep running."""


@dataclass(frozen=True, slots=True)
class LiveTask:
    """A task that should run, with its times."""

    arn: TaskArn
    where: ContainerInstanceArn
    group: str
    deployment: str
    """The deployment that started it, as in `startedBy`; tasks of one deployment are alike."""
    launched_at: datetime
    started_at: datetime | None = None
    """When it was first RUNNING; None if it is not running yet."""


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """A stopped task. ECS still describes it for an hour."""

    where: ContainerInstanceArn
    group: str
    code: str
    """ECS's stopCode; empty if it gives none."""
    why: str
    """Why it stopped, with the reasons of its containers, as ECS reports them."""
    exit_code: int | None
    stopped_at: datetime
    launched_at: datetime
    deployment: str = ""
    """The deployment that started it, as in `startedBy`."""
    ran_for: timedelta | None = None
    """How long it was RUNNING; None if it never was."""
    unlike_others: bool = False
    """Whether it exited with code 0, and none of its kind did so on other versions."""

    @property
    def started(self) -> bool:
        """Whether it ever was RUNNING. One that was stopped before says nothing about where such tasks run."""
        return self.ran_for is not None

    @property
    def refused(self) -> bool:
        """Whether it did not start because another service refused its image or its secrets, or EC2 what it needs."""
        fetching = any(word in self.why for word in _FETCHING) and bool(_REFUSED.search(self.why))
        return not self.started and (fetching or any(words in self.why for words in _NOT_OF_HOST))

    @property
    def lasted(self) -> timedelta:
        """How long it existed."""
        return self.stopped_at - self.launched_at

    @property
    def finished(self) -> bool:
        """Whether it exited by itself with code 0 after a while, as a worker may do after each of its jobs."""
        return self.code == EXITED and self.exit_code == 0 and self.lasted >= EXITS_AT_ONCE

    @property
    def failed(self) -> bool:
        """Whether it failed by itself: it did not start, exited with an error or at once, or was not healthy.

        One whose image, secrets, network interface or volume were refused says nothing about its host.
        """
        if self.refused:
            return False
        if self.unlike_others or any(words in self.why for words in UNHEALTHY_WORDS):
            return True
        return self.code in FAILED_CODES and (self.exit_code != 0 or self.lasted < EXITS_AT_ONCE)
