"""The findings that `doctor` makes of facts: each has a grade, and a remedy unless it is OK."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.core.builders import NEW, NOW, fleet, idle, instance, problem, registration

from bottlerocket_ecs_updater.core.model.auto_scaling import InGroup, LifecycleState
from bottlerocket_ecs_updater.core.model.container_instance import PingStatus, Status
from bottlerocket_ecs_updater.core.model.document_steps import PLAIN_REBOOT, STEPS
from bottlerocket_ecs_updater.core.model.finding import Grade
from bottlerocket_ecs_updater.core.model.host_report import Problem
from bottlerocket_ecs_updater.core.model.instance import SurveyedFacts
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.planning import checkup
from bottlerocket_ecs_updater.simulator.services.documents import shell_document


@pytest.mark.parametrize("kind", [DocumentKind.CHECK, DocumentKind.APPLY, DocumentKind.REBOOT])
def test_a_document_is_ok_if_it_runs_what_this_version_expects(kind: DocumentKind) -> None:
    content = shell_document("Of ours", STEPS[kind], 60)
    assert checkup.judge_document(kind, "ours", content).grade is Grade.OK


@pytest.mark.parametrize(
    "content",
    [
        shell_document("Another order", tuple(reversed(STEPS[DocumentKind.CHECK])), 60),
        shell_document("One step too few", STEPS[DocumentKind.CHECK][1:], 60),
        shell_document("Nothing", (), 60),
        "no JSON",
        "{}",
        "[]",
    ],
)
def test_any_other_document_is_a_failure(content: str) -> None:
    found = checkup.judge_document(DocumentKind.CHECK, "theirs", content)
    assert (found.grade, bool(found.remedy)) == (Grade.FAIL, True)


def test_an_earlier_reboot_document_is_a_warning() -> None:
    content = shell_document("Of an earlier version", PLAIN_REBOOT, 60)
    found = checkup.judge_document(DocumentKind.REBOOT, "reboot", content)
    assert (found.grade, "neither the boot nor the version" in found.said) == (Grade.WARN, True)


def test_the_operators_own_document_only_has_to_exist() -> None:
    assert checkup.judge_document(DocumentKind.BEFORE_DRAIN, "theirs", "{}").grade is Grade.OK


@pytest.mark.parametrize(
    ("seconds", "grade"), [(0, Grade.OK), (29, Grade.OK), (-31, Grade.WARN), (31, Grade.WARN), (-300, Grade.FAIL)]
)
def test_a_clock_is_judged_by_how_far_it_is_off(seconds: int, grade: Grade) -> None:
    assert checkup.judge_clock(timedelta(seconds=seconds)).grade is grade


@pytest.mark.parametrize(
    ("changes", "grade", "word"),
    [
        ({}, Grade.OK, "agent is connected"),
        ({"reach": PingStatus.CONNECTION_LOST}, Grade.FAIL, "lost the connection"),
        ({"reach": PingStatus.UNKNOWN}, Grade.FAIL, "not registered in"),
        ({"reach": PingStatus.UNKNOWN, "ping": "Draining"}, Grade.FAIL, "ping status as Draining"),
        ({"send_denied": "not allowed: ssm:SendCommand"}, Grade.FAIL, "ssm:SendCommand"),
    ],
)
def test_an_instance_is_judged_by_the_first_thing_that_is_wrong(
    changes: dict[str, Any], grade: Grade, word: str
) -> None:
    [found] = checkup.judge_instance(instance("i-a", idle(NEW), **changes))
    assert (found.grade, word in found.said) == (grade, True), found


@pytest.mark.parametrize(
    ("variant", "grade"), [("aws-ecs-2", Grade.OK), ("aws-ecs-1", Grade.WARN), ("aws-ecs-1-nvidia", Grade.WARN)]
)
def test_a_variant_that_gets_no_more_versions_is_reported(variant: str, grade: Grade) -> None:
    [found] = checkup.judge_instance(instance("i-a", idle(NEW), registered=registration("i-a", variant=variant)))
    assert found.grade is grade


def test_an_agent_that_is_gone_is_a_failure() -> None:
    [found] = checkup.judge_instance(instance("i-a", idle(NEW), registered=registration("i-a", connected=False)))
    assert found.grade is Grade.FAIL


def test_a_warning_hides_no_reason_that_keeps_an_instance_from_its_update() -> None:
    gone = registration("i-a", variant="aws-ecs-1", connected=False)
    found = checkup.judge_instance(instance("i-a", idle(NEW), registered=gone))
    assert [one.grade for one in found] == [Grade.WARN, Grade.FAIL]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"registered": registration("i-a", status=Status.DRAINING)}, "somebody else set it to DRAINING"),
        ({"around": SurveyedFacts(NOW, InGroup("web", LifecycleState.TERMINATING))}, "group web is Terminating"),
        ({"around": SurveyedFacts(NOW, InGroup("web", LifecycleState.WARMED))}, "keeps it in its warm pool"),
    ],
)
def test_an_instance_that_a_plan_leaves_alone_has_the_reason_of_the_plan(changes: dict[str, Any], reason: str) -> None:
    [found] = checkup.judge_instance(instance("i-a", **changes))
    assert (found.grade, reason in found.said, "document" in found.remedy) == (Grade.WARN, True, False)


def test_a_node_of_a_hybrid_activation_is_named() -> None:
    [found] = checkup.judge_instance(instance("i-a", reach=PingStatus.UNKNOWN, node="mi-1"))
    assert (found.grade, "mi-1" in found.said) == (Grade.FAIL, True)


def test_an_instance_that_was_not_checked_is_not_reported_as_healthy() -> None:
    [found] = checkup.judge_instance(instance("i-a"))
    assert (found.grade, "was not asked" in found.said) == (Grade.WARN, True)


@pytest.mark.parametrize(
    ("denied", "expected"),
    [
        ("ssm:SendCommand on arn:aws:ec2:eu-west-1:1:instance/i-a", "AutoScalingGroups"),
        ("ssm:SendCommand on document check", "on the check document"),
    ],
)
def test_the_remedy_for_a_denied_command_names_what_was_denied(denied: str, expected: str) -> None:
    [found] = checkup.judge_instance(instance("i-a", send_denied=denied))
    assert expected in found.remedy


@pytest.mark.parametrize("which", list(Problem))
def test_every_problem_of_a_check_has_its_remedy(which: Problem) -> None:
    [found] = checkup.judge_instance(instance("i-a", problem(which)))
    assert (found.grade, bool(found.remedy)) == (Grade.FAIL, True)


def test_a_host_of_another_system_is_left_alone() -> None:
    [found] = checkup.judge_instance(instance("i-a", registered=registration("i-a", variant=None)))
    assert (found.grade, "left alone" in found.said) == (Grade.OK, True)


def test_a_cluster_without_instances_is_reported() -> None:
    [found] = checkup.judge_fleet(fleet())
    assert found.grade is Grade.WARN


def test_managed_termination_protection_is_reported_for_the_providers_that_have_it() -> None:
    hosts = [registration(f"i-{name}", capacity_provider=name) for name in ("spot", "web")]
    providers = checkup.providers_of(fleet(*(instance(one.id, registered=one) for one in hosts)))
    assert providers == ("spot", "web")
    grades = [found.grade for found in checkup.judge_protection({"web": "hosts"}, providers)]
    assert grades == [Grade.OK, Grade.WARN]


def test_an_image_that_is_named_by_a_tag_is_reported() -> None:
    [by_tag] = checkup.judge_image("registry/updater:1", "X86_64")
    [by_digest] = checkup.judge_image("registry/updater@sha256:1", "X86_64")
    assert (by_tag.grade, by_digest.grade) == (Grade.WARN, Grade.OK)


def test_an_image_for_another_architecture_is_a_failure() -> None:
    assert checkup.judge_platforms("image", "ARM64", {"X86_64"}).grade is Grade.FAIL
    assert checkup.judge_platforms("image", "ARM64", {"X86_64", "ARM64"}).grade is Grade.OK


@pytest.mark.parametrize(
    ("groups", "grade"),
    [
        ([], Grade.WARN),
        ([{"logGroupName": "/updater/other", "retentionInDays": 3}], Grade.WARN),
        ([{"logGroupName": "/updater"}], Grade.WARN),
        ([{"logGroupName": "/updater", "retentionInDays": 90}], Grade.OK),
    ],
)
def test_a_log_group_should_be_there_and_let_entries_expire(groups: list[dict[str, Any]], grade: Grade) -> None:
    assert checkup.judge_log_group("/updater", groups).grade is grade
