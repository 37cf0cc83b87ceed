"""The benchmarks page with its plots, and the summary in the README."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from benchmarks.figures import CALLS_ASKED, Figure, figures
from benchmarks.measuring import MIDDLE, Measured, calls_per_instance, decision, middle, moves_per_task, over_ideal
from benchmarks.plots import Axis, Line, plot
from benchmarks.races import Race, middle_of, over_limit
from benchmarks.stopwatch import ideal_timeline, out_of_service

BEGIN, END = "<!-- make bench writes these -->", "<!-- until here -->"

HEAD = """# Benchmarks

<!-- Written by `make bench`; do not edit. -->

Targets for the updater's speed, and the measured results. `make bench` measures everything on this page again and
writes the page, in about half an hour. `make bench ARGS=--quick` prints most of it in two minutes and writes nothing.
The same results as JSON, with the calls of every operation: [benchmarks.json](benchmarks.json).

{machine}

**Rollouts are simulated.** The real engine and AWS code, with lease, ledger, record and reports, run in virtual time
against the simulator. The times come from a host model (`benchmarks/hosts.py`): a drain takes about 60 s (a web task's
replacement starts first, then the load balancer deregisters the task for 30 s; workers take 20 s after SIGTERM), a
reboot about 54 s, and a download 20 to 40 s, with random variation per host. Nothing here was measured on AWS.

**Start-up, memory and the CPU of a look are real**. They were measured in separate processes on the machine named
above, with the simulated cluster behind the AWS wire protocol in another process. CPU is the time of one core. If the
machine is busy with something else (see its load), even that is inflated; for start-up, the fastest of several starts
counts. Ratios come from one run.

**The second world** (`benchmarks/rough.py`) has more faults, and shorter drains and reboots. Each call takes time on
the simulated clock: half of them under 45 ms, 99 in 100 under 180 ms, and one in 100 takes a second more. Every 60th
read is throttled, and every 40th `SendCommand` gets no reply. Of 100 reboot commands, 15 end with a signal, 10 with a
dead worker, 6 never end, 6 are reported undeliverable, and 2 run again after the boot. Of 100 hosts, 5 delay their
shutdown for up to 90 s, and the agents of 4 flap. The limit is each host's own drain and reboot, with every slot always
full.

**The predecessor** is not measured here. The compiled Go updater was compared once with an earlier version of this one,
on a different simulator behind the wire protocol, with drains of about 15 s and reboots of about 45 s. Its last host
was back after 1.9 times the limit with 8 hosts, 5.6 times with 30 and 18.3 times with 100, because it updates one host
at a time, whatever the size of the cluster. It made 24 to 25 calls for each host, and set every host ACTIVE while it
was down, 27 s before it was back. The earlier version of this updater took 1.8 to 1.9 times the limit without a settle
time, and made 25 to 33 calls for each host.

"""

HOW = """## How the ideal schedule is calculated

The simulator knows how long each host's drain, reboot and daemon restart took. The ideal updater knows everything
immediately and makes no calls: it reboots a host the moment the last task has stopped, returns it the moment its agents
are connected, and drains the next one the moment a slot has settled. So every slot is always full. The real updater
needs additional time for its looks: one that finds the host empty, looks about
five seconds apart that verify the host, and a new look at the cluster before the next drains. It also needs a look to
see that a settle time is over.

With `--max-unavailable 1`, the ideal time is the sum of every host's drain, reboot, daemon restart and settle time.
Every figure includes the first look and the first checks of a run.

## Missed targets, and why

The simulator's stack has the reboot document of this version, which binds each reboot to one boot and one version. So
one check verifies a boot, however the command ended. Only a host whose agent does not stay connected is checked again.
With an earlier document, a boot is verified twice if the command's end is not known, half a minute apart, and every
host is checked right before its reboot: three calls more for a host, or eight if its boot is verified twice.

The calls for each instance exceed the target at 8 hosts. One host at a time takes at least 16: five to start
(services, its tasks, their protection, the claim, DRAINING), five to empty and reboot it (whether its known tasks
stopped, then in one look its counts and a list of stopping tasks, the claim for the reboot, the reboot), and six to
return it (its agent is connected, a check and its answer, it is still connected, ACTIVE, the claim deleted). Each of
these calls provides something that no other call does. The start of a run takes 14, with the description of the reboot
document, and five describe tasks that moved to a host. So a run that always looked at the right moment would need about
147 calls, or 18.4 for each host; the target of 18 allows 144. The first host of a cluster's first run takes about ten
more, because nothing is known yet about how long a drain and a reboot take; later runs expect the reboots that earlier
ones recorded. About 20 more are looks that find a host not yet empty or not yet back, and throttled or lost calls.
Fewer such looks would leave hosts out of service for longer: later first looks saved less than one call for each host,
and left hosts out of service for more than a second longer, which is beyond that target.

Three calls could be saved only with less safety. The claim is written twice: before the drain, and before the reboot.
Without the second, a run that takes over could not know that a reboot may be on its way. The list of stopping tasks
right before a reboot shows tasks that ECS placed between the last list and DRAINING: the counts do not include tasks
that are stopping. And a claim is deleted as soon as its host is back: otherwise a run that takes over could return a
host that somebody else has drained.

Several hosts share looks, checks and answers, but they share an act only if they are ready for it within the same few
seconds. So with three or more slots, a free slot waits for others that are about to be free: three polls, four with few
slots, or six with a long settle time. Hosts that start together stay together, unless one of them takes long: a
shutdown that is delayed, or an agent that flaps. It depends on these how long hosts stay together, so the calls differ
from world to world: between 9 and 20 for each of 30 hosts, and between 6 and 11 for each of 100. In the most expensive
worlds, a few hosts take 20 to 100 s longer than the others. A longer wait would cost more time than the target allows.
With three or more slots, looks are 2.5 s apart.

With 20 or more slots and a long settle time, a host that starts alone takes as many calls as a whole wave: about 25. So
a few slots that become free late wait for the wave, for two settle times at most. The first look at a wave follows the
first host of the waves before. Otherwise the two or three hosts of each wave that take far longer would delay it.

A decision takes time in proportion to the instances, but the memory of a large cluster is slower to read. So with 100
times the instances, it takes 100 to 130 times as long, the more the busier the machine is, although it makes no more
function calls for each instance. A machine on which `--help` starts in 0.07 s took 0.14 s for a decision at 5,000
instances, and one on which it starts in 0.10 s took 0.22 s.

About 24 S3 calls of a cluster's first run do not depend on its hosts: the lease, which is also the test of the bucket
(3), the ledger and what people decided (2), the start of the record (1), the first sightings of two versions (2), the
ledger of the first host, until attributes have been seen to survive a reboot (4), the last of the ledger (1), and at
the end the standing of the cluster, the last of the record, two reports, the index, the page of all clusters and the
lease (11). Later runs make two calls more, but neither note sightings nor write so often for the first host; with 8
hosts, that is 6.1 calls for each, just above the target. The other S3 calls follow the time: 23 in the 11 minutes that
8 hosts take, and about 40 in the 16 minutes that 100 hosts take. The lease is renewed every 72 seconds. What people
decided is read within a minute before each start, and while a host is drained and not yet rebooted, because a pause
and a block take effect within a minute. The ledger and the record are written every two minutes, and at once if the
next run could not find out what they say.

## How calls are counted

The simulator counts every attempt over the whole rollout, including the first look and staging. "In any second" is any
span of one second, wherever it begins. The updater leaves half of the rate that ECS sustains for an account and Region
to everybody else: 10 of 20 reads, 20 of 40 modifications a second. Calls to Auto Scaling come on top, about one for ten
instances. In CI, `tests/performance` counts the same calls at two sizes, and fails if the number grows.
"""


def write(found: Measured, docs: Path) -> None:
    """Write the page and its plots."""
    images = docs / "images"
    (images / "bench-roll.svg").write_text(_roll(found))
    (images / "bench-calls.svg").write_text(_calls(found))
    (images / "bench-deciding.svg").write_text(_deciding(found))
    (docs / "develop" / "benchmarks.md").write_text(page(found))
    readme = docs.parent / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n\n{short(found)}\n\n{END}{after}")


def short(found: Measured) -> str:
    """The summary for the README, after a whole measurement."""
    rolled, size = found.tenth[0], found.by_size
    ratio = middle(found.tenth, over_ideal)
    shown, needed = out_of_service(size[MIDDLE].laps)
    own, looked = found.memory, found.look
    assert own is not None
    assert looked is not None
    calls = ", ".join(
        f"{calls_per_instance(size[count], 'ecs', 'ssm'):.1f} with {count:,} instances" for count in CALLS_ASKED
    )
    rows = {
        f"a rollout of {MIDDLE} instances, {rolled.size.budget} at a time, settling 60 s": (
            f"{rolled.took.total_seconds() / 60:.0f} minutes, {ratio:.2f} times the ideal schedule"
        ),
        "on a simulator with faults, settling 0 s: time to the last host, relative to drains and reboots alone": (
            ", ".join(_raced(race, found) for race in found.races if not (race.settle or race.later))
        ),
        "an instance out of service": (
            f"{shown.total_seconds():.0f} s: {needed.total_seconds():.0f} s for the drain and the reboot, none for the "
            "download"
        ),
        "calls to ECS and SSM for each instance": f"{calls}, a tenth at a time",
        "task moves, in a spread cluster": f"{moves_per_task(size[MIDDLE]):.2f} for each task",
        "for 5,000 instances": (
            f"{own.resident_megabytes:.0f} MB resident, {looked.full:.1f} s of one core for a look, "
            f"{decision(size[max(size)])[0]:.2f} s for a decision"
        ),
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {what} | {got} |" for what, got in rows.items())])


def _raced(race: Race, found: Measured) -> str:
    ratio = middle_of(found.races[race], over_limit)
    calls = middle_of(found.races[race], lambda one: calls_per_instance(one, "ecs", "ssm"))
    miss = f", above the target of {race.calls:g}" if race.calls is not None and calls > race.calls else ""
    return f"{ratio:.2f} times with {race.instances} hosts, {race.budget} at a time ({calls:.0f} calls for each{miss})"


def page(found: Measured) -> str:
    """The page, in Markdown."""
    pictures = (
        f"![How many of {MIDDLE} instances run the new version, minute by minute: this updater and the ideal "
        "schedule](../images/bench-roll.svg)\n\n"
        "![Calls per instance by size of the cluster](../images/bench-calls.svg)\n\n"
        "![CPU of a decision by size of the cluster](../images/bench-deciding.svg)\n\n"
    )
    table = "\n".join(rows(figures(found)))
    return HEAD.format(machine=machine()) + f"## Figures\n\n{table}\n\n{pictures}{HOW}"


def machine() -> str:
    """The machine and the date of the measurement."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    busy = (_lines("/proc/loadavg") or ["?"])[0].split()[0]
    model = f"{len(models)} x {models[0]}" if models else platform.machine()
    date = time.strftime("%Y-%m-%d")
    return f"Measured on {date}: {model}, {platform.system()}, Python {platform.python_version()}, load {busy}."


def rows(all_: Sequence[Figure]) -> Iterator[str]:
    """The table, line by line."""
    yield "| what | at most | got | | how |"
    yield "|---|---:|---:|---|---|"
    for figure in all_:
        asked = _number(figure.asked, figure.unit) if figure.asked is not None else ""
        holds = {True: "holds", False: "**misses**", None: ""}[figure.holds]
        yield f"| {figure.what} | {asked} | {_number(figure.got, figure.unit)} | {holds} | {figure.how} |"


def _number(value: float, unit: str) -> str:
    if unit in ("MB", "min"):
        text = f"{value:.0f}"
    elif unit == "s" and value >= 10:
        text = f"{value:.1f}"
    elif unit == "s" and 0 < value < 0.1:
        return f"{1000 * value:.1f} ms"
    elif unit == "%":
        text = f"{value:.0f}"
    else:
        text = f"{value:.2f}"
    return f"{text} {unit}".strip()


def _lines(place: str) -> list[str]:
    path = Path(place)
    return path.read_text().splitlines() if path.exists() else []


# Plots

MINUTES = [(2, "2"), (5, "5"), (10, "10"), (30, "30"), (100, "100"), (1000, "1000")]


def _minutes(timeline: Sequence[tuple[timedelta, int]]) -> list[tuple[float, float]]:
    return [(at.total_seconds() / 60, float(count)) for at, count in timeline]


def _roll(found: Measured) -> str:
    rolled = found.tenth[0]
    best = ideal_timeline(rolled.laps, rolled.size.budget, rolled.settle)
    lines = [
        Line("this updater", "a", _minutes(rolled.timeline), steps=True),
        Line("ideal schedule", "c", _minutes(best), steps=True),
    ]
    return plot(
        f"{MIDDLE} instances, a tenth at a time (simulated)",
        "This updater stays close to the ideal schedule and is done in little more than half an hour.",
        Axis("minutes since the start", MINUTES, logarithmic=True),
        Axis("instances on the new version", [(0, "0"), (100, "100"), (200, "200"), (300, "300")]),
        lines,
    )


SIZES = Axis("instances", [(count, f"{count:,}") for count in (50, 100, 300, 1000, 5000)], logarithmic=True)


def _calls(found: Measured) -> str:
    sizes = sorted(found.by_size.items())
    aws = [(float(count), calls_per_instance(rolled, "ecs", "ssm")) for count, rolled in sizes]
    store = [(float(count), calls_per_instance(rolled, "s3")) for count, rolled in sizes]
    limits = [(float(count), limit) for count, limit in sorted(CALLS_ASKED.items())]
    return plot(
        "Calls per instance over a whole rollout (simulated)",
        "The larger the cluster, the fewer calls each instance costs: looks, commands and acts are shared.",
        SIZES,
        Axis("a tenth at a time, poll 5 s", [(0, "0"), (4, "4"), (8, "8"), (12, "12")]),
        [Line("at most", "limit", limits), Line("ECS and SSM", "a", aws, dots=True), Line("S3", "b", store, dots=True)],
    )


def _deciding(found: Measured) -> str:
    sizes = sorted(found.by_size.items())
    usual = [(float(count), 1000 * decision(rolled)[0]) for count, rolled in sizes]
    first = usual[0][1] / usual[0][0]
    linear = [(float(count), first * count) for count, _ in sizes]
    return plot(
        "CPU of one decision over the whole cluster",
        "A decision takes time about in proportion to the instances.",
        SIZES,
        Axis("ms of one core", [(1, "1"), (10, "10"), (100, "100"), (1000, "1000")], logarithmic=True),
        [Line("linear", "c", linear), Line("a decision", "a", usual, dots=True)],
    )
