"""Operations on container instances and their attributes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.paging import ECS_PAGES, list_page
from bottlerocket_ecs_updater.simulator.ecs.agents import BUILT_IN_PREFIXES
from bottlerocket_ecs_updater.simulator.ecs.expressions import parse_placement
from bottlerocket_ecs_updater.simulator.ecs.model import SETTABLE, ContainerInstance, Desired, InstanceStatus
from bottlerocket_ecs_updater.simulator.ecs.requests import (
    LIST_PAGE,
    arn_like,
    check_count,
    find_all,
    instance_of,
    invalid_parameter,
)
from bottlerocket_ecs_updater.simulator.ecs.shapes import instance_shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.ecs.agents import Agents
    from bottlerocket_ecs_updater.simulator.ecs.model import Cluster
    from bottlerocket_ecs_updater.simulator.ecs.registry import Registry
    from bottlerocket_ecs_updater.simulator.ecs.requests import Handler
    from bottlerocket_ecs_updater.simulator.ecs.stale_reads import ReadHistory

INSTANCES_DESCRIBED = 100
UPDATED_AT_ONCE = 10
ATTRIBUTES_AT_ONCE = 10
CUSTOM_ATTRIBUTES = 10
_NAME = re.compile(r"[A-Za-z0-9_./\\-]{1,128}")
_VALUE = re.compile(r"(?! )[A-Za-z0-9_.@/\\: -]{1,128}(?<! )")
_LISTABLE = ("ACTIVE", "DRAINING", "REGISTERING", "DEREGISTERING", "REGISTRATION_FAILED")


class InstanceOperations:
    """ListContainerInstances and related operations."""

    def __init__(self, registry: Registry, reads: ReadHistory, agents: Agents) -> None:
        self._registry = registry
        self._agents = agents
        self._reads = reads

    def handlers(self) -> dict[str, Handler]:
        """By the operation's name."""
        return {
            "ListContainerInstances": self.list_instances,
            "DescribeContainerInstances": self.describe,
            "UpdateContainerInstancesState": self.update_state,
            "DeregisterContainerInstance": self.deregister,
            "ListAttributes": self.list_attributes,
            "PutAttributes": self.put_attributes,
            "DeleteAttributes": self.delete_attributes,
        }

    def list_instances(self, request: Shape) -> Shape:
        """All except INACTIVE ones, unless the request names a status."""
        cluster = self._registry.cluster(request)
        status = request.get("status")
        if status is not None and status not in _LISTABLE:
            raise invalid_parameter(f"Container instance status must be one of {', '.join(_LISTABLE)}.")
        matches = parse_placement(request["filter"]) if request.get("filter") else lambda _: True

        def wanted(instance: ContainerInstance) -> bool:
            listed = instance.status is not InstanceStatus.INACTIVE and status in (None, instance.status.value)
            return listed and matches(instance)

        records = cluster.instances.values()
        found, more = list_page(records, request, ECS_PAGES, LIST_PAGE, wanted=wanted)
        return {"containerInstanceArns": [instance.arn for instance in found]} | more

    def describe(self, request: Shape) -> Shape:
        """Up to 100."""
        cluster = self._registry.cluster(request)
        check_count(request["containerInstances"], INSTANCES_DESCRIBED, "Container instances")
        found, failures = self._find(cluster, request)
        asked = "CONTAINER_INSTANCE_HEALTH" in request.get("include", ())
        shapes = [self._reads.instance(one) | (self._registry.health(one) if asked else {}) for one in found]
        return {"containerInstances": shapes, "failures": failures}

    def update_state(self, request: Shape) -> Shape:
        """ACTIVE or DRAINING, for up to 10."""
        cluster = self._registry.cluster(request)
        if request["status"] not in SETTABLE:
            raise invalid_parameter("Container instances status should be one of [DRAINING,ACTIVE].")
        check_count(request["containerInstances"], UPDATED_AT_ONCE, "Container instances")
        found, failures = self._find(cluster, request)
        updated: list[Shape] = []
        for instance in found:
            if instance.status not in SETTABLE:
                failures.append({"arn": instance.arn, "reason": instance.status.value})
            else:
                self._set_status(instance, InstanceStatus(request["status"]))
                updated.append(instance_shape(instance))
        return {"containerInstances": updated, "failures": failures}

    def _set_status(self, instance: ContainerInstance, status: InstanceStatus) -> None:
        if instance.status is status:
            return
        instance.status = status
        instance.drained_by = self._registry.actor if status is InstanceStatus.DRAINING else None
        self._registry.instance_changed(instance)

    def _find(self, cluster: Cluster, request: Shape) -> tuple[list[ContainerInstance], list[Shape]]:
        known = cluster.instances
        if not self._registry.timing.describes_deregistered:
            known = {arn: one for arn, one in known.items() if one.status is not InstanceStatus.INACTIVE}
        return find_all(
            request["containerInstances"],
            known,
            lambda name: arn_like(cluster, "container-instance", name),
        )

    def deregister(self, request: Shape) -> Shape:
        """Set one INACTIVE. If it has tasks, only with force, and then the tasks are orphaned."""
        cluster = self._registry.cluster(request)
        instance = instance_of(cluster, request["containerInstance"])
        if instance.status is InstanceStatus.INACTIVE:
            raise invalid_parameter("Referenced container instance not found.")
        running = any(task.desired is Desired.RUNNING for task in instance.tasks.values())
        if running and not request.get("force"):
            raise invalid_parameter("Found running tasks on the instance.")
        self._agents.deregister(instance, f"Instance deregistration forced by {self._registry.actor or 'somebody'}")
        return {"containerInstance": instance_shape(instance)}

    def list_attributes(self, request: Shape) -> Shape:
        """The attributes of container instances, by name and value."""
        cluster = self._registry.cluster(request)
        if request["targetType"] != "container-instance":
            raise invalid_parameter("targetType must be container-instance.")
        found, more = list_page(_matching_attributes(cluster, request), request, ECS_PAGES, LIST_PAGE)
        return {"attributes": [attribute.shape for attribute in found]} | more

    def put_attributes(self, request: Shape) -> Shape:
        """Set up to 10, all or none."""
        cluster = self._registry.cluster(request)
        check_count(request["attributes"], ATTRIBUTES_AT_ONCE, "Attributes")
        targets = [_target(cluster, attribute) for attribute in request["attributes"]]
        planned: dict[str, set[str]] = {}
        for instance, attribute in zip(targets, request["attributes"], strict=True):
            _check_attribute(attribute)
            names = planned.setdefault(instance.arn, set(instance.custom))
            names.add(attribute["name"])
            if len(names) > CUSTOM_ATTRIBUTES:
                raise AwsError(
                    "AttributeLimitExceededException",
                    f"You can apply up to {CUSTOM_ATTRIBUTES} custom attributes for each resource.",
                )
        for instance, attribute in zip(targets, request["attributes"], strict=True):
            instance.custom[attribute["name"]] = attribute.get("value")
            self._registry.instance_changed(instance)
        return {"attributes": _echo(targets, request["attributes"])}

    def delete_attributes(self, request: Shape) -> Shape:
        """Delete up to 10 by name; a missing one is not an error."""
        cluster = self._registry.cluster(request)
        check_count(request["attributes"], ATTRIBUTES_AT_ONCE, "Attributes")
        targets = [_target(cluster, attribute) for attribute in request["attributes"]]
        for attribute in request["attributes"]:
            if attribute["name"].startswith(BUILT_IN_PREFIXES):
                raise invalid_parameter(f"The attribute {attribute['name']} cannot be deleted.")
        for instance, attribute in zip(targets, request["attributes"], strict=True):
            value = attribute.get("value")
            if value is None or instance.custom.get(attribute["name"]) == value:
                instance.custom.pop(attribute["name"], None)
                self._registry.instance_changed(instance)
        return {"attributes": _echo(targets, request["attributes"])}


class _Listed:
    """One attribute of one instance, numbered for paging."""

    __slots__ = ("number", "shape")

    def __init__(self, instance: ContainerInstance, name: str, value: str | None, place: int) -> None:
        # An instance has far fewer than 1,000 attributes, so this keeps the order of instances.
        self.number = instance.number * 1000 + place
        self.shape = {"name": name, "targetId": instance.arn}
        if value is not None:
            self.shape["value"] = value


def _matching_attributes(cluster: Cluster, request: Shape) -> Iterator[_Listed]:
    name, value = request.get("attributeName"), request.get("attributeValue")
    for instance in cluster.instances.values():
        if instance.status is InstanceStatus.INACTIVE:
            continue
        for place, (key, have) in enumerate({**instance.built_in, **instance.custom}.items()):
            if name in (None, key) and value in (None, have):
                yield _Listed(instance, key, have, place)


def _target(cluster: Cluster, attribute: Shape) -> ContainerInstance:
    target = attribute.get("targetId", "")
    if not target.startswith("arn:") and attribute.get("targetType") != "container-instance":
        raise invalid_parameter("targetType is required when targetId is not a full ARN.")
    found = cluster.instances.get(arn_like(cluster, "container-instance", target))
    if found is None or found.status is InstanceStatus.INACTIVE:
        raise AwsError("TargetNotFoundException", "The specified target wasn't found.")
    return found


def _check_attribute(attribute: Shape) -> None:
    name, value = attribute["name"], attribute.get("value")
    if name.startswith(BUILT_IN_PREFIXES):
        raise invalid_parameter(f"The attribute {name} cannot be set.")
    if _NAME.fullmatch(name) is None:
        raise invalid_parameter("Attribute name contains invalid character(s) or is longer than 128 characters.")
    if value is not None and _VALUE.fullmatch(value) is None:
        raise invalid_parameter("Attribute value contains invalid character(s) or is longer than 128 characters.")


def _echo(targets: list[ContainerInstance], attributes: list[Shape]) -> list[Shape]:
    echoed = []
    for instance, attribute in zip(targets, attributes, strict=True):
        shown = {"name": attribute["name"], "targetId": instance.arn}
        if "value" in attribute:
            shown["value"] = attribute["value"]
        echoed.append(shown)
    return echoed
