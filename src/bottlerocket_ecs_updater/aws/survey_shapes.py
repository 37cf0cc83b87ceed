"""Parses descriptions of EC2 instances, task definitions and capacity providers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bottlerocket_ecs_updater.aws.ecs_shapes import moment
from bottlerocket_ecs_updater.core.model.capacity_provider import FARGATE_PROVIDERS, CapacityProvider, ProviderKind
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Machine
from bottlerocket_ecs_updater.core.model.resources import Definition, Port, TaskRequirements, TypeLimits, VolumeLimit
from bottlerocket_ecs_updater.core.model.time_text import LATEST

if TYPE_CHECKING:
    from types_boto3_autoscaling.type_defs import AutoScalingGroupTypeDef
    from types_boto3_ec2.type_defs import DescribeInstancesResultTypeDef, InstanceTypeInfoTypeDef
    from types_boto3_ecs.type_defs import (
        CapacityProviderTypeDef,
        ContainerDefinitionOutputTypeDef,
        ProtectedTaskTypeDef,
        TaskDefinitionTypeDef,
    )

AWSVPC, HOST = "awsvpc", "host"

ALL = "ALL"
"""The number of GPUs of a container that gets all that are left on its instance."""


def machines_in(reply: DescribeInstancesResultTypeDef) -> Iterable[tuple[InstanceId, Machine]]:
    """The instances of a reply, across all reservations."""
    for reservation in reply.get("Reservations", ()):
        for shape in reservation.get("Instances", ()):
            managed = bool(shape.get("Operator", {}).get("Managed"))
            state = str(shape.get("State", {}).get("Name", ""))
            launched = shape.get("LaunchTime")
            started_at = moment(launched) if launched is not None else None
            machine = Machine(state, managed, shape.get("PrivateIpAddress", ""), started_at=started_at)
            yield InstanceId(shape.get("InstanceId", "")), machine


def protected_until(shape: ProtectedTaskTypeDef) -> datetime | None:
    """Until when a task is protected; None if it is not. One that is protected without an end may be so forever."""
    if not shape.get("protectionEnabled"):
        return None
    ends = shape.get("expirationDate")
    return moment(ends) if ends is not None else LATEST


def task_definition(shape: TaskDefinitionTypeDef) -> Definition:
    """The parts of a task definition that decide where its tasks can be placed."""
    containers = shape.get("containerDefinitions") or ()
    constraints = shape.get("placementConstraints") or ()
    required = (attribute.get("name", "") for attribute in shape.get("requiresAttributes") or ())
    awsvpc, host_mode = (shape.get("networkMode") == mode for mode in (AWSVPC, HOST))
    return Definition(
        TaskRequirements(
            cpu=_number(shape.get("cpu")) or sum(one.get("cpu", 0) for one in containers),
            memory=_number(shape.get("memory")) or sum(map(_memory, containers)),
            gpus=sum(_gpus(one) for one in containers),
            all_gpus=any(one.get("value") == ALL for one in _gpu_wishes(containers)),
            shares_gpu=any(one.get("sharingStrategy") for one in _gpu_wishes(containers)),
            # A task with its own network interface uses no host ports.
            ports=frozenset(port for one in containers if not awsvpc for port in _ports(one, host_mode=host_mode)),
            interfaces=1 if awsvpc else 0,
            volumes=1 if any(one.get("configuredAtLaunch") for one in shape.get("volumes") or ()) else 0,
            required=frozenset(name for name in required if name),
        ),
        tuple(one.get("expression", "") for one in constraints if one.get("type") == "memberOf"),
    )


OWN_VOLUMES = 2
"""Bottlerocket boots from one EBS volume and keeps its data on another."""


def type_limits(shape: InstanceTypeInfoTypeDef) -> TypeLimits:
    """What EC2 limits for an instance type.

    A `shared` limit is one for network interfaces, EBS volumes and NVMe disks of the instance together; a `dedicated`
    one is for EBS volumes alone.
    """
    interfaces = shape.get("NetworkInfo", {}).get("MaximumNetworkInterfaces")
    most = shape.get("EbsInfo", {}).get("MaximumEbsAttachments")
    if most is None:
        return TypeLimits(interfaces)
    shared = shape.get("EbsInfo", {}).get("AttachmentLimitType") != "dedicated"
    disks = sum(one.get("Count", 0) for one in shape.get("InstanceStorageInfo", {}).get("Disks", ()))
    others = 1 + disks if shared else 0
    return TypeLimits(interfaces, VolumeLimit(max(0, most - OWN_VOLUMES - others), shared))


_KINDS = {kind.value: kind for kind in ProviderKind}
_LEAVING = ("Terminat", "Detach", "Warmed")
_NEEDED_TO_GROW = frozenset({"AlarmNotification", "Launch"})
"""The processes that a group needs to follow a scaling policy and launch an instance."""


def capacity_provider(
    shape: CapacityProviderTypeDef, groups: Mapping[str, AutoScalingGroupTypeDef]
) -> CapacityProvider:
    """A capacity provider, with how far its Auto Scaling group may grow."""
    name, kind = shape.get("name", ""), _kind_of(shape)
    if kind is not ProviderKind.AUTO_SCALING:
        return CapacityProvider(name, kind)
    group = group_name(shape)
    why_not = _why_not(shape, groups.get(group))
    protects = shape.get("autoScalingGroupProvider", {}).get("managedTerminationProtection") == "ENABLED"
    found = groups.get(group)
    if found is None:
        return CapacityProvider(name, kind, not why_not, why_not, group, protects_busy=protects)
    staying = [one for one in found.get("Instances", ()) if not one.get("LifecycleState", "").startswith(_LEAVING)]
    most = found.get("MaxSize", 0)
    more = max(0, most - max(found.get("DesiredCapacity", 0), len(staying)))
    return CapacityProvider(name, kind, not why_not, why_not, group, most, more, protects)


def _kind_of(shape: CapacityProviderTypeDef) -> ProviderKind:
    """The provider's kind. ECS may omit the type of providers that are older than that field."""
    if "managedInstancesProvider" in shape:
        return ProviderKind.MANAGED_INSTANCES
    if "autoScalingGroupProvider" in shape:
        return ProviderKind.AUTO_SCALING
    if shape.get("name") in FARGATE_PROVIDERS:
        return ProviderKind.FARGATE
    return _KINDS.get(str(shape.get("type", "")), ProviderKind.OTHER)


def group_name(shape: CapacityProviderTypeDef) -> str:
    """The group's name, from its ARN `…:autoScalingGroup:<id>:autoScalingGroupName/<name>` or given directly."""
    return shape.get("autoScalingGroupProvider", {}).get("autoScalingGroupArn", "").rpartition("/")[2]


def _why_not(shape: CapacityProviderTypeDef, group: AutoScalingGroupTypeDef | None) -> str:
    """Why the provider cannot launch instances; empty if it can."""
    status = shape.get("status", "ACTIVE")
    if status != "ACTIVE":
        return f"its status is {status}"
    if shape.get("autoScalingGroupProvider", {}).get("managedScaling", {}).get("status") != "ENABLED":
        return "its managed scaling is off"
    suspended = {one.get("ProcessName", "") for one in group.get("SuspendedProcesses", ())} if group else set()
    if suspended & _NEEDED_TO_GROW:
        return f"the process {min(suspended & _NEEDED_TO_GROW)} of its Auto Scaling group is suspended"
    return ""


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def _memory(container: ContainerDefinitionOutputTypeDef) -> int:
    """ECS reserves the soft limit if the container has one."""
    return container.get("memoryReservation") or container.get("memory") or 0


def _gpus(container: ContainerDefinitionOutputTypeDef) -> int:
    return sum(1 if one.get("value") == ALL else _number(one.get("value")) for one in _gpu_wishes([container]))


def _gpu_wishes(containers: Iterable[ContainerDefinitionOutputTypeDef]) -> Sequence[Mapping[str, Any]]:
    wanted = (one for container in containers for one in container.get("resourceRequirements") or ())
    return [one for one in wanted if one.get("type") == "GPU"]


def _ports(container: ContainerDefinitionOutputTypeDef, *, host_mode: bool) -> Iterable[Port]:
    """The fixed ports on the host. In network mode host, every port of the container is one."""
    for mapping in container.get("portMappings") or ():
        number = mapping.get("hostPort") or (mapping.get("containerPort", 0) if host_mode else 0)
        if number:
            yield Port(number, mapping.get("protocol", "tcp"))
