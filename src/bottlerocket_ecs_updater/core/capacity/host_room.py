"""What one instance has left for tasks, and whether one more task of a service may go there.

It applies ECS's own criteria: the launch type or capacity provider, the resources and attributes that the task
definition requires, and the placement constraints. A constraint on an unknown fact is skipped, and `doubts_of` names
the missing fact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from bottlerocket_ecs_updater.core.model.capacity_provider import LaunchType
from bottlerocket_ecs_updater.core.model.container_instance import SERVICE_GROUP
from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn
from bottlerocket_ecs_updater.core.model.resources import (
    PlacementStrategy,
    Port,
    ProviderPart,
    TaskRequirements,
    task_ceiling,
    task_floor,
)
from bottlerocket_ecs_updater.core.model.wording import counted
from bottlerocket_ecs_updater.core.rules.expression import Expression, judge, parse_expression, subjects

_ATTRIBUTE = "attribute:"
_GROUP = "task:group"
_CHANGING = frozenset({_GROUP, "runningTasksCount"})
"""Subjects whose value changes with each task that is placed."""
CAPABILITY = "com.amazonaws.ecs.capability."
"""The prefix of the attributes for the agent's capabilities: dozens on each instance, with names but no values."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """The capacity that an instance has left for more tasks."""

    cpu: int
    memory: int
    gpus: int = 0
    ports_taken: frozenset[Port] = frozenset()
    interfaces: int | None = None
    """Network interfaces left for tasks; None if not known."""
    volumes: int | None = None
    """EBS volumes that can still be attached for tasks; None if not known."""
    volumes_shared: bool = False
    """Whether network interfaces of tasks use the same attachments as volumes."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    accepts: bool = True
    """Whether it takes tasks: it is ACTIVE, its agent is connected, and it is not about to be drained."""
    hosts: frozenset[ServiceArn] | None = None
    """The services with a task on it; None if not known."""
    launch: LaunchType = LaunchType.EC2
    """Its launch type."""
    provider: str = ""
    """Its capacity provider; empty if it has none."""
    capabilities: frozenset[str] | None = None
    """Names of its agent's capabilities; None if not known."""
    groups: frozenset[str] | None = None
    """The groups of the tasks on it; None if not known."""
    running: int | None = None
    """How many tasks run or start on it."""
    agent_version: str = ""
    """Empty if not known."""
    registered_at: datetime | None = None
    expected: bool = False
    """Whether it is an instance that a capacity provider may still add, with unknown id, zone and time."""


@dataclass(frozen=True, slots=True)
class ServiceRules:
    """The facts of one service that decide how its tasks move in a drain."""

    arn: ServiceArn
    name: str
    desired: int
    running: int
    minimum_healthy_percent: int = 100
    maximum_percent: int = 200
    daemon: bool = False
    distinct: bool = False
    """Whether no two of its tasks may share an instance."""
    member_of: tuple[str, ...] = ()
    """The `memberOf` expressions of the service and its task definition."""
    demand: TaskRequirements | None = None
    """What its next task requires; None if its task definition is not known."""
    launch: LaunchType = LaunchType.EC2
    providers: tuple[str, ...] = ()
    """The capacity providers of its strategy: only their instances take its tasks. Empty if it has no strategy."""
    grows: bool = False
    """Whether its tasks have, or may have, room that no instance here has to provide, such as on Fargate."""
    why_not: str = ""
    """Why its capacity providers add no instances; empty if they may, or if it has none."""
    to_grow: str = ""
    """What a person can do so that one of them adds an instance, in the imperative; empty if they may."""
    doubts: tuple[str, ...] = ()
    """Unknown facts about its placement, each with how to provide it."""
    pending: int = 0
    """How many of its tasks have a place, and do not run yet."""
    starts: bool = True
    """Whether ECS starts tasks of it. After a deployment that failed, it does not."""
    strategies: tuple[PlacementStrategy, ...] = ()
    """How ECS chooses between instances with room, in this order; empty for ECS's default."""
    shares: tuple[ProviderPart, ...] = ()
    """The parts of its capacity providers; empty if not known."""
    zones: frozenset[str] | None = None
    """The zones of its subnets: a task's network interface must be in the zone of its instance. None for all zones, or
    if not known."""

    def share_of(self, provider: str, moving: int, own: str) -> int:
        """How many of the tasks that must leave an instance of provider `own` may need a place with this provider.

        Other tasks already fill the bases, except for those that the instance itself had. If the parts are not known,
        they count as equal.
        """
        weights = {one.provider: one.weight for one in self.shares} or dict.fromkeys(self.providers, 1)
        if weights.get(provider):
            return -(-moving * weights[provider] // sum(weights.values()))
        return min(moving, max(1, self._base_of(provider))) if provider == own else 0

    def _base_of(self, provider: str) -> int:
        return next((one.base for one in self.shares if one.provider == provider), 0)

    @property
    def group(self) -> str:
        """The group of its tasks, as ECS derives it."""
        return f"{SERVICE_GROUP}{self.name}"

    @property
    def floor(self) -> int:
        """How many tasks must stay healthy."""
        return task_floor(self.desired, self.minimum_healthy_percent)

    @property
    def ceiling(self) -> int:
        """How many tasks may exist at a time."""
        return task_ceiling(self.desired, self.maximum_percent)


RoomSnapshot = tuple[
    int,
    int,
    int,
    frozenset[Port],
    int | None,
    int | None,
    frozenset[ServiceArn] | None,
    frozenset[str] | None,
    int | None,
]
"""CPU, memory, GPUs, ports taken, interfaces, volumes; services with tasks there, groups of its tasks, their number."""

ZONE_ATTRIBUTE = "ecs.availability-zone"

_STRANGE = {
    LaunchType.EXTERNAL: "it is an ECS Anywhere instance, which takes tasks of launch type EXTERNAL only",
    LaunchType.MANAGED_INSTANCES: "it is an ECS Managed Instance, which takes tasks of its own capacity provider only",
}
_LEFT_OUT = "not evaluated: the placement constraint"
_NO_CAPABILITIES = "the capabilities of its agents are not known; try again"
_UNKNOWN = {
    _GROUP: "the tasks on an instance are not known; allow the updater to call ecs:ListTasks and ecs:DescribeTasks",
    "agentVersion": "the version of an agent is not known until the agent connects",
    "runningTasksCount": "ECS does not say how many tasks run on an instance",
    "registeredAt": "ECS does not say when an instance was registered",
}
"""Why a fact is not known, and how to provide it."""

_UNREAD = "an instance uses trunking, or the updater may not call ec2:DescribeInstanceTypes"


_NO_LIMIT = "EC2 gives no limit, or the updater may not call ec2:DescribeInstanceTypes"


class HostRoom:
    """What is left on one instance while tasks are placed on it one after another."""

    __slots__ = (
        "capacity",
        "cpu",
        "gpus",
        "groups",
        "hosts",
        "instance",
        "interfaces",
        "memory",
        "ports",
        "running",
        "volumes",
    )

    def __init__(self, instance: InstanceId, capacity: Capacity) -> None:
        self.instance = instance
        self.capacity = capacity
        self.cpu, self.memory, self.gpus = capacity.cpu, capacity.memory, capacity.gpus
        self.ports, self.interfaces, self.hosts = capacity.ports_taken, capacity.interfaces, capacity.hosts
        self.groups, self.running, self.volumes = capacity.groups, capacity.running, capacity.volumes

    def facts(self, subject: str) -> frozenset[str] | None:
        """All values of a subject of the cluster query language on it; None if not known."""
        if subject == _GROUP:
            return self.groups
        if subject.startswith(_ATTRIBUTE):
            return self._attribute(subject.removeprefix(_ATTRIBUTE))
        value = self._field(subject)
        return None if value is None else frozenset({value})

    def _attribute(self, name: str) -> frozenset[str] | None:
        if self.capacity.expected and name == ZONE_ATTRIBUTE:
            return None
        value = self.capacity.attributes.get(name)
        if value is not None:
            return frozenset({value})
        if not name.startswith(CAPABILITY):
            return frozenset()
        known = self.capacity.capabilities
        return None if known is None else frozenset({""} if name in known else ())

    def _field(self, subject: str) -> str | None:
        capacity = self.capacity
        match subject:
            case "ec2InstanceId":
                return None if capacity.expected else str(self.instance)
            case "agentConnected":
                return str(capacity.accepts).lower()
            case "agentVersion":
                return capacity.agent_version or None
            case "runningTasksCount":
                return None if self.running is None else str(self.running)
            case _:
                return capacity.registered_at.isoformat() if capacity.registered_at is not None else None

    def takes_from(self, service: ServiceRules) -> str:
        """Why ECS never places a task of the service on this instance; empty if it may."""
        capacity = self.capacity
        zone = capacity.attributes.get(ZONE_ATTRIBUTE, "")
        if service.zones is not None and zone and not capacity.expected and zone not in service.zones:
            return f"it is in {zone}, and {service.name} has no subnet there"
        if service.providers:
            names = " or ".join(service.providers)
            return "" if capacity.provider in service.providers else f"it is not in capacity provider {names}"
        if capacity.expected and not self.hosts:
            return "it does not exist yet, and ECS adds no instance for a service without a capacity provider"
        if capacity.launch is service.launch:
            return ""
        return _STRANGE.get(capacity.launch, f"it takes no tasks of launch type {service.launch.value}")

    def lacks(self, service: ServiceRules) -> Iterator[str]:
        """What this instance lacks for another task of the service."""
        demand = service.demand
        if demand is None:
            yield "the requirements of its task definition are not known"
            return
        strange = self.takes_from(service)
        if strange:
            yield strange
            return
        yield from self._lacks_resources(demand)
        missing = self.missing_attributes(demand)
        if missing:
            yield f"the attribute {min(missing)}"
        yield from self._breaks_constraint(service)

    def missing_attributes(self, demand: TaskRequirements) -> Sequence[str]:
        """The attributes that a task requires and that this instance does not have, as far as these are known."""
        return [name for name in demand.required if self._attribute(name) == frozenset()]

    def _lacks_resources(self, demand: TaskRequirements) -> Iterator[str]:
        if demand.cpu > self.cpu:
            yield f"{demand.cpu - self.cpu} CPU units"
        if demand.memory > self.memory:
            yield f"{demand.memory - self.memory} MiB of memory"
        if demand.gpus > self.gpus:
            short = demand.gpus - self.gpus
            yield counted(short, "GPU")
        if demand.ports & self.ports:
            yield f"the port {min(demand.ports & self.ports)}"
        if self.interfaces is not None and demand.interfaces > self.interfaces:
            yield "a network interface"
        if self.volumes is not None and self._attachments(demand) > self.volumes:
            yield "an attachment for an EBS volume" if demand.volumes else "an attachment for a network interface"

    def _attachments(self, demand: TaskRequirements) -> int:
        """How many of the attachments for EBS volumes one task uses."""
        return demand.volumes + (demand.interfaces if self.capacity.volumes_shared else 0)

    def _breaks_constraint(self, service: ServiceRules) -> Iterator[str]:
        if service.distinct and self.hosts is not None and service.arn in self.hosts:
            yield "room without another task of the service (distinctInstance)"
        for text in service.member_of:
            expression = readable(text)
            if expression is not None and judge(expression, self.facts) is False:
                yield f"its placement constraint ({text})"

    def doubts(self, service: ServiceRules) -> Iterator[str]:
        """The unknown facts about a task of the service on this instance, each with how to provide it."""
        if service.distinct and self.hosts is None:
            yield f"{_LEFT_OUT} distinctInstance of {service.name}: {_UNKNOWN[_GROUP]}"
        for text in service.member_of:
            expression = readable(text)
            if expression is not None and not self.capacity.expected and judge(expression, self.facts) is None:
                missing = min(subject for subject in subjects(expression) if self.facts(subject) is None)
                yield f"{_LEFT_OUT} ({text}) of {service.name}: {_UNKNOWN.get(missing, _NO_CAPABILITIES)}"

    def takes(self, service: ServiceRules) -> bool:
        """Whether another task of the service may go there."""
        return next(self.lacks(service), None) is None

    def take(self, service: ServiceRules, count: int = 1) -> None:
        """Place so many tasks of the service there, whether or not they fit."""
        demand = service.demand
        assert demand is not None  # a task with unknown requirements is never placed
        self.cpu -= demand.cpu * count
        self.memory -= demand.memory * count
        self.gpus = 0 if demand.all_gpus else self.gpus - demand.gpus * count
        self.ports |= demand.ports
        if self.interfaces is not None:
            self.interfaces -= demand.interfaces * count
        if self.volumes is not None:
            self.volumes -= self._attachments(demand) * count
        if self.hosts is not None:
            self.hosts |= {service.arn}
        if self.groups is not None:
            self.groups |= {service.group}
        if self.running is not None:
            self.running += count

    def left(self) -> RoomSnapshot:
        """What is left on it now."""
        resources = self.cpu, self.memory, self.gpus, self.ports, self.interfaces, self.volumes
        return *resources, self.hosts, self.groups, self.running

    def restore(self, left: RoomSnapshot) -> None:
        """Reset to a snapshot taken with `left()`."""
        self.cpu, self.memory, self.gpus, self.ports, self.interfaces, self.volumes = left[:6]
        self.hosts, self.groups, self.running = left[6:]


@lru_cache(maxsize=256)
def readable(text: str) -> Expression | None:
    """A placement constraint; None if the updater cannot parse it, although ECS accepted it."""
    try:
        return parse_expression(text)
    except ValueError:
        return None


def asks_for_tasks(service: ServiceRules) -> bool:
    """Whether a constraint of the service depends on the tasks on an instance, which each placement changes."""
    expressions = (readable(text) for text in service.member_of)
    return any(expression is not None and not _CHANGING.isdisjoint(subjects(expression)) for expression in expressions)


def _unlimited(left: Capacity, limited: int | None) -> bool:
    """Whether its type has no known limit. If only its tasks changed since they were listed, they are listed again."""
    return left.accepts and limited is None and left.groups is not None


def doubts_of(service: ServiceRules, capacity: Mapping[InstanceId, Capacity]) -> tuple[str, ...]:
    """The unknown facts about the placement of the service, each once, with how to provide it."""
    found = {
        f"{_LEFT_OUT} ({text}) of {service.name}: the updater cannot read it; report it as a bug": None
        for text in service.member_of
        if readable(text) is None
    }
    own_interfaces = service.demand is not None and service.demand.interfaces > 0
    if own_interfaces and any(_unlimited(left, left.interfaces) for left in capacity.values()):
        found[f"it is not known everywhere whether {service.name} has network interfaces left: {_UNREAD}"] = None
    if service.demand is not None and service.demand.shares_gpu:
        found[f"not evaluated: whether a GPU has memory left for {service.name}, which shares one with others"] = None
    own_volume = service.demand is not None and service.demand.volumes > 0
    if own_volume and any(_unlimited(left, left.volumes) for left in capacity.values()):
        found[f"it is not known everywhere whether EBS volumes can be attached for {service.name}: {_NO_LIMIT}"] = None
    if service.distinct or service.member_of:
        rooms = (HostRoom(id_, left) for id_, left in sorted(capacity.items()) if left.accepts)
        found |= {doubt: None for room in rooms if not room.takes_from(service) for doubt in room.doubts(service)}
    return tuple(found)
