"""`fleet.yaml` in the tests' account: the documented command, the schedule, the waves, and each statement removed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from tests.many.account import ECR_IMAGE, LOOK_EVERY, NEW, ROOT, STACK, FleetGround, fleet_ground, without
from tests.stack.conftest import LEASE, PATIENCE


@pytest.fixture
def ground() -> Iterator[FleetGround]:
    with fleet_ground(limits_speed=5) as site:
        yield site


@pytest.fixture
def hurried() -> Iterator[FleetGround]:
    """An account in which a task that never answers has eleven seconds instead of three minutes."""
    with fleet_ground(limits_speed=80) as site:
        yield site


def test_the_line_of_the_page_installs_a_stack_whose_schedule_updates_a_cluster(ground: FleetGround) -> None:
    page = (ROOT / "docs" / "operate" / "many-clusters.md").read_text(encoding="utf-8")
    [line] = re.findall(r"^\$ aws (cloudformation deploy(?:.*\\\n)*.*)$", page, re.MULTILINE)
    words = line.replace("\\\n", " ").split()
    words = [ECR_IMAGE.join(("UpdaterImage=", "")) if word.startswith("UpdaterImage=") else word for word in words]
    words[words.index("--stack-name") + 1] = STACK
    words[words.index("--template-file") + 1] = str(ROOT / "stacks" / "fleet.yaml")
    done = ground.aws(*words, "ScheduleExpression=rate(5 minutes)", f"Settings={LEASE}")
    assert done.returncode == 0, done.stderr
    inbox = ground.subscribe()
    ground.clock.wait_until(lambda: bool(ground.site.schedules.starts), PATIENCE)
    [start] = ground.site.schedules.starts[:1]
    assert start.task is not None, start.error
    assert ground.wait(start.task) == "SUCCEEDED"
    assert ground.site.gate.refusals == []
    seen = ground.site.world.findings()
    assert (seen.versions, seen.violations, seen.stranded) == (NEW, (), ())
    said = ground.heard(inbox)
    assert any("123456789012 us-east-1. Clusters run: 1. None failed." in one for one in said), said


# Each statement removed in turn. test_stack.py tests those of the task's role that a run needs.


@pytest.mark.parametrize(
    ("sid", "action"),
    [
        ("RunTheTask", "ecs:RunTask"),
        ("TagTheTask", "ecs:TagResource"),
        ("HandOverRoles", "iam:PassRole"),
        ("WaitForTheTask", "ecs:DescribeTasks"),
        ("FindClusters", "ecs:ListClusters"),
        ("LookAtClusters", "ecs:DescribeClusters"),
        ("AnswerTheStateMachine", "states:SendTaskSuccess"),
        ("WriteLog", "logs:CreateLogStream"),
        ("ReadSettings", "ssm:GetParameters"),
        ("SignInToRegistry", "ecr:GetAuthorizationToken"),
        ("PullImage", "ecr:BatchCheckLayerAvailability"),
    ],
)
def test_an_execution_without_a_permission_fails_and_says_that_the_clusters_were_not_found(
    hurried: FleetGround, sid: str, action: str
) -> None:
    ground = hurried
    assert ground.make(without(sid)) == "CREATE_COMPLETE"
    inbox = ground.subscribe()
    assert ground.run_waves() == "FAILED"
    assert action in ground.refused
    assert any("The clusters could not be listed" in said for said in ground.heard(inbox))
    assert ground.site.world.findings().boots == dict.fromkeys(NEW, 0)


def test_a_setting_that_is_wrong_is_named_in_the_message(ground: FleetGround) -> None:
    ground.make(Settings='[cluster."dem*"]\nwindow = ["always"]')
    inbox = ground.subscribe()
    assert ground.run_waves() == "FAILED"
    said = "\n".join(ground.heard(inbox))
    assert "settings of the cluster demo: window cannot be" in said
    assert ground.site.world.findings().boots == dict.fromkeys(NEW, 0)


def test_without_the_topic_the_waves_run_and_no_message_is_sent(ground: FleetGround) -> None:
    ground.make(without("TellPeople"))
    inbox = ground.subscribe()
    assert ground.run_waves() == "SUCCEEDED"
    assert ground.refused == {"sns:Publish"}
    assert not any("Clusters run" in said for said in ground.heard(inbox))
    assert ground.site.world.findings().versions == NEW


def test_without_the_rule_for_ended_tasks_the_stack_is_not_created(ground: FleetGround) -> None:
    assert ground.make(without("HearOfTheEnd")) == "ROLLBACK_COMPLETE"
    assert ground.refused == {"events:PutTargets"}


@pytest.mark.parametrize(("key", "found"), [("network", True), ("other", False)])
def test_the_tasks_run_in_the_subnets_that_have_the_tag(ground: FleetGround, key: str, found: bool) -> None:
    subnets = ground.site.operator("ec2", "DescribeSubnets", {})["Subnets"]
    tag = {"Resources": [subnets[0]["SubnetId"]], "Tags": [{"Key": "network", "Value": "updates"}]}
    ground.site.operator("ec2", "CreateTags", tag)
    ground.make(Subnets="", SubnetTag="updates", SubnetTagKey=key)
    inbox = ground.subscribe()
    assert ground.run_waves() == ("SUCCEEDED" if found else "FAILED")
    tasks = ground.site.world.calls.of("ecs:RunTask")
    places = [call.params["networkConfiguration"]["awsvpcConfiguration"]["subnets"] for call in tasks]
    assert places == [[subnets[0]["SubnetId"]]] * (2 if found else 0)
    assert any("No subnet has the tag" in said for said in ground.heard(inbox)) is not found


def test_without_a_look_at_subnets_the_execution_fails(ground: FleetGround) -> None:
    ground.make(without("FindSubnets"), Subnets="", SubnetTag="updates")
    assert ground.run_waves() == "FAILED"
    assert ground.refused == {"ec2:DescribeSubnets"}


@pytest.mark.parametrize(("sids", "left"), [(("StartTheWaves",), True), (("StartTheWaves", "KeepFailedStarts"), False)])
def test_a_start_that_is_denied_is_kept_in_the_queue_that_the_alarm_watches(
    ground: FleetGround, sids: tuple[str, ...], left: bool
) -> None:
    ground.make(without(*sids), ScheduleState="ENABLED", ScheduleExpression="rate(5 minutes)")
    ground.clock.wait_until(lambda: bool(ground.site.schedules.starts), PATIENCE)
    [start] = ground.site.schedules.starts[:1]
    assert "not authorized to perform: states:StartExecution" in start.error
    request = {"QueueUrl": ground.resource("FailedStarts"), "MessageAttributeNames": ["All"], "WaitTimeSeconds": 0}

    def kept() -> bool:
        return "Messages" in ground.site.operator("sqs", "ReceiveMessage", {**request, "VisibilityTimeout": 0})

    if left:
        ground.clock.wait_until(kept, PATIENCE, LOOK_EVERY)
    else:
        ground.clock.wait_until(lambda: "sqs:SendMessage" in ground.refused, PATIENCE)
        assert not kept()


TRIED = {
    *("RunTheTask", "TagTheTask", "HandOverRoles", "WaitForTheTask", "HearOfTheEnd", "TellPeople", "FindSubnets"),
    *("StartTheWaves", "KeepFailedStarts"),
    *("WriteLog", "ReadSettings", "SignInToRegistry", "PullImage"),
}


def test_every_statement_but_those_of_the_task_s_role_is_tried_without(ground: FleetGround) -> None:
    ground.make(Subnets="", SubnetTag="updates")
    sids: set[str] = set()
    for role in [ground.resource(name) for name in ("ExecutionRole", "WavesRole", "ScheduleRole")]:
        for name in ground.site.operator("iam", "ListRolePolicies", {"RoleName": role})["PolicyNames"]:
            policy = ground.site.operator("iam", "GetRolePolicy", {"RoleName": role, "PolicyName": name})
            sids |= {statement["Sid"] for statement in policy["PolicyDocument"]["Statement"]}
    assert sids == TRIED
