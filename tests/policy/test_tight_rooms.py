"""Clusters that are nearly full: no drain starts whose tasks have no place, and one with room is not refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.simulated import Updater, at_most, instance_id, row

from bottlerocket_ecs_updater.core.model.outcome import Updated
from bottlerocket_ecs_updater.core.model.reasons import Hold
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Strategy, Workload
from bottlerocket_ecs_updater.simulator.world.world import World


def nearly_full(hosts: int, *services: ServiceSpec, provided: int = 0, most: int = 0) -> World:
    """A cluster with these services; the first `provided` hosts are in a capacity provider of at most `most`."""
    world = row(hosts, services=0, budget=None)
    if provided:
        world.scaling.add("a", *map(instance_id, range(provided)), most=most)
    for one in services:
        world.add_service(one)
    world.clock.sleep(timedelta(minutes=5))
    return world


def rolled(world: World, budget: int = 1, *, settle: timedelta = timedelta(minutes=1)) -> dict[str, str]:
    """The outcome of each host, by the end of its id."""
    finished = Updater(world, replace(at_most(budget), settle=settle)).run()
    outcomes = {
        id_: one.reason.code if isinstance(one, Hold) else "updated" if isinstance(one, Updated) else str(one)
        for id_, one in finished.outcomes.items()
    }
    assert "drain-timed-out" not in outcomes.values()
    assert not world.findings().violations
    return {id_[-4:]: one for id_, one in outcomes.items()}


def work(cpu: int, **more: object) -> Workload:
    return Workload(cpu=cpu, memory=64, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("budget", [1, 2, 3])
def test_a_host_that_was_just_returned_has_no_room_where_its_daemon_tasks_will_start(budget: int) -> None:
    """While they are missing, it seems to have room for the large task, which never gets it."""
    logs = ServiceSpec("logs", strategy=Strategy.DAEMON, workload=work(500))
    large = ServiceSpec("large", desired=1, workload=work(1500))
    outcomes = rolled(nearly_full(4, large, logs), budget, settle=timedelta())
    assert sorted(outcomes.values()) == ["no-room", "updated", "updated", "updated"]


def test_a_host_that_was_just_returned_has_the_room_that_its_daemon_tasks_leave() -> None:
    logs = ServiceSpec("logs", strategy=Strategy.DAEMON, workload=work(100))
    large = ServiceSpec("large", desired=1, workload=work(1500))
    assert set(rolled(nearly_full(4, logs, large), settle=timedelta()).values()) == {"updated"}


def test_a_host_that_a_run_has_just_drained_is_no_room_for_the_next_one() -> None:
    """ECS has not shown the first as DRAINING yet when the second is considered."""
    spread = ServiceSpec("pair", desired=6, workload=work(64), providers=("a",))
    outcomes = rolled(nearly_full(6, spread, provided=2, most=2), budget=3)
    assert set(outcomes.values()) == {"updated"}


def test_tasks_that_a_service_lacks_may_take_the_instance_that_is_added_for_another() -> None:
    """The new instance would have room for the task that must move, but ECS places those that wait first."""
    pinned = ServiceSpec("pinned", desired=1, workload=work(1500), providers=("a",))
    waiting = ServiceSpec("waiting", desired=9, workload=work(900))
    outcomes = rolled(nearly_full(3, pinned, waiting, provided=1, most=2))
    assert outcomes["0000"] == "no-room"


@pytest.mark.parametrize("every", [20, 60, 110])
def test_a_crash_loop_beside_it_hides_no_task_that_must_have_a_host_for_itself(every: int) -> None:
    """The list of tasks on a host is outdated at once; whether a task of the other service is there is still known."""
    alone = ServiceSpec("alone", desired=3, workload=work(64), distinct_instances=True, providers=("a",))
    loop = ServiceSpec("loop", desired=5, workload=work(200, runs_for=timedelta(seconds=every), exit_code=1))
    world = nearly_full(5, alone, loop, provided=3, most=3)
    outcomes = rolled(world, budget=2)
    assert [outcomes[f"000{number}"] for number in range(3)] == ["no-room"] * 3


def test_a_shortage_that_moves_to_another_service_halts_no_run() -> None:
    """The cluster is too small for both: after a drain, ECS gives the room to the one that had none."""
    full = ServiceSpec("full", desired=3, workload=work(1200), minimum_healthy_percent=50)
    starved = replace(full, name="starved", desired=4)
    small = ServiceSpec("small", desired=2, workload=work(300), minimum_healthy_percent=0)
    world = nearly_full(3, full, starved, small)
    assert set(rolled(world).values()) == {"no-room", "updated"}
    assert world.cluster.services["starved"].running > 0
