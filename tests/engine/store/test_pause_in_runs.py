"""A pause takes effect while a run is active, and takes few reads."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.memory_store import MemoryStore
from tests.support.simulated import Updater, at_most, row

from bottlerocket_ecs_updater.core.model.event import Drained, UpdatesPaused
from bottlerocket_ecs_updater.engine.look.store import PAUSE_KNOWN_FOR
from bottlerocket_ecs_updater.engine.ports import Stored
from bottlerocket_ecs_updater.engine.store.pause_switch import Pause, pause_key, set_pause
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call


class Counting(MemoryStore):
    """A store that counts the reads of the pause switch."""

    reads = 0

    def get(self, key: str) -> Stored | None:
        self.reads += key == pause_key("demo")
        return super().get(key)


def test_a_pause_stops_the_next_drain() -> None:
    world, store = row(4), Counting()

    def authorize(call: Call) -> None:
        if call.operation == "UpdateContainerInstancesState" and call.params["status"] == "DRAINING":
            set_pause(store, "demo", Pause(world.clock.now(), "ops", "a release"))

    world.authorize = authorize
    updater = Updater(world, at_most(1), store=store)
    finished = updater.run()
    assert len(updater.tape.of(Drained)) == 1
    assert len(updater.tape.of(UpdatesPaused)) == 1
    assert (finished.counts["updated"], finished.counts["held"]) == (1, 3)


@pytest.mark.parametrize("settle", [3, 5, 43])
def test_no_drain_starts_on_an_older_answer(settle: int) -> None:
    world, store = row(5), Counting()
    reads, read_at = 0, world.clock.now()
    ages: list[timedelta] = []

    def authorize(call: Call) -> None:
        nonlocal reads, read_at
        if reads != store.reads:
            reads, read_at = store.reads, world.clock.now()
        if call.operation == "UpdateContainerInstancesState" and call.params["status"] == "DRAINING":
            ages.append(world.clock.now() - read_at)

    world.authorize = authorize
    policy = replace(at_most(1), settle=timedelta(seconds=settle))
    assert Updater(world, policy, store=store).run().counts["updated"] == 5
    assert max(ages) <= PAUSE_KNOWN_FOR + timedelta(seconds=1)


def test_the_switch_is_read_at_its_own_pace() -> None:
    world, store = row(4), Counting()
    updater = Updater(world, at_most(1), store=store)
    finished = updater.run()
    assert finished.counts["updated"] == 4
    assert finished.took > timedelta(minutes=4)
    assert store.reads <= 1 + finished.took / PAUSE_KNOWN_FOR
