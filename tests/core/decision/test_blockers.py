"""Tasks that made a drain time out keep other hosts with the same tasks from being drained."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.core.builders import (
    HOUR,
    MINUTE,
    NOW,
    POLL,
    a_claim,
    claimed,
    fleet,
    instance,
    policy,
    ready,
    registration,
    service,
    task,
)

from bottlerocket_ecs_updater.core.decision.blockers import FIRST_WAIT
from bottlerocket_ecs_updater.core.decision.decide import Decision, decide
from bottlerocket_ecs_updater.core.model.command import Drain, NoteBlockers
from bottlerocket_ecs_updater.core.model.container_instance import Status, Task, Tasks
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import UNLISTED, Blocker, History
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.model.run_progress import SentDrain
from bottlerocket_ecs_updater.core.model.services import Services
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.tasks import TaskRule, TaskRules

ONE, TWO = InstanceId("i-a"), InstanceId("i-b")


def blocked_by(group: str, ago: timedelta) -> History:
    return History(blockers={group: Blocker(1, InstanceId("i-z"), NOW - ago, NOW - ago)})


def stopping(*tasks: Task, ago: timedelta = timedelta()) -> Instance:
    """A host whose running tasks never blocked a drain, and with these tasks that ECS is stopping."""
    return instance("i-b", ready(), tasks=(task("web"),), stopping=Tasks(tasks, NOW - ago))


def drained(decision: Decision) -> list[str]:
    return [one.instance for one in decision.commands if isinstance(one, Drain)]


def timing_out(*tasks: Task) -> Instance:
    since = NOW - 25 * MINUTE
    claim = replace(a_claim(), since=since)
    one = claimed("i-a", claim, tasks=tasks)
    return replace(one, progress=replace(one.progress, claimed_at=since, drain=SentDrain(since), phase_seen_at=since))


def decided(whole: Fleet) -> Decision:
    return decide(whole, policy(2))


def test_a_host_where_such_tasks_are_still_stopping_is_not_drained() -> None:
    past = blocked_by("service:odd", MINUTE)
    decision = decided(fleet(stopping(task("odd", "STOPPING")), past=past))
    assert decision.holds[TWO].reason is Reason.DRAIN_BLOCKED
    assert not drained(decision)


def test_a_host_where_other_tasks_are_still_stopping_is_drained() -> None:
    past = blocked_by("service:odd", MINUTE)
    assert drained(decided(fleet(stopping(task("api", "STOPPING")), past=past))) == [TWO]


def test_one_host_with_such_stopping_tasks_is_tried() -> None:
    past = blocked_by("service:odd", FIRST_WAIT + HOUR)
    first = stopping(task("odd", "STOPPING"))
    decision = decided(fleet(first, replace(first, id=ONE), past=past))
    assert len(drained(decision)) == 1


def once_blocked(waited: timedelta = 25 * MINUTE) -> History:
    """A drain timed out an hour ago, in an earlier run."""
    return History(blockers={"service:odd": Blocker(1, InstanceId("i-z"), NOW - HOUR, NOW - HOUR, waited)})


def with_odd_task(**changes: Any) -> Instance:
    return instance("i-b", ready(), tasks=(task("odd"),), **{"stopping": Tasks((), NOW), **changes})


@pytest.mark.parametrize(("rule", "goes"), [("service:odd wait 8h", True), ("service:odd wait 25m", False)])
def test_a_host_is_tried_without_a_wait_if_a_drain_now_waits_longer_for_such_tasks(rule: str, goes: bool) -> None:
    patient = policy(rules=Rules(tasks=TaskRules((TaskRule.parse(rule),))))
    decision = decide(fleet(with_odd_task(), past=once_blocked()), patient)
    assert drained(decision) == ([TWO] if goes else [])


@pytest.mark.parametrize(("ago", "goes"), [(MINUTE, True), (2 * HOUR, False)])
def test_a_host_is_tried_without_a_wait_if_the_service_was_deployed_since(ago: timedelta, goes: bool) -> None:
    services = Services((service("odd", deployed_at=NOW - ago),), NOW)
    decision = decided(fleet(with_odd_task(), past=once_blocked(), services=services))
    assert drained(decision) == ([TWO] if goes else [])


def test_a_host_where_tasks_of_the_earlier_deployment_are_still_stopping_is_not_tried() -> None:
    services = Services((service("odd", deployed_at=NOW - MINUTE),), NOW)
    leftover = with_odd_task(stopping=Tasks((task("odd", "STOPPING"),), NOW))
    assert not drained(decided(fleet(leftover, past=once_blocked(), services=services)))


def test_only_one_host_is_tried_after_a_deployment_or_a_new_rule() -> None:
    services = Services((service("odd", deployed_at=NOW - MINUTE),), NOW)
    hosts = (with_odd_task(), replace(with_odd_task(), id=ONE))
    assert len(drained(decided(fleet(*hosts, past=once_blocked(), services=services)))) == 1


def shared(status: str, group: str = "service:odd") -> Decision:
    """A drain times out because of tasks of a family, and another service has the same family."""
    twin = instance("i-b", ready(), tasks=(task("twin", family="encoder"),), stopping=Tasks((), NOW))
    return decided(fleet(timing_out(task("odd", status, family="encoder")), twin))


def test_tasks_that_do_not_stop_hold_hosts_with_the_same_task_definition_in_other_services() -> None:
    held = shared("STOPPING").holds[TWO]
    assert held.reason is Reason.DRAIN_BLOCKED
    assert "tasks of service:twin (family encoder, like service:odd)" in str(held)


def test_tasks_that_were_never_told_to_stop_hold_no_host_of_other_services() -> None:
    assert drained(shared("RUNNING")) == [TWO]


def phantom(name: str, *, running: int = 2) -> Instance:
    """ECS lists one task on it, and counts so many."""
    counted = replace(registration(name), running_tasks=running)
    return instance(name, ready(), registered=counted, tasks=(task("web"),), stopping=Tasks((), NOW))


def test_a_drain_that_only_task_counts_block_holds_the_others_on_which_ecs_counts_too_many() -> None:
    """Each run drained one host after the other for nothing, as no task was named."""
    hosts = [timing_out(), phantom("i-b"), phantom("i-c", running=1)]
    hosts[0] = replace(hosts[0], registration=replace(registration("i-a"), running_tasks=1, status=Status.DRAINING))
    decision = decide(fleet(*hosts), policy(3))
    assert [one.families for one in decision.commands if isinstance(one, NoteBlockers)] == [{UNLISTED: ""}]
    assert decision.holds[TWO].reason is Reason.TASKS_UNLISTED
    assert drained(decision) == ["i-c"]


def test_stopping_tasks_are_read_before_a_drain_while_blockers_are_known() -> None:
    past = blocked_by("service:odd", MINUTE)
    for unread in (replace(stopping(), stopping=None), stopping(ago=2 * POLL)):
        decision = decided(fleet(unread, past=past))
        assert decision.steps[TWO].wants_tasks
        assert not drained(decision)
        assert drained(decided(fleet(unread))) == [TWO]


def test_a_drain_that_times_out_holds_the_others_in_the_same_pass() -> None:
    other = instance("i-b", ready(), tasks=(task("odd"),), stopping=Tasks((), NOW))
    decision = decided(fleet(timing_out(task("odd")), other))
    assert any(isinstance(one, NoteBlockers) for one in decision.steps[ONE].commands)
    assert decision.holds[TWO].reason is Reason.DRAIN_BLOCKED
    assert not drained(decision)


def test_a_drain_that_times_out_holds_no_host_with_other_tasks() -> None:
    other = instance("i-b", ready(), tasks=(task("web"),), stopping=Tasks((), NOW))
    assert drained(decided(fleet(timing_out(task("odd")), other))) == [TWO]
