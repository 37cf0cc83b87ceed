"""Which container instances do not count, neither in the budget's total nor as unavailable.

A budget limits how many of the instances in service may be out of service together. An instance does not count if it is
stopped in a warm pool, if a person stopped it, if AWS manages it, if only its registration is left, if its registration
failed, or if the policy excludes it. Neither does one that its group is terminating or keeps in standby, once its tasks
have moved. It may stay that way for months and must not block the cluster. A claimed instance counts, unless it is
quarantined and stopped in EC2, or in its warm pool.
"""

from __future__ import annotations

from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.auto_scaling import InGroup, LifecycleState, is_warm, taken_away
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import Registration, Status
from bottlerocket_ecs_updater.core.model.instance import Instance, Machine
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.selection import select

LISTED_NO_MORE = "ECS no longer lists it"

_LEFT_OUT = frozenset({Reason.OPTED_OUT, Reason.EXCLUDED, Reason.NOT_INCLUDED})
"""Holds of instances that the policy excludes. If a rule could not be evaluated, the instance counts."""


def not_selected(instance: Instance, policy: Policy) -> Hold | None:
    """Why the policy does not select an instance; None if it does, or if the instance is not registered."""
    registration = instance.registration
    if registration is None:
        return None
    return select(registration, policy.rules.selection, registration.capacity_provider, instance.membership)


def why_leaving(instance: Instance) -> Hold | None:
    """Why its Auto Scaling group is removing it, by the group's last answer; None if it is not."""
    return taken_away(instance.membership)


def set_aside(instance: Instance) -> Hold | None:
    """Why an instance cannot take tasks, according to its group or EC2; None if it can, or if that is not known."""
    leaving = why_leaving(instance)
    if leaving is not None and leaving.reason is Reason.WARM_POOL:
        return leaving
    if instance.managed:
        return hold(Reason.MANAGED_INSTANCE)
    connected = instance.registration is not None and instance.registration.connected
    return _set_aside(instance.machine, connected=connected) if instance.machine is not None else None


def _set_aside(machine: Machine, *, connected: bool) -> Hold | None:
    # Nothing undoes a termination. ECS shows the agent as connected for a while, and deregisters it later.
    if machine.ended:
        return hold(Reason.INSTANCE_TERMINATED)
    # Otherwise a connected agent is newer information than what EC2 said.
    if connected:
        return None
    if machine.terminated:
        return hold(Reason.INSTANCE_TERMINATED)
    return hold(Reason.INSTANCE_STOPPED, state=machine.state) if machine.stopped else None


def is_kept_warm(instance: Instance) -> bool:
    """Whether its group keeps the instance in its warm pool, so that an update in progress there has to wait."""
    return is_warm(instance.membership)


def is_warming(instance: Instance) -> bool:
    """Whether it is on its way into its warm pool. It counts until it is there, like one that its group terminates."""
    membership = instance.membership
    return isinstance(membership, InGroup) and membership.state is LifecycleState.WARMING


def outside(instance: Instance, policy: Policy) -> Hold | None:
    """Why an instance does not count; None if it does."""
    if instance.claim is not None and is_kept_warm(instance):
        return why_leaving(instance) if not is_warming(instance) else None
    if instance.claim is not None:
        aside = set_aside(instance) if instance.claim.phase is ClaimPhase.QUARANTINED else None
        return aside if aside is not None and aside.reason is Reason.INSTANCE_STOPPED else None
    return set_aside(instance) or _emptied(instance) or _never_in_service(instance) or left_out(instance, policy)


def _emptied(instance: Instance) -> Hold | None:
    """Why its group has taken it out of service, once its tasks have moved; None if it has not, or if it has tasks.

    A lifecycle hook may delay a termination for two days, and a person may keep an instance in standby for longer.
    """
    registration, membership = instance.registration, instance.membership
    if registration is None or registration.status is not Status.DRAINING or not isinstance(membership, InGroup):
        return None
    out = membership.state in (LifecycleState.TERMINATING, LifecycleState.STANDBY)
    if not out or not _is_empty(registration):
        return None
    return hold(Reason.LEAVING_GROUP, group=membership.group, state=membership.state.value)


def _never_in_service(instance: Instance) -> Hold | None:
    """The hold of an instance whose registration failed before it had any task; None if it did not.

    It stays that way until a person deregisters or terminates it.
    """
    registration = instance.registration
    if registration is None or registration.status is not Status.REGISTRATION_FAILED or not _is_empty(registration):
        return None
    return hold(Reason.NOT_ACTIVE, status=registration.status.value)


def _is_empty(registration: Registration) -> bool:
    return not registration.counted_tasks


def left_out(instance: Instance, policy: Policy) -> Hold | None:
    """How the policy excludes an instance; None if it does not, or if one of its rules could not be evaluated."""
    refusal = not_selected(instance, policy)
    return refusal if refusal is not None and refusal.reason in _LEFT_OUT else None


def is_there(instance: Instance) -> bool:
    """Whether it is capacity of the cluster; a terminated instance is not."""
    return instance.claim is not None or instance.registered


def members(this_pass: Pass) -> tuple[Instance, ...]:
    """The Bottlerocket instances that count in the total of the budget."""
    return this_pass.once(_members)


def _members(this_pass: Pass) -> tuple[Instance, ...]:
    policy = this_pass.policy
    return tuple(
        instance
        for instance in this_pass.fleet.instances.values()
        if instance.bottlerocket and is_there(instance) and outside(instance, policy) is None
    )
