"""AWS calls that only `doctor` makes: it checks the caller, the resources and the permissions.

To test a permission, it calls the action on a target that does not exist. With the permission the reply is "no such
target", without it a denial. Neither changes anything, because IAM authorizes a request before the service looks at
the target.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Clients
from bottlerocket_ecs_updater.aws.transport.translate import CallRefused
from bottlerocket_ecs_updater.errors import NotFound

NOWHERE = "0" * 32
"""An id that no container instance or task has."""

NO_INSTANCE = "i-00000000000000000"
NO_COMMAND = "00000000-0000-0000-0000-000000000000"
ATTRIBUTE = "bottlerocket-ecs-updater.doctor"
ARCHITECTURES = {"amd64": "X86_64", "arm64": "ARM64"}


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller's ARN, and how far our clock is behind AWS's."""

    arn: str
    skew: timedelta | None


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """A cluster as ECS describes it."""

    arn: str
    status: str
    instances: int


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """The container settings in the updater's task definition."""

    image: str
    architecture: str
    log_group: str


@dataclass(frozen=True, slots=True)
class Question:
    """A harmless test of whether one action is allowed."""

    action: str
    ask: Callable[[], object]


class AwsCheckup:
    """Makes read-only calls, and write calls that cannot take effect. All raise what `Api.look` raises."""

    def __init__(self, clients: Clients, api: Api, cluster: str, region: str | None) -> None:
        self._clients = clients
        self._api = api
        self._cluster = cluster
        self._region = region
        self._made: dict[str, object] = {}

    def caller(self, now: Callable[[], datetime]) -> Caller:
        """The identity behind the credentials, and the clock skew."""
        reply = self._look(Operation.GET_CALLER_IDENTITY, "sts", "get_caller_identity")
        date = reply.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
        return Caller(reply["Arn"], parsedate_to_datetime(date) - now() if date else None)

    def cluster(self) -> ClusterFacts:
        """The cluster. Raises NotFound if this Region has no cluster with that name."""
        reply = self._look(Operation.DESCRIBE_CLUSTERS, "ecs", "describe_clusters", clusters=[self._cluster])
        for shape in reply.get("clusters", ()):
            count = int(shape.get("registeredContainerInstancesCount", 0))
            return ClusterFacts(shape.get("clusterArn", ""), shape.get("status", ""), count)
        raise NotFound(f"there is no cluster {self._cluster} in this account and Region")

    def document(self, name: str) -> str:
        """The content of a document, as JSON."""
        reply = self._look(Operation.GET_DOCUMENT, "ssm", "get_document", Name=name, DocumentFormat="JSON")
        return str(reply.get("Content", ""))

    def protected(self, providers: Sequence[str]) -> frozenset[str]:
        """Those of these capacity providers that have managed termination protection."""
        if not providers:
            return frozenset()
        # Managed Instances providers belong to a cluster, and ECS describes them only if the request names it.
        request = {"cluster": self._cluster, "capacityProviders": list(providers)}
        reply = self._look(Operation.DESCRIBE_CAPACITY_PROVIDERS, "ecs", "describe_capacity_providers", **request)
        return frozenset(
            shape.get("name", "")
            for shape in reply.get("capacityProviders", ())
            if shape.get("autoScalingGroupProvider", {}).get("managedTerminationProtection") == "ENABLED"
        )

    def task(self, definition: str) -> TaskFacts:
        """The updater's own task definition."""
        operation = Operation.DESCRIBE_TASK_DEFINITION
        reply = self._look(operation, "ecs", "describe_task_definition", taskDefinition=definition)
        shape = reply.get("taskDefinition", {})
        [container, *_] = shape.get("containerDefinitions") or [{}]
        options = container.get("logConfiguration", {}).get("options", {})
        architecture = shape.get("runtimePlatform", {}).get("cpuArchitecture", "X86_64")
        return TaskFacts(container.get("image", ""), architecture, options.get("awslogs-group", ""))

    def platforms(self, image: str) -> frozenset[str] | None:
        """The architectures of an ECR image. None in another registry, or if the manifest does not list them."""
        registry, _, path = image.partition("/")
        if ".dkr.ecr." not in registry:
            return None
        name, _, digest = path.partition("@")
        repository, _, tag = name.partition(":")
        which = {"imageDigest": digest} if digest else {"imageTag": tag or "latest"}
        account, _, rest = registry.partition(".dkr.ecr.")
        client: Any = self._clients.in_region("ecr", rest.split(".")[0])
        request = {"registryId": account, "repositoryName": repository, "imageIds": [which]}
        reply = self._api.look(Operation.BATCH_GET_IMAGE, image, client.batch_get_image, **request)
        for shape in reply.get("images", ()):
            listed = json.loads(shape.get("imageManifest", "{}")).get("manifests", ())
            names = (each.get("platform", {}).get("architecture", "") for each in listed)
            return frozenset(ARCHITECTURES[each] for each in names if each in ARCHITECTURES) or None
        raise NotFound(f"there is no image {image}")

    def log_groups(self, name: str) -> Sequence[Mapping[str, Any]]:
        """Log groups whose names start with `name`."""
        operation = Operation.DESCRIBE_LOG_GROUPS
        reply = self._look(operation, "logs", "describe_log_groups", logGroupNamePrefix=name)
        return list(reply.get("logGroups", ()))

    def topic(self, arn: str) -> None:
        """Check that a topic exists."""
        client: Any = self._clients.in_region("sns", arn.split(":")[3])
        self._api.look(Operation.GET_TOPIC_ATTRIBUTES, arn, client.get_topic_attributes, TopicArn=arn)

    def bus(self, name: str) -> None:
        """Check that an event bus exists."""
        client: Any = self._clients.in_region("events", name.split(":")[3] if name.startswith("arn:") else self._region)
        self._api.look(Operation.DESCRIBE_EVENT_BUS, name, client.describe_event_bus, Name=name)

    def questions(self, cluster_arn: str) -> Iterator[Question]:
        """A test for each action that a run needs and that can be tested without side effects."""
        instance = f"{cluster_arn.replace(':cluster/', ':container-instance/')}/{NOWHERE}"
        task = f"{cluster_arn.replace(':cluster/', ':task/')}/{NOWHERE}"
        service = f"{cluster_arn.replace(':cluster/', ':service/')}/doctor"
        here = {"cluster": cluster_arn}
        mark = {"name": ATTRIBUTE, "targetType": "container-instance", "targetId": instance}
        tried: list[tuple[Operation, str, str, dict[str, Any]]] = [
            (Operation.LIST_CONTAINER_INSTANCES, "ecs", "list_container_instances", {**here, "maxResults": 1}),
            (
                Operation.DESCRIBE_CONTAINER_INSTANCES,
                "ecs",
                "describe_container_instances",
                {**here, "containerInstances": [instance]},
            ),
            (Operation.LIST_TASKS, "ecs", "list_tasks", {**here, "maxResults": 1}),
            (Operation.DESCRIBE_TASKS, "ecs", "describe_tasks", {**here, "tasks": [task]}),
            (Operation.LIST_SERVICES, "ecs", "list_services", {**here, "maxResults": 1}),
            (Operation.DESCRIBE_SERVICES, "ecs", "describe_services", {**here, "services": [service]}),
            (
                Operation.DESCRIBE_TASK_DEFINITION,
                "ecs",
                "describe_task_definition",
                {"taskDefinition": "doctor:999999"},
            ),
            (Operation.GET_TASK_PROTECTION, "ecs", "get_task_protection", {**here, "tasks": [task]}),
            (
                Operation.UPDATE_CONTAINER_INSTANCES_STATE,
                "ecs",
                "update_container_instances_state",
                {**here, "containerInstances": [instance], "status": "ACTIVE"},
            ),
            (
                Operation.PUT_ATTRIBUTES,
                "ecs",
                "put_attributes",
                {**here, "attributes": [{**mark, "value": "doctor"}]},
            ),
            (Operation.DELETE_ATTRIBUTES, "ecs", "delete_attributes", {**here, "attributes": [mark]}),
            (
                Operation.DESCRIBE_AUTO_SCALING_INSTANCES,
                "autoscaling",
                "describe_auto_scaling_instances",
                {"InstanceIds": [NO_INSTANCE]},
            ),
            (
                Operation.DESCRIBE_INSTANCE_REFRESHES,
                "autoscaling",
                "describe_instance_refreshes",
                {"AutoScalingGroupName": "bottlerocket-ecs-updater-doctor"},
            ),
            (
                Operation.DESCRIBE_INSTANCE_INFORMATION,
                "ssm",
                "describe_instance_information",
                {"Filters": [{"Key": "InstanceIds", "Values": [NO_INSTANCE]}]},
            ),
            (Operation.LIST_COMMANDS, "ssm", "list_commands", {"CommandId": NO_COMMAND}),
            (Operation.LIST_COMMAND_INVOCATIONS, "ssm", "list_command_invocations", {"CommandId": NO_COMMAND}),
            (
                Operation.GET_COMMAND_INVOCATION,
                "ssm",
                "get_command_invocation",
                {"CommandId": NO_COMMAND, "InstanceId": NO_INSTANCE},
            ),
            (Operation.CANCEL_COMMAND, "ssm", "cancel_command", {"CommandId": NO_COMMAND}),
        ]
        for operation, kind, method, request in tried:
            yield Question(operation.action, self._asking(operation, kind, method, request))

    def sending(self, document: str) -> Question:
        """Test whether the caller may send a document, with an instance that does not exist."""
        request = {"DocumentName": document, "InstanceIds": [NO_INSTANCE], "TimeoutSeconds": 30}
        return Question(
            Operation.SEND_COMMAND.action, self._asking(Operation.SEND_COMMAND, "ssm", "send_command", request)
        )

    def putting(self, bus: str) -> Question:
        """Test whether the caller may put events on a bus. The event's detail is not JSON, so it is never delivered."""
        entry = {"EventBusName": bus, "Source": "bottlerocket-ecs-updater", "DetailType": "doctor", "Detail": "no JSON"}
        request = {"Entries": [entry]}
        return Question(
            Operation.PUT_EVENTS.action, self._asking(Operation.PUT_EVENTS, "events", "put_events", request)
        )

    def _asking(
        self, operation: Operation, service: str, method: str, request: Mapping[str, Any]
    ) -> Callable[[], None]:
        def ask() -> None:
            try:
                self._look(operation, service, method, **request)
            except (CallRefused, NotFound):
                # AWS looked for the target, so the action is allowed.
                return

        return ask

    def _look(self, operation: Operation, service: str, method: str, **request: Any) -> Mapping[str, Any]:
        client = self._made.get(service)
        if client is None:
            client = self._made[service] = self._clients.in_region(service, self._region)
        about = str(request.get("Name") or request.get("cluster") or self._cluster)
        reply: Mapping[str, Any] = self._api.look(operation, about, getattr(client, method), **request)
        return reply
