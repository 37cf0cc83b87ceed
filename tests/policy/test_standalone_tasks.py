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
