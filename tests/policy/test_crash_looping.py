"""Services that crash-looped before the rollout: no useless drains, no killed tasks, and no version blamed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.simulated import NEW, OLD, ZONES, Updater, at_most, instance_id

from bottlerocket_ecs_updater.core.model.event import RunHalted
from bottlerocket_ecs_updater.core.model.outcome import Updated
from bottlerocket_ecs_updater.core.model.reasons import Hold
from bottlerocket_ecs_updater.engine.store.ledger_store import UnkeptLedger
from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.ecs import EcsTiming, Order, ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.world.findings import UpdaterLimits
from bottlerocket_ecs_updater.simulator.world.world import World

BEFORE = timedelta(minutes=20)
EXPECTED = {"updated", "up-to-date", "no-room"}
"""A crash loop causes no other holds. A host without room is held for that reason."""


def town(
    hosts: int,
    services: int,
    desired: int,
    every: int,
    *,
    minimum: int = 100,
    cpu: int = 256,
    web: int = 2,
    order: Order = Order.WOKEN,
) -> World:
    """A cluster whose services have crash-looped for a while, and a healthy service."""
    repository = Repository()
    for release in (OLD, NEW):
        repository.publish(Release(release, "aws-ecs-2"))
    timing = EcsTiming(order=order)
    limits = UpdaterLimits(1)
    world = World(VirtualClock(), 1, repository=repository, budget=limits, ecs_timing=timing, validate_answers=True)
    for number in range(hosts):
        world.add_instance(HostSpec(instance_id(number), version=OLD), ZONES[number % len(ZONES)])
    for number in range(services):
        life = Workload(cpu=cpu, runs_for=timedelta(seconds=every + number), exit_code=1)
        world.add_service(
            ServiceSpec(f"crash-{number}", desired=desired, minimum_healthy_percent=minimum, workload=life)
        )
    if web:
        world.add_service(ServiceSpec("web", desired=web))
    world.clock.sleep(BEFORE)
    return world


def roll(world: World, runs: int = 2) -> tuple[set[str], list[str]]:
    """The outcomes of the hosts in the runs, and why the runs halted."""
    ledger, said, halts = UnkeptLedger(), set[str](), list[str]()
    for number in range(runs):
        updater = Updater(world, at_most(1), name=f"run-{number}", ledger=ledger)
        finished = updater.run()
        said |= {
            one.reason.code if isinstance(one, Hold) else "updated" if isinstance(one, Updated) else "up-to-date"
            for one in finished.outcomes.values()
        }
        halts += [halt.why for halt in updater.tape.of(RunHalted)]
        world.clock.sleep(timedelta(hours=1))
    return said, halts


def assert_harmless(world: World) -> None:
    said, halts = roll(world)
    assert said <= EXPECTED
    assert halts == []
    assert world.findings().clean


@settings(max_examples=25, deadline=None)
@given(
    hosts=st.integers(1, 4),
    services=st.integers(1, 3),
    desired=st.integers(1, 4),
    every=st.sampled_from([1, 3, 10, 30, 60, 180, 600]),
    minimum=st.sampled_from([0, 50, 100]),
    cpu=st.sampled_from([256, 1024]),
    order=st.sampled_from(Order),
)
def test_a_crash_loop_makes_no_drain_time_out_and_no_version_suspect(
    hosts: int, services: int, desired: int, every: int, minimum: int, cpu: int, order: Order
) -> None:
    assert_harmless(town(hosts, services, desired, every, minimum=minimum, cpu=cpu, order=order))


@pytest.mark.parametrize(
    ("hosts", "services", "desired", "every", "minimum", "cpu"),
    [
        pytest.param(2, 1, 2, 10, 50, 1024, id="a task between two tries takes the last room"),
        pytest.param(2, 3, 4, 60, 0, 256, id="replacements that need not be healthy take the last room"),
        pytest.param(3, 1, 4, 10, 0, 1024, id="on several hosts"),
        pytest.param(4, 3, 2, 180, 0, 1024, id="every host is updated before anything fails on the last one"),
        pytest.param(3, 3, 4, 180, 0, 1024, id="an hour later ECS shows no failure from before"),
        pytest.param(2, 3, 1, 180, 0, 1024, id="an hour later, with a host that is not updated"),
        pytest.param(3, 1, 4, 180, 0, 256, id="those elsewhere are too young to tell"),
        pytest.param(2, 2, 4, 60, 0, 1024, id="two services compete for room that one of them had before"),
    ],
)
def test_crash_loops_that_once_made_a_drain_time_out_or_a_version_suspect(
    hosts: int, services: int, desired: int, every: int, minimum: int, cpu: int
) -> None:
    assert_harmless(town(hosts, services, desired, every, minimum=minimum, cpu=cpu))


@pytest.mark.parametrize("order", Order)
def test_services_that_crashed_only_a_few_times_before_the_rollout_make_no_version_suspect(order: Order) -> None:
    """An hour after the rollout, ECS shows failed tasks on the new version only."""
    assert_harmless(town(5, 3, 1, 600, minimum=0, cpu=64, web=0, order=order))


def test_the_hold_names_the_tasks_that_may_take_the_room() -> None:
    world = town(2, 3, 4, 60, minimum=0)
    finished = Updater(world, at_most(1)).run()
    [why, *_] = [str(one) for one in finished.outcomes.values() if isinstance(one, Hold)]
    assert "its tasks of web cannot move" in why
    assert "after tasks of other services that ECS may place first" in why
    assert "of crash-0" in why
