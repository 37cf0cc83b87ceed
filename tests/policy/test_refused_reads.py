"""Reads that AWS throttles, fails or denies for hours: they are repeated with backoff, and strand nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.promises import FAILING_READS
from tests.support.simulated import Updater, instance_id, row

from bottlerocket_ecs_updater.core.model.event import RunFinished
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.core.rules.health import AlarmRule, HealthRules
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.faults import FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.world.world import World

HOSTS, ALARM = 4, "errors"
WATCHING = replace(Policy(), rules=Rules(health=HealthRules((AlarmRule(ALARM),))))
REFUSALS = [("ThrottlingException", 400), ("ServerException", 500), ("AccessDeniedException", 400)]


def refused(operation: str, code: str, status: int) -> tuple[World, RunFinished]:
    """A run over four hosts, one of them stopped, while AWS refuses one operation."""
    world = row(HOSTS, services=1, plan=FaultPlan((Placed(f.ApiFails(code, status, operation)),)))
    world.autoscaling.add_group("web", *map(instance_id, range(HOSTS)))
    world.cloudwatch.set_alarm(ALARM, "OK")
    world.add_service(ServiceSpec("vpc", desired=2, workload=Workload(cpu=16, memory=32, awsvpc=True)))
    world.clock.sleep(timedelta(minutes=1))
    world.stop_instance(instance_id(HOSTS - 1))
    world.clock.sleep(timedelta(minutes=1))
    return world, Updater(world, WATCHING).run()


@pytest.mark.parametrize(("code", "status"), REFUSALS, ids=["throttled", "failing", "denied"])
@pytest.mark.parametrize(
    "operation",
    ["DescribeInstances", "DescribeAutoScalingInstances", "GetTaskProtection", "DescribeTaskDefinition"],
)
def test_a_read_that_rules_need_is_not_repeated_at_every_look(operation: str, code: str, status: int) -> None:
    world, _ = refused(operation, code, status)
    assert max(world.calls.most_failing.values()) <= FAILING_READS
    assert world.findings().clean


@pytest.mark.parametrize(("code", "status"), REFUSALS, ids=["throttled", "failing", "denied"])
def test_alarms_that_cannot_be_read_hold_updates_and_are_not_read_at_every_look(code: str, status: int) -> None:
    world, finished = refused("DescribeAlarms", code, status)
    assert finished.counts["held"] == HOSTS
    assert world.calls.most_failing["cloudwatch:DescribeAlarms"] <= FAILING_READS


def test_a_run_whose_alarms_may_not_be_read_ends_at_once_and_is_no_success() -> None:
    """A missing permission does not pass by itself. Before, the run waited for ten minutes and ended with 0."""
    _, finished = refused("DescribeAlarms", "AccessDeniedException", 400)
    assert (finished.outcome, finished.exit_code) == (RunOutcome.STUCK, 3)
    assert "the alarms could not be read: not allowed: cloudwatch:DescribeAlarms" in finished.why
    assert finished.took < timedelta(minutes=2)


@pytest.mark.parametrize(("code", "status"), REFUSALS, ids=["throttled", "failing", "denied"])
def test_if_the_reboot_document_cannot_be_described_hosts_are_rebooted_as_before(code: str, status: int) -> None:
    """Before, every host was drained for 25 minutes and returned without a reboot."""
    world, finished = refused("DescribeDocument", code, status)
    assert finished.counts["updated"] == HOSTS - 1
    assert finished.took < timedelta(minutes=15)
    assert world.findings().clean


def test_hosts_that_systems_manager_was_not_asked_about_are_asked_about_at_the_next_look() -> None:
    """The first look failed there. Without an answer, hosts would count as not registered in Systems Manager."""
    briefly = f.ApiFails("ServerException", 500, "DescribeInstanceInformation", times=8)
    world = row(HOSTS, services=1, plan=FaultPlan((Placed(briefly),)))
    assert Updater(world).run().counts["updated"] == HOSTS
