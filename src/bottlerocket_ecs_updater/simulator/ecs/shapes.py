"""Records as the API returns them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bottlerocket_ecs_updater.simulator.ecs.model import (
    FARGATE_PROVIDERS,
    Bucket,
    Controller,
    Desired,
    Last,
    ProviderShare,
    Spreading,
    Strategy,
    Way,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bottlerocket_ecs_updater.simulator.ecs.model import (
        CapacityProvider,
        Cluster,
        ContainerInstance,
        Deployment,
        Service,
        Shape,
        Task,
        TaskDefinition,
    )

_AGENTS_PORTS = (22, 2375, 2376, 51678, 51679)
_NOT_RUNNING_YET = (Last.PROVISIONING, Last.PENDING)


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
        "pendingTasksCount": sum(task.desired is Desired.RUNNING and task.last in _NOT_RUNNING_YET for task in tasks),
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
    if work.awsvpc:
        shape["attachments"] = [_interface_shape(task)]
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


def service_shape(service: Service) -> Shape:
    """A service, as DescribeServices answers."""
    desired = desired_count(service)
    shape: Shape = {
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": service.cluster.arn,
        "loadBalancers": _load_balancers(service),
        "serviceRegistries": [],
        "status": service.status,
        "desiredCount": desired,
        "runningCount": service.running,
        "pendingCount": service.pending,
        **_launched_by(service),
        "taskDefinition": service.deployments[0].definition.arn,
        "deploymentConfiguration": _deployment_configuration(service),
        **_deployments(service),
        "events": [{"id": event_id, "createdAt": at, "message": message} for event_id, at, message in service.events],
        "createdAt": service.created_at,
        "placementConstraints": _constraints(service),
        "placementStrategy": _strategy(service),
        "schedulingStrategy": service.strategy.value,
        "deploymentController": {"type": service.rollout.controller.value},
        "enableECSManagedTags": False,
        "propagateTags": "NONE",
        "enableExecuteCommand": False,
    }
    return shape


def _launched_by(service: Service) -> Shape:
    """The launch type, or the strategy that replaces it."""
    if service.providers:
        by_provider = {share.provider: share for share in service.shares}
        shares = [by_provider.get(name) or ProviderShare(name) for name in service.providers]
        strategy = [{"capacityProvider": one.provider, "weight": one.weight, "base": one.base} for one in shares]
        return {"capacityProviderStrategy": strategy}
    return {"launchType": service.launch.value}


def _deployment_configuration(service: Service) -> Shape:
    rollout = service.rollout
    shape: Shape = {
        "maximumPercent": service.maximum_percent,
        "minimumHealthyPercent": service.minimum_healthy_percent,
    }
    if rollout.circuit_breaker:
        shape["deploymentCircuitBreaker"] = {"enable": True, "rollback": False}
    if rollout.way is not Way.ROLLING:
        shape |= {"strategy": rollout.way.value, "bakeTimeInMinutes": int(rollout.bake.total_seconds() // 60)}
    if rollout.pause:
        hook = {"targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"]}
        shape["lifecycleHooks"] = [hook]
    return shape


def _deployments(service: Service) -> Shape:
    """The deployments; other controllers than ECS have task sets instead."""
    if service.rollout.controller is Controller.ECS:
        return {"deployments": [_deployment_shape(service, deployment) for deployment in service.deployments]}
    return {"deployments": [], "taskSets": [_task_set_shape(service, one) for one in service.deployments]}


def _task_set_shape(service: Service, deployment: Deployment) -> Shape:
    # The controller sets the new one to PRIMARY only at the end.
    primary = deployment is service.deployments[-1]
    shown = _deployment_shape(service, deployment)
    arn = service.arn.replace(":service/", ":task-set/")
    return {
        "id": deployment.id,
        "taskSetArn": f"{arn}/{deployment.id}",
        "serviceArn": service.arn,
        "clusterArn": service.cluster.arn,
        "status": "PRIMARY" if primary else "ACTIVE",
        "taskDefinition": deployment.definition.arn,
        "computedDesiredCount": desired_count(service),
        "pendingCount": shown["pendingCount"],
        "runningCount": shown["runningCount"],
        "createdAt": deployment.created_at,
        "updatedAt": deployment.updated_at,
        **_launched_by(service),
        "scale": {"value": 100.0, "unit": "PERCENT"},
        "stabilityStatus": "STABILIZING" if shown["pendingCount"] else "STEADY_STATE",
    }


def service_deployment_shape(service: Service, deployment: Deployment) -> Shape:
    """A deployment, as DescribeServiceDeployments answers."""
    shown = _deployment_shape(service, deployment)
    arn = service.arn.replace(":service/", ":service-deployment/")
    revision = service.arn.replace(":service/", ":service-revision/")
    status = "SUCCESSFUL" if deployment.completed else ("STOPPED" if deployment.failed else "IN_PROGRESS")
    counts = {
        "requestedTaskCount": shown["desiredCount"],
        "runningTaskCount": shown["runningCount"],
        "pendingTaskCount": shown["pendingCount"],
    }
    shape: Shape = {
        "serviceDeploymentArn": f"{arn}/{deployment.id.rsplit('/', 1)[-1]}",
        "serviceArn": service.arn,
        "clusterArn": service.cluster.arn,
        "createdAt": deployment.created_at,
        "startedAt": deployment.created_at,
        "updatedAt": deployment.updated_at,
        "status": status,
        "targetServiceRevision": {"arn": f"{revision}/{deployment.definition.revision}", **counts},
        "deploymentConfiguration": _deployment_configuration(service),
    }
    return {**shape, "finishedAt": deployment.updated_at} if deployment.completed else shape


def desired_count(service: Service) -> int:
    """A service's desired count; for a daemon service, one task on each instance that accepts tasks."""
    if service.strategy is Strategy.DAEMON and service.status == "ACTIVE":
        placement = service.cluster.placement
        return sum(service.runs_on(each) and service.suits(each) for each in placement)
    return service.desired


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
        "pendingTasksCount": sum(task.last in _NOT_RUNNING_YET for task in live),
        "activeServicesCount": sum(service.status == "ACTIVE" for service in cluster.services.values()),
        "statistics": [],
        "tags": list(cluster.tags),
        "settings": [{"name": "containerInsights", "value": "disabled"}],
        "capacityProviders": list(cluster.providers),
        "defaultCapacityProviderStrategy": [],
    }


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
                "resourceRequirements": [{"type": "GPU", "value": str(definition.workload.gpus)}]
                if definition.workload.gpus
                else [],
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


def _deployment_shape(service: Service, deployment: Deployment) -> Shape:
    primary = deployment is service.deployments[0]
    if len(service.deployments) == 1:
        running, pending = service.running, service.pending
    else:
        mine = [task for task in service.live_tasks() if task.deployment == deployment.id]
        running = sum(task.last is Last.RUNNING and task.bucket is not Bucket.STOPPING for task in mine)
        pending = sum(task.last in _NOT_RUNNING_YET and task.bucket is not Bucket.STOPPING for task in mine)
    return {
        "id": deployment.id,
        "status": "PRIMARY" if primary else "ACTIVE",
        "taskDefinition": deployment.definition.arn,
        "desiredCount": desired_count(service) if primary else 0,
        "pendingCount": pending,
        "runningCount": running,
        "failedTasks": deployment.failed_tasks,
        "createdAt": deployment.created_at,
        "updatedAt": deployment.updated_at,
        **_launched_by(service),
        **_rollout_state(deployment),
    }


def _rollout_state(deployment: Deployment) -> Shape:
    state, words = ("COMPLETED", "completed.") if deployment.completed else ("IN_PROGRESS", "in progress.")
    if deployment.failed:
        state, words = "FAILED", "failed: tasks failed to start."
    return {"rolloutState": state, "rolloutStateReason": f"ECS deployment {deployment.id} {words}"}


def _load_balancers(service: Service) -> list[Shape]:
    if not service.load_balanced:
        return []
    given: list[Shape] = service.registered.get("loadBalancers", [])
    group = service.arn.replace(":ecs:", ":elasticloadbalancing:").replace(":service/", ":targetgroup/")
    return given or [{"targetGroupArn": group, "containerName": service.name, "containerPort": 80}]


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


def _strategy(service: Service) -> list[Shape]:
    if service.strategy is Strategy.DAEMON:
        return []
    if service.spreading is Spreading.BINPACK:
        return [{"type": "binpack", "field": "memory"}]
    if service.spreading is Spreading.RANDOM:
        return [{"type": "random"}]
    return [
        {"type": "spread", "field": "attribute:ecs.availability-zone"},
        {"type": "spread", "field": "instanceId"},
    ]


def _resources(cpu: int, memory: int, gpus: int, ports: list[int]) -> list[Shape]:
    resources = [_number("CPU", cpu), _number("MEMORY", memory), _strings("PORTS", [*_AGENTS_PORTS, *ports])]
    return resources + ([_strings("GPU", [f"GPU-{number:08x}" for number in range(gpus)])] if gpus else [])


def _number(name: str, value: int) -> Shape:
    return {"name": name, "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": value}


def _strings(name: str, values: Iterable[object]) -> Shape:
    strings = [str(value) for value in values]
    return {**_number(name, 0), "type": "STRINGSET", "stringSetValue": strings}


def _constraints(service: Service) -> list[Shape]:
    constraints: list[Shape] = []
    if service.distinct_instances:
        constraints.append({"type": "distinctInstance"})
    if service.member_of:
        constraints.append({"type": "memberOf", "expression": service.member_of})
    return constraints
