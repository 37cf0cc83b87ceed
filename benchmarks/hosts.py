"""The host model: how long a simulated host takes for steps that no updater can speed up.

    reboot      shutdown 6-10 s, boot 30-40 s, agents connected 10-14 s after it: about 54 s in all
    drain       web tasks: the replacement starts first (4-9 s, healthy 10 s later), then the load balancer drains
                for 30 s, then SIGTERM, 5 s; worker tasks end 20 s after SIGTERM: about 65 s in all
    return      the daemon task starts in 4-9 s, and the service scheduler needs a second before
    download    20-40 s, while tasks run; a prepared host has already finished it

Every host draws its own durations from a seed, so that no two hosts keep the same pace.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

from bottlerocket_ecs_updater.simulator.clock import VirtualClock, WorldClock
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Strategy, Workload
from bottlerocket_ecs_updater.simulator.faults import Leftover, StartsWith
from bottlerocket_ecs_updater.simulator.host import HostSpec, HostTiming
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.world.findings import UpdaterLimits
from bottlerocket_ecs_updater.simulator.world.world import World

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
OLD, NEW = "1.20.0", "1.21.0"

WEB = Workload(
    shutdown=timedelta(seconds=5), deregistration_delay=timedelta(seconds=30), healthy_after=timedelta(seconds=10)
)
WORKER = Workload(shutdown=timedelta(seconds=20))
SIDECAR = Workload(cpu=64, memory=64)


@dataclass(frozen=True, slots=True)
class Size:
    """One cluster to roll."""

    instances: int
    budget: int
    prepared: bool = False
    """Whether the update is staged on every host when the updater starts."""
    rough: bool = False
    """Whether it is a cluster of the second world: see `rough`."""
    plain_reboots: bool = False
    """Whether the reboot document is of an earlier version, which checks nothing."""

    @property
    def tasks(self) -> int:
        """Tasks of services other than the daemon one: four on each instance, in the rough world two."""
        return (2 if self.rough else 4) * self.instances


def cluster(size: Size, seed: int = 1, clock: WorldClock | None = None) -> World:
    """A healthy cluster of that size in its steady state, every host one release behind; in virtual time by default."""
    repository = Repository()
    for release in (OLD, NEW):
        repository.publish(Release(release, "aws-ecs-2"))
    world = World(clock or VirtualClock(), seed, repository=repository, budget=UpdaterLimits(size.budget))
    chances = random.Random(seed)
    for number in range(size.instances):
        faults = (StartsWith(Leftover.READY, NEW),) if size.prepared else ()
        host = HostSpec(f"i-{number:017x}", version=OLD, timing=_timing(chances), faults=faults)
        world.add_instance(host, ZONES[number % len(ZONES)])
    for number in range(3):
        world.add_service(ServiceSpec(f"web-{number}", desired=size.instances, workload=WEB, load_balanced=True))
    world.add_service(ServiceSpec("worker", desired=size.instances, workload=WORKER))
    world.add_service(ServiceSpec("agent", strategy=Strategy.DAEMON, workload=SIDECAR))
    world.clock.sleep(timedelta(minutes=2))
    return world


def _timing(chances: random.Random) -> HostTiming:
    def between(shortest: float, longest: float) -> timedelta:
        return timedelta(seconds=chances.uniform(shortest, longest))

    return HostTiming(
        shutdown=between(6, 10),
        boot=between(30, 40),
        ssm_agent_start=between(10, 12),
        ecs_agent_start=between(10, 14),
        prepare=between(20, 40),
    )
