"""What a run says of its instances: everything that matters, and once."""

from __future__ import annotations

from tests.support.simulated import Updater, row

from bottlerocket_ecs_updater.core.event import InstanceHeld
from bottlerocket_ecs_updater.core.policy import Policy
from bottlerocket_ecs_updater.core.reasons import Reason
from bottlerocket_ecs_updater.core.rules import Rules
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec


def test_why_an_instance_was_given_back_is_said_once() -> None:
    world = row(2, services=0)
    world.add_service(ServiceSpec("stays", desired=2, minimum_healthy_percent=100, maximum_percent=100))
    updater = Updater(world, Policy(rules=Rules(check_room=False)))
    updater.run()
    held = [(event.instance, event.hold.reason) for event in updater.tape.of(InstanceHeld)]
    assert held == [(name, Reason.DRAIN_TIMED_OUT) for name in sorted(world.hosts)]
