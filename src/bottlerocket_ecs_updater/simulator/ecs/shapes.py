"""Records as the API returns them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bottlerocket_ecs_updater.core.model.capacity_provider import FARGATE_PROVIDERS
from bottlerocket_ecs_updater.simulator.ecs.model import Desired, Last

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.ecs.model import (
        CapacityProvider,
        Cluster,
        ContainerInstance,
        Task,
        TaskDefinition,
    )
    from bottlerocket_ecs_updater.simulator.ecs.specs import Workload

_AGENTS_PORTS = (22, 2375, 2376, 51678, 51679)
NOT_RUNNING_YET = (Last.PROVISIONING, Last.PENDING)


def instance_shape(instance: ContainerInstance) -> Shape:
    """A container instance, as DescribeContainerInstances answers."""
    spec, tasks = instance.spec, instance.tasks.values()
    return {
        "containerInstanceArn": instance.arn,
        "ec2InstanceId": spec.ec2_instance_id,
        "version": instance.version,
        "versionInfo": {
            "agentVersion": spec.agent_version,
            "agentHash": "*00000000",
            "dockerVersion": "DockerVersion: 25.0.8",
        },
        "remainingResources": _resources(
            instance.free_cpu, instance.free_memory, instance.free_gpus, sorted(instance.ports)
        ),
        "registeredResources": _resources(spec.cpu, spec.memory, instance.gpus, []),
        "status": instance.status.value,
        "agentConnected": instance.agent_connected,
        # Stopping tasks are in neither count: ECS counts by desired status.
        "runningTasksCount": sum(task.desired is Desired.RUNNING for task in tasks),
        "pendingTasksCount": sum(task.desired is Desired.RUNNING and task.last in NOT_RUNNING_YET for task in tasks),
        "attributes": [
            {"name": name} if value is None else {"name": name, "value": value}
            for attributes in (instance.built_in, instance.custom)
            for name, value in attributes.items()
        ],
        "registeredAt": instance.registered_at,
        "attachments": [],
        "tags": [],
        **({"capacityProviderName": spec.capacity_provider} if spec.capacity_provider else {}),
    }


def task_shape(task: Task) -> Shape:
    """A task, as DescribeTasks answers."""
    work, instance = task.workload, task.instance
    shape: Shape = {
        "attachments": [],
        "attributes": [{"name": "ecs.cpu-architecture", "value": "x86_64"}],
        "clusterArn": task.cluster.arn,
        "connectivity": "CONNECTED",
        "containers": [_container_shape(task)],
        "cpu": str(work.cpu),
        "createdAt": task.created_at,
        "desiredStatus": task.desired.value,
        "enableExecuteCommand": False,
        "group": task.group,
        "healthStatus": "UNKNOWN",
        "lastStatus": task.last.value,
        "launchType": task.launch.value,
        "memory": str(work.memory),
        "overrides": task.overrides or {"containerOverrides": []},
        "tags": list(task.tags),
        "taskArn": task.arn,
        "taskDefinitionArn": task.definition.arn,
        "version": task.version,
    }
    if instance is not None:
        shape["containerInstanceArn"] = instance.arn
        shape["availabilityZone"] = instance.zone
    if task.provider:
        shape["capacityProviderName"] = task.provider
    attachments = ([_interface_shape(task)] if work.awsvpc else []) + ([_volume_shape(task)] if work.ebs else [])
    shape["attachments"] = attachments
    optional: dict[str, Any] = {
        "startedAt": task.started_at,
        "startedBy": task.started_by or None,
        "stopCode": task.stop_code or None,
        "stoppedReason": task.stopped_reason or None,
        "stoppingAt": task.stopping_at,
        "stoppedAt": task.stopped_at,
        "executionStoppedAt": task.stopped_at,
    }
    shape.update((name, value) for name, value in optional.items() if value is not None)
    return shape


def cluster_shape(cluster: Cluster) -> Shape:
    """A cluster, as DescribeClusters answers."""
    live = [task for task in cluster.tasks.values() if task.last is not Last.STOPPED]
    return {
        "clusterArn": cluster.arn,
        "clusterName": cluster.name,
        "status": "ACTIVE",
        "registeredContainerInstancesCount": sum(
            instance.status != "INACTIVE" for instance in cluster.instances.values()
        ),
        "runningTasksCount": sum(task.last is Last.RUNNING for task in live),
        "pendingTasksCount": sum(task.last in NOT_RUNNING_YET for task in live),
        "activeServicesCount": sum(service.status == "ACTIVE" for service in cluster.services.values()),
        "statistics": [],
        "tags": list(cluster.tags),
        "settings": [{"name": "containerInsights", "value": "disabled"}],
        "capacityProviders": list(cluster.providers),
        "defaultCapacityProviderStrategy": [],
    }


def _gpu_wish(work: Workload) -> list[Shape]:
    value = "ALL" if work.all_gpus else str(work.gpus)
    return [{"type": "GPU", "value": value}] if work.gpus else []


def definition_shape(definition: TaskDefinition) -> Shape:
    """A task definition, as DescribeTaskDefinition answers."""
    shape: Shape = {
        "containerDefinitions": [
            {
                "name": definition.family,
                "image": f"example/{definition.family}:latest",
                "cpu": definition.workload.cpu,
                "memory": definition.workload.memory,
                "essential": True,
                "portMappings": [
                    {"containerPort": port, "hostPort": port, "protocol": "tcp"}
                    for port in definition.workload.host_ports
                ],
                "stopTimeout": int(definition.workload.stop_timeout.total_seconds()),
                "resourceRequirements": _gpu_wish(definition.workload),
            }
        ],
        "requiresAttributes": [{"name": name} for name in definition.workload.required_attributes],
        "placementConstraints": [{"type": "memberOf", "expression": definition.workload.member_of}]
        if definition.workload.member_of
        else [],
        "volumes": [{"name": "data", "configuredAtLaunch": True}] if definition.workload.ebs else [],
        "networkMode": "awsvpc" if definition.workload.awsvpc else "bridge",
    }
    shape.update(definition.registered)
    shape.update(
        {
            "taskDefinitionArn": definition.arn,
            "family": definition.family,
            "revision": definition.revision,
            "status": definition.registered.get("status", "ACTIVE"),
            "registeredAt": definition.registered_at,
        }
    )
    shape.pop("tags", None)
    return shape


def _container_shape(task: Task) -> Shape:
    running = task.last in (Last.RUNNING, Last.DEACTIVATING, Last.STOPPING)
    short = task.arn.rsplit("/", 1)[-1]
    shape: Shape = {
        "containerArn": task.arn.replace(":task/", ":container/") + f"/{short[:8]}",
        "taskArn": task.arn,
        "name": task.definition.family,
        "lastStatus": "RUNNING" if running else "STOPPED" if task.last is Last.STOPPED else "PENDING",
        "networkBindings": [],
        "networkInterfaces": [],
        "healthStatus": "UNKNOWN",
    }
    if task.exit_code is not None:
        shape["exitCode"] = task.exit_code
    return shape


def provider_shape(provider: CapacityProvider, arn: str, cluster_arn: str) -> Shape:
    """A capacity provider, as DescribeCapacityProviders answers."""
    shape: Shape = {"capacityProviderArn": arn, "name": provider.name, "status": provider.status, "tags": []}
    if provider.name in FARGATE_PROVIDERS:
        return {**shape, "type": provider.name}
    if provider.managed:
        role = arn.replace(":ecs:", ":iam:").rpartition(":")[0] + ":role/ecsInfrastructureRole"
        managed = {"infrastructureRoleArn": role, "propagateTags": "NONE"}
        return {**shape, "cluster": cluster_arn, "managedInstancesProvider": managed, "type": "MANAGED_INSTANCES"}
    shape["type"] = "EC2_AUTOSCALING"
    shape["autoScalingGroupProvider"] = {
        "autoScalingGroupArn": provider.group_arn,
        "managedScaling": {"status": _enabled(provider.scaling), "targetCapacity": 100, "instanceWarmupPeriod": 300},
        "managedTerminationProtection": _enabled(provider.termination_protection),
        "managedDraining": _enabled(provider.draining),
    }
    return shape


def _enabled(on: bool) -> str:  # noqa: FBT001 - it is the word for it that is wanted
    return "ENABLED" if on else "DISABLED"


def _interface_shape(task: Task) -> Shape:
    address = f"10.0.{task.number // 256 % 256}.{task.number % 256}"
    details = {"networkInterfaceId": f"eni-{task.number:017x}", "privateIPv4Address": address}
    return {
        "id": f"00000000-0000-4000-8000-{task.number:012x}",
        "type": "ElasticNetworkInterface",
        "status": "ATTACHED" if task.last is Last.RUNNING else "PRECREATED",
        "details": [{"name": name, "value": value} for name, value in details.items()],
    }


def _volume_shape(task: Task) -> Shape:
    details = {"volumeId": f"vol-{task.number:017x}", "volumeName": "data", "deleteOnTermination": "true"}
    return {
        "id": f"00000000-0000-4000-9000-{task.number:012x}",
        "type": "AmazonElasticBlockStorage",
        "status": "ATTACHED" if task.last is Last.RUNNING else "ATTACHING",
        "details": [{"name": name, "value": value} for name, value in details.items()],
    }


def _resources(cpu: int, memory: int, gpus: int, ports: list[int]) -> list[Shape]:
    resources = [_number("CPU", cpu), _number("MEMORY", memory), _strings("PORTS", [*_AGENTS_PORTS, *ports])]
    return resources + ([_strings("GPU", [f"GPU-{number:08x}" for number in range(gpus)])] if gpus else [])


def _number(name: str, value: int) -> Shape:
    return {"name": name, "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": value}


def _strings(name: str, values: Iterable[object]) -> Shape:
    strings = [str(value) for value in values]
    return {**_number(name, 0), "type": "STRINGSET", "stringSetValue": strings}
