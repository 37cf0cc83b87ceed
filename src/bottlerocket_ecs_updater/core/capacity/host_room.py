"""What one instance has left for tasks, and whether one more task of a service may go there.

What ECS asks of an instance is asked here: that it is of the service's launch type or capacity provider, has the
resources and attributes that the task definition asks for, and meets the placement constraints. A constraint over what
is not known is left out, and `doubts_of` names the fact that is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from bottlerocket_ecs_updater.core.model.capacity_provider import LaunchType
from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn
from bottlerocket_ecs_updater.core.model.resources import Port, TaskRequirements
from bottlerocket_ecs_updater.core.rules.expression import Expression, judge, parse_expression, subjects

_ATTRIBUTE = "attribute:"
_GROUP = "task:group"
_CHANGING = frozenset({_GROUP, "runningTasksCount"})
"""What each task that is placed changes."""
CAPABILITY = "com.amazonaws.ecs.capability."
"""What begins so is what the agent of an instance can do: dozens on each, with names and no values."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What an instance has left for more tasks."""

    cpu: int
    memory: int
    gpus: int = 0
    ports_taken: frozenset[Port] = frozenset()
    interfaces: int | None = None
    """Network interfaces left for tasks, None where nobody knows."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    accepts: bool = True
    """Whether it takes tasks: ACTIVE, its agent connected, and not about to be drained."""
    hosts: frozenset[ServiceArn] | None = None
    """The services with a task on it, None where nobody looked."""
    launch: LaunchType = LaunchType.EC2
    """What kind of instance it is."""
    provider: str = ""
    """Its capacity provider, empty where it has none."""
    capabilities: frozenset[str] | None = None
    """Names of what its agent can do, None where they are not known."""
    groups: frozenset[str] | None = None
    """The groups of the tasks on it, None where nobody looked."""
    running: int | None = None
    """How many tasks are to run on it."""
    agent_version: str = ""
    """Empty where it is not known."""
    registered_at: datetime | None = None
    expected: bool = False
    """Whether it is an instance that a capacity provider may still add: its id, zone and time are not known."""


@dataclass(frozen=True, slots=True)
class ServiceRules:
    """What decides about the tasks of one service while an instance drains."""

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
    """Placement constraints of the service and of its task definition, as they are written."""
    demand: TaskRequirements | None = None
    """What its next task asks, None where its task definition is not known."""
    launch: LaunchType = LaunchType.EC2
    providers: tuple[str, ...] = ()
    """The capacity providers of its strategy: only their instances take its tasks. Empty where it has none."""
    grows: bool = False
    """Whether there is room for its tasks that no instance known here has to give, as on Fargate, or may be."""
    why_not: str = ""
    """Why its capacity providers add no instances, empty where they may, or where it has none."""
    doubts: tuple[str, ...] = ()
    """What could not be judged of all that decides about its tasks, each with how to supply it."""

    @property
    def group(self) -> str:
        """The group of its tasks, as ECS derives it."""
        return f"service:{self.name}"

    @property
    def floor(self) -> int:
        """How many tasks must stay healthy."""
        return -(-self.desired * self.minimum_healthy_percent // 100)

    @property
    def ceiling(self) -> int:
        """How many tasks there may be at a time."""
        return self.desired * self.maximum_percent // 100


RoomSnapshot = tuple[
    int, int, int, frozenset[Port], int | None, frozenset[ServiceArn] | None, frozenset[str] | None, int | None
]
"""CPU, memory, GPUs, ports taken, interfaces, the services that have a task there, their groups, and their number."""

ZONE_ATTRIBUTE = "ecs.availability-zone"

_STRANGE = {
    LaunchType.EXTERNAL: "it is an ECS Anywhere instance, which takes tasks of launch type EXTERNAL only",
    LaunchType.MANAGED_INSTANCES: "it is an ECS Managed Instance, which takes tasks of its own capacity provider only",
}
_LEFT_OUT = "not judged: the placement constraint"
_NO_CAPABILITIES = "the capabilities of its agents are not known; look at the cluster again"
_UNKNOWN = {
    _GROUP: "the tasks on an instance are not known; see whether the updater may call ecs:ListTasks and "
    "ecs:DescribeTasks",
    "agentVersion": "ECS does not tell the version of an agent; it is known when the agent has connected",
    "runningTasksCount": "ECS does not tell how many tasks run on an instance",
    "registeredAt": "ECS does not tell when an instance was registered",
}
"""Why a fact is not known, and how to supply it."""

_UNREAD = "a trunk gives an instance more, or the updater may not call ec2:DescribeInstanceTypes"


class HostRoom:
    """What is left on one instance while tasks are placed on it, one after another; no part of any answer."""

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
    )

    def __init__(self, instance: InstanceId, capacity: Capacity) -> None:
        self.instance = instance
        self.capacity = capacity
        self.cpu, self.memory, self.gpus = capacity.cpu, capacity.memory, capacity.gpus
        self.ports, self.interfaces, self.hosts = capacity.ports_taken, capacity.interfaces, capacity.hosts
        self.groups, self.running = capacity.groups, capacity.running

    def facts(self, subject: str) -> frozenset[str] | None:
        """All values of a subject of the cluster query language on it, None where they are not known."""
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
        """Why ECS places no task of the service on this kind of instance, empty where it may."""
        capacity = self.capacity
        if service.providers:
            names = " or ".join(service.providers)
            return "" if capacity.provider in service.providers else f"it is no instance of capacity provider {names}"
        if capacity.expected and not self.hosts:
            return "it is not there yet, and ECS adds no instance for a service without a capacity provider"
        if capacity.launch is service.launch:
            return ""
        return _STRANGE.get(capacity.launch, f"it is no instance for launch type {service.launch.value}")

    def lacks(self, service: ServiceRules) -> Iterator[str]:
        """What keeps one more task of the service from this instance."""
        demand = service.demand
        if demand is None:
            yield "what its task definition asks for is not known"
            return
        strange = self.takes_from(service)
        if strange:
            yield strange
            return
        yield from self._lacks_resources(demand)
        unnamed = [name for name in demand.required if self._attribute(name) == frozenset()]
        if unnamed:
            yield f"the attribute {min(unnamed)}"
        yield from self._breaks_constraint(service)

    def _lacks_resources(self, demand: TaskRequirements) -> Iterator[str]:
        if demand.cpu > self.cpu:
            yield f"{demand.cpu - self.cpu} CPU units"
        if demand.memory > self.memory:
            yield f"{demand.memory - self.memory} MiB of memory"
        if demand.gpus > self.gpus:
            yield f"{demand.gpus - self.gpus} GPU(s)"
        if demand.ports & self.ports:
            yield f"the port {min(demand.ports & self.ports)}"
        if self.interfaces is not None and demand.interfaces > self.interfaces:
            yield "a network interface"

    def _breaks_constraint(self, service: ServiceRules) -> Iterator[str]:
        if service.distinct and self.hosts is not None and service.arn in self.hosts:
            yield "a place apart from the service's other tasks (distinctInstance)"
        for text in service.member_of:
            expression = readable(text)
            if expression is not None and judge(expression, self.facts) is False:
                yield f"its placement constraint ({text})"

    def doubts(self, service: ServiceRules) -> Iterator[str]:
        """What decides about a task of the service here and is not known, each with how to supply it."""
        if service.distinct and self.hosts is None:
            yield f"{_LEFT_OUT} distinctInstance of {service.name}: {_UNKNOWN[_GROUP]}"
        for text in service.member_of:
            expression = readable(text)
            if expression is not None and not self.capacity.expected and judge(expression, self.facts) is None:
                missing = min(subject for subject in subjects(expression) if self.facts(subject) is None)
                yield f"{_LEFT_OUT} ({text}) of {service.name}: {_UNKNOWN.get(missing, _NO_CAPABILITIES)}"

    def take(self, service: ServiceRules) -> None:
        demand = service.demand
        assert demand is not None  # nothing is placed whose demand is not known
        self.cpu -= demand.cpu
        self.memory -= demand.memory
        self.gpus -= demand.gpus
        self.ports |= demand.ports
        if self.interfaces is not None:
            self.interfaces -= demand.interfaces
        if self.hosts is not None:
            self.hosts |= {service.arn}
        if self.groups is not None:
            self.groups |= {service.group}
        if self.running is not None:
            self.running += 1

    def left(self) -> RoomSnapshot:
        """What is left on it now."""
        resources = self.cpu, self.memory, self.gpus, self.ports, self.interfaces
        return *resources, self.hosts, self.groups, self.running

    def restore(self, left: RoomSnapshot) -> None:
        """Have so much left again."""
        self.cpu, self.memory, self.gpus, self.ports, self.interfaces, self.hosts, self.groups, self.running = left


@lru_cache(maxsize=256)
def readable(text: str) -> Expression | None:
    """A placement constraint, None where the updater cannot read it; ECS has read it, and placed tasks by it."""
    try:
        return parse_expression(text)
    except ValueError:
        return None


def asks_for_tasks(service: ServiceRules) -> bool:
    """Whether a constraint of the service asks for the tasks on an instance: each task that is placed may change it."""
    expressions = (readable(text) for text in service.member_of)
    return any(expression is not None and not _CHANGING.isdisjoint(subjects(expression)) for expression in expressions)


def doubts_of(service: ServiceRules, capacity: Mapping[InstanceId, Capacity]) -> tuple[str, ...]:
    """What decides about the tasks of the service and is not known, each once, with how to supply it."""
    found = {
        f"{_LEFT_OUT} ({text}) of {service.name}: the updater cannot read it; report it as a bug": None
        for text in service.member_of
        if readable(text) is None
    }
    own_interfaces = service.demand is not None and service.demand.interfaces > 0
    if own_interfaces and any(left.accepts and left.interfaces is None for left in capacity.values()):
        found[f"whether there are network interfaces left for {service.name} is not known everywhere: {_UNREAD}"] = None
    if service.distinct or service.member_of:
        rooms = (HostRoom(id_, left) for id_, left in sorted(capacity.items()) if left.accepts)
        found |= {doubt: None for room in rooms if not room.takes_from(service) for doubt in room.doubts(service)}
    return tuple(found)
