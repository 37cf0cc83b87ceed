"""Where RunTask places a task with requirements other than room."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from tests.simulator.world_bench import Bench, bench, instance_id

from bottlerocket_ecs_updater.simulator.ecs import Workload

AWAY = [{"type": "memberOf", "expression": "not(task:group == family:updater)"}]
RANDOM = [{"type": "random"}]


def placed(b: Bench, **request: object) -> list[str]:
    """The instances on which a task of the updater is placed, and the reasons why one is not."""
    b.world.ecs.registry.define("updater", Workload())
    answer = b.ecs.run_task(cluster="demo", taskDefinition="updater", launchType="EC2", **request)
    numbers = {b.arn(number): str(number) for number in range(len(b.world.hosts))}
    found = [numbers[task["containerInstanceArn"]] for task in answer["tasks"]]
    return found + [failure["reason"] for failure in answer["failures"]]


def test_a_task_keeps_away_from_a_group_by_its_constraint() -> None:
    b = bench(3)
    for number in (0, 2):
        b.world.run_standalone_task(instance_id(number), family="updater")
    assert placed(b, placementConstraints=AWAY, placementStrategy=RANDOM) == ["1"]


def test_a_task_that_avoids_a_group_on_all_hosts_is_not_placed_and_the_reason_is_given() -> None:
    b = bench(1)
    b.world.run_standalone_task(instance_id(0), family="updater")
    assert placed(b, placementConstraints=AWAY) == ["MemberOf placement constraint unsatisfied."]


def test_a_task_that_is_about_to_stop_does_not_keep_other_tasks_away() -> None:
    b = bench(1)
    task = b.world.run_standalone_task(instance_id(0), family="updater")
    b.ecs.stop_task(cluster="demo", task=task.arn)
    assert placed(b, placementConstraints=AWAY) == ["0"]


def test_at_random_no_instance_is_preferred() -> None:
    assert {placed(bench(3, seed=seed), placementStrategy=RANDOM)[0] for seed in range(20)} == {"0", "1", "2"}


def test_a_draining_instance_gets_none() -> None:
    b = bench(2)
    b.world.operator_drain(instance_id(0))
    assert placed(b, placementStrategy=RANDOM) == ["1"]


@pytest.mark.parametrize(
    ("expression", "places"),
    [
        ("task:group == family:updater", ["0"]),
        ("task:group != family:updater", ["1"]),
        ("task:group in [family:batch, family:updater]", ["0"]),
        ("task:group not_in [family:updater]", ["1"]),
    ],
)
def test_groups_are_read_in_every_form(expression: str, places: list[str]) -> None:
    b = bench(2)
    b.world.run_standalone_task(instance_id(0), family="updater")
    assert placed(b, placementConstraints=[{"type": "memberOf", "expression": expression}]) == places


def test_an_invalid_constraint_is_rejected() -> None:
    with pytest.raises(ClientError, match="not valid"):
        placed(bench(1), placementConstraints=[{"type": "memberOf", "expression": "task:group > 3"}])
