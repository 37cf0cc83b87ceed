"""Hosts whose drains or reboots take far longer than others keep none of those out of service.

A run expects what it has seen, and looks first after that time. So it must not expect of all hosts what only some take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from benchmarks.races import ONCE_ASKED
from benchmarks.stopwatch import NOTHING, Stopwatch, out_of_service
from tests.support.simulated import OLD, ZONES, Updater, at_most, instance_id, row

from bottlerocket_ecs_updater.simulator.ecs import ContainerInstanceSpec, ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.host import HostSpec, HostTiming
from bottlerocket_ecs_updater.simulator.world.world import World

SECOND = timedelta(seconds=1)
HOSTS = 12
FIRST_OF_A_KIND = 8
"""Seconds more, for the first hosts after others of another kind."""


def two_services(world: World, *, slow_first: bool) -> None:
    """Half of the hosts run tasks that stop at once, the others tasks that take long. Those with fewer go first."""
    for number in range(HOSTS):
        world.instance(instance_id(number)).custom["pool"] = "slow" if number % 2 else "quick"
    for pool, took, services in (("quick", 10, 2 if slow_first else 1), ("slow", 100, 1 if slow_first else 2)):
        for number in range(services):
            work = Workload(cpu=64, memory=64, shutdown=took * SECOND, stop_timeout=400 * SECOND)
            service = ServiceSpec(f"{pool}-{number}", HOSTS // 2, work, minimum_healthy_percent=0)
            where = f"attribute:pool == {pool}"
            world.add_service(replace(service, distinct_instances=True, member_of=where))


def beyond(world: World) -> Mapping[str, float]:
    """By host, the seconds out of service beyond its own drain and reboot."""
    watch = Stopwatch(world)
    finished = Updater(world, replace(at_most(1), settle=NOTHING)).run()
    assert finished.counts["updated"] == HOSTS
    assert world.findings().clean
    times = {name: out_of_service([lap]) for name, lap in watch.laps.items()}
    return {name: (shown - needed).total_seconds() for name, (shown, needed) in times.items()}


@pytest.mark.parametrize("slow_first", [False, True])
def test_a_host_whose_tasks_stop_at_once_does_not_wait_for_what_others_take(slow_first: bool) -> None:
    world = row(HOSTS, services=0)
    two_services(world, slow_first=slow_first)
    world.clock.sleep(timedelta(minutes=2))
    assert max(beyond(world).values()) <= ONCE_ASKED + FIRST_OF_A_KIND


def test_a_host_of_a_type_that_boots_quickly_does_not_wait_for_what_other_types_take() -> None:
    world = row(0, services=0)
    slow = HostTiming(boot=75 * SECOND)
    for number in range(HOSTS):
        name, type_ = instance_id(number), "g5.xlarge" if number < HOSTS // 2 else "t3.large"
        attributes = (("ecs.cpu-architecture", "x86_64"), ("bottlerocket.variant", "aws-ecs-2"))
        zone = ZONES[number % len(ZONES)]
        host = HostSpec(name, version=OLD, timing=slow if type_ == "g5.xlarge" else HostTiming())
        world.add_instance(host, zone, spec=ContainerInstanceSpec(name, zone, attributes, instance_type=type_))
    world.add_service(ServiceSpec("web", HOSTS))
    world.clock.sleep(timedelta(minutes=2))
    assert max(beyond(world).values()) <= ONCE_ASKED + FIRST_OF_A_KIND
