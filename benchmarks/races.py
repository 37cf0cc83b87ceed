"""Rollouts in the second world: how much longer they take than their hosts need, and how many calls they make."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import mean

from benchmarks.hosts import Size
from benchmarks.roll import NO_DURATIONS, Rolled, roll
from benchmarks.stopwatch import NOTHING, Lap, out_of_service
from bottlerocket_ecs_updater.core.model.event import CommandSent, Rebooted, RunFinished, Settled
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind

EARLIER_SEEDS = 1000
"""The earlier run of a race is in a world with another seed."""


@dataclass(frozen=True, slots=True)
class Race:
    """One size with its settle time and its targets; None where there is no target."""

    instances: int
    budget: int
    settle: timedelta
    over_limit: float | None
    calls: float | None
    store_calls: float | None
    later: bool = False
    """Whether it is a later run, which knows how long drains and reboots took in an earlier one."""

    def run(self, seed: int) -> Rolled:
        """Roll out an update in that cluster in the second world, with the updates staged before."""
        size = Size(self.instances, self.budget, prepared=True, rough=True)
        earlier = roll(size, settle=self.settle, seed=seed + EARLIER_SEEDS).recorded if self.later else NO_DURATIONS
        return roll(size, settle=self.settle, seed=seed, earlier=earlier)


RACES = (
    Race(8, 1, NOTHING, 1.35, 18, 6),
    Race(8, 1, NOTHING, 1.35, 18, 6, later=True),
    Race(30, 3, NOTHING, 1.4, 12, None),
    Race(100, 10, NOTHING, 1.4, 8, 1),
    Race(100, 10, timedelta(seconds=60), None, None, None),
    Race(300, 30, timedelta(seconds=60), None, 5, None),
)

SETTLE_ASKED, ONCE_ASKED, TWICE_ASKED = 5.0, 12.0, 40.0
"""Seconds beyond the settle time, and beyond drain and reboot if the boot is verified once, or twice."""


def limit(rolled: Rolled) -> timedelta:
    """When the last host would be back if each took only its own drain and reboot, with every slot full."""
    free = [NOTHING] * rolled.size.budget
    for lap in rolled.laps:
        heapq.heappush(free, heapq.heappop(free) + lap.drain + lap.reboot)
    return max(free)


def over_limit(rolled: Rolled) -> float:
    """The time until the last host is back, relative to that limit."""
    return rolled.timeline[-1][0] / limit(rolled)


def beyond_settle(rolled: Rolled) -> float:
    """The mean time in seconds that a slot stayed taken after a return, beyond the settle time."""
    took = [event.took - rolled.settle for event in rolled.events if isinstance(event, Settled)]
    return mean(one.total_seconds() for one in took) if took else 0.0


def verified_twice(rolled: Rolled) -> frozenset[str]:
    """Hosts that were checked again after their new boot was verified."""
    proven: set[str] = set()
    twice: set[str] = set()
    for event in rolled.events:
        if isinstance(event, Rebooted):
            proven.add(event.instance)
        elif isinstance(event, CommandSent) and event.kind is DocumentKind.CHECK and event.instance in proven:
            twice.add(event.instance)
    return frozenset(twice)


def share(rolled: Rolled, way: str) -> float:
    """The share of the verified reboots that were over before a look saw them, or that were verified twice."""
    finished = next(event for event in rolled.events if isinstance(event, RunFinished))
    return finished.reboots[way] / (finished.reboots["seen_to_begin"] + finished.reboots["over_unseen"])


def beyond_need(rolled: Rolled, *, twice: bool) -> float:
    """Seconds out of service beyond drain and reboot: the median of the hosts that were verified once, or twice."""
    again = verified_twice(rolled)
    laps = [lap for name, lap in zip(rolled.names, rolled.laps, strict=True) if (name in again) is twice]
    return statistics.median(map(_beyond, laps)) if laps else 0.0


def _beyond(lap: Lap) -> float:
    shown, needed = out_of_service([lap])
    return (shown - needed).total_seconds()


def middle_of(rolls: Sequence[Rolled], what: Callable[[Rolled], float]) -> float:
    """The median over several worlds."""
    return statistics.median(map(what, rolls))
