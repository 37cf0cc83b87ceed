"""Will it fit: can the tasks of an instance leave it, before it is drained?

Two questions are asked of every service that has tasks on it. Do its own limits let a task go at all? While an
instance drains, ECS keeps at least minimumHealthyPercent of the desired count healthy (rounded up) and has at most
maximumPercent of it at a time (rounded down), so with 100 and 100 nothing can ever move. And is there room: for as
many replacements as must run elsewhere before the last task may stop, from what the other instances have left?

Where something is not known, the answer is no, with what is not known as its reason; one thing excepted, the
network interfaces of an instance, which ECS does not tell: they are left out, and a note says so. Placement
strategies are a best effort in ECS and keep no task from being placed, so they do not count; constraints do.
A placement is looked for with the most constrained and largest tasks first. ECS places one task after another
and may do worse in a tight cluster: what then does not leave in time is given back at the drain's limit.

Tasks of daemon services never block, and tasks of no service are not moved by draining, so they are not asked about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice

from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.resources import Demand, Port
from bottlerocket_ecs_updater.core.rules.expression import Expression, evaluate, parse_expression, subjects

_ATTRIBUTE = "attribute:"

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
    demand: Demand | None = None
    """What its next task asks, None where its task definition is not known."""
    grows: bool = False
    """Whether its capacity provider adds instances when there is no room, and may still do so."""

    @property
    def floor(self) -> int:
        """How many tasks must stay healthy."""
        return -(-self.desired * self.minimum_healthy_percent // 100)

    @property
    def ceiling(self) -> int:
        """How many tasks there may be at a time."""
        return self.desired * self.maximum_percent // 100


@dataclass(frozen=True, slots=True)
class Leaving:
    """A task that must leave: one on the instance in question, or on another that drains already."""

    instance: InstanceId
    service: ServiceArn


@dataclass(frozen=True, slots=True)
class Fits:
    """Its tasks can leave."""

    notes: tuple[str, ...] = ()
    """What is worth knowing: services that run on fewer tasks meanwhile, and what could not be judged."""


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
) -> Fits | NoRoom:
    """Whether a drain of the instance can finish, with what drains already.

    `capacity` is of all instances, `tasks` all that must leave: those on the instance and on others that drain.
    """
    here = Counter(task.service for task in tasks if task.instance == instance)
    leaving = Counter(task.service for task in tasks)
    for arn in here:
        blocked = blocked_by_limits(arn, services.get(arn), leaving[arn])
        if blocked is not None:
            return blocked
    emptied = {task.instance for task in tasks} | {instance}
    rooms = [Room(id_, left) for id_, left in sorted(capacity.items()) if left.accepts and id_ not in emptied]
    needs = [_Need(services[arn], must_place(services[arn], leaving[arn])) for arn in leaving if arn in services]
    # What was promised to the drains that are under way is set aside first, as far as there is room for it.
    for need in _largest_first([need for need in needs if need.service.arn not in here], rooms):
        _place(need, rooms)
    ours = _largest_first([need for need in needs if need.service.arn in here], rooms)
    for need in ours:
        unplaced = _place(need, rooms)
        if unplaced and not need.service.grows:
            return _no_room(need.service, rooms)
    return Fits(tuple(_notes(ours, leaving, rooms)))


def without(capacity: Mapping[InstanceId, Capacity], instance: InstanceId) -> Mapping[InstanceId, Capacity]:
    """The same with that instance taking no more tasks: for the second instance that is drained in one pass."""
    if instance not in capacity:
        return capacity
    return {**capacity, instance: replace(capacity[instance], accepts=False)}


def takes(instance: InstanceId, capacity: Capacity, service: ServiceRules) -> bool:
    """Whether an instance with that much left could take one more task of the service."""
    return next(Room(instance, capacity).lacks(service), None) is None


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


Left = tuple[int, int, int, frozenset[Port], int | None, frozenset[ServiceArn] | None]
"""CPU, memory, GPUs, ports taken, interfaces, and the services that have a task there."""


@dataclass(frozen=True, slots=True)
class _Need:
    service: ServiceRules
    count: int


class Room:
    """What is left on one instance while tasks are placed on it, one after another; no part of any answer."""

    __slots__ = ("capacity", "cpu", "gpus", "hosts", "instance", "interfaces", "memory", "ports")

    def __init__(self, instance: InstanceId, capacity: Capacity) -> None:
        self.instance = instance
        self.capacity = capacity
        self.cpu, self.memory, self.gpus = capacity.cpu, capacity.memory, capacity.gpus
        self.ports, self.interfaces, self.hosts = capacity.ports_taken, capacity.interfaces, capacity.hosts

    def read(self, subject: str) -> str | None:
        if subject.startswith(_ATTRIBUTE):
            return self.capacity.attributes.get(subject.removeprefix(_ATTRIBUTE))
        return str(self.instance)

    def lacks(self, service: ServiceRules) -> Iterator[str]:
        """What keeps one more task of the service from this instance."""
        demand = service.demand
        if demand is None:
            yield "what its task definition asks for is not known"
            return
        yield from self._lacks_resources(demand)
        unnamed = demand.required - self.capacity.attributes.keys()
        if unnamed:
            yield f"the attribute {min(unnamed)}"
        yield from self._breaks_constraint(service)

    def _lacks_resources(self, demand: Demand) -> Iterator[str]:
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
        if service.distinct and (self.hosts is None or service.arn in self.hosts):
            yield "a place apart from the service's other tasks (distinctInstance)"
        for text in service.member_of:
            expression = _readable(text)
            if expression is None:
                yield f"a placement constraint that the updater cannot read ({text})"
            elif not evaluate(expression, self.read):
                yield f"its placement constraint ({text})"

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

    def left(self) -> Left:
        """What is left on it now."""
        return self.cpu, self.memory, self.gpus, self.ports, self.interfaces, self.hosts

    def restore(self, left: Left) -> None:
        """Have so much left again."""
        self.cpu, self.memory, self.gpus, self.ports, self.interfaces, self.hosts = left


@lru_cache(maxsize=256)
def _readable(text: str) -> Expression | None:
    """A placement constraint, None where it asks for what is not known here, such as the tasks on an instance."""
    try:
        expression = parse_expression(text)
    except ValueError:
        return None
    known = all(subject.startswith(_ATTRIBUTE) or subject == "ec2InstanceId" for subject in subjects(expression))
    return expression if known else None


def _largest_first(needs: list[_Need], rooms: list[Room]) -> list[_Need]:
    """Those with the fewest places first, and of these the largest: the order in which first fit fails least."""
    most_cpu = max((room.cpu for room in rooms), default=1) or 1
    most_memory = max((room.memory for room in rooms), default=1) or 1

    def rank(need: _Need) -> tuple[int, float, str]:
        demand = need.service.demand
        places = sum(1 for _ in islice(_places(need.service, rooms), _PLACES_COUNTED))
        size = max(demand.cpu / most_cpu, demand.memory / most_memory) if demand is not None else 0
        return places, -size, need.service.arn

    return sorted(needs, key=rank)


def _places(service: ServiceRules, rooms: list[Room]) -> Iterator[Room]:
    return (room for room in rooms if next(room.lacks(service), None) is None)


def _place(need: _Need, rooms: list[Room]) -> int:
    """Place as many as there is room for, each where it first fits; how many are left over."""
    left = need.count
    for room in rooms:
        while left and next(room.lacks(need.service), None) is None:
            room.take(need.service)
            left -= 1
    return left


def _no_room(service: ServiceRules, rooms: list[Room]) -> NoRoom:
    name = service.name
    if service.demand is None:
        missing = "what its task definition asks for is not known"
        return NoRoom(name, missing, "see whether the updater may call ecs:DescribeTaskDefinition")
    if not rooms:
        return NoRoom(name, "no other instance takes tasks", "add an instance, or wait until others are back")
    nearest, lacking = min(
        ((room, tuple(room.lacks(service))) for room in rooms), key=lambda pair: (len(pair[1]), pair[0].instance)
    )
    missing = f"of {len(rooms)} other instance(s) none has room; {nearest.instance}, the nearest, lacks "
    advice = f"add an instance that {name} may run on, or lower its minimumHealthyPercent so that it may run on fewer"
    return NoRoom(name, missing + " and ".join(lacking), f"{advice} tasks for a while")


def _notes(ours: list[_Need], leaving: Mapping[ServiceArn, int], rooms: list[Room]) -> Iterator[str]:
    for need in ours:
        service = need.service
        if service.daemon:
            continue
        wanted = min(service.desired, service.running) - max(0, service.running - leaving[service.arn])
        short = _place(_Need(service, max(0, wanted - need.count)), rooms)
        if short:
            yield f"{service.name} runs on {short} task(s) fewer until the instance is back"
        demand = service.demand
        if demand is not None and demand.interfaces and any(room.interfaces is None for room in rooms):
            yield f"whether there are network interfaces left for {service.name} is not known"
