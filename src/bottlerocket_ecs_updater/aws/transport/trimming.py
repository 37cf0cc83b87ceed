"""Removes unused parts of long ECS responses, before botocore parses them value by value.

A container instance has dozens of capabilities and lists its resources twice; a service has a hundred events.
Capabilities are only names, so they are joined into one attribute. Registered resources are kept only for instances of
a capacity provider, because they show the size of new instances.
For a cluster of thousands, on a quarter vCPU, parsing everything would take longer than the calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.hooks import BaseEventHooks

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
                "enableExecuteCommand",
                "events",
                "launchType",
                "networkConfiguration",
                "pendingCount",
                "placementConstraints",
                "placementStrategy",
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
                "desiredStatus",
                "startedAt",
                "executionStoppedAt",
                "stopCode",
                "stoppedAt",
                "stoppedReason",
                "taskArn",
                "taskDefinitionArn",
            }
        ),
    ),
}
"""By operation: the name of the response's list, and the keys to keep in each of its items."""

RESOURCE_KEPT = ("name", "integerValue", "stringSetValue")
_RESOURCES = frozenset({"registeredResources", "remainingResources"})
DEPLOYMENT_KEPT = (
    "status",
    "rolloutState",
    "createdAt",
    "launchType",
    "capacityProviderStrategy",
    "taskDefinition",
    "networkConfiguration",
    "computedDesiredCount",
    "runningCount",
    "pendingCount",
)
"""What is kept of a deployment or task set. With an external controller, only task sets have a task definition."""

CONTAINER_KEPT = ("exitCode", "reason")


def trim_replies(events: BaseEventHooks) -> None:
    """Trim the responses of an ECS client."""
    for operation, (items, kept) in KEPT.items():
        events.register(f"before-parse.ecs.{operation}", _trimmer(items, kept))


def _trimmer(items: str, kept: frozenset[str]) -> Callable[..., None]:
    def trim_reply(response_dict: dict[str, Any], **_: object) -> None:
        response_dict["body"] = trimmed(response_dict["body"], items, kept)

    return trim_reply


def trimmed(body: bytes, items: str, kept: frozenset[str]) -> bytes:
    """A trimmed response body. An unexpected body is returned unchanged, for botocore to handle."""
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
            less[rollouts] = [_trimmed_deployment(one) for one in less[rollouts]]
    if "containers" in less:
        # Only stopped tasks need their containers' exit codes.
        stopped = less["containers"] if less.get("lastStatus") == "STOPPED" else []
        less["containers"] = [{name: one.get(name) for name in CONTAINER_KEPT} for one in stopped]
    if "events" in less:
        # Most services have a hundred events that only say "steady state".
        less["events"] = [
            _trimmed_event(one) for one in less["events"] if any(t in one["message"] for t in EVENTS_READ)
        ]
    return less


def _trimmed_deployment(deployment: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of Service Connect, only whether it is on."""
    connect = deployment.get("serviceConnectConfiguration")
    kept = {name: deployment.get(name) for name in DEPLOYMENT_KEPT}
    return {**kept, "serviceConnectConfiguration": {"enabled": connect.get("enabled")}} if connect else kept


def _trimmed_attributes(attributes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    names = [one["name"] for one in attributes if is_capability(one)]
    return [
        *(one for one in attributes if not is_capability(one)),
        {"name": CAPABILITIES, "value": " ".join(names)},
    ]


def _trimmed_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """When tasks were started or stopped, and how many. The long list of task ids is dropped."""
    text, _, _ = event["message"].partition(" tasks")
    return {"message": f"{text} tasks", "createdAt": event["createdAt"]}


CAPABILITIES = f"{CAPABILITY}*"
"""The attribute that holds the names of all capabilities, separated by spaces."""


EVENTS_READ = ("has started ", "has stopped ", " is unhealthy ", " failed container health ", " unable to place ")
"""The text of events that are read."""


def is_capability(shape: Mapping[str, Any]) -> bool:
    """Whether an attribute is an agent capability: a name without a value."""
    return shape.get("name", "").startswith(CAPABILITY) and not shape.get("value")
