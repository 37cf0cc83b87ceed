"""Operations on services."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.core.model.capacity_provider import FARGATE_PROVIDERS
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.names import last_part
from bottlerocket_ecs_updater.simulator.aws_basics.paging import ECS_PAGES, list_page
from bottlerocket_ecs_updater.simulator.ecs.expressions import parse_placement
from bottlerocket_ecs_updater.simulator.ecs.model import Service, TaskDefinition
from bottlerocket_ecs_updater.simulator.ecs.requests import UNKNOWN_NAME, check_count, invalid_parameter
from bottlerocket_ecs_updater.simulator.ecs.service_shapes import service_deployment_shape, service_shape
from bottlerocket_ecs_updater.simulator.ecs.specs import (
    Controller,
    ProviderShare,
    Rollout,
    Spreading,
    Strategy,
    TaskLaunch,
    Way,
)

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.ecs.model import Cluster, ContainerInstance
    from bottlerocket_ecs_updater.simulator.ecs.registry import Registry
    from bottlerocket_ecs_updater.simulator.ecs.requests import Handler
    from bottlerocket_ecs_updater.simulator.ecs.scheduler import Scheduler
    from bottlerocket_ecs_updater.simulator.ecs.specs import ServiceSpec

SERVICES_DESCRIBED = 10
DEPLOYMENTS_AT_ONCE = 20
_BRIEF = frozenset(
    {"serviceDeploymentArn", "serviceArn", "clusterArn", "startedAt", "createdAt", "finishedAt", "status"}
)
PAGE_DEFAULT = 10
PAGE_LARGEST = 100


class ServiceOperations:
    """ListServices, CreateService and related operations."""

    def __init__(self, registry: Registry, scheduler: Scheduler) -> None:
        self._registry = registry
        self._scheduler = scheduler

    def handlers(self) -> dict[str, Handler]:
        """By the operation's name."""
        return {
            "ListServices": self.list_services,
            "DescribeServices": self.describe,
            "CreateService": self.create,
            "UpdateService": self.update,
            "DeleteService": self.delete,
            "ListServiceDeployments": self.list_deployments,
            "DescribeServiceDeployments": self.describe_deployments,
        }

    def add(self, cluster: Cluster, spec: ServiceSpec) -> Service:
        """Add a service in its steady state, as if it had existed for long."""
        family = spec.family or spec.name
        definition = self._registry.define(family, spec.workload, {"family": family})
        service = self._new(cluster, spec.name, definition, spec.strategy)
        service.desired = spec.desired
        service.minimum_healthy_percent = spec.minimum_healthy_percent
        service.maximum_percent = spec.maximum_percent
        service.load_balanced = spec.load_balanced
        service.launch, service.providers, service.rollout = spec.launch, spec.providers, spec.rollout
        service.shares, service.spreading, service.subnets = spec.shares, spec.spreading, spec.subnets
        service.rebalanced_every = spec.rebalanced_every
        service.execute_command, service.service_connect = spec.execute_command, spec.service_connect
        _constrain(service, spec.member_of, distinct=spec.distinct_instances)
        self._scheduler.rebalance_from_now(service)
        self._scheduler.fill_at_once(service)
        self._scheduler.wake(service)
        return service

    def list_services(self, request: Shape) -> Shape:
        """ARNs, 10 a page by default. A service that was deleted is not listed, even if its tasks still stop."""
        cluster = self._registry.cluster(request)
        strategy, launch = request.get("schedulingStrategy"), request.get("launchType")
        records = (
            service
            for service in cluster.services.values()
            if service.status == "ACTIVE"
            and strategy in (None, service.strategy.value)
            and (launch is None or (not service.providers and launch == service.launch.value))
        )
        found, more = list_page(records, request, ECS_PAGES, PAGE_LARGEST, PAGE_DEFAULT)
        return {"serviceArns": [service.arn for service in found]} | more

    def describe(self, request: Shape) -> Shape:
        """Up to 10."""
        cluster = self._registry.cluster(request)
        check_count(request["services"], SERVICES_DESCRIBED, "Services")
        services: list[Shape] = []
        failures: list[Shape] = []
        for asked in request["services"]:
            service = cluster.services.get(last_part(asked))
            if service is None:
                arn = self._registry.names.ecs("service", cluster.name, last_part(asked))
                failures.append({"arn": arn, "reason": UNKNOWN_NAME})
            else:
                services.append(service_shape(service))
        return {"services": services, "failures": failures}

    def create(self, request: Shape) -> Shape:
        """Create a service and start its tasks."""
        cluster = self._registry.cluster(request)
        name = request["serviceName"]
        old = cluster.services.get(name)
        if old is not None and old.status != "INACTIVE":
            raise invalid_parameter("Creation of service was not idempotent.")
        if not request.get("taskDefinition"):
            raise invalid_parameter("TaskDefinition can not be blank.")
        definition = self._registry.definition(request["taskDefinition"])
        strategy = Strategy(request.get("schedulingStrategy", "REPLICA"))
        service = self._new(cluster, name, definition, strategy)
        service.registered = dict(request)
        service.load_balanced = bool(request.get("loadBalancers"))
        service.desired = request.get("desiredCount", 0)
        service.launch = TaskLaunch(request.get("launchType", "EC2"))
        service.spreading = Spreading.SPREAD
        self._configure(service, request)
        self._wake(service)
        return {"service": service_shape(service)}

    def update(self, request: Shape) -> Shape:
        """Another count, other limits, another task definition."""
        service = self._find(request)
        if service.status != "ACTIVE":
            raise AwsError("ServiceNotActiveException", "Service was not ACTIVE.")
        service.desired = request.get("desiredCount", service.desired)
        self._configure(service, request)
        primary = service.deployments[0].definition
        name = request.get("taskDefinition")
        definition = self._registry.definition(name) if name else primary
        if definition is not primary or request.get("forceNewDeployment"):
            self._scheduler.new_deployment(service, definition)
        self._wake(service)
        return {"service": service_shape(service)}

    def delete(self, request: Shape) -> Shape:
        """Delete a service; requires a desired count of 0, or force."""
        service = self._find(request)
        replicas = service.strategy is Strategy.REPLICA and service.desired > 0
        if replicas and not request.get("force"):
            raise invalid_parameter("The service cannot be stopped while it is scaled above 0.")
        service.status, service.desired = "DRAINING", 0
        self._wake(service)
        return {"service": service_shape(service)}

    def list_deployments(self, request: Shape) -> Shape:
        """Of one service, the newest first."""
        service = self._find(request)
        asked = request.get("status") or []
        shapes = [service_deployment_shape(service, one) for one in service.deployments]
        shown = [shape for shape in shapes if not asked or shape["status"] in asked]
        return {"serviceDeployments": [_in_brief(shape) for shape in shown]}

    def describe_deployments(self, request: Shape) -> Shape:
        """Up to 20, by their ARNs."""
        check_count(request["serviceDeploymentArns"], DEPLOYMENTS_AT_ONCE, "Service deployments")
        services = [one for cluster in self._registry.clusters.values() for one in cluster.services.values()]
        shapes = [service_deployment_shape(one, each) for one in services for each in one.deployments]
        known = {shape["serviceDeploymentArn"]: shape for shape in shapes}
        asked = request["serviceDeploymentArns"]
        return {
            "serviceDeployments": [known[arn] for arn in asked if arn in known],
            "failures": [{"arn": arn, "reason": UNKNOWN_NAME} for arn in asked if arn not in known],
        }

    def _find(self, request: Shape) -> Service:
        cluster = self._registry.cluster(request)
        service = cluster.services.get(last_part(request["service"]))
        if service is None:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        return service

    def _configure(self, service: Service, request: Shape) -> None:
        limits = request.get("deploymentConfiguration", {})
        constraints = request.get("placementConstraints")
        if constraints is not None:
            expressions = [each["expression"] for each in constraints if each["type"] == "memberOf"]
            distinct = any(each["type"] == "distinctInstance" for each in constraints)
            _constrain(service, " and ".join(f"({each})" for each in expressions), distinct=distinct)
        if request.get("capacityProviderStrategy") is not None:
            service.shares = _shares(service.cluster, request["capacityProviderStrategy"])
            service.providers = tuple(share.provider for share in service.shares)
        strategies = request.get("placementStrategy")
        if strategies is not None:
            service.spreading = Spreading(strategies[0]["type"]) if strategies else Spreading.RANDOM
        service.execute_command = request.get("enableExecuteCommand", service.execute_command)
        connect = request.get("serviceConnectConfiguration")
        service.service_connect = connect["enabled"] if connect is not None else service.service_connect
        service.rollout = _rollout(request, service.rollout)
        service.minimum_healthy_percent = limits.get("minimumHealthyPercent", service.minimum_healthy_percent)
        service.maximum_percent = limits.get("maximumPercent", service.maximum_percent)

    def _new(self, cluster: Cluster, name: str, definition: TaskDefinition, strategy: Strategy) -> Service:
        daemon = strategy is Strategy.DAEMON
        service = Service(
            arn=self._registry.names.ecs("service", cluster.name, name),
            number=self._registry.number(),
            name=name,
            cluster=cluster,
            desired=0,
            strategy=strategy,
            minimum_healthy_percent=0 if daemon else 100,
            maximum_percent=100 if daemon else 200,
            load_balanced=False,
            created_at=self._registry.clock.now(),
            deployments=[],
        )
        cluster.services[name] = service
        self._scheduler.new_deployment(service, definition)
        return service

    def _wake(self, service: Service) -> None:
        self._scheduler.wake(service)
        if service.strategy is Strategy.DAEMON:
            for instance in list(service.cluster.placement):
                self._scheduler.visit(instance)


def _in_brief(shape: Shape) -> Shape:
    """A deployment as lists show it."""
    brief = {key: value for key, value in shape.items() if key in _BRIEF}
    return {**brief, "targetServiceRevisionArn": shape["targetServiceRevision"]["arn"]}


def _rollout(request: Shape, before: Rollout) -> Rollout:
    """The deployment settings in a CreateService or UpdateService request."""
    limits, controller = request.get("deploymentConfiguration", {}), request.get("deploymentController", {})
    bake, breaker = limits.get("bakeTimeInMinutes"), limits.get("deploymentCircuitBreaker")
    return replace(
        before,
        way=Way(limits.get("strategy", before.way)),
        controller=Controller(controller.get("type", before.controller)),
        bake=timedelta(minutes=bake) if bake is not None else before.bake,
        circuit_breaker=breaker["enable"] if breaker is not None else before.circuit_breaker,
    )


def _constrain(service: Service, member_of: str, *, distinct: bool) -> None:
    service.distinct_instances, service.member_of = distinct, member_of
    of_service = parse_placement(member_of) if member_of else lambda _: True

    def suits(instance: ContainerInstance) -> bool:
        of_definition = service.deployments[0].definition.workload.member_of
        return of_service(instance) and (not of_definition or parse_placement(of_definition)(instance))

    service.suits = suits


def _shares(cluster: Cluster, strategy: list[Shape]) -> tuple[ProviderShare, ...]:
    for each in strategy:
        name = each["capacityProvider"]
        if name not in cluster.providers and name not in FARGATE_PROVIDERS:
            raise invalid_parameter(f"The specified capacity provider '{name}' was not found.")
    return tuple(
        ProviderShare(each["capacityProvider"], each.get("weight", 0), each.get("base", 0)) for each in strategy
    )
