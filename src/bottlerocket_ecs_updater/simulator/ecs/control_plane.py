"""The control plane: every operation by its name, and what the world tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .agents import Agents
from .cluster_operations import ClusterOperations
from .instance_operations import InstanceOperations
from .lifecycle import Lifecycle
from .memory import Memory
from .registry import Registry
from .scheduler import Scheduler
from .service_operations import ServiceOperations
from .task_operations import TaskOperations

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from bottlerocket_ecs_updater.simulator.clock import Clock
    from bottlerocket_ecs_updater.simulator.names import Names

    from .model import Shape
    from .timing import EcsTiming


class ControlPlane:
    """ECS of one account and region. `operations` takes requests; the rest is for the world around it."""

    def __init__(self, clock: Clock, names: Names, chances: random.Random, timing: EcsTiming | None = None) -> None:
        self.registry = Registry(clock, names, chances, timing)
        self.lifecycle = Lifecycle(self.registry)
        self.agents = Agents(self.registry, self.lifecycle)
        self.scheduler = Scheduler(self.registry, self.lifecycle)
        self.memory = Memory(self.registry)
        self.services = ServiceOperations(self.registry, self.scheduler)
        self.operations: dict[str, Callable[[Shape], Shape]] = {
            **ClusterOperations(self.registry).handlers(),
            **InstanceOperations(self.registry, self.memory).handlers(),
            **TaskOperations(self.registry, self.lifecycle, self.scheduler, self.memory).handlers(),
            **self.services.handlers(),
        }
