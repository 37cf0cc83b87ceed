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
from datetime import timedelta
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
"""Of this machine: a run that takes longer hangs."""


@cache
def _session() -> Session:
    """One for all tests of a process: each reads the models of the services anew, EC2's alone for half a second."""
    return Session()


@dataclass
class Town:
    """One world on the wire."""

    world: World
    wire: Wire
    scenario: Scenario
    clock: ScaledClock
    origin: str
    state: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *flags: str, scaled: bool = True) -> subprocess.Popen[str]:
        """Start `run` on the cluster; without `scaled`, as a stranger would who knows nothing of its clock."""
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

    def run(self, *flags: str, scaled: bool = True) -> Told:
        """Run to the end."""
        return heard(self.start(*flags, scaled=scaled))

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
        """What awscli, a client that shares nothing with the program, is answered. Each call takes a second of CPU."""
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
        """A client of a person in this process, for what a test only prepares or looks up."""
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
        """Wait for something in the world, within a limit that no healthy run comes near."""
        ends = time.monotonic() + ENDS_WITHIN_SECONDS
        pause = timedelta(seconds=1)
        while not true():
            assert time.monotonic() < ends, "it never came"
            self.clock.sleep(pause)

    def findings(self) -> Findings:
        return self.world.findings()

    def not_as_foretold(self) -> list[str]:
        """Healthy instances that are not up to date, and others that were rebooted though they had to be left alone.

        One that is held may become well while a slow machine still runs: what became of it is not foretold here.
        """
        seen, newest = self.findings(), self.scenario.releases[0].version
        fates = self.scenario.fates.items()
        late = [name for name, fate in fates if fate is Fate.UPDATED and seen.versions[name] != newest]
        alone = (Fate.UP_TO_DATE, Fate.FOREIGN)
        return late + [name for name, fate in fates if fate in alone and seen.boots[name] != 0]


@dataclass(frozen=True)
class Told:
    """What a run said, and how it left."""

    exit_code: int
    lines: tuple[Mapping[str, Any], ...]

    @property
    def last(self) -> Mapping[str, Any]:
        return self.lines[-1]

    def of(self, event: str) -> list[Mapping[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


def heard(process: subprocess.Popen[str]) -> Told:
    """Wait for a run's end, and read its log."""
    _, said = process.communicate(timeout=ENDS_WITHIN_SECONDS)
    return Told(process.returncode, tuple(json.loads(line) for line in said.splitlines() if line.startswith("{")))


def kill(process: subprocess.Popen[str]) -> None:
    """As a machine dies: without a word."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


@contextmanager
def town(scenario: Scenario, state: Path, budget: int = 1, speed: float = SPEED) -> Iterator[Town]:
    """The scenario's world on the wire, a minute old; no process of it outlives it."""
    clock = ScaledClock(speed)
    origin = clock.now().isoformat()
    world = scenario.build(clock, budget=UpdaterLimits(budget))
    clock.start()
    try:
        with Wire(world) as wire:
            built = Town(world, wire, scenario, clock, origin, state)
            clock.sleep(timedelta(minutes=1))
            yield built
            for process in built.processes:
                if process.poll() is None:
                    kill(process)
    finally:
        clock.stop()


def assert_clean(seen: Findings) -> None:
    """Nobody was killed, nothing is stranded, no invariant was broken."""
    assert [task for task in seen.tasks_killed if task.by_updater] == []
    assert seen.stranded == ()
    assert seen.violations == ()
