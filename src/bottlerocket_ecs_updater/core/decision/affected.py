"""Which services a drain can affect, and how they were before the first drain.

A service on Fargate, on ECS Anywhere or on instances of another capacity provider is not affected when one of our hosts
is drained, so it holds no host and its problems do not count. A service that was not steady before the first drain of a
run is compared with its state at that time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import ServiceArn
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.services import Service
from bottlerocket_ecs_updater.core.model.time_text import time_text
from bottlerocket_ecs_updater.core.model.wording import and_more
from bottlerocket_ecs_updater.core.rules.tasks import TaskRules

GROUP = "service:"
NAMED_AT_MOST = 3


def taking_part(services: Iterable[Service], instances: Iterable[Instance]) -> tuple[Service, ...]:
    """The services that may have a task on one of our hosts; more of them if the hosts are not known."""
    ours = [one for one in instances if one.bottlerocket]
    here = {one.registration.capacity_provider for one in ours if one.registration is not None}
    seen = {name for one in ours for name in services_on(one)}
    return tuple(one for one in services if one.name in seen or _may_come(one, here))


def _may_come(service: Service, here: set[str]) -> bool:
    if service.elsewhere:
        return False
    return not here or not service.providers or not here.isdisjoint(service.providers)


def services_on(instance: Instance) -> frozenset[str]:
    """The names of the services with a task on it; empty if its tasks are not known."""
    tasks = instance.tasks.left if instance.tasks is not None else ()
    return frozenset(task.group.removeprefix(GROUP) for task in tasks if task.of_service and task.group)


def deploying_on(instance: Instance, fleet: Fleet) -> tuple[Service, ...]:
    """The services with a task on it whose last deployment is in progress, or failed."""
    services = fleet.services.all if fleet.services is not None else ()
    unfinished = [service for service in services if service.deploying or service.failed]
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
    services = fleet.services.all if fleet.services is not None else ()
    since = (one.deploying_since for one in services if one.deploying_since is not None and _named(one) in named)
    return min(since, default=None)


def _names(services: Iterable[Service], name: Callable[[Service], str]) -> str:
    found = sorted(services, key=lambda service: service.name)
    return and_more([name(service) for service in found], NAMED_AT_MOST)


def _named(service: Service) -> str:
    since = service.deploying_since
    return f"{service.name} (since {time_text(since)})" if since is not None else service.name


def seen_deploying_since(instance: Instance, fleet: Fleet) -> datetime | None:
    """Since when every look of this run has seen one of its services deploying; None if none is."""
    seen = fleet.services.seen_deploying if fleet.services is not None else {}
    return min((seen[one.arn] for one in deploying_on(instance, fleet) if one.arn in seen), default=None)


def worst_of(before: Mapping[ServiceArn, int], services: Iterable[Service]) -> Mapping[ServiceArn, int]:
    """The most tasks that each service lacked at any look, or lost at once by itself, after one more look."""
    now = {one.arn: max(one.deficit, one.restless) for one in services}
    worst = {arn: max(before.get(arn, 0), now.get(arn, 0)) for arn in {*before, *now}}
    return {arn: count for arn, count in worst.items() if count}
