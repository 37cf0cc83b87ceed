"""The tasks of a cluster, read with as few calls as possible.

A task's group and its `startedBy` never change, and STOPPED is final. So a task is described once, and again only to
find out whether it has stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from sys import intern
from typing import TYPE_CHECKING, Literal

from bottlerocket_ecs_updater.aws.ecs_shapes import failures, missing_in, moment
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.batches import chunks
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.core.model.container_instance import LiveTask, Task, TaskEnd, TaskStatus
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, TaskArn

if TYPE_CHECKING:
    from types_boto3_ecs import ECSClient
    from types_boto3_ecs.type_defs import DescribeTasksResponseTypeDef, ListTasksRequestTypeDef, TaskTypeDef

DESCRIBE_MAX = 100
"""Limit of DescribeTasks."""

TASKS_PER_CALL = 100
"""Page size of ListTasks."""

ENDED_MAX = 300
"""Limit of stopped tasks to read for one service: enough to see why its tasks keep failing."""

ENDED_PAGES = 20
"""Limit of pages of ListTasks for the stopped tasks of one service."""

INTERFACE, VOLUME = "ElasticNetworkInterface", "AmazonElasticBlockStorage"
"""Types of attachments of a task. Source: botocore's model of ECS."""

NO_INSTANCE = ContainerInstanceArn("")
"""A placeholder for the container instance of a Fargate task."""

DesiredStatus = Literal["RUNNING", "STOPPED"]


class EcsTasks:
    """The tasks of one cluster. `is_daemon` takes a service name and returns whether it is a daemon service."""

    def __init__(self, clients: Pair[ECSClient], api: Api, cluster: str, is_daemon: Callable[[str], bool]) -> None:
        self._clients = clients
        self._api = api
        self._cluster = cluster
        self._is_daemon = is_daemon
        self._running: dict[TaskArn, tuple[ContainerInstanceArn, Task]] = {}
        """Described tasks, limited to those in the last list with desired status RUNNING."""
        self._ended: dict[TaskArn, datetime | None] = {}
        """Tasks known to have stopped, which is final, and when, if ECS said so."""

    def everywhere(self) -> Mapping[ContainerInstanceArn, tuple[Task, ...]]:
        """All tasks with desired status RUNNING, by container instance."""
        arns = self._list("RUNNING")
        self._running = {arn: self._running[arn] for arn in arns if arn in self._running}
        self._learn(arns)
        by_instance: dict[ContainerInstanceArn, list[Task]] = {}
        for where, task in self._running.values():
            if where != NO_INSTANCE:
                by_instance.setdefault(where, []).append(task)
        return {where: self._left(tasks) for where, tasks in by_instance.items()}

    def running_on(self, instances: Sequence[ContainerInstanceArn]) -> Mapping[ContainerInstanceArn, tuple[Task, ...]]:
        """Tasks with desired status RUNNING that are not STOPPED on these instances; may include other instances."""
        if _one_listing_is_less(len(instances), len(self._running)):
            everywhere = self.everywhere()
            return {**everywhere, **{instance: everywhere.get(instance, ()) for instance in instances}}
        listed = {instance: self._list("RUNNING", instance) for instance in instances}
        unknown = {task.arn: task for task in self._learn([arn for arns in listed.values() for arn in arns])}
        known = {arn: task for arn, (_, task) in self._running.items()} | unknown
        return {instance: self._left(known[arn] for arn in arns if arn in known) for instance, arns in listed.items()}

    def stopping_on(self, instances: Sequence[ContainerInstanceArn]) -> Mapping[ContainerInstanceArn, tuple[Task, ...]]:
        """Tasks with desired status STOPPED that are not STOPPED yet on these container instances.

        If ECS does not describe a task, it may be on any of them: it counts for each.
        """
        if _one_listing_is_less(len(instances), len(self._ended)):
            arns = self._list("STOPPED")
            self._ended = {arn: self._ended[arn] for arn in arns if arn in self._ended}
            listed = dict.fromkeys(instances, arns)
        else:
            listed = {instance: self._list("STOPPED", instance) for instance in instances}
        found = self._describe_open({arn for arns in listed.values() for arn in arns})
        unknown = {task.arn: task for task in found.unknown}
        return {
            instance: self._left(
                [
                    *(task for where, task in found.tasks.values() if where == instance),
                    *(unknown[arn] for arn in arns if arn in unknown),
                ]
            )
            for instance, arns in listed.items()
        }

    def stopped(self, arns: Sequence[TaskArn]) -> Mapping[TaskArn, datetime | None]:
        """The tasks among these that have stopped, and when. MISSING tasks have stopped at an unknown time."""
        found = self._describe_open(arns)
        open_ = (task for _, task in found.tasks.values() if not task.stopped)
        left = {task.arn for task in (*open_, *found.unknown)}
        return {arn: self._ended.get(arn) for arn in arns if arn not in left}

    def ended_of(self, service: str) -> Sequence[TaskEnd]:
        """The stopped tasks of a service that ECS still lists, at most `ENDED_MAX`.

        ECS lists tasks in no documented order. So of a longer list, both ends are read.
        """
        listed = self._list("STOPPED", service=service, most_pages=ENDED_PAGES)
        arns = listed if len(listed) <= ENDED_MAX else [*listed[: ENDED_MAX // 2], *listed[-ENDED_MAX // 2 :]]
        shapes = (shape for reply in self._described(arns) for shape in reply.get("tasks", ()))
        return [_end(shape) for shape in shapes if shape.get("lastStatus") == "STOPPED"]

    def alive(self, *, service: str = "", instance: ContainerInstanceArn | None = None) -> Sequence[LiveTask]:
        """The tasks with desired status RUNNING of a service, or on an instance, described now; at most `ENDED_MAX`."""
        arns = self._list("RUNNING", instance, service)[:ENDED_MAX]
        shapes = (shape for reply in self._described(arns) for shape in reply.get("tasks", ()))
        return [_alive(shape) for shape in shapes if shape.get("desiredStatus") != "STOPPED"]

    def _describe_open(self, arns: Iterable[TaskArn]) -> _Found:
        """Describe the tasks among these that are not known to have stopped."""
        found = self._describe(sorted(arn for arn in arns if arn not in self._ended))
        self._ended |= {arn: task.stopped_at for arn, (_, task) in found.tasks.items() if task.stopped}
        return found

    def _learn(self, arns: Iterable[TaskArn]) -> Sequence[Task]:
        """Describe new tasks. Returns those that ECS does not describe."""
        found = self._describe([arn for arn in arns if arn not in self._running])
        self._running |= found.tasks
        return found.unknown

    def _left(self, tasks: Iterable[Task]) -> tuple[Task, ...]:
        return tuple(self._marked(task) for task in tasks if not task.stopped)

    def _marked(self, task: Task) -> Task:
        return replace(task, daemon=True) if self._is_daemon(task.service) else task

    def _list(
        self,
        desired: DesiredStatus,
        instance: ContainerInstanceArn | None = None,
        service: str = "",
        most_pages: int | None = None,
    ) -> Sequence[TaskArn]:
        request: ListTasksRequestTypeDef = {
            "cluster": self._cluster,
            "desiredStatus": desired,
            "maxResults": TASKS_PER_CALL,
        }
        if instance is not None:
            request["containerInstance"] = instance
        if service:
            request["serviceName"] = service
        method = self._clients.looking.list_tasks
        replies = self._api.look_at_pages(Operation.LIST_TASKS, self._cluster, method, request)
        return [TaskArn(arn) for reply in islice(replies, most_pages) for arn in reply.get("taskArns", ())]

    def _describe(self, arns: Sequence[TaskArn]) -> _Found:
        found, failed = _Found({}, []), dict[str, str]()
        for reply in self._described(arns):
            for shape in reply.get("tasks", ()):
                where, task = _task(shape)
                found.tasks[task.arn] = where, task
            failed |= failures(reply.get("failures"))
        missing = missing_in(failed)
        left_out = [arn for arn in arns if arn not in found.tasks and arn not in missing]
        return replace(found, unknown=[Task(arn, TaskStatus.OTHER, "", "") for arn in left_out])

    def _described(self, arns: Sequence[TaskArn]) -> Iterator[DescribeTasksResponseTypeDef]:
        method = self._clients.looking.describe_tasks
        for some in chunks(arns, DESCRIBE_MAX):
            yield self._api.look(Operation.DESCRIBE_TASKS, self._cluster, method, cluster=self._cluster, tasks=some)


def _end(shape: TaskTypeDef) -> TaskEnd:
    containers = shape.get("containers") or ()
    codes = [one["exitCode"] for one in containers if one.get("exitCode") is not None]
    code = next((one for one in codes if one), codes[0] if codes else None)
    said = [shape.get("stoppedReason", ""), *(one.get("reason", "") for one in containers)]
    if code is not None:
        said.append(f"exit code {code}")
    launched, stopped = moment(shape.get("createdAt")), moment(shape.get("stoppedAt"))
    return TaskEnd(
        where=ContainerInstanceArn(shape.get("containerInstanceArn", "")),
        group=shape.get("group", ""),
        code=shape.get("stopCode", ""),
        why=", ".join(dict.fromkeys(filter(None, said))),
        exit_code=code,
        stopped_at=stopped,
        launched_at=launched,
        deployment=shape.get("startedBy", ""),
        ran_for=_ran_for(shape),
    )


def _ran_for(shape: TaskTypeDef) -> timedelta | None:
    """From its start to the end of its containers; None if it never started."""
    started, ended = shape.get("startedAt"), shape.get("executionStoppedAt") or shape.get("stoppedAt")
    return moment(ended) - moment(started) if started is not None and ended is not None else None


def _alive(shape: TaskTypeDef) -> LiveTask:
    started = shape.get("startedAt")
    return LiveTask(
        arn=TaskArn(shape.get("taskArn", "")),
        where=ContainerInstanceArn(shape.get("containerInstanceArn", "")),
        group=shape.get("group", ""),
        deployment=shape.get("startedBy", ""),
        launched_at=moment(shape.get("createdAt")),
        started_at=moment(started) if started is not None else None,
    )


def _one_listing_is_less(instances: int, tasks: int) -> bool:
    """Whether listing the whole cluster takes fewer calls than one list per instance."""
    return instances > 1 + tasks // TASKS_PER_CALL


@dataclass(frozen=True, slots=True)
class _Found:
    tasks: dict[TaskArn, tuple[ContainerInstanceArn, Task]]
    unknown: list[Task]
    """Neither described nor MISSING: do not assume anything, above all not that they have stopped."""


def _launched_at(shape: TaskTypeDef) -> datetime | None:
    """When it was created, for a task that no service started; there are many of the others."""
    created = shape.get("createdAt")
    of_service = shape.get("startedBy", "").startswith("ecs-svc/")
    return moment(created) if created is not None and not of_service else None


def _task(shape: TaskTypeDef) -> tuple[ContainerInstanceArn, Task]:
    task = Task(
        arn=TaskArn(shape.get("taskArn", "")),
        last_status=TaskStatus(shape.get("lastStatus", "")),
        started_by=intern(shape.get("startedBy", "")),
        group=intern(shape.get("group", "")),
        family=intern(shape.get("taskDefinitionArn", "").rpartition("/")[2].partition(":")[0]),
        own_interface=any(one.get("type") == INTERFACE for one in shape.get("attachments") or ()),
        own_volume=any(one.get("type") == VOLUME for one in shape.get("attachments") or ()),
        launched_at=_launched_at(shape),
        stopped_at=moment(shape["stoppedAt"]) if shape.get("stoppedAt") is not None else None,
    )
    return ContainerInstanceArn(intern(shape.get("containerInstanceArn", ""))), task
