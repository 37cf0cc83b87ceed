"""Run Command over a few hosts on a virtual clock, as a client sees it."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import botocore.session
from botocore.validate import ParamValidator
from tests.simulator.host_bench import VARIANT

from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.faults import Fault
from bottlerocket_ecs_updater.simulator.host import Host, HostSpec
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.ssm import RunCommand, SsmTiming

CHECK = ("cat /proc/sys/kernel/random/boot_id", "apiclient update check")


def document(*lines: str, timeout: str = "1800") -> str:
    inputs = {"runCommand": list(lines), "timeoutSeconds": timeout}
    step = {"action": "aws:runShellScript", "name": "TheStep", "inputs": inputs}
    return json.dumps({"schemaVersion": "2.2", "mainSteps": [step]})


@cache
def _model() -> Any:
    return botocore.session.get_session().get_service_model("ssm")


def conforms(operation: str, reply: dict[str, Any]) -> dict[str, Any]:
    """The reply, checked against botocore's model."""
    report = ParamValidator().validate(reply, _model().operation_model(operation).output_shape)
    # Real replies have empty strings where the model requires a character.
    wrong = [line for line in report.generate_report().splitlines() if "Invalid length" not in line]
    assert not wrong, wrong
    return reply


@dataclass
class SsmBench:
    clock: VirtualClock
    repository: Repository
    service: RunCommand
    hosts: list[Host]
    documents: dict[str, str]

    @property
    def ids(self) -> list[str]:
        return [host.instance_id for host in self.hosts]

    def send(self, name: str, *ids: str, **more: Any) -> str:
        """Send a document; its command id."""
        request = {"DocumentName": name, "InstanceIds": list(ids) or self.ids, **more}
        command = conforms("SendCommand", self.service.send_command(request))["Command"]
        return str(command["CommandId"])

    def run(self, *lines: str, wait: float = 60, **more: Any) -> dict[str, Any]:
        """Run lines on the first host, and read its answer after a while."""
        self.documents["lines"] = document(*lines)
        command_id = self.send("lines", self.ids[0], **more)
        self.pass_time(wait)
        return self.answer(command_id)

    def answer(self, command_id: str, host: int = 0) -> dict[str, Any]:
        request = {"CommandId": command_id, "InstanceId": self.ids[host]}
        return conforms("GetCommandInvocation", self.service.get_command_invocation(request))

    def end(self, command_id: str, host: int = 0) -> tuple[str, str, int]:
        """Status, details and response code of an answer."""
        answer = self.answer(command_id, host)
        return answer["Status"], answer["StatusDetails"], answer["ResponseCode"]

    def listed(self, **request: Any) -> list[dict[str, Any]]:
        reply = conforms("ListCommandInvocations", self.service.list_command_invocations(request))
        return list(reply["CommandInvocations"])

    def instances(self, **request: Any) -> list[dict[str, Any]]:
        reply = conforms("DescribeInstanceInformation", self.service.describe_instance_information(request))
        return list(reply["InstanceInformationList"])

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))


def ssm_bench(*faults: Fault, hosts: int = 1, timing: SsmTiming | None = None, **spec: Any) -> SsmBench:
    """A service with registered hosts; the first one has the faults."""
    clock = VirtualClock()
    repository = Repository(Release(version, VARIANT) for version in ("1.19.0", "1.20.0", "1.21.0"))
    documents = {
        "check": document(*CHECK),
        "apply": document("apiclient update apply"),
        "reboot": document("apiclient reboot"),
    }
    service = RunCommand(clock, random.Random(7), timing, documents.get)
    made = [
        Host(
            clock,
            HostSpec(f"i-{number:017x}", faults=() if number else faults, **spec),
            repository,
            random.Random(number),
        )
        for number in range(hosts)
    ]
    for host in made:
        service.register(host)
    return SsmBench(clock, repository, service, made, documents)
