"""Runs over simulated clusters, as events, for tests of everything that reads events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache

from tests.support.scenarios import thirteen_broken
from tests.support.simulated import Updater

from bottlerocket_ecs_updater.core.model.event import CommandSent, Event, RunFinished
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.scenarios import Scenario, row
from bottlerocket_ecs_updater.simulator.world.findings import UpdaterLimits

RUN = "20260105-0901-3f9c"

_RUNS: Mapping[str, tuple[Callable[[], Scenario], int, int]] = {
    "clean": (lambda: row(6), 2, 2),
    "broken": (thirteen_broken, 8, 20),
    "halted": (thirteen_broken, 3, 2),
    "large": (lambda: row(300), 15, 2),
}
"""By name: the scenario, the budget, and the number of failures at which the run halts."""


@cache
def events_of(name: str) -> tuple[Event, ...]:
    """All events of one of the runs; cached."""
    make, budget, failures = _RUNS[name]
    world = make().build(VirtualClock(), budget=UpdaterLimits(budget))
    world.clock.sleep(timedelta(minutes=1))
    updater = Updater(
        world,
        policy=Policy(max_unavailable=Limit(number=budget), max_failures=failures, suspect_after=max(2, failures)),
        name=RUN,
    )
    updater.run()
    return tuple(updater.tape.events)


def died(name: str) -> list[Event]:
    """The same run, killed during its first reboots."""
    events = list(events_of(name))
    assert isinstance(events[-1], RunFinished)
    rebooting = [
        n for n, event in enumerate(events) if isinstance(event, CommandSent) and event.kind is DocumentKind.REBOOT
    ]
    return events[: rebooting[0] + 1]
