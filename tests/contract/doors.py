"""Two identical worlds, one for each interface, and a way to make the same calls to both; and AWS, or another endpoint.

`CONTRACT_ENDPOINT` names what is tested against the same contract: `aws`, or a URL such as that of `simulate --serve`.
`CONTRACT_CLUSTER` (`demo`), `CONTRACT_BUCKET` (`the-state-store`; on AWS it must exist) and `CONTRACT_REGION` give the
rest. The credentials are those of the environment. docs/develop/contract.md describes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from bottlerocket_ecs_updater.simulator.aws_basics.names import Names
from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.scenarios import Scenario, row
from bottlerocket_ecs_updater.simulator.wire import UPDATER_KEY, Wire

SMALL_REGION = Names().region
ONCE = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


@dataclass
class Door:
    """One world, and clients to it."""

    world: Any
    """The World; None for an endpoint, which only clients can reach."""
    clients: Any
    """`clients.client("ecs")` returns what boto3 would."""
    region: str = SMALL_REGION
    cluster: str = "demo"
    bucket: str = "the-state-store"
    owned: bool = True
    """Whether tests may create resources."""

    def ask(self, service: str, method: str, /, **params: Any) -> Any:
        """The response without its metadata, or the error's code, message and status, comparable between interfaces."""
        try:
            answer = getattr(self.clients.client(service), method)(**params)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            return type(error).__name__, error.response["Error"]["Code"], error.response["Error"]["Message"], status
        answer.pop("ResponseMetadata")
        return plain(answer)

    def wait(self, seconds: float) -> None:
        """Let the world's time pass."""
        clock = self.world.clock
        assert isinstance(clock, VirtualClock)
        with clock.lock:
            clock.advance(timedelta(seconds=seconds))


def plain(value: Any) -> Any:
    """Times in UTC to the millisecond, because HTTP carries no more; bodies are read."""
    match value:
        case datetime():
            rounded = value.astimezone(UTC)
            return rounded.replace(microsecond=rounded.microsecond // 1000 * 1000)
        case Mapping():
            return {key: plain(inner) for key, inner in value.items()}
        case list():
            return [plain(inner) for inner in value]
        case _ if hasattr(value, "read"):
            return value.read()
        case _:
            return value


@contextmanager
def wire_door(scenario: Scenario) -> Iterator[Door]:
    """A world in virtual time behind HTTP, with boto3's own clients and a single attempt per call."""
    world = scenario.build(VirtualClock(), validate_answers=True)
    with Wire(world) as wire:
        yield Door(world, WireClients(_session(scenario.names.region), wire.endpoint))


def inprocess_door(scenario: Scenario) -> Door:
    """The same world in process."""
    world = scenario.build(VirtualClock(), validate_answers=True)
    return Door(world, InProcessClients(world, caller=UPDATER_KEY))


@cache
def _session(region: str) -> boto3.Session:
    """One session for all tests: loading service models takes long."""
    return boto3.Session(UPDATER_KEY, "simulated", region_name=region)


def endpoint_door(where: Mapping[str, str]) -> Door:
    """AWS or another endpoint, as the environment variables say."""
    endpoint = where["CONTRACT_ENDPOINT"]
    region = where.get("CONTRACT_REGION") or where.get("AWS_REGION") or SMALL_REGION
    session = boto3.Session(
        where.get("AWS_ACCESS_KEY_ID"), where.get("AWS_SECRET_ACCESS_KEY"), where.get("AWS_SESSION_TOKEN"), region
    )
    return Door(
        None,
        WireClients(session, None if endpoint == "aws" else endpoint),
        region,
        where.get("CONTRACT_CLUSTER", "demo"),
        where.get("CONTRACT_BUCKET", "the-state-store"),
        owned=endpoint != "aws",
    )


class WireClients:
    """boto3's clients for an endpoint; without one, for AWS."""

    def __init__(self, session: boto3.Session, endpoint: str | None) -> None:
        self._session = session
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            make: Any = self._session.client
            self._clients[service] = make(service, endpoint_url=self._endpoint, config=ONCE)
        return self._clients[service]


SMALL = row(4, seed=7)
