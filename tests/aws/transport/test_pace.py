"""The rate limit: the number of calls in any period stays below what AWS allows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.aws.fakes import START, FakeClock

from bottlerocket_ecs_updater.aws.transport.operation import Operation, ThrottleBucket
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls, Rate

SECOND = timedelta(seconds=1)
ALLOWED: Mapping[ThrottleBucket, Rate] = {
    ThrottleBucket.CLUSTER_RESOURCE_READ: Rate(20, 100),
    ThrottleBucket.CLUSTER_RESOURCE_MODIFY: Rate(40, 100),
    ThrottleBucket.SERVICE_READ: Rate(20, 100),
}
"""Source: "Request throttling for the Amazon ECS API"."""

gaps = st.lists(st.integers(0, 3_000_000).map(lambda micros: timedelta(microseconds=micros)), max_size=120)
rates = st.builds(Rate, st.floats(0.2, 50), st.integers(1, 20))


@pytest.mark.parametrize("bucket", ALLOWED)
def test_calls_stay_below_half_of_the_rate_of_ecs_in_every_second(bucket: ThrottleBucket) -> None:
    clock = FakeClock()
    pace = CallPace(clock)
    made = []
    for _ in range(100):
        pace.wait(bucket)
        made.append(clock.time)
    for first in made:
        assert sum(first <= other < first + SECOND for other in made) < ALLOWED[bucket].per_second / 2


@given(rates, gaps)
def test_no_window_ever_sees_more_than_the_burst_and_the_rate(rate: Rate, gaps: list[timedelta]) -> None:
    clock = FakeClock()
    pace = CallPace(clock, rates={ThrottleBucket.SERVICE_READ: rate})
    made = []
    for gap in gaps:
        clock.time += gap
        pace.wait(ThrottleBucket.SERVICE_READ)
        made.append(clock.time)
    for first in range(len(made)):
        for last in range(first, len(made)):
            window = (made[last] - made[first]).total_seconds()
            assert last - first + 1 <= rate.burst + rate.per_second * window + 1e-6


@given(st.integers(0, 40))
def test_a_burst_passes_without_waiting(burst: int) -> None:
    clock = FakeClock()
    pace = CallPace(clock, rates={ThrottleBucket.SERVICE_READ: Rate(1, 40)})
    for _ in range(burst):
        pace.wait(ThrottleBucket.SERVICE_READ)
    assert clock.slept == []


def test_after_the_burst_calls_come_at_the_rate() -> None:
    clock = FakeClock()
    pace = CallPace(clock, rates={ThrottleBucket.SERVICE_READ: Rate(2, 3)})
    for _ in range(13):
        pace.wait(ThrottleBucket.SERVICE_READ)
    assert clock.time - START == pytest.approx(5 * SECOND, abs=timedelta(milliseconds=1))


def test_buckets_do_not_wait_for_each_other() -> None:
    clock = FakeClock()
    pace = CallPace(clock, rates={ThrottleBucket.SERVICE_READ: Rate(1, 1), ThrottleBucket.SYSTEMS_MANAGER: Rate(1, 1)})
    pace.wait(ThrottleBucket.SERVICE_READ)
    pace.wait(ThrottleBucket.SYSTEMS_MANAGER)
    assert clock.slept == []


def test_a_bucket_without_a_rate_never_waits() -> None:
    clock = FakeClock()
    pace = CallPace(clock)
    for _ in range(1_000):
        pace.wait(ThrottleBucket.STORE)
    assert clock.slept == []


def test_once_throttled_there_is_no_burst_left() -> None:
    clock = FakeClock()
    pace = CallPace(clock, rates={ThrottleBucket.SERVICE_READ: Rate(1, 40)})
    pace.slow_down(ThrottleBucket.SERVICE_READ)
    for _ in range(10):
        pace.wait(ThrottleBucket.SERVICE_READ)
    assert clock.time - START == pytest.approx(10 * SECOND, abs=timedelta(milliseconds=1))


def test_a_wait_that_a_signal_cuts_short_is_not_taken_up_again() -> None:
    clock = FakeClock()
    clock.interrupted = True
    pace = CallPace(clock, rates={ThrottleBucket.SERVICE_READ: Rate(1, 1)})
    pace.wait(ThrottleBucket.SERVICE_READ)
    pace.wait(ThrottleBucket.SERVICE_READ)
    assert len(clock.slept) == 1


def test_a_clock_that_is_set_back_does_not_stop_the_calls() -> None:
    clock = FakeClock()
    pace = CallPace(clock, rates={ThrottleBucket.SERVICE_READ: Rate(1, 5)})
    pace.wait(ThrottleBucket.SERVICE_READ)
    clock.time -= timedelta(hours=1)
    pace.wait(ThrottleBucket.SERVICE_READ)
    assert sum(clock.slept, timedelta(0)) <= 3 * SECOND


def test_calls_are_counted_by_operation() -> None:
    calls = Calls()
    for operation in (Operation.LIST_TASKS, Operation.SEND_COMMAND, Operation.LIST_TASKS):
        calls.note(operation)
    assert dict(calls) == {"ecs:ListTasks": 2, "ssm:SendCommand": 1}
