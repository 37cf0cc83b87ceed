"""The contents of the template, for every partition and every combination of parameters."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from stacks.release import released
from tests.account.cloudformation import Template
from tests.account.cloudformation.stack import Stack
from tests.account.iam import Caller, Decision, IamRequest
from tests.account.schedule import read_expression
from tests.stack.stage import TEMPLATE, Paper, deployed, policy_of, properties, several, statements

from bottlerocket_ecs_updater.cli.settings.settings import load
from bottlerocket_ecs_updater.core.model.document_steps import STEPS
from bottlerocket_ecs_updater.core.model.phase import Phase
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.report.outputs.metrics import CLUSTER_DIMENSION, METRICS, NAMESPACE
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.names import Names

TEXT = TEMPLATE.read_text()
BODY = Template.read(TEXT)
PREDECESSOR = Template.read(Path(__file__).with_name("predecessor.yaml").read_text())
STACK = deployed()
WIDTH_OF_A_DASHBOARD = 24
BODY_MAX_BYTES = 46_000
"""CloudFormation accepts 51,200 bytes without a bucket; the rest is a reserve."""
INLINE_POLICIES_MAX = 10_240
DASHBOARD_NAME_MAX = 255
DIGESTS = {
    "X86_64": f"registry.example/updater@sha256:{'a' * 64}",
    "ARM64": f"registry.example/updater@sha256:{'b' * 64}",
}
PREDECESSORS = "public.ecr.aws/bottlerocket/bottlerocket-ecs-updater:v0.2.2"
REGIONS = [("aws", "eu-central-1"), ("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")]

EVERYTHING = {
    "UpdaterImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/updater:1",
    "RuntimePlatform": "ARM64",
    "LaunchType": "EC2",
    "SecurityGroups": "sg-1,sg-2",
    "AssignPublicIp": "ENABLED",
    "ScheduleExpression": "cron(0 3 ? * TUE *)",
    "ScheduleTimezone": "Europe/Berlin",
    "MaxUnavailable": "10%",
    "MaxUnavailablePerZone": "1",
    "DrainTimeout": "40m",
    "Settings": "settle = '90s'",
    "LogRetentionInDays": "30",
    "KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1",
    "NotificationEmail": "ops@example.com",
    "WebhookSecret": "arn:aws:secretsmanager:us-east-1:123456789012:secret:chat",
    "EventBus": "default",
    "PermissionsBoundary": "arn:aws:iam::123456789012:policy/boundary",
    "AutoScalingGroups": "web-*,batch",
    "Alarms": "checkout-errors,web-*",
    "BeforeDrainDocument": "leave-the-mesh",
    "AfterRebootDocument": "vet-the-host",
    "InstanceTag": "yes",
}


def test_it_can_be_deployed_without_a_bucket() -> None:
    assert len(TEXT.encode()) < BODY_MAX_BYTES


@pytest.mark.parametrize(
    "image", ["updater@sha256:DIGEST", "updater@sha256:1", "updater@", "REPOSITORY", f"updater@sha256:{'1' * 65}"]
)
def test_an_image_that_cannot_be_pulled_is_refused_before_the_stack_is_made(image: str) -> None:
    with pytest.raises(AwsError, match="full digest"):
        Paper().deploy(UpdaterImage=image)


@pytest.mark.parametrize("image", ["updater", "registry.example:5000/a/updater:1.2.3-arm64", "updater:latest"])
def test_an_image_may_be_named_by_a_tag(image: str) -> None:
    [container] = properties(deployed(UpdaterImage=image), "UpdaterTaskDefinition")["ContainerDefinitions"]
    assert container["Image"] == image


@pytest.mark.parametrize("template", sorted(TEMPLATE.parent.glob("*.yaml")), ids=lambda path: path.name)
def test_functions_of_rules_have_their_long_names(template: Path) -> None:
    """CloudFormation documents no short names for them, and CDK's CfnInclude silently drops such a name."""
    assert re.findall(r"!(?:Contains|EachMember\w+|RefAll|ValueOf\w*)\b", template.read_text()) == []


def test_the_required_parameters_are_the_predecessors() -> None:
    assert _required(BODY) == _required(PREDECESSOR) == {"ClusterName", "Subnets", "LogGroupName"}


def test_every_parameter_and_resource_of_the_predecessor_is_there_with_its_type() -> None:
    types = {name: shape["Type"] for name, shape in BODY.resources.items()}
    assert {name: shape["Type"] for name, shape in PREDECESSOR.resources.items()}.items() <= types.items()
    assert PREDECESSOR.section("Parameters").keys() <= BODY.section("Parameters").keys()


def test_the_export_is_the_predecessors() -> None:
    exports = {output.key: output.export for output in STACK.outputs if output.export}
    assert exports == {"UpdaterTaskDefinitionArn": "updater:UpdaterTaskDefinition"}


def test_every_parameter_is_described_and_grouped() -> None:
    parameters = BODY.section("Parameters")
    groups = BODY.section("Metadata")["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(parameters)
    assert all(slot.get("Description") for slot in parameters.values())


@pytest.mark.parametrize(("partition", "region"), REGIONS)
def test_every_arn_is_of_the_partition_it_is_deployed_in(partition: str, region: str) -> None:
    everything = {**EVERYTHING, "KmsKeyArn": "", "PermissionsBoundary": "", "WebhookSecret": ""}
    stack = deployed(Names(partition, region), **everything)
    text = json.dumps([holding.properties for holding in stack.holdings.values()])
    assert set(re.findall(r"arn:([a-z-]+):", text)) == {partition}


def test_no_partition_is_written_into_it() -> None:
    assert not re.search(r"arn:aws[a-z-]*:", TEXT)


@pytest.mark.parametrize(
    ("document", "steps"),
    [
        ("UpdateCheckCommand", ["cat /proc/sys/kernel/random/boot_id", "apiclient update check"]),
        ("UpdateApplyCommand", list(STEPS[DocumentKind.APPLY])),
        ("RebootCommand", list(STEPS[DocumentKind.REBOOT])),
    ],
)
def test_a_document_does_one_thing(document: str, steps: list[str]) -> None:
    [step] = properties(STACK, document)["Content"]["mainSteps"]
    assert step["inputs"]["runCommand"] == steps
    assert step["precondition"] == {"StringEquals": ["platformType", "Linux"]}


@pytest.mark.parametrize(("document", "seconds"), [("UpdateCheckCommand", 60), ("RebootCommand", 60)])
def test_a_command_that_is_delivered_late_expires_soon(document: str, seconds: int) -> None:
    [step] = properties(STACK, document)["Content"]["mainSteps"]
    assert int(step["inputs"]["timeoutSeconds"]) <= seconds


@pytest.mark.parametrize("parameters", [{}, EVERYTHING])
def test_the_updater_takes_its_command_line_and_environment(parameters: dict[str, str]) -> None:
    [container] = properties(deployed(**parameters), "UpdaterTaskDefinition")["ContainerDefinitions"]
    environment = {each["Name"]: each["Value"] for each in container["Environment"]}
    default = BODY.section("Parameters")["Settings"]["Default"]
    secrets = {each["Name"]: parameters.get("Settings", default) for each in container["Secrets"]}
    settings = load(container["Command"][1:], {**environment, **secrets})
    # The ARN contains the account and Region.
    assert settings.target.cluster == "arn:aws:ecs:us-east-1:123456789012:cluster/demo"
    assert settings.documents.reboot_document.startswith("updater-RebootCommand-")
    assert str(settings.limits.max_unavailable) == parameters.get("MaxUnavailable", "1")
    assert settings.limits.drain_timeout == timedelta(minutes=40 if parameters else 25)
    assert settings.limits.settle == timedelta(seconds=90 if parameters else 60)


def test_the_container_is_locked_down() -> None:
    [container] = properties(STACK, "UpdaterTaskDefinition")["ContainerDefinitions"]
    assert (container["ReadonlyRootFilesystem"], container["User"]) == (True, "65532:65532")
    assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}


@pytest.mark.parametrize("image", ["", PREDECESSORS])
def test_the_template_of_the_tree_refuses_to_be_deployed_without_an_image(image: str) -> None:
    with pytest.raises(AwsError, match='Run "make publish'):
        deployed(UpdaterImage=image)


def test_the_template_of_the_tree_has_no_default_image() -> None:
    assert BODY.section("Mappings")["Release"]["Image"] == {"Amd64": "", "Arm64": ""}


def test_a_new_stack_must_say_which_instances_commands_may_be_sent_to() -> None:
    with pytest.raises(AwsError, match="Say which instances commands may be sent to"):
        deployed(AnyInstance="DISABLED")


@pytest.mark.parametrize(
    ("said", "sids"),
    [
        ({"AutoScalingGroups": "web"}, {"SendToInstancesOfGroups"}),
        ({"InstanceTag": "web"}, {"SendToTaggedInstances"}),
        ({"AutoScalingGroups": "web", "InstanceTag": "web"}, {"SendToInstancesOfGroups", "SendToTaggedInstances"}),
        ({"AnyInstance": "ENABLED"}, {"SendToInstances"}),
    ],
)
def test_commands_go_to_the_instances_that_the_stack_names(said: dict[str, str], sids: set[str]) -> None:
    assert _sending(deployed(**{"AnyInstance": "DISABLED", **said})) == sids


@pytest.mark.parametrize("architecture", ["X86_64", "ARM64"])
def test_a_release_carries_its_image_for_each_architecture_by_digest(architecture: str) -> None:
    stack = Paper().deploy(_release(), UpdaterImage="", RuntimePlatform=architecture)
    [container] = properties(stack, "UpdaterTaskDefinition")["ContainerDefinitions"]
    assert container["Image"] == DIGESTS[architecture]


def test_all_templates_of_a_release_have_its_images(tmp_path: Path) -> None:
    command = [sys.executable, "stacks/release.py", DIGESTS["X86_64"], DIGESTS["ARM64"], str(tmp_path)]
    subprocess.run(command, cwd=TEMPLATE.parents[1], check=True)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written.keys() == {path.name for path in TEMPLATE.parent.glob("*.yaml")}
    for text in written.values():
        assert all(digest in text for digest in DIGESTS.values())
        assert "Only in the tree" not in text
    # The Go updater has no stack for many clusters, so every one must name its instances.
    assert "RuleCondition" not in written["fleet.yaml"]


def test_a_release_puts_its_image_in_the_place_of_the_predecessors() -> None:
    stack = Paper().deploy(_release(), UpdaterImage=PREDECESSORS, AnyInstance="DISABLED")
    [container] = properties(stack, "UpdaterTaskDefinition")["ContainerDefinitions"]
    assert container["Image"] == DIGESTS["X86_64"]


def test_over_the_predecessors_stack_a_release_goes_on_as_before() -> None:
    stack = Paper().deploy(_release(), UpdaterImage=PREDECESSORS, AnyInstance="DISABLED")
    assert _sending(stack) == {"SendToInstances"}
    assert _public_ip(stack) == "ENABLED"


def test_over_the_predecessors_stack_what_is_said_counts() -> None:
    said = {"AssignPublicIp": "DISABLED", "AutoScalingGroups": "web", "AnyInstance": "DISABLED"}
    stack = Paper().deploy(_release(), UpdaterImage=PREDECESSORS, **said)
    assert (_sending(stack), _public_ip(stack)) == ({"SendToInstancesOfGroups"}, "DISABLED")


def test_a_new_stack_of_a_release_must_say_which_instances_too() -> None:
    with pytest.raises(AwsError, match="Say which instances"):
        Paper().deploy(_release(), UpdaterImage="", AnyInstance="DISABLED")


def test_a_release_is_as_long_as_a_template_may_be() -> None:
    assert len(_release().encode()) < BODY_MAX_BYTES


@pytest.mark.parametrize("image", ["registry.example/updater:1", "updater@sha256:1", ""])
def test_a_release_takes_no_image_without_a_digest(image: str) -> None:
    with pytest.raises(ValueError, match="digest"):
        released(TEXT, image, DIGESTS["ARM64"])


def test_without_a_word_a_new_stack_has_no_public_address() -> None:
    assert _public_ip(deployed()) == "DISABLED"
    assert _public_ip(deployed(AssignPublicIp="ENABLED")) == "ENABLED"


def test_the_role_trusts_both_schedulers_in_any_time_zone() -> None:
    for parameters in ({}, {"ScheduleTimezone": "Europe/Berlin"}):
        [statement] = properties(deployed(**parameters), "CronRole")["AssumeRolePolicyDocument"]["Statement"]
        assert set(statement["Principal"]["Service"]) == {"events.amazonaws.com", "scheduler.amazonaws.com"}


def test_services_with_an_old_arn_can_be_described_in_this_cluster_only() -> None:
    caller = Caller("somebody", (policy_of(STACK, "TaskRole"),))
    for arn in ("service/web", "service/demo/web"):
        for cluster, decision in (("demo", Decision.ALLOWED), ("other", Decision.NOT_ALLOWED)):
            context = {"ecs:cluster": (f"arn:aws:ecs:us-east-1:123456789012:cluster/{cluster}",)}
            ask = IamRequest("ecs:DescribeServices", f"arn:aws:ecs:us-east-1:123456789012:{arn}", context)
            assert caller.may(ask) is decision


def test_settings_of_ones_own_are_read_where_they_are_and_the_stack_does_not_touch_them() -> None:
    stack = deployed(SettingsParameter="/ops/updater/web")
    assert "UpdaterSettings" not in stack.holdings
    arn = "arn:aws:ssm:us-east-1:123456789012:parameter/ops/updater/web"
    [container] = properties(stack, "UpdaterTaskDefinition")["ContainerDefinitions"]
    assert [each["ValueFrom"] for each in container["Secrets"]] == [arn]
    [read] = [each for each in statements(stack, "ExecutionRole") if each["Sid"] == "ReadSettings"]
    assert read["Resource"] == arn
    assert {output.key: output.value for output in stack.outputs}["SettingsParameter"] == "/ops/updater/web"


def test_the_docs_name_a_parameter_of_ones_own_that_the_stack_does_not_write_itself() -> None:
    page = (TEMPLATE.parents[1] / "docs" / "operate" / "install.md").read_text(encoding="utf-8")
    [written] = re.findall(r"ssm put-parameter --name (\S+)", page)
    assert f"SettingsParameter={written}`" in page
    [cluster] = set(re.findall(r"SettingsParameter=/[^/]+/(\w+)", page))
    installed = properties(deployed(ClusterName=cluster), "InstalledSettings")["Name"]
    assert written != installed


# Source: "IAM and AWS STS quotas": all inline policies of a role together, without white space; CloudWatch's
# PutDashboard takes names of 255 characters.
def test_the_longest_names_stay_within_the_limits_of_aws() -> None:
    longest = {
        "ClusterName": "c" * 255,
        "StateBucketName": "b" * 63,
        "BeforeDrainDocument": "d" * 128,
        "AfterRebootDocument": "d" * 128,
        "StopTasks": "ENABLED",
        "ChangeCalendars": ",".join(f"arn:aws:ssm:us-east-1:123456789012:document/{'c' * 128}" for _ in range(3)),
    }
    stack = deployed(**{**EVERYTHING, **longest})
    for role in ("TaskRole", "ExecutionRole", "CronRole"):
        policies = [each["PolicyDocument"] for each in properties(stack, role)["Policies"]]
        assert sum(len(json.dumps(each, separators=(",", ":"))) for each in policies) <= INLINE_POLICIES_MAX
    assert len(properties(stack, "UpdaterDashboard")["DashboardName"]) <= DASHBOARD_NAME_MAX


# Source: an ARN of a dashboard has no Region (arn:aws:cloudwatch::123456789012:dashboard/NAME).
def test_stacks_with_the_same_name_in_two_regions_have_dashboards_of_their_own() -> None:
    stacks = [deployed(Names("aws", region)) for region in ("us-east-1", "eu-west-1")]
    assert len({properties(stack, "UpdaterDashboard")["DashboardName"] for stack in stacks}) == len(stacks)


@pytest.mark.parametrize(
    ("through", "decision"),
    [
        ("s3.us-east-1.amazonaws.com", Decision.ALLOWED),
        ("s3.eu-west-1.amazonaws.com", Decision.ALLOWED),
        ("s3.cn-north-1.amazonaws.com.cn", Decision.ALLOWED),
        ("ssm.us-east-1.amazonaws.com", Decision.NOT_ALLOWED),
    ],
)
def test_the_state_s_key_is_used_through_s3_in_the_region_of_the_bucket(through: str, decision: Decision) -> None:
    key = EVERYTHING["KmsKeyArn"]
    caller = Caller("somebody", (policy_of(deployed(KmsKeyArn=key, StateBucketName="shared"), "TaskRole"),))
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        assert caller.may(IamRequest(action, key, {"kms:viaservice": (through,)})) is decision


@pytest.mark.parametrize(
    ("secret", "key", "decision"),
    [
        ("chat", "SecretARN", Decision.ALLOWED),
        ("other", "SecretARN", Decision.NOT_ALLOWED),
        ("chat", "PARAMETER_ARN", Decision.ALLOWED),
        ("other", "PARAMETER_ARN", Decision.NOT_ALLOWED),
    ],
)
def test_a_key_decrypts_the_webhook_s_secret_and_no_other(secret: str, key: str, decision: Decision) -> None:
    prefix = "arn:aws:secretsmanager:us-east-1:123456789012:secret:"
    service = "secretsmanager" if key == "SecretARN" else "ssm"
    caller = Caller("somebody", (policy_of(deployed(WebhookSecret=f"{prefix}chat"), "TaskRole"),))
    context = {
        "kms:viaservice": (f"{service}.us-east-1.amazonaws.com",),
        f"kms:encryptioncontext:{key.lower()}": (f"{prefix}{secret}",),
    }
    assert caller.may(IamRequest("kms:Decrypt", "arn:aws:kms:us-east-1:123456789012:key/2", context)) is decision


@pytest.mark.parametrize(
    ("sources", "decision"),
    [
        (("bottlerocket-ecs-updater",), Decision.ALLOWED),
        (("bottlerocket-ecs-updater", "bottlerocket-ecs-updater"), Decision.ALLOWED),
        (("bottlerocket-ecs-updater", "aws.ecs"), Decision.NOT_ALLOWED),
    ],
)
def test_several_events_may_be_put_at_once_if_all_are_the_updaters(
    sources: tuple[str, ...], decision: Decision
) -> None:
    """`events:source` has a value for each entry of PutEvents."""
    caller = Caller("somebody", (policy_of(deployed(EventBus="chat"), "TaskRole"),))
    bus = "arn:aws:events:us-east-1:123456789012:event-bus/chat"
    assert caller.may(IamRequest("events:PutEvents", bus, {"events:source": sources})) is decision


def test_an_image_of_ones_own_is_used() -> None:
    assert _image({"UpdaterImage": "registry.example/updater:1"}) == "registry.example/updater:1"


def test_the_task_knows_its_definition_as_the_predecessors_did() -> None:
    [target] = properties(STACK, "BottlerocketUpdaterSchedule")["Targets"]
    [override] = json.loads(target["Input"])["containerOverrides"]
    assert override["environment"] == [
        {"name": "TASK_DEFINITION_ARN", "value": target["EcsParameters"]["TaskDefinitionArn"]}
    ]


def test_without_a_time_zone_the_rule_starts_the_updater() -> None:
    assert properties(STACK, "BottlerocketUpdaterSchedule")["State"] == "ENABLED"
    assert "ZonedSchedule" not in STACK.holdings


def test_with_a_time_zone_a_schedule_starts_it_in_the_rules_stead() -> None:
    stack = deployed(ScheduleTimezone="Europe/Berlin", ScheduleExpression="cron(0 3 ? * TUE *)")
    assert properties(stack, "BottlerocketUpdaterSchedule")["State"] == "DISABLED"
    schedule = properties(stack, "ZonedSchedule")
    due = read_expression(schedule["ScheduleExpression"], schedule["ScheduleExpressionTimezone"])
    start = datetime(2026, 7, 1, tzinfo=UTC)
    assert due.after(start, start) == datetime(2026, 7, 7, 1, tzinfo=UTC)


def test_a_start_that_fails_is_tried_again_and_then_kept() -> None:
    [target] = properties(STACK, "BottlerocketUpdaterSchedule")["Targets"]
    assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
    assert target["DeadLetterConfig"]["Arn"] == STACK.holdings["FailedStarts"].made.attributes["Arn"]


def test_the_bucket_is_encrypted_private_versioned_and_kept() -> None:
    bucket = properties(STACK, "StateBucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert STACK.holdings["StateBucket"].retained
    assert _encryption({}) == {"SSEAlgorithm": "AES256"}
    assert _encryption({"KmsKeyArn": EVERYTHING["KmsKeyArn"]})["KMSMasterKeyID"] == EVERYTHING["KmsKeyArn"]


def test_the_bucket_refuses_connections_that_are_not_encrypted() -> None:
    [statement] = properties(STACK, "StateBucketPolicy")["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_the_dead_man_alarm_counts_hours_and_rests_with_the_schedule() -> None:
    alarm = properties(deployed(DeadManHours="50", ScheduleState="DISABLED"), "DeadManAlarm")
    assert (alarm["Period"], alarm["EvaluationPeriods"]) == (3600, "50")
    assert alarm["ActionsEnabled"] is False


# Source: "Configuring how CloudWatch alarms treat missing data": with `missing`, an alarm that has no data goes to
# INSUFFICIENT_DATA. A new alarm is in that state already, and actions are taken on a change of state only.
def test_the_dead_man_alarm_is_quiet_until_a_run_has_succeeded_and_then_reports_silence() -> None:
    alarm = properties(STACK, "DeadManAlarm")
    assert alarm["TreatMissingData"] == "missing"
    assert alarm["InsufficientDataActions"] == alarm["AlarmActions"]


def test_no_alarm_looks_back_further_than_cloudwatch_does() -> None:
    longest = BODY.section("Parameters")["DeadManHours"]["MaxValue"]
    assert timedelta(hours=longest) <= timedelta(days=7)


def test_every_alarm_notifies_the_topic() -> None:
    topic = STACK.holdings["Notifications"].made.physical_id
    alarms = [holding.properties for holding in STACK.holdings.values() if holding.kind == "AWS::CloudWatch::Alarm"]
    assert len(alarms) == 7
    assert all(alarm["AlarmActions"] == [topic] and alarm["AlarmDescription"] for alarm in alarms)


def test_every_alarm_and_every_graph_is_of_a_metric_that_the_updater_emits() -> None:
    emitted = {metric.name for metric in METRICS}
    alarms = [holding.properties for holding in STACK.holdings.values() if holding.kind == "AWS::CloudWatch::Alarm"]
    ours = [alarm for alarm in alarms if alarm["Namespace"] == NAMESPACE]
    assert len(ours) == 6
    assert {alarm["MetricName"] for alarm in ours} <= emitted
    assert all(alarm["Dimensions"] == [{"Name": CLUSTER_DIMENSION, "Value": "demo"}] for alarm in ours)
    body = json.loads(properties(STACK, "UpdaterDashboard")["DashboardBody"])
    graphs = [line for widget in body["widgets"] for line in widget["properties"].get("metrics", [])]
    drawn = {line[1] for line in graphs if isinstance(line[0], str)}
    searched = {word for line in graphs if isinstance(line[0], dict) for word in re.findall(r"Instances\w+", str(line))}
    assert drawn | searched <= emitted
    # Facts that are in the log, or that are shown in another form: waiting, short phases, epoch seconds.
    phases = {f"Instances{phase.value.title()}" for phase in Phase} - {"InstancesQuarantined"}
    # On the dashboard and the page of all clusters, and in reports.
    of_many = {"DaysBehind", "InstanceDaysBehind", "TimeToUpdated", "TimeToUpdateInstance"}
    told_otherwise = {"SecondsReady", "SecondsReturning", "LastSuccessTime", "LastProgressTime", *of_many}
    assert emitted - drawn - searched == phases | told_otherwise


# Source: "Dashboard body structure": a widget without x and y is placed beside the previous one, or below it; 24
# columns.
def test_the_widgets_of_the_dashboard_fill_its_rows_without_a_hole() -> None:
    body = json.loads(properties(STACK, "UpdaterDashboard")["DashboardBody"])
    rows: list[list[int]] = [[]]
    for widget in body["widgets"]:
        assert not {"x", "y"} & widget.keys(), "where one says its place, all must"
        rows = rows if sum(rows[-1]) + widget["width"] <= WIDTH_OF_A_DASHBOARD else [*rows, []]
        rows[-1].append(widget["width"])
    assert {sum(row) for row in rows} == {WIDTH_OF_A_DASHBOARD}


def test_a_boundary_is_on_every_role() -> None:
    stack = deployed(PermissionsBoundary=EVERYTHING["PermissionsBoundary"])
    roles = [holding.properties for holding in stack.holdings.values() if holding.kind == "AWS::IAM::Role"]
    assert {role["PermissionsBoundary"] for role in roles} == {EVERYTHING["PermissionsBoundary"]}


@pytest.mark.parametrize("role", ["TaskRole", "ExecutionRole", "CronRole"])
def test_every_statement_has_its_own_name_and_its_reason(role: str) -> None:
    names = [statement["Sid"] for statement in statements(deployed(**EVERYTHING), role)]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.search(rf"#[^\n]*\n\s*- (!If \[\w+, )?{{Sid: {name},", TEXT), name


@pytest.mark.parametrize("role", ["TaskRole", "ExecutionRole", "CronRole"])
def test_no_role_may_do_everything_of_a_service(role: str) -> None:
    actions = {action for statement in statements(STACK, role) for action in several(statement["Action"])}
    assert not [action for action in actions if "*" in action]


def test_on_the_clusters_own_instances_no_public_address_is_requested() -> None:
    stack = deployed(LaunchType="EC2", AssignPublicIp="ENABLED")
    [target] = properties(stack, "BottlerocketUpdaterSchedule")["Targets"]
    assert target["EcsParameters"]["NetworkConfiguration"]["AwsVpcConfiguration"]["AssignPublicIp"] == "DISABLED"
    assert properties(stack, "UpdaterTaskDefinition")["RequiresCompatibilities"] == ["EC2"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ClusterName", "arn:aws:ecs:us-east-1:123456789012:cluster/demo"),
        ("MaxUnavailable", "none"),
        ("ScheduleExpression", "daily"),
        ("DeadManHours", "200"),
        ("KmsKeyArn", "alias/key"),
    ],
)
def test_a_value_that_cannot_work_is_refused_before_anything_is_made(name: str, value: str) -> None:
    with pytest.raises(AwsError, match="Parameter"):
        Paper().deploy(**{name: value})


def _required(template: Template) -> set[str]:
    return {name for name, slot in template.section("Parameters").items() if "Default" not in slot}


def _image(parameters: dict[str, str]) -> str:
    [container] = properties(deployed(**parameters), "UpdaterTaskDefinition")["ContainerDefinitions"]
    return str(container["Image"])


def _sending(stack: Stack) -> set[str]:
    return {each["Sid"] for each in statements(stack, "TaskRole") if each["Sid"].startswith("SendTo")}


def _public_ip(stack: Stack) -> str:
    [target] = properties(stack, "BottlerocketUpdaterSchedule")["Targets"]
    return str(target["EcsParameters"]["NetworkConfiguration"]["AwsVpcConfiguration"]["AssignPublicIp"])


def _release() -> str:
    return released(TEXT, DIGESTS["X86_64"], DIGESTS["ARM64"])


def _encryption(parameters: dict[str, str]) -> dict[str, Any]:
    [rule] = properties(deployed(**parameters), "StateBucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    return dict(rule["ServerSideEncryptionByDefault"])
