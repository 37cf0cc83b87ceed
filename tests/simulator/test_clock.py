"""Time in the simulated world."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlerocket_ecs_updater.simulator.clock import ScaledClock, VirtualClock

SECOND = timedelta(seconds=1)


def test_events_run_in_the_order_of_their_time() -> None:
    clock = VirtualClock()
    seen: list[str] = []
    clock.after(3 * SECOND, lambda: seen.append("third"))
    clock.after(1 * SECOND, lambda: seen.append("first"))
    clock.after(2 * SECOND, lambda: seen.append("second"))
    clock.advance(3 * SECOND)
    assert seen == ["first", "second", "third"]


def test_events_of_the_same_time_run_in_the_order_in_which_they_were_made() -> None:
    clock = VirtualClock()
    seen: list[int] = []
    for number in range(5):
        clock.after(SECOND, lambda number=number: seen.append(number))  # type: ignore[misc]
    clock.advance(SECOND)
    assert seen == [0, 1, 2, 3, 4]


def test_an_event_sees_its_own_time_and_the_sleeper_the_time_at_the_end() -> None:
    clock = VirtualClock()
    began = clock.now()
    seen: list[datetime] = []
    clock.after(2 * SECOND, lambda: seen.append(clock.now()))
    clock.sleep(5 * SECOND)
    assert (seen, clock.now()) == ([began + 2 * SECOND], began + 5 * SECOND)


def test_a_timer_that_an_event_sets_runs_in_the_same_sleep_if_it_is_due() -> None:
    clock = VirtualClock()
    seen: list[datetime] = []

    def first() -> None:
        clock.after(SECOND, lambda: seen.append(clock.now()))

    clock.after(SECOND, first)
    began = clock.now()
    clock.advance(2 * SECOND)
    assert seen == [began + 2 * SECOND]


def test_an_event_that_is_not_due_waits() -> None:
    clock = VirtualClock()
    timer = clock.after(2 * SECOND, lambda: None)
    clock.advance(SECOND)
    assert timer.pending


def test_a_cancelled_event_never_runs() -> None:
    clock = VirtualClock()
    seen: list[int] = []
    clock.after(SECOND, lambda: seen.append(1)).cancel()
    clock.advance(2 * SECOND)
    assert seen == []


def test_pump_runs_what_is_due_now_without_advancing_time() -> None:
    clock = VirtualClock()
    seen: list[int] = []
    began = clock.now()
    clock.after(timedelta(), lambda: seen.append(1))
    clock.pump()
    assert (seen, clock.now()) == ([1], began)


def test_an_action_may_not_let_time_pass() -> None:
    clock = VirtualClock()
    clock.after(SECOND, lambda: clock.sleep(SECOND))
    with pytest.raises(RuntimeError, match="may not let time pass"):
        clock.advance(SECOND)


@given(st.lists(st.integers(0, 100)), st.lists(st.integers(0, 60), min_size=1, max_size=5))
def test_events_run_once_and_in_order_for_any_steps_of_time(delays: list[int], steps: list[int]) -> None:
    clock = VirtualClock()
    began = clock.now()
    seen: list[int] = []
    for delay in delays:
        clock.after(delay * SECOND, lambda: seen.append(round((clock.now() - began).total_seconds())))
    for step in steps:
        clock.advance(step * SECOND)
    assert seen == sorted(delay for delay in delays if delay <= sum(steps))


def test_a_scaled_clock_passes_many_seconds_in_a_real_one() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    clock = ScaledClock(speed=100_000, start=start)
    clock.sleep(timedelta(minutes=10))
    assert clock.now() >= start + timedelta(minutes=10)


def test_a_scaled_clock_runs_events_on_its_own_thread() -> None:
    clock = ScaledClock(speed=10_000)
    done = threading.Event()
    clock.start()
    try:
        clock.after(5 * SECOND, done.set)
        assert done.wait(10)
    finally:
        clock.stop()


def test_a_scaled_clock_runs_chained_events_at_their_own_times_even_if_it_is_late() -> None:
    clock = ScaledClock(speed=100_000, start=datetime(2026, 1, 1, tzinfo=UTC))
    seen: list[datetime] = []

    def first() -> None:
        seen.append(clock.now())
        clock.after(SECOND, lambda: seen.append(clock.now()))

    clock.after(SECOND, first)
    clock.sleep(timedelta(minutes=5))
    clock.pump()
    assert seen[1] - seen[0] == SECOND


def test_a_clock_that_does_not_move_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        ScaledClock(speed=0)


def test_stopping_a_scaled_clock_ends_the_sleep_of_others() -> None:
    clock = ScaledClock(speed=1)
    clock.start()
    sleeper = threading.Thread(target=clock.sleep, args=(timedelta(hours=1),))
    sleeper.start()
    clock.stop()
    sleeper.join(10)
    assert not sleeper.is_alive()
