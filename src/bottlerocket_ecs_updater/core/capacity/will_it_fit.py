"""Will it fit: can the tasks of an instance leave it, before it is drained?

Two questions are asked of every service that has tasks on it. Do its own limits let a task go at all? While an
instance drains, ECS keeps at least minimumHealthyPercent of the desired count healthy (rounded up) and has at most
maximumPercent of it at a time (rounded down), so with 100 and 100 nothing can ever move. And is there room: for as
many replacements as must run elsewhere before the last task may stop, from what the other instances have left?

Only instances on which ECS would place the service count as room (`core/providers.py`). Where its capacity provider
may add instances, those are room that is not there yet: as many as the provider's Auto Scaling group may still start.

What is not known never makes the answer no: a constraint that asks for it is left out, and a note says so, with how to
supply it. Only a service or a task definition that could not be read at all is a no, with that as its reason. Placement
strategies are a best effort in ECS and keep no task from being placed, so they do not count; constraints do.
A placement is looked for with the most constrained and largest tasks first. ECS places one task after another
and may do worse in a tight cluster: what then does not leave in time is given back at the drain's limit.

Tasks of daemon services never block, and tasks of no service are not moved by draining, so they are not asked about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from itertools import islice

from bottlerocket_ecs_updater.core.model.capacity_provider import LaunchType
from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.resources import Port, TaskRequirements
from bottlerocket_ecs_updater.core.rules.expression import Expression, judge, parse_expression, subjects

_ATTRIBUTE = "attribute:"
_GROUP = "task:group"
_CHANGING = frozenset({_GROUP, "runningTasksCount"})
"""What each task that is placed changes."""
CAPABILITY = "com.amazonaws.ecs.capability."
"""What begins so is what the agent of an instance can do: dozens on each, with names and no values."""

_PLACES_COUNTED = 20
"""A service that could go to so many instances is not constrained; counting on would be waste."""


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


@dataclass(frozen=True, slots=True)
class Coming:
    """Instances that a capacity provider may still add."""

    provider: str
    more: int
    most: int
    """The maximum size of its Auto Scaling group."""
    like: Capacity
    """What one of them has for tasks."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A task that must leave: one on the instance in question, or on another that drains already."""

    instance: InstanceId
    service: ServiceArn


@dataclass(frozen=True, slots=True)
class Fits:
    """Its tasks can leave."""

    notes: tuple[str, ...] = ()
    """What is worth knowing: services that run on fewer tasks meanwhile."""
    provisos: tuple[str, ...] = ()
    """What it stands on that is not there yet, or not known: room that a capacity provider must add, facts missing."""


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Its tasks cannot leave: a drain would not finish."""

    service: str
    missing: str
    advice: str


def will_drain(
    instance: InstanceId,
    capacity: Mapping[InstanceId, Capacity],
    services: Mapping[ServiceArn, ServiceRules],
    tasks: Sequence[Leaving],
    coming: Sequence[Coming] = (),
) -> Fits | NoRoom:
    """Whether a drain of the instance can finish, with what drains already.

    `capacity` is of all instances, `tasks` all that must leave: those on the instance and on others that drain.
    `coming` are the instances that capacity providers may still add.
    """
    here = Counter(task.service for task in tasks if task.instance == instance)
    leaving = Counter(task.service for task in tasks)
    for arn in here:
        blocked = blocked_by_limits(arn, services.get(arn), leaving[arn])
        if blocked is not None:
            return blocked
    emptied = {task.instance for task in tasks} | {instance}
    open_ = {id_: left for id_, left in sorted(capacity.items()) if left.accepts and id_ not in emptied}
    needs = [_Need(services[arn], must_place(services[arn], leaving[arn])) for arn in leaving if arn in services]
    rooms, ours, unplaced = _try_to_place(needs, here, open_, coming, spread=False)
    if unplaced is not None and any(asks_for_tasks(need.service) for need in needs):
        # Where one goes decides where another may go: ECS spreads tasks, as it does unless a service says otherwise.
        rooms, ours, unplaced = _try_to_place(needs, here, open_, coming, spread=True)
    if unplaced is not None:
        return _no_room(unplaced, rooms)
    added = [proviso for need in ours for proviso in _comings(need.service, rooms, coming)]
    doubts = [doubt for need in ours for doubt in need.service.doubts]
    return Fits(tuple(_notes(ours, leaving, rooms)), (*added, *doubts))


def without(capacity: Mapping[InstanceId, Capacity], instance: InstanceId) -> Mapping[InstanceId, Capacity]:
    """The same with that instance taking no more tasks: for the second instance that is drained in one pass."""
    if instance not in capacity:
        return capacity
    return {**capacity, instance: replace(capacity[instance], accepts=False)}


def takes(instance: InstanceId, capacity: Capacity, service: ServiceRules) -> bool:
    """Whether an instance with that much left could take one more task of the service."""
    return next(HostRoom(instance, capacity).lacks(service), None) is None


def room_hold(answer: Fits | NoRoom) -> Hold | None:
    """The hold that says why an instance is not drained, None where its tasks fit."""
    match answer:
        case Fits():
            return None
        case NoRoom(service=service, missing=missing, advice=advice):
            return hold(Reason.NO_ROOM, service=service, missing=missing, advice=advice)


def blocked_by_limits(arn: ServiceArn, service: ServiceRules | None, leaving: int) -> NoRoom | None:
    if service is None:
        name = arn.rsplit("/", 1)[-1]
        return NoRoom(name, "ECS did not describe the service", "look whether it was deleted, or try again later")
    # Below the floor nothing stops, at the ceiling nothing starts: with room for one task between them, one can
    # always be started and one stopped, and so on to the last.
    movable = service.floor < service.ceiling and service.floor <= service.desired
    if movable or not must_place(service, leaving):
        return None
    missing = (
        f"of its {service.desired} task(s) {service.floor} must stay healthy and {service.ceiling} may exist at a "
        f"time (minimumHealthyPercent {service.minimum_healthy_percent}, maximumPercent {service.maximum_percent})"
    )
    return NoRoom(service.name, missing, _limits_advice(service))


def _limits_advice(service: ServiceRules) -> str:
    higher = -(-(service.floor + 1) * 100 // service.desired)
    lower = max(0, (service.ceiling - 1) * 100 // service.desired)
    return f"set maximumPercent of {service.name} to {higher} or more, or minimumHealthyPercent to {lower} or less"


def must_place(service: ServiceRules, leaving: int) -> int:
    """How many replacements must be healthy elsewhere before the last of the leaving tasks may stop."""
    elsewhere = max(0, service.running - leaving)
    return 0 if service.daemon else max(0, service.floor - elsewhere)


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


@dataclass(frozen=True, slots=True)
class _Need:
    service: ServiceRules
    count: int


def _try_to_place(
    needs: list[_Need],
    here: Container[ServiceArn],
    capacity: Mapping[InstanceId, Capacity],
    coming: Sequence[Coming],
    *,
    spread: bool,
) -> tuple[list[HostRoom], list[_Need], ServiceRules | None]:
    """Place all that must have a place: the rooms after it, the needs of `here`, and the first that has none."""
    rooms = [HostRoom(id_, left) for id_, left in capacity.items()]
    rooms += _expected(coming, sum(need.count for need in needs))
    # What was promised to the drains that are under way is set aside first, as far as there is room for it.
    for need in _largest_first([need for need in needs if need.service.arn not in here], rooms):
        _place(need, rooms, spread=spread)
    ours = _largest_first([need for need in needs if need.service.arn in here], rooms)
    return rooms, ours, _place_all(ours, rooms, spread=spread)


def _expected(coming: Sequence[Coming], tasks: int) -> list[HostRoom]:
    """As many of the instances that may come as could matter to so many tasks."""
    return [
        HostRoom(InstanceId(f"a new instance of {one.provider}"), one.like)
        for one in coming
        for _ in range(min(one.more, tasks))
    ]


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


def _largest_first(needs: list[_Need], rooms: list[HostRoom]) -> list[_Need]:
    """Those with the fewest places first, and of these the largest: the order in which first fit fails least."""
    most_cpu = max((room.cpu for room in rooms), default=1) or 1
    most_memory = max((room.memory for room in rooms), default=1) or 1

    def rank(need: _Need) -> tuple[int, float, str]:
        demand = need.service.demand
        places = sum(1 for _ in islice(_places(need.service, rooms), _PLACES_COUNTED))
        size = max(demand.cpu / most_cpu, demand.memory / most_memory) if demand is not None else 0
        return places, -size, need.service.arn

    return sorted(needs, key=rank)


def _places(service: ServiceRules, rooms: list[HostRoom]) -> Iterator[HostRoom]:
    return (room for room in rooms if next(room.lacks(service), None) is None)


def _place(need: _Need, rooms: list[HostRoom], *, spread: bool = False) -> int:
    """Place as many as there is room for, each where it first fits, or with the fewest tasks; how many are left."""
    left = need.count
    while spread and left and (places := list(_places(need.service, rooms))):
        min(places, key=lambda room: (room.capacity.expected, room.running or 0)).take(need.service)
        left -= 1
    for room in rooms:
        while left and next(room.lacks(need.service), None) is None:
            room.take(need.service)
            left -= 1
    return left


def _place_all(needs: list[_Need], rooms: list[HostRoom], *, spread: bool) -> ServiceRules | None:
    """Place all, and give the first service that has no room, None where all have.

    One may be placed beside another only after that has its new place, so those left over are tried again.
    """
    waiting = [need for need in needs if need.count]
    while waiting:
        before = sum(need.count for need in waiting)
        waiting = [left for need in waiting if (left := _Need(need.service, _place(need, rooms, spread=spread))).count]
        if sum(need.count for need in waiting) == before:
            return next((need.service for need in waiting if not need.service.grows), None)
    return None


def _comings(service: ServiceRules, rooms: list[HostRoom], coming: Sequence[Coming]) -> Iterator[str]:
    """What is worth knowing of room that is not there yet, and is needed for the service."""
    for one in coming:
        used = [room for room in rooms if room.capacity is one.like and room.hosts and service.arn in room.hosts]
        if used:
            yield (
                f"room for {service.name} is not there yet: capacity provider {one.provider} must add instances, and "
                f"may add {one.more}, up to its maximum of {one.most}"
            )


def _no_room(service: ServiceRules, rooms: list[HostRoom]) -> NoRoom:
    name = service.name
    if service.demand is None:
        missing = "what its task definition asks for is not known"
        return NoRoom(name, missing, "see whether the updater may call ecs:DescribeTaskDefinition")
    grown = "".join(f"; {more}" for more in (service.why_not, *service.doubts) if more)
    advice = _advice(service)
    if not rooms:
        return NoRoom(name, f"no other instance takes tasks{grown}", advice)
    able = [room for room in rooms if not room.takes_from(service)]
    if not able:
        nearest = min(rooms, key=lambda room: room.instance)
        missing = f"ECS places none of them on the {len(rooms)} other instance(s); of {nearest.instance}, for one, "
        return NoRoom(name, f"{missing}{nearest.takes_from(service)}{grown}", advice)
    nearest, lacking = min(
        ((room, tuple(room.lacks(service))) for room in able), key=lambda pair: (len(pair[1]), pair[0].instance)
    )
    missing = f"of {len(able)} other instance(s) none has room; {nearest.instance}, the nearest, lacks "
    return NoRoom(name, missing + " and ".join(lacking) + grown, advice)


def _advice(service: ServiceRules) -> str:
    names = " or ".join(service.providers)
    if service.why_not:
        more = f"raise the maximum of the Auto Scaling group of capacity provider {names}, or turn its scaling on"
    elif service.providers:
        more = f"add an instance to capacity provider {names}"
    else:
        more = f"add an instance that {service.name} may run on"
    return f"{more}, or lower its minimumHealthyPercent so that it may run on fewer tasks for a while"


def _notes(ours: list[_Need], leaving: Mapping[ServiceArn, int], rooms: list[HostRoom]) -> Iterator[str]:
    for need in ours:
        service = need.service
        if service.daemon:
            continue
        wanted = min(service.desired, service.running) - max(0, service.running - leaving[service.arn])
        short = _place(_Need(service, max(0, wanted - need.count)), rooms)
        if short:
            yield f"{service.name} runs on {short} task(s) fewer until the instance is back"
