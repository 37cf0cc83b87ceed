"""SendCommand: which requests it accepts and rejects, and for which instances."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.simulator.ssm_bench import SsmBench, document, ssm_bench

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.faults import OutOfReach, SsmUnreachable


def refusal(bench: SsmBench, **request: Any) -> AwsError:
    """The error for a valid request with the given change."""
    with pytest.raises(AwsError) as refused:
        bench.service.send_command({"DocumentName": "check", "InstanceIds": bench.ids, **request})
    return refused.value


def test_a_command_is_pending_with_its_own_id_and_an_expiry_of_delivery_and_execution() -> None:
    bench = ssm_bench(hosts=2)
    now = bench.clock.now()
    command = bench.service.send_command(
        {"DocumentName": "check", "InstanceIds": bench.ids, "TimeoutSeconds": 600, "Comment": "why"}
    )["Command"]
    assert (command["Status"], len(command["CommandId"]), command["Comment"]) == ("Pending", 36, "why")
    assert command["ExpiresAfter"] - now == timedelta(seconds=600 + 1800)
    assert (command["TargetCount"], command["CompletedCount"]) == (2, 0)


def test_one_unknown_instance_fails_the_whole_call_and_nothing_is_sent() -> None:
    bench = ssm_bench(hosts=2)
    refused = refusal(bench, InstanceIds=[*bench.ids, "i-ffffffffffffffff0"])
    bench.pass_time(60)
    assert (refused.code, refused.status, bench.listed()) == ("InvalidInstanceId", 400, [])


def test_an_instance_that_never_registered_is_unknown() -> None:
    assert refusal(ssm_bench(SsmUnreachable(OutOfReach.NEVER_REGISTERED))).code == "InvalidInstanceId"


def test_an_instance_whose_connection_is_lost_is_not_refused() -> None:
    bench = ssm_bench(SsmUnreachable(OutOfReach.CONNECTION_LOST))
    bench.send("check")


def test_a_forgotten_instance_is_unknown() -> None:
    bench = ssm_bench()
    bench.service.forget(bench.ids[0])
    assert refusal(bench).code == "InvalidInstanceId"


@pytest.mark.parametrize(
    ("request_part", "code"),
    [
        ({"DocumentName": "no-such-document"}, "InvalidDocument"),
        ({"DocumentName": None}, "ValidationException"),
        ({"InstanceIds": [f"i-{n:017x}" for n in range(51)]}, "ValidationException"),
        ({"InstanceIds": []}, "InvalidParameters"),
        ({"InstanceIds": ["i-00000000000000000", "i-00000000000000000"]}, "DuplicateInstanceId"),
        ({"TimeoutSeconds": 29}, "ValidationException"),
        ({"TimeoutSeconds": 2_592_001}, "ValidationException"),
        ({"Comment": "x" * 101}, "ValidationException"),
        ({"Parameters": {"surprise": ["1"]}}, "InvalidParameters"),
        ({"Targets": [{"Key": "resource-groups:Name", "Values": ["y"]}]}, "InvalidParameters"),
    ],
)
def test_a_request_beyond_the_limits_is_refused(request_part: dict[str, Any], code: str) -> None:
    assert refusal(ssm_bench(), **request_part).code == code


def test_instances_may_be_named_as_targets() -> None:
    bench = ssm_bench(hosts=2)
    targets = [{"Key": "InstanceIds", "Values": bench.ids}]
    command = bench.service.send_command({"DocumentName": "check", "Targets": targets})["Command"]
    assert command["TargetCount"] == 2


def test_a_document_may_be_named_by_its_arn() -> None:
    bench = ssm_bench()
    command_id = bench.send("arn:aws:ssm:eu-west-1:123456789012:document/check")
    bench.pass_time(60)
    assert bench.answer(command_id)["DocumentName"] == "check"


def test_a_document_in_yaml_can_be_read_too() -> None:
    bench = ssm_bench()
    bench.documents["yaml"] = """
schemaVersion: "2.2"
mainSteps:
  - name: FromYaml
    action: aws:runShellScript
    inputs:
      timeoutSeconds: 60
      runCommand:
        - echo hello
"""
    command_id = bench.send("yaml")
    bench.pass_time(10)
    answer = bench.answer(command_id)
    assert (answer["PluginName"], answer["StandardOutputContent"]) == ("FromYaml", "hello\n")


def test_run_shell_script_of_aws_takes_its_commands_as_parameters() -> None:
    bench = ssm_bench()
    command_id = bench.send("AWS-RunShellScript", Parameters={"commands": ["echo one", "echo two"]})
    bench.pass_time(10)
    assert bench.answer(command_id)["StandardOutputContent"] == "one\ntwo\n"


def test_a_parameter_without_a_value_is_refused() -> None:
    assert refusal(ssm_bench(), DocumentName="AWS-RunShellScript").code == "InvalidParameters"


@pytest.mark.parametrize("content", ["[1, 2]", "{", '{"mainSteps": []}', document("true").replace("Shell", "Power")])
def test_a_document_that_is_not_simulated_is_refused_clearly(content: str) -> None:
    bench = ssm_bench()
    bench.documents["odd"] = content
    refused = refusal(bench, DocumentName="odd")
    assert (refused.code, refused.fault) == ("InvalidDocumentContent", False)
