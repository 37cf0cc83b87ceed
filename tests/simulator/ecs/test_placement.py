"""Where the simulated ECS places tasks: launch types, capacity providers, strategies, and an instance's capacity."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.simulator.world_bench import Bench, bench, instance_id

from bottlerocket_ecs_updater.simulator.ecs import (
    ContainerInstanceSpec,
    ProviderShare,
    ServiceSpec,
    Spreading,
    TaskLaunch,
    Workload,
)
from bottlerocket_ecs_updater.simulator.host import HostSpec

SMALL = Workload(cpu=64, memory=64)


def counts(cluster: Bench, service: str) -> list[int]:
    """How many tasks of the service are on each host."""
    hosts = range(len(cluster.world.hosts))
    return [
        sum(task.group == f"service:{service}" for task in cluster.world.instance(instance_id(number)).tasks.values())
        for number in hosts
    ]


def in_providers(*shares: ProviderShare) -> Bench:
    """Two hosts in the provider `a`, two in `b`."""
    cluster = bench(4)
    cluster.world.scaling.add("a", instance_id(0), instance_id(1))
    cluster.world.scaling.add("b", instance_id(2), instance_id(3))
    names = tuple(share.provider for share in shares)
    cluster.world.add_service(ServiceSpec("web", 6, SMALL, providers=names, shares=shares))
    return cluster


@pytest.mark.parametrize(
    ("shares", "split"),
    [
        ((ProviderShare("a"),), (6, 0)),
        ((ProviderShare("a"), ProviderShare("b")), (3, 3)),
        ((ProviderShare("a", weight=1), ProviderShare("b", weight=2)), (2, 4)),
        ((ProviderShare("a", weight=0, base=1), ProviderShare("b", weight=1)), (1, 5)),
    ],
)
def test_bases_come_first_and_then_weights(shares: tuple[ProviderShare, ...], split: tuple[int, int]) -> None:
    found = counts(in_providers(*shares), "web")
    assert (sum(found[:2]), sum(found[2:])) == split


def test_binpack_fills_one_instance_before_the_next() -> None:
    cluster = bench(3)
    cluster.world.add_service(ServiceSpec("web", 3, SMALL, spreading=Spreading.BINPACK))
    assert sorted(counts(cluster, "web")) == [0, 0, 3]
    cluster.world.add_service(ServiceSpec("api", 3, SMALL))
    assert counts(cluster, "api") == [1, 1, 1]


@pytest.mark.parametrize(("work", "each"), [(Workload(64, 64, awsvpc=True), 2), (Workload(64, 64, ebs=True), 25)])
def test_an_instance_has_so_many_network_interfaces_and_volumes_for_tasks(work: Workload, each: int) -> None:
    cluster = bench(2)
    cluster.world.add_service(ServiceSpec("web", 2 * each + 3, work))
    assert counts(cluster, "web") == [each, each]


def test_a_task_with_its_own_network_interface_uses_no_port_of_the_host() -> None:
    cluster = bench(1)
    own = Workload(64, 64, host_ports=(80,), awsvpc=True)
    cluster.world.add_service(ServiceSpec("web", 2, own))
    assert counts(cluster, "web") == [2]


def test_launch_type_ec2_is_placed_only_on_hosts_of_any_provider() -> None:
    cluster = bench(2)
    world = cluster.world
    world.scaling.add("a", instance_id(0))
    edge = "mi-0a1b2c3d4e5f60718"
    spec = ContainerInstanceSpec(edge, "", (("ecs.capability.external", None),), cpu=8192, memory=32000)
    world.add_instance(HostSpec(edge), "", bottlerocket=False, spec=spec)
    world.add_service(ServiceSpec("web", 4, SMALL))
    world.add_service(ServiceSpec("edge", 2, SMALL, launch=TaskLaunch.EXTERNAL))
    assert {task.group for task in world.instance(edge).tasks.values()} == {"service:edge"}
    on_hosts = [len(world.instance(instance_id(number)).tasks) for number in range(2)]
    assert on_hosts == [2, 2]
    definition = world.ecs.registry.define("once", SMALL)
    strategy = [{"capacityProvider": "a", "weight": 1}]
    placed = cluster.ecs.run_task(cluster="demo", taskDefinition=definition.arn, capacityProviderStrategy=strategy)
    assert placed["tasks"][0]["containerInstanceArn"] == cluster.arn(0)
    apart = [{"type": "distinctInstance"}]
    asked = {"cluster": "demo", "taskDefinition": definition.arn, "placementConstraints": apart, "count": 3}
    answer = cluster.ecs.run_task(launchType="EC2", **asked)
    assert (len(answer["tasks"]), len(answer["failures"])) == (1, 2)


def test_a_provider_below_its_maximum_starts_an_instance_for_a_task_that_has_no_room() -> None:
    cluster = bench(2)
    cluster.world.scaling.add("a", instance_id(0), instance_id(1), most=3)
    cluster.world.add_service(ServiceSpec("web", 9, Workload(cpu=1000, memory=64), providers=("a",)))
    cluster.world.clock.sleep(timedelta(minutes=30))
    members = cluster.world.autoscaling.members_of("a")
    assert len(members) == 3
    assert len(cluster.world.instance(members[-1]).tasks) == 2
    assert cluster.world.instance(members[-1]).spec.capacity_provider == "a"
