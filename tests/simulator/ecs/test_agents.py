"""Agents disconnect and reconnect, and what ECS shows in the meantime."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from tests.simulator.world_bench import Bench, bench, daemon, instance_id, replica

from bottlerocket_ecs_updater.simulator.ecs import EcsTiming
from bottlerocket_ecs_updater.simulator.ecs.model import Last
from bottlerocket_ecs_updater.simulator.faults import EcsAgentLate, NewContainerInstance


def reboot(b: Bench, number: int, seconds: float = 120) -> None:
    b.world.hosts[instance_id(number)].reboot("somebody")
    b.wait(seconds)


def test_a_host_that_goes_down_is_disconnected_a_little_later() -> None:
    b = bench(1)
    reboot(b, 0, seconds=10)
    assert b.show(0)["agentConnected"] is True
    b.wait(10)
    assert b.show(0)["agentConnected"] is False


def test_a_fast_reboot_never_shows() -> None:
    b = bench(1, ecs_timing=EcsTiming(disconnect_lag=timedelta(minutes=5)))
    shown = []
    b.world.hosts[instance_id(0)].reboot("somebody")
    for _ in range(60):
        b.wait(3)
        shown.append(b.show(0)["agentConnected"])
    assert all(shown)
    assert b.world.hosts[instance_id(0)].boots == 2


def test_a_healthy_agent_may_flap() -> None:
    b = bench(1, host_faults={0: (EcsAgentLate(delay=timedelta(), flaps=1),)})
    reboot(b, 0, seconds=0)
    shown = []
    for _ in range(120):
        b.wait(1)
        shown.append(b.show(0)["agentConnected"])
    changes = sum(one is not other for one, other in pairwise(shown))
    assert changes == 4


def test_tasks_show_as_running_until_the_agent_is_back() -> None:
    b = bench(1)
    task = b.world.run_standalone_task(instance_id(0))
    reboot(b, 0, seconds=40)
    seen = [task.last]
    b.wait(60)
    assert [*seen, task.last] == [Last.RUNNING, Last.STOPPED]


def test_a_service_task_that_died_with_its_host_is_replaced_once_the_agent_is_back() -> None:
    b = bench(1, services=(replica(desired=1),))
    first = b.live(0)[0]
    reboot(b, 0, seconds=150)
    assert [(task.last, task is first) for task in b.live(0)] == [(Last.RUNNING, False)]


def test_the_same_registration_comes_back_after_a_reboot() -> None:
    b = bench(1)
    before = b.arn(0)
    reboot(b, 0)
    assert b.arn(0) == before
    assert b.show(0)["agentConnected"] is True


def test_draining_and_attributes_outlast_a_reboot() -> None:
    b = bench(1)
    b.put(0, "note", "kept")
    b.drain(0)
    reboot(b, 0)
    attributes = {each["name"]: each.get("value") for each in b.show(0)["attributes"]}
    assert (b.show(0)["status"], attributes["note"]) == ("DRAINING", "kept")


def test_draining_can_be_made_to_end_with_a_new_registration() -> None:
    b = bench(1, services=(daemon(),), ecs_timing=EcsTiming(draining_survives=False))
    b.drain(0)
    reboot(b, 0, seconds=150)
    assert (b.show(0)["status"], len(b.live(0))) == ("ACTIVE", 1)


def test_attributes_can_be_made_to_be_lost_with_a_new_registration() -> None:
    b = bench(1, ecs_timing=EcsTiming(attributes_survive=False))
    b.put(0, "note", "lost")
    reboot(b, 0)
    names = {each["name"] for each in b.show(0)["attributes"]}
    assert "note" not in names
    assert "bottlerocket.variant" in names


def test_a_lost_checkpoint_makes_a_second_registration() -> None:
    b = bench(1, host_faults={0: (NewContainerInstance(),)})
    b.drain(0)
    before = b.arn(0)
    reboot(b, 0)
    old = b.ecs.describe_container_instances(cluster="demo", containerInstances=[before])["containerInstances"][0]
    assert b.arn(0) != before
    assert (old["status"], old["agentConnected"], b.show(0)["status"]) == ("DRAINING", False, "ACTIVE")


def test_a_terminated_instance_becomes_inactive_and_its_tasks_stop() -> None:
    b = bench(2, services=(replica(desired=2),))
    task = b.live(0)[0]
    b.world.terminate_instance(instance_id(0))
    b.wait(120)
    assert (b.show(0)["status"], task.last) == ("INACTIVE", Last.STOPPED)
    assert b.service("web")["runningCount"] == 2


def test_an_inactive_instance_is_not_listed() -> None:
    b = bench(2)
    b.world.terminate_instance(instance_id(0))
    b.wait(120)
    assert b.ecs.list_container_instances(cluster="demo")["containerInstanceArns"] == [b.arn(1)]


@pytest.mark.parametrize("status", ["ACTIVE", "DRAINING"])
def test_an_inactive_instance_takes_no_status(status: str) -> None:
    b = bench(2)
    b.world.terminate_instance(instance_id(0))
    b.wait(120)
    assert b.set_status(status, 0)["failures"] == [{"arn": b.arn(0), "reason": "INACTIVE"}]


def test_a_flap_of_an_agent_keeps_tasks_away_but_kills_none() -> None:
    b = bench(1, services=(replica(desired=1),))
    task = b.live(0)[0]
    b.world.ecs.agents.flap(b.world.instance(instance_id(0)))
    assert b.show(0)["agentConnected"] is False
    b.wait(60)
    assert (b.show(0)["agentConnected"], b.live(0)) == (True, [task])


def test_healthy_agents_can_be_made_to_flap_about_so_often() -> None:
    b = bench(3, ecs_timing=EcsTiming(flap_every=timedelta(minutes=10)))
    before = b.show(0)["version"]
    b.wait(6000)
    changes = b.show(0)["version"] - before
    assert 5 * 2 <= changes <= 20 * 2
