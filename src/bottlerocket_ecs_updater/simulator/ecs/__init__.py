"""The ECS control plane as dictionaries in, dictionaries out: clusters, container instances, tasks, services.

It contains placement, draining, task lifecycles, and the limits and errors of the real API.
It does not contain HTTP, permissions or host behavior; the world reports when an agent connects or disconnects.
"""

from bottlerocket_ecs_updater.simulator.ecs.control_plane import ControlPlane
from bottlerocket_ecs_updater.simulator.ecs.model import (
    CapacityProvider,
    Cluster,
    ContainerInstance,
    Service,
    Task,
    TaskDefinition,
)
from bottlerocket_ecs_updater.simulator.ecs.specs import (
    ContainerInstanceSpec,
    Controller,
    ProviderShare,
    Rollout,
    ServiceSpec,
    Spreading,
    Strategy,
    TaskLaunch,
    Way,
    Workload,
)
from bottlerocket_ecs_updater.simulator.ecs.timing import EcsTiming, Order

__all__ = [
    "CapacityProvider",
    "Cluster",
    "ContainerInstance",
    "ContainerInstanceSpec",
    "ControlPlane",
    "Controller",
    "EcsTiming",
    "Order",
    "ProviderShare",
    "Rollout",
    "Service",
    "ServiceSpec",
    "Spreading",
    "Strategy",
    "Task",
    "TaskDefinition",
    "TaskLaunch",
    "Way",
    "Workload",
]
