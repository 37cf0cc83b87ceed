"""moto's response classes for ECS, SSM and others, with the world serving some of the operations instead of moto.

moto looks up the class for a service in a table; `install` puts these classes there. A request's port identifies its
world, so one process can serve several worlds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import moto.autoscaling.urls
import moto.cloudwatch.urls
import moto.ec2.urls
import moto.ecs.urls
import moto.ssm.urls
from moto.autoscaling.responses import AutoScalingResponse
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import determine_request_protocol
from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import camelcase_to_underscores, get_service_model, method_names_from_class
from moto.ec2.responses import EC2Response
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.ssm.responses import SimpleSystemManagerResponse

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.wire.errors import ec2_error, json_error, query_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from bottlerocket_ecs_updater.simulator.wire.errors import ErrorBody
    from bottlerocket_ecs_updater.simulator.world.world import World

HttpAnswer = tuple[int, dict[str, str], str | bytes]

WORLDS: dict[int, World] = {}
"""Worlds by server port."""

SWAPPED = frozenset({"autoscaling", "ec2", "ecs", "monitoring", "ssm"})
"""The services with a class here, by their signing names."""

DOCUMENT_OPERATIONS = frozenset({"CreateDocument", "DescribeDocument", "GetDocument"})
"""moto serves documents, so that the documents of a CloudFormation stack are the ones that run."""

MOTO_ECS = frozenset(
    {
        "ListAccountSettings",
        "ListTagsForResource",
        "PutAccountSetting",
        "TagResource",
        "UntagResource",
    }
)
"""The ECS operations that moto serves."""

DEFINITION_OPERATIONS = frozenset({"DeregisterTaskDefinition", "DescribeTaskDefinition", "RegisterTaskDefinition"})
"""The world serves these for its own services' families; moto serves the task definitions of stacks."""


class _WorldResponse(BaseResponse):
    """Shared by the classes: who serves an operation, and how its answer is formatted."""

    SERVICE = ""
    REGIONAL = True
    """Whether moto serves other Regions."""

    def call_action(self) -> HttpAnswer:
        """Serve one request, by the world or by moto."""
        action = self._get_action()
        world = self.world()
        try:
            if self.served_by_world(world, action):
                return self._from_world(world, action)
        except AwsError as error:
            return self._refusal(error)
        if self.left_to_moto(action):
            return self.from_moto()
        return self._refusal(AwsError("UnsupportedOperation", f"{self.SERVICE}:{action} is not simulated."))

    def world(self) -> World:
        """The world of this request, in its signing Region."""
        world = WORLDS[int(self.normalized_request.environ["SERVER_PORT"])]
        return world if self.region == world.names.region or self.REGIONAL else world.elsewhere(self.region)

    def served_by_world(self, world: World, action: str) -> bool:
        """Whether the world serves this operation in this request's Region."""
        return world.simulates(self.SERVICE, action) and self.region == world.names.region

    def left_to_moto(self, action: str) -> bool:
        """Whether moto serves it: it implements it, and has the records."""
        return camelcase_to_underscores(action) in method_names_from_class(self.__class__)

    def from_moto(self) -> HttpAnswer:
        """moto's answer."""
        return super().call_action()

    def _from_world(self, world: World, action: str) -> HttpAnswer:
        answer = world.call(self.SERVICE, action, self._request(action), self._caller())
        # moto converts its records to the wire format; the world's answers already have that format.
        self.RESPONSE_KEY_PATH_TO_TRANSFORMER = {}
        status, headers, body = self.serialized(ActionResult(answer))
        headers, body = self._enrich_response(headers, body)
        return status, headers, body

    def _request(self, action: str) -> dict[str, Any]:
        service = get_service_model(self.SERVICE)
        request = self.normalized_request
        protocol = determine_request_protocol(service, request.content_type)
        parser = PROTOCOL_PARSERS[protocol](service.operation_model(action), map_type=dict)
        parsed = parser.parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": request.headers,
                "body": request.data,
                "url_path": request.path,
                "url_params": {},
            }
        )
        return dict(parsed or {})

    def _caller(self) -> str:
        """The access key that signed the request."""
        scope = self.headers.get("Authorization", "").partition("Credential=")[2]
        return str(scope.partition("/")[0]) or "anonymous"

    def _refusal(self, error: AwsError) -> HttpAnswer:
        body = self._writer()(error.code, error.message)
        headers, text = self._enrich_response({"Content-Type": body.content_type}, body.text)
        return error.status, headers, text

    def _writer(self) -> Callable[[str, str], ErrorBody]:
        if self.SERVICE == "ec2":
            return ec2_error
        form = "x-www-form-urlencoded" in (self.normalized_request.content_type or "")
        return query_error if form else json_error


class WorldEcs(_WorldResponse, EC2ContainerServiceResponse):
    """ECS: served by the world, except task definitions."""

    SERVICE = "ecs"
    REGIONAL = False
    # moto converts attributes from a mapping to a list here; the world already has a list.
    RESPONSE_KEY_PATH_TO_TRANSFORMER: dict[str, Any] = {}  # noqa: RUF012 - moto declares it so

    def served_by_world(self, world: World, action: str) -> bool:
        if action in MOTO_ECS:
            return False
        if action in ("DescribeTaskDefinition", "DeregisterTaskDefinition"):
            return world.ecs.registry.defines(self._request(action).get("taskDefinition", ""))
        if action == "RegisterTaskDefinition":
            return world.ecs.registry.newest(self._request(action).get("family", "")) is not None
        return super().served_by_world(world, action)

    def left_to_moto(self, action: str) -> bool:
        return action in MOTO_ECS or action in DEFINITION_OPERATIONS


class WorldSsm(_WorldResponse, SimpleSystemManagerResponse):
    """SSM: the world serves Run Command and public parameters, moto serves documents and other parameters."""

    SERVICE = "ssm"
    REGIONAL = False

    def served_by_world(self, world: World, action: str) -> bool:
        if action in world.published.handlers() and not world.published.is_ours(self._request(action)):
            return False
        return action not in DOCUMENT_OPERATIONS and super().served_by_world(world, action)


class WorldEc2(_WorldResponse, EC2Response):
    """EC2: the world serves instances, and launch templates if it has any; moto serves networks and the rest."""

    SERVICE = "ec2"

    def served_by_world(self, world: World, action: str) -> bool:
        moto_has_it = action in world.launch_templates.handlers() and not world.launch_templates.has_templates
        return not moto_has_it and super().served_by_world(world, action)


class WorldAutoScaling(_WorldResponse, AutoScalingResponse):
    """Auto Scaling: the world serves its groups if it has any; otherwise moto, so that stacks can create groups."""

    SERVICE = "autoscaling"

    def served_by_world(self, world: World, action: str) -> bool:
        return world.autoscaling.has_groups and super().served_by_world(world, action)


class WorldCloudWatch(_WorldResponse, CloudWatchResponse):
    """CloudWatch: the world serves its alarms if it has any, and composite ones; otherwise moto."""

    SERVICE = "cloudwatch"

    def served_by_world(self, world: World, action: str) -> bool:
        ours = world.cloudwatch.has_alarms or action == "PutCompositeAlarm"
        return ours and super().served_by_world(world, action)


def install() -> None:
    """Register the classes with moto. Must be called before a server's first request."""
    moto.ecs.urls.url_paths["{0}/$"] = WorldEcs.dispatch
    moto.ssm.urls.url_paths["{0}/$"] = WorldSsm.dispatch
    moto.autoscaling.urls.url_paths["{0}/$"] = WorldAutoScaling.dispatch
    moto.cloudwatch.urls.url_paths["{0}/$"] = WorldCloudWatch.dispatch
    moto.ec2.urls.url_paths["{0}/"] = WorldEc2.dispatch
