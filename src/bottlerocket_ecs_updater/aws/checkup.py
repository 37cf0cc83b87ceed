"""AWS calls that only `doctor` makes: it checks the caller, the resources and the permissions.

To test a permission, it calls the action on a target that does not exist. With the permission the reply is "no such
target", without it a denial. Neither changes anything, because IAM authorizes a request before the service looks at
the target.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.request import Request

from bottlerocket_ecs_updater.aws.survey_shapes import capacity_provider
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Clients
from bottlerocket_ecs_updater.aws.transport.translate import CallRefused
from bottlerocket_ecs_updater.aws.transport.web import Terms, ask
from bottlerocket_ecs_updater.errors import NotFound, Unreachable

NO_SUCH_ID = "0" * 32
"""An id that no container instance or task has."""

ABSENT_INSTANCE = "i-00000000000000000"
NO_COMMAND = "00000000-0000-0000-0000-000000000000"
DOCTOR_ATTRIBUTE = "bottlerocket-ecs-updater.doctor"
ARCHITECTURES = {"amd64": "X86_64", "arm64": "ARM64"}
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
CONFIGURATION = Terms(seconds=20, redirects=2, body_max=1_000_000)
"""An image's configuration has a few thousand bytes."""


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

    @property
    def active(self) -> bool:
        """Whether instances and tasks can be registered in it."""
        return self.status == "ACTIVE"


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
    without: str = ""
    """What a run does without it; empty if a run cannot do without it."""


@dataclass(frozen=True, slots=True)
class _Tried:
    """A call whose target does not exist, or that only reads."""

    operation: Operation
    service: str
    method: str
    request: Mapping[str, Any]
    without: str = ""


def _of_cluster(arn: str) -> Iterator[_Tried]:
    """Calls of ECS, for one cluster."""
    here = {"cluster": arn}
    instance, task = (
        f"{arn.replace(':cluster/', f':{kind}/')}/{NO_SUCH_ID}" for kind in ("container-instance", "task")
    )
    mark = {"name": DOCTOR_ATTRIBUTE, "targetType": "container-instance", "targetId": instance}
    service = f"{arn.replace(':cluster/', ':service/')}/doctor"
    first = {**here, "maxResults": 1}
    instances = {**here, "containerInstances": [instance]}
    yield _Tried(Operation.LIST_CONTAINER_INSTANCES, "ecs", "list_container_instances", first)
    yield _Tried(Operation.DESCRIBE_CONTAINER_INSTANCES, "ecs", "describe_container_instances", instances)
    yield _Tried(Operation.LIST_TASKS, "ecs", "list_tasks", first)
    yield _Tried(Operation.DESCRIBE_TASKS, "ecs", "describe_tasks", {**here, "tasks": [task]})
    yield _Tried(Operation.LIST_SERVICES, "ecs", "list_services", first)
    yield _Tried(Operation.DESCRIBE_SERVICES, "ecs", "describe_services", {**here, "services": [service]})
    back = {**instances, "status": "ACTIVE"}
    yield _Tried(Operation.UPDATE_CONTAINER_INSTANCES_STATE, "ecs", "update_container_instances_state", back)
    put = {**here, "attributes": [{**mark, "value": "doctor"}]}
    yield _Tried(Operation.PUT_ATTRIBUTES, "ecs", "put_attributes", put)
    yield _Tried(Operation.DELETE_ATTRIBUTES, "ecs", "delete_attributes", {**here, "attributes": [mark]})
    without = "hosts whose tasks are protected may be drained"
    protection = {**here, "tasks": [task]}
    yield _Tried(Operation.GET_TASK_PROTECTION, "ecs", "get_task_protection", protection, without)
    without = "whether tasks fit elsewhere is not checked before a drain"
    definition = {"taskDefinition": "doctor:999999"}
    yield _Tried(Operation.DESCRIBE_TASK_DEFINITION, "ecs", "describe_task_definition", definition, without)
    providers = {**here, "capacityProviders": ["doctor"]}
    yield _Tried(Operation.DESCRIBE_CAPACITY_PROVIDERS, "ecs", "describe_capacity_providers", providers, without)


_GROUP = "bottlerocket-ecs-updater-doctor"
_NO_GROUPS = "an instance that its Auto Scaling group is replacing or terminating may be updated"
_OF_GROUPS = (
    _Tried(
        Operation.DESCRIBE_AUTO_SCALING_INSTANCES,
        "autoscaling",
        "describe_auto_scaling_instances",
        {"InstanceIds": [ABSENT_INSTANCE]},
        _NO_GROUPS,
    ),
    _Tried(
        Operation.DESCRIBE_AUTO_SCALING_GROUPS,
        "autoscaling",
        "describe_auto_scaling_groups",
        {"AutoScalingGroupNames": [_GROUP]},
        "whether a group may add instances for tasks that must move is not known",
    ),
    _Tried(
        Operation.DESCRIBE_INSTANCE_REFRESHES,
        "autoscaling",
        "describe_instance_refreshes",
        {"AutoScalingGroupName": _GROUP},
        "an instance that its Auto Scaling group is replacing may be updated",
    ),
    _Tried(
        Operation.DESCRIBE_INSTANCES,
        "ec2",
        "describe_instances",
        {"InstanceIds": [ABSENT_INSTANCE]},
        "an instance that somebody stopped counts as unavailable",
    ),
    _Tried(
        Operation.DESCRIBE_INSTANCE_TYPES,
        "ec2",
        "describe_instance_types",
        {"InstanceTypes": ["doctor"]},
        "free network interfaces and EBS attachments are not counted before a drain",
    ),
)
_OF_COMMANDS = (
    _Tried(
        Operation.DESCRIBE_INSTANCE_INFORMATION,
        "ssm",
        "describe_instance_information",
        {"Filters": [{"Key": "InstanceIds", "Values": [ABSENT_INSTANCE]}]},
    ),
    _Tried(Operation.LIST_COMMANDS, "ssm", "list_commands", {"CommandId": NO_COMMAND}),
    _Tried(Operation.LIST_COMMAND_INVOCATIONS, "ssm", "list_command_invocations", {"CommandId": NO_COMMAND}),
    _Tried(
        Operation.GET_COMMAND_INVOCATION,
        "ssm",
        "get_command_invocation",
        {"CommandId": NO_COMMAND, "InstanceId": ABSENT_INSTANCE},
    ),
    _Tried(
        Operation.CANCEL_COMMAND,
        "ssm",
        "cancel_command",
        {"CommandId": NO_COMMAND},
        "a command that gives no result is not cancelled",
    ),
)


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
        client: Any = self._made["ecs"]
        raise NotFound(f"there is no cluster {self._cluster} in {client.meta.region_name} in the caller's account")

    def document(self, name: str) -> str:
        """The content of a document, as JSON."""
        reply = self._look(Operation.GET_DOCUMENT, "ssm", "get_document", Name=name, DocumentFormat="JSON")
        return str(reply.get("Content", ""))

    def protected(self, providers: Sequence[str]) -> Mapping[str, str]:
        """Those of these capacity providers that have managed termination protection, with their Auto Scaling group."""
        if not providers:
            return {}
        # Managed Instances providers belong to a cluster, and ECS describes them only if the request names it.
        request = {"cluster": self._cluster, "capacityProviders": list(providers)}
        reply = self._look(Operation.DESCRIBE_CAPACITY_PROVIDERS, "ecs", "describe_capacity_providers", **request)
        found = [capacity_provider(shape, {}) for shape in reply.get("capacityProviders", ())]
        return {one.name: one.group for one in found if one.protects_busy}

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
        """The architectures of an ECR image, as task definitions name them. None if it is in another registry.

        An index lists them; an image for one architecture names it in its configuration, which ECR keeps like a layer.
        """
        registry, _, path = image.partition("/")
        if ".dkr.ecr." not in registry:
            return None
        name, _, digest = path.partition("@")
        repository, _, tag = name.partition(":")
        which = {"imageDigest": digest} if digest else {"imageTag": tag or "latest"}
        account, _, rest = registry.partition(".dkr.ecr.")
        client: Any = self._clients.in_region("ecr", rest.split(".")[0])
        of = {"registryId": account, "repositoryName": repository}
        request = {**of, "imageIds": [which], "acceptedMediaTypes": MANIFESTS}
        reply = self._api.look(Operation.BATCH_GET_IMAGE, image, client.batch_get_image, **request)
        for shape in reply.get("images", ()):
            manifest = json.loads(shape.get("imageManifest", "{}"))
            listed = manifest.get("manifests")
            if listed is None:
                config = {**of, "layerDigest": manifest.get("config", {}).get("digest", "")}
                listed = [{"platform": self._configuration(image, client, config)}]
            names = {each.get("platform", {}).get("architecture", "") for each in listed}
            # BuildKit lists what it attests as an image for "unknown".
            return frozenset(ARCHITECTURES.get(each, each) for each in names - {"", "unknown"})
        raise NotFound(f"there is no image {image}")

    def _configuration(self, image: str, client: Any, config: Mapping[str, str]) -> Mapping[str, Any]:
        """The configuration of an image for one architecture. Raises Unreachable if it cannot be downloaded."""
        operation = Operation.GET_DOWNLOAD_URL_FOR_LAYER
        url = self._api.look(operation, image, client.get_download_url_for_layer, **config)["downloadUrl"]
        try:
            # A signed URL of S3.
            reply = ask(Request(url), CONFIGURATION)  # noqa: S310
            found: Mapping[str, Any] = json.loads(reply.body) if reply.status == HTTPStatus.OK else {}
        except (OSError, HTTPException, ValueError) as error:
            why = f"the image's configuration could not be read ({error})"
            raise Unreachable(f"the architecture was not checked: {why}") from error
        if "architecture" not in found:
            raise Unreachable(f"the architecture was not checked: the image's configuration ended in {reply.status}")
        return found

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
        """A test for each action that every run uses and that can be tested without side effects."""
        for tried in (*_of_cluster(cluster_arn), *_OF_GROUPS, *_OF_COMMANDS):
            yield self._question(tried)

    def alarms(self, names: Sequence[str]) -> Question:
        """Test whether alarms can be read."""
        request = {"AlarmNames": list(names)}
        return self._question(_Tried(Operation.DESCRIBE_ALARMS, "cloudwatch", "describe_alarms", request))

    def calendar(self, arn: str) -> Question:
        """Test whether a change calendar can be read."""
        request = {"CalendarNames": [arn]}
        return self._question(_Tried(Operation.GET_CALENDAR_STATE, "ssm", "get_calendar_state", request))

    def published(self) -> Question:
        """Test whether the public parameters of Bottlerocket can be read."""
        request = {"Names": ["/aws/service/bottlerocket/doctor"]}
        return self._question(_Tried(Operation.GET_PARAMETERS, "ssm", "get_parameters", request))

    def sending(self, document: str) -> Question:
        """Test whether the caller may send a document, with an instance that does not exist."""
        request = {"DocumentName": document, "InstanceIds": [ABSENT_INSTANCE], "TimeoutSeconds": 30}
        return self._question(_Tried(Operation.SEND_COMMAND, "ssm", "send_command", request))

    def putting(self, bus: str) -> Question:
        """Test whether the caller may put events on a bus. The event's detail is not JSON, so it is never delivered."""
        entry = {"EventBusName": bus, "Source": "bottlerocket-ecs-updater", "DetailType": "doctor", "Detail": "no JSON"}
        request = {"Entries": [entry]}
        return self._question(_Tried(Operation.PUT_EVENTS, "events", "put_events", request))

    def _question(self, tried: _Tried) -> Question:
        def ask() -> None:
            # If AWS looked for the target, the action is allowed.
            with suppress(CallRefused, NotFound):
                self._look(tried.operation, tried.service, tried.method, **tried.request)

        return Question(tried.operation.action, ask, tried.without)

    def _look(self, operation: Operation, service: str, method: str, **request: Any) -> Mapping[str, Any]:
        client = self._made.get(service)
        if client is None:
            client = self._made[service] = self._clients.in_region(service, self._region)
        about = str(request.get("Name") or request.get("DocumentName") or request.get("cluster") or "*")
        reply: Mapping[str, Any] = self._api.look(operation, about, getattr(client, method), **request)
        return reply
