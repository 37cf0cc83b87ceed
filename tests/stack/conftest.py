"""Simulated accounts on which the real awscli deploys stacks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.account.schedule import SimulatedAccount
from tests.account.schedule.containers import Container
from tests.account.schedule.firing import Start
from tests.stack.stage import STACK, TEMPLATE, given
from tests.support.forked import quick_starts

from bottlerocket_ecs_updater.simulator.clock import ScaledClock
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.world.world import World

__all__ = ["quick_starts"]

SPEED = 120
PATIENCE = timedelta(minutes=2)
"""Real time: a slow machine is not a failure."""

LEASE = "lease = '15m'"
"""At this speed a minute's lease is half a second, less than a busy machine may take for one request."""

BINARIES = Path(sys.executable).parent


def entrypoint(_image: str) -> list[str]:
    """The program of this tree, for any image name."""
    return [sys.executable, "-m", "bottlerocket_ecs_updater"]


class PatientClock(ScaledClock):
    """A clock for which tests can wait in real time, without guessing how long."""

    def wait_until(self, happened: Any, at_most: timedelta, look_every: timedelta = timedelta(milliseconds=20)) -> None:
        """Wait until it has happened; all times are real. Raises TimeoutError."""
        end = self._monotonic_start + (self._passed() + at_most.total_seconds())
        while not happened():
            if self._monotonic_start + self._passed() > end:
                raise TimeoutError("it has not happened")
            self._stopping.wait(look_every.total_seconds())

    def _passed(self) -> float:
        return (self._wall() - self._start).total_seconds() / self.speed


@dataclass
class Ground:
    """A simulated account, and how people use it."""

    site: SimulatedAccount
    clock: PatientClock

    def deploy(self, template: Path = TEMPLATE, /, **parameters: str) -> subprocess.CompletedProcess[str]:
        """The command from the documentation."""
        command = ["cloudformation", "deploy", "--stack-name", STACK, "--template-file", str(template)]
        overrides = [f"{name}={value}" for name, value in given(template.read_text(), parameters).items()]
        return self.aws(*command, "--capabilities", "CAPABILITY_NAMED_IAM", "--parameter-overrides", *overrides)

    def create(self, template: Path = TEMPLATE, /, **parameters: str) -> None:
        """The same without awscli, which takes seconds to start."""
        body = template.read_text()
        wanted = [{"ParameterKey": name, "ParameterValue": value} for name, value in given(body, parameters).items()]
        request = {"StackName": STACK, "TemplateBody": body, "Parameters": wanted}
        self.site.operator("cloudformation", "CreateStack", {**request, "Capabilities": ["CAPABILITY_NAMED_IAM"]})
        [stack] = self.site.operator("cloudformation", "DescribeStacks", {"StackName": STACK})["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack

    def aws(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The real awscli, as a person of this account."""
        environment = {"PATH": str(BINARIES), **self.site.environment()}
        command = [sys.executable, str(BINARIES / "aws"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def resource(self, logical_id: str) -> str:
        """The physical id of a resource of the stack."""
        request = {"StackName": STACK, "LogicalResourceId": logical_id}
        [found] = self.site.operator("cloudformation", "DescribeStackResources", request)["StackResources"]
        return str(found["PhysicalResourceId"])

    def outputs(self) -> dict[str, dict[str, Any]]:
        """The stack's outputs by their keys."""
        [stack] = self.site.operator("cloudformation", "DescribeStacks", {"StackName": STACK})["Stacks"]
        return {output["OutputKey"]: output for output in stack["Outputs"]}

    def next_start(self) -> Start:
        """The first start that succeeds or finally fails, after it has happened; few follow it."""
        self.clock.wait_until(lambda: bool(self.site.schedules.starts), PATIENCE)
        self.site.operator("events", "DisableRule", {"Name": self.resource("BottlerocketUpdaterSchedule")})
        return self.site.schedules.starts[0]

    def ended(self, task: str) -> Container:
        """A task's container, after it has ended."""
        self.clock.wait_until(lambda: task in self.site.containers.ran, PATIENCE)
        return self.site.containers.wait(task, PATIENCE)


@pytest.fixture
def ground() -> Iterator[Ground]:
    clock = PatientClock(SPEED)
    releases = [Release(version, "aws-ecs-2") for version in ("1.20.0", "1.21.0")]
    world = World(clock, repository=Repository(releases))
    for number in range(3):
        world.add_instance(HostSpec(f"i-{number:017x}", version="1.20.0"), f"us-east-1{'abc'[number]}")
    world.add_service(ServiceSpec("web", desired=3))
    with SimulatedAccount(world, clock, entrypoint) as site:
        yield Ground(site, clock)
