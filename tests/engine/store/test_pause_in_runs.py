"""A pause and a block take effect within a minute while a run is active, and take few reads."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.support.memory_store import MemoryStore
from tests.support.people import pause
from tests.support.simulated import NEW, Updater, at_most, row

from bottlerocket_ecs_updater.core.model.event import Drained, UpdatesPaused
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.shared import Act
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.engine.look.store import ORDERS_KNOWN_FOR, ORDERS_READ_EVERY
from bottlerocket_ecs_updater.engine.ports import Stored
from bottlerocket_ecs_updater.engine.store.shared_state import ACTS_KEY, change_acts, with_block
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.services.documents import REBOOT
from bottlerocket_ecs_updater.simulator.world.world import World

PLACE = Location("123456789014", "us-east-1", "demo")
A_MINUTE = timedelta(minutes=1)


class Counting(MemoryStore):
    """A store that counts the reads of each object."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()

    def get(self, key: str) -> Stored | None:
        self.reads[ACTS_KEY] += 1
        return super().get(key)


def is_drain(call: Call) -> bool:
    return call.operation == "UpdateContainerInstancesState" and call.params["status"] == "DRAINING"


def block(store: MemoryStore, at: datetime) -> None:
    change_acts(store, lambda acts: with_block(acts, Version.parse(NEW), Act("ann", at, "breaks")))


def test_a_pause_stops_the_next_drain() -> None:
    world, store = row(4), Counting()

    def authorize(call: Call) -> None:
        if is_drain(call):
            pause(store, world.clock.now())

    world.authorize = authorize
    updater = Updater(world, at_most(1), store=store)
    finished = updater.run()
    assert len(updater.tape.of(Drained)) == 1
    assert len(updater.tape.of(UpdatesPaused)) == 1
    assert (finished.counts["updated"], finished.counts["held"]) == (1, 3)


@pytest.mark.parametrize("settle", [3, 5, 43])
def test_no_drain_starts_on_an_old_answer_about_the_pause(settle: int) -> None:
    world, store = row(5), Counting()
    reads, read_at = 0, world.clock.now()
    ages: list[timedelta] = []

    def authorize(call: Call) -> None:
        nonlocal reads, read_at
        if reads != store.reads[ACTS_KEY]:
            reads, read_at = store.reads[ACTS_KEY], world.clock.now()
        if is_drain(call):
            ages.append(world.clock.now() - read_at)

    world.authorize = authorize
    policy = replace(at_most(1), settle=timedelta(seconds=settle))
    assert Updater(world, policy, store=store, place=PLACE).run().counts["updated"] == 5
    assert max(ages) <= A_MINUTE


@pytest.mark.parametrize("after", [1, 20, 50, 58, 90, 115, *range(200, 300, 15)])
def test_a_block_returns_a_host_that_is_draining_within_a_minute(after: int) -> None:
    world, store = row(3), Counting()
    slow = Workload(deregistration_delay=timedelta(minutes=9))
    world.add_service(ServiceSpec("slow", desired=3, workload=slow))
    world.clock.sleep(timedelta(minutes=2))
    drained: list[datetime] = []
    blocked: list[datetime] = []
    returned: list[datetime] = []
    rebooted: list[str] = []

    def block_it() -> None:
        block(store, world.clock.now())
        blocked.append(world.clock.now())

    def authorize(call: Call) -> None:
        now = world.clock.now()
        if call.operation == "UpdateContainerInstancesState":
            (drained if is_drain(call) else returned).append(now)
        if is_drain(call):
            world.clock.after(timedelta(seconds=after), block_it)
        if call.operation == "SendCommand" and call.params["DocumentName"] == REBOOT:
            rebooted.append(call.params["DocumentName"])

    world.authorize = authorize
    updater = Updater(world, at_most(1), store=store, place=PLACE)
    finished = updater.run()
    assert (len(drained), rebooted) == (1, [])
    assert returned[0] - blocked[0] <= A_MINUTE
    assert (finished.counts["updated"], finished.counts["held"]) == (0, 3)
    assert world.findings().clean


def test_a_block_is_noticed_in_time_during_a_drain_whose_length_is_known() -> None:
    """After the first drain, which took 100 s, nobody looks at the second host for 90 s."""
    world, store = row(3), Counting()
    world.add_service(ServiceSpec("slow", desired=3, workload=Workload(deregistration_delay=timedelta(seconds=100))))
    world.clock.sleep(timedelta(minutes=3))
    drained: list[datetime] = []
    returned: list[datetime] = []

    def authorize(call: Call) -> None:
        if call.operation == "UpdateContainerInstancesState":
            (drained if is_drain(call) else returned).append(world.clock.now())
            if is_drain(call) and len(drained) == 2:
                world.clock.after(timedelta(seconds=3), lambda: block(store, world.clock.now()))

    world.authorize = authorize
    finished = Updater(world, at_most(1), store=store, place=PLACE).run()
    assert (finished.counts["updated"], len(drained), len(returned)) == (1, 2, 2)
    assert returned[1] - drained[1] <= timedelta(seconds=3) + A_MINUTE
    assert world.findings().clean


def test_a_block_that_comes_with_the_start_of_an_update_stops_the_next_one() -> None:
    world, store = row(3), Counting()

    def authorize(call: Call) -> None:
        if call.operation == "SendCommand" and call.params["DocumentName"] == REBOOT:
            block(store, world.clock.now())

    world.authorize = authorize
    updater = Updater(world, at_most(1), store=store, place=PLACE)
    finished = updater.run()
    assert len(updater.tape.of(Drained)) == 1
    assert finished.counts["updated"] == 1


def runs_with_reads(world: World, settle: timedelta) -> tuple[Counter[str], timedelta]:
    store = Counting()
    finished = Updater(world, replace(at_most(1), settle=settle), store=store, place=PLACE).run()
    assert finished.counts["updated"] == len(world.hosts)
    return store.reads, finished.took


def test_they_are_read_at_their_own_pace() -> None:
    reads, took = runs_with_reads(row(4), timedelta(seconds=60))
    assert took > timedelta(minutes=4)
    assert reads[ACTS_KEY] <= 1 + took / ORDERS_KNOWN_FOR


def test_while_nothing_can_start_they_are_read_rarely() -> None:
    reads, took = runs_with_reads(row(3), timedelta(minutes=9))
    assert took > timedelta(minutes=27)
    assert reads[ACTS_KEY] <= 3 + 2 * 3 + took / ORDERS_READ_EVERY
