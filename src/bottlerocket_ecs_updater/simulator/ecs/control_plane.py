"""The control plane: every operation by its name, and the hooks for the world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.ecs.agents import Agents
from bottlerocket_ecs_updater.simulator.ecs.cluster_operations import ClusterOperations
from bottlerocket_ecs_updater.simulator.ecs.instance_operations import InstanceOperations
from bottlerocket_ecs_updater.simulator.ecs.lifecycle import Lifecycle
from bottlerocket_ecs_updater.simulator.ecs.registry import Registry
from bottlerocket_ecs_updater.simulator.ecs.scheduler import Scheduler
from bottlerocket_ecs_updater.simulator.ecs.service_operations import ServiceOperations
from bottlerocket_ecs_updater.simulator.ecs.stale_reads import ReadHistory
from bottlerocket_ecs_updater.simulator.ecs.task_operations import TaskOperations
from bottlerocket_ecs_updater.simulator.ecs.task_sets import TaskSetOperations

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.aws_basics.names import Names
    from bottlerocket_ecs_updater.simulator.clock import WorldClock
    from bottlerocket_ecs_updater.simulator.ecs.timing import EcsTiming


class ControlPlane:
    """ECS of one account and region. `operations` takes requests; the rest is for the world around it."""

    def __init__(
        self, clock: WorldClock, names: Names, chances: random.Random, timing: EcsTiming | None = None
    ) -> None:
        self.registry = Registry(clock, names, chances, timing)
        self.lifecycle = Lifecycle(self.registry)
        self.agents = Agents(self.registry, self.lifecycle)
        self.scheduler = Scheduler(self.registry, self.lifecycle)
        self.reads = ReadHistory(self.registry)
        self.services = ServiceOperations(self.registry, self.scheduler)
        self.operations: dict[str, Callable[[Shape], Shape]] = {
            **ClusterOperations(self.registry).handlers(),
            **InstanceOperations(self.registry, self.reads, self.agents).handlers(),
            **TaskOperations(self.registry, self.lifecycle, self.scheduler, self.reads).handlers(),
            **self.services.handlers(),
            **TaskSetOperations(self.registry, self.lifecycle, self.scheduler).handlers(),
        }
