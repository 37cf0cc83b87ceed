"""What is measured, and in which worlds: one call of `measure` produces every figure of the documentation."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from benchmarks import alone, starting
from benchmarks.hosts import Size
from benchmarks.races import RACES, Race
from benchmarks.roll import ECS_BUCKETS, Rolled, roll
from benchmarks.stopwatch import NOTHING, ideal

SETTLE = timedelta(seconds=60)
SUSTAINED = {"cluster resource read": 20, "cluster resource modify": 40, "service read": 20}
"""The calls per second that ECS sustains for an account and Region, according to the developer guide."""

SEEDS = (1, 2, 3)
"""Worlds with different random numbers; the median of their ratios is shown."""

RACE_SEEDS = tuple(range(1, 10))
"""The same in the second world, where the figures differ more from world to world."""

SMALL, MIDDLE, LARGE, LARGEST = 50, 300, 500, 5000
WIRE_SPEED = 15.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure; the short plan leaves out what takes minutes."""

    sizes: Sequence[int]
    seeds: Sequence[int]
    race_seeds: Sequence[int]
    wire: int
    looked_at: int
    starts: int
    quick: bool


WHOLE = Plan(
    (SMALL, 100, MIDDLE, LARGE, 1000, LARGEST), SEEDS, RACE_SEEDS, MIDDLE, LARGEST, starting.REPEATED, quick=False
)
QUICK = Plan((SMALL, MIDDLE), SEEDS[:1], RACE_SEEDS[:1], 0, 0, 5, quick=True)


@dataclass
class Measured:
    """Everything that was measured."""

    plan: Plan
    one_by_one: list[Rolled] = field(default_factory=list)
    unsettled: list[Rolled] = field(default_factory=list)
    tenth: list[Rolled] = field(default_factory=list)
    by_size: dict[int, Rolled] = field(default_factory=dict)
    races: dict[Race, list[Rolled]] = field(default_factory=dict)
    ours_unprepared: Rolled | None = None
    look: alone.Look | None = None
    memory: alone.Alone | None = None
    wire: alone.Alone | None = None
    help: starting.Start | None = None
    first_call: starting.Start | None = None


def measure(plan: Plan, say: Callable[[str], None]) -> Measured:
    """Measure everything, and report progress."""
    found = Measured(plan)
    say("start-up")
    found.help, found.first_call = starting.help_printed(plan.starts), starting.first_call(plan.starts)
    for seed in plan.seeds:
        say(f"ten prepared hosts, one at a time (world {seed})")
        found.one_by_one.append(roll(Size(10, 1, prepared=True), settle=SETTLE, seed=seed))
        found.unsettled.append(roll(Size(10, 1, prepared=True), settle=NOTHING, seed=seed))
        say(f"a tenth of {MIDDLE} prepared hosts at a time (world {seed})")
        found.tenth.append(roll(Size(MIDDLE, MIDDLE // 10, prepared=True), settle=SETTLE, seed=seed))
    found.ours_unprepared = roll(Size(10, 1), settle=NOTHING)
    for race in RACES:
        say(f"the second world: {race.instances} hosts, {race.budget} at a time, settling {race.settle.seconds} s")
        found.races[race] = [race.run(seed) for seed in plan.race_seeds]
    for count in plan.sizes:
        say(f"a tenth of {count} hosts at a time")
        found.by_size[count] = roll(Size(count, count // 10), settle=SETTLE)
    if plan.wire:
        say(f"{plan.wire} hosts over the wire")
        found.wire = alone.run(Size(plan.wire, plan.wire // 10, prepared=True), WIRE_SPEED)
    if plan.looked_at:
        size = Size(plan.looked_at, plan.looked_at // 10, prepared=True)
        say(f"looks at {plan.looked_at} hosts over the wire")
        found.look = alone.look(size)
        say(f"memory at {plan.looked_at} hosts over the wire, until the first are updated")
        found.memory = alone.run(size, WIRE_SPEED, until_updated=size.budget // 2)
    return found


# Ratios


def physical(rolled: Rolled) -> timedelta:
    """The time of all drains and reboots, one after the other."""
    return sum((lap.drain + lap.reboot for lap in rolled.laps), NOTHING)


def over_physical(rolled: Rolled) -> float:
    """The duration relative to all drains and reboots, one after the other."""
    return rolled.took / physical(rolled)


def over_ideal(rolled: Rolled) -> float:
    """The duration relative to the ideal schedule of the same hosts in the same order."""
    return rolled.took / ideal(rolled.laps, rolled.size.budget, rolled.settle)


def middle(rolls: Sequence[Rolled], ratio: Callable[[Rolled], float]) -> float:
    """The median over several worlds."""
    return statistics.median(ratio(one) for one in rolls)


def calls_per_instance(rolled: Rolled, *services: str) -> float:
    """Calls over the whole rollout, for each instance."""
    return rolled.traffic.of(*services) / rolled.size.instances


def peaks(rolled: Rolled) -> Mapping[str, int]:
    """The most calls in any second, by bucket."""
    return {bucket.value: rolled.traffic.peak(bucket) for bucket in ECS_BUCKETS}


def moves_per_task(rolled: Rolled) -> float:
    """Task moves for each task that ran on an outdated instance at the start of the rollout, which is all of them."""
    return rolled.moves / rolled.size.tasks


def decision(rolled: Rolled) -> tuple[float, float]:
    """Seconds of one core for a decision: the median and the maximum."""
    return statistics.median(rolled.effort.decisions), max(rolled.effort.decisions)


def mean_decision(rolled: Rolled) -> float:
    """CPU seconds of a decision, as the mean over a whole rollout."""
    return statistics.mean(rolled.effort.decisions)
