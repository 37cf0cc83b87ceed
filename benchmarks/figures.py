"""The figures: targets, results, and whether each target is met. Page and JSON are made from these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from benchmarks.measuring import (
    LARGEST,
    MIDDLE,
    SUSTAINED,
    WIRE_SPEED,
    Measured,
    calls_per_instance,
    decision,
    mean_decision,
    middle,
    moves_per_task,
    over_ideal,
    over_physical,
    peaks,
    physical,
)
from benchmarks.races import (
    ONCE_ASKED,
    SETTLE_ASKED,
    TWICE_ASKED,
    beyond_need,
    beyond_settle,
    middle_of,
    over_limit,
    share,
)
from benchmarks.roll import Rolled
from benchmarks.stopwatch import lost, out_of_service

CALLS_ASKED = {50: 12.0, 500: 6.0, 5000: 6.0}
LIKE_FOR_LIKE = 1.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    what: str
    unit: str
    asked: float | None
    """The upper limit; None if the figure has no target."""
    got: float
    how: str

    @property
    def holds(self) -> bool | None:
        """Whether the target is met; None without a target."""
        return None if self.asked is None else self.got <= self.asked


def figures(found: Measured) -> list[Figure]:
    """All figures, in the order of the table."""
    return [*_races(found), *_time(found), *_calls(found), *_moves(found), *_process(found), *_growth(found)]


def _races(found: Measured) -> Iterator[Figure]:
    """The second world, with latency, bad reboot endings, slow shutdowns, flapping agents and throttles."""
    for race, rolls in found.races.items():
        worlds = f"the median of {len(rolls)} worlds" if len(rolls) > 1 else "one world"
        what = f"{race.instances} hosts, {race.budget} at a time, settle {race.settle.seconds} s"
        what += ", in a later run" if race.later else ""
        how = f"second world, {worlds}"
        yield Figure(
            f"{what}: last host back, relative to drains and reboots alone",
            "x",
            race.over_limit,
            middle_of(rolls, over_limit),
            how,
        )
        once, twice = (middle_of(rolls, partial(beyond_need, twice=twice)) for twice in (False, True))
        yield Figure(
            "… out of service beyond drain and reboot", "s", ONCE_ASKED, once, "the median host, verified once"
        )
        ways = {way: 100 * middle_of(rolls, partial(share, way=way)) for way in ("over_unseen", "proven_twice")}
        if ways["proven_twice"]:
            yield Figure(
                "… the same if the boot is verified twice", "s", TWICE_ASKED, twice, "the median of those hosts"
            )
        yield Figure("… hosts verified twice", "%", None, ways["proven_twice"], "its agent did not stay connected")
        yield Figure(
            "… reboots that finished before a look saw them",
            "%",
            None,
            ways["over_unseen"],
            "no look saw the agent away",
        )
        yield Figure(
            "… a slot taken beyond the settle time", "s", SETTLE_ASKED, middle_of(rolls, beyond_settle), "the mean"
        )
        calls = middle_of(rolls, lambda one: calls_per_instance(one, "ecs", "ssm"))
        yield Figure(
            "… ECS and SSM calls per instance", "", race.calls, calls, "including throttled and repeated calls"
        )
        store = middle_of(rolls, lambda one: calls_per_instance(one, "s3"))
        yield Figure("… S3 calls per instance", "", race.store_calls, store, "of the whole run, with its reports")


def _time(found: Measured) -> Iterator[Figure]:
    worlds = f"{len(found.one_by_one)} worlds, the median" if len(found.one_by_one) > 1 else "one world"
    yield Figure(
        "a rollout at `--max-unavailable 1`, relative to drains, reboots and settling one after the other",
        "x",
        1.15,
        middle(found.one_by_one, over_ideal),
        f"10 prepared hosts, settle 60 s, {worlds}",
    )
    yield Figure(
        "… with `--settle 0s`, relative to drains and reboots alone",
        "x",
        1.15,
        middle(found.unsettled, over_physical),
        "the same; verification takes its looks",
    )
    if found.ours_unprepared is not None:
        ours = found.ours_unprepared
        how = "10 hosts that must download, settle 0 s"
        yield Figure(
            "a rollout one at a time, with hosts that must download", "x", None, ours.took / physical(ours), how
        )
    yield Figure(
        "a rollout of 10% of 300, relative to the ideal schedule",
        "x",
        1.15,
        middle(found.tenth, over_ideal),
        f"{MIDDLE} prepared hosts, 30 at a time, settle 60 s, {worlds}",
    )
    minutes = middle(found.tenth, lambda rolled: rolled.took.total_seconds() / 60)
    yield Figure("… in minutes", "min", None, minutes, "the same")
    if found.wire is not None:
        wire = found.wire
        how = f"`run` as a process, {WIRE_SPEED:.0f} s of the world a second; the world shares the machine"
        yield Figure("… over the wire", "min", None, wire.world_time.total_seconds() / 60, how)
    yield from _out_of_service(found)


def _out_of_service(found: Measured) -> Iterator[Figure]:
    rolled = found.by_size[MIDDLE]
    shown, needed = out_of_service(rolled.laps)
    parts = lost(rolled.laps)
    yield Figure("an instance out of service, mean", "s", None, shown.total_seconds(), "300 hosts that must download")
    yield Figure("… of it, drain and reboot", "s", None, needed.total_seconds(), "the world's own clock")
    yield Figure("… of it, to see that it is empty and send the reboot", "s", None, parts["empty to reboot"], "")
    yield Figure(
        "… of it, the looks that verify it", "s", 15.0, parts["back to return"], "looks that span five seconds"
    )
    yield Figure("… of it, download", "s", 0.0, 0.0 if _staged_before(rolled) else 1.0, "staged before every drain")


def _staged_before(rolled: Rolled) -> bool:
    """Whether no host was out of service for longer than its drain, its reboot, the looks and the calls take."""
    return all(
        lap.drained is not None
        and lap.returned is not None
        and (lap.returned - lap.drained - lap.drain - lap.reboot).total_seconds() < 40
        for lap in rolled.laps
    )


def _calls(found: Measured) -> Iterator[Figure]:
    for count, rolled in found.by_size.items():
        how = f"{count} hosts that must download, {rolled.size.budget} at a time, poll 5 s"
        asked = CALLS_ASKED.get(count)
        yield Figure(
            f"ECS and SSM calls per instance, {count:,}", "", asked, calls_per_instance(rolled, "ecs", "ssm"), how
        )
    for count, rolled in found.by_size.items():
        if count in CALLS_ASKED:
            other = calls_per_instance(rolled, "s3")
            yield Figure(f"S3 calls per instance, {count:,}", "", None, other, "of the whole run, with its reports")
    for bucket, sustained in SUSTAINED.items():
        most = max(peaks(rolled)[bucket] for rolled in found.by_size.values())
        how = f"half of {sustained}/s, any second of any of these rollouts"
        yield Figure(f"most calls in a second, {bucket}", "", sustained / 2, float(most), how)


def _moves(found: Measured) -> Iterator[Figure]:
    for count, rolled in found.by_size.items():
        how = f"{rolled.size.tasks:,} tasks, default spread strategy"
        yield Figure(f"task moves per task, {count:,}", "x", 1.3, moves_per_task(rolled), how)


def _process(found: Measured) -> Iterator[Figure]:
    if found.memory is not None:
        how = f"the process of `run`, over the wire, until {found.memory.updated} of {LARGEST:,} were updated"
        yield Figure("resident memory at 5,000", "MB", 150, found.memory.resident_megabytes, how)
    if found.look is not None:
        how = "over the wire, in its own process: every instance, service and list of tasks"
        yield Figure("CPU of a look at 5,000", "s", 3.0, found.look.full, how)
        yield Figure("… of the first one, with every task described", "s", None, found.look.first, "the same process")
    for count, rolled in found.by_size.items():
        usual, longest = decision(rolled)
        how = f"the middle of {len(rolled.effort.decisions)}; the longest took {longest:.3f} s"
        yield Figure(f"CPU of deciding, {count:,}", "s", 0.2 if count == LARGEST else None, usual, how)
    if found.help is not None and found.first_call is not None:
        for what, asked, start in (("`--help`", 0.25, found.help), ("first AWS call of `run`", 0.5, found.first_call)):
            how = (
                f"CPU, the least of {found.plan.starts}, middle {start.cpu:.2f} s; on the wall {start.wall_best:.2f} s"
            )
            yield Figure(f"start until {what}", "s", asked, start.cpu_best, f"{how}, middle {start.wall:.2f} s")


def _growth(found: Measured) -> Iterator[Figure]:
    sizes = sorted(found.by_size)
    small, large = found.by_size[sizes[0]], found.by_size[sizes[-1]]
    span = f"{sizes[0]:,} to {sizes[-1]:,}"
    times = large.size.instances / small.size.instances
    how = f"{times:.0f} times the instances; 1 is linear"
    # Use the mean, because the passes differ: in a small cluster most are at its end, with little left to decide.
    deciding = mean_decision(large) / mean_decision(small) / times
    yield Figure(f"growth of deciding, {span}", "x", LIKE_FOR_LIKE, deciding, f"the mean of all passes; {how}")
    calls = calls_per_instance(large, "ecs", "ssm") / calls_per_instance(small, "ecs", "ssm")
    yield Figure(f"growth of calls, {span}", "x", LIKE_FOR_LIKE, calls, how)


def as_json(found: Measured) -> dict[str, Any]:
    """Everything, for programs: the figures, and the times and calls of the rollout of each size."""
    return {
        "figures": [{**asdict(figure), "holds": figure.holds} for figure in figures(found)],
        "rolls": {str(count): _details(rolled) for count, rolled in found.by_size.items()},
    }


def _details(rolled: Rolled) -> dict[str, Any]:
    usual, longest = decision(rolled)
    return {
        "instances": rolled.size.instances,
        "budget": rolled.size.budget,
        "minutes": rolled.took.total_seconds() / 60,
        "over_ideal": over_ideal(rolled),
        "task_moves": rolled.moves,
        "calls": dict(sorted(rolled.traffic.by_operation.items())),
        "peak_calls_per_second": dict(peaks(rolled)),
        "decision_seconds": {"middle": usual, "longest": longest, "count": len(rolled.effort.decisions)},
        "updater_cpu_seconds": rolled.effort.updater,
        "events": len(rolled.events),
    }
