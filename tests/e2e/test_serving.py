"""`simulate --serve` with other clients: no time is ahead of the local clock, and at the end it says what it saw."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from tests.e2e.town import ENDS_WITHIN_SECONDS

from bottlerocket_ecs_updater.engine.clock import SystemClock

LINES_MAX = 60
SPEED = 600


class Served:
    """A served world in its own process, and its output until it was ready."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "bottlerocket_ecs_updater", "simulate", "--serve", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.said: list[str] = []
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            if "Ctrl-C" in line or len(self.said) > LINES_MAX:
                break
        exports = (re.fullmatch(r"export (\w+)='?(.*?)'?", line) for line in self.said)
        self.environment = {match[1]: match[2] for match in exports if match is not None}

    def client(self, service: str) -> Any:
        env = self.environment
        session: Any = boto3.Session(env["AWS_ACCESS_KEY_ID"], "x", region_name=env["AWS_REGION"])
        return session.client(service, endpoint_url=env["AWS_ENDPOINT_URL"])

    def end(self) -> tuple[int, str]:
        """Interrupt it. Returns its exit code, and its output after that."""
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=ENDS_WITHIN_SECONDS)
        return self.process.returncode, said


@pytest.fixture
def served() -> Iterator[Served]:
    world = Served("--instances", "8", "--speed", str(SPEED))
    yield world
    if world.process.poll() is None:
        world.process.kill()
    world.process.wait()
    assert world.process.stdout is not None
    world.process.stdout.close()


def times_in(value: Any) -> list[datetime]:
    match value:
        case datetime():
            return [value]
        case dict():
            return [time for inner in value.values() for time in times_in(inner)]
        case list():
            return [time for inner in value for time in times_in(inner)]
        case _:
            return []


def test_no_time_is_ahead_and_a_run_gets_the_world_s_own_time(served: Served) -> None:
    ecs, ssm, began = served.client("ecs"), served.client("ssm"), time.monotonic()
    shown = ecs.describe_services(cluster="demo", services=["web"])["services"]
    pings = ssm.describe_instance_information()["InstanceInformationList"]
    times = times_in([shown, pings])
    assert times
    assert max(times) <= datetime.now(UTC)  # noqa: TID251 - the clock of every other client
    variables = {name.removeprefix("BOTTLEROCKET_ECS_UPDATER_"): value for name, value in served.environment.items()}
    clock = SystemClock(float(variables["TIME_SCALE"]), datetime.fromisoformat(variables["TIME_ORIGIN"]))
    # Agents ping every five minutes; the rest is what the calls took, at the world's speed.
    took = timedelta(seconds=(time.monotonic() - began) * SPEED)
    assert timedelta() <= clock.now() - max(times) < timedelta(hours=1) + took


def test_at_its_end_the_world_says_what_it_saw(served: Served) -> None:
    ecs = served.client("ecs")
    arns = ecs.list_container_instances(cluster="demo")["containerInstanceArns"]
    code, said = served.end()
    assert "What the simulator saw" in said
    assert "ecs:ListContainerInstances" in said
    assert code == 0
    assert arns


def test_violations_by_another_updater_are_reported_and_end_in_failure(served: Served) -> None:
    ecs = served.client("ecs")
    arns = ecs.list_container_instances(cluster="demo")["containerInstanceArns"]
    ecs.update_container_instances_state(cluster="demo", containerInstances=arns[:3], status="DRAINING")
    code, said = served.end()
    assert re.search(r"broken invariants +\d", said)
    assert code == 1
