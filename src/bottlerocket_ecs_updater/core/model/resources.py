"""The resources that tasks require and that instances have left."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bottlerocket_ecs_updater.core.model.capacity_provider import LaunchType


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A fixed port on the host."""

    number: int
    protocol: str = "tcp"

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class TaskRequirements:
    """The resources that one task requires on an instance."""

    cpu: int
    """CPU units; 1024 are one vCPU."""
    memory: int
    """MiB, as ECS reserves it."""
    gpus: int = 0
    all_gpus: bool = False
    """Whether it gets all GPUs that are left on its instance. Then `gpus` is 1, the least that it needs."""
    shares_gpu: bool = False
    """Whether it shares a GPU with other tasks. Then it may need none that is left."""
    ports: frozenset[Port] = frozenset()
    interfaces: int = 0
    """How many network interfaces it needs: 1 in network mode awsvpc, else 0."""
    volumes: int = 0
    """How many EBS volumes ECS attaches to the instance for it: 1 if its task definition leaves one to the service."""
    required: frozenset[str] = frozenset()
    """Names of the attributes that its task definition requires on an instance."""


@dataclass(frozen=True, slots=True)
class VolumeLimit:
    """How many EBS volumes an instance of a type can have for tasks."""

    most: int
    """Less its own volumes, and, if shared, less its primary network interface and its own disks."""
    shared: bool
    """Whether network interfaces of tasks use the same attachments."""


@dataclass(frozen=True, slots=True)
class TypeLimits:
    """What EC2 limits for an instance type. None if EC2 does not say."""

    interfaces: int | None = None
    """Network interfaces, including the primary one."""
    volumes: VolumeLimit | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """The parts of a task definition that decide where its tasks may be placed."""

    demand: TaskRequirements
    member_of: tuple[str, ...] = ()
    """The expressions of its `memberOf` placement constraints."""


@dataclass(frozen=True, slots=True)
class RemainingResources:
    """The remaining resources of an instance, as ECS reports them."""

    cpu: int
    memory: int
    gpus: int = 0
    ports_taken: frozenset[Port] = frozenset()


class StrategyKind(Enum):
    """How a placement strategy chooses between instances."""

    SPREAD = "spread"
    """The fewest tasks of the service with the same value of its field."""
    BINPACK = "binpack"
    """The least of its field left: CPU or memory."""
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class PlacementStrategy:
    """One placement strategy of a service."""

    kind: StrategyKind
    field: str = ""
    """`attribute:…`, `instanceId`, `cpu` or `memory`; empty for RANDOM."""


EXECUTE_COMMAND_ATTRIBUTE = "ecs.capability.execute-command"
SERVICE_CONNECT_ATTRIBUTE = "ecs.capability.service-connect-v1"
"""Attributes that ECS requires on an instance if a service has ECS Exec or Service Connect turned on.

No task definition names them. Source: the capabilities of the ECS agent; aws/aws-cli#7548.
"""


@dataclass(frozen=True, slots=True)
class ProviderPart:
    """The part of a service's tasks that ECS starts with one capacity provider of its strategy."""

    provider: str
    weight: int
    """Its part of the tasks beyond all bases, in proportion to the other weights."""
    base: int = 0
    """How many tasks it gets before weights count."""


@dataclass(frozen=True, slots=True)
class DeploymentLimits:
    """How a service replaces its tasks, and where ECS may place them."""

    minimum_healthy_percent: int
    maximum_percent: int
    definition: str
    """The task definition that it starts new tasks from."""
    distinct: bool = False
    member_of: tuple[str, ...] = ()
    launch: LaunchType = LaunchType.EC2
    """Ignored if it has a capacity provider strategy."""
    providers: tuple[str, ...] = ()
    """The capacity providers of its strategy; empty if it has none."""
    strategies: tuple[PlacementStrategy, ...] = ()
    """Its placement strategies, in order; empty if it has none."""
    shares: tuple[ProviderPart, ...] = ()
    """The parts of its capacity providers; empty if not known."""
    subnets: tuple[str, ...] = ()
    """Where its tasks may have network interfaces of their own; empty if they have none."""
    required: frozenset[str] = frozenset()
    """Names of the attributes that ECS requires on an instance besides those of the task definition."""

    def floor(self, desired: int) -> int:
        """How many tasks must stay healthy."""
        return task_floor(desired, self.minimum_healthy_percent)

    def ceiling(self, desired: int) -> int:
        """How many tasks may exist at a time."""
        return task_ceiling(desired, self.maximum_percent)


def task_floor(desired: int, minimum_healthy_percent: int) -> int:
    """How many tasks of a service must stay healthy: ECS rounds up."""
    return -(-desired * minimum_healthy_percent // 100)


def task_ceiling(desired: int, maximum_percent: int) -> int:
    """How many tasks of a service may exist at a time: ECS rounds down."""
    return desired * maximum_percent // 100
