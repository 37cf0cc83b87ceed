"""A crash loses no event of an act, and the store is called rarely."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.memory_store import LossyStore, MemoryStore

from bottlerocket_ecs_updater.core.model import reasons
from bottlerocket_ecs_updater.core.model.event import (
    Claimed,
    Drained,
    Event,
    InstanceFailed,
    InstanceQuarantined,
    RunFinished,
    RunStarted,
)
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict
from bottlerocket_ecs_updater.errors import Unreachable
from bottlerocket_ecs_updater.report.record.record import (
    BATCH_MAX_AGE,
    BATCH_MAX_EVENTS,
    Record,
    read_record,
    record_folder,
    runs_of,
)

RUN = RunId("20260105-0900-3f9c")
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
FINISHED = RunFinished(START, RUN, RunOutcome.OK, 0, {}, timedelta(), "", {}, {})


def drained(seconds: float = 0, number: int = 1) -> Drained:
    return Drained(START + timedelta(seconds=seconds), InstanceId(f"i-{number}"))


def claimed(number: int = 1) -> Claimed:
    return Claimed(START, InstanceId(f"i-{number}"), Version(1, 0, 0), Version(1, 1, 0), downgrade=False)


def failed(number: int = 1) -> InstanceFailed:
    why = reasons.failed(reasons.Failure.ROLLED_BACK, version="1.0.0", target="1.1.0")
    return InstanceFailed(START, InstanceId(f"i-{number}"), why)


def quarantined(number: int = 1) -> InstanceQuarantined:
    return InstanceQuarantined(
        START, InstanceId(f"i-{number}"), reasons.failed(reasons.Failure.NOT_BACK, limit="20m", detail="")
    )


def past(store: MemoryStore) -> tuple[Event, ...]:
    read = read_record(store, "web", RUN)
    assert read.unreadable == ()
    return read.events


def test_events_are_read_in_the_order_in_which_they_happened() -> None:
    store = MemoryStore()
    record = Record(store, "web", RUN)
    events = [drained(number=number) for number in range(3 * BATCH_MAX_EVENTS + 5)]
    for event in [*events, FINISHED]:
        record.record(event)
    assert past(store) == (*events, FINISHED)


def test_the_end_of_a_run_is_written_at_once() -> None:
    store = MemoryStore()
    record = Record(store, "web", RUN)
    record.record(drained())
    record.record(FINISHED)
    assert past(store) == (drained(), FINISHED)


@pytest.mark.parametrize("event", [failed, quarantined])
def test_a_failure_is_stored_before_the_next_act(event: Callable[[int], Event]) -> None:
    store = LossyStore()
    record = Record(store, "web", RUN)
    for number in range(10):
        record.record(event(number))
    record.secure()
    assert len(past(store)) == 10
    assert store.writes == 1


def test_nothing_is_written_for_facts_that_do_not_matter_yet() -> None:
    store = LossyStore()
    record = Record(store, "web", RUN)
    record.record(drained())
    record.secure()
    assert store.writes == 0


def test_a_claim_waits_for_its_batch_because_it_is_on_the_instance() -> None:
    store = LossyStore()
    record = Record(store, "web", RUN)
    record.record(claimed())
    record.secure()
    assert store.writes == 0
    record.tick(START + BATCH_MAX_AGE)
    assert past(store) == (claimed(),)


def test_events_are_written_when_they_are_old_though_no_other_follows() -> None:
    store = LossyStore()
    record = Record(store, "web", RUN)
    record.record(drained())
    record.tick(START + BATCH_MAX_AGE - timedelta(seconds=1))
    assert store.writes == 0
    store.lose = ["request"]
    record.tick(START + BATCH_MAX_AGE)
    record.tick(START + 2 * BATCH_MAX_AGE)
    assert past(store) == (drained(),)


def test_events_do_not_wait_forever() -> None:
    store = LossyStore()
    record = Record(store, "web", RUN)
    record.record(drained(0))
    record.record(drained(BATCH_MAX_AGE.total_seconds() - 1))
    assert store.writes == 0
    record.record(drained(BATCH_MAX_AGE.total_seconds()))
    assert len(past(store)) == 3


def test_an_hour_with_an_event_each_second_takes_about_sixty_writes() -> None:
    store = LossyStore()
    record = Record(store, "web", RUN)
    for second in range(3600):
        record.record(drained(second))
    assert store.writes <= 61


def test_an_act_waits_while_the_store_does_not_answer() -> None:
    store = LossyStore()
    record = Record(store, "web", RUN)
    record.record(failed())
    store.lose = ["request"]
    with pytest.raises(Unreachable):
        record.secure()
    record.secure()
    assert past(store) == (failed(),)


@given(
    lost=st.lists(st.sampled_from(["", "request", "reply"]), max_size=15),
    spacing=st.sampled_from([1, 20, 70]),
    secured=st.lists(st.booleans(), min_size=1, max_size=15),
)
def test_no_event_is_lost_or_written_twice_with_any_lost_replies(
    lost: list[str], spacing: int, secured: list[bool]
) -> None:
    store = LossyStore()
    record = Record(store, "web", RUN)
    store.lose = lost
    events: list[Event] = []
    for number, secure in enumerate(secured):
        event = failed(number) if secure else drained(number * spacing, number)
        events.append(event)
        record.record(event)
        if secure:
            try:
                record.secure()
            except Unreachable:
                continue
            assert past(store) == tuple(events)
    store.lose = []
    record.flush()
    assert past(store) == tuple(events)


def test_a_record_never_overwrites_the_object_of_another_writer() -> None:
    store = MemoryStore()
    key = f"{record_folder('web', RUN)}/events-001.jsonl"
    store.put(key, b"theirs\n", ABSENT)
    record = Record(store, "web", RUN)
    record.record(failed())
    record.secure()
    stored = store.get(key)
    assert stored is not None
    assert stored.data == b"theirs\n"
    assert read_record(store, "web", RUN).events == (failed(),)


def test_a_batch_that_was_refused_though_there_is_none_is_written_later_under_its_number() -> None:
    class Refusing(MemoryStore):
        refuses = 1

        def put(self, key: str, data: bytes, expect: str | None) -> str:
            if self.refuses:
                self.refuses -= 1
                raise Conflict(key)
            return super().put(key, data, expect)

    store = Refusing()
    record = Record(store, "web", RUN)
    record.record(failed())
    with pytest.raises(Unreachable):
        record.secure()
    record.secure()
    assert list(store.keys("")) == [f"{record_folder('web', RUN)}/events-001.jsonl"]


def test_a_line_that_cannot_be_read_is_named_and_the_rest_is_read() -> None:
    store = MemoryStore()
    record = Record(store, "web", RUN)
    record.record(claimed())
    record.flush()
    store.put(f"{record_folder('web', RUN)}/events-002.jsonl", b'{"format":1,"event":"moon.landed"}\n', ABSENT)
    read = read_record(store, "web", RUN)
    assert read.events == (claimed(),)
    assert len(read.unreadable) == 1
    assert "events-002.jsonl line 1" in read.unreadable[0]


def test_a_thousandth_batch_comes_after_the_nine_hundred_and_ninety_ninth() -> None:
    store = MemoryStore()
    for name, event in (("1000", drained(2)), ("999", drained(1))):
        part = MemoryStore()
        record = Record(part, "web", RUN)
        record.record(event)
        record.flush()
        stored = part.get(f"{record_folder('web', RUN)}/events-001.jsonl")
        assert stored is not None
        store.put(f"{record_folder('web', RUN)}/events-{name}.jsonl", stored.data, ABSENT)
    assert past(store) == (drained(1), drained(2))


def test_a_run_that_left_no_record_is_empty() -> None:
    assert read_record(MemoryStore(), "web", RUN).events == ()


def test_the_runs_of_a_cluster_are_listed_once_each_and_apart_from_those_of_others() -> None:
    store = MemoryStore()
    for cluster, run in (("web", "2"), ("web", "1"), ("web-2", "9")):
        record = Record(store, cluster, RunId(run))
        record.record(RunStarted(START, RunId(run), cluster, "1"))
        record.flush()
        record.record(drained())
        record.flush()
    assert runs_of(store, "web") == [RunId("1"), RunId("2")]
