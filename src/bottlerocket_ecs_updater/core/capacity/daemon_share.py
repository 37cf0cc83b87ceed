"""What daemon services will take on an instance that is new or has just been returned to service.

ECS starts the tasks of daemon services there first. Until then, the instance shows room that other tasks never get. The
updater does not read the task definitions of daemon services: what they take is what a comparable instance has in use,
less what its other tasks need.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from bottlerocket_ecs_updater.core.model.container_instance import SERVICE_GROUP, Registration
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.resources import TaskRequirements
from bottlerocket_ecs_updater.core.model.time_text import has_passed

HOSTS_LOOKED_AT = 50
"""How many instances are compared; daemon services run on all of them."""

NEW_FOR = timedelta(minutes=5)
"""A daemon service that has not started on an instance by then probably never will."""


@dataclass(frozen=True, slots=True)
class DaemonShare:
    """What the daemon services of a cluster take on each instance."""

    groups: frozenset[str] = frozenset()
    """The groups of their tasks."""
    cpu: int = 0
    memory: int = 0
    returned: frozenset[InstanceId] = frozenset()
    """The instances that were returned to service a short while ago."""

    def missing_on(self, instance: Instance, now: datetime) -> bool:
        """Whether their tasks will still start on an instance: it is new or was just returned, and lacks some."""
        registration = instance.registration
        if registration is None or not self.groups or not _is_new(registration, self.returned, now):
            return False
        few = registration.counted_tasks < len(self.groups)
        return few or not self.groups <= {task.group for task in instance.tasks_left}


def daemon_share(fleet: Fleet) -> DaemonShare:
    """The daemon services that most instances run, and the least that these take on any of them."""
    updated = fleet.past.updated.items()
    returned = frozenset(slot.instance for slot in fleet.slots) | {
        id_ for id_, one in updated if not has_passed(one.at, NEW_FOR, fleet.at)
    }
    settled = (one for one in fleet.instances.values() if _is_settled(one, returned, fleet.at))
    hosts = list(islice(settled, HOSTS_LOOKED_AT))
    seen = [frozenset(task.group for task in one.tasks_left if task.daemon) for one in hosts]
    usual = frozenset(group for group in frozenset().union(*seen) if 2 * sum(group in one for one in seen) > len(seen))
    if not usual:
        return DaemonShare()
    demands = _demands(fleet)
    comparable = (one for one, groups in zip(hosts, seen, strict=True) if usual <= groups)
    shares = [share for one in comparable if (share := _used(one, demands)) is not None]
    cpu, memory = (min(each) for each in zip(*shares, strict=True)) if shares else (0, 0)
    return DaemonShare(usual, cpu, memory, returned)


def _is_new(registration: Registration, returned: Container[InstanceId], now: datetime) -> bool:
    return registration.id in returned or not has_passed(registration.registered_at, NEW_FOR, now)


def _is_settled(instance: Instance, returned: Container[InstanceId], now: datetime) -> bool:
    registration = instance.registration
    if registration is None or not instance.tasks_left or _is_new(registration, returned, now):
        return False
    return registration.in_service


def _demands(fleet: Fleet) -> Mapping[str, TaskRequirements]:
    """What a task of each service needs, by its group, where it is known."""
    definitions = fleet.definitions or {}
    deployments = ((one.name, one.deployment) for one in fleet.all_services if one.deployment is not None)
    return {
        f"{SERVICE_GROUP}{name}": definitions[one.definition].demand
        for name, one in deployments
        if one.definition in definitions
    }


def _used(instance: Instance, demands: Mapping[str, TaskRequirements]) -> tuple[int, int] | None:
    """The CPU and memory that daemon services use on an instance; None if that is not known."""
    registration = instance.registration
    if registration is None or registration.registered is None or registration.remaining is None:
        return None
    others = [demands.get(task.group) for task in instance.tasks_left if not task.daemon]
    known = [one for one in others if one is not None]
    if len(known) < len(others):
        return None
    whole, left = registration.registered, registration.remaining
    cpu = whole.cpu - left.cpu - sum(one.cpu for one in known)
    return max(0, cpu), max(0, whole.memory - left.memory - sum(one.memory for one in known))
