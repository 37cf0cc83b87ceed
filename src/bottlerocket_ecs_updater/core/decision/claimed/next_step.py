"""The next step of a claimed instance.

Each function reads the state as it is now, whatever led to it: this run, a run that was killed, or a person. The claim
says what was started; ECS, the host and Systems Manager say how far it got.
"""

from __future__ import annotations

from typing import assert_never

from bottlerocket_ecs_updater.core.decision.claimed.drain import draining
from bottlerocket_ecs_updater.core.decision.claimed.give_back import (
    hand_back,
)
from bottlerocket_ecs_updater.core.decision.claimed.let_go import (
    ask_group_first,
    let_go_if_leaving,
)
from bottlerocket_ecs_updater.core.decision.claimed.lost_claim import lost_claim
from bottlerocket_ecs_updater.core.decision.claimed.quarantine import quarantined
from bottlerocket_ecs_updater.core.decision.claimed.reboot import rebooting
from bottlerocket_ecs_updater.core.decision.not_counted import LISTED_NO_MORE
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.claimed_instance import ClaimedInstance
from bottlerocket_ecs_updater.core.model.command import NextStep, Unmark
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Reason, hold
from bottlerocket_ecs_updater.core.model.run_progress import SentReturn
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.rules.policy import MISSING_LOOKS

TERMINATED = "its EC2 instance is terminated"


SET_BY_US = frozenset({Status.ACTIVE, Status.DRAINING})
"""ECS lets an instance be set to one of these from the other, and from no other status."""


def proceed(instance: Instance, claim: Claim, this_pass: Pass) -> NextStep:
    """What to do next with a claimed instance, based on a recent answer of its Auto Scaling group."""
    return ask_group_first(_proceed(instance, claim, this_pass), instance, this_pass)


def _proceed(instance: Instance, claim: Claim, this_pass: Pass) -> NextStep:
    fleet, policy = this_pass.fleet, this_pass.policy
    stalled = instance.progress.stalled_since
    if fleet.blocked and stalled is not None and has_passed(stalled, policy.answer_timeout, this_pass.at):
        # AWS accepts no calls that would return it: the next run finds its claim.
        return NextStep(hold=hold(Reason.HALTED, why=fleet.blocked))
    if instance.claim_unreadable:
        # This overrides the copy in the store: a newer updater, or a person, overwrote the claim.
        return NextStep(hold=hold(Reason.CLAIM_UNREADABLE, why=instance.claim_unreadable))
    registration = instance.registration
    if instance.undescribed:
        return _undescribed(instance, this_pass)
    if registration is None or registration.status is Status.INACTIVE:
        return _missing(instance, claim, this_pass)
    claimed = ClaimedInstance(instance, claim, registration)
    if _is_terminated(claimed):
        why = hold(Reason.GONE, why=TERMINATED)
        return NextStep((Unmark(instance.id, why, took_slot=False),), look_at=this_pass.at)
    lost = lost_claim(claimed, this_pass)
    if lost is not None:
        return lost
    if registration.status not in SET_BY_US and claim.phase is not ClaimPhase.QUARANTINED:
        return _in_transition(claimed, this_pass)
    return _by_phase(claimed, this_pass)


def _by_phase(claimed: ClaimedInstance, this_pass: Pass) -> NextStep:
    """The instance is registered, described and claimed by us: return it, or take the step of its phase."""
    instance, claim = claimed.instance, claimed.claim
    sent_return = instance.progress.sent_return
    if sent_return is not None and claimed.registration.status is Status.ACTIVE:
        return NextStep((Unmark(instance.id, sent_return.outcome, took_slot=True),), look_at=this_pass.at)
    leaving = let_go_if_leaving(claimed, this_pass)
    if leaving is not None:
        return leaving
    if sent_return is not None:
        return _returning(claimed, sent_return, this_pass)
    match claim.phase:
        case ClaimPhase.DRAINING:
            return draining(claimed, this_pass)
        case ClaimPhase.REBOOTING:
            return rebooting(claimed, this_pass)
        case ClaimPhase.QUARANTINED:
            return quarantined(claimed, this_pass)
        case _:
            assert_never(claim.phase)


def _returning(claimed: ClaimedInstance, sent: SentReturn, this_pass: Pass) -> NextStep:
    """Still DRAINING after we set it ACTIVE: the read is stale, the call was lost, or somebody drained it since."""
    instance = claimed.instance
    if not has_passed(sent.at, this_pass.policy.reader_lag, claimed.registration.at):
        return NextStep(look_at=this_pass.next_poll)
    if sent.confirmed:
        # ECS had confirmed it, and no read is stale for that long: somebody else drained it, so leave it.
        return NextStep((Unmark(instance.id, sent.outcome, took_slot=False),), look_at=this_pass.at)
    return NextStep(hand_back(instance, sent.outcome), look_at=this_pass.next_poll)


def _undescribed(instance: Instance, this_pass: Pass) -> NextStep:
    """ECS lists it but does not describe it: nothing is known about it now, and its claim stays."""
    policy = this_pass.policy
    why = hold(Reason.NOT_DESCRIBED, why=instance.undescribed)
    had_its_time = has_passed(this_pass.fleet.started_at, policy.takeover_grace, this_pass.at)
    if had_its_time and has_passed(instance.phase_began, policy.longest_phase, this_pass.at):
        return NextStep(hold=why)
    return NextStep(hold=why, look_at=this_pass.at + policy.listing_spacing, wants_listing=True)


def _is_terminated(claimed: ClaimedInstance) -> bool:
    """Whether only its registration is left: ECS keeps it if its agent was disconnected, as during a reboot."""
    machine = claimed.instance.machine
    return not claimed.registration.connected and machine is not None and machine.certainly_terminated


def _missing(instance: Instance, claim: Claim, this_pass: Pass) -> NextStep:
    """It is not listed, or INACTIVE: terminated, deregistered, or about to return under a new registration."""
    policy = this_pass.policy
    began = max(instance.phase_began, instance.progress.claimed_at or instance.phase_began)
    may_come_back = claim.phase is ClaimPhase.REBOOTING and not has_passed(began, policy.gone_after, this_pass.at)
    if instance.progress.missing_looks < MISSING_LOOKS or may_come_back:
        return NextStep(look_at=this_pass.at + policy.listing_spacing, wants_listing=True)
    return NextStep(
        (Unmark(instance.id, hold(Reason.GONE, why=LISTED_NO_MORE), took_slot=False),), look_at=this_pass.at
    )


def _in_transition(claimed: ClaimedInstance, this_pass: Pass) -> NextStep:
    """It is REGISTERING, DEREGISTERING or the like: ECS accepts no drain or return.

    Usually this passes, or the instance disappears. Its claim stays until a run finds it in service or gone.
    """
    instance = claimed.instance
    policy = this_pass.policy
    why = hold(Reason.NOT_ACTIVE, status=claimed.registration.status.value)
    began = max(instance.phase_began, instance.progress.claimed_at or instance.phase_began)
    limit = policy.drain_timeout if claimed.claim.run == this_pass.fleet.run else policy.gone_after
    if has_passed(began, limit, this_pass.at):
        return NextStep(hold=why)
    return NextStep(hold=why, look_at=this_pass.at + policy.listing_spacing)
