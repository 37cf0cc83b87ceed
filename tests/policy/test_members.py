"""Instances outside the fleet block nothing: warm pools, stopped hosts, Managed Instances, excluded hosts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from tests.support.simulated import NEW, OLD, ZONES, Updater, at_most, instance_id, row

from bottlerocket_ecs_updater.core.model.event import RunFinished
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Quarantined, RunOutcome, Updated
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold, Reason
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.selection import Selection, parse_selector
from bottlerocket_ecs_updater.engine.store.ledger_store import UnkeptLedger
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.ecs import EcsTiming, ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.ecs.model import InstanceStatus
from bottlerocket_ecs_updater.simulator.faults import (
    Between,
    BootHangs,
    Fault,
    GroupTakes,
    InBetween,
    InstanceStopped,
    InstanceTerminated,
    OutOfReach,
    SsmUnreachable,
    Step,
)
from bottlerocket_ecs_updater.simulator.host import HostSpec, HostTiming, Power
from bottlerocket_ecs_updater.simulator.world.api_faults import denying
from bottlerocket_ecs_updater.simulator.world.findings import UpdaterLimits
from bottlerocket_ecs_updater.simulator.world.world import World

ODD = InstanceId(instance_id(9))
FIRST = InstanceId(instance_id(0))


def add(world: World, *faults: Fault, **odd: Any) -> None:
    world.add_instance(HostSpec(ODD, version=OLD, faults=faults, **odd), ZONES[0])


def warm(world: World) -> None:
    add(world)
    world.put_into_warm_pool("web", ODD)


def stopped(world: World) -> None:
    add(world)
    world.stop_instance(ODD)


def terminated(world: World) -> None:
    """ECS keeps the registration, because the agent was disconnected then."""
    stopped(world)
    world.clock.sleep(timedelta(minutes=10))
    world.terminate_instance(ODD)


def terminated_long_ago(world: World) -> None:
    """EC2 has forgotten it."""
    terminated(world)
    world.clock.sleep(timedelta(days=2))


def stopped_and_drained(world: World) -> None:
    stopped(world)
    world.operator_drain(ODD)


def managed(world: World) -> None:
    add(world, managed_by="ecs.amazonaws.com")
    world.operator_drain(ODD)


def failed_to_register(world: World) -> None:
    add(world, InBetween(Between.REGISTRATION_FAILED))


def opted_out(world: World) -> None:
    add(world)
    world.instance(ODD).custom["bottlerocket-ecs-updater.opt-out"] = "true"
    world.watch.budget = UpdaterLimits(1, not_counted=frozenset({ODD}))
    world.operator_drain(ODD)


def updated(finished: RunFinished) -> int:
    return sum(isinstance(one, Updated) for one in finished.outcomes.values())


def held(finished: RunFinished, id_: InstanceId = ODD) -> Hold:
    outcome = finished.outcomes[id_]
    assert isinstance(outcome, Hold)
    return outcome


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (warm, Reason.WARM_POOL),
        (stopped, Reason.INSTANCE_STOPPED),
        (stopped_and_drained, Reason.INSTANCE_STOPPED),
        (terminated, Reason.INSTANCE_TERMINATED),
        (terminated_long_ago, Reason.INSTANCE_TERMINATED),
        (managed, Reason.MANAGED_INSTANCE),
        (failed_to_register, Reason.NOT_ACTIVE),
        (opted_out, Reason.OPTED_OUT),
    ],
)
def test_an_instance_outside_the_fleet_blocks_no_cluster(odd: Callable[[World], None], reason: Reason) -> None:
    world = row(4)
    odd(world)
    world.clock.sleep(timedelta(minutes=10))
    finished = Updater(world).run()
    assert (updated(finished), held(finished).reason) == (4, reason)
    assert world.findings().violations == ()
    assert (world.hosts[ODD].running, world.findings().boots[ODD]) == (OLD, 0)


@pytest.mark.parametrize("odd", [warm, stopped, terminated, managed, failed_to_register])
def test_a_percentage_of_the_fleet_leaves_out_instances_outside_it(odd: Callable[[World], None]) -> None:
    """A third of three is one.

    If the special instance counted, a third of four would be one too, and that one would be down already.
    """
    world = row(3, budget=1)
    odd(world)
    world.clock.sleep(timedelta(minutes=10))
    finished = Updater(world, Policy(max_unavailable=Limit(percent=34))).run()
    assert updated(finished) == 3
    assert world.findings().violations == ()


def test_a_host_that_its_group_terminated_a_moment_ago_does_not_fill_the_budget() -> None:
    """ECS shows it DRAINING, with a connected agent, until it deregisters it; no person has drained it."""
    world = row(4, ecs_timing=EcsTiming(disconnect_lag=timedelta(minutes=20), deregister_terminated=timedelta(hours=1)))
    add(world)
    world.clock.sleep(timedelta(minutes=2))
    world.operator_drain(ODD)
    world.clock.sleep(timedelta(minutes=2))
    world.terminate_instance(ODD)
    world.clock.sleep(timedelta(seconds=5))
    assert world.instance(ODD).agent_connected
    finished = Updater(world).run()
    assert (updated(finished), held(finished).reason) == (4, Reason.INSTANCE_TERMINATED)


def test_a_host_that_is_excluded_and_out_for_months_blocks_no_cluster() -> None:
    world = row(4)
    world.watch.budget = UpdaterLimits(1, not_counted=frozenset({FIRST}))
    world.operator_drain(FIRST)
    world.clock.sleep(timedelta(minutes=2))
    rules = Rules(selection=Selection(exclude=(parse_selector(FIRST),)))
    assert updated(Updater(world, Policy(rules=rules)).run()) == 3


def test_a_host_that_is_excluded_is_reported_as_excluded_even_if_it_cannot_be_reached() -> None:
    world = row(4)
    world.watch.budget = UpdaterLimits(1, not_counted=frozenset({FIRST}))
    world.hosts[FIRST].reboot("a power cut")
    world.ecs.agents.went_down(world.instance(FIRST))
    rules = Rules(selection=Selection(exclude=(parse_selector(FIRST),)))
    assert held(Updater(world, Policy(rules=rules)).run(), FIRST).reason is Reason.EXCLUDED


@pytest.mark.parametrize("seconds", [2, 8, 15])
def test_a_host_that_somebody_opts_out_while_it_drains_is_returned_without_a_reboot(seconds: int) -> None:
    world = row(3)

    def opt_out(call: Call) -> None:
        first = world.instance(FIRST)
        if call.params.get("status") == "DRAINING" and call.params["containerInstances"] == [first.arn]:
            change = partial(first.custom.update, {"bottlerocket-ecs-updater.opt-out": "true"})
            world.clock.after(timedelta(seconds=seconds), change)

    world.authorize = opt_out
    finished = Updater(world, at_most(1)).run()
    assert (updated(finished), held(finished, FIRST).reason) == (2, Reason.OPTED_OUT)
    assert world.findings().clean
    assert world.instance(FIRST).accepts_tasks


@pytest.mark.parametrize("minutes", [3, 4, 6])
def test_a_host_that_is_stopped_during_a_rollout_does_not_stop_it(minutes: int) -> None:
    """EC2 is asked as soon as its agent has disconnected, and not only when the cluster is listed again."""
    world = row(5, faults={4: (InstanceStopped(at=timedelta(minutes=minutes)),)})
    finished = Updater(world, at_most(1)).run()
    assert (updated(finished), held(finished, InstanceId(instance_id(4))).reason) == (4, Reason.INSTANCE_STOPPED)
    assert world.findings().clean


@pytest.mark.parametrize("minutes", [2, 4, 6, 8])
def test_a_stopped_host_counts_again_as_soon_as_somebody_starts_it(minutes: int) -> None:
    """EC2 is asked again before each start. The agent takes so long that the other updates would be over by then."""
    slow = HostTiming(ecs_agent_start=timedelta(minutes=20))
    world = row(5)
    world.add_instance(HostSpec(ODD, version=NEW, timing=slow), ZONES[0])
    world.clock.sleep(timedelta(minutes=30))
    world.stop_instance(ODD)
    world.clock.after(timedelta(minutes=minutes), world.hosts[ODD].start)
    Updater(world, at_most(1)).run()
    assert world.findings().clean


@pytest.mark.parametrize("seconds", [1, 5, 12])
def test_a_host_that_is_stopped_while_it_drains_is_returned_to_service_at_once_and_no_task_is_blamed(
    seconds: int,
) -> None:
    stops = InstanceStopped(at=timedelta(seconds=seconds), step=Step.DRAIN, lasts=timedelta(hours=3))
    world, ledger = row(4, faults={0: (stops,)}), UnkeptLedger()
    finished = Updater(world, at_most(1), ledger=ledger).run()
    assert (updated(finished), held(finished, FIRST).reason) == (3, Reason.INSTANCE_STOPPED)
    assert finished.took < timedelta(minutes=15)
    assert not ledger.value.blockers
    world.clock.sleep(timedelta(hours=4))
    # The new version was staged on it, so it booted it when it was started.
    assert Updater(world, at_most(1), "run-2", ledger=ledger).run().exit_code == 0
    assert set(world.findings().versions.values()) == {NEW}
    assert world.findings().clean


def test_tasks_are_not_blamed_for_a_drain_that_fails_because_the_agent_is_gone() -> None:
    world, ledger = row(4), UnkeptLedger()

    def hang(call: Call) -> None:
        if call.params.get("status") == "DRAINING" and call.params["containerInstances"] == [world.instance(FIRST).arn]:
            world.clock.after(timedelta(seconds=3), partial(world.ecs.agents.went_down, world.instance(FIRST)))

    world.authorize = hang
    finished = Updater(world, at_most(1), ledger=ledger).run()
    assert held(finished, FIRST).reason is Reason.CHANGED_WHILE_DRAINING
    assert "its ECS agent is disconnected" in str(held(finished, FIRST))
    assert not ledger.value.blockers


@pytest.mark.parametrize("seconds", range(20, 60, 8))
def test_a_version_is_not_blamed_for_a_boot_that_somebody_cut_off(seconds: int) -> None:
    """The host rolls back, because the boot of the new version never ended."""
    stops = InstanceStopped(at=timedelta(seconds=seconds), step=Step.REBOOT, lasts=timedelta(hours=2))
    world, ledger = row(4, faults={0: (stops,)}), UnkeptLedger()
    Updater(world, at_most(1), ledger=ledger).run()
    world.clock.sleep(timedelta(hours=3))
    again = Updater(world, at_most(1), "run-2", ledger=ledger).run()
    assert again.exit_code == 0
    assert not isinstance(again.outcomes[FIRST], Failed)
    assert not ledger.value.suspects
    world.clock.sleep(timedelta(days=2))
    assert Updater(world, at_most(1), "run-3", ledger=ledger).run().exit_code == 0
    assert set(world.findings().versions.values()) == {NEW}
    assert world.findings().clean


def test_a_host_that_is_stopped_after_its_reboot_is_quarantined_and_stops_no_other_update() -> None:
    world = row(4, faults={0: (InstanceStopped(at=timedelta(seconds=5), step=Step.REBOOT),)})
    first = Updater(world, at_most(1)).run()
    assert isinstance(first.outcomes[FIRST], Quarantined)
    assert (updated(first), first.exit_code) == (3, 3)
    world.hosts[FIRST].start()
    world.clock.sleep(timedelta(minutes=10))
    again = Updater(world, at_most(1), "run-2").run()
    assert isinstance(again.outcomes[FIRST], Updated)
    assert world.findings().clean


def test_an_instance_that_is_out_for_an_unknown_reason_still_fills_the_budget() -> None:
    world = row(4)
    add(world, BootHangs(times=None))
    world.hosts[ODD].reboot("a power cut")
    world.ecs.agents.went_down(world.instance(ODD))
    world.clock.sleep(timedelta(minutes=30))
    world.ecs.agents.went_down(world.instance(ODD))
    world.clock.sleep(timedelta(minutes=30))
    assert updated(Updater(world, at_most(1)).run()) == 0


@pytest.mark.parametrize("seconds", [20, 40])
def test_a_host_that_is_terminated_while_it_reboots_blocks_neither_this_run_nor_the_next(seconds: int) -> None:
    """Its agent was disconnected, so ECS keeps its registration, DRAINING, with our claim."""
    fault = InstanceTerminated(at=timedelta(seconds=seconds), step=Step.REBOOT)
    world = row(3, faults={0: (fault,)})
    finished = Updater(world).run()
    assert (held(finished, FIRST).reason, updated(finished)) == (Reason.GONE, 2)
    assert "terminated" in str(held(finished, FIRST))
    later = Updater(world, name="run-2").run()
    assert (held(later, FIRST).reason, later.exit_code) == (Reason.INSTANCE_TERMINATED, 0)
    assert world.findings().clean


def test_a_quarantined_host_that_somebody_terminates_is_dropped() -> None:
    world = row(4, faults={0: (BootHangs(times=None),)})
    assert Updater(world).run().exit_code == 4
    world.terminate_instance(FIRST)
    finished = Updater(world, name="run-2").run()
    assert (held(finished, FIRST).reason, updated(finished), finished.exit_code) == (Reason.GONE, 3, 0)
    assert world.findings().clean


def test_a_quarantined_host_that_its_group_terminates_does_not_halt_the_run_that_lets_it_go() -> None:
    world = row(4, faults={0: (BootHangs(times=None),)})
    assert Updater(world).run().exit_code == 4
    world.take_away(FIRST, hook=timedelta(hours=2), drains=False)
    let_go = Updater(world, name="run-2").run()
    assert (held(let_go, FIRST).reason, let_go.outcome) == (Reason.LEAVING_GROUP, RunOutcome.OK)
    assert updated(let_go) == 3
    assert world.findings().clean


def test_a_stopped_host_is_part_of_the_fleet_again_when_it_is_started() -> None:
    world = row(4)
    world.stop_instance(FIRST)
    world.clock.sleep(timedelta(hours=1))
    assert updated(Updater(world).run()) == 3
    world.hosts[FIRST].start()
    world.clock.sleep(timedelta(minutes=10))
    assert isinstance(Updater(world, name="run-2").run().outcomes[FIRST], Updated)
    assert world.hosts[FIRST].running == NEW


def test_a_host_that_its_group_takes_out_of_its_warm_pool_is_updated_by_the_next_run() -> None:
    world = row(4)
    warm(world)
    world.clock.sleep(timedelta(minutes=10))
    Updater(world).run()
    world.hosts[ODD].start()
    world.autoscaling.set_lifecycle(ODD, "InService")
    world.clock.sleep(timedelta(minutes=10))
    assert isinstance(Updater(world, name="run-2").run().outcomes[ODD], Updated)


# Groups that change during a rollout


def test_a_group_that_scales_out_and_in_during_a_rollout_is_followed() -> None:
    world = row(6, budget=2)
    world.autoscaling.add_group("web", *(instance_id(number) for number in range(6)))
    newcomer = InstanceId(instance_id(20))
    world.clock.after(timedelta(minutes=1), lambda: world.scale_out("web", HostSpec(newcomer, version=OLD), ZONES[0]))
    world.clock.after(timedelta(minutes=2), lambda: world.take_away(instance_id(5), hook=timedelta(minutes=1)))
    finished = Updater(world, at_most(2)).run()
    later = Updater(world, at_most(2), name="run-2").run()
    assert isinstance(finished.outcomes.get(newcomer) or later.outcomes[newcomer], Updated)
    assert InstanceId(instance_id(5)) not in later.outcomes
    assert (world.findings().violations, world.findings().stranded) == ((), ())
    assert world.instance(instance_id(5)).status is InstanceStatus.INACTIVE


def test_a_drain_of_a_group_that_came_during_the_run_is_reported_as_that() -> None:
    """A person who reads `drained-by-others` would set it ACTIVE."""
    world = row(6)
    world.clock.after(timedelta(minutes=1), lambda: world.take_away(instance_id(5), hook=timedelta(hours=2)))
    finished = Updater(world).run()
    assert held(finished, InstanceId(instance_id(5))).reason is Reason.LEAVING_GROUP


@pytest.mark.parametrize("seconds", [0, 10, 30])
def test_a_drain_of_a_group_that_ends_the_run_at_once_is_reported_as_that(seconds: int) -> None:
    """The group was read a few seconds earlier. It is read again, because that was before the drain was seen."""
    fault = GroupTakes(at=timedelta(seconds=seconds), step=Step.CHECK, hook=timedelta(hours=3))
    finished = Updater(row(3, faults={1: (fault,)})).run()
    assert held(finished, InstanceId(instance_id(1))).reason is Reason.LEAVING_GROUP
    said = [str(one) for one in finished.outcomes.values() if getattr(one, "reason", None) is Reason.BUDGET]
    assert all("(its group terminates it)" in one for one in said)


def test_a_run_waits_for_an_instance_whose_termination_frees_the_budget() -> None:
    """Otherwise it would end within a minute, and the next run may be a day away."""
    world = row(4)
    world.autoscaling.add_group("web", *(instance_id(number) for number in range(4)))
    world.clock.after(timedelta(seconds=20), lambda: world.take_away(instance_id(3), hook=timedelta(minutes=4)))
    finished = Updater(world).run()
    assert updated(finished) == 3
    assert held(finished, InstanceId(instance_id(3))).reason is Reason.GONE
    assert world.findings().violations == ()


STOPS_SLOWLY = ServiceSpec(
    "slow",
    desired=4,
    distinct_instances=True,
    minimum_healthy_percent=50,
    workload=Workload(cpu=16, memory=16, shutdown=timedelta(hours=30), stop_timeout=timedelta(hours=30)),
)
"""Its tasks need more than a day after SIGTERM, so an instance that is drained keeps one."""


@pytest.mark.parametrize("state", ["Terminating:Wait", "Standby"])
def test_an_instance_that_its_group_took_out_of_service_does_not_count_once_its_tasks_have_moved(state: str) -> None:
    """A hook may delay its termination for two days, and a person may keep it in standby for weeks."""
    world = row(4)
    world.autoscaling.add_group("web", *(instance_id(number) for number in range(4)))
    world.operator_drain(instance_id(0))
    world.autoscaling.set_lifecycle(instance_id(0), state)
    world.clock.sleep(timedelta(minutes=2))
    assert updated(Updater(world).run()) == 3
    assert world.findings().violations == ()


def test_a_run_does_not_wait_for_a_termination_that_a_hook_delays_for_hours() -> None:
    world, began = row(4), timedelta(minutes=2)
    world.add_service(STOPS_SLOWLY)
    start = world.clock.now()
    world.autoscaling.add_group("web", *(instance_id(number) for number in range(4)))
    world.clock.after(timedelta(seconds=20), lambda: world.take_away(instance_id(3), hook=timedelta(hours=20)))
    finished = Updater(world).run()
    assert updated(finished) == 0
    assert held(finished, InstanceId(instance_id(3))).reason is Reason.LEAVING_GROUP
    assert timedelta(minutes=10) < world.clock.now() - start < timedelta(minutes=11) + began
    assert world.findings().violations == ()


def test_an_instance_that_was_updated_before_its_group_took_it_is_named_as_filling_the_budget() -> None:
    world = row(4, services=0)
    world.autoscaling.add_group("web", *(instance_id(number) for number in range(4)))
    taken: list[str] = []

    def take_the_first_that_is_back() -> None:
        back = next((id_ for id_, version in world.findings().versions.items() if version == NEW), "")
        if back and world.instance(back).status is InstanceStatus.ACTIVE:
            taken.append(back)
            world.run_standalone_task(back)
            world.take_away(back, hook=timedelta(hours=20))
        else:
            world.clock.after(timedelta(seconds=1), take_the_first_that_is_back)

    world.clock.after(timedelta(seconds=1), take_the_first_that_is_back)
    finished = Updater(world).run()
    said = [str(one) for one in finished.outcomes.values() if getattr(one, "reason", None) is Reason.BUDGET]
    assert said == [f"the budget is full: 1 unavailable, limit 1: {taken[0]} (its group terminates it)"] * 3


def test_a_managed_instance_that_systems_manager_knows_is_left_to_aws() -> None:
    """Its capacity provider tells what it is. Nobody asks EC2 about a host that can be reached."""
    world = row(4, services=1)
    world.scaling.add_managed_instances("managed", instance_id(0), instance_id(1))
    for number in (0, 1):
        host = world.hosts[instance_id(number)]
        host.spec = replace(host.spec, managed_by="")
    finished = Updater(world).run()
    for number in (0, 1):
        assert held(finished, InstanceId(instance_id(number))).reason is Reason.MANAGED_INSTANCE
        assert not world.findings().seconds_out[instance_id(number)]
    assert updated(finished) == 2


def test_a_managed_instance_out_of_service_blocks_no_cluster_if_ec2_does_not_say_who_manages_it() -> None:
    """No host is about to be drained, so the check for room reads no capacity provider yet."""
    world = row(4)
    managed(world)
    world.scaling.add_managed_instances("managed", ODD)
    world.authorize = denying("ec2:DescribeInstances")
    finished = Updater(world).run()
    assert (updated(finished), held(finished).reason) == (4, Reason.MANAGED_INSTANCE)
    assert world.findings().violations == ()


def test_a_host_that_goes_to_its_warm_pool_during_a_run_needs_no_person() -> None:
    """Its agent disconnects, like that of a host in trouble: its group is read before anybody is called."""
    world = row(4)
    world.autoscaling.add_group("web", *(instance_id(number) for number in range(4)))
    world.clock.after(timedelta(seconds=75), lambda: world.put_into_warm_pool("web", instance_id(0)))
    finished = Updater(world).run()
    assert held(finished, InstanceId(instance_id(0))).reason is Reason.WARM_POOL_DRAINED
    assert updated(finished) == 3


def test_a_host_that_comes_from_its_warm_pool_during_a_run_is_room_and_is_updated() -> None:
    """The provider's maximum leaves room for it: instances in a warm pool do not count towards that."""
    world = row(3, services=0)
    world.scaling.add("web", *(instance_id(number) for number in range(3)), most=3)
    world.put_into_warm_pool("web", instance_id(2))
    world.clock.sleep(timedelta(minutes=2))
    half = Workload(cpu=1024, memory=1024)
    world.add_service(ServiceSpec("api", desired=2, workload=half, providers=("web",)))
    world.clock.sleep(timedelta(minutes=2))
    finished = Updater(world).run()
    assert (updated(finished), len(world.hosts)) == (3, 3)
    assert world.findings().violations == ()


def test_a_group_that_takes_each_drained_host_is_left_alone_after_three() -> None:
    """Each drain moves tasks, and each host that replaces one may start with the old version."""
    faults = {number: (GroupTakes(step=Step.DRAIN, hook=timedelta(seconds=20)),) for number in range(8)}
    world = row(8, faults=faults, tasks=1)
    world.autoscaling.add_group("web", *(instance_id(number) for number in range(8)))
    finished = Updater(world).run()
    taken = [one for one in world.hosts.values() if one.power is Power.TERMINATED]
    left = [one for one in finished.outcomes.values() if isinstance(one, Hold)]
    assert len(taken) == 3
    assert sum(one.reason is Reason.GROUP_TAKES_DRAINED for one in left) == 5
    assert finished.exit_code == 3
    assert finished.why.startswith("Auto Scaling group web took away 3 instances that this run had drained: ")


def test_a_group_that_takes_each_host_right_after_its_update_is_left_alone_too() -> None:
    """Each host that replaces one starts with the old version: without a limit, the run would update them forever."""
    faults = {number: (GroupTakes(timedelta(seconds=5), Step.RETURN),) for number in range(8)}
    world = row(8, faults=faults, tasks=1)
    world.autoscaling.add_group("web", *(instance_id(number) for number in range(8)))
    finished = Updater(world).run()
    held = [one for one in finished.outcomes.values() if isinstance(one, Hold)]
    assert (updated(finished), sum(one.reason is Reason.GROUP_TAKES_DRAINED for one in held)) == (3, 5)
    assert finished.exit_code == 3
    assert finished.why.startswith("Auto Scaling group web took away 3 instances that this run had drained: ")


def test_a_group_that_takes_some_of_many_drained_hosts_stops_no_rollout() -> None:
    faults = {number: (GroupTakes(step=Step.DRAIN, hook=timedelta(seconds=20)),) for number in (4, 6, 8)}
    world = row(9, faults=faults, tasks=1)
    world.autoscaling.add_group("web", *(instance_id(number) for number in range(9)))
    assert updated(Updater(world).run()) == 6


def test_an_instance_refresh_that_starts_during_a_rollout_stops_it_and_strands_no_instance() -> None:
    world = row(4)
    world.autoscaling.add_group("web", *(instance_id(number) for number in range(4)))
    world.clock.after(timedelta(minutes=3), lambda: world.autoscaling.start_refresh("web"))
    finished = Updater(world).run()
    reasons = [one.reason for one in finished.outcomes.values() if isinstance(one, Hold)]
    assert set(reasons) == {Reason.GROUP_REFRESHING}
    assert 0 < len(reasons) < 4
    assert world.findings().stranded == ()


# Hybrid activations, and accounts with many other nodes

NODE = "mi-0a1b2c3d4e5f60718"


def test_a_host_of_a_hybrid_activation_is_named_with_its_node_and_the_right_remedy() -> None:
    world = row(3)
    add(world, node_id=NODE)
    finished = Updater(world).run()
    why = held(finished)
    assert why.reason is Reason.HYBRID_ACTIVATION
    assert str(why).endswith(f"a hybrid activation registered it as {NODE}")
    assert "activation" in why.remedy
    assert updated(finished) == 3


def test_without_an_address_from_ec2_the_candidate_nodes_are_named() -> None:
    world = row(3)
    add(world, node_id=NODE)
    world.authorize = denying("ec2:DescribeInstances")
    why = held(Updater(world).run())
    assert why.reason is Reason.HYBRID_ACTIVATION
    assert str(why).endswith(f"a hybrid activation may have registered it as {NODE}")


def test_a_host_without_activation_is_unknown_to_systems_manager() -> None:
    world = row(3, faults={0: (SsmUnreachable(OutOfReach.NEVER_REGISTERED),)})
    add(world, node_id=NODE)
    assert held(Updater(world).run(), FIRST).reason is Reason.UNKNOWN_TO_SSM


def test_an_account_with_thousands_of_other_nodes_takes_no_extra_call() -> None:
    world, crowded = row(4), row(4)
    crowded.ssm.add_foreign_nodes(20_000)
    for one in (world, crowded):
        Updater(one).run()
    asked = [one.findings().calls["ssm:DescribeInstanceInformation"] for one in (world, crowded)]
    assert asked[0] == asked[1] <= 4


def test_activations_are_looked_for_on_a_few_pages_only() -> None:
    world = row(2)
    add(world, node_id=NODE)
    world.ssm.add_foreign_nodes(5_000)
    Updater(world).run()
    assert world.findings().calls["ssm:DescribeInstanceInformation"] <= 10


# Custom builds


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1.20.202410231530", "1.20.202411051200"),
        ("20241023.0.0", "20241105.0.0"),
        ("1.20.0-rc.1", "1.20.0"),
        ("1.20.0+build.7", "1.20.1+build.8"),
    ],
)
def test_a_build_with_times_as_numbers_is_updated(old: str, new: str) -> None:
    world = row(2, version=old, releases=(old, new))
    finished = Updater(world).run()
    assert [str(one.target) for one in finished.outcomes.values() if isinstance(one, Updated)] == [new, new]


def test_a_build_whose_name_no_claim_can_hold_is_read_and_named() -> None:
    branch = "1.21.0-0.20241023.feature-cve-backport-branch-g0123456789abcdef0123456789abcdef01234567"
    world = row(2, releases=(OLD, branch))
    finished = Updater(world).run()
    assert {one.reason for one in finished.outcomes.values() if isinstance(one, Hold)} == {Reason.UNCLAIMABLE}
