"""The updater's own process: its memory during a run, and the CPU of a look.

The world is in another process, behind the AWS wire protocol, so nothing needs to be subtracted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmarks.hosts import Size
from benchmarks.serving import Served, served
from benchmarks.starting import PROGRAM

SPEED = 40.0
"""Fast enough to end soon, slow enough for the world's single process on a busy machine."""

MEGABYTE = 1024
SAMPLES_PER_SECOND = 5


@dataclass(frozen=True, slots=True)
class Look:
    """The CPU of looks, in seconds of one core."""

    first: float
    """Everything once: all instances, hosts, services, and every task described."""
    full: float
    """All instances again, with their services and all lists of tasks."""


@dataclass(frozen=True, slots=True)
class Alone:
    """The resources of a run's process, over HTTP."""

    resident_megabytes: float
    """The maximum resident memory, as the kernel counts it."""
    cpu: float
    wall: float
    world_time: timedelta
    exit_code: int
    updated: int
    calls: int


def look(size: Size) -> Look:
    """Look at a cluster of that size in a separate process."""
    with served(size, SPEED) as world:
        done = subprocess.run(
            (sys.executable, "-m", __spec__.name, *world.arguments),
            env=world.environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    found = json.loads(done.stdout)
    return Look(found["first"], found["full"])


def run(size: Size, speed: float, *, until_updated: int | None = None) -> Alone:
    """Run `run` on a cluster of that size, to its end or until that many instances are updated."""
    with served(size, speed) as world:
        began = time.monotonic()
        process = subprocess.Popen(
            (*PROGRAM, "run", *world.arguments, "--log-format", "json"),
            env=world.environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        watcher = _Watcher(process.pid)
        watcher.start()
        updated = _follow(process, until_updated)
        exit_code = process.wait()
        took = time.monotonic() - began
        watcher.join()
        seen = _end(world)
    # A stopped run leaves claimed instances to the next run, which violates no invariant.
    assert seen["clean" if until_updated is None else "kept"], "the run broke what it must keep"
    return Alone(
        resident_megabytes=watcher.most_kilobytes / MEGABYTE,
        cpu=watcher.cpu,
        wall=took,
        world_time=timedelta(seconds=took * speed),
        exit_code=exit_code,
        updated=updated,
        calls=seen["calls"],
    )


def _follow(process: subprocess.Popen[str], until_updated: int | None) -> int:
    updated = 0
    assert process.stderr is not None
    for line in process.stderr:
        updated += '"event":"instance.updated"' in line
        if updated == until_updated:
            process.terminate()
    return updated


def _end(world: Served) -> Mapping[str, int]:
    return world.seen()


class _Watcher(threading.Thread):
    """Reads the kernel's figures of a process while it runs."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._place = Path(f"/proc/{pid}")
        self.most_kilobytes = 0
        self.cpu = 0.0

    def run(self) -> None:
        pause = threading.Event()
        while not pause.wait(1 / SAMPLES_PER_SECOND):
            try:
                status = (self._place / "status").read_text()
                fields = (self._place / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                return
            held = [line for line in status.splitlines() if line.startswith("VmHWM")]
            if not held:
                return
            self.most_kilobytes = int(held[0].split()[1])
            self.cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(words: Sequence[str]) -> None:
    """Take the same looks as a run, through its own wiring."""
    from bottlerocket_ecs_updater.cli.settings.settings import load  # noqa: PLC0415 - the measuring process has no use for it
    from bottlerocket_ecs_updater.cli.wiring import wire  # noqa: PLC0415

    wired = wire(load(words, {}), os.environ)

    def everything() -> None:
        wired.cluster.services()
        listing = wired.cluster.list_all()
        wired.hosts.reach([one.id for one in listing.registrations if one.variant is not None])
        wired.cluster.all_tasks()

    def again() -> None:
        wired.cluster.services()
        wired.cluster.list_all()
        wired.cluster.all_tasks()

    costs = {}
    for name, step in (("first", everything), ("full", again)):
        before = time.process_time()
        step()
        costs[name] = time.process_time() - before
    print(json.dumps(costs))


if __name__ == "__main__":
    main(sys.argv[1:])
