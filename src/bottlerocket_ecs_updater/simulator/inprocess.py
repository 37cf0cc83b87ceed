"""In-process clients, shaped like boto3's, that call the world directly, in its own time.

    clients = InProcessClients(world, caller="run-1")
    clients.ecs.describe_clusters(clusters=["demo"])
    clients.ssm.get_paginator("list_commands").paginate(MaxResults=50)

Errors are botocore's. Hooks before and after each call let a test kill the caller, lose a reply, or change the world.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore import xform_name
from botocore.errorfactory import ClientExceptionsFactory
from botocore.exceptions import ConnectionClosedError
from botocore.loaders import Loader
from botocore.paginate import PaginatorModel
from botocore.response import StreamingBody

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.service_models import service_model
from bottlerocket_ecs_updater.simulator.world.api_faults import ReplyLostError

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.world.world import World

Hook = Callable[[str, str, "Shape"], None]
"""A hook, called with service, operation and parameters."""


def _nothing(_service: str, _operation: str, _params: Shape) -> None:
    return


class InProcessClients:
    """The clients of one caller. Each call takes `latency` of the world's time."""

    def __init__(
        self,
        world: World,
        caller: str = "updater",
        *,
        latency: timedelta = timedelta(),
        before_call: Hook = _nothing,
        after_call: Hook = _nothing,
    ) -> None:
        self.world = world
        self.caller = caller
        self.latency = latency
        self.before_call = before_call
        self.after_call = after_call
        self._clients: dict[str, InProcessClient] = {}

    def client(self, service: str) -> InProcessClient:
        """The client of a service, by botocore's name for it."""
        if service not in self._clients:
            self._clients[service] = InProcessClient(self, service)
        return self._clients[service]

    def __getattr__(self, service: str) -> InProcessClient:
        if service.startswith("_"):
            raise AttributeError(service)
        return self.client(service)


class InProcessClient:
    """One service's client. Its methods are the service's operations in snake case, with keyword arguments."""

    def __init__(self, clients: InProcessClients, service: str) -> None:
        self._clients = clients
        self._service = service
        self.exceptions = _exceptions(service)

    def __getattr__(self, method: str) -> Callable[..., Shape]:
        operation = _operations(self._service).get(method)
        if operation is None:
            raise AttributeError(f"{self._service} has no operation {method}")

        def call(**params: Any) -> Shape:
            return self._call(operation, params)

        return call

    def get_paginator(self, method: str) -> InProcessPaginator:
        """The paginator of an operation. Raises KeyError if botocore has none."""
        operation = _operations(self._service)[method]
        return InProcessPaginator(self, operation, _paginators(self._service).get_paginator(operation))

    def _call(self, operation: str, params: Shape) -> Shape:
        clients = self._clients
        clients.before_call(self._service, operation, params)
        if clients.latency:
            clients.world.clock.sleep(clients.latency)
        try:
            answer = clients.world.call(self._service, operation, params, clients.caller)
        except AwsError as error:
            raise self._client_error(operation, error) from error
        except ReplyLostError as error:
            raise ConnectionClosedError(endpoint_url=f"in-process://{self._service}") from error
        clients.after_call(self._service, operation, params)
        return _as_boto3_returns(answer)

    def _client_error(self, operation: str, error: AwsError) -> Exception:
        shape = {
            "Error": {"Code": error.code, "Message": error.message},
            "ResponseMetadata": {
                "RequestId": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{operation}{error}")),
                "HTTPStatusCode": error.status,
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        }
        kind = self.exceptions.from_code(error.code)
        raised: Exception = kind(shape, operation)
        return raised


class InProcessPaginator:
    """Paginates one operation, like botocore's paginators."""

    def __init__(self, client: InProcessClient, operation: str, config: Shape) -> None:
        self._client = client
        self._operation = operation
        self._inputs = _as_list(config["input_token"])
        self._outputs = _as_list(config["output_token"])
        self._results = [name.split(".")[0] for name in _as_list(config["result_key"])]
        self._limit_key = config.get("limit_key")

    def paginate(self, *, PaginationConfig: Shape | None = None, **params: Any) -> Pages:  # noqa: N803 - boto3's name
        """The pages, each fetched on demand."""
        size = (PaginationConfig or {}).get("PageSize")
        if size is not None and self._limit_key is not None:
            params[self._limit_key] = size
        return Pages(lambda: self._fetch(params), self._results)

    def _fetch(self, params: Shape) -> Iterator[Shape]:
        while True:
            page = self._client._call(self._operation, params)
            yield page
            tokens = [page.get(name) for name in self._outputs]
            if not any(tokens):
                return
            params = {**params, **dict(zip(self._inputs, tokens, strict=True))}


class Pages:
    """Pages that can be iterated or merged."""

    def __init__(self, fetch: Callable[[], Iterator[Shape]], results: list[str]) -> None:
        self._fetch = fetch
        self._results = results

    def __iter__(self) -> Iterator[Shape]:
        return self._fetch()

    def build_full_result(self) -> Shape:
        """All pages as one."""
        whole: Shape = {name: [] for name in self._results}
        for page in self:
            for name in self._results:
                whole[name] += page.get(name, [])
        return whole


def _as_boto3_returns(answer: Shape) -> Shape:
    metadata = {"RequestId": str(uuid.UUID(int=0)), "HTTPStatusCode": 200, "HTTPHeaders": {}, "RetryAttempts": 0}
    body = answer.get("Body")
    if isinstance(body, bytes):
        answer = {**answer, "Body": StreamingBody(io.BytesIO(body), len(body))}
    return {**answer, "ResponseMetadata": metadata}


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@cache
def _operations(service: str) -> dict[str, str]:
    return {xform_name(name): name for name in service_model(service).operation_names}


@cache
def _paginators(service: str) -> PaginatorModel:
    return PaginatorModel(Loader().load_service_model(service, "paginators-1"))


@cache
def _exceptions(service: str) -> Any:
    return ClientExceptionsFactory().create_client_exceptions(service_model(service))
