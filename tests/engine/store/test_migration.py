"""State that older versions kept by a cluster's name alone is moved once, by one run, and only that cluster's part."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.memory_store import LossyStore, MemoryStore
from tests.support.simulated import NEW as NEWER
from tests.support.simulated import EngineClock, Tape, Updater, row

from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.event import CommandSent, Event
from bottlerocket_ecs_updater.core.model.ids import BootId, ContainerInstanceArn, InstanceId, RunId
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.outcome import Backoff, RunOutcome
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.ledger import Ledger, OpenClaim, with_backoff, with_claim, without_claim
from bottlerocket_ecs_updater.engine.lease.both_leases import BothLeases
from bottlerocket_ecs_updater.engine.lease.run_lease import HeldBy, Taken
from bottlerocket_ecs_updater.engine.lease.store_lease import StoreLease, lease_key
from bottlerocket_ecs_updater.engine.ports import Stored
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger, LedgerBroken, ledger_key, read_ledger
from bottlerocket_ecs_updater.engine.store.migration import MovingLedger, end_pause, has_left, pause_of
from bottlerocket_ecs_updater.engine.store.pause_switch import Pause, look_for_pause, set_pause
from bottlerocket_ecs_updater.errors import LeaseLapsed, LeaseLost, Unreachable
from bottlerocket_ecs_updater.simulator.ecs import EcsTiming
from bottlerocket_ecs_updater.simulator.world.api_faults import KilledError
from bottlerocket_ecs_updater.simulator.world.world import World

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
OLD, NEW = Version(1, 20, 0), Version(1, 21, 0)
WEST, EAST = Location("111122223333", "us-west-2", "web"), Location("111122223333", "us-east-1", "web")
OURS, THEIRS = InstanceId("i-west"), InstanceId("i-east")
CLAIM = Claim(ClaimPhase.REBOOTING, RunId("r0"), OLD, NEW, BootId("0b" * 16), NOW)
REST = Backoff(NEW, 1, NOW + timedelta(minutes=30), "apply-failed")
OLD_KEY = ledger_key("web")


def arn(place: Location) -> ContainerInstanceArn:
    return ContainerInstanceArn(f"arn:aws:ecs:{place.region}:{place.account}:container-instance/{place.name}/0")


def both(ledger: Ledger) -> Ledger:
    """The ledger that two clusters with the same name shared."""
    ledger = with_claim(ledger, OURS, CLAIM, arn(WEST))
    return with_backoff(with_claim(ledger, THEIRS, CLAIM, arn(EAST)), OURS, REST)


@pytest.fixture
def store() -> LossyStore:
    made = LossyStore()
    old = KeptLedger(made, "web", RunId("r0"))
    old.load()
    old.change(both)
    old.flush()
    return made


def moving(store: MemoryStore, place: Location = WEST, run: str = "r1") -> MovingLedger:
    return MovingLedger(KeptLedger(store, str(place), RunId(run)), store, place)


def moved(store: MemoryStore, place: Location = WEST, run: str = "r1") -> Ledger:
    """The state that a run finds after it has moved and fenced it."""
    ledger = moving(store, place, run)
    ledger.load()
    ledger.flush()
    return ledger.value


def kept(store: MemoryStore, place: Location = WEST) -> Ledger:
    """The ledger under the new key, without a look at the old one."""
    return KeptLedger(store, str(place), RunId("x")).load()


def data_of(store: MemoryStore, key: str) -> bytes:
    stored = store.get(key)
    assert stored is not None
    return stored.data


# The ledger


def test_a_run_takes_over_its_own_claims_and_everything_else_in_the_old_ledger(store: LossyStore) -> None:
    assert moved(store).claims == {OURS: OpenClaim(CLAIM, arn(WEST))}
    assert kept(store) == moved(store, run="r2")
    assert kept(store).backoffs == {OURS: REST}


def test_the_other_cluster_with_the_same_name_finds_its_own_claims(store: LossyStore) -> None:
    moved(store)
    assert moved(store, EAST).claims == {THEIRS: OpenClaim(CLAIM, arn(EAST))}
    assert json.loads(data_of(store, OLD_KEY))["claims"] == {}


def test_an_older_version_cannot_read_what_was_moved_and_so_acts_on_nothing(store: LossyStore) -> None:
    moved(store)
    with pytest.raises(LedgerBroken, match="format 2"):
        KeptLedger(store, "web", RunId("r9")).load()


def test_a_claim_that_was_dropped_does_not_come_back(store: LossyStore) -> None:
    ledger = moving(store)
    ledger.load()
    ledger.flush()
    ledger.change(lambda value: without_claim(value, OURS))
    ledger.flush()
    assert has_left(store, WEST)
    assert moved(store, run="r2").claims == {}


def test_once_it_has_moved_the_old_place_is_not_read(store: LossyStore) -> None:
    moved(store)
    moved(store, run="r2")
    assert has_left(store, WEST)
    store.put(OLD_KEY, b"whatever", None)
    assert moved(store, run="r3").claims.keys() == {OURS}


def test_a_cluster_that_was_never_kept_under_its_name_says_so_at_once() -> None:
    store = MemoryStore()
    assert moved(store) == Ledger()
    assert has_left(store, WEST)
    assert list(store.keys("")) == [ledger_key(str(WEST))]


def test_looking_moves_nothing(store: LossyStore) -> None:
    before = data_of(store, OLD_KEY)
    assert moving(store).load().claims.keys() == {OURS}
    assert list(store.keys("")) == [OLD_KEY]
    assert data_of(store, OLD_KEY) == before


def test_an_old_ledger_that_cannot_be_read_is_named_and_nothing_is_written(store: LossyStore) -> None:
    store.put(OLD_KEY, b"[" * 100_000, None)
    ledger = moving(store)
    with pytest.raises(LedgerBroken, match=OLD_KEY):
        ledger.load()
    ledger.change(both)
    ledger.flush()
    assert list(store.keys("")) == [OLD_KEY]


def test_an_old_ledger_that_somebody_else_writes_meanwhile_ends_the_run(store: LossyStore) -> None:
    ledger = moving(store)
    ledger.load()
    store.put(OLD_KEY, data_of(store, OLD_KEY) + b"\n", None)
    with pytest.raises(LeaseLost, match=OLD_KEY):
        ledger.flush()


def test_nothing_is_moved_before_the_lease_was_requested(store: LossyStore) -> None:
    def lapsed() -> None:
        raise LeaseLapsed("it could not be renewed in time")

    ledger = moving(store)
    ledger.ask_first(lapsed)
    ledger.load()
    with pytest.raises(LeaseLapsed):
        ledger.flush()
    assert list(store.keys("")) == [OLD_KEY]


@given(
    lost=st.lists(st.lists(st.sampled_from(["", "request", "reply"]), max_size=4), max_size=4),
    drops=st.booleans(),
)
def test_wherever_runs_die_while_they_move_it_nothing_is_lost_and_nothing_comes_back(
    lost: list[list[str]], *, drops: bool
) -> None:
    store = LossyStore()
    old = KeptLedger(store, "web", RunId("r0"))
    old.load()
    old.change(both)
    old.flush()
    for number, losses in enumerate(lost):
        dying = moving(store, run=f"dead-{number}")
        store.lose = list(losses)
        with suppress(Unreachable):
            dying.load()
            dying.flush()
        store.lose = []
    last = moving(store, run="last")
    assert last.load().claims.keys() == {OURS}
    if drops:
        last.change(lambda value: without_claim(value, OURS))
    last.flush()
    assert moved(store, run="later").claims.keys() == (set() if drops else {OURS})
    assert moved(store, EAST).claims.keys() == {THEIRS}
    with pytest.raises(LedgerBroken):
        read_ledger(data_of(store, OLD_KEY), OLD_KEY)


# The leases


class Time:
    """A clock that advances when somebody sleeps."""

    def __init__(self) -> None:
        self.wall = NOW

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.wall.timestamp()

    def sleep(self, span: timedelta) -> bool:
        self.wall += span
        return True


def lease(store: MemoryStore, time: Time, key: str, who: str = "a") -> StoreLease:
    return StoreLease(store, lease_key(key), who, RunId(who), timedelta(seconds=60), time, time.monotonic)


def leases(store: MemoryStore, time: Time, place: Location = WEST, who: str = "a") -> BothLeases:
    new, old = lease(store, time, str(place), who), lease(store, time, place.name, who)
    return BothLeases(new, old, store, place, moving(store, place, who))


def test_a_run_of_an_older_version_that_acts_keeps_the_first_new_one_away() -> None:
    store, time = MemoryStore(), Time()
    older = lease(store, time, "web", "older")
    older.acquire()

    class Working(Time):
        def sleep(self, span: timedelta) -> bool:
            time.wall = self.wall
            older.keep()
            return super().sleep(span)

    assert leases(store, Working()).acquire() == HeldBy("older", NOW)
    assert lease(store, time, str(WEST), "next").acquire() == Taken(2), "the new one was released"


def test_a_new_run_keeps_runs_of_older_versions_away_while_it_moves_the_state() -> None:
    store, time = MemoryStore(), Time()
    older = lease(store, time, "web", "older")
    older.acquire()
    older.release()
    ours = leases(store, time)
    assert isinstance(ours.acquire(), Taken)
    for _ in range(20):
        time.sleep(timedelta(seconds=10))
        ours.keep()
        ours.check_before_act()

    class Meanwhile(Time):
        def sleep(self, span: timedelta) -> bool:
            time.wall += span
            ours.keep()
            return super().sleep(span)

    late = Meanwhile()
    late.wall = time.wall
    answer = lease(store, late, "web", "older").acquire()
    assert isinstance(answer, HeldBy)
    assert answer.holder == "a"
    ours.release()
    assert isinstance(lease(store, time, "web", "older").acquire(), Taken)


def test_both_are_regained_after_an_outage() -> None:
    store, time = MemoryStore(), Time()
    older = lease(store, time, "web", "older")
    older.acquire()
    older.release()
    ours = leases(store, time)
    ours.acquire()
    time.sleep(timedelta(minutes=3))
    with pytest.raises(LeaseLapsed):
        ours.keep()
    ours.regain()
    ours.keep()
    ours.check_before_act()


def test_after_the_move_the_old_lease_does_not_matter() -> None:
    store, time = MemoryStore(), Time()
    moved(store)
    lease(store, time, "web", "somebody").acquire()
    assert leases(store, time).acquire() == Taken(1)
    assert time.wall == NOW


class Counting(MemoryStore):
    """Counts reads."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    def get(self, key: str) -> Stored | None:
        self.reads.append(key)
        return super().get(key)


def test_a_run_reads_its_ledger_once_and_the_old_objects_only_until_they_are_moved() -> None:
    store, time, old = Counting(), Time(), ["clusters/web/lease.json", "clusters/web/pause.json", OLD_KEY]
    for run, moves in (("r1", old), ("r2", [])):
        store.reads.clear()
        ledger = moving(store, WEST, run)
        new, older = lease(store, time, str(WEST), run), lease(store, time, WEST.name, run)
        both_leases = BothLeases(new, older, store, WEST, ledger)
        assert isinstance(both_leases.acquire(), Taken)
        ledger.load()
        ledger.flush()
        both_leases.release()
        assert store.reads == [lease_key(str(WEST)), ledger_key(str(WEST)), *moves]


def test_what_was_read_before_the_lease_was_lost_is_read_again() -> None:
    """A run that could not finish its start releases the lease, and another run may write the ledger meanwhile."""
    store, time = MemoryStore(), Time()
    ledger = moving(store)
    ours = BothLeases(lease(store, time, str(WEST)), lease(store, time, "web"), store, WEST, ledger)
    assert isinstance(ours.acquire(), Taken)
    ours.release()
    other = moving(store, WEST, "r2")
    other.load()
    other.change(both)
    other.flush()
    assert isinstance(ours.acquire(), Taken)
    assert OURS in ledger.load().claims


# The pause


def paused(store: MemoryStore, cluster: str) -> None:
    set_pause(store, cluster, Pause(NOW, "me", "incident 4711"))


def test_a_pause_holds_at_the_new_place_too() -> None:
    store = MemoryStore()
    paused(store, "web")
    assert "incident 4711" in pause_of(store, WEST, "web")
    leases(store, Time()).acquire()
    assert "incident 4711" in look_for_pause(store, str(WEST))


def test_a_pause_that_is_over_does_not_come_back() -> None:
    store = MemoryStore()
    paused(store, "web")
    end_pause(store, WEST)
    leases(store, Time()).acquire()
    assert pause_of(store, WEST, "web") == ""


def test_after_the_move_a_pause_at_the_old_place_is_another_cluster_s() -> None:
    store = MemoryStore()
    moved(store)
    paused(store, "web")
    leases(store, Time()).acquire()
    assert pause_of(store, WEST, "web") == ""
    end_pause(store, WEST)
    assert look_for_pause(store, "web")


# Runs


def updater(world: World, store: MemoryStore, name: str) -> Updater:
    """A run, wired as in a process."""
    place = Location(world.names.account, world.names.region, "demo")
    made = Updater(world, name=name, store=store, state=str(place))
    made.ledger = ledger = MovingLedger(KeptLedger(store, str(place), RunId(name)), store, place)
    clock = EngineClock(world)
    new, old = (
        StoreLease(store, lease_key(key), name, RunId(name), timedelta(seconds=60), clock, clock.monotonic)
        for key in (str(place), "demo")
    )
    made.lease = BothLeases(new, old, store, place, ledger)
    return made


class DiesAtReboot(Tape):
    def record(self, event: Event) -> None:
        super().record(event)
        if isinstance(event, CommandSent) and event.kind is DocumentKind.REBOOT:
            raise KilledError("dead")


def older_version_dies(world: World, store: MemoryStore) -> None:
    """A run that keeps its state by the cluster's name alone, and dies right after its first reboot command."""
    with suppress(KilledError):
        Updater(world, name="run-0", ledger=KeptLedger(store, "demo", RunId("run-0")), tape=DiesAtReboot()).run()
    world.clock.sleep(timedelta(minutes=10))


def test_the_first_run_of_this_version_finishes_an_older_versions_updates() -> None:
    # Only the ledger has the claim: here attributes do not survive a boot.
    world, store = row(2, services=1, tasks=1, ecs_timing=EcsTiming(attributes_survive=False)), MemoryStore()
    older_version_dies(world, store)
    first = updater(world, store, "run-1")
    assert isinstance(first.lease.acquire(), Taken)
    finished = first.run()
    first.lease.release()
    assert (finished.exit_code, finished.counts["updated"]) == (0, 2)
    assert world.findings().stranded == ()
    assert set(world.findings().versions.values()) == {NEWER}


def test_two_clusters_of_one_name_in_two_accounts_share_a_store_and_nothing_else() -> None:
    store = MemoryStore()
    west = row(2, services=1, tasks=1, ecs_timing=EcsTiming(attributes_survive=False))
    east = row(2, seed=7, services=1, tasks=1)
    older_version_dies(west, store)
    for world, name in ((east, "east-1"), (west, "west-1"), (east, "east-2")):
        run = updater(world, store, name)
        assert isinstance(run.lease.acquire(), Taken)
        assert run.run().exit_code == 0
        run.lease.release()
    for world in (west, east):
        seen = world.findings()
        assert (seen.stranded, seen.violations, set(seen.versions.values())) == ((), (), {NEWER})


def test_a_ledger_with_claims_of_another_cluster_is_neither_used_nor_changed() -> None:
    store = MemoryStore()
    west = row(2, services=1, tasks=1, ecs_timing=EcsTiming(attributes_survive=False))
    east = row(2, seed=7, services=1, tasks=1)
    older_version_dies(west, store)
    before = data_of(store, ledger_key("demo"))
    finished = Updater(east, name="east-1", ledger=KeptLedger(store, "demo", RunId("east-1"))).run()
    assert (finished.outcome, finished.exit_code) == (RunOutcome.ERROR, 1)
    assert west.names.account in finished.why
    assert east.names.account in finished.why
    assert data_of(store, ledger_key("demo")) == before
    assert east.findings().most_out_at_once == 0
    finished = Updater(west, name="west-1", ledger=KeptLedger(store, "demo", RunId("west-1"))).run()
    assert finished.counts["updated"] == 2
    assert west.findings().stranded == ()
