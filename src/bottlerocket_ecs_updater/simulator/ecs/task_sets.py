"""Operations on task sets, for services whose deployment controller is not ECS.

A new task set runs beside the primary one until its controller deletes one of the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.names import last_part
from bottlerocket_ecs_updater.simulator.ecs.requests import UNKNOWN_NAME, invalid_parameter
from bottlerocket_ecs_updater.simulator.ecs.service_shapes import service_shape
from bottlerocket_ecs_updater.simulator.ecs.specs import Controller

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.ecs.lifecycle import Lifecycle
    from bottlerocket_ecs_updater.simulator.ecs.model import Deployment, Service
    from bottlerocket_ecs_updater.simulator.ecs.registry import Registry
    from bottlerocket_ecs_updater.simulator.ecs.requests import Handler
    from bottlerocket_ecs_updater.simulator.ecs.scheduler import Scheduler


class TaskSetOperations:
    """CreateTaskSet, DeleteTaskSet and related operations."""

    def __init__(self, registry: Registry, lifecycle: Lifecycle, scheduler: Scheduler) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._scheduler = scheduler

    def handlers(self) -> dict[str, Handler]:
        """By the operation's name."""
        return {
            "CreateTaskSet": self.create,
            "DescribeTaskSets": self.describe,
            "UpdateServicePrimaryTaskSet": self.promote,
            "DeleteTaskSet": self.delete,
        }

    def create(self, request: Shape) -> Shape:
        """Start another task set beside the primary one."""
        service = self._find(request)
        if service.rollout.controller is Controller.ECS:
            raise invalid_parameter("Task sets need a service whose deployment controller is not ECS.")
        if len(service.deployments) > 1:
            raise AwsError("LimitExceededException", "The service already has two task sets.")
        primary = service.deployments[0]
        self._scheduler.new_deployment(service, self._registry.definition(request["taskDefinition"]))
        service.deployments[0].beside_primary = True
        service.primary_task_set = primary.id
        return {"taskSet": _shape_of(service, service.deployments[0])}

    def describe(self, request: Shape) -> Shape:
        """Task sets of a service, or those that the request names."""
        service = self._find(request)
        sets = service_shape(service).get("taskSets", [])
        asked = [last_part(name) for name in request.get("taskSets") or []]
        known = {last_part(one["id"]) for one in sets}
        return {
            "taskSets": [one for one in sets if not asked or last_part(one["id"]) in asked],
            "failures": [{"arn": name, "reason": UNKNOWN_NAME} for name in asked if name not in known],
        }

    def promote(self, request: Shape) -> Shape:
        """Make a task set the primary one. The other stays until it is deleted."""
        service = self._find(request)
        chosen = _set_of(service, request["primaryTaskSet"])
        service.primary_task_set = chosen.id
        return {"taskSet": _shape_of(service, chosen)}

    def delete(self, request: Shape) -> Shape:
        """Delete a task set: its tasks stop. The primary one needs force, and the other takes its place."""
        service = self._find(request)
        chosen = _set_of(service, request["taskSet"])
        shape = _shape_of(service, chosen)
        if shape["status"] == "PRIMARY" and not request.get("force"):
            raise invalid_parameter("The task set is the primary task set of the service. Use force to delete it.")
        if len(service.deployments) == 1:
            raise invalid_parameter("The simulated service keeps its last task set: delete the service.")
        service.deployments.remove(chosen)
        left = service.deployments[0]
        left.beside_primary, service.primary_task_set, service.steady = False, left.id, False
        for task in service.live_tasks():
            self._lifecycle.reclassify(task)
        self._scheduler.wake(service)
        return {"taskSet": {**shape, "status": "DRAINING"}}

    def _find(self, request: Shape) -> Service:
        service = self._registry.cluster(request).services.get(last_part(request["service"]))
        if service is None:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        return service


def _set_of(service: Service, name: str) -> Deployment:
    sets = [] if service.rollout.controller is Controller.ECS else service.deployments
    found = next((one for one in sets if last_part(one.id) == last_part(name)), None)
    if found is None:
        raise AwsError("TaskSetNotFoundException", "The specified task set was not found.")
    return found


def _shape_of(service: Service, deployment: Deployment) -> Shape:
    sets: list[Shape] = service_shape(service)["taskSets"]
    return next(one for one in sets if one["id"] == deployment.id)
