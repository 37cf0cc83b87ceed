"""Services by launch type, and deployments of every kind, as DescribeServices shows them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.simulated import row

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.ecs import Controller, Rollout, ServiceSpec, TaskLaunch, Way, Workload
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.world.world import World

MINUTE = timedelta(minutes=1)


def shown(world: World, name: str) -> dict[str, Any]:
    client = InProcessClients(world, caller="test").ecs
    found: dict[str, Any] = client.describe_services(cluster="demo", services=[name])["services"][0]
    return found


def deployed(world: World, name: str) -> None:
    service = world.cluster.services[name]
    world.ecs.scheduler.new_deployment(service, service.deployments[0].definition)


def on_instances(world: World, name: str) -> int:
    return sum(1 for task in world.cluster.services[name].live_tasks() if task.instance is not None)


@pytest.mark.parametrize("launch", [TaskLaunch.FARGATE, TaskLaunch.EXTERNAL])
def test_a_service_of_another_launch_type_has_its_tasks_on_no_container_instance(launch: TaskLaunch) -> None:
    world = row(2)
    world.add_service(ServiceSpec("api", desired=3, launch=launch))
    world.clock.sleep(MINUTE)
    service = shown(world, "api")
    assert (service["launchType"], service["runningCount"]) == (launch.value, 3)
    assert on_instances(world, "api") == 0


def test_a_strategy_of_fargate_takes_the_place_of_the_launch_type() -> None:
    world = row(2)
    world.add_service(ServiceSpec("api", desired=2, providers=("FARGATE_SPOT",)))
    service = shown(world, "api")
    assert "launchType" not in service
    assert [one["capacityProvider"] for one in service["capacityProviderStrategy"]] == ["FARGATE_SPOT"]
    assert (service["runningCount"], on_instances(world, "api")) == (2, 0)


def test_a_service_of_a_capacity_provider_is_placed_only_on_its_instances() -> None:
    world = row(2)
    world.add_service(ServiceSpec("api", desired=2, providers=("gpu-hosts",)))
    assert shown(world, "api")["runningCount"] == 0


def test_a_deployment_that_bakes_keeps_both_revisions_until_its_time_is_over() -> None:
    world = row(3)
    world.add_service(ServiceSpec("web", desired=3, rollout=Rollout(Way.BLUE_GREEN, bake=30 * MINUTE)))
    deployed(world, "web")
    world.clock.sleep(20 * MINUTE)
    baking = shown(world, "web")["deployments"]
    assert [(one["status"], one["rolloutState"], one["runningCount"]) for one in baking] == [
        ("PRIMARY", "IN_PROGRESS", 3),
        ("ACTIVE", "COMPLETED", 3),
    ]
    world.clock.sleep(20 * MINUTE)
    assert [one["rolloutState"] for one in shown(world, "web")["deployments"]] == ["COMPLETED"]
    assert shown(world, "web")["runningCount"] == 3


def test_another_controller_shows_task_sets_in_place_of_deployments() -> None:
    world = row(3)
    rollout = Rollout(Way.BLUE_GREEN, Controller.CODE_DEPLOY, bake=30 * MINUTE)
    world.add_service(ServiceSpec("web", desired=3, rollout=rollout))
    deployed(world, "web")
    world.clock.sleep(5 * MINUTE)
    service = shown(world, "web")
    assert service["deploymentController"] == {"type": "CODE_DEPLOY"}
    assert service["deployments"] == []
    assert [one["status"] for one in service["taskSets"]] == ["ACTIVE", "PRIMARY"]


def asked(world: World, operation: str, **params: object) -> dict[str, Any]:
    return world.call("ecs", operation, {"cluster": "demo", "service": "web", **params}, "operator")


def test_a_controller_runs_a_task_set_beside_the_primary_one_until_it_deletes_one() -> None:
    world = row(3)
    world.add_service(ServiceSpec("web", desired=3, rollout=Rollout(controller=Controller.EXTERNAL)))
    before = shown(world, "web")["taskSets"][0]["id"]
    new = asked(world, "CreateTaskSet", taskDefinition="web")["taskSet"]["id"]
    world.clock.sleep(60 * MINUTE)
    sets = {one["id"]: (one["status"], one["runningCount"]) for one in shown(world, "web")["taskSets"]}
    assert sets == {new: ("ACTIVE", 3), before: ("PRIMARY", 3)}
    with pytest.raises(AwsError, match="force"):
        asked(world, "DeleteTaskSet", taskSet=before)
    asked(world, "UpdateServicePrimaryTaskSet", primaryTaskSet=new)
    asked(world, "DeleteTaskSet", taskSet=before)
    world.clock.sleep(10 * MINUTE)
    sets = {one["id"]: (one["status"], one["runningCount"]) for one in asked(world, "DescribeTaskSets")["taskSets"]}
    assert sets == {new: ("PRIMARY", 3)}


def test_a_task_set_that_is_deleted_leaves_the_primary_one() -> None:
    world = row(3)
    world.add_service(ServiceSpec("web", desired=3, rollout=Rollout(controller=Controller.CODE_DEPLOY)))
    new = asked(world, "CreateTaskSet", taskDefinition="web")["taskSet"]["id"]
    world.clock.sleep(5 * MINUTE)
    asked(world, "DeleteTaskSet", taskSet=new)
    world.clock.sleep(10 * MINUTE)
    assert [(one["status"], one["runningCount"]) for one in shown(world, "web")["taskSets"]] == [("PRIMARY", 3)]


def test_a_pause_hook_and_steps_make_a_deployment_longer() -> None:
    assert Rollout(Way.LINEAR, bake=5 * MINUTE, steps=4, pause=60 * MINUTE).lasts == 80 * MINUTE


def test_a_circuit_that_breaks_makes_the_deployment_failed() -> None:
    world = row(3)
    broken = Workload(fails_to_start="CannotPullContainerError: not found")
    world.add_service(ServiceSpec("web", desired=2, workload=broken, rollout=Rollout(circuit_breaker=True)))
    world.clock.sleep(10 * MINUTE)
    deployment = shown(world, "web")["deployments"][0]
    assert (deployment["rolloutState"], deployment["failedTasks"] >= 3) == ("FAILED", True)


def test_a_task_that_fails_to_start_says_so_in_ecs_words() -> None:
    world = row(1)
    world.add_service(ServiceSpec("web", workload=Workload(fails_to_start="CannotPullContainerError: not found")))
    world.clock.sleep(MINUTE)
    ended = next(iter(world.cluster.services["web"].ended.values()))
    assert (ended.stop_code, ended.stopped_reason) == ("TaskFailedToStart", "CannotPullContainerError: not found")


def test_a_service_that_crashes_is_started_again_and_again() -> None:
    world = row(1)
    crash = Workload(runs_for=timedelta(seconds=30), exit_code=1)
    world.add_service(ServiceSpec("web", workload=crash))
    world.clock.sleep(10 * MINUTE)
    codes = {task.exit_code for task in world.cluster.services["web"].ended.values()}
    assert codes == {1}
    assert len(world.cluster.services["web"].ended) > 10
