"""Operations on tasks."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.core.model.capacity_provider import FARGATE_PROVIDERS
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.names import last_part
from bottlerocket_ecs_updater.simulator.aws_basics.paging import ECS_PAGES, list_page
from bottlerocket_ecs_updater.simulator.ecs.expressions import Predicate, parse_placement
from bottlerocket_ecs_updater.simulator.ecs.model import (
    ContainerInstance,
    Desired,
    InstanceStatus,
    Task,
)
from bottlerocket_ecs_updater.simulator.ecs.requests import (
    LIST_PAGE,
    UNKNOWN_NAME,
    arn_like,
    check_count,
    find_all,
    instance_of,
    invalid_parameter,
    task_of,
)
from bottlerocket_ecs_updater.simulator.ecs.shapes import task_shape
from bottlerocket_ecs_updater.simulator.ecs.specs import TaskLaunch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.ecs.lifecycle import Lifecycle
    from bottlerocket_ecs_updater.simulator.ecs.model import Cluster, TaskDefinition
    from bottlerocket_ecs_updater.simulator.ecs.registry import Registry
    from bottlerocket_ecs_updater.simulator.ecs.requests import Handler
    from bottlerocket_ecs_updater.simulator.ecs.scheduler import Scheduler
    from bottlerocket_ecs_updater.simulator.ecs.stale_reads import ReadHistory

TASKS_DESCRIBED = 100
STARTED_AT_ONCE = 10
PROTECTED_AT_ONCE = 10
UNSATISFIED = "MemberOf placement constraint unsatisfied."
PROTECTION_DEFAULT_MINUTES = 120
PROTECTION_MAX_MINUTES = 2880


class TaskOperations:
    """ListTasks, RunTask, StopTask and related operations."""

    def __init__(
        self,
        registry: Registry,
        lifecycle: Lifecycle,
        scheduler: Scheduler,
        reads: ReadHistory,
    ) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._scheduler = scheduler
        self._reads = reads

    def handlers(self) -> dict[str, Handler]:
        """By the operation's name."""
        return {
            "ListTasks": self.list_tasks,
            "DescribeTasks": self.describe,
            "RunTask": self.run,
            "StartTask": self.start,
            "StopTask": self.stop,
            "GetTaskProtection": self.get_protection,
            "UpdateTaskProtection": self.update_protection,
        }

    def list_tasks(self, request: Shape) -> Shape:
        """Tasks with desired status RUNNING, unless the request names another one."""
        cluster = self._registry.cluster(request)
        self._registry.forget_old_tasks(cluster)
        desired = request.get("desiredStatus", "RUNNING")
        if desired not in ("RUNNING", "PENDING", "STOPPED"):
            raise invalid_parameter("desiredStatus must be one of RUNNING, PENDING, STOPPED.")

        def wanted(task: Task) -> bool:
            return self._reads.desired(task) == desired and _matches(task, request)

        records = self._candidates(cluster, request)
        found, more = list_page(records, request, ECS_PAGES, LIST_PAGE, wanted=wanted)
        return {"taskArns": [task.arn for task in found]} | more

    def describe(self, request: Shape) -> Shape:
        """Up to 100."""
        cluster = self._registry.cluster(request)
        self._registry.forget_old_tasks(cluster)
        check_count(request["tasks"], TASKS_DESCRIBED, "Tasks")
        found, failures = find_all(request["tasks"], cluster.tasks, lambda name: arn_like(cluster, "task", name))
        return {"tasks": [self._reads.task(task) for task in found], "failures": failures}

    def run(self, request: Shape) -> Shape:
        """Place up to 10 tasks if there is room."""
        cluster = self._registry.cluster(request)
        definition = self._registry.definition(request["taskDefinition"])
        suits = _constraints(request, definition)
        count = request.get("count", 1)
        if not 1 <= count <= STARTED_AT_ONCE:
            raise invalid_parameter(f"count must be between 1 and {STARTED_AT_ONCE}.")
        tasks: list[Shape] = []
        failures: list[Shape] = []
        for _ in range(count):
            if _on_fargate(request):
                tasks.append(self._begin(cluster, definition, None, request))
            elif (instance := self._choose(cluster, definition, suits, request)) is not None:
                tasks.append(self._begin(cluster, definition, instance, request))
            else:
                failures.append(_no_room(cluster, definition, suits))
        return {"tasks": tasks, "failures": failures}

    def _choose(
        self, cluster: Cluster, definition: TaskDefinition, suits: Predicate, request: Shape
    ) -> ContainerInstance | None:
        """Choose an instance by the first placement strategy, or spread without one."""
        strategies = request.get("placementStrategy", [])
        if strategies and strategies[0].get("type") == "random":
            able = cluster.placement.able(definition.workload, suits)
            return self._registry.chances.choice(able) if able else None
        return cluster.placement.choose(definition.workload, suits=suits)

    def start(self, request: Shape) -> Shape:
        """Start a task on up to 10 named instances."""
        cluster = self._registry.cluster(request)
        check_count(request["containerInstances"], STARTED_AT_ONCE, "Container instances")
        definition = self._registry.definition(request["taskDefinition"])
        tasks: list[Shape] = []
        failures: list[Shape] = []
        found, failures = find_all(
            request["containerInstances"],
            cluster.instances,
            lambda name: arn_like(cluster, "container-instance", name),
        )
        for instance in found:
            if instance.status is not InstanceStatus.ACTIVE:
                failures.append({"arn": instance.arn, "reason": "INACTIVE"})
            elif not instance.agent_connected:
                failures.append({"arn": instance.arn, "reason": "AGENT"})
            elif (shortage := instance.shortage(definition.workload)) is not None:
                failures.append({"arn": instance.arn, "reason": shortage})
            else:
                tasks.append(self._begin(cluster, definition, instance, request))
        return {"tasks": tasks, "failures": failures}

    def stop(self, request: Shape) -> Shape:
        """Stop one task, as a person does."""
        cluster = self._registry.cluster(request)
        task = task_of(cluster, request["task"])
        self._lifecycle.stop(task, "UserInitiated", request.get("reason") or "Task stopped by user")
        return {"task": task_shape(task)}

    def get_protection(self, request: Shape) -> Shape:
        """Of the tasks that are named."""
        cluster = self._registry.cluster(request)
        found, failures = self._protectable(cluster, request.get("tasks", []))
        return {"protectedTasks": [self._protection_shape(task) for task in found], "failures": failures}

    def update_protection(self, request: Shape) -> Shape:
        """Protect service tasks from their scheduler, by default for two hours."""
        cluster = self._registry.cluster(request)
        check_count(request["tasks"], PROTECTED_AT_ONCE, "Tasks")
        minutes = request.get("expiresInMinutes", PROTECTION_DEFAULT_MINUTES)
        if not 1 <= minutes <= PROTECTION_MAX_MINUTES:
            raise invalid_parameter(f"expiresInMinutes must be between 1 and {PROTECTION_MAX_MINUTES}.")
        found, failures = self._protectable(cluster, request["tasks"])
        for task in found:
            lasts = timedelta(minutes=minutes) if request["protectionEnabled"] else timedelta()
            self._protect(task, lasts)
        return {"protectedTasks": [self._protection_shape(task) for task in found], "failures": failures}

    def _protect(self, task: Task, lasts: timedelta) -> None:
        service = task.service
        assert service is not None, "only tasks of services are protected"
        task.protected_until = self._registry.clock.now() + lasts if lasts else None
        self._registry.clock.after(lasts, lambda: self._scheduler.wake(service))

    def _protectable(self, cluster: Cluster, names: list[str]) -> tuple[list[Task], list[Shape]]:
        found, failures = find_all(names, cluster.tasks, lambda name: arn_like(cluster, "task", name))
        failures += [
            {"arn": task.arn, "reason": "TASK_NOT_VALID", "detail": "The task is not part of a service."}
            for task in found
            if task.service is None
        ]
        return [task for task in found if task.service is not None], failures

    def _protection_shape(self, task: Task) -> Shape:
        until = task.protected_until
        if until is None or until <= self._registry.clock.now():
            return {"taskArn": task.arn, "protectionEnabled": False}
        return {"taskArn": task.arn, "protectionEnabled": True, "expirationDate": until}

    def _begin(
        self, cluster: Cluster, definition: TaskDefinition, instance: ContainerInstance | None, request: Shape
    ) -> Shape:
        task = self._lifecycle.start(
            cluster,
            definition,
            instance,
            group=request.get("group", ""),
            started_by=request.get("startedBy", ""),
        )
        task.tags, task.overrides = list(request.get("tags", [])), dict(request.get("overrides", {}))
        return task_shape(task)

    def _candidates(self, cluster: Cluster, request: Shape) -> Iterable[Task]:
        """The smallest indexed set that contains all matches, ordered by number."""
        if request.get("containerInstance"):
            instance = instance_of(cluster, request["containerInstance"])
            return sorted([*instance.tasks.values(), *instance.ended.values()], key=_by_number)
        if request.get("serviceName"):
            service = cluster.services.get(last_part(request["serviceName"]))
            if service is None:
                raise AwsError("ServiceNotFoundException", "Service not found.")
            return sorted([*service.live_tasks(), *service.ended.values()], key=_by_number)
        return cluster.tasks.values()


def _matches(task: Task, request: Shape) -> bool:
    """Whether a task matches all filters."""
    service = request.get("serviceName")
    return (
        (not request.get("family") or task.definition.family == request["family"])
        and (not request.get("startedBy") or task.started_by == request["startedBy"])
        and (not request.get("launchType") or task.launch.value == request["launchType"])
        and (not service or (task.service is not None and task.service.name == last_part(service)))
    )


def _by_number(task: Task) -> int:
    return task.number


def _providers(request: Shape) -> list[str]:
    return [each["capacityProvider"] for each in request.get("capacityProviderStrategy", [])]


def _on_fargate(request: Shape) -> bool:
    providers = _providers(request)
    return FARGATE_PROVIDERS.issuperset(providers) if providers else request.get("launchType") == TaskLaunch.FARGATE


def _constraints(request: Shape, definition: TaskDefinition) -> Predicate:
    """Whether launch type, capacity providers and constraints allow a task on an instance.

    Raises InvalidParameterException.
    """
    launch, providers = TaskLaunch(request.get("launchType", TaskLaunch.EC2)), _providers(request)
    of_definition = definition.workload.member_of
    expressions: list[Predicate] = [parse_placement(of_definition)] if of_definition else []
    if providers:
        expressions.append(lambda instance: instance.spec.capacity_provider in providers)
    else:
        expressions.append(lambda instance: instance.launch is launch)
    for constraint in request.get("placementConstraints", []):
        match constraint.get("type"):
            case "memberOf":
                expressions.append(parse_placement(constraint.get("expression", "")))
            case "distinctInstance":
                expressions.append(partial(_has_none_of, request.get("group") or f"family:{definition.family}"))
            case other:
                raise invalid_parameter(f"The placement constraint {other} is not valid.")
    return lambda instance: all(holds(instance) for holds in expressions)


def _has_none_of(group: str, instance: ContainerInstance) -> bool:
    return all(task.group != group or task.desired is not Desired.RUNNING for task in instance.tasks.values())


def _no_room(cluster: Cluster, definition: TaskDefinition, suits: Predicate) -> Shape:
    for instance in cluster.placement:
        shortage = instance.shortage(definition.workload) or (UNKNOWN_NAME if suits(instance) else UNSATISFIED)
        return {"arn": instance.arn, "reason": shortage}
    return {
        "arn": cluster.arn,
        "reason": UNKNOWN_NAME,
        "detail": "No Container Instances were found in your cluster.",
    }
