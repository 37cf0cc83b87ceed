"""How many tasks a rollout moves: the fewer, the less its services are disturbed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.simulated import Updater, row

from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.simulator.world.world import World


def tasks_to_move(world: World) -> int:
    """Tasks on outdated instances that draining moves: those of services, except daemons."""
    return sum(1 for task in world.cluster.tasks.values() if task.service is not None and not task.is_daemon)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_rollout_of_fifty_at_ten_percent_moves_hardly_more_tasks_than_ran_on_them(seed: int) -> None:
    world = row(50, seed=seed, tasks=4, budget=5)
    before = tasks_to_move(world)
    finished = Updater(world, Policy(max_unavailable=Limit(percent=10), settle=timedelta(seconds=30))).run()
    assert finished.counts["updated"] == 50
    assert world.findings().task_moves <= 1.25 * before
