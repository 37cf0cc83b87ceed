"""Services on Fargate, services that deploy for a day, and services that crashed before the rollout."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.simulated import ZONES, Updater, instance_id, row

from bottlerocket_ecs_updater.core.model.event import Drained, RunHalted
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome, Updated
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.simulator.ecs import (
    ContainerInstanceSpec,
    Controller,
    Rollout,
    ServiceSpec,
    Strategy,
    TaskLaunch,
    Way,
    Workload,
)
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.world.world import World

MINUTE = timedelta(minutes=1)
CRASHES = Workload(runs_for=timedelta(seconds=45), exit_code=1)
FOR_A_DAY = Rollout(Way.BLUE_GREEN, bake=timedelta(hours=24))


def deployed(world: World, name: str) -> None:
    service = world.cluster.services[name]
    world.ecs.scheduler.new_deployment(service, service.deployments[0].definition)
    world.clock.sleep(MINUTE)


def updated(updater: Updater) -> tuple[int, int]:
    """How many were updated, and how the run ended."""
    finished = updater.run()
    assert updater.world.findings().clean
    return finished.counts["updated"], finished.exit_code


elsewhere = st.sampled_from(
    [
        {"launch": TaskLaunch.FARGATE},
        {"launch": TaskLaunch.EXTERNAL},
        {"providers": ("FARGATE_SPOT", "FARGATE")},
        {"providers": ("other-hosts",)},
    ]
)
troubles = st.sampled_from(
    [
        {"workload": CRASHES},
        {"workload": Workload(fails_to_start="CannotPullContainerError: not found")},
        {"rollout": FOR_A_DAY},
        {"rollout": Rollout(never_ends=True)},
        {"rollout": Rollout(Way.BLUE_GREEN, Controller.CODE_DEPLOY, bake=timedelta(hours=8))},
    ]
)


@settings(max_examples=12)
@given(elsewhere, troubles, st.integers(0, 99))
def test_a_service_without_tasks_on_our_hosts_holds_none_and_halts_no_run(
    where: dict[str, object], trouble: dict[str, object], seed: int
) -> None:
    world = row(3, seed=seed)
    world.add_service(ServiceSpec("api", desired=2, **{**where, **trouble}))  # type: ignore[arg-type]
    deployed(world, "api")
    assert updated(Updater(world)) == (3, 0)


def test_a_deployment_holds_the_hosts_that_carry_it_and_no_other() -> None:
    world = row(4)
    on_first = f"ec2InstanceId == {instance_id(0)}"
    world.add_service(ServiceSpec("web", desired=1, member_of=on_first, rollout=FOR_A_DAY))
    deployed(world, "web")
    finished = Updater(world).run()
    held = finished.outcomes[InstanceId(instance_id(0))]
    assert isinstance(held, Hold)
    assert held.reason is Reason.SERVICE_DEPLOYING
    assert "web (since " in str(held)
    assert sum(isinstance(one, Updated) for one in finished.outcomes.values()) == 3


def test_task_sets_of_another_controller_hold_as_a_deployment_does() -> None:
    world = row(2)
    rollout = Rollout(Way.BLUE_GREEN, Controller.CODE_DEPLOY, bake=timedelta(hours=8))
    world.add_service(ServiceSpec("web", desired=2, rollout=rollout))
    deployed(world, "web")
    finished = Updater(world).run()
    assert {getattr(one, "reason", None) for one in finished.outcomes.values()} == {Reason.SERVICE_DEPLOYING}


def test_a_task_set_at_a_scale_of_0_is_no_deployment() -> None:
    """Its controller keeps it to go back quickly: it held the hosts for as long as the service existed."""
    world = row(2)
    world.add_service(ServiceSpec("web", 2, rollout=Rollout(controller=Controller.EXTERNAL, spare_task_set=True)))
    assert updated(Updater(world)) == (2, 0)


def test_a_deployment_that_fails_during_a_drain_ends_the_drain() -> None:
    """ECS starts no more tasks, so those on the host are not replaced: it was out of service for 25 minutes."""
    world = row(4, services=0)
    slow = Workload(shutdown=3 * MINUTE, stop_timeout=5 * MINUTE)
    world.add_service(ServiceSpec("web", desired=8, workload=slow, rollout=Rollout(circuit_breaker=True)))
    world.add_service(ServiceSpec("api", desired=4))
    world.clock.sleep(2 * MINUTE)
    missing = world.ecs.registry.define("web", Workload(fails_to_start="CannotPullContainerError: not found"))
    service = world.cluster.services["web"]
    world.clock.after(timedelta(seconds=30), lambda: world.ecs.scheduler.new_deployment(service, missing))
    updater = Updater(world)
    finished = updater.run()
    assert {getattr(one, "reason", None) for one in finished.outcomes.values()} == {Reason.DEPLOYMENT_FAILED}
    assert len(updater.tape.of(Drained)) == 1
    assert max(world.findings().seconds_out.values()) < 600
    assert world.findings().clean


@pytest.mark.parametrize("seconds", [60, 180, 300])
def test_a_deployment_of_a_missing_image_during_the_rollout_halts_no_run(seconds: int) -> None:
    world = row(4)
    world.add_service(ServiceSpec("web", desired=8, minimum_healthy_percent=50, maximum_percent=100))
    world.clock.sleep(MINUTE)
    missing = world.ecs.registry.define("web", Workload(fails_to_start="CannotPullContainerError: not found"))
    service = world.cluster.services["web"]
    world.clock.after(timedelta(seconds=seconds), lambda: world.ecs.scheduler.new_deployment(service, missing))
    finished = Updater(world).run()
    assert finished.exit_code == 0
    assert finished.counts["updated"] > 0
    assert world.findings().clean


@pytest.mark.parametrize("healthy", [50, 100])
def test_a_deployment_that_the_circuit_breaker_ended_holds_its_hosts_and_no_task_is_moved(healthy: int) -> None:
    """ECS starts no more tasks of it: a drain would time out, or stop tasks that nothing replaces."""
    world = row(4)
    on_first, breaker = f"ec2InstanceId == {instance_id(0)}", Rollout(circuit_breaker=True)
    world.add_service(
        ServiceSpec("web", desired=2, minimum_healthy_percent=healthy, member_of=on_first, rollout=breaker)
    )
    broken = world.ecs.registry.define("web", Workload(fails_to_start="CannotPullContainerError: not found"))
    world.ecs.scheduler.new_deployment(world.cluster.services["web"], broken)
    world.clock.sleep(20 * MINUTE)
    finished = Updater(world).run()
    held = finished.outcomes[InstanceId(instance_id(0))]
    assert isinstance(held, Hold)
    assert held.reason is Reason.DEPLOYMENT_FAILED
    assert finished.counts["updated"] == 3
    assert world.findings().clean
    assert Updater(world, name="run-2").run().exit_code == 3


@pytest.mark.parametrize("lives", [30, 75, 150])
def test_a_service_that_crashed_before_the_rollout_halts_no_run(lives: int) -> None:
    world = row(4)
    crashes = Workload(runs_for=timedelta(seconds=lives), exit_code=1)
    world.add_service(ServiceSpec("looper", desired=2, minimum_healthy_percent=0, workload=crashes))
    world.clock.sleep(20 * MINUTE)
    updater = Updater(world)
    assert updated(updater) == (4, 0)
    assert not updater.tape.of(RunHalted)


def test_a_service_that_never_starts_since_before_the_rollout_halts_no_run() -> None:
    world = row(3)
    broken = Workload(fails_to_start="CannotPullContainerError: not found")
    world.add_service(ServiceSpec("broken", desired=3, workload=broken))
    world.clock.sleep(20 * MINUTE)
    finished = Updater(world).run()
    assert finished.outcome is not RunOutcome.HALTED


@pytest.mark.parametrize("minutes", [2, 4, 7])
def test_a_service_that_is_scaled_up_beyond_its_room_is_no_harm_of_ours(minutes: int) -> None:
    """It has not lost a task. Hosts with its tasks are held for lack of room, and no run halts."""
    world = row(5)

    def scale_up() -> None:
        service = world.cluster.services["web-0"]
        service.desired = 90
        world.ecs.scheduler.wake(service)

    world.clock.after(minutes * MINUTE, scale_up)
    updater = Updater(world)
    finished = updater.run()
    assert not updater.tape.of(RunHalted)
    held = {one.reason for one in finished.outcomes.values() if isinstance(one, Hold)}
    assert held == {Reason.NO_ROOM}
    assert Updater(world, name="run-2").run().exit_code == 3
    assert world.findings().clean


@pytest.mark.parametrize("desired", [0, 1, 30])
def test_a_service_that_is_scaled_again_and_again_holds_up_nothing(desired: int) -> None:
    world = row(4)

    def scale(to: int, back: int) -> None:
        service = world.cluster.services["web-1"]
        service.desired = to
        world.ecs.scheduler.wake(service)
        world.clock.after(timedelta(seconds=70), lambda: scale(back, to))

    world.clock.after(MINUTE, lambda: scale(desired, 4))
    finished = Updater(world).run()
    assert finished.outcome is not RunOutcome.HALTED
    assert world.findings().clean


# Services of other hosts in a mixed cluster


LEGACY = ServiceSpec("legacy", desired=2, workload=Workload(cpu=1500))
ONLY = "attribute:stack == legacy"
OF_OTHERS = {
    "the service": replace(LEGACY, member_of=ONLY),
    "its task definition": replace(LEGACY, workload=Workload(cpu=1500, member_of=ONLY)),
    "what Bottlerocket is not": replace(LEGACY, member_of="attribute:bottlerocket.variant !exists"),
    "its GPUs": replace(LEGACY, workload=Workload(gpus=1)),
    "its size": replace(LEGACY, workload=Workload(memory=9000)),
    "an attribute that it requires": replace(LEGACY, workload=Workload(cpu=1500, required_attributes=("stack",))),
}


def beside_others(how: str) -> World:
    """Bottlerocket hosts, and two other hosts that are full with their own service."""
    world = row(4)
    for number in (60, 61):
        id_ = instance_id(number)
        spec = ContainerInstanceSpec(id_, ZONES[0], (("stack", "legacy"),), memory=10_000, gpus=1)
        world.add_instance(HostSpec(id_), ZONES[0], bottlerocket=False, spec=spec)
    world.add_service(OF_OTHERS[how])
    world.clock.sleep(MINUTE)
    return world


@pytest.mark.parametrize("how", OF_OTHERS)
def test_a_service_that_no_host_of_ours_may_run_halts_no_run(how: str) -> None:
    """One of the other hosts dies during the rollout, and its task no longer has room."""
    world = beside_others(how)
    world.clock.after(3 * MINUTE, lambda: world.terminate_instance(instance_id(60)))
    assert updated(Updater(world)) == (4, 0)


def test_a_daemon_of_other_hosts_that_never_starts_halts_no_run() -> None:
    world = beside_others("the service")
    world.add_service(ServiceSpec("probe", strategy=Strategy.DAEMON, member_of="attribute:stack == legacy"))
    world.clock.sleep(MINUTE)
    broken = world.ecs.registry.define("probe", Workload(fails_to_start="CannotPullContainerError: not found"))
    service = world.cluster.services["probe"]
    world.clock.after(2 * MINUTE, lambda: world.ecs.scheduler.new_deployment(service, broken))
    assert updated(Updater(world)) == (4, 0)
