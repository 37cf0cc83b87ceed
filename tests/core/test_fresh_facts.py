"""A drain is based on current facts only: an old survey, or one without an answer, never starts a drain."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.core.builders import NOW, OLD, POLICY, POLL, SECOND, fleet, idle, instance, is_soon, ready, service, task

from bottlerocket_ecs_updater.core.decision.decide import Decision, decide
from bottlerocket_ecs_updater.core.model.command import CallSuccessor, Drain
from bottlerocket_ecs_updater.core.model.container_instance import Tasks
from bottlerocket_ecs_updater.core.model.ids import InstanceId, OwnTask, TaskArn
from bottlerocket_ecs_updater.core.model.instance import Instance, SurveyedFacts
from bottlerocket_ecs_updater.core.model.outcome import UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.model.resources import DeploymentLimits
from bottlerocket_ecs_updater.core.model.run_progress import RunProgress
from bottlerocket_ecs_updater.core.model.services import Services
from bottlerocket_ecs_updater.core.rules.policy import Limit, OwnHost

ONE, TWO = InstanceId("i-a"), InstanceId("i-b")
MISSED = SurveyedFacts(NOW, asked_at=NOW, unanswered="the protection of its tasks: slow down", unanswered_since=NOW)


def one(around: SurveyedFacts | None, name: str = "i-a") -> Instance:
    return instance(name, ready(), tasks=(task(),), around=around)


def decided(*instances: Instance, **changes: object) -> Decision:
    return decide(fleet(*instances, surveyed=True, **changes), POLICY)


def drained(decision: Decision) -> list[InstanceId]:
    return [command.instance for command in decision.commands if isinstance(command, Drain)]


def test_a_recent_read_is_enough() -> None:
    assert drained(decided(one(SurveyedFacts(NOW, asked_at=NOW)))) == [ONE]


@pytest.mark.parametrize(
    "around",
    [None, SurveyedFacts(NOW), SurveyedFacts(NOW, asked_at=NOW - POLL - SECOND)],
    ids=["never asked", "only listed", "asked before"],
)
def test_facts_that_were_not_just_read_are_read_first(around: SurveyedFacts | None) -> None:
    decision = decided(one(around))
    assert drained(decision) == []
    assert decision.steps[ONE].wants_tasks
    assert decision.look_at == NOW


def many(count: int, unread: int) -> list[Instance]:
    """Ready instances, the first few of which were not surveyed lately."""
    ages = [NOW - POLL - SECOND] * unread + [NOW] * (count - unread)
    return [one(SurveyedFacts(NOW, asked_at=at), f"i-{number:03}") for number, at in enumerate(ages)]


@pytest.mark.parametrize(("slots", "starts"), [(3, 0), (19, 0), (20, 18), (30, 28)])
def test_only_in_a_crowd_do_instances_start_without_those_whose_facts_are_missing(slots: int, starts: int) -> None:
    policy = replace(POLICY, max_unavailable=Limit(number=slots))
    decision = decide(fleet(*many(slots, 2), surveyed=True), policy)
    assert len(drained(decision)) == starts
    assert {id_ for id_, step in decision.steps.items() if step.wants_tasks} == {"i-000", "i-001"}


@pytest.mark.parametrize(("slots", "reads"), [(3, False), (20, True)])
def test_in_a_crowd_services_are_read_with_the_instances_however_new_they_are(slots: int, reads: bool) -> None:
    policy = replace(POLICY, max_unavailable=Limit(number=slots))
    old = fleet(*many(slots, 0), surveyed=True, full_at=NOW - POLL - SECOND)
    decision = decide(old, policy)
    assert decision.wants_full_look
    assert (decision.services_at == NOW) is reads


def test_a_missing_fact_holds_the_instance_and_is_read_again_at_the_next_poll() -> None:
    decision = decided(one(MISSED))
    assert drained(decision) == []
    assert decision.holds[ONE].reason is Reason.SURVEY_FAILED
    assert "slow down" in str(decision.holds[ONE])
    assert is_soon(decision.look_at)
    later = replace(MISSED, asked_at=NOW - POLL)
    assert decided(one(later)).steps[ONE].wants_tasks


def test_an_instance_that_is_held_for_it_takes_no_slot_from_others() -> None:
    assert drained(decided(one(MISSED), one(SurveyedFacts(NOW, asked_at=NOW), "i-b"))) == [TWO]


def test_the_run_does_not_wait_forever_for_facts_that_aws_does_not_give() -> None:
    since = NOW - POLICY.answer_timeout
    still = decided(one(replace(MISSED, unanswered_since=since + SECOND)))
    assert is_soon(still.look_at)
    decision = decided(one(replace(MISSED, unanswered_since=since)))
    assert decision.holds[ONE].reason is Reason.SURVEY_FAILED
    assert decision.look_at is None


@pytest.mark.parametrize(("ago", "asks"), [(POLL, False), (POLICY.full_look_spacing, True)])
def test_a_run_that_continues_reads_missed_facts_again_from_time_to_time(ago: timedelta, *, asks: bool) -> None:
    long_since: datetime = NOW - 3 * POLICY.full_look_spacing
    around = replace(MISSED, asked_at=NOW - ago, unanswered_since=long_since)
    assert decided(one(around)).steps[ONE].wants_tasks is asks


def test_an_unreadable_definition_holds_and_is_not_requested_again_immediately() -> None:
    limits = DeploymentLimits(100, 200, "arn:definition", distinct=False)
    services = Services((service(deployment=limits),), NOW)
    unread = decided(one(SurveyedFacts(NOW, asked_at=NOW)), services=services, definitions={})
    assert unread.steps[ONE].wants_tasks
    missed = replace(MISSED, unanswered="the task definition arn:definition: no")
    decision = decided(one(missed), services=services, definitions={})
    assert decision.holds[ONE].reason is Reason.SURVEY_FAILED
    assert is_soon(decision.look_at)


def test_no_run_is_called_for_our_own_host_while_facts_are_missing() -> None:
    mine = task("updater", group="family:updater", arn=TaskArn("arn:task/own"), family="updater")
    own = OwnTask(TaskArn("arn:task/own"), "updater")
    policy = replace(POLICY, own_host=OwnHost.HAND_OVER)
    host = replace(one(MISSED), tasks=Tasks((mine,), NOW))
    other = instance("i-b", idle(), progress=RunProgress(outcome=UpToDate(OLD)))
    said = decide(fleet(host, other, surveyed=True, own=own), policy)
    assert said.holds[ONE].reason is Reason.SURVEY_FAILED
    well = replace(host, around=SurveyedFacts(NOW, asked_at=NOW))
    calls = decide(fleet(well, other, surveyed=True, own=own), policy)
    assert [type(command) for command in calls.commands if command.instance == ONE] == [CallSuccessor]
