"""Tasks that do not leave: after one drain that timed out, the rest of the run and later runs avoid the same tasks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from tests.support.simulated import DOCUMENTS, EngineClock, Updater, at_most, row

from bottlerocket_ecs_updater.aws.ecs import EcsCluster
from bottlerocket_ecs_updater.aws.ssm import SsmHosts
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.core.decision.blockers import FIRST_WAIT, blocked, tried_again
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.event import Drained, RunFinished
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.engine.lease.task_lease import NoLease
from bottlerocket_ecs_updater.engine.run_ports import Ports
from bottlerocket_ecs_updater.engine.safe_recorder import DiscardEvents
from bottlerocket_ecs_updater.engine.snapshot import take_snapshot
from bottlerocket_ecs_updater.engine.store.ledger_store import UnkeptLedger
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.ecs.model import Desired
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.world.world import World

HOURS = Workload(shutdown=timedelta(hours=5), stop_timeout=timedelta(hours=10))
STUCK = Workload(never_stops=True)
SOON_STUCK = replace(STUCK, cpu=256, memory=256)
"""Small enough that other hosts have room for all of them. After a drain, only stopping tasks are left on a host."""
HOSTS = 6


def world_of(workload: Workload, budget: int = 1) -> World:
    world = row(HOSTS, budget=budget, services=1)
    world.add_service(ServiceSpec("encoder", desired=HOSTS, workload=workload))
    world.clock.sleep(timedelta(minutes=1))
    return world


def reasons(finished: RunFinished) -> list[str]:
    return sorted(one.reason.code for one in finished.outcomes.values() if isinstance(one, Hold))


@pytest.mark.parametrize("workload", [HOURS, STUCK])
@pytest.mark.parametrize("budget", [1, 2])
def test_after_a_drain_for_nothing_no_further_host_with_the_same_tasks_is_drained(
    workload: Workload, budget: int
) -> None:
    world = world_of(workload, budget)
    updater = Updater(world, at_most(budget))
    finished = updater.run()
    assert len(updater.tape.of(Drained)) == budget
    assert reasons(finished) == ["drain-blocked"] * (HOSTS - budget) + ["drain-timed-out"] * budget
    assert world.findings().clean


def test_the_hold_names_the_service_the_host_and_since_when() -> None:
    finished = Updater(world_of(HOURS)).run()
    said = next(str(one) for one in finished.outcomes.values() if getattr(one, "reason", None) is Reason.DRAIN_BLOCKED)
    assert "service:encoder" in said
    assert "last on i-" in said
    assert "2026-01-05" in said


def test_the_next_run_waits_and_then_tries_one_host_at_a_time() -> None:
    world, ledger = world_of(HOURS, budget=3), UnkeptLedger()
    Updater(world, at_most(3), ledger=ledger).run()
    soon = Updater(world, at_most(3), "run-2", ledger=ledger)
    assert set(reasons(soon.run())) <= {"drain-blocked", "backing-off"}
    assert not soon.tape.of(Drained)
    world.clock.sleep(timedelta(days=2))
    later = Updater(world, at_most(3), "run-3", ledger=ledger)
    finished = later.run()
    assert reasons(finished).count("drain-timed-out") == 1
    assert world.findings().clean


def test_a_second_drain_that_fails_is_the_headline_and_no_instance_is_said_to_be_out_of_service() -> None:
    world, ledger = world_of(STUCK), UnkeptLedger()
    Updater(world, at_most(1), ledger=ledger).run()
    world.clock.sleep(FIRST_WAIT)
    again = Updater(world, at_most(1), "run-2", ledger=ledger)
    assert again.run().exit_code == 3
    headline = run_report(again.tape.events).headline
    assert headline.startswith("Tasks of service:encoder made a drain time out, for 2 runs in a row since ")
    assert "out of service" not in headline


def test_a_drain_that_moves_the_tasks_ends_it() -> None:
    world, ledger = world_of(HOURS), UnkeptLedger()
    Updater(world, ledger=ledger).run()
    assert "service:encoder" in ledger.value.blockers
    definition = world.ecs.registry.define("encoder", Workload())
    world.ecs.scheduler.new_deployment(world.cluster.services["encoder"], definition)
    world.clock.sleep(timedelta(days=1))
    finished = Updater(world, name="run-2", ledger=ledger).run()
    assert not ledger.value.blockers
    assert finished.counts["updated"] == HOSTS
    assert finished.exit_code == 0


def test_tasks_that_were_stopping_before_the_drain_are_blamed_and_not_the_daemons_that_wait_for_them() -> None:
    """Looks at a drain follow the tasks that ran before it. The daemon, which every host has, then held all hosts."""
    world, ledger = world_of(SOON_STUCK), UnkeptLedger()
    definition = world.ecs.registry.define("encoder", Workload())
    world.ecs.scheduler.new_deployment(world.cluster.services["encoder"], definition)
    world.clock.sleep(timedelta(minutes=10))
    finished = Updater(world, ledger=ledger).run()
    assert set(ledger.value.blockers) == {"service:encoder"}
    assert any("service:encoder (STOPPING)" in str(one) for one in finished.outcomes.values())


def test_one_drain_is_enough_for_services_with_the_same_task_definition() -> None:
    world = row(HOSTS, services=1)
    for name in ("tenant-a", "tenant-b"):
        world.add_service(ServiceSpec(name, desired=3, family="encoder", workload=STUCK, distinct_instances=True))
    world.clock.sleep(timedelta(minutes=2))
    updater = Updater(world)
    updater.run()
    assert len(updater.tape.of(Drained)) == 1
    assert world.findings().clean


def test_hosts_without_these_tasks_are_updated_anyway() -> None:
    world = row(HOSTS, services=1)
    first = min(world.hosts)
    world.add_service(ServiceSpec("encoder", desired=1, workload=STUCK, member_of=f"ec2InstanceId == {first}"))
    finished = Updater(world).run()
    assert finished.counts["updated"] == HOSTS - 1


def test_tries_grow_apart() -> None:
    world, ledger = world_of(STUCK), UnkeptLedger()
    Updater(world, ledger=ledger).run()
    one = ledger.value.blockers["service:encoder"]
    assert tried_again(one) == one.last + FIRST_WAIT


def test_a_host_where_such_tasks_are_still_stopping_is_not_tried_after_another_one() -> None:
    world, ledger = world_of(SOON_STUCK), UnkeptLedger()
    for number in range(4):
        updater = Updater(world, name=f"run-{number}", ledger=ledger)
        updater.run()
        assert len(updater.tape.of(Drained)) <= 1
        assert world.findings().clean
        world.clock.sleep(timedelta(days=number + 1))


def test_a_plan_holds_a_host_where_such_tasks_are_still_stopping() -> None:
    world, ledger = world_of(SOON_STUCK), UnkeptLedger()
    updater = Updater(world, ledger=ledger)
    updater.run()
    tried = updater.tape.of(Drained)[0].instance
    world.clock.sleep(timedelta(minutes=5))
    here = world.cluster.by_ec2[tried].tasks.values()
    assert {task.desired for task in here if task.group == "service:encoder"} == {Desired.STOPPED}
    clock, clients = EngineClock(world), InProcessClients(world, caller="ann")
    api = Api(clock, CallPace(clock), Calls())
    ecs = EcsCluster(cast("Any", Pair.of(clients.ecs)), api, clock, "demo")
    ssm = SsmHosts(cast("Any", Pair.of(clients.ssm)), api, DOCUMENTS, "test")
    fleet = take_snapshot(Ports(ecs, ssm, clock, ledger, NoLease(), DiscardEvents()), Policy())
    held = blocked(fleet.instances[tried], Pass(fleet, Policy()))
    assert held is not None
    assert held.reason is Reason.DRAIN_BLOCKED
