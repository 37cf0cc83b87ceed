"""The operator's rules, all applied together."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import registration
from tests.support.rules import parse_checkpoints, parse_freezes, parse_ranges, parse_task_rules, parse_windows

from bottlerocket_ecs_updater.core.capacity.host_room import Capacity, ServiceRules
from bottlerocket_ecs_updater.core.capacity.will_it_fit import Leaving, NoRoom, PlannedDrain, will_drain
from bottlerocket_ecs_updater.core.decision.unclaimed.rule_answers import (
    Case,
    RuleAnswer,
    before_drain,
    before_staging,
    first_hold,
)
from bottlerocket_ecs_updater.core.model.auto_scaling import InGroup, LifecycleState, NoGroup
from bottlerocket_ecs_updater.core.model.container_instance import Task, TaskStatus
from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn, TaskArn
from bottlerocket_ecs_updater.core.model.reasons import Reason, hold
from bottlerocket_ecs_updater.core.model.resources import TaskRequirements
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoints, RolloutState, allow, allow_today
from bottlerocket_ecs_updater.core.rules.pace import Pace, needed
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.selection import Selection, parse_selector
from bottlerocket_ecs_updater.core.rules.tasks import TaskOnHost, TaskRules, longest_wait
from bottlerocket_ecs_updater.core.rules.versions import VersionRules
from bottlerocket_ecs_updater.core.rules.windows import Schedule

NOW = datetime(2024, 10, 15, 12, tzinfo=UTC)
OLD, BAD, GOOD = (Version.parse(text) for text in ("1.25.0", "1.26.0", "1.26.1"))
HOST = registration("i-0123456789abcdef0", running_tasks=1, attributes={"ring": "prod"})
WEB = ServiceArn("arn:aws:ecs:eu-central-1:111122223333:service/c/web")
BATCH = TaskOnHost(
    Task(TaskArn("arn:task/batch"), TaskStatus.RUNNING, "scheduler", "family:nightly-batch"), "nightly-batch"
)

DEPLOYING = hold(Reason.SERVICE_DEPLOYING, services="web")


def case(target: Version = BAD, **facts: Any) -> Case:
    return Case(HOST, OLD, target, facts.pop("first_seen", {target: NOW}), **facts)


def reason(answers: tuple[RuleAnswer, ...]) -> Reason | None:
    held = first_hold(answers)
    return held.reason if held is not None else None


def test_without_rules_nothing_is_held_back() -> None:
    plain = case(left=(), membership=NoGroup(), capacity_provider="")
    assert reason(before_staging(plain, Rules(), NOW)) is None
    assert reason(before_drain(plain, Rules(), NOW)) is None
    assert Rules().needs_memory == ()


def test_every_rule_that_was_checked_is_shown_in_order_with_its_result() -> None:
    full = case(left=(BATCH,), deployments=DEPLOYING, room=NoRoom("web", "room", "add some"), allowances=(_free(),))
    answers = before_drain(full, Rules(), NOW)
    assert [(answer.rule, answer.hold is None) for answer in answers] == [
        ("selection", True),
        ("auto-scaling", True),
        ("version", True),
        ("window", True),
        ("pace", True),
        ("tasks", False),
        ("deployments", False),
        ("room", False),
    ]
    assert reason(answers) is Reason.STANDALONE_TASK


def test_over_the_holidays_nothing_is_staged_or_drained_in_a_zone_whose_clocks_change() -> None:
    frozen = Rules(schedule=Schedule((), parse_freezes("2024-10-26..2024-10-28 Europe/Berlin")))
    first, last = datetime(2024, 10, 25, 22, tzinfo=UTC), datetime(2024, 10, 28, 23, tzinfo=UTC)
    second = timedelta(seconds=1)
    for now, expected in ((first - second, None), (first, Reason.FROZEN), (last - second, Reason.FROZEN), (last, None)):
        assert reason(before_staging(case(), frozen, now)) is expected
        assert reason(before_drain(case(), frozen, now)) is expected


def test_1_26_0_turns_out_bad_after_two_canaries_and_is_denied_while_its_successor_goes_on() -> None:
    steps = Checkpoints(parse_checkpoints("2, 100%"), wait=timedelta(days=1))
    two_done = RolloutState(BAD, 60, done=(NOW - timedelta(hours=2), NOW - timedelta(hours=1)))
    held = before_drain(case(allowances=(allow(steps, two_done, NOW),)), Rules(checkpoints=steps), NOW)
    assert reason(held) is Reason.CHECKPOINT_WAIT
    denied = Rules(checkpoints=steps, versions=VersionRules(deny=parse_ranges("1.26.0")))
    assert reason(before_staging(case(), denied, NOW + timedelta(days=2))) is Reason.VERSION_DENIED
    fresh = case(GOOD, allowances=(allow(steps, RolloutState(GOOD, 60), NOW),))
    assert reason(before_drain(fresh, denied, NOW)) is None


def test_1_26_0_fails_on_both_canaries_and_no_third_instance_takes_it() -> None:
    steps = Checkpoints(parse_checkpoints("2, 100%"))
    failed = allow(steps, RolloutState(BAD, 60, failed=2), NOW)
    assert reason(before_drain(case(allowances=(failed,)), Rules(checkpoints=steps), NOW)) is Reason.CHECKPOINT_FAILED


@pytest.mark.parametrize(("window", "expected"), [("Sat 02:00 4h UTC", Reason.CUTOFF), ("Sat 02:00 6h UTC", None)])
def test_a_batch_family_that_needs_four_hours_starts_only_in_a_window_that_is_long_enough(
    window: str, expected: Reason | None
) -> None:
    rules = Rules(schedule=Schedule(parse_windows(window)), tasks=TaskRules(parse_task_rules("nightly-batch wait 4h")))
    takes = needed(Pace(), longest_wait([BATCH], rules.tasks))
    saturday = datetime(2024, 10, 19, 2, tzinfo=UTC)
    assert reason(before_drain(case(left=(BATCH,), needed=takes), rules, saturday)) is expected


def test_a_service_with_maximum_100_and_minimum_healthy_100_holds_its_instances_and_says_what_to_change() -> None:
    rigid = ServiceRules(WEB, "web", 2, 2, 100, 100, demand=TaskRequirements(256, 512))
    answer = will_drain(
        PlannedDrain(HOST.id, {InstanceId("i-b"): Capacity(4096, 8192)}, {WEB: rigid}, [Leaving(HOST.id, WEB)])
    )
    held = first_hold(before_drain(case(room=answer), Rules(), NOW))
    assert held is not None
    assert held.reason is Reason.NO_ROOM
    assert held.remedy == "set maximumPercent of web to 150 or more, or minimumHealthyPercent to 50 or less"
    assert reason(before_drain(case(room=answer), Rules(check_room=False), NOW)) is None


def test_production_takes_a_release_only_after_a_week_and_does_not_even_stage_it_before() -> None:
    production = Rules(versions=VersionRules(minimum_age=timedelta(days=7)))
    for days, expected in ((6, Reason.VERSION_TOO_YOUNG), (7, None)):
        seen = case(first_seen={BAD: NOW - timedelta(days=days)})
        assert reason(before_staging(seen, production, NOW)) is expected
        assert reason(before_drain(seen, production, NOW)) is expected


def test_rules_that_need_facts_of_earlier_runs_name_themselves() -> None:
    remembering = Rules(
        versions=VersionRules(minimum_age=timedelta(days=7)), checkpoints=Checkpoints(parse_checkpoints("1"), per_day=5)
    )
    assert remembering.needs_memory == ("minimum-age", "checkpoints", "max-per-day")


def test_an_excluded_host_is_held_for_that_even_if_its_group_takes_it_away() -> None:
    rules = Rules(selection=Selection(exclude=(parse_selector("attribute:ring == prod"),)))
    leaving = case(membership=InGroup("web", LifecycleState.TERMINATING))
    assert reason(before_staging(leaving, rules, NOW)) is Reason.EXCLUDED
    assert reason(before_staging(leaving, Rules(), NOW)) is Reason.LEAVING_GROUP


def _free() -> Any:
    return allow_today(Checkpoints(), (), NOW)


rule_sets = st.builds(
    Rules,
    selection=st.sampled_from([Selection(), Selection(exclude=(parse_selector("attribute:ring == prod"),))]),
    versions=st.sampled_from([VersionRules(), VersionRules(deny=parse_ranges("1.26.0"))]),
    schedule=st.sampled_from([Schedule(), Schedule(parse_windows("Tue 11:00 90m UTC"))]),
    tasks=st.sampled_from([TaskRules(), TaskRules(parse_task_rules("* wait 1h"), hold_while_deploying=False)]),
    check_room=st.booleans(),
)
cases = st.builds(
    case,
    st.sampled_from([BAD, GOOD]),
    needed=st.sampled_from([timedelta(), timedelta(minutes=20), timedelta(minutes=40)]),
    left=st.sampled_from([None, (), (BATCH,)]),
    deployments=st.sampled_from([None, DEPLOYING]),
    room=st.none() | st.just(NoRoom("web", "room", "add some")),
    membership=st.sampled_from([None, NoGroup(), InGroup("web", LifecycleState.STANDBY)]),
)


@given(cases, rule_sets, st.integers(-60, 60))
def test_an_instance_that_may_be_drained_may_also_be_staged(drawn: Case, rules: Rules, minutes: int) -> None:
    now = NOW + timedelta(minutes=minutes)
    if first_hold(before_drain(drawn, rules, now)) is None:
        assert first_hold(before_staging(drawn, rules, now)) is None


@given(cases, rule_sets, st.integers(-60, 60))
def test_every_hold_has_a_readable_reason_and_remedy(drawn: Case, rules: Rules, minutes: int) -> None:
    for answer in before_drain(drawn, rules, NOW + timedelta(minutes=minutes)):
        if answer.hold is not None:
            assert str(answer.hold)
            assert answer.hold.remedy


@given(cases, rule_sets)
def test_the_same_case_gets_the_same_answers(drawn: Case, rules: Rules) -> None:
    assert before_drain(drawn, rules, NOW) == before_drain(drawn, rules, NOW)
