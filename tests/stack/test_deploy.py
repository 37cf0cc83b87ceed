"""From `aws cloudformation deploy` to updated hosts, by the stack's own rule, roles, documents and task."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.account.cloudformation.cloud import HttpCloud
from tests.account.iam import Decision, asks_of
from tests.stack.conftest import BINARIES, LEASE, PATIENCE, Ground
from tests.stack.stage import REQUIRED, STACK, TEMPLATE, given

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

ROOT = Path(__file__).parents[2]
PREDECESSOR = Path(__file__).with_name("predecessor.yaml")
PREDECESSOR_ROLES = Path(__file__).with_name("predecessor_roles.yaml")
OFTEN = {"ScheduleExpression": "rate(5 minutes)"}
ECR_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/updater:1"
NEW = {f"i-{number:017x}": "1.21.0" for number in range(3)}


def test_a_deployed_stack_updates_its_cluster_by_itself_and_is_denied_nothing(ground: Ground) -> None:
    assert ground.deploy(Settings=LEASE, UpdaterImage=ECR_IMAGE, **OFTEN).returncode == 0
    start = ground.next_start()
    assert start.task is not None, start.error
    container = ground.ended(start.task)
    assert container.exit_code == 0, container.lines[-1]
    assert ground.site.gate.refusals == []
    seen = ground.site.world.findings()
    assert (seen.versions, seen.violations, seen.stranded) == (NEW, (), ())
    assert _log(ground) == container.lines


def test_over_the_predecessors_stack_the_same_line_puts_ours_in_its_place(ground: Ground) -> None:
    assert ground.deploy(PREDECESSOR, ScheduleState="DISABLED").returncode == 0
    stays = ["TaskRole", "ExecutionRole", "CronRole", "BottlerocketUpdaterSchedule"]
    before = {logical_id: ground.resource(logical_id) for logical_id in stays}
    export = ground.outputs()["UpdaterTaskDefinitionArn"]["ExportName"]
    assert ground.deploy(ScheduleState="ENABLED", Settings=LEASE, **OFTEN).returncode == 0
    assert {logical_id: ground.resource(logical_id) for logical_id in stays} == before
    assert ground.outputs()["UpdaterTaskDefinitionArn"]["ExportName"] == export
    start = ground.next_start()
    assert start.task is not None, start.error
    container = ground.ended(start.task)
    assert container.exit_code == 0, container.lines[-1]
    assert ground.site.gate.refusals == []


def test_over_a_stack_with_the_predecessors_roles_and_policies_ours_takes_its_place(ground: Ground) -> None:
    """A managed policy, one without a version, and conditions on the cluster are evaluated as in AWS."""
    ground.create(PREDECESSOR_ROLES)
    start = ground.next_start()
    assert start.task is not None, start.error
    container = ground.ended(start.task)
    assert container.failed_to_start == ""
    before = ground.resource("TaskRole")
    assert ground.deploy(ScheduleState="DISABLED", Settings=LEASE, **OFTEN).returncode == 0
    assert ground.resource("TaskRole") == before
    assert ground.outputs()["UpdaterTaskDefinitionArn"]["ExportName"] == "updater:UpdaterTaskDefinition"


def test_the_predecessors_role_may_only_read_answers(ground: Ground) -> None:
    ground.create(PREDECESSOR_ROLES, ScheduleState="DISABLED")
    caller = ground.site.callers.role(ground.resource("TaskRole"), "run")

    def may(operation: str) -> Decision:
        [ask] = asks_of("ssm", operation, {}, ground.site.facts)
        return caller.may(ask)

    assert may("GetCommandInvocation") is Decision.ALLOWED
    assert may("ListCommandInvocations") is Decision.NOT_ALLOWED


@pytest.mark.parametrize(
    ("sid", "action"),
    [("RunTheTask", "ecs:RunTask"), ("HandOverRoles", "iam:PassRole")],
)
def test_a_start_that_is_denied_ends_in_the_queue_with_the_action_it_lacks(
    ground: Ground, sid: str, action: str, tmp_path: Path
) -> None:
    ground.create(_without(sid, tmp_path), **OFTEN)
    start = ground.next_start()
    assert start.task is None
    queue = ground.resource("FailedStarts")
    request = {"QueueUrl": queue, "MessageAttributeNames": ["All"], "WaitTimeSeconds": 1}
    ground.clock.wait_until(lambda: bool(_count(ground, queue)), PATIENCE)
    [message] = ground.site.operator("sqs", "ReceiveMessage", request)["Messages"]
    assert f"not authorized to perform: {action}" in message["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]


@pytest.mark.parametrize(
    ("sid", "action"),
    [
        ("WriteLog", "logs:CreateLogGroup"),
        ("ReadSettings", "ssm:GetParameters"),
        ("SignInToRegistry", "ecr:GetAuthorizationToken"),
        ("PullImage", "ecr:BatchCheckLayerAvailability"),
    ],
)
def test_a_task_that_cannot_be_started_says_what_its_execution_role_lacks(
    ground: Ground, sid: str, action: str, tmp_path: Path
) -> None:
    ground.create(_without(sid, tmp_path), UpdaterImage=ECR_IMAGE, **OFTEN)
    start = ground.next_start()
    assert start.task is not None
    assert f"not authorized to perform: {action}" in ground.ended(start.task).failed_to_start
    described = ground.site.operator("ecs", "DescribeTasks", {"cluster": "demo", "tasks": [start.task]})
    assert "ResourceInitializationError" in described["tasks"][0]["stoppedReason"]


def test_a_task_that_stops_before_it_runs_is_reported_by_the_queue_that_the_alarm_watches(
    ground: Ground, tmp_path: Path
) -> None:
    ground.create(_without("PullImage", tmp_path), UpdaterImage=ECR_IMAGE, **OFTEN)
    start = ground.next_start()
    assert start.task is not None
    ground.ended(start.task)
    queue = ground.resource("FailedStarts")
    ground.clock.wait_until(lambda: bool(_count(ground, queue)), PATIENCE)
    [message] = ground.site.operator("sqs", "ReceiveMessage", {"QueueUrl": queue, "WaitTimeSeconds": 1})["Messages"]
    detail = json.loads(message["Body"])["detail"]
    assert detail["taskArn"] == start.task
    assert "ecr:BatchCheckLayerAvailability" in detail["stoppedReason"]


def test_edited_settings_of_ones_own_are_read_and_outlive_an_update_of_the_stack(ground: Ground) -> None:
    name, edited = "/ops/updater/demo", f"{LEASE}\ndeny = ['1.21.0']"
    ground.site.operator("ssm", "PutParameter", {"Name": name, "Value": edited, "Type": "String"})
    ground.create(SettingsParameter=name, ScheduleState="DISABLED")
    assert ground.deploy(SettingsParameter=name, MaxUnavailable="2", ScheduleState="ENABLED", **OFTEN).returncode == 0
    start = ground.next_start()
    assert start.task is not None, start.error
    container = ground.ended(start.task)
    assert container.exit_code == 0, container.lines[-1]
    assert ground.site.world.findings().boots == dict.fromkeys(NEW, 0)


def test_a_run_without_a_permission_ends_with_exit_code_1_and_names_it(ground: Ground, tmp_path: Path) -> None:
    template = _without("LookAtServices", tmp_path)
    ground.create(template, Settings=LEASE, **OFTEN)
    start = ground.next_start()
    assert start.task is not None
    container = ground.ended(start.task)
    assert container.exit_code == 1
    service = "arn:aws:ecs:us-east-1:123456789012:service/demo/web"
    assert any("ecs:DescribeServices" in line and service in line for line in container.lines)
    assert ground.site.world.findings().boots == dict.fromkeys(NEW, 0)


def test_with_a_time_zone_the_schedule_starts_the_updater(ground: Ground) -> None:
    parameters = {"ScheduleTimezone": "Europe/Berlin", "ScheduleExpression": "cron(0/10 * * * ? *)"}
    ground.create(Settings=LEASE, **parameters)
    start = ground.next_start()
    assert (start.name, bool(start.task)) == (ground.resource("ZonedSchedule"), True)


def test_a_second_deployment_without_changes_changes_nothing(ground: Ground) -> None:
    assert ground.deploy(ScheduleState="DISABLED").returncode == 0
    again = ground.deploy(ScheduleState="DISABLED")
    assert "No changes to deploy" in again.stdout + again.stderr


def test_deleting_the_stack_keeps_the_record_and_removes_the_rest(ground: Ground) -> None:
    assert ground.deploy(ScheduleState="DISABLED").returncode == 0
    bucket = ground.resource("StateBucket")
    assert ground.aws("cloudformation", "delete-stack", "--stack-name", STACK).returncode == 0
    buckets = ground.site.operator("s3", "ListBuckets", {})["Buckets"]
    roles = ground.site.operator("iam", "ListRoles", {})["Roles"]
    assert ([each["Name"] for each in buckets], roles) == ([bucket], [])


def test_deleting_the_stack_during_a_run_leaves_an_instance_draining_until_a_new_stack_returns_it(
    ground: Ground,
) -> None:
    ground.create(Settings=LEASE, **OFTEN)
    bucket = ground.resource("StateBucket")
    first = ground.next_start()
    assert first.task is not None, first.error
    ground.clock.wait_until(lambda: "DRAINING" in _statuses(ground), PATIENCE)
    ground.site.operator("cloudformation", "DeleteStack", {"StackName": STACK})
    assert ground.ended(first.task).exit_code == 1
    assert (_statuses(ground).count("DRAINING"), len(ground.site.world.findings().stranded)) == (1, 1)
    # The next stack keeps the state, so its runs know that the run of the claim is dead.
    ground.create(Settings=f"{LEASE}\nfinish-only = true", StateBucketName=bucket, **OFTEN)
    ground.clock.wait_until(lambda: set(_statuses(ground)) == {"ACTIVE"}, PATIENCE)
    seen = ground.site.world.findings()
    assert (seen.stranded, seen.violations) == ((), ())


def test_a_second_stack_for_the_same_cluster_is_rolled_back_and_the_first_stays(ground: Ground) -> None:
    ground.create(ScheduleState="DISABLED")
    before = _installed(ground)
    command = ["cloudformation", "deploy", "--stack-name", "second", "--template-file", str(TEMPLATE)]
    values = [f"{name}={value}" for name, value in given(TEMPLATE.read_text(), {}).items()]
    done = ground.aws(*command, "--capabilities", "CAPABILITY_NAMED_IAM", "--parameter-overrides", *values)
    assert done.returncode != 0
    [stack] = ground.site.operator("cloudformation", "DescribeStacks", {"StackName": "second"})["Stacks"]
    assert (stack["StackStatus"], _installed(ground)) == ("ROLLBACK_COMPLETE", before)
    assert "already exists" in stack["StackStatusReason"]


def _statuses(ground: Ground) -> list[str]:
    arns = ground.site.operator("ecs", "ListContainerInstances", {"cluster": "demo"})["containerInstanceArns"]
    request = {"cluster": "demo", "containerInstances": arns}
    found = ground.site.operator("ecs", "DescribeContainerInstances", request)["containerInstances"]
    return [str(each["status"]) for each in found]


def _installed(ground: Ground) -> str:
    request = {"Name": "/bottlerocket-ecs-updater/demo"}
    return str(ground.site.operator("ssm", "GetParameter", request)["Parameter"]["Value"])


def test_a_deployment_that_fails_leaves_the_stack_unchanged(ground: Ground, tmp_path: Path) -> None:
    assert ground.deploy(ScheduleState="DISABLED").returncode == 0
    before = ground.outputs()["UpdaterTaskDefinitionArn"]["OutputValue"]
    broken = tmp_path / "broken.yaml"
    broken.write_text(TEMPLATE.read_text().replace("TreatMissingData: missing", "TreatMissing: missing"))
    assert ground.deploy(broken, MaxUnavailable="3").returncode != 0
    assert ground.outputs()["UpdaterTaskDefinitionArn"]["OutputValue"] == before


def test_the_groups_of_a_cluster_are_found_as_the_page_says(ground: Ground) -> None:
    for name, hosts in {"web-a": sorted(NEW)[:2], "batch": sorted(NEW)[2:]}.items():
        ground.site.world.autoscaling.add_group(name, *hosts)
    page = (ROOT / "docs" / "operate" / "install.md").read_text(encoding="utf-8")
    [command] = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "autoscaling" in block]
    environment = {"PATH": f"{BINARIES}:{os.environ['PATH']}", **ground.site.environment()}
    asked = ["bash", "-c", command.replace("--cluster web", "--cluster demo")]
    found = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
    assert found.stdout.split() == ["batch", "web-a"], found.stderr


def test_a_plan_finds_documents_and_settings_by_the_cluster_as_the_page_says(ground: Ground, tmp_path: Path) -> None:
    assert ground.deploy(ScheduleState="DISABLED", Settings="max-unavailable = 2").returncode == 0
    page = (ROOT / "docs" / "operate" / "install.md").read_text(encoding="utf-8")
    [command] = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "updater plan" in block]
    environment = {"PATH": f"{BINARIES}:{os.environ['PATH']}", **ground.site.environment()}
    [line] = [line for line in command.splitlines() if " plan " in line]
    asked = ["bash", "-euc", line.replace("--cluster web", "--cluster demo")]
    found = subprocess.run(asked, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Would be updated: 3" in found.stdout, found.stderr
    assert "batch 1: 2 instances" in found.stdout


@pytest.fixture
def task_role(ground: Ground) -> HttpCloud:
    """The services, with the task role's permissions."""
    ground.create(ScheduleState="DISABLED")
    role = ground.site.operator("iam", "GetRole", {"RoleName": ground.resource("TaskRole")})["Role"]["Arn"]
    return ground.site.roles.cloud(role, "ecs-tasks.amazonaws.com", "test", "arn:aws:ecs:us-east-1:123456789012:task/1")


def test_over_the_wire_too_the_role_reaches_nothing_of_its_neighbours(ground: Ground, task_role: HttpCloud) -> None:
    ground.site.operator("s3", "CreateBucket", {"Bucket": "another-bucket"})
    bucket = ground.resource("StateBucket")
    attempts: list[tuple[str, str, dict[str, Any]]] = [
        ("ecs", "ListContainerInstances", {"cluster": "other"}),
        ("ssm", "SendCommand", {"DocumentName": "AWS-RunShellScript", "InstanceIds": ["i-00000000000000000"]}),
        ("ssm", "GetParameters", {"Names": ["secret"]}),
        ("s3", "GetObject", {"Bucket": "another-bucket", "Key": "x"}),
        ("s3", "PutObject", {"Bucket": bucket, "Key": "updater/clusters/other/ledger.json", "Body": b"x"}),
        ("s3", "DeleteObject", {"Bucket": bucket, "Key": "updater/clusters/demo/ledger.json"}),
        ("iam", "ListRoles", {}),
        ("logs", "CreateLogGroup", {"logGroupName": "x"}),
    ]
    for service, operation, request in attempts:
        with pytest.raises(AwsError, match="AccessDenied"):
            task_role(service, operation, request)


def test_a_service_that_a_role_does_not_trust_cannot_assume_it(ground: Ground, task_role: HttpCloud) -> None:
    role = ground.site.operator("iam", "GetRole", {"RoleName": ground.resource("TaskRole")})["Role"]["Arn"]
    with pytest.raises(AwsError, match="unable to assume"):
        ground.site.roles.credentials(role, "events.amazonaws.com", "test", "arn:aws:events:us-east-1:1:rule/x")


def _without(sid: str, folder: Path) -> Path:
    """The template without one statement, up to the next comment or statement."""
    text = TEMPLATE.read_text()
    statement = re.search(rf"^( +)- {{Sid: {sid}, .*\n(?:\1 .*\n)*", text, re.MULTILINE)
    assert statement is not None
    left = folder / "left.yaml"
    left.write_text(text.replace(statement[0], ""))
    return left


def _count(ground: Ground, queue: str) -> int:
    request = {"QueueUrl": queue, "AttributeNames": ["ApproximateNumberOfMessages"]}
    found = ground.site.operator("sqs", "GetQueueAttributes", request)
    return int(found["Attributes"]["ApproximateNumberOfMessages"])


def _log(ground: Ground) -> list[str]:
    """The events of the only stream in CloudWatch."""
    group = {"logGroupName": REQUIRED["LogGroupName"]}
    [stream] = ground.site.operator("logs", "DescribeLogStreams", group)["logStreams"][:1]
    request = {**group, "logStreamName": stream["logStreamName"], "startFromHead": True}
    return [event["message"] for event in ground.site.operator("logs", "GetLogEvents", request)["events"]]
