"""Request parsing shared by operations: limits, and lookups by id or ARN."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.names import last_part

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.ecs.model import Cluster, ContainerInstance, Task

Handler = Callable[["Shape"], "Shape"]
RecordT = TypeVar("RecordT")

UNKNOWN_NAME = "MISSING"

LIST_PAGE = 100
"""The most that a page of a list may have, and how many it has by default."""


def invalid_parameter(message: str) -> AwsError:
    """InvalidParameterException, which ECS returns for most mistakes."""
    return AwsError("InvalidParameterException", message)


def check_count(values: Iterable[object], limit: int, what: str) -> None:
    """Reject a list that is empty or longer than the API allows."""
    count = len(list(values))
    if count == 0:
        raise invalid_parameter(f"{what} cannot be empty.")
    if count > limit:
        raise invalid_parameter(f"{what} can have at most {limit} items.")


def find_all(
    asked: Iterable[str], known: Mapping[str, RecordT], arn_of: Callable[[str], str]
) -> tuple[list[RecordT], list[Shape]]:
    """The records that exist, and a failure for each of the others."""
    found: list[RecordT] = []
    failures: list[Shape] = []
    for name in asked:
        arn = name if name.startswith("arn:") else arn_of(name)
        record = known.get(arn)
        if record is None:
            failures.append({"arn": arn, "reason": UNKNOWN_NAME})
        else:
            found.append(record)
    return found, failures


def arn_like(cluster: Cluster, kind: str, name: str) -> str:
    """The ARN of a resource in a cluster, from its short id or ARN."""
    if name.startswith("arn:"):
        return name
    return cluster.arn.replace(":cluster/", f":{kind}/") + f"/{last_part(name)}"


def instance_of(cluster: Cluster, name: str) -> ContainerInstance:
    """The container instance that a request names. Raises InvalidParameterException."""
    found = cluster.instances.get(arn_like(cluster, "container-instance", name))
    if found is None:
        raise invalid_parameter("Container instance not found.")
    return found


def task_of(cluster: Cluster, name: str) -> Task:
    """The task that a request names. Raises InvalidParameterException."""
    found = cluster.tasks.get(arn_like(cluster, "task", name))
    if found is None:
        raise invalid_parameter("The referenced task was not found.")
    return found
