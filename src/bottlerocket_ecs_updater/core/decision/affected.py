"""Which services the drain of a host has anything to do with, and what was wrong with them before the first one.

A service on Fargate, on ECS Anywhere or on the instances of another capacity provider loses nothing when one of our
hosts is drained. It holds no host, and its troubles are not ours. A service that was not steady before the first drain
of a run is measured against how it was then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import ServiceArn
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.services import Service
from bottlerocket_ecs_updater.core.model.time_text import time_text
from bottlerocket_ecs_updater.core.rules.tasks import TaskRules

GROUP = "service:"
NAMED_AT_MOST = 3


def taking_part(services: Iterable[Service], instances: Iterable[Instance]) -> tuple[Service, ...]:
    """Those that can have a task on one of our hosts; where it is not known which hosts there are, also others."""
    ours = [one for one in instances if one.bottlerocket]
    here = {one.registration.capacity_provider for one in ours if one.registration is not None}
    seen = {name for one in ours for name in services_on(one)}
    return tuple(one for one in services if one.name in seen or _may_come(one, here))


def _may_come(service: Service, here: set[str]) -> bool:
    if service.elsewhere:
        return False
    return not here or not service.providers or not here.isdisjoint(service.providers)


def services_on(instance: Instance) -> frozenset[str]:
    """The names of the services with a task on it, as far as its tasks are known."""
    tasks = instance.tasks.left if instance.tasks is not None else ()
    return frozenset(task.group.removeprefix(GROUP) for task in tasks if task.of_service and task.group)


def deploying_on(instance: Instance, fleet: Fleet) -> tuple[Service, ...]:
    """The services with a task on it that are in the middle of a deployment."""
    services = fleet.services.all if fleet.services is not None else ()
    deploying = [service for service in services if service.deploying]
    here = services_on(instance) if deploying else frozenset()
    return tuple(service for service in deploying if service.name in here)


def hold_for_deployments(deploying: Iterable[Service], rules: TaskRules) -> Hold | None:
    """Why a host is not drained while these services are in the middle of a deployment, None when there are none."""
    found = sorted(deploying, key=lambda service: service.name)
    if not found or not rules.hold_while_deploying:
        return None
    more = f" and {len(found) - NAMED_AT_MOST} more" if len(found) > NAMED_AT_MOST else ""
    return hold(Reason.SERVICE_DEPLOYING, services=", ".join(map(_named, found[:NAMED_AT_MOST])) + more)


def _named(service: Service) -> str:
    since = service.deploying_since
    return f"{service.name} (since {time_text(since)})" if since is not None else service.name


def seen_deploying_since(instance: Instance, fleet: Fleet) -> datetime | None:
    """Since when every look of this run saw one of its services in a deployment, None where none is."""
    seen = fleet.services.seen_deploying if fleet.services is not None else {}
    return min((seen[one.arn] for one in deploying_on(instance, fleet) if one.arn in seen), default=None)


def worst_of(before: Mapping[ServiceArn, int], services: Iterable[Service]) -> Mapping[ServiceArn, int]:
    """The most tasks that each service was seen to lack, or to lose at once by itself, after one more look."""
    now = {one.arn: max(one.deficit, one.restless) for one in services}
    worst = {arn: max(before.get(arn, 0), now.get(arn, 0)) for arn in {*before, *now}}
    return {arn: count for arn, count in worst.items() if count}
