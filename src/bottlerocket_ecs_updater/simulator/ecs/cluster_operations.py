"""Operations on clusters, task definitions and capacity providers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from bottlerocket_ecs_updater.core.model.capacity_provider import FARGATE_PROVIDERS
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.names import last_part
from bottlerocket_ecs_updater.simulator.aws_basics.paging import ECS_PAGES, list_page
from bottlerocket_ecs_updater.simulator.ecs.model import CapacityProvider
from bottlerocket_ecs_updater.simulator.ecs.requests import LIST_PAGE, UNKNOWN_NAME, check_count, invalid_parameter
from bottlerocket_ecs_updater.simulator.ecs.shapes import cluster_shape, definition_shape, provider_shape
from bottlerocket_ecs_updater.simulator.ecs.specs import Workload

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.ecs.registry import Registry
    from bottlerocket_ecs_updater.simulator.ecs.requests import Handler

T = TypeVar("T")

CLUSTERS_DESCRIBED = 100
PROVIDERS_PAGE = 10
DEFAULT_MEMORY = 256


class ClusterOperations:
    """ListClusters, RegisterTaskDefinition and related operations."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def handlers(self) -> dict[str, Handler]:
        """By the operation's name."""
        return {
            "CreateCluster": self.create,
            "DeleteCluster": self.delete,
            "ListClusters": self.list_clusters,
            "DescribeClusters": self.describe,
            "DescribeCapacityProviders": self.describe_capacity_providers,
            "RegisterTaskDefinition": self.register_definition,
            "DeregisterTaskDefinition": self.deregister_definition,
            "DescribeTaskDefinition": self.describe_definition,
            "ListTaskDefinitionFamilies": self.list_families,
            "ListTaskDefinitions": self.list_definitions,
        }

    def create(self, request: Shape) -> Shape:
        """Create an empty cluster, or return the existing one with that name."""
        cluster = self._registry.create_cluster(request.get("clusterName") or "default")
        cluster.tags = list(request.get("tags", cluster.tags))
        return {"cluster": cluster_shape(cluster)}

    def delete(self, request: Shape) -> Shape:
        """Delete a cluster that has no instances, services or running tasks."""
        cluster = self._registry.cluster(request)
        shape = cluster_shape(cluster)
        for count, what in (
            ("registeredContainerInstancesCount", "ContainerInstances"),
            ("activeServicesCount", "Services"),
            ("runningTasksCount", "Tasks"),
            ("pendingTasksCount", "Tasks"),
        ):
            if shape[count]:
                raise AwsError(f"ClusterContains{what}Exception", f"The cluster contains {shape[count]} of {what}.")
        self._registry.delete_cluster(cluster)
        return {"cluster": {**shape, "status": "INACTIVE"}}

    def list_clusters(self, request: Shape) -> Shape:
        """ARNs of all clusters."""
        records = [_Numbered(number, cluster) for number, cluster in enumerate(self._registry.clusters.values(), 1)]
        found, more = list_page(records, request, ECS_PAGES, LIST_PAGE)
        return {"clusterArns": [each.value.arn for each in found]} | more

    def describe(self, request: Shape) -> Shape:
        """Up to 100; `default` if none is named."""
        asked = request.get("clusters") or ["default"]
        check_count(asked, CLUSTERS_DESCRIBED, "Clusters")
        clusters: list[Shape] = []
        failures: list[Shape] = []
        for name in asked:
            cluster = self._registry.clusters.get(last_part(name))
            if cluster is None:
                failures.append({"arn": self._registry.names.ecs("cluster", last_part(name)), "reason": UNKNOWN_NAME})
            else:
                clusters.append(cluster_shape(cluster))
        return {"clusters": clusters, "failures": failures}

    def describe_capacity_providers(self, request: Shape) -> Shape:
        """AWS's own providers, those of Auto Scaling groups, and all providers of a named cluster."""
        clusters = [self._registry.cluster(request)] if request.get("cluster") else self._registry.clusters.values()
        known: dict[str, tuple[str, CapacityProvider]] = {
            name: ("", CapacityProvider(name)) for name in FARGATE_PROVIDERS
        }
        for cluster in clusters:
            for provider in cluster.providers.values():
                if request.get("cluster") or not provider.managed:
                    known[provider.name] = cluster.arn, provider
        asked = [last_part(name) for name in request.get("capacityProviders") or known]
        check_count(asked, CLUSTERS_DESCRIBED, "Capacity providers")
        found = [_Numbered(number, known[name]) for number, name in enumerate(asked, 1) if name in known]
        shown, more = list_page(found, request, ECS_PAGES, PROVIDERS_PAGE)
        return {
            "capacityProviders": [
                provider_shape(provider, self._registry.names.ecs("capacity-provider", provider.name), cluster_arn)
                for cluster_arn, provider in (each.value for each in shown)
            ],
            "failures": [
                {"arn": self._registry.names.ecs("capacity-provider", name), "reason": UNKNOWN_NAME}
                for name in asked
                if name not in known and not request.get("nextToken")
            ],
        } | more

    def register_definition(self, request: Shape) -> Shape:
        """The next revision of a family."""
        containers = request["containerDefinitions"]
        if not containers:
            raise AwsError("ClientException", "Container list cannot be empty.")
        earlier = self._registry.newest(request["family"])
        workload = _workload(request, earlier.workload if earlier is not None else Workload())
        definition = self._registry.define(request["family"], workload, dict(request))
        return {"taskDefinition": definition_shape(definition), "tags": list(request.get("tags", []))}

    def deregister_definition(self, request: Shape) -> Shape:
        """No new tasks start from it; running tasks and existing services continue."""
        name = request["taskDefinition"]
        if ":" not in last_part(name):
            raise AwsError("ClientException", "Revision is missing from the task definition.")
        definition = self._registry.definition(name)
        definition.registered["status"] = "INACTIVE"
        return {"taskDefinition": definition_shape(definition)}

    def list_families(self, request: Shape) -> Shape:
        """The families with that name prefix, including those that moto holds."""
        names = {last_part(arn).partition(":")[0] for arn in self._definition_arns("ACTIVE")}
        prefix = request.get("familyPrefix", "")
        return {"families": sorted(name for name in names if name.startswith(prefix))}

    def _definition_arns(self, status: str) -> list[str]:
        own = (one for revisions in self._registry.definitions.values() for one in revisions)
        arns = [one.arn for one in own if one.registered.get("status", "ACTIVE") == status]
        others = (arn for source in self._registry.other_definition_arns for arn in source(status))
        return [*arns, *(arn for arn in others if not self._registry.defines(arn))]

    def describe_definition(self, request: Shape) -> Shape:
        """One revision, or the newest of a family."""
        definition = self._registry.definition(request["taskDefinition"])
        return {"taskDefinition": definition_shape(definition), "tags": definition.registered.get("tags", [])}

    def list_definitions(self, request: Shape) -> Shape:
        """ARNs of all revisions, or of the families with that prefix."""
        prefix = request.get("familyPrefix")
        arns = [
            arn
            for arn in self._definition_arns(request.get("status", "ACTIVE"))
            if prefix in (None, last_part(arn).partition(":")[0])
        ]
        if request.get("sort") == "DESC":
            arns.reverse()
        if request.get("nextToken"):
            raise invalid_parameter("Invalid token.")
        return {"taskDefinitionArns": arns}


class _Numbered(Generic[T]):
    """A record with its position, for paging."""

    def __init__(self, number: int, value: T) -> None:
        self.number = number
        self.value = value


def _workload(request: Shape, earlier: Workload) -> Workload:
    """The resources that the request names, with the behavior of the earlier revision."""
    containers = request["containerDefinitions"]
    cpu = int(request.get("cpu") or 0) or sum(each.get("cpu", 0) for each in containers)
    memory = int(request.get("memory") or 0) or sum(
        each.get("memory") or each.get("memoryReservation") or DEFAULT_MEMORY for each in containers
    )
    ports = [port["hostPort"] for each in containers for port in each.get("portMappings", []) if port.get("hostPort")]
    stop = max((each.get("stopTimeout", 30) for each in containers), default=30)
    expressions = [each["expression"] for each in request.get("placementConstraints", []) if each.get("expression")]
    return replace(
        earlier,
        cpu=cpu,
        memory=memory,
        host_ports=tuple(ports),
        stop_timeout=timedelta(seconds=stop),
        awsvpc=request.get("networkMode") == "awsvpc",
        ebs=any(volume.get("configuredAtLaunch") for volume in request.get("volumes", [])),
        member_of=" and ".join(f"({expression})" for expression in expressions),
    )
