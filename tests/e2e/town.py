"""A simulated cluster over HTTP, and the real program run against it as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from botocore.session import Session

from bottlerocket_ecs_updater.simulator.clock import ScaledClock
from bottlerocket_ecs_updater.simulator.scenarios import Fate, Scenario
from bottlerocket_ecs_updater.simulator.services.documents import APPLY, CHECK, REBOOT
from bottlerocket_ecs_updater.simulator.wire import OPERATOR_KEY, Wire
from bottlerocket_ecs_updater.simulator.world.findings import Findings, UpdaterLimits
from bottlerocket_ecs_updater.simulator.world.world import World

SPEED = 60.0
ENDS_WITHIN_SECONDS = 150
"""Real time. A run that takes longer hangs."""


@cache
def _session() -> Session:
    """One session for all tests of a process: loading the service models takes long, EC2's alone half a second."""
    return Session()


class SkippingClock(ScaledClock):
    """A clock that can go ahead at once, through everything that happens meanwhile."""

    skipped = timedelta()

    def skip(self, span: timedelta) -> None:
        """Let that much time pass without waiting for it."""
        with self.lock:
            self._start += span
            self.skipped += span
            self.pump()

    @property
    def origin(self) -> datetime:
        """The time at which this clock showed the real time: a process tells the clock's time from it and the speed."""
        return self._start - self.skipped - self.skipped / (self.speed - 1)


@dataclass
class Town:
    """One world behind HTTP."""

    world: World
    wire: Wire
    scenario: Scenario
    clock: SkippingClock
    state: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return self.clock.origin.isoformat()

    def start(self, *flags: str, scaled: bool = True) -> subprocess.Popen[str]:
        """Start `run` on the cluster; without `scaled`, it does not know the world's clock."""
        clock = ("--time-scale", str(SPEED), "--time-origin", self.origin) if scaled else ()
        process = subprocess.Popen(
            [sys.executable, "-m", "bottlerocket_ecs_updater", "run", *self.arguments(), *clock, *flags],
            env=self.environment(),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self.processes.append(process)
        return process

    def run(self, *flags: str, scaled: bool = True) -> Output:
        """Run until it ends."""
        return output_of(self.start(*flags, scaled=scaled))

    def arguments(self) -> list[str]:
        values = {
            "cluster": self.scenario.cluster,
            "region": self.scenario.names.region,
            "check-document": CHECK,
            "apply-document": APPLY,
            "reboot-document": REBOOT,
            "state": str(self.state),
            "log-format": "json",
        }
        return [part for name, value in values.items() for part in (f"--{name}", value)]

    def environment(self, key: str | None = None) -> Mapping[str, str]:
        mine = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**mine, **(self.wire.environment(key) if key else self.wire.environment())}

    def aws(self, *words: str) -> Any:
        """The answer that awscli gets. It shares no code with the program. Each call takes a second of CPU."""
        cli = Path(sys.executable).with_name("aws")
        done = subprocess.run(
            [str(cli), *words, "--output", "json"],
            env={**self.environment(OPERATOR_KEY), "AWS_PAGER": ""},
            capture_output=True,
            check=False,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def client(self, service: str) -> Any:
        """A person's client in this process, for preparation and checks."""
        return _session().create_client(
            service,
            region_name=self.scenario.names.region,
            endpoint_url=self.wire.endpoint,
            aws_access_key_id=OPERATOR_KEY,
            aws_secret_access_key="simulated",
        )

    def calls(self) -> int:
        return self.world.calls.total

    def wait_until(self, true: Callable[[], bool]) -> None:
        """Wait until something holds in the world, within a limit that no healthy run reaches."""
        ends = time.monotonic() + ENDS_WITHIN_SECONDS
        pause = timedelta(seconds=1)
        while not true():
            assert time.monotonic() < ends, "it never came"
            self.clock.sleep(pause)

    def findings(self) -> Findings:
        return self.world.findings()

    def not_as_foretold(self) -> list[str]:
        """Healthy instances that are not up to date, and others that were rebooted although they had to be left alone.

        An instance that is held may become healthy while a slow machine still runs, so its outcome is not checked here.
        """
        seen, newest = self.findings(), self.scenario.releases[0].version
        fates = self.scenario.fates.items()
        late = [name for name, fate in fates if fate is Fate.UPDATED and seen.versions[name] != newest]
        alone = (Fate.UP_TO_DATE, Fate.FOREIGN)
        return late + [name for name, fate in fates if fate in alone and seen.boots[name] != 0]


@dataclass(frozen=True)
class Output:
    """The output of a run, and its exit code."""

    exit_code: int
    lines: tuple[Mapping[str, Any], ...]

    @property
    def last(self) -> Mapping[str, Any]:
        return self.lines[-1]

    def of(self, event: str) -> list[Mapping[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


def output_of(process: subprocess.Popen[str]) -> Output:
    """Wait for a run's end, and read its log."""
    _, said = process.communicate(timeout=ENDS_WITHIN_SECONDS)
    return Output(process.returncode, tuple(json.loads(line) for line in said.splitlines() if line.startswith("{")))


def kill(process: subprocess.Popen[str]) -> None:
    """Kill it without warning, as if the machine had died."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


@contextmanager
def town(scenario: Scenario, state: Path, budget: int = 1, speed: float = SPEED) -> Iterator[Town]:
    """The scenario's world behind HTTP, a minute after its start. All its processes end with it."""
    clock = SkippingClock(speed)
    world = scenario.build(clock, budget=UpdaterLimits(budget))
    clock.start()
    try:
        with Wire(world) as wire:
            built = Town(world, wire, scenario, clock, state)
            clock.skip(timedelta(minutes=1))
            yield built
            for process in built.processes:
                if process.poll() is None:
                    kill(process)
    finally:
        clock.stop()


def assert_clean(seen: Findings) -> None:
    """No task was killed, nothing is stranded, no invariant was violated."""
    assert [task for task in seen.tasks_killed if task.by_updater] == []
    assert seen.stranded == ()
    assert seen.violations == ()
