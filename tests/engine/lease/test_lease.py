"""At most one run acts on a cluster: single cases first, then any rivals, network faults and clocks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.rivals import ACT_MAX, TERM, Act, Fate, Rival, Way, Work, World
from tests.support.memory_store import MemoryStore

from bottlerocket_ecs_updater.aws.transport.session import CALL_LIMIT
from bottlerocket_ecs_updater.cli.settings.settings import Limits
from bottlerocket_ecs_updater.core.model.ids import RunId, TaskArn
from bottlerocket_ecs_updater.engine.lease.lease_note import LONGEST_TERM
from bottlerocket_ecs_updater.engine.lease.run_lease import HeldBy, Taken
from bottlerocket_ecs_updater.engine.lease.store_lease import RENEW_AFTER_SHARE, StoreLease, lease_key
from bottlerocket_ecs_updater.engine.lease.task_lease import NoLease, RunningTask, TaskLease
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Stored
from bottlerocket_ecs_updater.engine.waits import Wait, Waits
from bottlerocket_ecs_updater.errors import LeaseLapsed, LeaseLost, Throttled, Unreachable

KEY = lease_key("web")
SPAN = timedelta(seconds=60)
DEFAULT = Limits().lease
DUE = SPAN * RENEW_AFTER_SHARE
"""When a renewal is due."""
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class Time:
    """A clock that advances on request, or when somebody sleeps."""

    def __init__(self) -> None:
        self.wall = START
        self.monotonic = 0.0
        self.interrupted = False
        self.naps: list[timedelta] = []

    def now(self) -> datetime:
        return self.wall

    def sleep(self, span: timedelta) -> bool:
        self.naps.append(span)
        if self.interrupted:
            return False
        self.move(span)
        return True

    def move(self, span: timedelta) -> None:
        self.wall += span
        self.monotonic += span.total_seconds()


class Cut(MemoryStore):
    """A store whose connection can break before a call takes effect, or before its reply."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.replies_lost = 0
        self.writes = 0
        self.tries = 0
        self.refuses: list[Exception] = []
        """What the next writes are answered with, without any effect."""

    def get(self, key: str) -> Stored | None:
        if self.down:
            raise Unreachable("cut")
        return super().get(key)

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        self.tries += 1
        if self.down:
            raise Unreachable("cut")
        if self.refuses:
            raise self.refuses.pop(0)
        self.writes += 1
        tag = super().put(key, data, expect)
        if self.replies_lost:
            self.replies_lost -= 1
            raise Unreachable("no reply")
        return tag


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def store() -> Cut:
    return Cut()


def lease(store: MemoryStore, time: Time, who: str = "a", term: timedelta = SPAN) -> StoreLease:
    return StoreLease(store, KEY, who, RunId(f"run-{who}"), term, time, lambda: time.monotonic)


@pytest.fixture
def held(store: Cut, time: Time) -> StoreLease:
    """A lease that was acquired just now."""
    held = lease(store, time)
    assert held.acquire() == Taken(1)
    return held


def held_by_a_dead_run(store: MemoryStore, time: Time, term: timedelta = SPAN) -> None:
    assert lease(store, time, "dead", term).acquire() == Taken(1)


# Acquiring the lease


def test_a_wait_for_a_lease_that_another_run_holds_is_reported_once_with_its_end(store: Cut, time: Time) -> None:
    held_by_a_dead_run(store, time)
    shown: list[Wait] = []
    waits = Waits(shown.append)
    StoreLease(store, KEY, "b", RunId("run-b"), SPAN, time, lambda: time.monotonic, waits).acquire()
    (wait,) = shown
    assert "which dead holds since 2026-01-05 09:00 UTC" in wait.what
    assert (wait.since, wait.until) == (START, START + SPAN)


def test_a_store_that_does_not_answer_is_reported_before_the_first_wait_for_it(store: Cut, time: Time) -> None:
    store.down = True
    shown: list[tuple[Wait, int]] = []
    waits = Waits(lambda wait: shown.append((wait, len(time.naps))))
    with pytest.raises(Unreachable):
        StoreLease(store, KEY, "b", RunId("run-b"), SPAN, time, lambda: time.monotonic, waits).acquire()
    ((wait, naps_before),) = shown
    assert (wait.since, naps_before) == (START, 0)
    assert wait.until is not None
    assert time.wall <= wait.until, "it does not last longer than was said"


def test_a_lease_that_was_never_held_is_taken_at_once(store: Cut, time: Time) -> None:
    assert lease(store, time).acquire() == Taken(epoch=1)
    assert time.naps == []


def test_a_released_lease_is_acquired_at_once_with_the_next_epoch(store: Cut, time: Time) -> None:
    first = lease(store, time)
    first.acquire()
    first.release()
    assert lease(store, time, "b").acquire() == Taken(epoch=2)
    assert time.naps == []


def test_a_dead_holder_loses_the_lease_after_one_term(store: Cut, time: Time) -> None:
    held_by_a_dead_run(store, time)
    assert lease(store, time, "b").acquire() == Taken(epoch=2, from_whom="dead")
    assert timedelta() <= time.wall - START - SPAN < SPAN / 4


def test_a_live_holder_is_named_with_the_time_since_which_it_holds(store: Cut, time: Time) -> None:
    holder = lease(store, time, "task/1")
    holder.acquire()

    class Busy(Time):
        def sleep(self, span: timedelta) -> bool:
            time.move(span)
            holder.keep()
            return super().sleep(span)

    rival = Busy()
    assert lease(store, rival, "b").acquire() == HeldBy("task/1", START)
    assert rival.wall - START < SPAN


def test_a_rival_waits_out_the_longer_term_of_the_holder(store: Cut, time: Time) -> None:
    held_by_a_dead_run(store, time, term=4 * SPAN)
    lease(store, time, "b").acquire()
    assert time.wall - START >= 4 * SPAN


def test_a_rival_does_not_trust_a_shorter_term_of_the_holder(store: Cut, time: Time) -> None:
    held_by_a_dead_run(store, time, term=SPAN / 10)
    lease(store, time, "b").acquire()
    assert time.wall - START >= SPAN


def test_a_wall_clock_that_jumps_ahead_does_not_shorten_the_watch(store: Cut, time: Time) -> None:
    held_by_a_dead_run(store, time)

    class Jumping(Time):
        def sleep(self, span: timedelta) -> bool:
            self.wall += timedelta(hours=1)
            return super().sleep(span)

    rival = Jumping()
    lease(store, rival, "b").acquire()
    assert rival.monotonic >= SPAN.total_seconds()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b'{"format": 9}', b'{"term_seconds": 1e99, "epoch": "x"}'])
def test_an_unreadable_lease_is_taken_after_the_longest_term_without_a_renewal(
    store: Cut, time: Time, text: bytes
) -> None:
    store.put(KEY, text, ABSENT)
    assert isinstance(lease(store, time).acquire(), Taken)
    assert time.wall - START >= LONGEST_TERM


def test_a_signal_ends_the_watch(store: Cut, time: Time) -> None:
    held_by_a_dead_run(store, time)
    time.interrupted = True
    assert lease(store, time, "b").acquire() == HeldBy("dead", START)


def test_a_take_whose_reply_was_lost_is_known_for_our_own(store: Cut, time: Time) -> None:
    store.replies_lost = 1
    taken = lease(store, time)
    assert taken.acquire() == Taken(epoch=1)
    taken.check_before_act()


def test_a_store_that_stays_away_is_an_error_in_the_end(store: Cut, time: Time) -> None:
    store.down = True
    with pytest.raises(Unreachable):
        lease(store, time).acquire()
    assert time.wall - START < timedelta(hours=1)


def test_a_term_beyond_the_longest_is_refused(store: Cut, time: Time) -> None:
    with pytest.raises(ValueError, match="term"):
        lease(store, time, term=LONGEST_TERM + timedelta(seconds=1))


def test_the_slower_of_two_runs_that_find_the_lease_free_names_the_faster_one(time: Time) -> None:
    class Slow(Cut):
        taken = True

        def get(self, key: str) -> Stored | None:
            seen = super().get(key)
            if not self.taken:
                self.taken = True
                lease(MemoryStoreView(self), time, "fast").acquire()
            return seen

    store = Slow()
    before = lease(store, time, "before")
    before.acquire()
    before.release()
    store.taken = False
    assert lease(store, time, "slow").acquire() == HeldBy("fast", START)


class MemoryStoreView(MemoryStore):
    """The same objects, through another client."""

    def __init__(self, behind: MemoryStore) -> None:
        super().__init__()
        self._behind = behind

    def get(self, key: str) -> Stored | None:
        return MemoryStore.get(self._behind, key)

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        return MemoryStore.put(self._behind, key, data, expect)


# Renewing the lease


def test_a_fresh_lease_is_not_renewed_at_every_pass(store: Cut, time: Time, held: StoreLease) -> None:
    for _ in range(int(DUE.total_seconds()) - 1):
        time.move(timedelta(seconds=1))
        held.keep()
    assert store.writes == 1
    time.move(timedelta(seconds=1))
    held.keep()
    assert store.writes == 2


def test_a_lease_that_is_kept_lasts_for_hours(store: Cut, time: Time, held: StoreLease) -> None:
    for _ in range(500):
        time.move(SPAN / 4)
        held.keep()
    held.check_before_act()


def test_a_run_that_is_cut_off_stops_a_quarter_before_the_term_is_over(
    store: Cut, time: Time, held: StoreLease
) -> None:
    store.down = True
    time.move(SPAN * 3 / 4 - timedelta(seconds=1))
    held.keep()
    held.check_before_act()
    time.move(timedelta(seconds=1))
    with pytest.raises(LeaseLost, match="could not be renewed"):
        held.keep()


def test_a_renewal_whose_reply_was_lost_is_recognized_as_our_own(store: Cut, time: Time, held: StoreLease) -> None:
    store.replies_lost = 2
    for _ in range(8):
        time.move(SPAN / 4)
        held.keep()
    held.check_before_act()


@pytest.mark.parametrize("check", [StoreLease.keep, StoreLease.check_before_act])
def test_a_run_that_was_suspended_finds_that_another_has_its_lease(
    store: Cut, time: Time, check: object, held: StoreLease
) -> None:
    lease(store, time, "b").acquire()
    with pytest.raises(LeaseLost, match="b holds it"):
        check(held)  # type: ignore[operator]


def test_a_lost_lease_stays_lost(store: Cut, time: Time, held: StoreLease) -> None:
    other = lease(store, time, "b")
    other.acquire()
    with pytest.raises(LeaseLost):
        held.keep()
    other.release()
    with pytest.raises(LeaseLost, match="b holds it"):
        held.check_before_act()


def test_a_suspension_that_only_the_wall_clock_saw_is_noticed(store: Cut, time: Time, held: StoreLease) -> None:
    store.down = True
    time.wall += timedelta(hours=1)
    with pytest.raises(LeaseLost):
        held.check_before_act()


def test_time_that_only_the_monotonic_clock_saw_is_noticed(store: Cut, time: Time, held: StoreLease) -> None:
    store.down = True
    time.monotonic += 3600
    with pytest.raises(LeaseLost):
        held.check_before_act()


def test_a_run_that_slept_renews_its_lease_and_continues_if_no_other_run_took_it(
    store: Cut, time: Time, held: StoreLease
) -> None:
    time.move(timedelta(hours=1))
    held.check_before_act()
    assert store.writes == 2


def test_facts_from_before_a_long_sleep_are_read_again(store: Cut, time: Time, held: StoreLease) -> None:
    time.move(timedelta(hours=1))
    with pytest.raises(LeaseLapsed):
        held.keep()
    held.regain()
    held.keep()


# Writes that are rejected although nobody else wrote


@pytest.mark.parametrize("answer", [Throttled("409: another write came first"), Conflict("412"), Unreachable("503")])
def test_a_renewal_that_was_rejected_without_another_write_is_retried(
    store: Cut, time: Time, answer: Exception, held: StoreLease
) -> None:
    store.refuses = [answer, answer]
    for _ in range(40):
        time.move(timedelta(seconds=2))
        held.check_before_act()
    assert store.refuses == []


@pytest.mark.parametrize("answer", [Throttled("409: another write came first"), Conflict("412")])
def test_a_lease_is_released_although_the_first_attempt_was_rejected(
    store: Cut, time: Time, answer: Exception, held: StoreLease
) -> None:
    store.refuses = [answer]
    held.release()
    assert lease(store, time, "b").acquire() == Taken(epoch=2)


@pytest.mark.parametrize("answer", [Throttled("409: another write came first"), Conflict("412")])
def test_a_free_lease_is_taken_though_that_was_refused_once(store: Cut, time: Time, answer: Exception) -> None:
    store.refuses = [answer]
    assert lease(store, time).acquire() == Taken(epoch=1)


def test_a_renewal_that_landed_late_after_its_repeat_was_refused_is_known_for_our_own(time: Time) -> None:
    class Late(Cut):
        """The first renewal gets no reply; the retry is rejected because of it; then the first one takes effect."""

        slow: tuple[str, bytes, str | None] | None = None

        def put(self, key: str, data: bytes, expect: str | None) -> str:
            if self.writes == 1 and self.slow is None:
                self.slow = (key, data, expect)
                raise Unreachable("no reply")
            if self.writes == 1 and self.slow is not None:
                super().put(*self.slow)
                raise Throttled("409: another write came first")
            return super().put(key, data, expect)

    store = Late()
    held = lease(store, time)
    held.acquire()
    for _ in range(100):
        time.move(timedelta(seconds=2))
        held.check_before_act()


# While the store accepts no renewal


def test_a_renewal_that_failed_is_tried_again_within_seconds(store: Cut, time: Time, held: StoreLease) -> None:
    store.down = True
    time.move(DUE)
    again = held.keep()
    assert again <= timedelta(seconds=3)
    store.down = False
    time.move(again)
    held.keep()
    assert store.writes == 2


@pytest.mark.parametrize(("term", "outage"), [(SPAN, 15), (DEFAULT, 30), (DEFAULT, 45)])
def test_an_outage_of_a_quarter_of_the_term_never_loses_the_lease(time: Time, term: timedelta, outage: int) -> None:
    seconds = int(term.total_seconds())
    for begins in range(seconds, 2 * seconds, 2):
        store = Cut()
        held = lease(store, time, term=term)
        held.acquire()
        for second in range(3 * seconds):
            store.down = begins <= second < begins + outage
            time.move(timedelta(seconds=1))
            held.keep()
        held.release()


def test_a_renewal_that_hangs_until_its_deadline_does_no_harm(time: Time) -> None:
    store = Hanging(time, CALL_LIMIT)
    held = lease(store, time, term=DEFAULT)
    held.acquire()
    renewals = 0
    for _ in range(900):
        if store.writes != renewals:
            renewals, store.hangs = store.writes, 2
        held.check_before_act()
        time.move(timedelta(seconds=1))
    assert renewals > 5


def test_a_store_that_does_not_answer_is_not_called_each_time(store: Cut, time: Time, held: StoreLease) -> None:
    time.move(DUE)
    store.down, store.tries = True, 0
    for _ in range(100):
        time.move(timedelta(milliseconds=100))
        held.check_before_act()
    assert store.tries <= 4


def test_a_lapsed_lease_is_regained_if_no_other_run_took_it(store: Cut, time: Time, held: StoreLease) -> None:
    store.down = True
    time.move(timedelta(minutes=3))
    for _ in range(3):
        with pytest.raises(LeaseLapsed):
            held.regain()
        time.move(timedelta(seconds=3))
    store.down = False
    held.regain()
    assert held.keep() > timedelta()
    held.check_before_act()


def test_nothing_may_be_done_before_it_is_regained_though_a_renewal_went_well(
    store: Cut, time: Time, held: StoreLease
) -> None:
    store.down = True
    time.move(SPAN)
    with pytest.raises(LeaseLapsed):
        held.keep()
    store.down = False
    time.move(SPAN)
    for _ in range(2):
        with pytest.raises(LeaseLapsed):
            held.keep()
    held.regain()
    held.keep()


def test_a_lease_that_lapsed_is_lost_where_a_rival_took_it(store: Cut, time: Time, held: StoreLease) -> None:
    store.down = True
    time.move(SPAN)
    with pytest.raises(LeaseLapsed):
        held.keep()
    store.down = False
    rival = lease(store, time, "b")
    assert rival.acquire() == Taken(2, "a")
    with pytest.raises(LeaseLost, match="b holds it"):
        held.regain()
    rival.release()
    with pytest.raises(LeaseLost, match="b holds it"):
        held.regain()


def test_a_rival_that_watches_sees_that_it_was_regained_and_leaves(store: Cut, time: Time, held: StoreLease) -> None:
    time.move(SPAN)

    class Watching(Time):
        """By its clock, three quarters of a term have passed when the holder is back."""

        def sleep(self, span: timedelta) -> bool:
            super().sleep(span)
            if self.monotonic >= SPAN.total_seconds() * 3 / 4:
                held.regain()
            return True

    assert lease(store, Watching(), "b").acquire() == HeldBy("a", START)
    held.check_before_act()


class Hanging(Cut):
    """A store to which the next writes hang until their deadline, and then have no reply."""

    def __init__(self, time: Time, limit: timedelta) -> None:
        super().__init__()
        self.time = time
        self.limit = limit
        self.hangs = 0

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        if self.hangs:
            self.hangs -= 1
            self.time.move(self.limit)
            raise Unreachable(key)
        return super().put(key, data, expect)


class Sluggish(Cut):
    """A store with slow replies; the call itself takes effect immediately."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self.time = time
        self.reply_takes = timedelta()

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        tag = super().put(key, data, expect)
        self.time.move(self.reply_takes)
        return tag


def test_a_renewal_counts_from_when_it_started_not_from_its_reply(time: Time) -> None:
    store = Sluggish(time)
    held = lease(store, time)
    held.acquire()
    time.move(DUE)
    store.reply_takes = SPAN / 2
    held.keep()
    store.down = True
    time.move(SPAN / 4)
    with pytest.raises(LeaseLost):
        held.check_before_act()


def test_a_take_counts_from_when_it_started_not_from_its_reply(time: Time) -> None:
    store = Sluggish(time)
    store.reply_takes = SPAN / 2
    held = lease(store, time)
    held.acquire()
    store.down = True
    time.move(SPAN / 4)
    with pytest.raises(LeaseLost):
        held.check_before_act()


def test_a_renewal_that_is_found_later_counts_from_when_it_started(store: Cut, time: Time, held: StoreLease) -> None:
    time.move(DUE)
    store.replies_lost = 1
    held.keep()
    time.move(DUE)
    held.keep()
    store.down = True
    time.move(SPAN / 2)
    with pytest.raises(LeaseLost):
        held.check_before_act()


def test_a_take_that_is_found_later_counts_from_when_it_started(store: Cut, time: Time) -> None:
    class Napping(Time):
        def sleep(self, span: timedelta) -> bool:
            return super().sleep(SPAN / 2)

    nap = Napping()
    store.replies_lost = 1
    held = lease(store, nap)
    held.acquire()
    store.down = True
    nap.move(SPAN / 4)
    with pytest.raises(LeaseLost):
        held.check_before_act()


def test_a_lease_that_somebody_removed_is_lost(store: Cut, time: Time, held: StoreLease) -> None:
    store.delete(KEY, None)
    time.move(SPAN / 2)
    with pytest.raises(LeaseLost, match="its object was deleted"):
        held.keep()


def test_a_run_that_never_held_the_lease_does_not_act(store: Cut, time: Time) -> None:
    with pytest.raises(LeaseLost):
        lease(store, time).check_before_act()


# Releasing the lease


def test_after_giving_it_back_nothing_may_be_done(store: Cut, time: Time, held: StoreLease) -> None:
    held.release()
    with pytest.raises(LeaseLost):
        held.check_before_act()


def test_releasing_a_lease_that_another_run_holds_leaves_it_to_that_run(
    store: Cut, time: Time, held: StoreLease
) -> None:
    other = lease(store, time, "b")
    other.acquire()
    held.release()
    other.check_before_act()
    time.move(SPAN / 2)
    other.check_before_act()


def test_giving_back_never_raises_and_never_waits(store: Cut, time: Time, held: StoreLease) -> None:
    store.down = True
    held.release()
    assert time.naps == []


def test_a_lease_whose_last_renewal_got_no_reply_is_released_anyway(store: Cut, time: Time, held: StoreLease) -> None:
    store.replies_lost = 1
    time.move(SPAN / 2)
    held.keep()
    held.release()
    assert lease(store, time, "b").acquire() == Taken(epoch=2)


def test_the_object_in_the_store_says_who_holds_it_in_words(store: Cut, time: Time) -> None:
    lease(store, time, "task/1").acquire()
    stored = store.get(KEY)
    assert stored is not None
    note = json.loads(stored.data)
    assert (note["holder"], note["run"], note["epoch"], note["released"]) == ("task/1", "run-task/1", 1, False)


# Properties


def spans(*shares: float) -> st.SearchStrategy[float]:
    """Fractions of the term: faults show at its thirds and quarters."""
    return st.sampled_from([share * TERM for share in shares])


SOMETIMES_SUSPENDED = st.just(0.0) | st.just(0.0) | spans(0.3, 0.7, 1.1, 3)
FATES = st.builds(
    Fate,
    there=spans(0, 0.01, 0.2, 0.5),
    back=spans(0, 0.01, 0.2, 0.5),
    way=st.sampled_from([Way.WELL, Way.WELL, *Way]),
    late=spans(0.1, 0.5, 1, 2),
    suspended=SOMETIMES_SUSPENDED,
)
RIVALS = st.builds(
    Rival,
    start=spans(0, 0, 0.1, 0.3, 0.5, 1, 2),
    rate=st.sampled_from([1.0, 0.95, 1.05]),
    offset=st.sampled_from([0.0, -86400.0, 86400.0]),
    step=st.sampled_from([0.0, -600.0, 600.0]),
    monotonic_stops=st.booleans(),
    fates=st.lists(FATES, max_size=8),
    then=st.just(Fate()) | FATES,
    works=st.lists(
        st.builds(Work, busy=spans(0, 0.05, 0.1), suspended=SOMETIMES_SUSPENDED, act=spans(0.02, ACT_MAX / TERM)),
        min_size=1,
        max_size=6,
    ),
    acts=st.integers(1, 40),
    releases=st.booleans(),
    persists=st.booleans(),
    returns=st.integers(0, 2),
)


def assert_one_at_a_time(acts: Sequence[Act]) -> None:
    in_order = sorted(acts, key=lambda act: act.began)
    for before, after in pairwise(in_order):
        assert before.epoch <= after.epoch, (before, after)
        if before.who != after.who:
            assert before.epoch < after.epoch, (before, after)
            assert before.ended <= after.began, (before, after)


@given(rivals=st.lists(RIVALS, min_size=2, max_size=4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_only_one_rival_acts_at_a_time_under_any_delays_and_faults(rivals: list[Rival]) -> None:
    world = World()
    world.run(rivals)
    assert not [line for line in world.log if "died" in line]
    assert_one_at_a_time(world.acts)


def test_a_rival_that_persists_works_on_after_an_outage_and_the_other_waits() -> None:
    """Leases do lapse and are regained in the generated worlds."""
    cut = tuple(Fate(way=Way.REQUEST_LOST) for _ in range(30))
    holder = Rival(fates=(Fate(), Fate(), *cut), acts=30, persists=True, returns=0)
    world = World()
    world.run([holder, Rival(start=5 * TERM, acts=1, returns=5)])
    assert "rival 0 lapsed" in world.log
    assert [act.who for act in world.acts] == [0] * 30 + [1]
    assert {act.epoch for act in world.acts if act.who == 0} == {1}


@given(
    dead=st.lists(RIVALS.filter(lambda rival: rival.start < TERM), min_size=1, max_size=3),
    rate=st.sampled_from([0.95, 1.0, 1.05]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_rival_that_comes_when_all_others_are_gone_gets_to_act(dead: list[Rival], rate: float) -> None:
    world = World()
    world.run(dead)
    late = Rival(start=world.now + TERM, rate=rate, acts=1, returns=0)
    heir = World(now=world.now, end=late.start + 40 * TERM, store=world.store)
    heir.run([late])
    assert [act.who for act in heir.acts] == [0]
    assert heir.acts[0].began - late.start < 2 * TERM


# Without a store

OWN = TaskArn("arn:aws:ecs:eu-west-1:1:task/updaters/own")
OLDER = RunningTask(TaskArn("arn:aws:ecs:eu-west-1:1:task/updaters/zz"), START - timedelta(minutes=5))
YOUNGER = RunningTask(TaskArn("arn:aws:ecs:eu-west-1:1:task/updaters/aa"), START + timedelta(minutes=5))
ME = RunningTask(OWN, START)


class Tasks:
    """The tasks that ECS lists."""

    def __init__(self, *tasks: RunningTask) -> None:
        self.tasks = tasks
        self.asked = 0
        self.down = False

    def __call__(self) -> Sequence[RunningTask]:
        self.asked += 1
        if self.down:
            raise Throttled("slow down")
        return self.tasks


def task_lease(tasks: Tasks, time: Time) -> TaskLease:
    return TaskLease(OWN, tasks, SPAN, time, lambda: time.monotonic)


def test_the_oldest_task_of_the_family_acts(time: Time) -> None:
    assert task_lease(Tasks(YOUNGER, ME), time).acquire() == Taken(0)


def test_a_younger_task_exits_and_names_the_older_one(time: Time) -> None:
    assert task_lease(Tasks(ME, OLDER), time).acquire() == HeldBy(OLDER.arn, OLDER.created_at)


def test_exactly_one_of_two_tasks_that_started_together_acts(time: Time) -> None:
    twin = RunningTask(YOUNGER.arn, START)
    tasks = Tasks(ME, twin)
    first = TaskLease(OWN, tasks, SPAN, time, lambda: time.monotonic).acquire()
    second = TaskLease(twin.arn, tasks, SPAN, time, lambda: time.monotonic).acquire()
    assert [type(first), type(second)].count(Taken) == 1


def test_a_task_that_ecs_does_not_list_yet_waits_until_it_is_listed(time: Time) -> None:
    tasks = Tasks()

    class Later(Time):
        def sleep(self, span: timedelta) -> bool:
            tasks.tasks = (ME,)
            return super().sleep(span)

    assert task_lease(tasks, Later()).acquire() == Taken(0)


def test_a_task_that_ecs_never_lists_does_not_act(time: Time) -> None:
    assert isinstance(task_lease(Tasks(), time).acquire(), HeldBy)
    assert time.wall - START <= 2 * SPAN


def test_the_tasks_of_the_family_are_listed_at_most_once_a_term(time: Time) -> None:
    tasks = Tasks(ME)
    held = task_lease(tasks, time)
    held.acquire()
    for _ in range(12):
        time.move(SPAN / 6)
        held.check_before_act()
    assert tasks.asked == 3


def test_an_older_task_that_shows_up_ends_the_right(time: Time) -> None:
    tasks = Tasks(ME)
    held = task_lease(tasks, time)
    held.acquire()
    tasks.tasks = (ME, OLDER)
    time.move(SPAN)
    with pytest.raises(LeaseLost, match=OLDER.arn):
        held.keep()
    with pytest.raises(LeaseLost):
        held.check_before_act()


def test_a_missing_answer_does_not_end_the_lease(time: Time) -> None:
    tasks = Tasks(ME)
    held = task_lease(tasks, time)
    held.acquire()
    tasks.down = True
    time.move(SPAN)
    held.keep()


def test_a_run_without_any_protection_acts_and_warns() -> None:
    right = NoLease()
    taken = right.acquire()
    assert isinstance(taken, Taken)
    assert "state store" in taken.warning
    right.check_before_act()
