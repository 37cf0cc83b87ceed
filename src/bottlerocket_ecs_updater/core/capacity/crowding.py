"""Whether tasks of other services may take the room that a task must have, because ECS places them first.

When an instance drains, ECS places the tasks of each of its services separately, and no documentation gives the order.
So a large task may find that a small one was placed first, on the only instance with room for the large one. Then the
drain never finishes.

Most clusters have so much room that the order makes no difference, and this is checked first, cheaply. Otherwise all
other tasks are placed first, each where its service's placement strategy puts it; if that leaves a choice, on the
instance where it does the most harm.

Sources: "Use strategies to define Amazon ECS task placement"; without a strategy, ECS spreads the tasks of a service
over the availability zones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from bottlerocket_ecs_updater.core.capacity.host_room import (
    ZONE_ATTRIBUTE,
    Capacity,
    HostRoom,
    ServiceRules,
    asks_for_tasks,
)
from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn
from bottlerocket_ecs_updater.core.model.resources import PlacementStrategy, StrategyKind, TaskRequirements

Rooms = Sequence[tuple[InstanceId, Capacity]]
StayingTasks = Mapping[ServiceArn, Mapping[InstanceId, int]]
"""How many tasks of each service are on each instance."""

EFFORT_MAX = 4_000
"""How many places are tried for one service, so that a decision on a large, tight cluster does not take minutes.

With so many instances and tasks, it is unlikely that ECS happens to fill exactly the few places that one of them needs.
"""

_DEFAULT = (
    PlacementStrategy(StrategyKind.SPREAD, f"attribute:{ZONE_ATTRIBUTE}"),
    PlacementStrategy(StrategyKind.SPREAD, "instanceId"),
)


@dataclass(frozen=True, slots=True)
class ToPlace:
    """Tasks of one service that ECS will try to place."""

    service: ServiceRules
    count: int


def rooms_if_last(
    last: ToPlace, rivals: Sequence[ToPlace], rooms: Rooms, staying: StayingTasks
) -> list[HostRoom] | None:
    """The free room if ECS places all `rivals` first, and `last` then does not fit; None if it fits.

    `rooms` are all instances that take tasks, and those that may still be added. `staying` are the tasks on each.
    """
    rivals = [rival for rival in rivals if rival.count and rival.service.demand is not None]
    tasks = last.count + sum(rival.count for rival in rivals)
    if not rivals or last.service.demand is None or order_is_irrelevant(last, rivals, rooms):
        return None
    if tasks * len(rooms) > EFFORT_MAX:
        return None
    left = [HostRoom(id_, capacity) for id_, capacity in rooms]
    counts = {rival.service.arn: Counter(staying.get(rival.service.arn, {})) for rival in rivals}
    _place_first(rivals, last.service, left, counts)
    return left if _place_anywhere(last, left) else None


def order_is_irrelevant(last: ToPlace, rivals: Sequence[ToPlace], rooms: Rooms) -> bool:
    """Whether `last` has room in any order, and on any instances, that ECS may choose for the others."""
    return _has_room_beside_all(last, rivals, rooms) or _has_more_than_all_can_take(last, rivals, rooms)


def _has_room_beside_all(last: ToPlace, rivals: Sequence[ToPlace], rooms: Rooms) -> bool:
    """Whether enough instances have room for it even if every other task goes to the same one."""
    found = 0
    for id_, capacity in rooms:
        room = HostRoom(id_, capacity)
        if not room.takes(last.service):
            continue
        for rival in rivals:
            room.take(rival.service, rival.count)
        found += _slots(room, last.service, last.count - found)
        if found >= last.count:
            return True
    return False


def _slots(room: HostRoom, service: ServiceRules, wanted: int) -> int:
    """How many tasks of the service fit in a room, counted up to `wanted`. They are placed there."""
    for found in range(wanted):
        if not room.takes(service):
            return found
        room.take(service)
    return wanted


def _has_more_than_all_can_take(last: ToPlace, rivals: Sequence[ToPlace], rooms: Rooms) -> bool:
    """Whether the others are too small or too few to take all of its places, if each is put where it does most harm."""
    service = last.service
    demand = service.demand
    if demand is None or asks_for_tasks(service) or any(_share_a_port(service, rival.service) for rival in rivals):
        return False
    if demand.gpus and any(rival.service.demand is not None and rival.service.demand.all_gpus for rival in rivals):
        return False
    able = [room for id_, capacity in rooms if (room := HostRoom(id_, capacity)).takes(service)]
    slots = [_slots_by_size(room, last) for room in able]
    spent = [(rival.count, rival.service.demand) for rival in rivals if rival.service.demand is not None]
    lost = sum(
        _lost_at_most(slots, [kind.left(room) for room in able], kind.of(demand), kind.spent(spent)) for kind in _KINDS
    )
    return sum(slots) - lost >= last.count


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of resource."""

    left: Callable[[HostRoom], int]
    """How much of it is left on an instance; 0 if that is not known."""
    of: Callable[[TaskRequirements], int]
    """How much of it one task requires."""

    def spent(self, tasks: Iterable[tuple[int, TaskRequirements]]) -> int:
        """How much of it so many tasks with these requirements require together."""
        return sum(self.of(demand) * count for count, demand in tasks)


_KINDS = (
    _Kind(lambda room: room.cpu, lambda demand: demand.cpu),
    _Kind(lambda room: room.memory, lambda demand: demand.memory),
    _Kind(lambda room: room.gpus, lambda demand: demand.gpus),
    _Kind(lambda room: room.interfaces or 0, lambda demand: demand.interfaces),
    # Network interfaces may share the attachments of volumes.
    _Kind(lambda room: room.volumes or 0, lambda demand: demand.volumes + demand.interfaces),
)


def _share_a_port(one: ServiceRules, other: ServiceRules) -> bool:
    return one.demand is not None and other.demand is not None and not one.demand.ports.isdisjoint(other.demand.ports)


def _slots_by_size(room: HostRoom, last: ToPlace) -> int:
    """How many of its tasks fit in a room with space for one at least."""
    demand = last.service.demand
    assert demand is not None
    if last.service.distinct or demand.ports or demand.all_gpus:
        return 1
    fit = [kind.left(room) // needs for kind in _KINDS if (needs := kind.of(demand))]
    return max(1, min([*fit, last.count]))


def _lost_at_most(slots: Sequence[int], left: Sequence[int], needs: int, spent: int) -> int:
    """How many places can be lost if others take `spent` of one resource. The cheapest places are lost first."""
    if not needs or not spent:
        return 0
    prices = sorted(price for number, free in zip(slots, left, strict=True) for price in _prices(number, free, needs))
    lost = 0
    for price in prices:
        spent -= price
        if spent < 0:
            break
        lost += 1
    return lost


def _prices(slots: int, left: int, needs: int) -> Iterable[int]:
    """How much of a resource must be taken from one instance so that one place is lost, then another one, …"""
    return (max(1, left - slots * needs + 1), *(needs for _ in range(slots - 1)))


def _place_first(
    rivals: Sequence[ToPlace],
    last: ServiceRules,
    rooms: list[HostRoom],
    counts: Mapping[ServiceArn, Counter[InstanceId]],
) -> None:
    """Place all rivals, as far as there is room. Those left over are tried again: some have room only beside others."""
    waiting = {rival.service.arn: rival for rival in rivals}
    left = {arn: rival.count for arn, rival in waiting.items()}
    progress = True
    while progress:
        progress = False
        for arn, rival in waiting.items():
            while left[arn] and (room := _chosen(rival.service, last, rooms, counts[arn])) is not None:
                room.take(rival.service)
                counts[arn][room.instance] += 1
                left[arn] -= 1
                progress = True


def _chosen(
    service: ServiceRules, last: ServiceRules, rooms: Sequence[HostRoom], counts: Mapping[InstanceId, int]
) -> HostRoom | None:
    """The instance for the next task, as its strategies choose it; None if none has room."""
    able = [room for room in rooms if room.takes(service)]
    able = [room for room in able if not room.capacity.expected] or able
    for strategy in service.strategies or _DEFAULT:
        able = _preferred(strategy, able, rooms, counts)
    return min(able, key=lambda room: _harm(room, service, last), default=None)


def _preferred(
    strategy: PlacementStrategy, able: list[HostRoom], rooms: Iterable[HostRoom], counts: Mapping[InstanceId, int]
) -> list[HostRoom]:
    """Those of the instances that one strategy may prefer."""
    match strategy.kind:
        case StrategyKind.BINPACK:
            return _least(able, {room: room.cpu if strategy.field.lower() == "cpu" else room.memory for room in able})
        case StrategyKind.SPREAD if strategy.field.startswith("attribute:"):
            there: Counter[object] = Counter()
            for room in rooms:
                there[room.facts(strategy.field)] += counts.get(room.instance, 0)
            return _least(able, {room: there[room.facts(strategy.field)] for room in able})
        case StrategyKind.SPREAD:
            # It is not documented which of the instances with equally many tasks of the service is chosen.
            fewest = _least(able, {room: counts.get(room.instance, 0) for room in able})
            return [*fewest, *_least(able, {room: room.running or 0 for room in able})]
        case StrategyKind.RANDOM:
            return able
        case _:
            assert_never(strategy.kind)


def _least(rooms: list[HostRoom], measured: Mapping[HostRoom, int]) -> list[HostRoom]:
    least = min(measured.values(), default=0)
    return [room for room in rooms if measured[room] == least]


def _harm(room: HostRoom, service: ServiceRules, last: ServiceRules) -> tuple[int, int, str]:
    """The order of instances by harm: those that lose their place for `last`, then those with the least to spare."""
    before = room.left()
    if not room.takes(last):
        return 2, 0, room.instance
    room.take(service)
    lost = not room.takes(last)
    spare = room.cpu
    room.restore(before)
    return (0 if lost else 1), spare, room.instance


def _place_anywhere(last: ToPlace, rooms: Iterable[HostRoom]) -> int:
    """Place its tasks on any instance with room. Returns how many tasks are left."""
    left = last.count
    for room in rooms:
        left -= _slots(room, last.service, left)
    return left
