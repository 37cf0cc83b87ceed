"""Which container instances are no part of the fleet: neither in the budget's total, nor among what is unavailable.

A budget says how many of the instances that serve may be out at once. One that waits stopped in a warm pool, that a
person stopped, that AWS looks after, or that policy leaves out, does not count. It may stay like that for months, and
must not bar the cluster. What carries our claim is always part of the fleet.
"""

from __future__ import annotations

from collections.abc import Iterable

from bottlerocket_ecs_updater.core.model.auto_scaling import taken_away
from bottlerocket_ecs_updater.core.model.capacity_provider import is_managed
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance, Machine
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.selection import select

_LEFT_OUT = frozenset({Reason.OPTED_OUT, Reason.EXCLUDED, Reason.NOT_INCLUDED})
"""Where a rule could not be read for want of a fact, nobody knows whether it is left out: it counts."""


def not_selected(instance: Instance, policy: Policy) -> Hold | None:
    """Why an instance is not looked after at all, None when it is. It must be registered."""
    registration = instance.registration
    if registration is None:
        return None
    membership = instance.around.membership if instance.around is not None else None
    return select(registration, policy.rules.selection, registration.capacity_provider, membership)


def why_leaving(instance: Instance) -> Hold | None:
    """Why its group takes it away, as far as the group last said; None where it does not."""
    return taken_away(instance.around.membership) if instance.around is not None else None


def set_aside(instance: Instance) -> Hold | None:
    """Why an instance serves nobody, as its group or EC2 tells; None where it does, or where nobody knows better."""
    leaving = why_leaving(instance)
    if leaving is not None and leaving.reason is Reason.WARM_POOL:
        return leaving
    machine = instance.around.machine if instance.around is not None else None
    return _set_aside(machine, connected=instance.registration is not None and instance.registration.connected)


def _set_aside(machine: Machine | None, *, connected: bool) -> Hold | None:
    if machine is None:
        return None
    if machine.managed_by:
        known = "ECS Managed Instances" if machine.managed_by_ecs else machine.managed_by
        return hold(Reason.MANAGED_INSTANCE, service=known)
    # What EC2 said is older than a connection that is there again.
    return hold(Reason.INSTANCE_STOPPED, state=machine.state) if machine.stopped and not connected else None


def outside(instance: Instance, policy: Policy) -> Hold | None:
    """Why an instance is no part of the fleet, None where it is one."""
    if instance.claim is not None:
        return None
    refusal = not_selected(instance, policy)
    left_out = refusal if refusal is not None and refusal.reason in _LEFT_OUT else None
    return set_aside(instance) or left_out


def is_there(instance: Instance) -> bool:
    """Whether it is capacity of the cluster: one that was terminated is none any more, and is replaced."""
    return instance.claim is not None or instance.registered


def members(fleet: Fleet, policy: Policy) -> Iterable[Instance]:
    """The Bottlerocket instances that a budget is a share of."""
    for instance in fleet.instances.values():
        there = instance.bottlerocket and is_there(instance) and not _is_managed(instance, fleet)
        if there and outside(instance, policy) is None:
            yield instance


def _is_managed(instance: Instance, fleet: Fleet) -> bool:
    """Whether its capacity provider says that it is a Managed Instance, where EC2 was not asked about it."""
    registration = instance.registration
    known = registration is not None and is_managed(registration.capacity_provider, fleet.providers)
    return known and instance.claim is None
