"""What tasks require and what instances have left."""

from __future__ import annotations

from dataclasses import dataclass

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
    """What one task asks of an instance."""

    cpu: int
    """CPU units, 1024 to a core."""
    memory: int
    """MiB, as ECS reserves it."""
    gpus: int = 0
    ports: frozenset[Port] = frozenset()
    interfaces: int = 0
    """Network interfaces of its own: one for a task in network mode awsvpc."""
    required: frozenset[str] = frozenset()
    """Names of attributes that its task definition needs on an instance."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A task definition, as far as it decides where its tasks may go."""

    demand: TaskRequirements
    member_of: tuple[str, ...] = ()
    """Its placement constraints, as they are written."""


@dataclass(frozen=True, slots=True)
class RemainingResources:
    """What ECS says an instance has left."""

    cpu: int
    memory: int
    gpus: int = 0
    ports_taken: frozenset[Port] = frozenset()


@dataclass(frozen=True, slots=True)
class DeploymentLimits:
    """How a service moves its tasks, and where they may go."""

    minimum_healthy_percent: int
    maximum_percent: int
    definition: str
    """The task definition of its next task."""
    distinct: bool = False
    member_of: tuple[str, ...] = ()
    launch: LaunchType = LaunchType.EC2
    """Of no meaning where it has a capacity provider strategy."""
    providers: tuple[str, ...] = ()
    """The capacity providers of its strategy, empty where it has none."""
