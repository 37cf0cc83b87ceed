"""Tasks that ECS may place before others: the quick check is never wrong, and strategies are followed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bottlerocket_ecs_updater.core.capacity.crowding import (
    EFFORT_MAX,
    Rooms,
    ToPlace,
    order_is_irrelevant,
    rooms_if_last,
)
from bottlerocket_ecs_updater.core.capacity.host_room import Capacity, HostRoom, ServiceRules
from bottlerocket_ecs_updater.core.capacity.will_it_fit import Fits, Leaving, NoRoom, PlannedDrain, will_drain
from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn
from bottlerocket_ecs_updater.core.model.resources import PlacementStrategy, Port, StrategyKind, TaskRequirements

RANDOM = (PlacementStrategy(StrategyKind.RANDOM),)
PACKED = (PlacementStrategy(StrategyKind.BINPACK, "memory"),)
BY_RACK = (PlacementStrategy(StrategyKind.SPREAD, "attribute:rack"),)


def name(number: int) -> InstanceId:
    return InstanceId(f"i-{number:02}")


def service(
    name: str, demand: TaskRequirements, strategies: tuple[PlacementStrategy, ...] = RANDOM, *, distinct: bool = False
) -> ServiceRules:
    return ServiceRules(ServiceArn(name), name, 1, 1, demand=demand, strategies=strategies, distinct=distinct)


def rooms_of(*left: tuple[int, int], shared: bool = False) -> Rooms:
    like = Capacity(0, 0, interfaces=2, volumes=3, volumes_shared=shared, hosts=frozenset(), groups=frozenset())
    return [
        (name(number), replace(like, cpu=cpu, memory=memory, running=0)) for number, (cpu, memory) in enumerate(left)
    ]


def can_be_crowded_out(last: ToPlace, rivals: Sequence[ToPlace], rooms: Rooms) -> bool:
    """Whether any placement of the rival tasks leaves too little room; every one is tried."""
    tasks = [rival.service for rival in rivals for _ in range(rival.count)]
    for choice in product(range(len(rooms)), repeat=len(tasks)):
        left = [HostRoom(id_, capacity) for id_, capacity in rooms]
        for task, number in zip(tasks, choice, strict=True):
            if left[number].takes(task):
                left[number].take(task)
        missing = last.count
        for room in left:
            while missing and room.takes(last.service):
                room.take(last.service)
                missing -= 1
        if missing:
            return True
    return False


SIZES = st.builds(
    TaskRequirements,
    cpu=st.integers(1, 6),
    memory=st.integers(1, 6),
    ports=st.sampled_from([frozenset(), frozenset({Port(80)})]),
    interfaces=st.integers(0, 1),
    volumes=st.integers(0, 1),
)
ROOMS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=3)


@settings(max_examples=200)
@given(SIZES, st.lists(SIZES, min_size=1, max_size=3), ROOMS, st.integers(1, 3), st.booleans(), st.booleans())
def test_both_answers_about_room_are_right_for_every_choice_that_ecs_has(
    size: TaskRequirements,
    others: list[TaskRequirements],
    left: list[tuple[int, int]],
    count: int,
    distinct: bool,
    shared: bool,
) -> None:
    rooms = rooms_of(*left, shared=shared)
    last = ToPlace(service("last", size, distinct=distinct), count)
    rivals = [ToPlace(service(f"other-{number}", one), 1) for number, one in enumerate(others)]
    refused = rooms_if_last(last, rivals, rooms, {}) is not None
    possible = can_be_crowded_out(last, rivals, rooms)
    # With one rival task, the worst case is the instance where it does the most harm.
    assert refused <= possible
    assert not (possible and order_is_irrelevant(last, rivals, rooms))
    assert possible <= refused or len(rivals) > 1 or count > 1


@pytest.mark.parametrize(
    ("strategies", "crowded"),
    [
        pytest.param(RANDOM, True, id="random: any instance"),
        pytest.param((), False, id="without a strategy: the zone with the fewest tasks of it"),
        pytest.param(PACKED, True, id="binpack: the instance with the least memory left"),
        pytest.param((PlacementStrategy(StrategyKind.BINPACK, "cpu"),), False, id="binpack of CPU"),
        pytest.param(BY_RACK, True, id="spread over an attribute of one's own"),
        pytest.param((PlacementStrategy(StrategyKind.SPREAD, "instanceId"),), False, id="spread over instances"),
    ],
)
def test_other_tasks_go_where_their_strategy_puts_them(
    strategies: tuple[PlacementStrategy, ...], crowded: bool
) -> None:
    """The first instance has the only place for the last task, and already runs one of the other tasks."""
    wide = Capacity(1000, 400, attributes={"ecs.availability-zone": "a", "rack": "1"}, running=3)
    narrow = Capacity(500, 900, attributes={"ecs.availability-zone": "b", "rack": "2"}, running=1)
    rooms = [(name(0), wide), (name(1), narrow)]
    last = ToPlace(service("last", TaskRequirements(1000, 100)), 1)
    rival = service("other", TaskRequirements(100, 100), strategies)
    on_rack_two = {name(0): 0, name(1): 1} if strategies == BY_RACK else {name(0): 1, name(1): 0}
    standing = {rival.arn: Counter(on_rack_two)}
    assert (rooms_if_last(last, [ToPlace(rival, 1)], rooms, standing) is not None) is crowded


def test_a_drain_in_progress_keeps_the_room_that_it_needs() -> None:
    """The tasks of another instance must not take the place of a large task that is still waiting for it."""
    big = ServiceRules(ServiceArn("big"), "big", 1, 1, demand=TaskRequirements(1000, 100))
    small = ServiceRules(ServiceArn("small"), "small", 1, 1, demand=TaskRequirements(100, 100), strategies=RANDOM)
    capacity = dict(rooms_of((1000, 1000), (0, 0), (0, 0), (100, 100)))
    tasks = [Leaving(name(1), big.arn), Leaving(name(2), small.arn)]
    answer = will_drain(PlannedDrain(name(2), capacity, {one.arn: one for one in (big, small)}, tasks))
    assert isinstance(answer, NoRoom)
    assert answer.service == "small"
    assert answer.missing == (
        "ECS may place them before 1 task of big from an instance that is draining, which would then have no room"
    )
    capacity[name(0)] = Capacity(1100, 1000)
    assert isinstance(will_drain(PlannedDrain(name(2), capacity, {one.arn: one for one in (big, small)}, tasks)), Fits)


def test_a_search_that_would_take_too_long_is_left_out() -> None:
    last = ToPlace(service("last", TaskRequirements(10, 10)), 1)
    rivals = [ToPlace(service("other", TaskRequirements(1, 1)), EFFORT_MAX)]
    assert rooms_if_last(last, rivals, rooms_of((10, 10), (10, 10)), {}) is None
    assert rooms_if_last(last, [ToPlace(rivals[0].service, 2)], rooms_of((10, 10), (10, 10)), {}) is not None
