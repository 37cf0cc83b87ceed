"""Scenarios as values: the contents of a world, its faults, and the expected outcome of each instance."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.aws_basics.names import Names
from bottlerocket_ecs_updater.simulator.ecs import (
    ContainerInstanceSpec,
    EcsTiming,
    ServiceSpec,
    Strategy,
    Workload,
)
from bottlerocket_ecs_updater.simulator.faults import (
    BootHangs,
    Fault,
    FaultPlan,
    HashMismatch,
    RollsBack,
)
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.ssm import SsmTiming
from bottlerocket_ecs_updater.simulator.world.findings import UpdaterLimits
from bottlerocket_ecs_updater.simulator.world.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bottlerocket_ecs_updater.simulator.clock import WorldClock

VARIANT = "aws-ecs-2"
OLD, NEW = "1.52.0", "1.53.1"
TOO_OLD, TOO_OLD_VARIANT = "1.0.3", "aws-ecs-1"
ZONES = ("a", "b", "c")
FEWEST_IN_SHOWCASE = 8


class Fate(StrEnum):
    """The expected outcome of an instance in a run with default settings."""

    UPDATED = "updated"
    UP_TO_DATE = "up to date"
    HELD = "held"
    """Not updated, for a reason that is not a failure."""
    FAILED = "failed"
    """In service, on its old version."""
    QUARANTINED = "quarantined"
    FOREIGN = "foreign"
    """Not Bottlerocket: neither updated nor counted."""


@dataclass(frozen=True, slots=True)
class Member:
    """One container instance of a scenario."""

    host: HostSpec
    zone: str
    """The zone's letter."""
    fate: Fate = Fate.UPDATED
    story: str = "has an update available"
    bottlerocket: bool = True
    standalone: Workload | None = None
    """A standalone task that runs on it."""
    drained_by_operator: bool = False
    provider: str = ""
    """Its capacity provider, one of the scenario's; empty if it has none."""
    warm_pool: str = ""
    """The Auto Scaling group that keeps it stopped in its warm pool; empty if none does."""
    spec: ContainerInstanceSpec | None = None
    """Its container instance if it is a special one, such as from `anywhere`."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A capacity provider of a scenario, with the members that name it."""

    name: str
    most: int | None = None
    """The maximum size of its Auto Scaling group; None for its current size."""
    scaling: bool = True
    """Whether its managed scaling is on."""
    managed: bool = False
    """Whether its instances are ECS Managed Instances instead of an Auto Scaling group's."""
    refreshes_at: timedelta | None = None
    """When an instance refresh of its group starts; None for never."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A world that can be built repeatedly, identical each time."""

    name: str
    story: str
    members: tuple[Member, ...]
    services: tuple[ServiceSpec, ...] = ()
    providers: tuple[Provider, ...] = ()
    releases: tuple[Release, ...] = (Release(NEW, VARIANT), Release(OLD, VARIANT))
    faults: FaultPlan = field(default_factory=FaultPlan)
    seed: int = 0
    cluster: str = "demo"
    names: Names = field(default_factory=Names)
    ecs_timing: EcsTiming = field(default_factory=EcsTiming)
    ssm_timing: SsmTiming = field(default_factory=SsmTiming)
    hints: Mapping[str, str] = field(default_factory=dict)
    """Settings for the scenario, by long flag name."""

    def build(self, clock: WorldClock, *, budget: UpdaterLimits | None = None, validate_answers: bool = False) -> World:
        """Build a new world on this clock."""
        world = World(
            clock,
            self.seed,
            names=self.names,
            cluster=self.cluster,
            repository=Repository(self.releases),
            faults=self.faults,
            ecs_timing=self.ecs_timing,
            ssm_timing=self.ssm_timing,
            budget=budget,
            validate_answers=validate_answers,
        )
        for member in self.members:
            zone = self.names.region + member.zone
            world.add_instance(member.host, zone, bottlerocket=member.bottlerocket, spec=member.spec)
        for provider in self.providers:
            ids = [member.host.instance_id for member in self.members if member.provider == provider.name]
            if provider.managed:
                world.scaling.add_managed_instances(provider.name, *ids)
            else:
                world.scaling.add(provider.name, *ids, most=provider.most, scaling=provider.scaling)
                if provider.refreshes_at is not None:
                    clock.after(provider.refreshes_at, partial(world.autoscaling.start_refresh, provider.name))
        for member in self.members:
            if member.warm_pool:
                world.put_into_warm_pool(member.warm_pool, member.host.instance_id)
        for service in self.services:
            world.add_service(service)
        for member in self.members:
            if member.standalone is not None:
                world.run_standalone_task(member.host.instance_id, member.standalone)
            if member.drained_by_operator:
                world.operator_drain(member.host.instance_id)
        return world

    @property
    def fates(self) -> dict[str, Fate]:
        """The expected outcome of each instance, by id."""
        return {member.host.instance_id: member.fate for member in self.members}


def row(
    instances: int = 4,
    *,
    seed: int = 0,
    services: tuple[ServiceSpec, ...] | None = None,
    faults: FaultPlan | None = None,
) -> Scenario:
    """A simple healthy cluster: every instance has an update, every service can be moved."""
    return Scenario(
        name="row",
        story=f"{instances} healthy instance{'s' * (instances != 1)} with an update available",
        members=tuple(healthy_members(instances, chances_of(seed))),
        services=usual_services(instances) if services is None else services,
        faults=faults or FaultPlan(seed=seed),
        seed=seed,
    )


@dataclass(frozen=True, slots=True)
class Odd:
    """What makes one instance of a cluster special."""

    story: str
    fate: Fate
    faults: tuple[Fault, ...] = ()
    version: str | None = None
    variant: str | None = None
    bottlerocket: bool = True
    standalone: Workload | None = None

    def put_on(self, member: Member) -> Member:
        """Apply it to a member."""
        host = replace(
            member.host,
            faults=self.faults,
            version=self.version or member.host.version,
            variant=self.variant or member.host.variant,
        )
        return replace(
            member,
            host=host,
            fate=self.fate,
            story=self.story,
            bottlerocket=self.bottlerocket,
            standalone=self.standalone,
        )


def showcase_cluster(instances: int = 12, seed: int = 0, *, quarantine: bool = False) -> Scenario:
    """A small cluster with one instance for each outcome that a run can report.

    With `quarantine`, the last healthy instance hangs in its first boot. Raises ValueError for fewer than 8 instances:
    none of them would be healthy.
    """
    if instances < FEWEST_IN_SHOWCASE:
        raise ValueError(f"a showcase cluster needs {FEWEST_IN_SHOWCASE} instances at least, not {instances}")
    chances = chances_of(seed)
    members = with_odd_ones(healthy_members(instances, chances), _ODD_ONES, chances)
    if quarantine:
        last = max(place for place, member in enumerate(members) if member.fate is Fate.UPDATED)
        members[last] = _HANGS.put_on(members[last])
    return Scenario(
        name="showcase",
        story="three zones, two services and a daemon service, and one instance for each situation that a run may meet",
        members=tuple(members),
        services=usual_services(instances),
        seed=seed,
        hints={"max-unavailable": "2", "max-failures": "3"} if quarantine else {},
    )


def demo_cluster(instances: int, seed: int = 0) -> Scenario:
    """The cluster for demos: one instance of each kind if there are enough; only healthy ones in a small cluster."""
    if instances < FEWEST_IN_SHOWCASE:
        return row(instances, seed=seed)
    return showcase_cluster(instances, seed, quarantine=instances > FEWEST_IN_SHOWCASE)


def usual_services(instances: int) -> tuple[ServiceSpec, ...]:
    """Two services and a daemon service, small enough to leave room for moves.

    With one instance there is nowhere to move to, so both may stop while it reboots.
    """
    least_web, least_api = (100, 50) if instances > 1 else (0, 0)
    web = Workload(cpu=128, memory=256, shutdown=timedelta(seconds=3))
    api = Workload(
        cpu=256,
        memory=512,
        shutdown=timedelta(seconds=5),
        deregistration_delay=timedelta(seconds=10),
        healthy_after=timedelta(seconds=6),
    )
    return (
        ServiceSpec("web", 2 * instances, web, minimum_healthy_percent=least_web),
        ServiceSpec("api", instances, api, minimum_healthy_percent=least_api, maximum_percent=150, load_balanced=True),
        ServiceSpec("log-router", workload=Workload(cpu=64, memory=128), strategy=Strategy.DAEMON),
    )


_ODD_ONES = (
    Odd("runs the newest version already", Fate.UP_TO_DATE, version=NEW),
    Odd("is not Bottlerocket", Fate.FOREIGN, bottlerocket=False),
    Odd("is too old to be updated in place", Fate.HELD, version=TOO_OLD, variant=TOO_OLD_VARIANT),
    Odd("runs a standalone task", Fate.HELD, standalone=Workload(cpu=128, memory=256)),
    Odd("cannot download its update", Fate.FAILED, (HashMismatch(),)),
    Odd("rolls back at its first boot", Fate.FAILED, (RollsBack(),)),
)

_HANGS = Odd("hangs in its first boot, and ends in quarantine", Fate.QUARANTINED, (BootHangs(times=None),))


def chances_of(seed: int) -> random.Random:
    """The random choices of a scenario; the same each time."""
    # Reproducible chances of a simulated world, not secrets.
    return random.Random(f"{seed}/scenario")  # noqa: S311


def healthy_members(instances: int, chances: random.Random) -> list[Member]:
    """Healthy instances, spread over the zones."""
    return [Member(_host(chances, place), ZONES[place % len(ZONES)]) for place in range(instances)]


def with_odd_ones(members: Sequence[Member], odd_ones: Sequence[Odd], chances: random.Random) -> list[Member]:
    """The members, with as many of them special, at random places."""
    odd = dict(zip(chances.sample(range(len(members)), len(odd_ones)), odd_ones, strict=True))
    return [odd[place].put_on(member) if place in odd else member for place, member in enumerate(members)]


def _host(chances: random.Random, place: int) -> HostSpec:
    instance_id = f"i-{place:03x}{chances.getrandbits(56):014x}"
    return HostSpec(instance_id, VARIANT, version=OLD, seed=chances.randrange(2048))
