"""The ECS control plane as dictionaries in, dictionaries out: clusters, container instances, tasks, services.

Here live placement, draining, the life of tasks, and the limits and errors of the real API.
Never here: the wire, who may call what, or what a host does; the world tells when an agent comes and goes.
"""

from bottlerocket_ecs_updater.simulator.ecs.control_plane import ControlPlane
from bottlerocket_ecs_updater.simulator.ecs.model import (
    CapacityProvider,
    Cluster,
    ContainerInstance,
    ContainerInstanceSpec,
    Controller,
    Launch,
    ProviderShare,
    Rollout,
    Service,
    ServiceSpec,
    Spreading,
    Strategy,
    Task,
    TaskDefinition,
    Way,
    Workload,
)
from bottlerocket_ecs_updater.simulator.ecs.timing import EcsTiming

__all__ = [
    "CapacityProvider",
    "Cluster",
    "ContainerInstance",
    "ContainerInstanceSpec",
    "ControlPlane",
    "Controller",
    "EcsTiming",
    "Launch",
    "ProviderShare",
    "Rollout",
    "Service",
    "ServiceSpec",
    "Spreading",
    "Strategy",
    "Task",
    "TaskDefinition",
    "Way",
    "Workload",
]
