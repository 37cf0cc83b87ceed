"""Which services a drain can affect, and how they were before the first drain.

A service on Fargate, on ECS Anywhere, on instances of another capacity provider, or with requirements or placement
constraints that none of our hosts meets is not affected when one of our hosts is drained, so it holds no host and its
problems do not count. A service that was not steady before the first drain of a run is compared with its state at that
time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime

from bottlerocket_ecs_updater.core.capacity.host_room import Capacity, HostRoom, readable
from bottlerocket_ecs_updater.core.model.container_instance import SERVICE_GROUP, Registration
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import ServiceArn
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.resources import Definition, DeploymentLimits, TaskRequirements
from bottlerocket_ecs_updater.core.model.services import Service
from bottlerocket_ecs_updater.core.model.time_text import since_text
from bottlerocket_ecs_updater.core.model.wording import and_more
from bottlerocket_ecs_updater.core.rules.expression import Expression, judge
from bottlerocket_ecs_updater.core.rules.tasks import TaskRules


def services_on_hosts(
    services: Iterable[Service], instances: Iterable[Instance], definitions: Mapping[str, Definition] | None = None
) -> tuple[Service, ...]:
    """The services that may have a task on one of our hosts; more of them if the hosts are not known.

    `definitions` are the task definitions that were read. Constraints from an unread task definition are skipped.
    """
    ours = [one for one in instances if one.bottlerocket]
    hosts = [one.registration for one in ours if one.registration is not None]
    seen = {name for one in ours for name in services_on(one)}
    return tuple(one for one in services if one.name in seen or _may_come(one, hosts, definitions or {}))


def _may_come(service: Service, hosts: Sequence[Registration], definitions: Mapping[str, Definition]) -> bool:
    if service.elsewhere:
        return False
    here = {host.capacity_provider for host in hosts}
    if here and service.providers and here.isdisjoint(service.providers):
        return False
    deployment = service.deployment
    definition = definitions.get(deployment.definition) if deployment is not None else None
    constraints = _constraints(deployment, definition)
    demand = definition.demand if definition is not None else None
    return not hosts or any(_suits(host, constraints, demand) for host in hosts)


def _constraints(deployment: DeploymentLimits | None, definition: Definition | None) -> Sequence[Expression]:
    texts = [text for part in (deployment, definition) if part is not None for text in part.member_of]
    return [expression for text in texts if (expression := readable(text)) is not None]


def _suits(host: Registration, constraints: Iterable[Expression], demand: TaskRequirements | None) -> bool:
    """Whether a task may ever run on a host. Facts that change, such as the tasks on it, count as not known."""
    room = HostRoom(host.id, Capacity(0, 0, attributes=host.attributes, capabilities=host.capabilities))
    if any(judge(expression, room.facts) is False for expression in constraints):
        return False
    return demand is None or (not room.missing_attributes(demand) and _is_large_enough(host, demand))


def _is_large_enough(host: Registration, demand: TaskRequirements) -> bool:
    """Whether a task fits on a host without any other tasks, as far as its size is known.

    The size is read only for hosts of capacity providers, but no variant without NVIDIA has GPUs for tasks.
    """
    most = host.registered
    if most is None:
        return not demand.gpus or "nvidia" in (host.variant or "")
    return demand.cpu <= most.cpu and demand.memory <= most.memory and demand.gpus <= most.gpus


def unread_of(blamed: Iterable[Service], instances: Iterable[Instance], read: Collection[str]) -> Sequence[str]:
    """The task definitions of services without a task on our hosts: their constraints may rule our hosts out."""
    seen = {name for one in instances if one.bottlerocket for name in services_on(one)}
    wanted = (one.deployment.definition for one in blamed if one.name not in seen and one.deployment is not None)
    return sorted({arn for arn in wanted if arn not in read})


def services_on(instance: Instance) -> frozenset[str]:
    """The names of the services with a task on it; empty if its tasks are not known."""
    return frozenset(
        task.group.removeprefix(SERVICE_GROUP) for task in instance.tasks_left if task.of_service and task.group
    )


def deploying_on(instance: Instance, fleet: Fleet) -> tuple[Service, ...]:
    """The services with a task on it whose last deployment is in progress, or failed."""
    unfinished = [service for service in fleet.all_services if service.deploying or service.failed]
    here = services_on(instance) if unfinished else frozenset()
    return tuple(service for service in unfinished if service.name in here)


def hold_for_deployments(deploying: Sequence[Service], rules: TaskRules) -> Hold | None:
    """Why a host is not drained: a deployment of these services is in progress, or failed; None if neither.

    A deployment that failed starts no tasks, so ECS would stop the tasks on the host and not replace them.
    """
    failed = [service for service in deploying if service.failed]
    if not deploying or not rules.hold_while_deploying:
        return None
    if failed:
        return hold(Reason.DEPLOYMENT_FAILED, services=_names(failed, lambda service: service.name))
    return hold(Reason.SERVICE_DEPLOYING, services=_names(deploying, _named))


def deploys_since(why: Hold, fleet: Fleet) -> datetime | None:
    """Since when the first of the deployments that the hold names has been in progress; None if ECS does not say."""
    named = dict(why.facts).get("services", "")
    since = (
        one.deploying_since for one in fleet.all_services if one.deploying_since is not None and _named(one) in named
    )
    return min(since, default=None)


def _names(services: Iterable[Service], name: Callable[[Service], str]) -> str:
    found = sorted(services, key=lambda service: service.name)
    return and_more([name(service) for service in found])


def _named(service: Service) -> str:
    return f"{service.name}{since_text(service.deploying_since)}"


def seen_deploying_since(instance: Instance, fleet: Fleet) -> datetime | None:
    """Since when every look of this run has seen one of its services deploying; None if none is."""
    seen = fleet.services.seen_deploying if fleet.services is not None else {}
    return min((seen[one.arn] for one in deploying_on(instance, fleet) if one.arn in seen), default=None)


def worst_of(before: Mapping[ServiceArn, int], services: Iterable[Service]) -> Mapping[ServiceArn, int]:
    """The most tasks that each service lacked at any look, or lost at once by itself, after one more look."""
    now = {one.arn: max(one.deficit, one.flaps_by) for one in services}
    worst = {arn: max(before.get(arn, 0), now.get(arn, 0)) for arn in {*before, *now}}
    return {arn: count for arn, count in worst.items() if count}
