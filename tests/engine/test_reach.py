"""Systems Manager is called only for the hosts of this cluster, and for new hosts as they join."""

from __future__ import annotations

import random
from datetime import timedelta

from tests.support.simulated import OLD, Updater, at_most, instance_id, row

from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.host import Host, HostSpec
from bottlerocket_ecs_updater.simulator.world.world import World


def asked(world: World) -> list[list[str]]:
    """The instances that each call names."""
    seen: list[list[str]] = []

    def authorize(call: Call) -> None:
        if call.operation == "DescribeInstanceInformation":
            seen.append([id_ for one in call.params["Filters"] for id_ in one["Values"]])

    world.authorize = authorize
    return seen


def test_a_small_cluster_takes_one_call_even_in_an_account_with_many_other_nodes() -> None:
    world = row(3, services=0)
    for number in range(60, 260):
        world.ssm.register(Host(world.clock, HostSpec(instance_id(number)), world.repository, random.Random(0)))
    seen = asked(world)
    Updater(world, at_most(3)).run()
    assert seen == [[instance_id(number) for number in range(3)]]


def test_a_large_one_is_a_call_for_each_fifty_hosts() -> None:
    world = row(103, services=0, budget=None)
    seen = asked(world)
    Updater(world, at_most(103)).run()
    assert [len(ids) for ids in seen] == [50, 50, 3]


def test_a_host_that_joins_in_the_middle_of_a_run_is_asked_for_and_updated_in_it() -> None:
    world = row(6, services=0)
    seen = asked(world)

    def join() -> None:
        world.add_instance(HostSpec(instance_id(9), version=OLD), "us-east-1a")

    world.clock.after(timedelta(minutes=3), join)
    finished = Updater(world).run()
    assert finished.counts["updated"] == 7
    assert seen == [[instance_id(number) for number in range(6)], [instance_id(9)]]
