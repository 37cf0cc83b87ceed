"""Cut from the long replies what nobody here reads, before botocore parses them value by value.

A container instance comes with dozens of capabilities and its resources twice, a service with a hundred events.
The capabilities, which are names only, are put together in one attribute. What an instance has for tasks while none is
on it is read only of instances of a capacity provider: new ones would be like them.
Of a cluster of thousands, on a quarter of a processor, reading all that would take longer than asking for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from bottlerocket_ecs_updater.core.capacity.host_room import CAPABILITY
from bottlerocket_ecs_updater.engine.store.read_json import MISFITS

KEPT: Mapping[str, tuple[str, frozenset[str]]] = {
    "DescribeContainerInstances": (
        "containerInstances",
        frozenset(
            {
                "agentConnected",
                "attributes",
                "capacityProviderName",
                "containerInstanceArn",
                "ec2InstanceId",
                "healthStatus",
                "pendingTasksCount",
                "registeredAt",
                "registeredResources",
                "remainingResources",
                "runningTasksCount",
                "status",
                "versionInfo",
            }
        ),
    ),
    "DescribeServices": (
        "services",
        frozenset(
            {
                "capacityProviderStrategy",
                "deploymentConfiguration",
                "deployments",
                "desiredCount",
                "events",
                "launchType",
                "placementConstraints",
                "runningCount",
                "schedulingStrategy",
                "serviceArn",
                "serviceName",
                "status",
                "taskDefinition",
                "taskSets",
            }
        ),
    ),
    "DescribeTasks": (
        "tasks",
        frozenset(
            {
                "attachments",
                "containerInstanceArn",
                "containers",
                "createdAt",
                "group",
                "lastStatus",
                "startedBy",
                "stopCode",
                "stoppedAt",
                "stoppedReason",
                "taskArn",
                "taskDefinitionArn",
            }
        ),
    ),
}
"""What is read of each item, by operation, with the name of the list that it is in."""

RESOURCE_KEPT = ("name", "integerValue", "stringSetValue")
_RESOURCES = frozenset({"registeredResources", "remainingResources"})
DEPLOYMENT_KEPT = ("status", "rolloutState", "createdAt", "launchType", "capacityProviderStrategy")

CONTAINER_KEPT = ("exitCode", "reason")


class Events(Protocol):
    """What of botocore's event system is used."""

    def register(self, event_name: str, handler: Callable[..., None], /) -> None:
        """Have a handler called when something happens."""


def trim_replies(events: Events) -> None:
    """Have the replies of one client of ECS trimmed."""
    for operation, (items, kept) in KEPT.items():
        events.register(f"before-parse.ecs.{operation}", _trimmer(items, kept))


def _trimmer(items: str, kept: frozenset[str]) -> Callable[..., None]:
    def trim_reply(response_dict: dict[str, Any], **_: object) -> None:
        response_dict["body"] = trimmed(response_dict["body"], items, kept)

    return trim_reply


def trimmed(body: bytes, items: str, kept: frozenset[str]) -> bytes:
    """A reply's body with less in it; one that is not as expected stays as it is, for botocore to judge."""
    try:
        reply = json.loads(body)
        reply[items] = [_trimmed_item(item, kept) for item in reply[items]]
        return json.dumps(reply).encode()
    except MISFITS:
        return body


def _trimmed_item(item: Mapping[str, Any], kept: frozenset[str]) -> dict[str, Any]:
    less = {name: value for name, value in item.items() if name in kept}
    if "attributes" in less:
        less["attributes"] = _trimmed_attributes(less["attributes"])
    if "capacityProviderName" not in less:
        less.pop("registeredResources", None)
    for name in _RESOURCES & less.keys():
        less[name] = [{name: one.get(name) for name in RESOURCE_KEPT} for one in less[name]]
    if "attachments" in less:
        less["attachments"] = [{"type": one.get("type")} for one in less["attachments"]]
    if "versionInfo" in less:
        less["versionInfo"] = {"agentVersion": less["versionInfo"].get("agentVersion", "")}
    for rollouts in ("deployments", "taskSets"):
        if rollouts in less:
            less[rollouts] = [{name: one.get(name) for name in DEPLOYMENT_KEPT} for one in less[rollouts]]
    if "containers" in less:
        # Only of what has stopped anybody asks how its containers ended.
        stopped = less["containers"] if less.get("lastStatus") == "STOPPED" else []
        less["containers"] = [{name: one.get(name) for name in CONTAINER_KEPT} for one in stopped]
    if "events" in less:
        # Most services have a hundred events which say that they are steady.
        less["events"] = [_trimmed_event(one) for one in less["events"] if any(t in one["message"] for t in TELLING)]
    return less


def _trimmed_attributes(attributes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    names = [one["name"] for one in attributes if is_capability(one)]
    return [
        *(one for one in attributes if not is_capability(one)),
        {"name": CAPABILITIES, "value": " ".join(names)},
    ]


def _trimmed_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """When tasks were started or stopped, and how many; which ones, in a long list, nobody reads."""
    text, _, _ = event["message"].partition(" tasks")
    return {"message": f"{text} tasks", "createdAt": event["createdAt"]}


CAPABILITIES = f"{CAPABILITY}*"
"""Under this name `aws/transport/trimming.py` puts the names of all capabilities together, with blanks between them."""


TELLING = ("has started ", "has stopped ")
"""What is in the events that are read."""


def is_capability(shape: Mapping[str, Any]) -> bool:
    """Whether an attribute says what an agent can do: by a name without a value."""
    return shape.get("name", "").startswith(CAPABILITY) and not shape.get("value")
