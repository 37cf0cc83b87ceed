"""The tasks of a cluster, asked about as little as their nature allows.

What started a task and which group it is in never change, and STOPPED is final. So a task that was described once is
described again only where it matters whether it has stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from bottlerocket_ecs_updater.aws.api import Api
from bottlerocket_ecs_updater.aws.batches import chunks, pages
from bottlerocket_ecs_updater.aws.ecs_shapes import failures, service_of_group
from bottlerocket_ecs_updater.aws.operation import Operation
from bottlerocket_ecs_updater.aws.session import Pair
from bottlerocket_ecs_updater.core.fleet import Task
from bottlerocket_ecs_updater.core.ids import ContainerInstanceArn, TaskArn

if TYPE_CHECKING:
    from types_boto3_ecs import ECSClient
    from types_boto3_ecs.type_defs import ListTasksRequestTypeDef, TaskTypeDef

DESCRIBE_MAX = 100
"""DescribeTasks takes so many."""

MISSING = "MISSING"
NOWHERE = ContainerInstanceArn("")
"""Where a task of Fargate runs."""

DesiredStatus = Literal["RUNNING", "STOPPED"]


class EcsTasks:
    """The tasks of one cluster. `is_daemon` says of a service's name whether it is a daemon service."""

    def __init__(self, clients: Pair[ECSClient], api: Api, cluster: str, is_daemon: Callable[[str], bool]) -> None:
        self._clients = clients
        self._api = api
        self._cluster = cluster
        self._is_daemon = is_daemon
        self._running: dict[TaskArn, tuple[ContainerInstanceArn, Task]] = {}
        """Every task that was described, of those that were last listed as desired to run."""
        self._stopped: dict[ContainerInstanceArn, frozenset[TaskArn]] = {}

    def everywhere(self) -> Mapping[ContainerInstanceArn, tuple[Task, ...]]:
        """Every task that is desired to run, by container instance."""
        arns = self._list("RUNNING")
        self._running = {arn: self._running[arn] for arn in arns if arn in self._running}
        self._learn(arns)
        by_instance: dict[ContainerInstanceArn, list[Task]] = {}
        for where, task in self._running.values():
            if where != NOWHERE:
                by_instance.setdefault(where, []).append(task)
        return {where: self._left(tasks) for where, tasks in by_instance.items()}

    def running_on(self, instance: ContainerInstanceArn) -> tuple[Task, ...]:
        """The tasks on one container instance that are desired to run, and not STOPPED."""
        arns = self._list("RUNNING", instance)
        unknown = self._learn(arns)
        return self._left([*(self._running[arn][1] for arn in arns if arn in self._running), *unknown])

    def stopping_on(self, instance: ContainerInstanceArn) -> tuple[Task, ...]:
        """The tasks on one container instance that are desired to stop, and not STOPPED."""
        ended = self._stopped.get(instance, frozenset())
        listed = self._list("STOPPED", instance)
        found = self._describe([arn for arn in listed if arn not in ended])
        left = self._left([*(task for _, task in found.tasks.values()), *found.unknown])
        self._stopped[instance] = frozenset(listed) - {task.arn for task in left}
        return left

    def not_stopped(self, arns: Sequence[TaskArn]) -> frozenset[TaskArn]:
        """Those of these tasks that have not stopped, or of which ECS does not say so; gone ones have stopped."""
        found = self._describe(arns)
        for where, task in found.tasks.values():
            if task.stopped:
                self._stopped[where] = self._stopped.get(where, frozenset()) | {task.arn}
        left = [task for _, task in found.tasks.values() if not task.stopped]
        return frozenset(task.arn for task in [*left, *found.unknown])

    def _learn(self, arns: Iterable[TaskArn]) -> Sequence[Task]:
        """Describe those that are new to us; gives those about which ECS says nothing."""
        found = self._describe([arn for arn in arns if arn not in self._running])
        self._running |= found.tasks
        return found.unknown

    def _left(self, tasks: Iterable[Task]) -> tuple[Task, ...]:
        return tuple(self._marked(task) for task in tasks if not task.stopped)

    def _marked(self, task: Task) -> Task:
        daemon = self._is_daemon(service_of_group(task.group))
        return replace(task, daemon=True) if daemon else task

    def _list(self, desired: DesiredStatus, instance: ContainerInstanceArn | None = None) -> Sequence[TaskArn]:
        request: ListTasksRequestTypeDef = {"cluster": self._cluster, "desiredStatus": desired, "maxResults": 100}
        if instance is not None:
            request["containerInstance"] = instance

        def ask(token: str | None) -> tuple[Sequence[str], str | None]:
            asked: ListTasksRequestTypeDef = {**request, "nextToken": token} if token else request
            reply = self._api.look(Operation.LIST_TASKS, self._cluster, self._clients.looking.list_tasks, **asked)
            return reply.get("taskArns", ()), reply.get("nextToken")

        found = pages(ask, lambda page: page[1])
        return [TaskArn(arn) for arns, _ in found for arn in arns]

    def _describe(self, arns: Sequence[TaskArn]) -> _Found:
        found = _Found({}, [])
        for some in chunks(arns, DESCRIBE_MAX):
            reply = self._api.look(
                Operation.DESCRIBE_TASKS,
                self._cluster,
                self._clients.looking.describe_tasks,
                cluster=self._cluster,
                tasks=some,
            )
            for shape in reply.get("tasks", ()):
                where, task = _task(shape)
                found.tasks[task.arn] = where, task
            failed = failures(reply.get("failures"))
            for arn in some:
                why = failed.get(arn, "not described")
                if arn not in found.tasks and not why.startswith(MISSING):
                    found.unknown.append(Task(arn, why, "", ""))
        return found


@dataclass(frozen=True, slots=True)
class _Found:
    tasks: dict[TaskArn, tuple[ContainerInstanceArn, Task]]
    unknown: list[Task]
    """Neither described nor said to be gone: nothing may be assumed of them, least of all their end."""


def _task(shape: TaskTypeDef) -> tuple[ContainerInstanceArn, Task]:
    task = Task(
        arn=TaskArn(shape.get("taskArn", "")),
        last_status=shape.get("lastStatus", ""),
        started_by=shape.get("startedBy", ""),
        group=shape.get("group", ""),
    )
    return ContainerInstanceArn(shape.get("containerInstanceArn", "")), task
