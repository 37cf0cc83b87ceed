"""What must still be read before the room for tasks can be evaluated: surveys, task definitions, tasks that changed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.capacity.cluster_room import ClusterRoom, lacks_tasks
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.rules.policy import Policy


def unsurveyed(instance: Instance, fleet: Fleet, poll: timedelta) -> bool:
    """Whether it must be surveyed before its update starts: the survey is too old, or a task definition is missing."""
    if not fleet.surveyed:
        return False
    around = instance.around
    if around is None or around.asked_at is None or has_passed(around.asked_at, poll, fleet.at):
        return True
    return not around.unanswered and any(True for _ in unread_definitions(instance, fleet))


def missed(instance: Instance) -> Hold | None:
    """The hold if AWS did not answer everything at its last survey; None if it did."""
    around = instance.around
    return hold(Reason.SURVEY_FAILED, what=around.unanswered) if around is not None and around.unanswered else None


def held_for_survey(instance: Instance, fleet: Fleet, policy: Policy) -> tuple[Hold, datetime | None] | None:
    """The hold if AWS did not answer everything, with when to ask again; None if it did, or if it is time to ask again.

    At first the updater asks again at the next poll. After a while it asks less often, and only as long as the run
    continues anyway: then the time is None, and the run does not wait for it.
    """
    around, why = instance.around, missed(instance)
    if around is None or why is None or around.asked_at is None or around.unanswered_since is None:
        return None
    long_since = has_passed(around.unanswered_since, policy.answer_timeout, around.asked_at)
    again_at = around.asked_at + (policy.full_look_spacing if long_since else policy.poll_interval)
    if fleet.at >= again_at:
        return None
    return why, None if long_since else again_at


def unread_definitions(instance: Instance, fleet: Fleet) -> Iterable[str]:
    """The task definitions of services on it that were not read yet."""
    known = fleet.definitions
    if known is None:
        return
    for service in (*ClusterRoom(fleet).services_on(instance), *filter(lacks_tasks, fleet.all_services)):
        definition = service.deployment.definition if service.deployment is not None else None
        if definition is not None and definition not in known:
            yield definition


def instance_types(fleet: Fleet) -> frozenset[str]:
    """The instance types of the instances that take tasks."""
    registrations = (one.registration for one in fleet.instances.values())
    active = (one for one in registrations if one is not None and one.status is Status.ACTIVE)
    return frozenset(one.type for one in active) - {""}


def capacity_providers(fleet: Fleet) -> frozenset[str]:
    """The names of all capacity providers of its instances and services."""
    of_services = (
        name
        for service in fleet.all_services
        if service.deployment is not None
        for name in service.deployment.providers
    )
    registrations = (one.registration for one in fleet.instances.values())
    return frozenset(of_services) | {one.capacity_provider for one in registrations if one is not None} - {""}


def constraints_ask_for_tasks(fleet: Fleet) -> bool:
    """Whether the placement of any service depends on the tasks that an instance already has."""
    definitions = fleet.definitions or {}
    for deployment in (service.deployment for service in fleet.all_services if service.deployment is not None):
        definition = definitions.get(deployment.definition)
        expressions = (*deployment.member_of, *(definition.member_of if definition is not None else ()))
        attached = definition is not None and (definition.demand.interfaces > 0 or definition.demand.volumes > 0)
        if deployment.distinct or attached or any("task:group" in text for text in expressions):
            return True
    return False
