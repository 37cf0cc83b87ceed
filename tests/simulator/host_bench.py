"""A single host on a virtual clock, with helpers for tests."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.faults import Fault
from bottlerocket_ecs_updater.simulator.host import Host, HostSpec, HostTiming, Script, ScriptResult
from bottlerocket_ecs_updater.simulator.repository import Release, Repository

VARIANT = "aws-ecs-2"
OLD, RUNNING, NEW = "1.19.0", "1.20.0", "1.21.0"
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
STEADY = HostTiming()


@dataclass
class Bench:
    """The host, its clock and its repository, and everything that its listeners received."""

    clock: VirtualClock
    repository: Repository
    host: Host
    heard: list[tuple[str, object]] = field(default_factory=list)

    def start(self, *lines: str, timeout: timedelta = HOUR) -> tuple[list[ScriptResult], Script]:
        """Start a script; its result will be in the list."""
        results: list[ScriptResult] = []
        return results, self.host.execute(lines, results.append, timeout)

    def run(self, *lines: str, timeout: timedelta = HOUR) -> ScriptResult:
        """Run a script to its end."""
        results, _ = self.start(*lines, timeout=timeout)
        self.until(lambda: bool(results))
        return results[0]

    def check(self) -> dict[str, Any]:
        """The status that a check prints; the check must succeed."""
        result = self.run("apiclient update check")
        assert result.exit_code == 0, result.stderr
        status: dict[str, Any] = json.loads(result.stdout)
        return status

    def state(self) -> str:
        """The update state, read without a command."""
        status = self.host.update_status
        return "none" if status is None else str(status.update_state)

    def make(self, state: str) -> None:
        """Bring a fresh host into an update state, as a person would."""
        scripts = {
            "none": [],
            "Idle": ["apiclient set updates.version-lock=" + RUNNING, "apiclient update check"],
            "Available": ["apiclient update check"],
            "Staged": ["apiclient update check", "apiclient update apply", "apiclient update cancel"],
            "Ready": ["apiclient update check", "apiclient update apply"],
        }
        result = self.run("set -e", *scripts[state])
        assert (result.exit_code, self.state()) == (0, state), result.stderr

    def reboot(self) -> None:
        """Reboot through the API, and wait until the host is back with all its agents."""
        assert self.run("apiclient reboot").exit_code == 0
        self.pass_time(2 * MINUTE)

    def pass_time(self, delta: timedelta) -> None:
        self.clock.advance(delta)

    def until(self, done: Callable[[], bool], limit: timedelta = 24 * HOUR) -> datetime:
        """Let events happen until something holds; returns the time."""
        end = self.clock.now() + limit
        while not done():
            due = self.clock.next_time()
            assert due is not None, "nothing more will happen"
            assert due <= end, "it does not happen in time"
            self.clock.advance(due - self.clock.now())
        return self.clock.now()

    def events(self, kind: str) -> list[object]:
        return [value for name, value in self.heard if name == kind]


def bench(
    *faults: Fault,
    releases: tuple[str, ...] = (OLD, RUNNING, NEW),
    repository: Repository | None = None,
    seed: int = 1,
    **spec: Any,
) -> Bench:
    """A host that runs RUNNING while NEW is published, by default."""
    clock = VirtualClock()
    variant = spec.setdefault("variant", VARIANT)
    spec.setdefault("version", RUNNING)
    repository = repository or Repository(Release(version, variant) for version in releases)
    host = Host(clock, HostSpec("i-00000000000000001", faults=faults, **spec), repository, random.Random(seed))
    made = Bench(clock, repository, host)
    host.on_containers_die.append(lambda _, why: made.heard.append(("died", why)))
    host.on_ecs_agent.append(lambda _, up: made.heard.append(("ecs", up)))
    host.on_ssm_agent.append(lambda _, up: made.heard.append(("ssm", up)))
    host.on_boot.append(lambda booted: made.heard.append(("boot", booted.running)))
    host.on_step.append(lambda _, step: made.heard.append(("step", step)))
    host.on_terminate.append(lambda _: made.heard.append(("terminated", None)))
    return made
