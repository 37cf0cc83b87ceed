"""Versions that break tasks on hosts that were launched with them (F44): no host is updated to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.rules import parse_ranges
from tests.support.simulated import NEW, OLD, ZONES, Updater, at_most, instance_id

from bottlerocket_ecs_updater.core.model.event import Claimed
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.versions import VersionRules
from bottlerocket_ecs_updater.core.state.ledger import with_release
from bottlerocket_ecs_updater.engine.store.ledger_store import UnkeptLedger
from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Strategy, Task, Workload
from bottlerocket_ecs_updater.simulator.faults import Breaking, FaultPlan, Placed, TasksBreak
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.world.findings import UpdaterLimits
from bottlerocket_ecs_updater.simulator.world.world import World

HOSTS = 4
SMALL = Workload(cpu=64, memory=64)
BREAK = {
    "fails to start": TasksBreak(version=NEW),
    "exits": TasksBreak(Breaking.EXITS, timedelta(seconds=25), version=NEW),
    "unhealthy": TasksBreak(Breaking.UNHEALTHY, timedelta(seconds=20), version=NEW),
    "stays pending": TasksBreak(Breaking.STAYS_PENDING, version=NEW),
}


def town(
    fault: TasksBreak | None, *, daemon: bool = True, launched: int = 1, other: str = "", since: int = 30
) -> World:
    """Hosts of the old version with tasks; some of the new version joined later, perhaps of `other` instance type."""
    repository = Repository()
    for release in (OLD, NEW):
        repository.publish(Release(release, "aws-ecs-2"))
    faults = FaultPlan((Placed(fault),) if fault is not None else ())
    world = World(VirtualClock(), 1, repository=repository, faults=faults, budget=UpdaterLimits(1))
    for number in range(HOSTS):
        world.add_instance(HostSpec(instance_id(number), version=OLD), ZONES[number % 3])
    world.add_service(ServiceSpec("web", desired=2 * HOSTS, workload=SMALL))
    if daemon:
        world.add_service(ServiceSpec("agent", strategy=Strategy.DAEMON, workload=SMALL))
    world.clock.sleep(timedelta(minutes=30))
    for number in range(HOSTS, HOSTS + launched):
        instance = world.add_instance(HostSpec(instance_id(number), version=NEW), ZONES[number % 3])
        instance.built_in |= {"ecs.instance-type": other} if other else {}
    world.clock.sleep(timedelta(minutes=since))
    return world


def claimed(updater: Updater) -> int:
    return len(updater.tape.of(Claimed))


@pytest.mark.parametrize("how", BREAK)
@pytest.mark.parametrize("launched", [1, 3])
def test_f44_no_host_is_drained_for_a_version_on_which_tasks_fail_where_it_was_launched(
    how: str, launched: int
) -> None:
    world = town(BREAK[how], launched=launched)
    updater = Updater(world, at_most(1))
    finished = updater.run()
    assert (finished.outcome, claimed(updater)) == (RunOutcome.HALTED, 0)
    assert f"{NEW} does not work on {instance_id(HOSTS)}" in finished.why
    assert "service:agent" in finished.why
    assert world.findings().clean


@pytest.mark.parametrize("how", ["fails to start", "exits"])
def test_f44_if_tasks_first_come_there_with_a_drain_no_second_host_is_drained(how: str) -> None:
    world = town(BREAK[how], daemon=False, launched=3)
    updater = Updater(world, at_most(1))
    finished = updater.run()
    assert (finished.outcome, claimed(updater)) == (RunOutcome.HALTED, 1)
    # Tasks that exit after a while are healthy for long enough to let the first drain finish.
    assert finished.counts["updated"] == (1 if how == "exits" else 0)
    assert world.findings().clean


def test_f44_a_person_can_release_the_version() -> None:
    world, ledger = town(BREAK["fails to start"]), UnkeptLedger()
    assert Updater(world, ledger=ledger).run().outcome is RunOutcome.HALTED
    held = Updater(world, name="run-2", ledger=ledger).run()
    assert {one.reason for one in held.outcomes.values() if isinstance(one, Hold)} == {Reason.VERSION_BREAKS_TASKS}
    world.ecs.registry.breaks = lambda _: None
    world.clock.sleep(timedelta(minutes=10))
    ledger.change(lambda one: with_release(one, Version.parse(NEW), world.clock.now()))
    assert Updater(world, name="run-3", ledger=ledger).run().counts["updated"] == HOSTS


def test_f44_a_host_of_another_type_says_nothing_about_the_version() -> None:
    """For example an image without the architecture of that host, or a service that needs its GPUs."""
    world = town(replace(BREAK["fails to start"], group="service:agent"), other="m6g.large")
    world.ecs.registry.breaks = _breaks_agent_on(instance_id(HOSTS))
    finished = Updater(world, at_most(1)).run()
    assert (finished.exit_code, finished.counts["updated"]) == (0, HOSTS)


def test_f44_services_that_never_ran_elsewhere_say_nothing_about_the_version() -> None:
    """They were created after the host was launched, crash, and have all their tasks there."""
    world = town(None, daemon=False)
    for name in ("new-1", "new-2"):
        crashes = replace(SMALL, runs_for=timedelta(seconds=20), exit_code=1)
        only = "attribute:ring == new"
        world.add_service(ServiceSpec(name, desired=2, workload=crashes, minimum_healthy_percent=0, member_of=only))
    world.instance(instance_id(HOSTS)).custom["ring"] = "new"
    world.clock.sleep(timedelta(minutes=20))
    finished = Updater(world, at_most(1)).run()
    assert "does not work on" not in finished.why
    assert finished.counts["updated"] == HOSTS


def test_f44_a_crash_loop_on_every_host_says_nothing_about_the_version() -> None:
    world = town(None)
    crashes = replace(SMALL, runs_for=timedelta(seconds=40), exit_code=1)
    world.add_service(ServiceSpec("loop", desired=HOSTS + 1, workload=crashes, minimum_healthy_percent=0))
    world.clock.sleep(timedelta(minutes=20))
    assert Updater(world, at_most(1)).run().counts["updated"] == HOSTS


def test_f44_a_version_that_the_policy_denies_halts_nothing() -> None:
    world = town(BREAK["fails to start"])
    denying = replace(at_most(1), rules=Rules(versions=VersionRules(deny=parse_ranges(NEW))))
    finished = Updater(world, denying).run()
    held = {one.reason for one in finished.outcomes.values() if isinstance(one, Hold)}
    assert (finished.outcome, held) == (RunOutcome.OK, {Reason.VERSION_DENIED})


def _breaks_agent_on(host: str) -> Callable[[Task], TasksBreak | None]:
    """Tasks of one service fail to start on one host."""

    def breaks(task: Task) -> TasksBreak | None:
        there = task.instance is not None and task.instance.ec2_instance_id == host
        return BREAK["fails to start"] if there and task.group == "service:agent" else None

    return breaks
