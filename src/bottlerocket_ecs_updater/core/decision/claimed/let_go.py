"""An instance that its Auto Scaling group takes away while we hold it: let go, left DRAINING, and never set ACTIVE.

A scale-in or an instance refresh may end any instance at any time. While a lifecycle hook or managed draining holds up
the termination, the instance is in `Terminating:Wait`, and ECS does not tell that drain from ours. Set ACTIVE then, it
would get tasks that are killed in a moment. So the group is asked before the drain, and again before the two acts that
follow from it: before the mark for the reboot, which would disturb what the hook does, and before the return.
"""

from __future__ import annotations

from datetime import timedelta

from bottlerocket_ecs_updater.core.decision.claimed.give_back import cancel_open
from bottlerocket_ecs_updater.core.decision.outside import why_leaving
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.command import Command, Mark, NextStep, Return, Unmark
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.rules.policy import Policy

RETURNS_AFTER_ANSWER = timedelta(seconds=30)
"""An instance is returned only on an answer of its group that is at most so old."""

REBOOTS_AFTER_ANSWER = timedelta(minutes=2)
"""The same for its mark for the reboot: a hook that is disturbed is less harm than tasks that are killed."""

SOON_SHARE = 2 / 3
"""An answer that is older than this part of its time is asked for again with a look that is taken anyway."""


def let_go_if_leaving(instance: Instance) -> NextStep | None:
    """Drop the claim on what its group takes away, whichever phase it is in; None where the group leaves it to us."""
    why = why_leaving(instance)
    if why is None:
        return None
    return NextStep((*cancel_open(instance), Unmark(instance.id, why, took_slot=False)), hold=why)


def ask_group_first(verdict: NextStep, instance: Instance, fleet: Fleet, policy: Policy) -> NextStep:
    """The verdict, or a question to the group where it would act on an older answer.

    A group that does not answer is asked again for a while. After that the instance is returned all the same: a host
    that stays out of service for want of an answer is worse than one that may be about to leave.
    """
    ages = [age for command in verdict.commands if (age := _answer_needed(command)) is not None]
    if not ages or not group_unasked(instance, min(ages), fleet):
        return verdict
    missed_since = instance.around.group_missed_since if instance.around is not None else None
    if missed_since is None:
        return NextStep(look_at=fleet.at, wants_group=True)
    if not has_passed(missed_since, policy.answer_timeout, fleet.at):
        return NextStep(look_at=fleet.at + policy.poll_interval, wants_group=True)
    return verdict


def group_unasked(instance: Instance, age: timedelta, fleet: Fleet) -> bool:
    """Whether its group has not been asked for so long, though it can be."""
    answered_at = instance.around.group_at if instance.around is not None else None
    return fleet.surveyed and (answered_at is None or has_passed(answered_at, age, fleet.at))


def group_due_soon(instance: Instance, age: timedelta, fleet: Fleet) -> bool:
    """Whether its group is asked with a look that is taken anyway, so that nothing has to wait for it later."""
    return group_unasked(instance, age * SOON_SHARE, fleet)


def _answer_needed(command: Command) -> timedelta | None:
    """How old an answer of the group may be for this command; None for one that needs none."""
    match command:
        case Return():
            return RETURNS_AFTER_ANSWER
        case Mark(claim=claim) if claim.phase is ClaimPhase.REBOOTING:
            return REBOOTS_AFTER_ANSWER
        case _:
            return None
