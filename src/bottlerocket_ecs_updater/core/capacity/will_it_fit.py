"""Checks before a drain whether the tasks of an instance can move elsewhere.

Two things are checked for every service with tasks on it. First, do its deployment limits let a task move at all?
While an instance drains, ECS keeps at least minimumHealthyPercent of the desired count healthy (rounded up) and runs at
most maximumPercent of it (rounded down), so with 100 and 100 nothing can ever move. Second, do the other instances have
room for as many replacements as must be healthy before the last task may stop?

Only instances on which ECS would place the service count as room (`core/model/capacity_provider.py`). If its capacity
provider may add instances, they count too: as many as the provider's Auto Scaling group may still launch.

An unknown fact never makes the answer no: a constraint that needs it is skipped, and a note says so and how to provide
it. Only a service or task definition that could not be read at all gives a no, with that reason. Placement strategies
are best effort in ECS and never prevent a placement; constraints do.

ECS fills every service up to its desired count as soon as there is room. So tasks that a service lacks at the moment,
as one that crash-loops does between two tries, will take room, and so will replacements beyond those that must be
healthy.
ECS does not say which it places first. If they may leave too little for a task that must move, that task has no room.

Tasks of daemon services never block, and a drain does not move standalone tasks, so neither are checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import islice

from bottlerocket_ecs_updater.core.capacity.crowding import StayingTasks, ToPlace, rooms_if_last
from bottlerocket_ecs_updater.core.capacity.host_room import Capacity, HostRoom, ServiceRules, asks_for_tasks
from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.wording import and_more, counted

_PLACES_COUNTED = 20
"""A service that fits on this many instances is not constrained, so counting stops there."""


ADDED_FOR = ServiceArn("the service that an instance is added for")
"""Stands for the first task on an instance that does not exist yet."""


@dataclass(frozen=True, slots=True)
class Coming:
    """The instances that a capacity provider may still add."""

    provider: str
    more: int
    most: int
    """The maximum size of its Auto Scaling group."""
    like: Capacity
    """The capacity of one of them."""

    def when_added(self) -> Coming:
        """The same once a task has caused the provider to add them: then ECS also places others there."""
        return replace(self, like=replace(self.like, hosts=frozenset({ADDED_FOR})))


@dataclass(frozen=True, slots=True)
class Leaving:
    """A task that must leave its instance: the one being checked, or one that is draining already."""

    instance: InstanceId
    service: ServiceArn


@dataclass(frozen=True, slots=True)
class Fits:
    """The tasks have room elsewhere."""

    notes: tuple[str, ...] = ()
    """Notes, such as services that run with fewer tasks for a while."""
    provisos: tuple[str, ...] = ()
    """What the answer depends on: instances that a capacity provider must add, and unknown facts."""


@dataclass(frozen=True, slots=True)
class NoRoom:
    """The tasks have no room elsewhere, so a drain would not finish."""

    service: str
    missing: str
    advice: str


@dataclass(frozen=True, slots=True)
class PlannedDrain:
    """A drain that would start now, with all that decides whether it can finish."""

    instance: InstanceId
    capacity: Mapping[InstanceId, Capacity]
    """What all instances have left."""
    services: Mapping[ServiceArn, ServiceRules]
    tasks: Sequence[Leaving]
    """All tasks that must leave: those on the instance, and those on others that are draining."""
    coming: Sequence[Coming] = ()
    """The instances that capacity providers may still add."""
    staying: StayingTasks = field(default_factory=dict)
    """The tasks of each service, by instance."""
    picked: frozenset[InstanceId] = frozenset()
    """Instances whose drains start together with this one, also those without tasks."""

    def here(self) -> Counter[ServiceArn]:
        """How many tasks of each service are on the instance."""
        return Counter(task.service for task in self.tasks if task.instance == self.instance)

    def leaving(self) -> Counter[ServiceArn]:
        """How many tasks of each service must leave."""
        return Counter(task.service for task in self.tasks)

    def emptied(self) -> Set[InstanceId]:
        """The instance, and the others that are draining or about to."""
        return {task.instance for task in self.tasks} | {self.instance} | self.picked

    def open(self) -> Mapping[InstanceId, Capacity]:
        """The instances that take tasks, in their order, apart from those that are emptied."""
        emptied = self.emptied()
        return {id_: left for id_, left in sorted(self.capacity.items()) if left.accepts and id_ not in emptied}


def will_drain(drain: PlannedDrain) -> Fits | NoRoom:
    """Whether a drain can finish, together with the drains in progress."""
    here, leaving = drain.here(), drain.leaving()
    for arn in here:
        blocked = blocked_by_limits(arn, drain.services.get(arn), leaving[arn])
        if blocked is not None:
            return blocked
    open_ = drain.open()
    needs = [_need(service, leaving[arn]) for arn, service in drain.services.items()]
    rooms, ours, unplaced = _try_to_place(needs, here, open_, drain.coming, spread=False)
    if unplaced is not None and any(asks_for_tasks(need.service) for need in needs):
        # A constraint depends on where other tasks are: place them spread out, as ECS does by default.
        rooms, ours, unplaced = _try_to_place(needs, here, open_, drain.coming, spread=True)
    if unplaced is not None:
        return _no_room(unplaced, rooms)
    crowded = crowded_out(drain)
    if crowded is not None:
        return crowded
    added = [proviso for need in ours for proviso in _comings(need.service, rooms, drain.coming)]
    doubts = [doubt for need in ours for doubt in need.service.doubts]
    return Fits(tuple(_notes(ours, leaving, rooms)), (*added, *doubts))


def without(capacity: Mapping[InstanceId, Capacity], instance: InstanceId) -> Mapping[InstanceId, Capacity]:
    """The same capacity, but that instance takes no more tasks, for the next instance drained in the same pass."""
    if instance not in capacity:
        return capacity
    return {**capacity, instance: replace(capacity[instance], accepts=False)}


def takes(instance: InstanceId, capacity: Capacity, service: ServiceRules) -> bool:
    """Whether an instance with that capacity could take another task of the service."""
    return HostRoom(instance, capacity).takes(service)


def room_hold(answer: Fits | NoRoom) -> Hold | None:
    """The hold if the tasks of an instance have no room elsewhere; None if they do."""
    match answer:
        case Fits():
            return None
        case NoRoom(service=service, missing=missing, advice=advice):
            return hold(Reason.NO_ROOM, service=service, missing=missing, advice=advice)


def blocked_by_limits(arn: ServiceArn, service: ServiceRules | None, leaving: int) -> NoRoom | None:
    if service is None:
        name = arn.rsplit("/", 1)[-1]
        return NoRoom(name, "ECS did not describe the service", "check whether it was deleted, or try again later")
    # At the floor no task may stop, and at the ceiling none may start. With at least one task between them, ECS can
    # always start one and stop one, until the last.
    movable = service.floor < service.ceiling and service.floor <= service.desired
    if movable or not must_place(service, leaving):
        return None
    missing = (
        f"its desired count is {service.desired}, {service.floor} must stay healthy and at most {service.ceiling} may "
        f"exist (minimumHealthyPercent {service.minimum_healthy_percent}, maximumPercent {service.maximum_percent})"
    )
    advice = limits_advice(service.name, service.desired, service.floor, service.ceiling)
    return NoRoom(service.name, missing, advice)


def limits_advice(name: str, desired: int, floor: int, ceiling: int) -> str:
    """How to change the deployment limits of a service so that a task can move, in the imperative."""
    higher = -(-(floor + 1) * 100 // desired)
    lower = max(0, (ceiling - 1) * 100 // desired)
    less = f"{lower} or less" if lower else "0"
    return f"set maximumPercent of {name} to {higher} or more, or minimumHealthyPercent to {less}"


def must_place(service: ServiceRules, leaving: int) -> int:
    """How many replacements must be healthy elsewhere before the last of the leaving tasks may stop."""
    elsewhere = max(0, service.running - leaving)
    return 0 if service.daemon else max(0, service.floor - elsewhere)


def will_place(service: ServiceRules, leaving: int) -> int:
    """How many tasks ECS will try to place elsewhere until the service has its desired count there."""
    elsewhere = max(0, service.running + service.pending - leaving)
    wanted = max(0, service.desired - elsewhere) if service.starts and not service.daemon else 0
    return max(wanted, must_place(service, leaving)) if leaving else wanted


@dataclass(frozen=True, slots=True)
class _Need:
    service: ServiceRules
    count: int
    """How many must be placed."""
    wanted: int = 0
    """How many ECS will try to place; at least `count`."""


def _need(service: ServiceRules, leaving: int) -> _Need:
    return _Need(service, must_place(service, leaving) if leaving else 0, will_place(service, leaving))


def crowded_out(drain: PlannedDrain) -> NoRoom | None:
    """The refusal if other services may take the room that one must have; None if all have room in any order."""
    here, leaving = drain.here(), drain.leaving()
    needs = [_need(service, leaving[arn]) for arn, service in drain.services.items()]
    placed = [need for need in needs if need.wanted and need.service.demand is not None]
    if len(placed) < 2:
        return None
    open_, wanted = [*drain.open().items()], sum(need.wanted for need in placed)
    providers = {provider for need in placed for provider in need.service.providers}
    for need in placed:
        others = [one for one in placed if one is not need]
        if not need.count or need.service.grows or not (need.service.arn in here or _any_here(others, here)):
            continue
        rivals = [ToPlace(one.service, one.wanted) for one in others]
        # ECS adds no instance for a service without a provider: only the others have them, and lose them to each other.
        coming = _as_added(drain.coming, providers) if need.service.providers else drain.coming
        rooms = [*open_, *((room.instance, room.capacity) for room in _expected(coming, wanted))]
        left = rooms_if_last(ToPlace(need.service, need.count), rivals, rooms, drain.staying)
        if left is not None:
            return _crowded(need, others, here, left)
    return None


def _as_added(coming: Iterable[Coming], providers: Container[str]) -> Sequence[Coming]:
    """Those of these providers as they are once they are added: then they take tasks of other services too."""
    return [one.when_added() if one.provider in providers else one for one in coming]


def _any_here(needs: Iterable[_Need], here: Mapping[ServiceArn, int]) -> bool:
    return any(need.service.arn in here for need in needs)


def _crowded(last: _Need, others: Sequence[_Need], here: Mapping[ServiceArn, int], left: Sequence[HostRoom]) -> NoRoom:
    """The refusal: for the task that may find no room, or for those that may take the room of a drain in progress."""
    if last.service.arn in here:
        return _no_room(last.service, left, others)
    ours = max((need for need in others if need.service.arn in here), key=lambda need: need.wanted).service
    waiting = counted(last.count, "task")
    missing = (
        f"ECS may place them before {waiting} of {last.service.name} from an instance that is draining, which would "
        "then have no room"
    )
    return NoRoom(ours.name, missing, f"wait until that instance is drained; or {_advice(last.service)}")


def _try_to_place(
    needs: list[_Need],
    here: Container[ServiceArn],
    capacity: Mapping[InstanceId, Capacity],
    coming: Sequence[Coming],
    *,
    spread: bool,
) -> tuple[list[HostRoom], list[_Need], ServiceRules | None]:
    """Place all tasks that need a place. Returns the rooms, the needs of `here`, and the first service without room."""
    needs = [need for need in needs if need.count or need.service.arn in here]
    rooms = [HostRoom(id_, left) for id_, left in capacity.items()]
    rooms += _expected(coming, sum(need.count for need in needs))
    # Reserve room for the drains in progress first, as far as there is any.
    for need in _largest_first([need for need in needs if need.service.arn not in here], rooms):
        _place(need, rooms, spread=spread)
    ours = _largest_first([need for need in needs if need.service.arn in here], rooms)
    return rooms, ours, _place_all(ours, rooms, spread=spread)


def _expected(coming: Sequence[Coming], tasks: int) -> list[HostRoom]:
    """Rooms for the instances that may be added, at most one per task."""
    return [
        HostRoom(InstanceId(f"a new instance of {one.provider}"), one.like)
        for one in coming
        for _ in range(min(one.more, tasks))
    ]


def _largest_first(needs: list[_Need], rooms: list[HostRoom]) -> list[_Need]:
    """Needs with the fewest possible places first, then the largest: first fit works best in this order."""
    most_cpu = max((room.cpu for room in rooms), default=1) or 1
    most_memory = max((room.memory for room in rooms), default=1) or 1

    def rank(need: _Need) -> tuple[int, float, str]:
        demand = need.service.demand
        places = sum(1 for _ in islice(_places(need.service, rooms), _PLACES_COUNTED))
        size = max(demand.cpu / most_cpu, demand.memory / most_memory) if demand is not None else 0
        return places, -size, need.service.arn

    return sorted(needs, key=rank)


def _places(service: ServiceRules, rooms: list[HostRoom]) -> Iterator[HostRoom]:
    return (room for room in rooms if room.takes(service))


def _place(need: _Need, rooms: list[HostRoom], *, spread: bool = False) -> int:
    """Place as many tasks as fit, on the first fitting instance or the one with the fewest tasks; how many are left."""
    left = need.count
    while spread and left and (places := list(_places(need.service, rooms))):
        min(places, key=lambda room: (room.capacity.expected, room.running or 0)).take(need.service)
        left -= 1
    for room in rooms:
        while left and room.takes(need.service):
            room.take(need.service)
            left -= 1
    return left


def _place_all(needs: list[_Need], rooms: list[HostRoom], *, spread: bool) -> ServiceRules | None:
    """Place all tasks; the first service without room, None if all have room.

    A task may fit next to another only after that one has its new place, so those left over are tried again.
    """
    waiting = [need for need in needs if need.count]
    while waiting:
        before = sum(need.count for need in waiting)
        waiting = [left for need in waiting if (left := _Need(need.service, _place(need, rooms, spread=spread))).count]
        if sum(need.count for need in waiting) == before:
            return next((need.service for need in waiting if not need.service.grows), None)
    return None


def _comings(service: ServiceRules, rooms: list[HostRoom], coming: Sequence[Coming]) -> Iterator[str]:
    """Notes about instances that must be added for the service."""
    for one in coming:
        used = [room for room in rooms if room.capacity is one.like and room.hosts and service.arn in room.hosts]
        if used:
            yield (
                f"room for {service.name} is not there yet: capacity provider {one.provider} must add instances, and "
                f"may add {one.more}, up to its maximum of {one.most}"
            )


def _no_room(service: ServiceRules, rooms: Sequence[HostRoom], others: Sequence[_Need] = ()) -> NoRoom:
    name = service.name
    if service.demand is None:
        missing = "the requirements of its task definition are not known"
        return NoRoom(name, missing, "allow the updater to call ecs:DescribeTaskDefinition")
    grown = "".join(f"; {more}" for more in (_short_already(service), service.why_not, *service.doubts) if more)
    advice = _advice(service)
    # A new instance of a provider that the service does not use is no candidate.
    rooms = [room for room in rooms if not (room.capacity.expected and room.takes_from(service))]
    if not rooms:
        return NoRoom(name, f"no other instance takes tasks{grown}", advice)
    able = [room for room in rooms if not room.takes_from(service)]
    if not able:
        nearest = min(rooms, key=lambda room: room.instance)
        missing = f"ECS places none of them on {_others(len(rooms))}; for example {nearest.instance}: "
        return NoRoom(name, f"{missing}{nearest.takes_from(service)}{grown}", advice)
    nearest, lacking = min(
        ((room, tuple(room.lacks(service))) for room in able), key=lambda pair: (len(pair[1]), pair[0].instance)
    )
    missing = f"checked {_others(len(able))}; {nearest.instance}, the nearest, lacks "
    return NoRoom(name, missing + " and ".join(lacking) + _after(others) + grown, advice)


def _short_already(service: ServiceRules) -> str:
    """How many tasks it lacks before any of its tasks has to move, as text; empty for none."""
    lacking = service.desired - service.running - service.pending
    return f"it already lacks {lacking} of its {counted(service.desired, 'task')}" if lacking > 0 else ""


def _after(others: Sequence[_Need]) -> str:
    """Which tasks ECS may place first, as the end of a sentence; empty if none."""
    named = [f"{need.wanted} of {need.service.name}" for need in others]
    return f" after tasks of other services that ECS may place first: {and_more(named)}" if named else ""


def _others(count: int) -> str:
    return counted(count, "other instance")


def _advice(service: ServiceRules) -> str:
    if service.running + service.pending < service.floor:
        return f"add instances until {service.name} has all its tasks, or lower its desired count"
    if service.to_grow:
        more = service.to_grow
    elif service.providers:
        more = f"add an instance to capacity provider {' or '.join(service.providers)}"
    else:
        more = f"add an instance that {service.name} may run on"
    return f"{more}, or lower minimumHealthyPercent of {service.name}, so that it can run with fewer tasks for a while"


def _notes(ours: list[_Need], leaving: Mapping[ServiceArn, int], rooms: list[HostRoom]) -> Iterator[str]:
    for need in ours:
        service = need.service
        if service.daemon:
            continue
        wanted = min(service.desired, service.running) - max(0, service.running - leaving[service.arn])
        short = _place(_Need(service, max(0, wanted - need.count)), rooms)
        if short:
            fewer = counted(short, "fewer task")
            yield f"service {service.name} runs with {fewer} until the instance is back"
