"""Instances that ECS lists but does not describe count as out of service, because their state is not known."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.simulated import OLD, Tape, Updater, instance_id, row

from bottlerocket_ecs_updater.core.model.event import Drained, RunFinished
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.reasons import Hold
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.world.world import World

DARK = InstanceId(instance_id(0))


def describing(world: World, *, without: str, after: timedelta, lasts: timedelta) -> InProcessClients:
    """Clients for which ECS does not describe one instance during that time."""
    clients = InProcessClients(world, caller="run-1")
    ecs = clients.client("ecs")
    real = ecs._call
    since = world.clock.now() + after
    arn = world.instance(without).arn

    def call(operation: str, params: dict[str, Any]) -> Any:
        answer = real(operation, params)
        if operation != "DescribeContainerInstances" or not since <= world.clock.now() < since + lasts:
            return answer
        kept = [shape for shape in answer["containerInstances"] if shape["containerInstanceArn"] != arn]
        left_out = len(kept) < len(answer["containerInstances"])
        failures = [{"arn": arn, "reason": "SERVER", "detail": "try again"}] if left_out else []
        return {**answer, "containerInstances": kept, "failures": failures}

    ecs._call = call  # type: ignore[method-assign]
    return clients


def played(world: World, *, after: timedelta, lasts: timedelta) -> tuple[RunFinished, Tape]:
    tape = Tape()
    clients = describing(world, without=DARK, after=after, lasts=lasts)
    return Updater(world, tape=tape, clients=clients).run(), tape


@pytest.mark.parametrize("after", [timedelta(0), timedelta(seconds=5)], ids=["never described", "described at first"])
def test_an_undescribed_instance_fills_a_budget_of_one(after: timedelta) -> None:
    world = row(3)
    finished, tape = played(world, after=after, lasts=timedelta(days=1))
    held = {why.reason.code for why in finished.outcomes.values() if isinstance(why, Hold)}
    assert held == {"budget", "not-described"}
    assert tape.of(Drained) == []
    assert set(world.findings().versions.values()) == {OLD}


def test_when_it_is_described_again_the_rollout_goes_on() -> None:
    world = row(3, services=0)
    began = world.clock.now()
    finished, tape = played(world, after=timedelta(seconds=5), lasts=timedelta(seconds=22))
    assert finished.counts["updated"] == 3
    assert all(event.at - began > timedelta(seconds=27) for event in tape.of(Drained))
