"""The system clock, and the clock of faster simulated worlds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bottlerocket_ecs_updater.engine.clock import SystemClock

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Machine:
    """A machine's time, which tests set."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time


def test_time_is_the_machines_where_nothing_is_scaled() -> None:
    machine = Machine()
    clock = SystemClock(wall=machine)
    clock.now()
    machine.time += 2 * SECOND
    assert clock.now() == START + 2 * SECOND


def test_with_a_scale_alone_time_runs_that_fast_from_the_first_look_on() -> None:
    machine = Machine()
    clock = SystemClock(scale=60, wall=machine)
    assert clock.now() == START
    machine.time += 2 * SECOND
    assert clock.now() == START + timedelta(minutes=2)


def test_with_an_origin_all_agree_on_the_time() -> None:
    machine = Machine()
    machine.time += SECOND
    times = {SystemClock(60, START, wall=machine).now() for _ in range(2)}
    assert times == {START + timedelta(minutes=1)}
