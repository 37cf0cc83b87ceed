"""Reads from a fleet what the check for room needs: the capacity of each instance, and how ECS places each service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from bottlerocket_ecs_updater.core.capacity.daemon_share import DaemonShare
from bottlerocket_ecs_updater.core.capacity.host_room import Capacity, ServiceRules, doubts_of
from bottlerocket_ecs_updater.core.capacity.will_it_fit import Coming
from bottlerocket_ecs_updater.core.model.auto_scaling import taken_away
from bottlerocket_ecs_updater.core.model.capacity_provider import (
    LaunchType,
    cannot_grow,
    doubt_of_growth,
    to_let_it_grow,
)
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import Registration, Task
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.resources import DeploymentLimits, TaskRequirements, VolumeLimit
from bottlerocket_ecs_updater.core.model.services import Service
from bottlerocket_ecs_updater.core.model.time_text import has_passed

SUBNET_ATTRIBUTE = "ecs.subnet-id"
LISTED_LATELY = timedelta(minutes=2)

TRUNK_ATTRIBUTE = "ecs.awsvpc-trunk-id"
"""The attribute of an instance with trunking, which has many more network interfaces for tasks.

Source: "Increase Amazon ECS network interfaces".
"""


def coming_instances(fleet: Fleet, daemons: DaemonShare) -> Sequence[Coming]:
    """The instances that capacity providers may still add, each like the largest one of the provider."""
    growing = {one.name: one for one in (fleet.providers or {}).values() if one.more and one.scales}
    largest: dict[str, tuple[int, int, Instance]] = {}
    for instance in fleet.instances.values() if growing else ():
        registration = instance.registration
        if registration is not None and registration.registered and registration.capacity_provider in growing:
            size = registration.registered.memory, registration.registered.cpu
            before = largest.get(registration.capacity_provider)
            if before is None or size > before[:2]:
                largest[registration.capacity_provider] = (*size, instance)
    found = (
        (growing[name], _capacity_like(instance, fleet, daemons)) for name, (*_, instance) in sorted(largest.items())
    )
    return [Coming(one.name, one.more or 0, one.most or 0, like) for one, like in found]


def _capacity_like(instance: Instance, fleet: Fleet, share: DaemonShare) -> Capacity:
    """The capacity of a new instance like this one, less what daemon services need."""
    registration = instance.registration
    assert registration is not None
    assert registration.registered is not None
    daemons = frozenset(task.group for task in instance.tasks_left if task.daemon)
    left = registration.registered
    return Capacity(
        left.cpu - share.cpu,
        left.memory - share.memory,
        left.gpus,
        left.ports_taken,
        attributes=registration.attributes,
        hosts=frozenset(),
        interfaces=_interfaces_left(registration, (), fleet),
        volumes=_volumes_left(registration, (), fleet),
        volumes_shared=_volumes_shared(registration, fleet),
        provider=registration.capacity_provider,
        capabilities=registration.capabilities,
        groups=daemons,
        running=len(daemons),
        expected=True,
    )


def capacity_of(
    instance: Instance, fleet: Fleet, services: Mapping[str, ServiceArn], daemons: DaemonShare
) -> Capacity | None:
    """The free capacity of an instance; None if not known. `services` has each service by its task group."""
    registration = instance.registration
    if registration is None or registration.remaining is None:
        return None
    left = registration.remaining
    tasks = instance.tasks_left
    known = instance.tasks is not None and not tasks_changed(instance)
    hosts = {arn for task in tasks if task.of_service and (arn := services.get(task.group)) is not None}
    short = daemons.missing_on(instance, fleet.at)
    return Capacity(
        left.cpu - (daemons.cpu if short else 0),
        left.memory - (daemons.memory if short else 0),
        left.gpus,
        left.ports_taken,
        attributes=registration.attributes,
        accepts=accepts_tasks(instance),
        hosts=frozenset(hosts) if known or _was_listed_lately(instance, fleet) else None,
        launch=_launch_of(instance, registration),
        provider=registration.capacity_provider,
        capabilities=registration.capabilities,
        groups=frozenset(task.group for task in tasks) if known else None,
        running=registration.running_tasks,
        agent_version=registration.agent_version,
        registered_at=registration.registered_at,
        interfaces=_interfaces_left(registration, tasks, fleet) if known else None,
        volumes=_volumes_left(registration, tasks, fleet) if known else None,
        volumes_shared=_volumes_shared(registration, fleet),
    )


def _volume_limit(registration: Registration, fleet: Fleet) -> VolumeLimit | None:
    return (fleet.volumes or {}).get(registration.type)


def _volumes_shared(registration: Registration, fleet: Fleet) -> bool:
    limit = _volume_limit(registration, fleet)
    return limit is not None and limit.shared and TRUNK_ATTRIBUTE not in registration.attributes


def _volumes_left(registration: Registration, tasks: Sequence[Task], fleet: Fleet) -> int | None:
    """How many EBS volumes can still be attached to it for tasks; None if EC2 does not give a limit of its type."""
    limit = _volume_limit(registration, fleet)
    if limit is None:
        return None
    shared = sum(task.own_interface for task in tasks) if _volumes_shared(registration, fleet) else 0
    return max(0, limit.most - sum(task.own_volume for task in tasks) - shared)


def _interfaces_left(registration: Registration, tasks: Sequence[Task], fleet: Fleet) -> int | None:
    """Its network interfaces for tasks; None if its type is not known, or if trunking gives it more."""
    most = (fleet.interfaces or {}).get(registration.type)
    if most is None or TRUNK_ATTRIBUTE in registration.attributes:
        return None
    return max(0, most - 1 - sum(task.own_interface for task in tasks))


def accepts_tasks(instance: Instance) -> bool:
    """Whether ECS places tasks on it that stay there."""
    registration = instance.registration
    ready = registration is not None and registration.in_service
    # ECS may have shown it as ACTIVE before the drain that has just begun.
    return ready and not _is_leaving(instance) and not is_drained_by_us(instance)


def is_drained_by_us(instance: Instance) -> bool:
    """Whether our claim says that it is being drained, whatever ECS showed last."""
    return instance.claim is not None and instance.claim.phase is ClaimPhase.DRAINING


def _is_leaving(instance: Instance) -> bool:
    """Whether its group terminates it, or keeps it in its warm pool. ECS may place tasks there, which do not last."""
    return taken_away(instance.membership) is not None


def _was_listed_lately(instance: Instance, fleet: Fleet) -> bool:
    """Whether its tasks were listed a short while ago. Then most of them are still there, even if some have changed.

    While a service crashes in a loop, every list is outdated at once.
    """
    tasks = instance.tasks
    return tasks is not None and not has_passed(tasks.at, LISTED_LATELY, fleet.at)


def tasks_changed(instance: Instance) -> bool:
    """Whether ECS counts more or fewer tasks on it than were listed, so that its tasks are not known."""
    registration, tasks = instance.registration, instance.tasks
    if registration is None or tasks is None:
        return False
    running, pending = registration.running_tasks, registration.pending_tasks
    return len(tasks.left) not in (running, running + pending)


def _launch_of(instance: Instance, registration: Registration) -> LaunchType:
    """The launch type of an instance: its agent shows ECS Anywhere, its provider or EC2 shows Managed Instances."""
    if registration.external:
        return LaunchType.EXTERNAL
    return LaunchType.MANAGED_INSTANCES if instance.managed else LaunchType.EC2


def with_doubts(rules: ServiceRules | None, capacity: Mapping[InstanceId, Capacity]) -> ServiceRules | None:
    """The same rules, with what cannot be checked on these instances."""
    doubts = doubts_of(rules, capacity) if rules is not None else ()
    return replace(rules, doubts=(*rules.doubts, *doubts)) if rules is not None and doubts else rules


def zones_of_subnets(fleet: Fleet) -> Mapping[str, str]:
    """The zone of each subnet with an instance in it."""
    registrations = (one.registration for one in fleet.instances.values())
    known = ((one.attributes.get(SUBNET_ATTRIBUTE, ""), one.zone) for one in registrations if one is not None)
    return {subnet: zone for subnet, zone in known if subnet and zone}


def rules_of(service: Service, fleet: Fleet, subnets: Mapping[str, str]) -> ServiceRules | None:
    """How ECS places the tasks of a service; None if its deployment limits or its task definition are not known.

    `subnets` are the zones of subnets, as far as they are known.
    """
    deployment = service.deployment
    if deployment is None or fleet.definitions is None:
        return None
    definition = fleet.definitions.get(deployment.definition)
    if definition is None:
        return None
    # Of its launch types, only these have room that no instance here provides.
    elsewhere = deployment.launch in (LaunchType.FARGATE, LaunchType.MANAGED_INSTANCES, LaunchType.OTHER)
    growth = _growth_of(deployment.providers, fleet) if deployment.providers else _Growth(elsewhere)
    reach = _reach_of(service.name, deployment.subnets if definition.demand.interfaces else (), subnets)
    demand = _with_required(definition.demand, deployment, fleet)
    return ServiceRules(
        arn=service.arn,
        name=service.name,
        desired=service.desired,
        running=service.running,
        pending=service.pending,
        starts=not service.failed,
        minimum_healthy_percent=deployment.minimum_healthy_percent,
        maximum_percent=deployment.maximum_percent,
        daemon=service.daemon,
        distinct=deployment.distinct,
        member_of=(*deployment.member_of, *definition.member_of),
        demand=demand,
        launch=deployment.launch,
        providers=deployment.providers,
        grows=growth.without_end,
        why_not=growth.why_not,
        to_grow=growth.to_grow,
        doubts=(*growth.doubts, *reach.doubts),
        strategies=deployment.strategies,
        shares=deployment.shares,
        zones=reach.zones,
    )


def _with_required(demand: TaskRequirements, deployment: DeploymentLimits, fleet: Fleet) -> TaskRequirements:
    """The same requirements, with the attributes that ECS requires for what the service has turned on.

    One that no instance has is left out: its name must have changed.
    """
    if not deployment.required:
        return demand
    registrations = (one.registration for one in fleet.instances.values())
    attributes = [one.attributes for one in registrations if one is not None]
    known = {name for name in deployment.required if any(name in each for each in attributes)}
    return replace(demand, required=demand.required | known)


@dataclass(frozen=True, slots=True)
class _Reach:
    """The zones in which the tasks of a service may have their network interfaces."""

    zones: frozenset[str] | None = None
    doubts: tuple[str, ...] = ()


def _reach_of(name: str, wanted: Sequence[str], subnets: Mapping[str, str]) -> _Reach:
    """The zones of its subnets; all zones if one is not known, with a doubt if they cannot be in all zones."""
    unknown = [subnet for subnet in wanted if subnet not in subnets]
    if not wanted:
        return _Reach()
    if not unknown:
        return _Reach(frozenset(subnets[subnet] for subnet in wanted))
    if len(wanted) >= len(frozenset(subnets.values())):
        return _Reach()
    where = f"no instance is in its subnet {unknown[0]}, so the zone of that is not known"
    return _Reach(doubts=(f"not evaluated: in which zones tasks of {name} may have network interfaces: {where}",))


def limited_to(service: ServiceRules, provider: str, share: int, fleet: Fleet) -> ServiceRules:
    """The same service as if it had only this provider, and only its share of the tasks that must move."""
    growth = _growth_of((provider,), fleet)
    return replace(
        service,
        desired=share,
        running=share,
        pending=0,
        minimum_healthy_percent=100,
        maximum_percent=200,
        providers=(provider,),
        grows=growth.without_end,
        why_not=growth.why_not,
        to_grow=growth.to_grow,
        doubts=growth.doubts,
    )


@dataclass(frozen=True, slots=True)
class _Growth:
    """Which instances may be added for a service."""

    without_end: bool = False
    why_not: str = ""
    to_grow: str = ""
    doubts: tuple[str, ...] = ()


def _growth_of(providers: Sequence[str], fleet: Fleet) -> _Growth:
    known = fleet.providers or {}
    have = {one.registration.capacity_provider for one in fleet.instances.values() if one.registration is not None}
    unknown = tuple(doubt for name in providers if (doubt := doubt_of_growth(name, known, have)))
    unbounded = any(name in known and known[name].unbounded for name in providers)
    reasons = [cannot_grow(name, known) for name in providers]
    stuck = all(reasons)
    why_not = "; ".join(reasons) if stuck else ""
    to_grow = ", or ".join(to_let_it_grow(name, known) for name in providers) if stuck else ""
    return _Growth(unbounded or bool(unknown), why_not, to_grow, () if unbounded else unknown)
