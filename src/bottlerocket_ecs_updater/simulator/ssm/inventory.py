"""Managed instances: which are connected, since when, and what SSM shows."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.ssm.validate import at_most

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bottlerocket_ecs_updater.simulator.clock import WorldClock
    from bottlerocket_ecs_updater.simulator.host import Host
    from bottlerocket_ecs_updater.simulator.ssm.timing import SsmTiming

AGENT_VERSION = "3.3.987.0"
MAX_FILTER_VALUES = 100


class ManagedInstance:
    """One host as SSM knows it. Pings are computed on demand, not stored by events."""

    def __init__(self, number: int, clock: WorldClock, timing: SsmTiming, host: Host, since: datetime) -> None:
        self.number = number
        self.host = host
        self.registered = since
        self.agent_start = since
        self._clock = clock
        self._timing = timing
        self._last_ping: datetime | None = None
        """Set while the agent is disconnected."""
        self._platform = host.platform
        self._when_back: list[Callable[[], None]] = []
        if not host.ssm_agent_up:
            self._last_ping = clock.now() - timing.connection_lost

    @property
    def connected(self) -> bool:
        """Whether the agent is connected now."""
        return self._last_ping is None

    @property
    def last_ping(self) -> datetime:
        """The agent's last ping: at its start, and every few minutes since."""
        if self._last_ping is not None:
            return self._last_ping
        pings = (self._clock.now() - self.agent_start) // self._timing.ping
        return self.agent_start + pings * self._timing.ping

    @property
    def ping_status(self) -> str:
        """Online for some time after the last ping; then ConnectionLost."""
        return "ConnectionLost" if self.lost_by(self._clock.now()) else "Online"

    def lost_by(self, when: datetime) -> bool:
        """Whether the connection counts as lost at that time, without another ping until then."""
        return not self.connected and when >= self.last_ping + self._timing.connection_lost

    def agent_goes(self) -> None:
        """The agent disconnects. The service does not notice yet."""
        if self.connected:
            self._last_ping = self.last_ping

    def agent_comes(self) -> None:
        """The agent pings, and receives waiting commands."""
        self._last_ping = None
        self.agent_start = self._clock.now()
        self._platform = self.host.platform
        waiting, self._when_back = self._when_back, []
        for action in waiting:
            action()

    def when_back(self, action: Callable[[], None]) -> None:
        """Run `action` when the agent is connected: at once if it already is."""
        if self.connected:
            action()
        else:
            self._when_back.append(action)

    def to_shape(self) -> dict[str, Any]:
        """The instance as DescribeInstanceInformation shows it."""
        return _shape(self, *self._platform)

    @property
    def id(self) -> str:
        """Its EC2 id, or its id from a hybrid activation."""
        return self.host.node_id

    @property
    def address(self) -> str:
        """Its private IPv4 address."""
        return self.host.address

    @property
    def resource_type(self) -> str:
        """Whether an EC2 instance or a hybrid activation registered it."""
        return "ManagedInstance" if self.id.startswith("mi-") else "EC2Instance"


class ForeignNode:
    """A managed node in the account that is unrelated to the cluster, always connected."""

    resource_type = "EC2Instance"
    ping_status = "Online"

    def __init__(self, number: int, since: datetime) -> None:
        self.number = number
        self.registered = self.last_ping = since
        self.id = f"i-f{number:016x}"
        self.address = f"172.16.{number >> 8 & 255}.{number & 255}"

    def to_shape(self) -> dict[str, Any]:
        """The node as DescribeInstanceInformation shows it."""
        return _shape(self, "Ubuntu", "22.04")


KnownNode = ManagedInstance | ForeignNode


def _shape(node: KnownNode, platform: str, version: str) -> dict[str, Any]:
    source = "AWS::EC2::Instance" if node.resource_type == "EC2Instance" else "AWS::SSM::ManagedInstance"
    return {
        "InstanceId": node.id,
        "PingStatus": node.ping_status,
        "LastPingDateTime": node.last_ping,
        "AgentVersion": AGENT_VERSION,
        "IsLatestVersion": False,
        "PlatformType": "Linux",
        "PlatformName": platform,
        "PlatformVersion": version,
        "ResourceType": node.resource_type,
        "IPAddress": node.address,
        "ComputerName": f"ip-{node.address.replace('.', '-')}.internal",
        "SourceId": node.id,
        "SourceType": source,
    }


_READ: dict[str, Callable[[KnownNode], str]] = {
    "InstanceIds": lambda managed: managed.id,
    "PingStatus": lambda managed: managed.ping_status,
    "AgentVersion": lambda _: AGENT_VERSION,
    "PlatformTypes": lambda _: "Linux",
    "ResourceType": lambda managed: managed.resource_type,
}


def filters_of(request: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """The filters of a request, in the newer or older form. Raises InvalidFilterKey for unknown ones."""
    filters: dict[str, frozenset[str]] = {}
    newer = [(each["Key"], each["Values"]) for each in request.get("Filters") or []]
    older = [(each["key"], each["valueSet"]) for each in request.get("InstanceInformationFilterList") or []]
    for key, values in newer + older:
        if key not in _READ:
            raise AwsError("InvalidFilterKey", f"The specified key isn't valid: {key}")
        at_most(values, "filters.1.member.values", MAX_FILTER_VALUES)
        filters[key] = filters.get(key, frozenset(values)) & frozenset(values)
    return filters


def passes(managed: KnownNode, filters: Mapping[str, frozenset[str]]) -> bool:
    """Whether an instance matches the filters."""
    return all(_READ[key](managed) in values for key, values in filters.items())
