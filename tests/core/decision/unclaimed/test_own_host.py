"""The host that the run itself is on: updated last, never drained by that run, and handed over if so configured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from tests.core.builders import (
    DEAD_RUN,
    HOUR,
    MINUTE,
    NEW,
    NOW,
    POLICY,
    STANDALONE,
    a_claim,
    available,
    claimed,
    fleet,
    idle,
    instance,
    is_soon,
    ready,
    registration,
    task,
)
from tests.core.strategies import ABLE, MARKED, PROVEN, PURE, fleets, placed, policies
from tests.support.rules import parse_task_rules

from bottlerocket_ecs_updater.core.decision.decide import Decision, decide
from bottlerocket_ecs_updater.core.decision.tasks_on_host import is_own_host
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.command import (
    Apply,
    CallSuccessor,
    Command,
    Conclude,
    Drain,
    Mark,
    Reboot,
    Return,
    StopTasks,
    Unmark,
)
from bottlerocket_ecs_updater.core.model.container_instance import Status, Task, Tasks, TaskStatus
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId, OwnTask, TaskArn, Zone
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.run_progress import HandOver, RunProgress
from bottlerocket_ecs_updater.core.model.services import Slot
from bottlerocket_ecs_updater.core.model.shared import Shared
from bottlerocket_ecs_updater.core.planning.plan import make_plan
from bottlerocket_ecs_updater.core.rules.policy import STAGE_AHEAD_MIN, OwnHost, Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.tasks import TaskRules

OWN = OwnTask(TaskArn("arn:task/this-run"), "updater")
OURS = Task(OWN.task, TaskStatus.RUNNING, "events-rule/start", "family:updater", family="updater")
OTHER_RUN = replace(OURS, arn=TaskArn("arn:task/another-run"))
HAND_OVER = replace(POLICY, own_host=OwnHost.HAND_OVER)
STOPS_EVERYTHING = Rules(tasks=TaskRules(parse_task_rules("* stop 1s")))


def own_host(says: Any = None, *others: Task, **changes: Any) -> Instance:
    """The instance that the run is on, staged by default."""
    return instance("i-own", says or ready(), tasks=(OURS, *others), **changes)


def around(*instances: Instance, **changes: Any) -> Fleet:
    """A cluster in which this run is on one of the instances."""
    return fleet(*instances, own=OWN, **changes)


def current(name: str = "i-b") -> Instance:
    """An instance that has an outcome in this run."""
    return instance(name, idle(NEW), progress=RunProgress(outcome=UpToDate(NEW)))


def commands(decision: Decision, name: str = "i-own") -> list[type[Command]]:
    return [type(command) for command in decision.steps[InstanceId(name)].commands]


def held(decision: Decision, name: str = "i-own") -> Hold:
    found = decision.holds[InstanceId(name)]
    assert "{" not in str(found) + found.remedy
    return found


def concluded(decision: Decision, name: str = "i-own") -> object:
    [command] = decision.steps[InstanceId(name)].commands
    assert isinstance(command, Conclude)
    return command.outcome


# Which tasks hold an instance


def test_by_default_a_run_leaves_its_own_host_to_another_run_and_does_not_stage_it() -> None:
    for says in (available(), ready()):
        decision = decide(around(own_host(says), current()), POLICY)
        assert held(decision).reason is Reason.OWN_HOST
        assert commands(decision) == []


def test_a_standalone_task_of_others_holds_our_own_host_as_any() -> None:
    decision = decide(around(own_host(ready(), STANDALONE), current()), HAND_OVER)
    assert held(decision).reason is Reason.STANDALONE_TASK


def test_a_run_that_waits_or_leaves_holds_no_instance() -> None:
    one = instance("i-a", ready(), tasks=(OTHER_RUN,))
    assert commands(decide(around(one), POLICY), "i-a") == [Mark, Drain]
    assert held(decide(fleet(one), POLICY), "i-a").reason is Reason.STANDALONE_TASK


def test_a_rule_for_all_tasks_never_stops_a_run_of_the_updater() -> None:
    one = claimed("i-a", tasks=(OTHER_RUN, STANDALONE))
    [stop] = decide(around(one), replace(POLICY, rules=STOPS_EVERYTHING)).steps[one.id].commands
    assert isinstance(stop, StopTasks)
    assert stop.tasks == (STANDALONE.arn,)


# Updated last


def test_it_is_staged_as_any_other_and_behind_them() -> None:
    assert commands(decide(around(own_host(available()), current()), HAND_OVER)) == [Apply]
    others = [instance(f"i-z{number}", available()) for number in range(STAGE_AHEAD_MIN)]
    assert held(decide(around(own_host(available()), *others), HAND_OVER)).reason is Reason.STAGING_AHEAD


@pytest.mark.parametrize(
    "other",
    [
        instance("i-a", ready()),
        instance("i-a", available()),
        instance("i-a"),
        claimed("i-a"),
        claimed("i-a", a_claim(ClaimPhase.REBOOTING)),
    ],
)
def test_it_waits_while_another_update_is_in_progress(other: Instance) -> None:
    decision = decide(around(own_host(), other, current()), replace(HAND_OVER, max_unavailable=POLICY.max_unavailable))
    assert CallSuccessor not in commands(decision)
    assert held(decision).reason in (Reason.OWN_HOST_LAST, Reason.BUDGET)


def test_while_the_services_settle_it_waits() -> None:
    slot = Slot(InstanceId("i-b"), Zone("eu-west-1a"), NOW, {})
    roomy = replace(HAND_OVER, max_unavailable=replace(POLICY.max_unavailable, number=3))
    assert held(decide(around(own_host(), current(), slots=(slot,)), roomy)).reason is Reason.OWN_HOST_LAST


def test_any_hold_of_a_drain_also_stops_a_hand_over() -> None:
    paused = decide(around(own_host(), current(), shared=Shared(paused="by somebody")), HAND_OVER)
    stopping = decide(around(own_host(), current(), stopping="SIGTERM"), HAND_OVER)
    full = decide(around(own_host(), current(), instance("i-d", registered=_drained())), HAND_OVER)
    assert (held(paused).reason, held(stopping).reason) == (Reason.PAUSED, Reason.STOPPING)
    assert held(full).reason is Reason.BUDGET


def _drained() -> Any:
    return registration("i-d", status=Status.DRAINING)


def test_others_that_are_held_permanently_do_not_keep_it_waiting() -> None:
    stuck = instance("i-a", ready(), tasks=(STANDALONE,))
    assert commands(decide(around(own_host(), stuck), HAND_OVER)) == [CallSuccessor]


# Handed over


def test_when_all_others_are_done_another_run_is_called_and_nothing_is_drained() -> None:
    decision = decide(around(own_host(), current()), HAND_OVER)
    assert commands(decision) == [CallSuccessor]
    assert is_soon(decision.look_at)


def test_no_run_is_called_if_no_other_instance_is_in_service() -> None:
    away = instance(
        "i-b", idle(), registered=registration("i-b", connected=False), progress=RunProgress(connected_looks=0)
    )
    roomy = replace(HAND_OVER, max_unavailable=replace(POLICY.max_unavailable, number=3))
    for alone in (around(own_host()), around(own_host(), away)):
        decision = decide(alone, roomy)
        assert "no other instance is in service" in str(held(decision))
        assert decision.look_at is None


def test_until_the_other_run_has_its_place_this_one_stays() -> None:
    waiting = own_host(progress=RunProgress(hand_over=HandOver(NOW - MINUTE)))
    decision = decide(around(waiting, current()), HAND_OVER)
    assert (commands(decision), is_soon(decision.look_at)) == ([], True)


def test_when_the_other_run_has_its_place_it_is_named_and_this_one_is_over() -> None:
    placed = own_host(progress=RunProgress(hand_over=HandOver(NOW - MINUTE, OTHER_RUN.arn)))
    outcome = concluded(decide(around(placed, current()), HAND_OVER))
    assert isinstance(outcome, Hold)
    assert (outcome.reason, OTHER_RUN.arn in str(outcome)) == (Reason.HANDED_OVER, True)
    over = replace(placed, progress=replace(placed.progress, outcome=outcome))
    assert decide(around(over, current()), HAND_OVER).look_at is None


def test_when_no_other_run_comes_it_is_left_as_it_is() -> None:
    waiting = own_host(progress=RunProgress(hand_over=HandOver(NOW - HAND_OVER.successor_timeout)))
    outcome = concluded(decide(around(waiting, current()), HAND_OVER))
    assert isinstance(outcome, Hold)
    assert (outcome.reason, "within 5m" in str(outcome)) == (Reason.OWN_HOST, True)


def test_to_the_other_run_it_is_a_host_like_any() -> None:
    host, successor = own_host(), OwnTask(OTHER_RUN.arn, "updater")
    there = replace(current(), tasks=Tasks((OTHER_RUN,), NOW))
    assert commands(decide(fleet(host, there, own=successor), HAND_OVER)) == [Mark, Drain]


def test_this_runs_own_host_that_an_earlier_run_drained_is_returned_at_once() -> None:
    drained = claimed("i-own", a_claim(run=DEAD_RUN), tasks=(OURS, task()))
    [back, dropped] = decide(around(drained, current()), HAND_OVER).steps[drained.id].commands
    assert isinstance(back, Return)
    assert isinstance(back.outcome, Hold)
    assert back.outcome.reason is Reason.OWN_HOST
    assert isinstance(dropped, Unmark)


def test_in_a_plan_it_comes_last() -> None:
    planned = make_plan(around(own_host(), instance("i-z", ready()), instance("i-x", ready())), HAND_OVER)
    assert [update.instance for update in planned.updates] == ["i-x", "i-z", "i-own"]


# Properties


@PURE
@given(fleets(), policies)
def test_no_run_drains_reboots_or_stops_its_own_ground(drawn: Fleet, policy: Policy) -> None:
    decision = decide(drawn, policy)
    for one in drawn.instances.values():
        if is_own_host(one, drawn):
            event("an own host")
            asked = [type(command) for command in decision.steps[one.id].commands]
            assert Reboot not in asked
            assert one.claim is not None or Drain not in asked
    stopped = {arn for command in decision.commands if isinstance(command, StopTasks) for arn in command.tasks}
    assert drawn.own is None or drawn.own.task not in stopped


@st.composite
def grounds(draw: st.DrawFn) -> Fleet:
    """A cluster in which this run is on a staged instance, and others are idle or being updated."""
    others = [current(), current(), ABLE, MARKED, PROVEN, instance("i-x", registered=_drained())]
    drawn = draw(st.lists(st.sampled_from(others), min_size=1, max_size=4))
    named = [placed(one, f"i-{number}", Zone("zone-a")) for number, one in enumerate(drawn)]
    called = draw(st.sampled_from([None, None, NOW - MINUTE, NOW - HOUR]))
    asked = HandOver(called) if called is not None else None
    return around(own_host(progress=RunProgress(hand_over=asked)), *named)


@PURE
@given(st.one_of(fleets(), grounds(), grounds()), policies)
def test_another_run_is_called_only_when_nothing_else_is_left_to_do(drawn: Fleet, policy: Policy) -> None:
    decision = decide(drawn, policy)
    for command in decision.commands:
        if isinstance(command, CallSuccessor):
            event("a call")
            assert policy.own_host is OwnHost.HAND_OVER
            assert is_own_host(drawn.instances[command.instance], drawn)
            rest = [step for id_, step in decision.steps.items() if not is_own_host(drawn.instances[id_], drawn)]
            assert not drawn.slots
            assert not any(step.commands or step.look_at for step in rest)
