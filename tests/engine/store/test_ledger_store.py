"""The ledger is written before it is needed, by one writer, and is never silently lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.memory_store import LossyStore, MemoryStore

from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.ids import BootId, ContainerInstanceArn, InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import LONGEST_BACKOFF, Backoff
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.ledger import (
    FAILED_VERSIONS_MAX,
    TROUBLED_MAX,
    Change,
    Ledger,
    OpenClaim,
    with_backoff,
    with_claim,
    with_failure,
    with_found,
    with_release,
    with_sighting,
    with_start,
    with_troubled,
    with_update,
    without_backoff,
    without_claim,
    without_failure,
)
from bottlerocket_ecs_updater.core.state.ledger_upkeep import ABSENT_FOR, GONE_FOR, without_future, without_gone
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict
from bottlerocket_ecs_updater.engine.store.ledger_store import (
    FLUSH_TRIES,
    KeptLedger,
    LedgerBroken,
    UnkeptLedger,
    ledger_key,
    read_ledger,
    write_ledger,
)
from bottlerocket_ecs_updater.errors import LeaseLapsed, LeaseLost, Throttled, Unreachable

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
OLD, NEW = Version(1, 20, 0), Version(1, 21, 0)
ONE, TWO = InstanceId("i-1"), InstanceId("i-2")
ARN = ContainerInstanceArn("arn:aws:ecs:eu-west-1:1:container-instance/web/1")
CLAIM = Claim(ClaimPhase.DRAINING, RunId("r1"), OLD, NEW, BootId("0b" * 16), NOW)
REST = Backoff(NEW, 1, NOW + timedelta(minutes=30), "apply-failed")
ROLLED_BACK = Backoff(NEW, 1, NOW + timedelta(days=3650), "rolled-back", rolled_back=True)
KEY = ledger_key("web")


class Counting(LossyStore):
    """A store that can refuse writes too."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses: list[Exception] = []
        """What the next writes are answered with, without any effect."""

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        if self.refuses:
            self.writes += 1
            raise self.refuses.pop(0)
        return super().put(key, data, expect)


def kept(store: MemoryStore, run: str = "r1") -> KeptLedger:
    ledger = KeptLedger(store, "web", RunId(run))
    ledger.load()
    return ledger


def claiming(id_: InstanceId) -> Change:
    return lambda ledger: with_claim(ledger, id_, CLAIM, ARN)


# Its values


def test_a_claim_is_remembered_until_it_is_dropped() -> None:
    ledger = with_claim(Ledger(), ONE, CLAIM, ARN)
    assert ledger.claims == {ONE: OpenClaim(CLAIM, ARN)}
    assert without_claim(ledger, ONE) == Ledger()


def test_a_backoff_is_remembered_until_it_is_cleared() -> None:
    assert without_backoff(with_backoff(Ledger(), ONE, REST), ONE) == Ledger()


def test_a_backoff_after_a_failed_apply_makes_no_version_suspect() -> None:
    assert with_backoff(Ledger(), ONE, REST).suspects == {}


def test_a_version_that_rolled_back_counts_once_per_instance() -> None:
    ledger = with_backoff(with_backoff(Ledger(), ONE, ROLLED_BACK), ONE, ROLLED_BACK)
    assert ledger.suspects == {NEW: 1}
    assert with_backoff(ledger, TWO, ROLLED_BACK).suspects == {NEW: 2}


def test_clearing_a_backoff_does_not_clear_the_version() -> None:
    assert without_backoff(with_backoff(Ledger(), ONE, ROLLED_BACK), ONE).suspects == {NEW: 1}


def test_a_person_who_releases_a_version_clears_its_failures_everywhere_and_no_other() -> None:
    ledger = with_backoff(with_backoff(Ledger(), ONE, ROLLED_BACK), TWO, Backoff(OLD, 2, NOW, "apply-failed"))
    ledger = with_release(with_failure(ledger, OLD, TWO), NEW, NOW)
    assert ledger.suspects == {OLD: 1}
    assert set(ledger.backoffs) == {TWO}
    assert ledger.released == {NEW: NOW}


def test_a_release_that_fails_again_after_it_was_released_is_counted_from_none() -> None:
    ledger = with_failure(with_failure(Ledger(), NEW, ONE), NEW, TWO)
    assert with_failure(with_release(ledger, NEW, NOW), NEW, ONE).suspects == {NEW: 1}


def test_the_first_sighting_of_a_version_stays() -> None:
    ledger = with_sighting(Ledger(), NEW, NOW)
    assert with_sighting(ledger, NEW, NOW + timedelta(days=1)) is ledger


def test_instances_that_are_gone_for_long_leave_no_backoffs_but_their_claims_stay() -> None:
    ledger = with_backoff(with_claim(Ledger(), ONE, CLAIM, ARN), ONE, ROLLED_BACK)
    missed = without_gone(ledger, {TWO}, NOW)
    assert missed == replace(ledger, absent_since={ONE: NOW})
    assert without_gone(missed, {TWO}, NOW + ABSENT_FOR) == Ledger(ledger.claims, {}, ledger.failed_on)


def test_an_instance_that_a_list_lacked_for_a_moment_keeps_what_is_remembered() -> None:
    ledger = with_backoff(Ledger(), ONE, ROLLED_BACK)
    missed = without_gone(ledger, {TWO}, NOW)
    back = without_gone(missed, {ONE}, NOW + timedelta(days=6))
    assert back == ledger
    assert without_gone(back, {TWO}, NOW + timedelta(days=8)).backoffs == ledger.backoffs


def test_the_result_of_an_update_is_kept_for_gone_instances_longer_than_any_wait() -> None:
    ledger = with_found(with_update(Ledger(), ONE, NEW, NOW), TWO, NEW, NOW)
    missed = without_gone(ledger, set(), NOW)
    soon, late = NOW + GONE_FOR - timedelta(minutes=1), NOW + GONE_FOR
    assert without_gone(missed, set(), soon) is missed
    assert without_gone(missed, {ONE}, late) == with_update(Ledger(), ONE, NEW, NOW)
    assert without_gone(missed, set(), late) == Ledger()


def test_a_verified_update_clears_only_the_earlier_failure_of_that_instance() -> None:
    failed = with_backoff(with_backoff(with_failure(Ledger(), OLD, ONE), ONE, ROLLED_BACK), TWO, ROLLED_BACK)
    proven = with_update(failed, ONE, NEW, NOW)
    assert proven.failed_on == {OLD: {ONE}, NEW: {TWO}}
    assert set(proven.backoffs) == {TWO}
    assert with_update(proven, TWO, NEW, NOW).failed_on == {OLD: {ONE}}


def test_an_update_to_another_version_leaves_what_failed_there() -> None:
    failed = with_backoff(Ledger(), ONE, ROLLED_BACK)
    assert with_update(failed, ONE, OLD, NOW).failed_on == {NEW: {ONE}}
    assert with_update(failed, ONE, OLD, NOW).backoffs == {ONE: ROLLED_BACK}


def test_an_instance_that_fails_after_its_update_counts_as_failed() -> None:
    assert with_failure(with_update(Ledger(), ONE, NEW, NOW), NEW, ONE).suspects == {NEW: 1}


def test_the_versions_that_failed_are_remembered_in_bounds_the_newest_of_them() -> None:
    ledger = Ledger()
    for minor in range(FAILED_VERSIONS_MAX + 5):
        ledger = with_failure(ledger, Version(1, minor, 0), ONE)
    assert len(ledger.failed_on) == FAILED_VERSIONS_MAX
    assert min(ledger.failed_on) == Version(1, 5, 0)


def test_an_instance_is_found_on_a_version_once() -> None:
    ledger = with_found(Ledger(), ONE, NEW, NOW)
    assert with_found(ledger, ONE, NEW, NOW + timedelta(days=1)) is ledger
    assert with_found(ledger, ONE, OLD, NOW).found_on[ONE].version == OLD
    assert with_update(ledger, ONE, NEW, NOW).found_on == {}


def test_an_update_counts_once_even_if_it_is_written_again() -> None:
    ledger = with_start(with_start(Ledger(), ONE, NOW), ONE, NOW + timedelta(hours=1))
    assert ledger.started == {ONE: NOW + timedelta(hours=1)}
    assert with_start(ledger, TWO, NOW + timedelta(days=1, hours=1)).started.keys() == {TWO}


def written_at(now: datetime) -> Ledger:
    """A ledger with an entry of each kind, written at that time."""
    ledger = with_found(with_update(with_start(Ledger(), ONE, now), ONE, NEW, now), TWO, NEW, now)
    ledger = with_release(with_sighting(ledger, NEW, now), OLD, now)
    longest = with_backoff(ledger, TWO, Backoff(OLD, 9, now + LONGEST_BACKOFF, "apply-failed"))
    return without_gone(longest, {ONE}, now)


def test_a_time_from_a_fast_clock_counts_as_now() -> None:
    later = NOW + timedelta(days=3650)
    assert without_future(written_at(later), NOW) == written_at(NOW)


def test_a_backoff_that_only_a_person_ends_stays_one() -> None:
    ledger = with_backoff(Ledger(), ONE, ROLLED_BACK)
    assert without_future(ledger, NOW) is ledger


@pytest.mark.parametrize(
    "change",
    [
        claiming(ONE),
        lambda ledger: without_claim(ledger, TWO),
        lambda ledger: with_backoff(ledger, ONE, ROLLED_BACK),
        lambda ledger: without_backoff(ledger, TWO),
        lambda ledger: with_failure(ledger, NEW, ONE),
        lambda ledger: without_gone(ledger, {ONE}, NOW),
        lambda ledger: without_failure(ledger, NEW, TWO),
        lambda ledger: without_future(ledger, NOW),
    ],
)
def test_a_change_that_changes_nothing_returns_the_same_ledger(change: Change) -> None:
    ledger = with_backoff(with_claim(Ledger(), ONE, CLAIM, ARN), ONE, ROLLED_BACK)
    assert change(ledger) is ledger


# Saving


def test_the_next_run_reads_the_saved_state_of_this_one() -> None:
    store = MemoryStore()
    ledger = kept(store)
    ledger.change(claiming(ONE))
    ledger.flush()
    assert kept(store, "r2").value.claims == {ONE: OpenClaim(CLAIM, ARN)}


def test_an_older_updaters_record_of_starts_is_read_without_instance_ids() -> None:
    old = {"format": 1, "claims": {}, "rests": {}, "begun": ["2026-01-05T08:00:00Z"]}
    ledger, _ = read_ledger(json.dumps(old).encode(), KEY)
    assert ledger.past.started_nameless == (NOW - timedelta(hours=1),)
    written = json.loads(write_ledger(with_start(ledger, ONE, NOW), {}))
    assert (written["begun"], written["begun_on"]) == (["2026-01-05T08:00:00Z"], {ONE: "2026-01-05T09:00:00Z"})
    assert read_ledger(json.dumps(written).encode(), KEY) == (with_start(ledger, ONE, NOW), {})
    assert with_start(ledger, ONE, NOW + timedelta(hours=23)).started_nameless == ()


def test_backoffs_are_read_under_their_older_name_and_written_under_their_own() -> None:
    older = json.loads(write_ledger(FULL, {}))
    older["rests"] = older.pop("backoffs")
    ledger, beside = read_ledger(json.dumps(older).encode(), KEY)
    assert (ledger, beside) == (FULL, {})
    assert json.loads(write_ledger(ledger, beside)).keys() >= {"backoffs"}
    assert "rests" not in json.loads(write_ledger(ledger, beside))


def test_many_changes_take_one_write() -> None:
    store = Counting()
    ledger = kept(store)
    for number in range(50):
        ledger.change(claiming(InstanceId(f"i-{number}")))
    ledger.flush()
    assert store.writes == 1


def test_a_flush_without_changes_takes_no_write() -> None:
    store = Counting()
    ledger = kept(store)
    ledger.flush()
    ledger.change(claiming(ONE))
    ledger.change(lambda value: without_claim(value, ONE))
    ledger.flush()
    assert store.writes == 0


def test_a_stale_writer_loses_its_lease_and_overwrites_nothing() -> None:
    store = MemoryStore()
    stale, fresh = kept(store, "stale"), kept(store, "fresh")
    fresh.change(claiming(ONE))
    fresh.flush()
    stale.change(claiming(TWO))
    with pytest.raises(LeaseLost, match=KEY):
        stale.flush()
    assert set(kept(store).value.claims) == {ONE}


def test_a_ledger_that_somebody_removed_is_not_written_again() -> None:
    store = MemoryStore()
    ledger = kept(store)
    ledger.change(claiming(ONE))
    ledger.flush()
    store.delete(KEY, None)
    ledger.change(claiming(TWO))
    with pytest.raises(LeaseLost):
        ledger.flush()


@pytest.mark.parametrize("answer", [Conflict(KEY), Throttled("409: another write came first")])
@pytest.mark.parametrize("there", [True, False], ids=["there", "new"])
def test_a_write_that_was_refused_without_that_anybody_wrote_is_repeated(answer: Exception, *, there: bool) -> None:
    store = Counting()
    if there:
        before = kept(store, "r0")
        before.change(claiming(TWO))
        before.flush()
    ledger = kept(store)
    ledger.change(claiming(ONE))
    store.refuses = [answer, answer]
    ledger.flush()
    assert ONE in kept(store).value.claims


def test_a_store_that_refuses_every_write_without_another_writer_is_unreachable_and_not_lost() -> None:
    store = Counting()
    ledger = kept(store)
    ledger.change(claiming(ONE))
    store.refuses = [Conflict(KEY)] * FLUSH_TRIES
    with pytest.raises(Unreachable, match=KEY):
        ledger.flush()
    ledger.flush()
    assert set(kept(store).value.claims) == {ONE}


def test_a_write_that_landed_late_after_its_repeat_was_refused_is_known_for_our_own() -> None:
    store = Counting()
    ledger = kept(store)
    ledger.change(claiming(ONE))
    store.lose = ["reply", *["request"] * (FLUSH_TRIES - 1)]
    with pytest.raises(Unreachable):
        ledger.flush()
    ledger.change(claiming(TWO))
    store.refuses = [Throttled("409: another write came first")]
    ledger.flush()
    assert set(kept(store).value.claims) == {ONE, TWO}


def test_nothing_is_written_before_the_lease_is_checked() -> None:
    store = Counting()
    ledger = kept(store)

    def lapsed() -> None:
        raise LeaseLapsed("it could not be renewed in time")

    ledger.ask_first(lapsed)
    ledger.flush()
    ledger.change(claiming(ONE))
    with pytest.raises(LeaseLapsed):
        ledger.flush()
    assert store.writes == 0


def test_a_store_that_loses_one_write_only_takes_another_write() -> None:
    store = Counting()
    ledger = kept(store)
    ledger.change(claiming(ONE))
    store.lose = ["reply"]
    ledger.flush()
    assert set(kept(store).value.claims) == {ONE}


def test_a_store_that_does_not_answer_keeps_the_changes_for_the_next_time() -> None:
    store = Counting()
    ledger = kept(store)
    ledger.change(claiming(ONE))
    store.lose = ["request"] * FLUSH_TRIES
    with pytest.raises(Unreachable):
        ledger.flush()
    ledger.flush()
    assert set(kept(store).value.claims) == {ONE}


@given(
    lost=st.lists(st.sampled_from(["", "", "request", "reply"]), max_size=12),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=12),
)
def test_a_flush_that_returns_has_saved_everything_with_any_lost_replies(
    lost: list[str], steps: list[tuple[bool, int]]
) -> None:
    store = Counting()
    ledger = kept(store)
    store.lose = lost
    for add, number in steps:
        id_ = InstanceId(f"i-{number}")
        ledger.change(claiming(id_) if add else _letting_go(id_))
        try:
            ledger.flush()
        except Unreachable:
            continue
        assert kept(store, "other").value == ledger.value


def _letting_go(id_: InstanceId) -> Change:
    return lambda ledger: without_claim(ledger, id_)


def test_a_change_that_was_undone_after_a_lost_reply_is_undone_in_the_store() -> None:
    store = Counting()
    ledger = kept(store)
    ledger.change(claiming(ONE))
    store.lose = ["reply", *["request"] * (FLUSH_TRIES - 1)]
    with pytest.raises(Unreachable):
        ledger.flush()
    ledger.change(lambda value: without_claim(value, ONE))
    ledger.flush()
    assert kept(store).value.claims == {}


def test_a_ledger_that_is_not_kept_forgets_with_the_run() -> None:
    ledger = UnkeptLedger()
    ledger.change(claiming(ONE))
    ledger.flush()
    assert set(ledger.load().claims) == {ONE}
    assert UnkeptLedger().load() == Ledger()


# Format


FULL = with_release(
    with_sighting(with_backoff(with_claim(Ledger(), ONE, CLAIM, ARN), TWO, ROLLED_BACK), NEW, NOW), OLD, NOW
)


def test_a_full_ledger_is_read_as_it_was_written() -> None:
    assert read_ledger(write_ledger(FULL, {}), KEY) == (FULL, {})


def test_a_claim_is_written_in_the_words_of_the_attribute() -> None:
    written = json.loads(write_ledger(FULL, {}))
    assert written["claims"][ONE] == {"arn": ARN, "claim": CLAIM.encode(), "health_before": None}


def test_keys_of_a_newer_updater_are_kept() -> None:
    store = MemoryStore()
    store.put(KEY, write_ledger(FULL, {"promotions": {"a": 1}}), ABSENT)
    ledger = kept(store)
    ledger.change(lambda value: without_claim(value, ONE))
    ledger.flush()
    stored = store.get(KEY)
    assert stored is not None
    assert json.loads(stored.data)["promotions"] == {"a": 1}


def test_a_fact_that_a_newer_updater_knows_of_a_backoff_is_passed_over() -> None:
    value = json.loads(write_ledger(FULL, {}))
    value["backoffs"][TWO]["mood"] = "bad"
    assert read_ledger(json.dumps(value).encode(), KEY)[0] == FULL


def _claim_cut(value: dict[str, dict[str, dict[str, str]]]) -> None:
    value["claims"][ONE]["claim"] = "1 draining"


def _time_without_offset(value: dict[str, dict[str, str]]) -> None:
    value["first_seen"][str(NEW)] = "2026-01-05T09:00:00"


def _no_claims(value: dict[str, object]) -> None:
    del value["claims"]


def _newer(value: dict[str, object]) -> None:
    value["format"] = 99


def _backoffs_of_another_shape(value: dict[str, object]) -> None:
    value["backoffs"] = [1]


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_claim_cut, "not a claim"),
        (_time_without_offset, "first_seen"),
        (_no_claims, "no claims"),
        (_newer, "99"),
        (_backoffs_of_another_shape, "backoffs"),
    ],
)
def test_a_broken_ledger_is_an_error_that_names_the_object_and_the_place(
    harm: Callable[[object], None], says: str
) -> None:
    value = json.loads(write_ledger(FULL, {}))
    harm(value)
    with pytest.raises(LedgerBroken, match=says) as caught:
        read_ledger(json.dumps(value).encode(), KEY)
    assert KEY in str(caught.value)


def test_an_unreadable_ledger_is_never_overwritten() -> None:
    store = Counting()
    store.put(KEY, b"{half", ABSENT)
    ledger = KeptLedger(store, "web", RunId("r1"))
    with pytest.raises(LedgerBroken):
        ledger.load()
    ledger.change(claiming(ONE))
    ledger.flush()
    assert store.writes == 1


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe"])
def test_an_object_that_is_not_a_ledger_never_counts_as_an_empty_one(data: bytes) -> None:
    with pytest.raises(LedgerBroken, match=KEY):
        read_ledger(data, KEY)


def test_services_in_trouble_are_recorded_once_for_each_version_and_survive_the_store() -> None:
    ledger = with_troubled(with_troubled(Ledger(), NEW, {"web", "api"}), NEW, {"late"})
    assert ledger.troubled == {NEW: {"web", "api"}}
    read, _ = read_ledger(write_ledger(ledger, {}), KEY)
    assert read.past.troubled == {NEW: {"web", "api"}}
    many = with_troubled(Ledger(), NEW, [f"s{number}" for number in range(2 * TROUBLED_MAX)])
    assert len(many.troubled[NEW]) == TROUBLED_MAX
    for minor in range(2 * FAILED_VERSIONS_MAX):
        many = with_troubled(many, Version(2, minor, 0), ())
    assert len(many.troubled) == FAILED_VERSIONS_MAX
