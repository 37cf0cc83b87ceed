"""Stacks: created, changed, replaced, deleted, and rolled back if something fails."""

from __future__ import annotations

import pytest
from tests.account.cloudformation import Template
from tests.stack.stage import TEMPLATE, Paper

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

TEXT = TEMPLATE.read_text()


def test_a_changed_parameter_changes_only_the_resources_that_use_it() -> None:
    paper = Paper()
    before = dict(paper.deploy().holdings)
    after = paper.deploy(MaxUnavailable="3").holdings
    touched = {name for name in after if after[name].properties != before[name].properties}
    assert touched == {
        "UpdaterTaskDefinition",
        "CronRole",
        "BottlerocketUpdaterSchedule",
        "NeverRanRule",
        "InstalledSettings",
    }


def test_a_task_definition_is_replaced_within_its_family_and_the_old_one_removed() -> None:
    paper = Paper()
    before = paper.deploy().holdings["UpdaterTaskDefinition"].made.physical_id
    after = paper.deploy(MaxUnavailable="3").holdings["UpdaterTaskDefinition"].made.physical_id
    assert (before.rsplit(":", 1)[0], after[-2:]) == (after.rsplit(":", 1)[0], ":2")
    assert paper.cloud.of("DeregisterTaskDefinition") == [{"taskDefinition": before}]


def test_a_resource_whose_condition_becomes_false_is_removed() -> None:
    paper = Paper()
    assert "ZonedSchedule" in paper.deploy(ScheduleTimezone="Europe/Berlin").holdings
    assert "ZonedSchedule" not in paper.deploy().holdings
    assert len(paper.cloud.of("DeleteSchedule")) == 1


def test_a_retained_resource_leaves_the_stack_and_stays() -> None:
    paper = Paper()
    paper.deploy()
    stack = paper.deploy(StateBucketName="shared")
    assert "StateBucket" not in stack.holdings
    assert paper.cloud.of("DeleteBucket") == []


def test_a_creation_that_fails_removes_what_it_had_made() -> None:
    paper = Paper()
    paper.cloud.refuse = "PutRule"
    stack = paper.deploy()
    assert (stack.status, stack.holdings) == ("ROLLBACK_COMPLETE", {})
    assert len(paper.cloud.of("DeleteRole")) == 3
    assert any("not today" in event.reason for event in stack.events)


@pytest.mark.parametrize(("policy", "deleted"), [("Retain", 0), ("RetainExceptOnCreate", 1)])
def test_a_failed_creation_keeps_only_resources_with_retain(policy: str, deleted: int) -> None:
    paper = Paper()
    paper.cloud.refuse = "PutRule"
    paper.deploy(TEXT.replace("DeletionPolicy: RetainExceptOnCreate", f"DeletionPolicy: {policy}"))
    assert len(paper.cloud.of("DeleteBucket")) == deleted


def test_a_log_group_of_a_failed_creation_does_not_block_the_next_one() -> None:
    paper = Paper()
    paper.cloud.refuse = "PutRule"
    paper.deploy(LogRetentionInDays="30")
    assert len(paper.cloud.of("DeleteLogGroup")) == 1


def test_an_update_that_fails_brings_everything_back() -> None:
    paper = Paper()
    before = dict(paper.deploy().holdings)
    paper.cloud.refuse = "PutRule"
    stack = paper.deploy(MaxUnavailable="3")
    assert (stack.status, stack.holdings) == ("UPDATE_ROLLBACK_COMPLETE", before)


def test_the_same_again_is_no_update() -> None:
    paper = Paper()
    paper.deploy()
    with pytest.raises(AwsError, match="No updates are to be performed"):
        paper.deploy()


def test_the_type_of_a_resource_cannot_change() -> None:
    paper = Paper()
    before = dict(paper.deploy().holdings)
    stack = paper.deploy(TEXT.replace("Type: AWS::SNS::Topic", "Type: AWS::SQS::Queue"))
    assert (stack.status, stack.holdings) == ("UPDATE_ROLLBACK_COMPLETE", before)


def test_roles_ask_for_a_capability() -> None:
    request = {"StackName": "x", "TemplateBody": TEXT, "Parameters": []}
    with pytest.raises(AwsError, match="CAPABILITY_IAM"):
        Paper().service.create_stack(request)


@pytest.mark.parametrize("text", ["", "Resources: {}", "[", "- a"])
def test_an_invalid_template_is_rejected(text: str) -> None:
    with pytest.raises(AwsError, match="Template"):
        Template.read(text)


def test_a_circle_of_needs_is_refused() -> None:
    text = """
    Resources:
      A: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Ref B}}
      B: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Ref A}}
    """
    stack = Paper().deploy_only(text)
    assert "Circular dependency" in stack.reason
