"""Authorizes the calls that moto serves itself: S3, IAM, parameters, logs, queues.

moto has one place where it would check signatures and permissions, `_authenticate_and_authorize_action`. Its own check
ignores resources and most conditions, so this replaces it. The world authorizes the calls that it serves itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import AccessDeniedError, JsonRESTError
from moto.iam.access_control import PermissionResult
from moto.s3.exceptions import S3ClientError
from moto.s3.models import FakeBucket
from tests.account.iam.iam_requests import IamRequest
from tests.account.iam.policy import Decision, Policy, decide

from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.account.iam.gate import Gate

SEAM = "_authenticate_and_authorize_action"
BUCKET_SEAM = "get_permission"

GATES: dict[int, tuple[Gate, Callable[[str, str, dict[str, Any], str], Call]]] = {}
"""By server port: its gate, and how its world records a call."""


class _Denied(AccessDeniedError):
    """For protocols of XML."""

    def __init__(self, message: str) -> None:
        super().__init__("", "")
        self.message = message
        self.description = self.get_body()


def install(port: int, gate: Gate, write_down: Callable[[str, str, dict[str, Any], str], Call]) -> None:
    """Authorize moto's requests on this port."""
    setattr(ActionAuthenticatorMixin, SEAM, _check)
    setattr(FakeBucket, BUCKET_SEAM, _bucket_permission)
    GATES[port] = (gate, write_down)


def uninstall(port: int) -> None:
    """Stop authorizing them."""
    GATES.pop(port, None)


def _bucket_permission(bucket: FakeBucket, action: str, resource: str) -> PermissionResult:
    """The decision of a bucket's policy; moto treats a condition without a key as true."""
    if bucket.policy is None:
        return PermissionResult.NEUTRAL
    # Loopback stands for the encrypted connections of real endpoints.
    ask = IamRequest(action, resource, {"aws:securetransport": ("true",)})
    denied = decide(ask, (Policy.read(bucket.policy.decode()),)) is Decision.DENIED
    return PermissionResult.DENIED if denied else PermissionResult.NEUTRAL


def _check(response: Any, _checker: type, resource: str = "*") -> None:
    # Not every class of moto's keeps the request; all of them keep its headers.
    found = GATES.get(int(response.headers["Host"].rpartition(":")[2]))
    if found is None:
        return
    gate, write_down = found
    service = response.service_name
    params = _s3_params(response, resource) if service == "s3" else _params(response)
    caller = response.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
    try:
        gate.authorize(write_down(service, response._get_action(), params, caller))
    except AwsError as error:
        if service == "s3":
            raise S3ClientError(error.code, error.message) from error
        if response.headers.get("X-Amz-Target"):
            raise JsonRESTError(error.code, error.message) from error
        raise _Denied(error.message) from error


def _params(response: Any) -> dict[str, Any]:
    """A request's members: all of them from JSON, the scalar ones from a query."""
    if response.headers.get("X-Amz-Target"):
        return dict(json.loads(response.body or "{}"))
    return {name: values[0] for name, values in (getattr(response, "querystring", None) or {}).items() if values}


def _s3_params(response: Any, resource: str) -> dict[str, Any]:
    """From the ARN that moto makes of a request, its query and its headers."""
    bucket, _, key = resource.split(":::", 1)[1].partition("/")
    query = parse_qs(urlsplit(response.uri).query)
    found = {"Bucket": bucket, "Key": key, "Prefix": query.get("prefix", [""])[0]}
    conditions = {"IfMatch": "If-Match", "IfNoneMatch": "If-None-Match"}
    return {**found, **{name: response.headers.get(header, "") for name, header in conditions.items()}}
