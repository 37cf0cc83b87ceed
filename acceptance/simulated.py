"""A simulated account for acceptance: four old hosts in two groups, a service, a daemon, and real tasks."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.account.schedule import SimulatedAccount

from acceptance.account import Account
from bottlerocket_ecs_updater.simulator.clock import ScaledClock
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.world.world import World

SPEED = 120
OLD, NEW = "1.20.0", "1.21.0"
HOSTS = 4


def new_site(groups: Sequence[str]) -> tuple[SimulatedAccount, Account]:
    """A running world, and the account that calls it."""
    clock = ScaledClock(SPEED)
    world = World(clock, repository=Repository([Release(version, "aws-ecs-2") for version in (OLD, NEW)]))
    names = [f"i-{number:017x}" for number in range(HOSTS)]
    for number, name in enumerate(names):
        world.add_instance(HostSpec(name, version=OLD), f"us-east-1{'ab'[number % 2]}")
    for place, group in enumerate(groups):
        world.autoscaling.add_group(group, *names[place :: len(groups)])
    world.add_service(ServiceSpec("web", desired=3))
    site = SimulatedAccount(world, clock, lambda _image: [sys.executable, "-m", "bottlerocket_ecs_updater"])
    site.__enter__()
    for place, group in enumerate(groups):
        for name in names[place :: len(groups)]:
            site.facts.tags[name] = {"aws:autoscaling:groupName": group}
    variables = site.environment()
    keys = {
        "aws_access_key_id": variables["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": variables["AWS_SECRET_ACCESS_KEY"],
    }
    return site, Account(world.names.region, variables["AWS_ENDPOINT_URL"], keys, SPEED)
