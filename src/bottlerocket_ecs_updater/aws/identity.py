"""Finds out which ECS task this process is, because only the oldest running task of a family acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.request import Request

from bottlerocket_ecs_updater.aws.ecs_shapes import failures, missing_in, moment
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.batches import chunks
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.aws.transport.web import Terms, ask
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, TaskArn
from bottlerocket_ecs_updater.engine.store.read_json import Unreadable, read_object, text_of
from bottlerocket_ecs_updater.errors import Unreachable

if TYPE_CHECKING:
    from types_boto3_ecs import ECSClient
    from types_boto3_ecs.type_defs import ListTasksRequestTypeDef, TaskTypeDef

METADATA_VARIABLE = "ECS_CONTAINER_METADATA_URI_V4"
"""Set by ECS in every container. Source: "Amazon ECS task metadata endpoint version 4"."""

TASK_DEFINITION_VARIABLE = "TASK_DEFINITION_ARN"
"""Set by the stack that runs the updater. The predecessor used the same variable."""

METADATA = Terms(seconds=2.0, body_max=256 * 1024, direct=True)
"""The endpoint is local and its reply has a few thousand characters. It is called directly, never through a proxy."""

_RESOURCE_PREFIX = "task-definition/"
_ARN_SECTIONS = 6
_DESCRIBE_MAX = 100


@dataclass(frozen=True, slots=True)
class Identity:
    """The task that this process runs in."""

    family: str
    cluster: str
    """The cluster that runs this task, which may differ from the cluster that it updates; empty if unknown."""
    task: TaskArn | None
    """None if only the family is known."""


@dataclass(frozen=True, slots=True)
class Unidentified:
    """The task is unknown, usually because this process does not run in ECS."""

    why: str


@dataclass(frozen=True, slots=True)
class FamilyTask:
    """A running task of a family."""

    arn: TaskArn
    created_at: datetime
    where: ContainerInstanceArn
    """The container instance that it is placed on; empty on Fargate."""


def identify(environ: Mapping[str, str], fetch: Callable[[str], bytes] | None = None) -> Identity | Unidentified:
    """Read the task from the task metadata endpoint, or only its family from `TASK_DEFINITION_ARN`."""
    uri = environ.get(METADATA_VARIABLE, "")
    found = _from_metadata(uri, fetch or _fetch) if uri else Unidentified(f"{METADATA_VARIABLE} is not set")
    if isinstance(found, Identity):
        return found
    arn = environ.get(TASK_DEFINITION_VARIABLE, "")
    if not arn:
        return Unidentified(f"{found.why}, {TASK_DEFINITION_VARIABLE} is not set")
    try:
        return Identity(family_of(arn), "", None)
    except ValueError as error:
        return Unidentified(f"{found.why}, {TASK_DEFINITION_VARIABLE}: {error}")


def _from_metadata(uri: str, fetch: Callable[[str], bytes]) -> Identity | Unidentified:
    try:
        return read_object(fetch(f"{uri}/task"), _identity)
    except (OSError, HTTPException, Unreadable) as error:
        return Unidentified(f"the task metadata endpoint did not identify this task: {error!r}")


def _identity(metadata: Mapping[str, Any]) -> Identity:
    return Identity(text_of(metadata["Family"]), text_of(metadata["Cluster"]), TaskArn(text_of(metadata["TaskARN"])))


def family_of(task_definition_arn: str) -> str:
    """The family in a task definition's ARN. Raises ValueError for anything else."""
    if not task_definition_arn.startswith("arn:"):
        raise ValueError(f"not an ARN (an ARN begins with arn:): {task_definition_arn!r}")
    sections = task_definition_arn.split(":", _ARN_SECTIONS - 1)
    if len(sections) < _ARN_SECTIONS:
        raise ValueError(f"an ARN has {_ARN_SECTIONS} sections, this one has fewer: {task_definition_arn!r}")
    _, found, family = sections[-1].partition(_RESOURCE_PREFIX)
    if not found or not family.split(":")[0]:
        raise ValueError(f"not the ARN of a task definition: {task_definition_arn!r}")
    return family.split(":")[0]


def running_tasks_of_family(clients: Pair[ECSClient], api: Api, cluster: str, family: str) -> Sequence[FamilyTask]:
    """The tasks of a family with desired status RUNNING, oldest first. Every caller gets the same order.

    Raises Unreachable if ECS does not describe a task that it listed: that may be the oldest one.
    """
    request: ListTasksRequestTypeDef = {"cluster": cluster, "family": family, "maxResults": 100}
    replies = api.look_at_pages(Operation.LIST_TASKS, cluster, clients.looking.list_tasks, request)
    arns = [arn for reply in replies for arn in reply.get("taskArns", ())]
    shapes: list[TaskTypeDef] = []
    missing: set[str] = set()
    for some in chunks(arns, _DESCRIBE_MAX):
        reply = api.look(Operation.DESCRIBE_TASKS, cluster, clients.looking.describe_tasks, cluster=cluster, tasks=some)
        shapes += reply.get("tasks", ())
        missing |= missing_in(failures(reply.get("failures")))
    unknown = set(arns) - missing - {shape.get("taskArn") for shape in shapes}
    if unknown:
        raise Unreachable(f"ECS lists {len(unknown)} tasks of family {family} that it does not describe")
    tasks = (
        FamilyTask(
            TaskArn(shape.get("taskArn", "")),
            moment(shape.get("createdAt")),
            ContainerInstanceArn(shape.get("containerInstanceArn", "")),
        )
        for shape in shapes
        if shape.get("lastStatus") != "STOPPED"
    )
    return sorted(tasks, key=lambda task: (task.created_at, task.arn))


def _fetch(url: str) -> bytes:
    reply = ask(Request(url), METADATA)  # noqa: S310 - ECS sets it
    if reply.status != 200:
        raise HTTPException(f"status {reply.status}")
    return reply.body
