"""AWS clients from standard configuration: environment, profiles, container credentials, endpoint overrides.

They come from botocore directly: boto3 has the same interface, and its imports would add a quarter of a second to
every start.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, NoRegionError
from botocore.loaders import Loader, create_loader
from botocore.session import Session

from bottlerocket_ecs_updater.aws.transport.deadline import Deadlines
from bottlerocket_ecs_updater.aws.transport.response_check import refuse_broken_replies
from bottlerocket_ecs_updater.aws.transport.trimming import trim_replies
from bottlerocket_ecs_updater.errors import UsageError

if TYPE_CHECKING:
    from types_boto3_autoscaling import AutoScalingClient
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_ec2 import EC2Client
    from types_boto3_ecs import ECSClient
    from types_boto3_s3 import S3Client
    from types_boto3_ssm import SSMClient

ClientT = TypeVar("ClientT")

CONNECT_TIMEOUT = timedelta(seconds=3)
READ_TIMEOUT = timedelta(seconds=6)
"""Together they leave time to shut down within ten seconds of a signal, even if AWS does not answer."""

CALL_LIMIT = timedelta(seconds=15)
"""Ends a call whose reply trickles in. The lease, renewed about once a minute, outlasts it."""

ACT_LEASE_SHARE = 4
"""An act ends within the lease divided by this number. The lease is checked right before each act."""

CONNECT_SHARE = 0.3
READ_SHARE = 0.6


@cache
def _loader(data_path: str | None) -> Loader:
    """Reads the descriptions of services and endpoints once for all clients of the process: several MB of JSON."""
    return create_loader(data_path)


class Pair(Generic[ClientT]):
    """Two clients for one service, each created on first use.

    One is for read-only calls. The other is for calls that change something, which end within a part of the lease.
    """

    def __init__(self, make_looking: Callable[[], ClientT], make_acting: Callable[[], ClientT]) -> None:
        self._make_looking = make_looking
        self._make_acting = make_acting

    @classmethod
    def of(cls, client: ClientT) -> Pair[ClientT]:
        """Use one client for both: for simulations, where calls take no time."""
        return cls(lambda: client, lambda: client)

    @cached_property
    def looking(self) -> ClientT:
        """For read-only calls. Raises UsageError if the configuration is not valid."""
        return self._make_looking()

    @cached_property
    def acting(self) -> ClientT:
        """For calls that change something."""
        return self._make_acting()


_REGION = {"region": ("region", ["AWS_REGION", "AWS_DEFAULT_REGION"], None, None)}
"""botocore alone reads only AWS_DEFAULT_REGION. ECS, Lambda and the AWS CLI set or read AWS_REGION too."""


class Clients:
    """The clients of a run. They share one session, so models and credentials are loaded once."""

    def __init__(self, *, version: str, region: str | None = None, lease: timedelta = timedelta(seconds=60)) -> None:
        self._version = version
        self._region = region
        self._lease = lease
        self._deadlines = Deadlines()

    def within(self, acting: bool) -> AbstractContextManager[None]:  # noqa: FBT001 - the form that `Api` asks for
        """Limit the time of the calls in the block: an act ends within a part of the lease."""
        share = self._lease / ACT_LEASE_SHARE
        return self._deadlines.within(min(CALL_LIMIT, share) if acting else CALL_LIMIT)

    @cached_property
    def ecs(self) -> Pair[ECSClient]:
        """Elastic Container Service."""
        return cast("Pair[ECSClient]", self._pair("ecs"))

    @cached_property
    def ssm(self) -> Pair[SSMClient]:
        """Systems Manager."""
        return cast("Pair[SSMClient]", self._pair("ssm"))

    @cached_property
    def s3(self) -> Pair[S3Client]:
        """Simple Storage Service."""
        return cast("Pair[S3Client]", self._pair("s3"))

    @cached_property
    def autoscaling(self) -> Pair[AutoScalingClient]:
        """Auto Scaling, read-only."""
        return cast("Pair[AutoScalingClient]", self._pair("autoscaling"))

    @cached_property
    def cloudwatch(self) -> Pair[CloudWatchClient]:
        """CloudWatch alarms, read-only."""
        return cast("Pair[CloudWatchClient]", self._pair("cloudwatch"))

    @cached_property
    def ec2(self) -> Pair[EC2Client]:
        """EC2, read-only."""
        return cast("Pair[EC2Client]", self._pair("ec2"))

    def in_region(self, service: str, region: str | None) -> object:
        """A client for another Region, such as the Region of an ARN. It is for both looks and acts."""
        return self._client(service, self._config(CONNECT_TIMEOUT, READ_TIMEOUT), region)

    @cached_property
    def _session(self) -> Session:
        session = Session(session_vars=_REGION)
        session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
        return session

    def _pair(self, service: str) -> Pair[Any]:
        share = self._lease / ACT_LEASE_SHARE
        act = self._config(min(CONNECT_TIMEOUT, share * CONNECT_SHARE), min(READ_TIMEOUT, share * READ_SHARE))
        look = self._config(CONNECT_TIMEOUT, READ_TIMEOUT)
        return Pair(lambda: self._client(service, look), lambda: self._client(service, act))

    def _config(self, connect: timedelta, read: timedelta) -> Config:
        return Config(
            connect_timeout=connect.total_seconds(),
            read_timeout=read.total_seconds(),
            # One attempt each: `Api` retries, with rate limit and lease check.
            retries={"mode": "standard", "total_max_attempts": 1},
            # The engine calls from one thread.
            max_pool_connections=1,
            user_agent_extra=f"bottlerocket-ecs-updater/{self._version}",
        )

    def _client(self, service: str, config: Config, region: str | None = None) -> object:
        try:
            client = self._session.create_client(service, region_name=region or self._region, config=config)
        except NoRegionError as error:
            raise UsageError("no AWS Region is configured: set --region or AWS_REGION") from error
        except (BotoCoreError, ValueError) as error:
            # botocore raises ValueError for a malformed endpoint.
            raise UsageError(f"cannot create a client for {service}: {error}") from error
        self._deadlines.watch(client)
        refuse_broken_replies(client.meta.events)
        if service == "ecs":
            trim_replies(client.meta.events)
        return client
