"""`fleet.yaml` without deploying it: its definition equals the tested one, and each permission is needed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.account.cloudformation import Template
from tests.account.cloudformation.stack import Stack
from tests.account.iam import Caller, Decision, IamRequest
from tests.stack.stage import OURS, Paper, judged_run, policy_of, properties, several, statements
from tests.stack.stage import deployed as deployed_alone
from tests.support.simulated import row

from bottlerocket_ecs_updater.core.planning.waves import CONCURRENCY_MAX
from bottlerocket_ecs_updater.core.rules.health import AlarmRule, HealthRules
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.promotion import Requirement, StageRules
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.versions import VersionRules
from bottlerocket_ecs_updater.report.outputs.metrics import CLUSTER_DIMENSION, METRICS, NAMESPACE
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.names import Names
from bottlerocket_ecs_updater.simulator.waves.definition import waves_definition
from bottlerocket_ecs_updater.simulator.world.world import World

TEMPLATE = Path(__file__).parents[2] / "stacks" / "fleet.yaml"
TEXT = TEMPLATE.read_text()
PARAMETERS = {"Subnets": "subnet-1,subnet-2", **OURS}
BODY_MAX_BYTES = 46_700
"""A body of 51,200 bytes can be deployed without a bucket; a release puts its images into it."""
STAGED = Policy(rules=Rules(stages=StageRules("production", (Requirement.parse("staging for 1d"),))))


def deployed(names: Names | None = None, **parameters: str) -> Stack:
    paper = Paper(names or Names())
    given = {**PARAMETERS, **parameters}
    paper.service.create_stack(
        {
            "StackName": "fleet",
            "TemplateBody": TEXT,
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
        }
    )
    stack = paper.service._find("fleet")
    assert stack is not None
    assert stack.status == "CREATE_COMPLETE", [event.reason for event in stack.events if event.reason]
    return stack


STACK = deployed()


def world_of(stack: Stack = STACK) -> World:
    return row(2, names=stack_names(stack))


def stack_names(_: Stack) -> Names:
    return Names()


def test_it_fits_without_a_bucket_and_is_of_no_cluster_and_no_account_in_particular() -> None:
    assert len(TEXT.encode()) < BODY_MAX_BYTES
    required = [name for name, one in Template.read(TEXT).body["Parameters"].items() if "Default" not in one]
    assert required == []
    # Identifiers of an account's own resources are always optional, so that a stack set needs one set of parameters.
    assert deployed(Subnets="", SubnetTag="updates").status == "CREATE_COMPLETE"


@pytest.mark.parametrize("missing", [{"Subnets": ""}, {"AnyInstance": "DISABLED"}, {"UpdaterImage": ""}])
def test_a_stack_that_lacks_a_choice_of_a_person_is_refused_with_what_to_choose(missing: dict[str, str]) -> None:
    with pytest.raises(AwsError, match=r"Subnets|AnyInstance|UpdaterImage"):
        deployed(None, **missing)


@pytest.mark.parametrize("tagged", [False, True])
def test_its_definition_is_word_for_word_the_one_that_runs_in_tests(tagged: bool) -> None:
    stack = deployed(Subnets="", SubnetTag="updates", SecurityGroups="sg-1") if tagged else STACK
    values = {
        "subnet-1": "${Subnets}",
        "subnet-2": None,
        "sg-1": "${SecurityGroups}",
        "updates": "${SubnetTag}",
        "tag:bottlerocket-ecs-updater": "tag:${SubnetTagKey}",
    }

    def opened(part: Any) -> Any:
        if isinstance(part, dict):
            groups = {"SecurityGroups": "${SecurityGroups}"} if "AssignPublicIp" in part else {}
            return {key: opened(value) for key, value in part.items()} | groups
        if isinstance(part, list):
            parts = [one for one in map(opened, part) if one is not None]
            return parts[0] if parts in (["${Subnets}"], ["${SecurityGroups}"]) else parts
        return values.get(part, part) if isinstance(part, str) else part

    assert opened(properties(stack, "Waves")["Definition"]) == waves_definition(tagged=tagged)


@pytest.mark.parametrize("tagged", [False, True])
def test_everything_that_the_definition_leaves_open_is_filled_in(tagged: bool) -> None:
    filled = set(properties(STACK, "Waves")["DefinitionSubstitutions"])
    lists = {"SecurityGroups", "Subnets", "SubnetTag", "SubnetTagKey"}
    asked = set(re.findall(r"\$\{(\w+)\}", json.dumps(waves_definition(tagged=tagged)))) - lists
    assert asked == filled


def test_the_linter_takes_the_definition(tmp_path: Path) -> None:
    text = TEXT.replace("{ignore_checks: [E3601]}", "{}").replace("arn:${Partition}:states", "arn:aws:states")
    file = tmp_path / "fleet.yaml"
    file.write_text(text)
    linter = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([str(linter), str(file)], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    wrong = text.replace("Type: Choice", "Type: Chance", 1)
    file.write_text(wrong)
    assert "E3601" in subprocess.run([str(linter), str(file)], capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("region", [("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")])
def test_it_is_for_every_partition(region: tuple[str, str]) -> None:
    stack = deployed(Names(*region))
    assert properties(stack, "Waves")["DefinitionSubstitutions"]["Partition"] == region[0]
    for role in ("TaskRole", "ExecutionRole", "WavesRole", "ScheduleRole"):
        for statement in statements(stack, role):
            assert "arn:aws:" not in json.dumps(statement)


def test_every_graph_of_the_dashboard_is_of_a_metric_of_all_clusters() -> None:
    of_clusters = {metric.name for metric in METRICS if not metric.by}
    body = json.loads(properties(STACK, "UpdaterDashboard")["DashboardBody"])
    searched = re.findall(r"SEARCH\('\{(\w+),(\w+)\} (\w+)'", json.dumps(body))
    assert [one[:2] for one in searched] == [(NAMESPACE, CLUSTER_DIMENSION)] * 3
    assert {one[2] for one in searched} <= of_clusters
    assert "DaysBehind" in {one[2] for one in searched}


def test_alarms_are_of_the_state_machine_and_of_the_queue_of_this_stack() -> None:
    alarms = [holding.properties for holding in STACK.holdings.values() if holding.kind == "AWS::CloudWatch::Alarm"]
    watched = {alarm["MetricName"]: alarm["Dimensions"][0]["Value"] for alarm in alarms}
    machine = STACK.holdings["Waves"].made.physical_id
    assert watched == {
        "ApproximateNumberOfMessagesVisible": STACK.holdings["FailedStarts"].made.attributes["QueueName"],
        "ExecutionsStarted": machine,
        "ExecutionsFailed": machine,
    }


# Permissions


def test_a_run_may_do_all_that_it_needs() -> None:
    judged = judged_run(world_of(), STACK, shared=True)
    assert judged.went_well, judged.why
    assert judged.updated == 2
    assert judged.refusals == []


NEEDED = [
    "ListInstances",
    "LookAtInstances",
    "DrainAndReturnInstances",
    "ListTasksAndServices",
    "LookAtTasks",
    "LookAtServices",
    "SendOwnDocuments",
    "SendToInstances",
    "ReadAnswers",
    "ReadAndWriteState",
    "ShareSightings",
    "ListState",
]


@pytest.mark.parametrize("sid", NEEDED)
def test_without_a_statement_a_run_is_refused_what_the_statement_is_for(sid: str) -> None:
    world = world_of()
    allowed = {
        action for one in statements(STACK, "TaskRole") if one["Sid"] == sid for action in several(one["Action"])
    }
    judged = judged_run(world, STACK, without=sid, shared=True)
    assert {refusal.ask.action for refusal in judged.refusals} & allowed
    assert world.findings().stranded == ()
    assert world.findings().violations == ()


RULES = {
    "LookAtDefinitions": {"ecs:DescribeCapacityProviders", "ecs:DescribeTaskDefinition"},
    "LookAtGroups": {
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeInstanceRefreshes",
    },
}
"""What rules read in addition to the state of the cluster: without it, a run ignores the rule."""


@pytest.mark.parametrize("sid", RULES)
def test_without_what_a_rule_asks_a_run_leaves_the_rule_out(sid: str) -> None:
    judged = judged_run(world_of(), STACK, without=sid, shared=True)
    assert judged.refusals
    assert {refusal.ask.action for refusal in judged.refusals} <= RULES[sid]
    assert judged.updated == 2


CALENDAR = "arn:aws:ssm:us-east-1:999999999999:document/changes"
ASKED = {
    "LookAtAlarms": "cloudwatch:DescribeAlarms",
    "ReadChangeCalendars": "ssm:GetCalendarState",
    "ReadPublishedVersions": "ssm:GetParameters",
}
WATCHING = Rules(
    versions=VersionRules(published_only=True),
    health=HealthRules((AlarmRule("checkout-errors"),)),
    calendars=(CALENDAR,),
)


@pytest.mark.parametrize("sid", ["", *ASKED])
def test_without_what_the_settings_ask_nothing_is_started_and_the_action_is_named(sid: str) -> None:
    world = world_of()
    world.cloudwatch.set_alarm("checkout-errors", "OK")
    world.calendars.set_calendar(CALENDAR, "OPEN")
    judged = judged_run(world, STACK, without=sid, policy=Policy(rules=WATCHING), shared=True)
    assert judged.updated == (0 if sid else 2)
    assert {refusal.ask.action for refusal in judged.refusals} == ({ASKED[sid]} if sid else set())
    if sid:
        assert any(ASKED[sid] in line for line in judged.said)


NARROWED = {
    "SendToInstancesOfGroups": {"AutoScalingGroups": "group-0,group-1"},
    "SendToTaggedInstances": {"InstanceTag": "yes"},
}


@pytest.mark.parametrize("sid", NARROWED)
def test_commands_go_to_the_instances_that_the_stack_names(sid: str) -> None:
    stack = deployed(None, AnyInstance="DISABLED", **NARROWED[sid])
    judged = judged_run(world_of(), stack, shared=True)
    assert (judged.updated, judged.refusals) == (2, [])
    refused = judged_run(world_of(), stack, without=sid, shared=True)
    assert refused.updated == 0
    assert {refusal.ask.action for refusal in refused.refusals} == {"ssm:SendCommand"}


KEY = "arn:aws:kms:us-east-1:123456789012:key/1"
KEYED = {"EncryptState": {"KmsKeyArn": KEY}, "EncryptSharedState": {"StateKmsKeyArn": KEY}}


@pytest.mark.parametrize("sid", KEYED)
def test_with_a_key_the_state_is_encrypted_with_it(sid: str) -> None:
    stack = deployed(None, **KEYED[sid])
    judged = judged_run(world_of(), stack, key=KEY, shared=True)
    assert (judged.updated, judged.refusals) == (2, [])
    refused = judged_run(world_of(), stack, without=sid, key=KEY, shared=True)
    assert refused.updated == 0
    assert {refusal.ask.action for refusal in refused.refusals} <= {"kms:Decrypt", "kms:GenerateDataKey"}
    assert refused.refusals


GRANTED = {
    "CallBackCommands": IamRequest("ssm:CancelCommand"),
    "TellPeople": IamRequest("sns:Publish", STACK.holdings["Notifications"].made.physical_id),
    "WritePage": IamRequest(
        "s3:PutObject", f"arn:aws:s3:::{STACK.holdings['StateBucket'].made.physical_id}/updater/fleet/index.html"
    ),
    "StopTasks": IamRequest(
        "ecs:StopTask",
        Names().ecs("task", "demo", "1"),
        {"aws:requestedregion": ("us-east-1",), "aws:resourceaccount": ("123456789012",)},
    ),
}


@pytest.mark.parametrize("sid", GRANTED)
def test_permissions_that_fail_no_run_still_come_from_their_own_statement_only(sid: str) -> None:
    stack = deployed(StopTasks="ENABLED") if sid == "StopTasks" else STACK
    for without, decision in (("", Decision.ALLOWED), (sid, Decision.NOT_ALLOWED)):
        assert Caller("somebody", (policy_of(stack, "TaskRole", without=without),)).may(GRANTED[sid]) is decision


IN_THE_ACCOUNT = {"FindClusters", "LookAtClusters", "AnswerTheStateMachine"}
"""Tested in test_account.py: a run does not need them, but the task that finds the clusters does."""


def test_every_statement_of_the_task_s_role_is_tried_without() -> None:
    everything = {"StopTasks": "ENABLED", "KmsKeyArn": KEY, "StateKmsKeyArn": KEY}
    sids = {
        statement["Sid"]
        for stack in (deployed(None, **everything), *(deployed(None, **one) for one in NARROWED.values()))
        for statement in statements(stack, "TaskRole")
    }
    tried = {*NEEDED, *RULES, *ASKED, *NARROWED, *KEYED, *GRANTED, *IN_THE_ACCOUNT, "ReadWhatIsShared"}
    assert sids == tried


def test_a_policy_of_the_account_s_own_is_attached_to_the_task_s_role_only() -> None:
    stack = deployed(TaskPolicy="updater-documents")
    attached = {role: properties(stack, role).get("ManagedPolicyArns") for role in ("TaskRole", "ExecutionRole")}
    assert attached == {"TaskRole": ["arn:aws:iam::123456789012:policy/updater-documents"], "ExecutionRole": None}
    assert "ManagedPolicyArns" not in properties(STACK, "TaskRole")


def test_the_role_for_many_clusters_allows_the_same_and_finds_clusters_too() -> None:
    """Otherwise a setting that works with one template would be rejected with the other."""
    alone = deployed_alone(Alarms="errors", ChangeCalendars=CALENDAR)
    one = {action for each in statements(alone, "TaskRole") for action in several(each["Action"])}
    many = {action for each in statements(STACK, "TaskRole") for action in several(each["Action"])}
    assert one - many == set()
    assert many - one == {
        "ecs:ListClusters",
        "ecs:DescribeClusters",
        "states:SendTaskSuccess",
        "states:SendTaskFailure",
    }


def test_a_run_in_a_stage_that_may_not_read_what_is_shared_says_so_and_starts_no_update() -> None:
    world = world_of()
    judged = judged_run(world, STACK, without="ReadWhatIsShared", policy=STAGED, shared=True)
    assert judged.updated == 0
    assert any("s3:GetObject" in why for why in judged.said)


@pytest.mark.parametrize(("clusters", "may"), [("*", True), ("demo", True), ("web-*,dem?", True), ("web-*", False)])
def test_the_role_may_act_on_the_clusters_that_are_named_and_no_other(clusters: str, may: bool) -> None:
    stack = deployed(Clusters=clusters)
    caller = Caller("arn:aws:sts::123456789012:assumed-role/TaskRole/run", (policy_of(stack, "TaskRole"),))
    names = Names()
    here = {"aws:requestedregion": (names.region,), "aws:resourceaccount": (names.account,)}
    cluster = {**here, "ecs:cluster": (names.ecs("cluster", "demo"),)}
    asks = [
        IamRequest("ecs:ListContainerInstances", names.ecs("cluster", "demo"), here),
        IamRequest("ecs:UpdateContainerInstancesState", names.ecs("container-instance", "demo", "1"), cluster),
        IamRequest("ecs:PutAttributes", names.ecs("container-instance", "demo", "1"), cluster),
        IamRequest("ecs:DescribeTasks", names.ecs("task", "demo", "1"), cluster),
        IamRequest("ecs:ListTasks", names.ecs("container-instance", "demo", "1"), cluster),
    ]
    assert {caller.may(ask) for ask in asks} == {Decision.ALLOWED if may else Decision.NOT_ALLOWED}
    elsewhere = {**cluster, "aws:requestedregion": ("eu-west-3",)}
    assert caller.may(IamRequest("ecs:PutAttributes", asks[1].resource, elsewhere)) is not Decision.ALLOWED


def test_the_updater_cannot_write_decisions_of_people_or_another_accounts_standing() -> None:
    caller = Caller("arn:aws:sts::123456789012:assumed-role/TaskRole/run", (policy_of(STACK, "TaskRole"),))
    bucket = f"arn:aws:s3:::{STACK.holdings['StateBucket'].made.physical_id}/updater/fleet"
    own = f"{bucket}/clusters/123456789012/us-east-1/demo/standing.json"
    assert caller.may(IamRequest("s3:PutObject", own)) is Decision.ALLOWED
    assert caller.may(IamRequest("s3:PutObject", f"{bucket}/index.html")) is Decision.ALLOWED
    for key in ("acts.json", "clusters/999999999999/us-east-1/demo/standing.json"):
        assert caller.may(IamRequest("s3:PutObject", f"{bucket}/{key}")) is Decision.NOT_ALLOWED
        assert caller.may(IamRequest("s3:GetObject", f"{bucket}/{key}")) is Decision.ALLOWED


def test_the_state_machine_may_run_this_task_definition_only() -> None:
    caller = Caller("arn:aws:sts::123456789012:assumed-role/WavesRole/x", (policy_of(STACK, "WavesRole"),))
    definition_arn = STACK.holdings["UpdaterTaskDefinition"].made.physical_id
    runs_on = {"ecs:cluster": (STACK.holdings["RunsOn"].made.attributes["Arn"],)}
    assert caller.may(IamRequest("ecs:RunTask", definition_arn, runs_on)) is Decision.ALLOWED
    other = definition_arn.replace("task-definition/", "task-definition/other-")
    assert caller.may(IamRequest("ecs:RunTask", other, runs_on)) is Decision.NOT_ALLOWED
    assert caller.may(IamRequest("ecs:RunTask", definition_arn, {"ecs:cluster": ("x",)})) is Decision.NOT_ALLOWED
    assert {action for one in statements(STACK, "WavesRole") for action in several(one["Action"])} == {
        "ecs:RunTask",
        "ecs:DescribeTasks",
        "ecs:StopTask",
        "ecs:TagResource",
        "iam:PassRole",
        "events:PutTargets",
        "events:PutRule",
        "events:DescribeRule",
        "sns:Publish",
    }


def test_no_more_clusters_at_once_than_an_inline_map_takes() -> None:
    assert CONCURRENCY_MAX == 40
