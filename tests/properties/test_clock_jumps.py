"""A machine's clock that is changed during a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from tests.support.simulated import NEW, EngineClock, Updater, row

from bottlerocket_ecs_updater.engine.clock import SystemClock

HOUR = timedelta(hours=1)


@dataclass
class Jumping(EngineClock):
    """The world's clock, changed by that much after some sleeps."""

    jump: timedelta = HOUR
    after_sleeps: frozenset[int] = frozenset()
    sleeps: int = 0
    set_by: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        self.machine = SystemClock(wall=lambda: self.world.clock.now() + self.set_by)

    def now(self) -> datetime:
        return self.machine.now()

    def sleep(self, span: timedelta) -> bool:
        self.sleeps += 1
        if self.sleeps in self.after_sleeps:
            self.set_by += self.jump
        self.world.clock.sleep(span)
        return True


@pytest.mark.parametrize("jump", [-HOUR, timedelta(minutes=-1), timedelta(seconds=20)])
@pytest.mark.parametrize("after", [5, 20, 45, 80])
def test_a_clock_change_delays_the_run_little_and_does_no_harm(jump: timedelta, after: int) -> None:
    world = row(3)
    began = world.clock.now()
    finished = Updater(world, clock=Jumping(world, jump, frozenset({after}))).run()
    findings = world.findings()
    assert findings.clean
    assert finished.exit_code == 0
    assert set(findings.versions.values()) == {NEW}
    assert world.clock.now() - began < 2 * HOUR


def test_time_continues_if_a_clock_was_set_back() -> None:
    world = row(1)
    clock = Jumping(world, -HOUR, frozenset({2}))
    seen = [clock.now()]
    for _ in range(3):
        clock.sleep(timedelta(minutes=1))
        seen.append(clock.now())
    # Only the minute in which the clock was changed is lost.
    assert [later - earlier for earlier, later in pairwise(seen)] == [
        timedelta(minutes=1),
        timedelta(0),
        timedelta(minutes=1),
    ]


@pytest.mark.parametrize("after", [5, 20, 45, 80])
def test_a_clock_that_is_set_forward_by_hours_ends_waits_early_and_does_no_harm(after: int) -> None:
    world = row(3)
    Updater(world, clock=Jumping(world, 5 * HOUR, frozenset({after}))).run()
    Updater(world, name="run-2").run()
    findings = world.findings()
    assert findings.stranded == ()
    assert findings.tasks_killed == ()
    # A check is sent while an apply seems to be over for hours: the host reports that its lock is held.
    assert {violation.invariant for violation in findings.violations} <= {12}
