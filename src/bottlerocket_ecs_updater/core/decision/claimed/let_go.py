"""A claimed instance that its Auto Scaling group is removing is left DRAINING, and its claim is dropped or kept.

A scale-in or an instance refresh may terminate any instance at any time. While a lifecycle hook or managed draining
delays the termination, the instance is in `Terminating:Wait`, and ECS does not show who drained it. If the updater set
it ACTIVE then, it would get tasks that are killed a moment later. So the group is read before the drain, again before
the claim for the reboot, which would disturb the hook, and again before the return. A termination is final, so the
claim is dropped. With instance reuse on scale-in, the group puts the instance into its warm pool instead, from where it
comes back.
"""

from __future__ import annotations

from datetime import timedelta

from bottlerocket_ecs_updater.core.decision.backoff import next_backoff
from bottlerocket_ecs_updater.core.decision.claimed.give_back import cancel_open
from bottlerocket_ecs_updater.core.decision.left_claim import drained_for_claim
from bottlerocket_ecs_updater.core.decision.not_counted import why_leaving
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.auto_scaling import InGroup, is_warm
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.claimed_instance import ClaimedInstance
from bottlerocket_ecs_updater.core.model.command import Command, Mark, NextStep, Note, Return, Unmark
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import has_passed

RETURNS_AFTER_ANSWER = timedelta(seconds=30)
"""The oldest answer of its group on which an instance is returned."""

REBOOTS_AFTER_ANSWER = timedelta(minutes=2)
"""The same for the claim for the reboot. Disturbing a hook does less harm than killing tasks."""

LEFT_AFTER_ANSWER = timedelta(seconds=30)
"""The same for leaving it DRAINING in its warm pool: a run must not end if the group has put it into service."""

SOON_SHARE = 2 / 3
"""An answer older than this share of its maximum age is renewed together with the next look."""


def let_go_if_leaving(claimed: ClaimedInstance, this_pass: Pass) -> NextStep | None:
    """Drop the claim if its group is terminating the instance, in any phase; None if its group keeps it.

    An instance that the group puts into its warm pool comes back under the same registration, still DRAINING. Only the
    claim shows then that the updater drained it, so the claim stays until a run finds the instance in service.
    """
    instance = claimed.instance
    why = why_leaving(instance)
    if why is None:
        return None
    pooled = left_in_warm_pool(instance)
    if pooled is not None and drained_for_claim(instance, this_pass.fleet.run):
        notes = _note_cut_off(claimed, this_pass)
        if _may_be_terminated(instance):
            again = this_pass.at + this_pass.policy.listing_spacing
            return NextStep((*cancel_open(instance), *notes), look_at=again, wants_listing=True)
        return NextStep((*cancel_open(instance), *notes), hold=pooled)
    return NextStep((*cancel_open(instance), Unmark(instance.id, why, took_slot=False)), hold=why)


def left_in_warm_pool(instance: Instance) -> Hold | None:
    """The hold of a claimed instance that its group keeps in its warm pool: no run finishes its update there."""
    membership = instance.membership
    if instance.claim is None or not isinstance(membership, InGroup) or not is_warm(membership):
        return None
    return hold(Reason.WARM_POOL_DRAINED, group=membership.group)


def _may_be_terminated(instance: Instance) -> bool:
    """Whether EC2 may have forgotten it: one more look is needed to be certain."""
    machine = instance.machine
    return machine is not None and machine.terminated and not machine.certainly_terminated


def _note_cut_off(claimed: ClaimedInstance, this_pass: Pass) -> tuple[Note, ...]:
    """Record once that the group may stop it during its reboot: then the old version says nothing against the new."""
    rest, why = claimed.instance.backoff, Reason.WARM_POOL_DRAINED.code
    if claimed.claim.phase is not ClaimPhase.REBOOTING or noted_cut_off(claimed):
        return ()
    return (Note(claimed.id, next_backoff(rest, claimed.claim.target, why, this_pass.at)),)


def noted_cut_off(claimed: ClaimedInstance) -> bool:
    """Whether it is recorded that the group may have stopped it during this reboot, not during an earlier one.

    An update begins only after the backoff of an earlier one has passed.
    """
    rest, claim = claimed.instance.backoff, claimed.claim
    if rest is None or rest.version != claim.target or rest.why != Reason.WARM_POOL_DRAINED.code:
        return False
    return claim.phase is not ClaimPhase.REBOOTING or rest.until > claim.since


def ask_group_first(step: NextStep, instance: Instance, this_pass: Pass) -> NextStep:
    """The next step, or a read of its group first if the step needs a newer answer.

    If the group does not answer, the updater asks again for a while. Then it returns the instance anyway: a host that
    stays out of service is worse than one that may be about to leave.
    """
    age = _answer_needed(step)
    if age is None or not group_unasked(instance, age, this_pass.fleet):
        return step
    missed_since = instance.around.group_missed_since if instance.around is not None else None
    if missed_since is None:
        return NextStep(look_at=this_pass.at, wants_group=True)
    if not has_passed(missed_since, this_pass.policy.answer_timeout, this_pass.at):
        return NextStep(look_at=this_pass.next_poll, wants_group=True)
    return step


def group_unasked(instance: Instance, age: timedelta, fleet: Fleet) -> bool:
    """Whether its group can be read, but was not read within `age`."""
    answered_at = instance.around.group_at if instance.around is not None else None
    return fleet.surveyed and (answered_at is None or has_passed(answered_at, age, fleet.at))


def group_due_soon(instance: Instance, age: timedelta, fleet: Fleet) -> bool:
    """Whether to read its group together with the next look, so that no step has to wait for it later."""
    return group_unasked(instance, age * SOON_SHARE, fleet)


def _answer_needed(step: NextStep) -> timedelta | None:
    """How old the group's answer may be for this step; None if it needs none."""
    ages = [age for command in step.commands if (age := _needed_for(command)) is not None]
    if step.hold is not None and step.hold.reason is Reason.WARM_POOL_DRAINED:
        ages.append(LEFT_AFTER_ANSWER)
    return min(ages, default=None)


def _needed_for(command: Command) -> timedelta | None:
    match command:
        case Return():
            return RETURNS_AFTER_ANSWER
        case Mark(claim=claim) if claim.phase is ClaimPhase.REBOOTING:
            return REBOOTS_AFTER_ANSWER
        case _:
            return None
