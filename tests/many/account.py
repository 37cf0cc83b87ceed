"""The tests' account with `fleet.yaml`: deployed by awscli, with enforced permissions and real executions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.account.schedule import SimulatedAccount
from tests.stack.conftest import LEASE, PATIENCE, SPEED, Ground, PatientClock, entrypoint

from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.world.world import World

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "stacks" / "fleet.yaml"
STACK = "updater"
ECR_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/updater:1"
LOOK_EVERY = timedelta(milliseconds=200)
PLAIN = {"Subnets": "subnet-1", "UpdaterImage": ECR_IMAGE, "AnyInstance": "ENABLED", "Settings": LEASE}
NEW = {f"i-{number:017x}": "1.21.0" for number in range(2)}


def without(*sids: str) -> str:
    """The template with some statements made to allow nothing; of two with one name, the last."""
    text = TEMPLATE.read_text(encoding="utf-8")
    for sid in sids:
        at = text.rindex(f"{{Sid: {sid}, ")
        allowed = re.compile(r"Action: (?:'[^']*'|\[[^\]]*\])").search(text, at)
        assert allowed is not None, sid
        text = f"{text[: allowed.start()]}Action: 'none:Nothing'{text[allowed.end() :]}"
    return text


@dataclass
class FleetGround(Ground):
    """A simulated account for `fleet.yaml`, and how people use it."""

    def make(self, body: str | None = None, /, **parameters: str) -> str:
        """Create the stack without awscli; returns its status. Nothing starts by schedule unless a test says so."""
        given = {**PLAIN, "ScheduleState": "DISABLED", **parameters}
        request = {
            "StackName": STACK,
            "TemplateBody": body or TEMPLATE.read_text(encoding="utf-8"),
            "Capabilities": ["CAPABILITY_IAM"],
            "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
        }
        self.site.operator("cloudformation", "CreateStack", request)
        [stack] = self.site.operator("cloudformation", "DescribeStacks", {"StackName": STACK})["Stacks"]
        return str(stack["StackStatus"])

    def subscribe(self) -> str:
        """A queue that is subscribed to the stack's topic."""
        url = self.site.operator("sqs", "CreateQueue", {"QueueName": "inbox"})["QueueUrl"]
        arn = self.site.world.names.arn("sqs", "inbox")
        request = {"TopicArn": self.resource("Notifications"), "Protocol": "sqs", "Endpoint": arn}
        self.site.operator("sns", "Subscribe", request)
        return str(url)

    def heard(self, queue: str) -> list[str]:
        """The received messages, each with its subject."""
        request = {"QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0}
        messages = self.site.operator("sqs", "ReceiveMessage", request).get("Messages", ())
        bodies = [json.loads(one["Body"]) for one in messages]
        return [f"{body.get('Subject', '')}: {body['Message']}" for body in bodies]

    def run_waves(self) -> str:
        """Start the state machine as a person does, and wait for its end. Returns its status."""
        request = {"stateMachineArn": self.resource("Waves")}
        return self.wait(str(self.site.operator("stepfunctions", "StartExecution", request)["executionArn"]))

    def wait(self, execution: str) -> str:
        """Wait for the end of an execution. Returns its status."""
        # Each look is a call over HTTP, and an execution takes seconds.
        self.clock.wait_until(lambda: self.execution(execution)["status"] != "RUNNING", PATIENCE, LOOK_EVERY)
        return str(self.execution(execution)["status"])

    def execution(self, arn: str) -> dict[str, Any]:
        """An execution, as Step Functions describes it."""
        return self.site.operator("stepfunctions", "DescribeExecution", {"executionArn": arn})

    @property
    def refused(self) -> set[str]:
        """The actions that were denied."""
        return {refusal.ask.action for refusal in self.site.gate.refusals}


@contextmanager
def fleet_ground(hosts: int = 2, *, limits_speed: float | None = None) -> Iterator[FleetGround]:
    """An account with one cluster, whose hosts are a version behind.

    Processes start in real time, so the limits of the state machine may have a speed of their own. At the speed of the
    clock, the 15 minutes for the list of clusters are 7.5 seconds, less than a busy machine may need.
    """
    clock = PatientClock(SPEED)
    releases = [Release(version, "aws-ecs-2") for version in ("1.20.0", "1.21.0")]
    world = World(clock, repository=Repository(releases))
    for number in range(hosts):
        world.add_instance(HostSpec(f"i-{number:017x}", version="1.20.0"), f"us-east-1{'abc'[number % 3]}")
    world.add_service(ServiceSpec("web", desired=hosts))
    with SimulatedAccount(world, clock, entrypoint, limits_speed=limits_speed) as site:
        yield FleetGround(site, clock)
