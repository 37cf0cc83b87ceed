"""Parses ECS responses. Parsing is lenient: fields that a later API adds or omits never fail a look."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING, Any, TypeVar

from bottlerocket_ecs_updater.aws.transport.trimming import CAPABILITIES, is_capability
from bottlerocket_ecs_updater.core.capacity.host_room import ZONE_ATTRIBUTE
from bottlerocket_ecs_updater.core.model.capacity_provider import FARGATE_PROVIDERS, LaunchType
from bottlerocket_ecs_updater.core.model.container_instance import (
    NAMELESS,
    VARIANT_ATTRIBUTE,
    HealthStatus,
    InstanceHealth,
    Registration,
    Status,
)
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, InstanceId, ServiceArn, Zone
from bottlerocket_ecs_updater.core.model.resources import (
    EXECUTE_COMMAND_ATTRIBUTE,
    SERVICE_CONNECT_ATTRIBUTE,
    DeploymentLimits,
    PlacementStrategy,
    Port,
    ProviderPart,
    RemainingResources,
    StrategyKind,
)
from bottlerocket_ecs_updater.core.model.services import Service

if TYPE_CHECKING:
    from types_boto3_ecs.type_defs import (
        AttributeTypeDef,
        CapacityProviderStrategyItemTypeDef,
        ContainerInstanceHealthStatusTypeDef,
        ContainerInstanceTypeDef,
        FailureTypeDef,
        PlacementStrategyTypeDef,
        ResourceOutputTypeDef,
        ServiceTypeDef,
    )

T = TypeVar("T")

MISSING = "MISSING"
"""The reason in a failure of ECS for what does not exist."""


ELSEWHERE = ("FARGATE", "EXTERNAL", "MANAGED_INSTANCES")
"""Launch types whose tasks never run on the instances that we update."""


FLAPS_WITHIN = timedelta(hours=1)
"""How far back a service's events count. DescribeServices shows the 100 newest."""

FLAPS_FROM_STARTS = 3
"""If a service started tasks this many times more often than it stopped any, its tasks are failing by themselves."""


_STARTED = re.compile(r"has started (\d+) tasks")
_STOPPED = re.compile(r"has stopped (\d+) running tasks")
_UNPLACED = re.compile(r" was unable to place a task")
_UNPLACED_WITHIN = timedelta(hours=6)
"""ECS repeats the event only if the cause has lasted for six hours."""
_UNHEALTHY = re.compile(r" is unhealthy in | failed container health checks")
"""Source: "Amazon ECS service event messages"."""

UNKNOWN_TIME = datetime.fromtimestamp(0, UTC)

_LAUNCHES = {launch.value: launch for launch in LaunchType}
_STATUSES = {status.value: status for status in Status}


def registration(shape: ContainerInstanceTypeDef, at: datetime) -> Registration:
    """A container instance. Raises ValueError if ECS does not name its EC2 instance."""
    arn, id_ = shape.get("containerInstanceArn"), shape.get("ec2InstanceId")
    if not arn or not id_:
        raise ValueError(NAMELESS)
    attributes = _attributes(shape.get("attributes") or ())
    return Registration(
        arn=ContainerInstanceArn(arn),
        id=InstanceId(id_),
        status=_STATUSES.get(shape.get("status", ""), Status.OTHER),
        connected=shape.get("agentConnected", False),
        zone=Zone(attributes.get(ZONE_ATTRIBUTE, "")),
        variant=attributes.get(VARIANT_ATTRIBUTE),
        running_tasks=shape.get("runningTasksCount", 0),
        pending_tasks=shape.get("pendingTasksCount", 0),
        attributes=attributes,
        registered_at=moment(shape.get("registeredAt")),
        at=at,
        capacity_provider=shape.get("capacityProviderName", ""),
        remaining=_resources(shape.get("remainingResources") or ()),
        registered=_once(_resources(shape.get("registeredResources") or ())),
        capabilities=_once(_capabilities(shape.get("attributes") or ())),
        agent_version=intern((shape.get("versionInfo") or {}).get("agentVersion", "")),
        health=instance_health(shape.get("healthStatus") or {}),
    )


_SEVEREST = (
    HealthStatus.IMPAIRED,
    HealthStatus.INSUFFICIENT_DATA,
    HealthStatus.INITIALIZING,
    HealthStatus.OK,
)
"""The overall status is the most severe of all checks, in this order. Source: as for `HealthStatus`."""


def instance_health(shape: ContainerInstanceHealthStatusTypeDef) -> InstanceHealth | None:
    """The result of ECS health checks; None if ECS reports none, or one that this version does not know."""
    checks = shape.get("details") or ()
    said = {shape.get("overallStatus")} if shape.get("overallStatus") else {one.get("status") for one in checks}
    status = next((one for one in _SEVEREST if one.value in said), None)
    if status is None:
        return None
    concerned = [one for one in checks if one.get("status") == status.value]
    words = "; ".join(" ".join(filter(None, (one.get("type"), one.get("statusReason")))) for one in concerned)
    updated = [moment(at) for one in checks if (at := one.get("lastUpdated")) is not None]
    why = "" if status is HealthStatus.OK else words or "ECS does not say why"
    return InstanceHealth(status, why, min(updated, default=None))


def _attributes(shapes: Iterable[AttributeTypeDef]) -> dict[str, str]:
    kept = ((shape.get("name", ""), shape.get("value", "")) for shape in shapes if not is_capability(shape))
    # Thousands of instances share these names and most values: keep each string once.
    return {intern(name): intern(value) for name, value in kept if name and name != CAPABILITIES}


def _capabilities(shapes: Iterable[AttributeTypeDef]) -> frozenset[str]:
    """The agent's capabilities, without the attributes that people select by."""
    together = (shape.get("value", "") for shape in shapes if shape.get("name") == CAPABILITIES)
    return frozenset(name for names in together for name in names.split()) | frozenset(
        shape["name"] for shape in shapes if is_capability(shape)
    )


@lru_cache(maxsize=256)
def _once(value: T) -> T:
    """Return one shared object for equal values: thousands of instances are alike."""
    return value


def service(shape: ServiceTypeDef, at: datetime) -> Service | None:
    """A service at that time; None if it is deleted."""
    arn = shape.get("serviceArn")
    if not arn or shape.get("status") == "INACTIVE":
        return None
    starts, stops, unhealthy = _starts_and_stops(shape, at)
    return Service(
        arn=ServiceArn(arn),
        name=shape.get("serviceName") or arn.rsplit("/", 1)[-1],
        desired=shape.get("desiredCount", 0),
        running=shape.get("runningCount", 0),
        daemon=shape.get("schedulingStrategy") == "DAEMON",
        deploying=_deploying(shape),
        failed=_failed(_live(shape)),
        deployment=_deployment_limits(shape),
        elsewhere=_elsewhere(shape),
        providers=tuple(sorted({one for each in (shape, *_rollouts(shape)) for one in _providers(each)})),
        deployed_at=_deployed_at(shape),
        extra_starts=max(0, sum(starts) - max(0, sum(stops) - unhealthy)),
        pending=shape.get("pendingCount", 0),
        unplaced=_unplaced(shape, at),
        flaps_by=max(starts) if starts and len(starts) - max(0, len(stops) - unhealthy) >= FLAPS_FROM_STARTS else 0,
    )


def _resources(shapes: Iterable[ResourceOutputTypeDef]) -> RemainingResources | None:
    by_name = {shape.get("name", ""): shape for shape in shapes}
    if "CPU" not in by_name or "MEMORY" not in by_name:
        return None
    taken = {Port(int(text)) for text in _strings(by_name.get("PORTS")) if text.isdigit()}
    taken |= {Port(int(text), "udp") for text in _strings(by_name.get("PORTS_UDP")) if text.isdigit()}
    return RemainingResources(
        by_name["CPU"].get("integerValue", 0),
        by_name["MEMORY"].get("integerValue", 0),
        len(_strings(by_name.get("GPU"))),
        frozenset(taken),
    )


def _strings(shape: ResourceOutputTypeDef | None) -> Sequence[str]:
    return shape.get("stringSetValue", []) if shape is not None else []


def _deployment_limits(shape: ServiceTypeDef) -> DeploymentLimits | None:
    """The service's deployment limits, and how it places tasks; None if ECS did not report them.

    With an external deployment controller, only its task sets have a task definition and a launch type.
    """
    limits = shape.get("deploymentConfiguration") or {}
    placed: Mapping[str, Any] = shape if shape.get("taskDefinition") else _primary_task_set(shape)
    definition = placed.get("taskDefinition", "")
    if not definition or "minimumHealthyPercent" not in limits or "maximumPercent" not in limits:
        return None
    constraints = shape.get("placementConstraints") or ()
    return DeploymentLimits(
        limits["minimumHealthyPercent"],
        limits["maximumPercent"],
        definition,
        any(one.get("type") == "distinctInstance" for one in constraints),
        tuple(one.get("expression", "") for one in constraints if one.get("type") == "memberOf"),
        _LAUNCHES.get(placed.get("launchType") or LaunchType.EC2.value, LaunchType.OTHER),
        _placing(placed.get("capacityProviderStrategy") or ()),
        tuple(_strategies(shape.get("placementStrategy") or ())),
        _shares(placed.get("capacityProviderStrategy") or ()),
        _subnets(placed.get("networkConfiguration") or {}),
        frozenset(_required(shape)),
    )


def _required(shape: ServiceTypeDef) -> Iterator[str]:
    if shape.get("enableExecuteCommand"):
        yield EXECUTE_COMMAND_ATTRIBUTE
    if any((one.get("serviceConnectConfiguration") or {}).get("enabled") for one in _rollouts(shape)):
        yield SERVICE_CONNECT_ATTRIBUTE


def _subnets(network: Mapping[str, Any]) -> tuple[str, ...]:
    """Where the network interfaces of its tasks may be; empty if they have none of their own."""
    return tuple(sorted((network.get("awsvpcConfiguration") or {}).get("subnets") or ()))


def _primary_task_set(shape: ServiceTypeDef) -> Mapping[str, Any]:
    return next((one for one in shape.get("taskSets") or () if one.get("status") == "PRIMARY"), {})


def _strategies(strategies: Iterable[PlacementStrategyTypeDef]) -> Iterator[PlacementStrategy]:
    """Its placement strategies. One of an unknown type may choose any instance."""
    known = {kind.value: kind for kind in StrategyKind}
    for one in strategies:
        yield PlacementStrategy(known.get(one.get("type", ""), StrategyKind.RANDOM), one.get("field", ""))


def _placing(strategy: Sequence[CapacityProviderStrategyItemTypeDef]) -> tuple[str, ...]:
    """Names of the providers that receive tasks. One with weight 0 and base 0 receives none if others have either."""
    return tuple(one.provider for one in _shares(strategy))


def _shares(strategy: Sequence[CapacityProviderStrategyItemTypeDef]) -> tuple[ProviderPart, ...]:
    used = [one for one in strategy if one.get("weight") or one.get("base")] or strategy
    shares = (
        ProviderPart(one.get("capacityProvider", "").rsplit("/", 1)[-1], one.get("weight", 0), one.get("base", 0))
        for one in used
    )
    return tuple(sorted(shares, key=lambda share: share.provider))


def _rollouts(shape: ServiceTypeDef) -> Sequence[Mapping[str, Any]]:
    """Its deployments, or its task sets if another controller than ECS deploys it."""
    return [*(shape.get("deployments") or ()), *(shape.get("taskSets") or ())]


def _live(shape: ServiceTypeDef) -> Sequence[Mapping[str, Any]]:
    return [one for one in _rollouts(shape) if one.get("status") in ("PRIMARY", "ACTIVE") and not _idle(one)]


def _idle(rollout: Mapping[str, Any]) -> bool:
    """Whether it is a task set that its controller keeps at a scale of 0, to go back to it quickly."""
    counts = ("computedDesiredCount", "runningCount", "pendingCount")
    return rollout.get("status") == "ACTIVE" and not any(rollout.get(one, 1) for one in counts)


def _deploying(shape: ServiceTypeDef) -> bool:
    """Whether a deployment is in progress: an earlier one still exists, or the only one is IN_PROGRESS.

    A deployment that the circuit breaker FAILED does not count, and neither does a single task set.
    """
    live = _live(shape)
    if _failed(live):
        return False
    return len(live) > 1 or any(one.get("rolloutState") == "IN_PROGRESS" for one in live)


def _failed(live: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the circuit breaker ended the newest deployment.

    According to ECS's documentation of `rolloutState`, it starts no new tasks.
    """
    return any(one.get("status") == "PRIMARY" and one.get("rolloutState") == "FAILED" for one in live)


def _deployed_at(shape: ServiceTypeDef) -> datetime | None:
    """When the newest deployment started; None if ECS does not say."""
    started = [moment(one["createdAt"]) for one in _live(shape) if one.get("createdAt") is not None]
    return max(started, default=None)


def _providers(shape: Mapping[str, Any]) -> Iterable[str]:
    return (one.get("capacityProvider", "") for one in shape.get("capacityProviderStrategy") or ())


def _elsewhere(shape: ServiceTypeDef) -> bool:
    """Whether the service and all its deployments place tasks off EC2 instances."""
    said = [where for one in (shape, *_rollouts(shape)) if (where := _says_elsewhere(one)) is not None]
    return bool(said) and all(said)


def _says_elsewhere(shape: Mapping[str, Any]) -> bool | None:
    """None if it names no launch type or provider: a service with task sets names them there."""
    providers = frozenset(_providers(shape))
    if providers:
        return providers <= FARGATE_PROVIDERS
    launch = shape.get("launchType")
    return launch in ELSEWHERE if launch else None


def _starts_and_stops(shape: ServiceTypeDef, at: datetime) -> tuple[Sequence[int], Sequence[int], int]:
    """Tasks per scheduler start event, and per stop event, within the last hour; and how many were found unhealthy.

    ECS stops an unhealthy task itself, and reports that with the same event as a requested stop.
    """
    since = at - FLAPS_WITHIN
    recent = [one.get("message", "") for one in shape.get("events") or () if moment(one.get("createdAt")) >= since]
    started = [int(found[1]) for text in recent if (found := _STARTED.search(text))]
    stopped = [int(found[1]) for text in recent if (found := _STOPPED.search(text))]
    return started, stopped, sum(1 for text in recent if _UNHEALTHY.search(text))


def _unplaced(shape: ServiceTypeDef, at: datetime) -> bool:
    """Whether it lacks tasks for which ECS found no room lately."""
    placed = shape.get("runningCount", 0) + shape.get("pendingCount", 0)
    recent = (one for one in shape.get("events") or () if moment(one.get("createdAt")) >= at - _UNPLACED_WITHIN)
    return placed < shape.get("desiredCount", 0) and any(_UNPLACED.search(one.get("message", "")) for one in recent)


def failures(shapes: Iterable[FailureTypeDef] | None) -> Mapping[str, str]:
    """The reasons in a response's `failures`, by ARN."""
    return {shape.get("arn", ""): reason(shape) for shape in shapes or ()}


def missing_in(failed: Mapping[str, str]) -> set[str]:
    """The ARNs of what ECS says does not exist, among the reasons of `failures`."""
    return {arn for arn, why in failed.items() if why.startswith(MISSING)}


def reason(shape: FailureTypeDef) -> str:
    """One failure's reason, with the detail if ECS gives one."""
    detail = shape.get("detail")
    short = shape.get("reason") or "no reason given"
    return f"{short}: {detail}" if detail else short


def moment(value: datetime | None) -> datetime:
    """Convert a botocore time to UTC; `UNKNOWN_TIME` for None."""
    if value is None:
        return UNKNOWN_TIME
    return value.astimezone(UTC) if value.tzinfo is not None else value.replace(tzinfo=UTC)
