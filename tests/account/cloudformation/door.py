"""Serves CloudFormation over HTTP, in place of moto's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import moto.cloudformation.urls
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.responses import ActionResult
from moto.core.utils import get_service_model

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.wire.errors import query_error

if TYPE_CHECKING:
    from tests.account.cloudformation.service import CloudFormation

SERVED: dict[int, CloudFormation] = {}
"""By server port."""

_URL = "{0}/$"


class Door(CloudFormationResponse):
    """Serves our stacks. moto serves none, so that no stack is split between the two."""

    # Our answers have the API's format already; moto's objects need their attributes renamed.
    RESPONSE_KEY_PATH_TO_TRANSFORMER: dict[str, Any] = {}  # noqa: RUF012 - moto declares it so

    def call_action(self) -> tuple[int, dict[str, str], str | bytes]:
        """Serve one request."""
        served = SERVED[int(self.normalized_request.environ["SERVER_PORT"])]
        action = self._get_action()
        try:
            handler = served.handler(action)
            status, headers, body = self.serialized(ActionResult(handler(self._request(action))))
        except AwsError as error:
            refusal = query_error(error.code, error.message)
            status, headers, body = error.status, {"Content-Type": refusal.content_type}, refusal.text
        headers, body = self._enrich_response(headers, body)
        return status, headers, body

    def _request(self, action: str) -> dict[str, Any]:
        service = get_service_model("cloudformation")
        request = self.normalized_request
        parser = PROTOCOL_PARSERS[service.protocol](service.operation_model(action), map_type=dict)
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


def install(port: int, stacks: CloudFormation) -> None:
    """Serve these stacks on a server that listens on this port."""
    moto.cloudformation.urls.url_paths[_URL] = Door.dispatch
    SERVED[port] = stacks


def uninstall(port: int) -> None:
    """Stop serving them."""
    SERVED.pop(port, None)
