"""Standalone tasks that run for hours (RunTask, schedules, batch jobs): never stopped or drained, but reported."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.rules import parse_task_rules
from tests.support.simulated import NEW, Updater, at_most, instance_id, row

from bottlerocket_ecs_updater.core.model.outcome import Updated
from bottlerocket_ecs_updater.core.model.reasons import Hold
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.tasks import TaskRules
from bottlerocket_ecs_updater.engine.store.ledger_store import UnkeptLedger
from bottlerocket_ecs_updater.simulator.ecs import Workload
from bottlerocket_ecs_updater.simulator.ecs.model import InstanceStatus
from bottlerocket_ecs_updater.simulator.world.world import World

HOSTS = 3
HOUR = timedelta(hours=1)


def started(world: World, number: int, lasts: timedelta) -> None:
    """A person or a schedule starts a task on a host."""
    definition = world.ecs.registry.define("batch", Workload(cpu=64, memory=64, runs_for=lasts))
    where = [world.instance(instance_id(number)).arn]
    request = {"cluster": "demo", "taskDefinition": definition.arn, "containerInstances": where}
    world.call("ecs", "StartTask", request, "ann")
    world.clock.sleep(timedelta(minutes=1))


def rolled(world: World, *gaps: timedelta, policy: Policy | None = None) -> list[tuple[int, dict[str, int]]]:
    """The exit code of each run, and how many hosts had each outcome."""
    ledger, runs = UnkeptLedger(), []
    for number, gap in enumerate((*gaps, timedelta())):
        finished = Updater(world, policy or at_most(1), name=f"run-{number}", ledger=ledger).run()
        outcomes = finished.outcomes.values()
        held = sum(isinstance(one, Hold) and one.reason.code == "standalone-task" for one in outcomes)
        runs.append((finished.exit_code, {"held": held, "updated": sum(isinstance(one, Updated) for one in outcomes)}))
        world.clock.sleep(gap)
    assert world.findings().clean
    return runs


def test_the_host_of_a_task_of_hours_is_left_until_the_task_has_ended() -> None:
    world = row(HOSTS)
    started(world, 0, 4 * HOUR)
    first, second, third = rolled(world, HOUR, 6 * HOUR)
    assert first == (0, {"held": 1, "updated": HOSTS - 1})
    assert second == (0, {"held": 1, "updated": 0})
    assert third == (0, {"held": 0, "updated": 1})


def test_tasks_that_hold_every_host_for_more_than_a_day_are_reported_as_stuck() -> None:
    world = row(HOSTS)
    for number in range(HOSTS):
        started(world, number, 200 * HOUR)
    assert [code for code, _ in rolled(world, 12 * HOUR, 13 * HOUR)] == [0, 0, 3]


@pytest.mark.parametrize("rule", ["batch wait 8h", "batch stop 30m"])
def test_a_rule_lets_the_drain_wait_for_the_task_or_stop_it(rule: str) -> None:
    world = row(HOSTS)
    started(world, 0, 4 * HOUR)
    policy = replace(at_most(1), rules=Rules(tasks=TaskRules(parse_task_rules(rule))))
    ledger = UnkeptLedger()
    finished = Updater(world, policy, ledger=ledger).run()
    assert (finished.exit_code, set(world.findings().versions.values())) == (0, {NEW})
    assert not world.findings().tasks_killed


def busy(hosts: int, lasts: timedelta, every: timedelta) -> World:
    """On every host a task of some minutes starts again and again, at a different time on each."""
    world = row(hosts)

    def start(number: int) -> None:
        definition = world.ecs.registry.define("cron", Workload(cpu=64, memory=64, runs_for=lasts))
        instance = world.instance(instance_id(number))
        if instance.status is InstanceStatus.ACTIVE:
            request = {"cluster": "demo", "taskDefinition": definition.arn, "containerInstances": [instance.arn]}
            world.call("ecs", "StartTask", request, "a schedule")
        world.clock.after(every, lambda: start(number))

    for number in range(hosts):
        world.clock.after(every * number / hosts, lambda number=number: start(number))  # type: ignore[misc]
    world.clock.sleep(2 * every)
    return world


@pytest.mark.parametrize("minutes", [(2, 2.4), (3, 4), (8, 60)])
def test_a_run_waits_for_tasks_of_minutes_on_every_host(minutes: tuple[float, float]) -> None:
    """Before, it ended after a few seconds, or after the first host."""
    lasts, every = (timedelta(minutes=one) for one in minutes)
    assert rolled(busy(HOSTS, lasts, every)) == [(0, {"held": 0, "updated": HOSTS})]


def test_a_run_waits_no_longer_than_the_settle_timeout_for_tasks_that_never_leave_a_gap() -> None:
    world = busy(HOSTS, timedelta(minutes=2), timedelta(minutes=1.9))
    updater = Updater(world, at_most(1))
    finished = updater.run()
    assert (finished.exit_code, finished.counts["held"]) == (0, HOSTS)
    assert timedelta(minutes=10) <= finished.took < timedelta(minutes=11)
    assert sum(updater.calls.values()) < 120


def test_a_run_does_not_wait_for_tasks_that_have_run_for_an_hour() -> None:
    world = row(HOSTS)
    for number in range(HOSTS):
        started(world, number, 200 * HOUR)
    world.clock.sleep(HOUR)
    assert Updater(world, at_most(1)).run().took < timedelta(minutes=1)


@pytest.mark.parametrize(("minutes", "updated"), [(5, HOSTS), (30, 0)])
def test_a_run_waits_for_task_protection_that_ends_soon(minutes: int, updated: int) -> None:
    world = row(HOSTS)
    tasks = [task.arn for task in world.cluster.tasks.values() if "web" in task.group]
    request = {"cluster": "demo", "tasks": tasks, "protectionEnabled": True, "expiresInMinutes": minutes}
    world.call("ecs", "UpdateTaskProtection", request, "the application")
    finished = Updater(world, at_most(1)).run()
    assert (finished.exit_code, finished.counts["updated"]) == (0, updated)
    assert (finished.took < timedelta(minutes=1)) == (updated == 0)
    assert world.findings().clean
