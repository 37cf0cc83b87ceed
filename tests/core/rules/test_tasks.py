from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.rules import parse_task_rules

from bottlerocket_ecs_updater.core.decision.affected import hold_for_deployments
from bottlerocket_ecs_updater.core.model.container_instance import Task, TaskStatus
from bottlerocket_ecs_updater.core.model.ids import ServiceArn, TaskArn
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.model.services import Service
from bottlerocket_ecs_updater.core.model.time_text import time_text
from bottlerocket_ecs_updater.core.rules.tasks import (
    HoldInstance,
    StopAfter,
    TaskOnHost,
    TaskRule,
    TaskRules,
    WaitFor,
    drain_deadline,
    longest_wait,
    may_leave,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DRAIN = timedelta(minutes=25)
HOUR = timedelta(hours=1)


def standalone(family: str = "nightly-batch", group: str | None = None, number: int = 0) -> TaskOnHost:
    task = Task(
        TaskArn(f"arn:task/{family}/{number}"),
        TaskStatus.RUNNING,
        "scheduler",
        f"family:{family}" if group is None else group,
    )
    return TaskOnHost(task, family)


def of_service(name: str = "web", *, daemon: bool = False, protected_until: datetime | None = None) -> TaskOnHost:
    task = Task(TaskArn(f"arn:task/{name}"), TaskStatus.RUNNING, "ecs-svc/123", f"service:{name}", daemon)
    return TaskOnHost(task, name, protected_until)


def service(name: str) -> Service:
    return Service(ServiceArn(f"arn:service/{name}"), name, 1, 1, deploying=True)


def rules(text: str = "") -> TaskRules:
    return TaskRules(parse_task_rules(text))


# Text


@pytest.mark.parametrize("text", ["nightly-batch hold", "nightly-* wait 4h", "report stop 30m", "service:ledger hold"])
def test_a_rule_is_written_as_it_is_read(text: str) -> None:
    assert str(TaskRule.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a task rule: ''"),
        ("batch", "not a task rule"),
        ("batch wait", "not a task rule"),
        ("batch ignore 4h", "not a task rule"),
        ("batch wait long", "not a duration: 'long'"),
        ("service:web stop 5m", "the updater never stops them"),
    ],
)
def test_an_invalid_rule_is_refused_with_the_mistake(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        TaskRule.parse(text)


# Before a drain


def test_tasks_of_services_leave() -> None:
    assert may_leave([of_service(), of_service("agent", daemon=True)], rules(), NOW) is None


def test_a_standalone_task_holds_its_instance_by_default() -> None:
    held = may_leave([of_service(), standalone()], rules("other wait 4h"), NOW)
    assert held is not None
    assert held.reason is Reason.STANDALONE_TASK
    assert "family:nightly-batch arn:task/nightly-batch/0" in str(held)


@pytest.mark.parametrize(
    "rule", ["nightly-batch wait 4h", "family:nightly-batch wait 4h", "nightly-* stop 4h", "* wait 1h"]
)
def test_a_rule_about_its_family_lets_a_standalone_task_be_waited_for(rule: str) -> None:
    assert may_leave([standalone()], rules(rule), NOW) is None


def test_a_rule_about_its_group_is_as_good() -> None:
    assert may_leave([standalone(group="nightly")], rules("nightly wait 4h"), NOW) is None


def test_a_family_is_known_by_its_group_if_nothing_else_names_it() -> None:
    unnamed = TaskOnHost(standalone().task)
    assert may_leave([unnamed], rules("nightly-batch wait 4h"), NOW) is None


def test_the_first_rule_that_matches_counts() -> None:
    held = may_leave([standalone()], rules("nightly-batch hold; nightly-* wait 4h"), NOW)
    assert held is not None
    assert held.reason is Reason.TASK_HELD
    assert str(held).endswith(": nightly-batch hold")


def test_a_rule_that_names_a_service_holds_its_instances() -> None:
    held = may_leave([of_service("ledger")], rules("service:ledger hold"), NOW)
    assert held is not None
    assert held.reason is Reason.TASK_HELD


def test_a_rule_that_names_no_service_is_not_about_tasks_of_services() -> None:
    assert may_leave([of_service("web")], rules("web hold; * hold"), NOW) is None


def test_a_daemon_holds_nothing_even_if_a_rule_names_it() -> None:
    assert may_leave([of_service("agent", daemon=True)], rules("service:* hold"), NOW) is None


def test_a_protected_task_holds_its_instance_until_its_protection_ends() -> None:
    protected = of_service(protected_until=NOW + HOUR)
    held = may_leave([protected], rules(), NOW)
    assert str(held) == "its task service:web arn:task/web is protected until 2026-05-01 13:00 UTC"
    assert may_leave([protected], rules(), NOW + HOUR) is None


# During a drain


def test_a_batch_family_that_needs_four_hours_gets_them() -> None:
    four = rules("nightly-batch wait 4h")
    assert longest_wait([standalone(), of_service()], four) == 4 * HOUR
    assert drain_deadline([standalone()], four, NOW, DRAIN, NOW).until == NOW + 4 * HOUR


def test_a_service_task_that_stays_beyond_the_drain_limit_ends_a_drain_that_waits_for_a_batch() -> None:
    four = rules("nightly-batch wait 4h")
    assert drain_deadline([standalone(), of_service()], four, NOW, DRAIN, NOW).until == NOW + DRAIN


def test_a_task_that_may_be_stopped_is_stopped_when_its_time_is_over_and_then_has_time_to_go() -> None:
    half = rules("report stop 30m")
    report = standalone("report")
    before = drain_deadline([report], half, NOW - HOUR / 2 + timedelta(seconds=1), DRAIN, NOW)
    assert before.stop == ()
    assert before.next_stop == NOW + timedelta(seconds=1)
    over = drain_deadline([report], half, NOW - HOUR / 2, DRAIN, NOW)
    assert over.stop == (report.task.arn,)
    assert over.until == NOW + DRAIN


def test_an_empty_instance_waits_for_nothing() -> None:
    assert drain_deadline([], rules(), NOW, DRAIN, NOW).until == NOW + DRAIN
    assert longest_wait([], rules("* wait 4h")) == timedelta()


# Deployments


def test_services_in_the_middle_of_a_deployment_hold_the_next_drain() -> None:
    held = hold_for_deployments([service(name) for name in ("web", "db", "api", "cron")], rules())
    assert str(held) == "a deployment is in progress: api, cron, db and 1 more"


def test_a_deployment_that_holds_is_said_with_the_time_when_it_started() -> None:
    held = hold_for_deployments([replace(service("web"), deploying=True, deployed_at=NOW)], rules())
    assert str(held) == f"a deployment is in progress: web (since {time_text(NOW)})"


def test_a_deployment_that_failed_holds_because_nothing_would_replace_the_tasks() -> None:
    held = hold_for_deployments([service("api"), replace(service("web"), deploying=False, failed=True)], rules())
    assert held is not None
    assert held.reason is Reason.DEPLOYMENT_FAILED
    assert str(held).startswith("the last deployment of web failed")


def test_without_deployments_nothing_is_held_and_the_rule_can_be_turned_off() -> None:
    assert hold_for_deployments((), rules()) is None
    assert hold_for_deployments([service("web")], TaskRules(hold_while_deploying=False)) is None


# Properties

spans = st.integers(1, 600).map(lambda minutes: timedelta(minutes=minutes))
treatments = st.one_of(st.just(HoldInstance()), st.builds(WaitFor, spans), st.builds(StopAfter, spans))
families = st.sampled_from(["batch", "report", "import"])
rule_sets = st.lists(
    st.builds(TaskRule, families | st.just("*"), treatments) | st.just(TaskRule("service:web", HoldInstance())),
    max_size=4,
).map(lambda drawn: TaskRules(tuple(drawn)))
works = st.lists(
    st.builds(lambda family, number: standalone(family, number=number), families, st.integers(0, 9))
    | st.builds(lambda minutes: of_service(protected_until=NOW + timedelta(minutes=minutes)), st.integers(-60, 60))
    | st.builds(lambda name: of_service(name, daemon=True), st.just("agent")),
    max_size=5,
)


@given(rule_sets)
def test_task_rules_read_what_they_write(drawn: TaskRules) -> None:
    assert parse_task_rules("; ".join(map(str, drawn.rules))) == drawn.rules


@given(works, rule_sets, st.integers(0, 1200))
def test_no_task_is_stopped_but_a_standalone_one_whose_rule_says_so_and_whose_time_is_over(
    left: list[TaskOnHost], drawn: TaskRules, minutes: int
) -> None:
    since = NOW - timedelta(minutes=minutes)
    for arn in drain_deadline(left, drawn, since, DRAIN, NOW).stop:
        stopped = next(work for work in left if work.task.arn == arn)
        rule = next(rule for rule in drawn.rules if rule.means(stopped))
        assert not stopped.task.of_service
        assert isinstance(rule.treatment, StopAfter)
        assert NOW - since >= rule.treatment.limit


@given(works, rule_sets)
def test_an_instance_that_may_be_drained_has_only_tasks_that_ecs_moves_or_a_rule_allows_to_stop(
    left: list[TaskOnHost], drawn: TaskRules
) -> None:
    if may_leave(left, drawn, NOW) is None:
        for work in left:
            assert work.protected_until is None or work.protected_until <= NOW
            rule = drawn.about(work)
            assert work.task.of_service or (rule is not None and not isinstance(rule.treatment, HoldInstance))


@given(works, rule_sets, st.integers(0, 1200))
def test_every_drain_has_a_limit_that_its_rules_explain(left: list[TaskOnHost], drawn: TaskRules, minutes: int) -> None:
    since = NOW - timedelta(minutes=minutes)
    until = drain_deadline(left, drawn, since, DRAIN, NOW).until
    # A daemon, which ECS stops last, may be all that is left of a drain that waited for a task with a rule.
    longest = drawn.longest if any(work.task.daemon for work in left) else longest_wait(left, drawn)
    assert until <= since + longest + DRAIN


@given(works, works, rule_sets)
def test_one_more_task_never_makes_an_instance_free_to_leave(
    left: list[TaskOnHost], more: list[TaskOnHost], drawn: TaskRules
) -> None:
    if may_leave(left, drawn, NOW) is not None:
        assert may_leave([*left, *more], drawn, NOW) is not None
