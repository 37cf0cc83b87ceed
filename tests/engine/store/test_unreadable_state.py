"""Unreadable objects of the state store: each has its documented effect, and none crashes a run."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.memory_store import MemoryStore
from tests.support.simulated import NEW, OLD, Tape, Updater, row

from bottlerocket_ecs_updater.core.model.event import Drained, Event, StateUnreadable
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.versions import VersionRules
from bottlerocket_ecs_updater.engine.store.first_seen import FirstSeen
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger
from bottlerocket_ecs_updater.engine.store.shared_state import ACTS_KEY
from bottlerocket_ecs_updater.errors import Unreachable
from bottlerocket_ecs_updater.simulator.world.api_faults import KilledError
from bottlerocket_ecs_updater.simulator.world.world import World

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
GARBAGE = {
    "nested": b"[" * 200_000,
    "the first year": b'{"since": "0001-01-01T00:00:00+14:00", "first_seen": "0001-01-01T00:00:00+14:00"}',
    "empty": b"",
    "text": b"oops",
    "a list": b"[]",
    "kinds": b'{"since": 7, "who": [], "why": {}, "first_seen": NaN}',
}


class Dying(Tape):
    """The run dies right after its first drain."""

    def record(self, event: Event) -> None:
        super().record(event)
        if isinstance(event, Drained):
            raise KilledError("dead")


def updater(world: World, store: MemoryStore, name: str = "run-1", **changes: object) -> Updater:
    return Updater(world, name=name, ledger=KeptLedger(store, "demo", RunId(name)), store=store, **changes)  # type: ignore[arg-type]


def test_a_first_sighting_is_recorded_although_every_second_write_is_rejected() -> None:
    class Halting(MemoryStore):
        puts = 0

        def put(self, key: str, data: bytes, expect: str | None) -> str:
            self.puts += 1
            if self.puts % 2:
                raise Unreachable("503")
            return super().put(key, data, expect)

    store, version = Halting(), Version(1, 21, 0)
    noted = FirstSeen(store).note(version, NOW)
    assert noted == NOW
    assert FirstSeen(store).look(version) == NOW


def test_a_store_that_takes_no_sighting_is_unreachable() -> None:
    class Down(MemoryStore):
        def put(self, key: str, data: bytes, expect: str | None) -> str:
            raise Unreachable("503")

    with pytest.raises(Unreachable):
        FirstSeen(Down()).note(Version(1, 21, 0), NOW)


def left_drained(world: World) -> MemoryStore:
    store = MemoryStore()
    with suppress(KilledError):
        updater(world, store, "run-0", tape=Dying()).run()
    return store


@pytest.mark.parametrize("name", GARBAGE)
def test_unreadable_acts_let_nothing_start_and_strand_nothing(name: str) -> None:
    world = row(2)
    store = left_drained(world)
    store.put(ACTS_KEY, GARBAGE[name], None)
    finished = updater(world, store).run()
    assert (finished.outcome, finished.exit_code) == (RunOutcome.OK, 0)
    assert world.findings().stranded == ()
    held = [one for one in finished.outcomes.values() if isinstance(one, Hold)]
    assert {one.reason for one in held} == {Reason.BLOCKED}
    assert all(ACTS_KEY in str(one) for one in held)


@pytest.mark.parametrize("name", GARBAGE)
def test_an_unreadable_sighting_matters_only_with_a_minimum_age(name: str) -> None:
    world, store = row(2), MemoryStore()
    for version in (OLD, NEW):
        store.put(f"first-seen/{version}.json", GARBAGE[name], None)
    again = updater(world, store)
    assert again.run().counts["updated"] == 2
    assert [event.key for event in again.tape.of(StateUnreadable)].count(f"first-seen/{NEW}.json") == 1


@pytest.mark.parametrize("name", GARBAGE)
def test_a_sighting_that_cannot_be_read_counts_from_when_this_cluster_saw_the_version(name: str) -> None:
    world, store = row(2), MemoryStore()
    store.put(f"first-seen/{NEW}.json", GARBAGE[name], None)
    policy = Policy(rules=Rules(versions=VersionRules(minimum_age=timedelta(days=2))))
    finished = updater(world, store, policy=policy).run()
    assert finished.exit_code == 0
    reasons = {one.reason for one in finished.outcomes.values() if isinstance(one, Hold)}
    assert reasons == {Reason.VERSION_TOO_YOUNG}
    world.clock.sleep(timedelta(days=2))
    assert updater(world, store, "run-2", policy=policy).run().counts["updated"] == 2
