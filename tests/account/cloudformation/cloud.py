"""The services that create resources: any operation, in botocore's format."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError
from botocore.session import Session

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

Shape = dict[str, Any]

UNCHECKED = "simulated"
"""Signatures are not checked, so any secret will do."""


@lru_cache(maxsize=1)
def _session() -> Session:
    """One shared session, because it caches service models."""
    return Session()


class Cloud(Protocol):
    """Every AWS service of one account and region."""

    def __call__(self, service: str, operation: str, request: Shape) -> Shape:
        """Run one operation. Raises AwsError."""


class HttpCloud:
    """Reaches the services over HTTP, with one access key."""

    def __init__(self, endpoint: str, region: str, key: str, secret: str = UNCHECKED, token: str | None = None) -> None:
        self._endpoint = endpoint
        self._region = region
        self._credentials = (key, secret, token)
        self._client = lru_cache(maxsize=None)(self._make_client)

    def __call__(self, service: str, operation: str, request: Shape) -> Shape:
        method = getattr(self._client(service), xform_name(operation))
        try:
            answer: Shape = method(**request)
        except ClientError as error:
            said = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
            raise AwsError(str(said.get("Code", "")), str(said.get("Message", "")), status) from error
        except ParamValidationError as error:
            raise AwsError("ValidationException", str(error)) from error
        return answer

    def _make_client(self, service: str) -> Any:
        key, secret, token = self._credentials
        return _session().create_client(
            service,
            region_name=self._region,
            endpoint_url=self._endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(retries={"mode": "standard", "total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )
