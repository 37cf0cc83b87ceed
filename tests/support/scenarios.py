"""Scenarios that only tests use: kinds of broken hosts, and a cluster of several capacity providers."""

from __future__ import annotations

from dataclasses import replace

from bottlerocket_ecs_updater.core.model.container_instance import EXTERNAL_ATTRIBUTE
from bottlerocket_ecs_updater.simulator.ecs import ContainerInstanceSpec, ServiceSpec, Strategy, TaskLaunch, Workload
from bottlerocket_ecs_updater.simulator.faults import (
    ActivateFails,
    BootHangs,
    ControlContainerMissing,
    DataVolumeFull,
    DockerDead,
    HashMismatch,
    LockBusy,
    Oddity,
    OddOutput,
    OutOfReach,
    RebootIgnored,
    RebootRefused,
    RepositoryDown,
    SingleBank,
    SsmUnreachable,
)
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.scenarios import (
    Fate,
    Member,
    Odd,
    Provider,
    Scenario,
    chances_of,
    healthy_members,
    usual_services,
    with_odd_ones,
)

_BROKEN = (
    Odd("its repository refuses connections", Fate.HELD, (RepositoryDown(),)),
    Odd("its downloads have a wrong hash", Fate.FAILED, (HashMismatch(),)),
    Odd("its data volume is full", Fate.FAILED, (DataVolumeFull(),)),
    Odd("its partition table cannot be changed", Fate.FAILED, (ActivateFails(),)),
    Odd("it has one bank only", Fate.FAILED, (SingleBank(),)),
    Odd("its update lock is held", Fate.HELD, (LockBusy(),)),
    Odd("it refuses to reboot", Fate.FAILED, (RebootRefused(times=None),)),
    Odd("it ignores reboots", Fate.FAILED, (RebootIgnored(times=None),)),
    Odd("it hangs in its first boot", Fate.QUARANTINED, (BootHangs(times=None),)),
    Odd("Docker does not start on the new version", Fate.QUARANTINED, (DockerDead(),)),
    Odd("SSM never returns after the update", Fate.QUARANTINED, (ControlContainerMissing(),)),
    Odd("SSM never knew it", Fate.HELD, (SsmUnreachable(OutOfReach.NEVER_REGISTERED),)),
    Odd("its checks print garbage", Fate.HELD, (OddOutput(Oddity.GARBAGE),)),
)


def anywhere() -> Member:
    """An ECS Anywhere instance: an on-premises machine, which accepts only tasks of launch type EXTERNAL."""
    id_ = "mi-00000000000000000"
    attributes = ((EXTERNAL_ATTRIBUTE, None), ("ecs.os-type", "linux"))
    spec = ContainerInstanceSpec(id_, "", attributes, instance_type="", ami_id="", cpu=8192, memory=32000)
    story = "is an ECS Anywhere instance"
    return Member(HostSpec(id_), "", Fate.FOREIGN, story, bottlerocket=False, spec=spec)


def mixed_cluster(seed: int = 0) -> Scenario:
    """Hosts of two capacity providers, one at its maximum, plus ECS Anywhere and a Managed Instance."""
    members = healthy_members(6, chances_of(seed))
    half = Workload(cpu=1024, memory=1024)
    full = [replace(one, provider="full", fate=Fate.HELD, story="is of a full provider") for one in members[:2]]
    growing = [replace(one, provider="growing") for one in members[2:5]]
    managed = replace(members[5], provider="managed", bottlerocket=False, fate=Fate.FOREIGN)
    return Scenario(
        name="mixed",
        story="capacity providers at and below their maximum, ECS Anywhere and Managed Instances",
        members=(*full, *growing, managed, anywhere()),
        providers=(Provider("full"), Provider("growing", most=4), Provider("managed", managed=True)),
        services=(
            ServiceSpec("api", 2, half, providers=("full",)),
            ServiceSpec("web", 3, half, providers=("growing",)),
            ServiceSpec("edge", 1, launch=TaskLaunch.EXTERNAL),
            ServiceSpec("agent", workload=Workload(cpu=64, memory=128), strategy=Strategy.DAEMON),
            ServiceSpec("beside", 3, Workload(cpu=64, memory=64), member_of="task:group == service:agent"),
        ),
        seed=seed,
    )


def thirteen_broken(healthy: int = 13, seed: int = 0) -> Scenario:
    """Thirteen kinds of broken hosts among healthy ones."""
    chances = chances_of(seed)
    count = healthy + len(_BROKEN)
    members = with_odd_ones(healthy_members(count, chances), _BROKEN, chances)
    return Scenario(
        name="thirteen-broken",
        story="thirteen kinds of broken hosts, and as many healthy ones",
        members=tuple(members),
        services=usual_services(count),
        seed=seed,
        hints={"max-failures": "20", "max-unavailable": "8"},
    )
