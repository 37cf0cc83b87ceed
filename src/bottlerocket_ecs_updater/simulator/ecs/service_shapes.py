"""Services and their deployments as the API returns them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.ecs.model import Bucket, Last
from bottlerocket_ecs_updater.simulator.ecs.shapes import NOT_RUNNING_YET
from bottlerocket_ecs_updater.simulator.ecs.specs import Controller, ProviderShare, Spreading, Strategy, Way

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.ecs.model import Deployment, Service


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
        **_placed_by(service),
        **_network(service),
        "deploymentConfiguration": _deployment_configuration(service),
        **_deployments(service),
        "events": [{"id": event_id, "createdAt": at, "message": message} for event_id, at, message in service.events],
        "createdAt": service.created_at,
        "placementConstraints": _constraints(service),
        "placementStrategy": _strategy(service),
        "schedulingStrategy": service.strategy.value,
        "availabilityZoneRebalancing": "ENABLED" if service.rebalanced_every is not None else "DISABLED",
        "deploymentController": {"type": service.rollout.controller.value},
        "enableECSManagedTags": False,
        "propagateTags": "NONE",
        "enableExecuteCommand": service.execute_command,
    }
    return shape


def _placed_by(service: Service) -> Shape:
    """The task definition of its tasks. With an external controller, only the task sets name one."""
    if service.rollout.controller is Controller.EXTERNAL:
        return {}
    return {**_launched_by(service), "taskDefinition": service.deployments[0].definition.arn}


def _network(service: Service) -> Shape:
    """Its network configuration, if it was created with one."""
    if service.subnets:
        return {"networkConfiguration": {"awsvpcConfiguration": {"subnets": list(service.subnets)}}}
    given = service.registered.get("networkConfiguration")
    return {"networkConfiguration": given} if given else {}


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
    sets = [_task_set_shape(service, one) for one in service.deployments]
    return {"deployments": [], "taskSets": sets + [_spare(sets[-1])] * service.rollout.spare_task_set}


def _spare(primary: Shape) -> Shape:
    """A task set that was scaled down to 0 when the primary one replaced it."""
    counts = dict.fromkeys(("computedDesiredCount", "runningCount", "pendingCount"), 0)
    name, scale = (
        {"id": f"{primary['id']}0", "taskSetArn": f"{primary['taskSetArn']}0"},
        {"value": 0.0, "unit": "PERCENT"},
    )
    return {**primary, **name, **counts, "status": "ACTIVE", "scale": scale, "stabilityStatus": "STEADY_STATE"}


def _task_set_shape(service: Service, deployment: Deployment) -> Shape:
    # The controller sets the new one to PRIMARY only at the end.
    primary = deployment.id == (service.primary_task_set or service.deployments[-1].id)
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
        **_network(service),
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


def _deployment_shape(service: Service, deployment: Deployment) -> Shape:
    primary = deployment is service.deployments[0]
    if len(service.deployments) == 1:
        running, pending = service.running, service.pending
    else:
        mine = [task for task in service.live_tasks() if task.deployment == deployment.id]
        running = sum(task.last is Last.RUNNING and task.bucket is not Bucket.STOPPING for task in mine)
        pending = sum(task.last in NOT_RUNNING_YET and task.bucket is not Bucket.STOPPING for task in mine)
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
        **({"serviceConnectConfiguration": {"enabled": True}} if service.service_connect else {}),
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


def _constraints(service: Service) -> list[Shape]:
    constraints: list[Shape] = []
    if service.distinct_instances:
        constraints.append({"type": "distinctInstance"})
    if service.member_of:
        constraints.append({"type": "memberOf", "expression": service.member_of})
    return constraints
