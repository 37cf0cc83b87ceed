"""The task role's statements are sufficient, each is needed, and none allows anything outside the cluster."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.account.iam import Caller, Decision, IamRequest, asks_of
from tests.stack.stage import Judged, WorldFacts, deployed, judged_run, policy_of, several, statements
from tests.support.simulated import DOCUMENTS, instance_id, row

from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.rules.health import AlarmRule, HealthRules
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.versions import VersionRules
from bottlerocket_ecs_updater.simulator.services.documents import shell_document
from bottlerocket_ecs_updater.simulator.world.world import World

STACK = deployed()
BUCKET = STACK.holdings["StateBucket"].made.physical_id
KEY = "arn:aws:kms:us-east-1:123456789012:key/1"
SIGHTING = f"arn:aws:s3:::{BUCKET}/updater/first-seen/1.21.0.json"
LEAVE, VET = "leave-the-mesh", "vet-the-host"
NEIGHBOUR = "arn:aws:ecs:us-east-1:123456789012:cluster/other"

BREAKS: dict[str, str] = {
    "ListInstances": "ecs:ListContainerInstances",
    "LookAtInstances": "ecs:DescribeContainerInstances",
    "DrainAndReturnInstances": "ecs:PutAttributes",
    "ListTasksAndServices": "ecs:ListServices",
    "LookAtTasks": "ecs:DescribeTasks",
    "LookAtServices": "ecs:DescribeServices",
    "SendOwnDocuments": "ssm:SendCommand",
    "SendToInstances": "ssm:SendCommand",
    "ReadAnswers": "ssm:DescribeInstanceInformation",
    "ReadAndWriteState": "s3:PutObject",
    "ListState": "s3:ListBucket",
}
"""The first action that fails without a statement."""

RULES = {
    "LookAtDefinitions": ("ecs:DescribeCapacityProviders", "ecs:DescribeTaskDefinition"),
    "LookAtGroups": (
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeInstanceRefreshes",
    ),
}
"""What rules read in addition to the state of the cluster: without it, the run ignores the rule and says so."""

NEEDED_OTHERWISE = {
    "CallBackCommands",
    "ReadPublishedVersions",
    "ReadSightings",
    "ShareSightings",
    "TellPeople",
    *RULES,
}
"""Permissions that only a run with problems needs, or that fail no run; separate tests cover them."""

ACTIONS = sorted(
    {action for statement in statements(STACK, "TaskRole") for action in several(statement["Action"])}
    - {"ecs:GetTaskProtection"}
    - {
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceTypes",
        "ssm:CancelCommand",
        "ssm:DescribeDocument",
        "ssm:GetCommandInvocation",
        "ssm:GetParameters",
        "sns:Publish",
    }
    - {action for actions in RULES.values() for action in actions}
)


@pytest.fixture
def world() -> World:
    return row(2, services=1, tasks=1)


def test_a_whole_run_needs_nothing_that_is_denied(world: World) -> None:
    run = judged_run(world, STACK)
    assert (run.went_well, run.updated, run.refusals) == (True, 2, [])


def test_a_run_over_an_encrypted_bucket_needs_nothing_that_is_denied(world: World) -> None:
    run = judged_run(world, deployed(KmsKeyArn=KEY), key=KEY)
    assert (run.went_well, run.refusals) == (True, [])


def test_every_statement_is_tried_without() -> None:
    assert {statement["Sid"] for statement in statements(STACK, "TaskRole")} == BREAKS.keys() | NEEDED_OTHERWISE


@pytest.mark.parametrize("sid", BREAKS)
def test_without_a_statement_the_run_fails_and_names_the_action_and_resource(world: World, sid: str) -> None:
    run = judged_run(world, STACK, without=sid)
    ask = run.refusals[0].ask
    assert ask.action == BREAKS[sid]
    assert any(ask.action in line and ask.resource in line for line in run.said), run.said
    assert (run.went_well, run.updated) == (False, 0)


@pytest.mark.parametrize("sid", RULES)
def test_without_what_a_rule_asks_the_run_leaves_the_rule_out_and_goes_on(world: World, sid: str) -> None:
    run = judged_run(world, STACK, without=sid)
    assert {refusal.ask.action for refusal in run.refusals} <= set(RULES[sid])
    assert (run.went_well, run.updated) == (True, 2)


def test_without_permission_for_ec2_a_stopped_host_counts_as_out_of_service() -> None:
    world = row(3, services=1, tasks=1)
    world.stop_instance(instance_id(0))
    world.clock.sleep(timedelta(minutes=2))
    run = judged_run(world, STACK, without_action="ec2:DescribeInstances")
    assert {refusal.ask.action for refusal in run.refusals} == {"ec2:DescribeInstances"}
    assert run.updated == 0
    assert judged_run(world, STACK).updated == 2


def test_without_permission_for_task_protection_the_run_skips_its_rule_and_continues(world: World) -> None:
    run = judged_run(world, STACK, without_action="ecs:GetTaskProtection")
    assert {refusal.ask.action for refusal in run.refusals} == {"ecs:GetTaskProtection"}
    assert (run.went_well, run.updated) == (True, 2)


def test_if_the_reboot_document_may_not_be_described_hosts_are_updated_all_the_same(world: World) -> None:
    run = judged_run(world, STACK, without_action="ssm:DescribeDocument")
    assert {refusal.ask.action for refusal in run.refusals} == {"ssm:DescribeDocument"}
    assert (run.went_well, run.updated) == (True, 2)


@pytest.mark.parametrize("action", ACTIONS)
def test_without_an_action_the_run_does_not_end_well_and_names_it(world: World, action: str) -> None:
    run = judged_run(world, STACK, without_action=action)
    assert {refusal.ask.action for refusal in run.refusals} == {action}
    assert any(action in line for line in run.said), run.said
    assert not run.went_well


CALENDAR = "arn:aws:ssm:us-east-1:999999999999:document/changes"
WATCHED = deployed(
    Alarms="checkout-errors", ChangeCalendars=CALENDAR, BeforeDrainDocument=LEAVE, AfterRebootDocument=VET
)
WATCHING = Rules(
    versions=VersionRules(published_only=True),
    health=HealthRules((AlarmRule("checkout-errors"),)),
    calendars=(CALENDAR,),
)
ASKED = Policy(before_drain=True, after_reboot=True, rules=WATCHING)
WITH_HOOKS = {**DOCUMENTS, DocumentKind.BEFORE_DRAIN: LEAVE, DocumentKind.AFTER_REBOOT: VET}


def watched_run(world: World, without: str = "") -> Judged:
    """A run with alarms and with the operator's documents."""
    world.cloudwatch.set_alarm("checkout-errors", "OK")
    world.calendars.set_calendar(CALENDAR, "OPEN")
    for name in (LEAVE, VET):
        world.documents.add(name, shell_document("Somebody's own", ("true",), 60))
    return judged_run(world, WATCHED, without=without, policy=ASKED, documents=WITH_HOOKS)


def test_a_run_with_alarms_and_documents_of_the_operators_needs_nothing_that_is_denied(world: World) -> None:
    run = watched_run(world)
    assert (run.went_well, run.updated, run.refusals) == (True, 2, [])


@pytest.mark.parametrize(
    ("sid", "action"),
    [
        ("LookAtAlarms", "cloudwatch:DescribeAlarms"),
        ("ReadChangeCalendars", "ssm:GetCalendarState"),
        ("ReadPublishedVersions", "ssm:GetParameters"),
        ("RunBeforeDrain", "ssm:DescribeDocument"),
        ("RunAfterReboot", "ssm:DescribeDocument"),
    ],
)
def test_without_one_of_their_statements_nothing_is_started_and_the_action_is_named(
    world: World, sid: str, action: str
) -> None:
    run = watched_run(world, sid)
    assert {refusal.ask.action for refusal in run.refusals} == {action}
    assert any(action in line for line in run.said), run.said
    assert run.updated == 0


@pytest.mark.parametrize(
    ("sid", "ask"),
    [
        ("CallBackCommands", IamRequest("ssm:CancelCommand")),
        ("ReadSightings", IamRequest("s3:GetObject", SIGHTING)),
        ("ShareSightings", IamRequest("s3:PutObject", SIGHTING, {"s3:if-none-match": ("*",)})),
        ("TellPeople", IamRequest("sns:Publish", STACK.holdings["Notifications"].made.physical_id)),
    ],
)
def test_permissions_that_fail_no_run_still_come_from_their_own_statement_only(sid: str, ask: IamRequest) -> None:
    with_it, without_it = policy_of(STACK, "TaskRole"), policy_of(STACK, "TaskRole", without=sid)
    assert Caller("somebody", (with_it,)).may(ask) is Decision.ALLOWED
    assert Caller("somebody", (without_it,)).may(ask) is Decision.NOT_ALLOWED


def test_no_cluster_can_overwrite_a_sighting_of_another() -> None:
    caller = Caller("somebody", (policy_of(STACK, "TaskRole"),))
    assert caller.may(IamRequest("s3:PutObject", SIGHTING)) is Decision.NOT_ALLOWED
    assert caller.may(IamRequest("s3:PutObject", SIGHTING, {"s3:if-match": ("etag",)})) is Decision.NOT_ALLOWED


def test_the_role_grants_only_actions_that_the_updater_calls() -> None:
    chat = "arn:aws:secretsmanager:us-east-1:123456789012:secret:chat"
    asked = {"Alarms": "errors", "ChangeCalendars": CALENDAR, "BeforeDrainDocument": LEAVE}
    stack = deployed(EventBus="default", WebhookSecret=chat, **asked)
    granted = {action for statement in statements(stack, "TaskRole") for action in several(statement["Action"])}
    ungranted = [one for one in Operation if one.by_setting or one.by_people or one.by_everybody]
    # The store can remove objects; a run never does.
    others = {operation.action for operation in (*ungranted, Operation.DELETE_OBJECT)}
    # Secrets Manager requires kms:Decrypt from the caller who reads a secret.
    assert granted - {"kms:Decrypt"} == {operation.action for operation in Operation} - others


NEIGHBOURS: list[tuple[str, str, dict[str, Any]]] = [
    ("ecs", "ListContainerInstances", {"cluster": "other"}),
    ("ecs", "DescribeContainerInstances", {"cluster": "other", "containerInstances": ["abc"]}),
    ("ecs", "UpdateContainerInstancesState", {"cluster": "other", "containerInstances": ["abc"]}),
    ("ecs", "ListTasks", {"cluster": "other"}),
    ("ecs", "DescribeTasks", {"cluster": "other", "tasks": ["abc"]}),
    ("ecs", "ListServices", {"cluster": "other"}),
    ("ecs", "DescribeServices", {"cluster": "other", "services": ["web"]}),
    ("ecs", "PutAttributes", {"cluster": "other", "attributes": [{"name": "a", "targetId": "abc"}]}),
    ("ecs", "DeleteAttributes", {"cluster": "other", "attributes": [{"name": "a", "targetId": "abc"}]}),
    ("ecs", "StopTask", {"cluster": "demo", "task": "abc"}),
    ("ecs", "UpdateService", {"cluster": "demo", "service": "web"}),
    ("ecs", "DeregisterContainerInstance", {"cluster": "demo", "containerInstance": "abc"}),
    ("ssm", "SendCommand", {"DocumentName": "AWS-RunShellScript", "InstanceIds": ["i-1"]}),
    ("ssm", "SendCommand", {"DocumentName": "somebody-elses", "InstanceIds": ["i-1"]}),
    ("ssm", "StartSession", {"Target": "i-1"}),
    ("s3", "GetObject", {"Bucket": "another", "Key": "updater/clusters/demo/ledger.json"}),
    ("ssm", "GetParameters", {"Names": ["/somebody-elses/password"]}),
    ("ssm", "GetParameters", {"Names": ["/aws/service/ami-windows-latest/Windows_Server-2022-English-Full-Base"]}),
    ("iam", "PassRole", {}),
    ("autoscaling", "UpdateAutoScalingGroup", {}),
]


@pytest.mark.parametrize(("service", "operation", "request_"), NEIGHBOURS)
def test_resources_that_are_not_ours_are_denied(
    world: World, service: str, operation: str, request_: dict[str, Any]
) -> None:
    assert Decision.NOT_ALLOWED in _answers(world, service, operation, request_)


def test_standalone_tasks_can_be_stopped_only_where_the_stack_says_so(world: World) -> None:
    request = {"cluster": "demo", "task": "abc"}
    assert _answers(world, "ecs", "StopTask", request, deployed(StopTasks="ENABLED")) == [Decision.ALLOWED]
    elsewhere = _answers(world, "ecs", "StopTask", {**request, "cluster": "other"}, deployed(StopTasks="ENABLED"))
    assert elsewhere == [Decision.NOT_ALLOWED]


@pytest.mark.parametrize("operation", ["GetObject", "PutObject", "DeleteObject"])
@pytest.mark.parametrize(
    "key",
    [
        "updater/clusters/other/ledger.json",
        "updater/runs/other/x",
        "updater/runs/demo2/x",
        "updater/runs/demo/x",
        "updater/clusters/999999999999/us-east-1/demo/ledger.json",
        "updater/clusters/123456789012/eu-west-1/demo/ledger.json",
        "updater/clusters/123456789012/us-east-1/other/ledger.json",
        "updater/runs/123456789012/us-east-1/demo2/x",
        "elsewhere",
    ],
)
def test_another_prefix_of_the_state_bucket_is_denied(world: World, operation: str, key: str) -> None:
    bucket = STACK.holdings["StateBucket"].made.physical_id
    assert Decision.NOT_ALLOWED in _answers(world, "s3", operation, {"Bucket": bucket, "Key": key})


@pytest.mark.parametrize("part", ["clusters", "runs"])
def test_the_cluster_s_own_prefix_is_read_and_written(world: World, part: str) -> None:
    bucket = STACK.holdings["StateBucket"].made.physical_id
    request = {"Bucket": bucket, "Key": f"updater/{part}/123456789012/us-east-1/demo/x"}
    for operation in ("GetObject", "PutObject"):
        assert Decision.NOT_ALLOWED not in _answers(world, "s3", operation, request)


@pytest.mark.parametrize(
    "prefix",
    ["updater/clusters/other/", "updater/runs/other/", "updater/runs/123456789012/eu-west-1/demo/", "updater/runs/"],
)
def test_another_prefix_is_not_listed(world: World, prefix: str) -> None:
    bucket = STACK.holdings["StateBucket"].made.physical_id
    request = {"Bucket": bucket, "Prefix": prefix}
    assert _answers(world, "s3", "ListObjectsV2", request) == [Decision.NOT_ALLOWED]


def test_a_cluster_whose_name_starts_like_ours_is_another(world: World) -> None:
    request = {"cluster": "demo-2", "containerInstances": ["abc"], "status": "DRAINING"}
    assert _answers(world, "ecs", "UpdateContainerInstancesState", request) == [Decision.NOT_ALLOWED]


def test_commands_go_to_the_named_groups_only(world: World) -> None:
    stack = deployed(AutoScalingGroups="group-0,group-1")
    send = {"DocumentName": "bottlerocket-ecs-updater-reboot"}
    inside = _answers(world, "ssm", "SendCommand", {**send, "InstanceIds": ["i-0"]}, stack)
    outside = _answers(world, "ssm", "SendCommand", {**send, "InstanceIds": ["i-9"]}, stack)
    assert (inside, outside) == ([Decision.ALLOWED] * 2, [Decision.ALLOWED, Decision.NOT_ALLOWED])


def test_a_cluster_with_one_unnamed_group_is_updated_in_part() -> None:
    mixed = row(3, services=1, tasks=1)
    run = judged_run(mixed, deployed(AutoScalingGroups="group-0,group-2"))
    assert (run.went_well, run.updated) == (True, 2)
    [refusal] = run.refusals
    assert refusal.ask.action == "ssm:SendCommand"
    assert refusal.ask.resource == mixed.names.arn("ec2", f"instance/{instance_id(1)}")
    assert run.finished is not None
    held = run.finished.outcomes[InstanceId(instance_id(1))]
    assert isinstance(held, Hold)
    assert held.reason is Reason.SEND_DENIED
    assert refusal.ask.resource in str(held)


def test_a_cluster_without_tagged_instances_is_an_error(world: World) -> None:
    run = judged_run(world, deployed(InstanceTag="no"))
    assert (run.went_well, run.updated) == (False, 0)
    assert "ssm:SendCommand on arn:aws:ec2:us-east-1:123456789012:instance/i-" in run.why


@pytest.mark.parametrize(("value", "last"), [("yes", Decision.ALLOWED), ("no", Decision.NOT_ALLOWED)])
def test_commands_go_to_tagged_instances_only_when_a_tag_is_named(world: World, value: str, last: Decision) -> None:
    request = {"DocumentName": "bottlerocket-ecs-updater-check", "InstanceIds": ["i-0"]}
    assert _answers(world, "ssm", "SendCommand", request, deployed(InstanceTag=value))[-1] is last


def test_the_key_is_used_through_s3_only() -> None:
    caller = Caller("somebody", (policy_of(deployed(KmsKeyArn=KEY), "TaskRole"),))
    assert (
        caller.may(IamRequest("kms:Decrypt", KEY, {"kms:viaservice": ("ec2.us-east-1.amazonaws.com",)}))
        is not Decision.ALLOWED
    )
    assert caller.may(IamRequest("kms:Decrypt", KEY)) is not Decision.ALLOWED


def _answers(world: World, service: str, operation: str, request: dict[str, Any], stack: Any = STACK) -> list[Decision]:
    caller = Caller("somebody", (policy_of(stack, "TaskRole"),))
    return [caller.may(ask) for ask in asks_of(service, operation, request, WorldFacts(world))]
