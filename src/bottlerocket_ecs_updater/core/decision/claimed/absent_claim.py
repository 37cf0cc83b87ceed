"""A claim that an instance showed and does not show any more: a person deleted it, or its agent registered without it.

A person who deletes it takes the instance over, so no reboot follows, and the instance is let go. But a registration
that follows a boot may have lost it, even if others in this cluster did not. Then the instance is still ours, and only
the updater knows that it must be returned. So the host must say first that it is on its old boot.
"""

from __future__ import annotations

from bottlerocket_ecs_updater.core.decision.claimed.stale_reads import claim_may_be_stale
from bottlerocket_ecs_updater.core.decision.host_checks import ask_host, is_check_denied
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claimed_instance import ClaimedInstance
from bottlerocket_ecs_updater.core.model.command import NextStep, Unmark
from bottlerocket_ecs_updater.core.model.reasons import Reason, hold
from bottlerocket_ecs_updater.core.rules.policy import CHECK_TRIES

CLAIM_ABSENT_LOOKS = 2
"""How many looks in a row must miss our claim. A single one may be stale."""


def absent_claim(claimed: ClaimedInstance, this_pass: Pass) -> NextStep | None:
    """The next step if it does not show our claim; None if it does, or if it is ours without it."""
    if not claimed.progress.claim_absent_looks:
        return None
    if _may_be_lost(claimed, this_pass):
        return None
    if not _answered_since(claimed):
        return ask_host(claimed.instance, this_pass) if _may_be_asked(claimed, this_pass) else None
    if claimed.progress.claim_absent_looks < CLAIM_ABSENT_LOOKS or claim_may_be_stale(claimed, this_pass):
        return NextStep(look_at=this_pass.next_poll)
    why = hold(Reason.CLAIM_REMOVED, status=claimed.registration.status.value)
    return NextStep((Unmark(claimed.id, why, took_slot=False),), hold=why)


def _may_be_lost(claimed: ClaimedInstance, this_pass: Pass) -> bool:
    """Whether its host booted since, or its agent was away after the reboot was sent and may have registered again."""
    report, away = claimed.instance.report, claimed.progress.away_at is not None
    booted = report is not None and report.boot != claimed.claim.boot
    return booted or (away and not this_pass.fleet.attributes_survive)


def _answered_since(claimed: ClaimedInstance) -> bool:
    """Whether the host has reported its boot since the claim was missed first."""
    check_answer, missed_at = claimed.instance.check_answer, claimed.progress.doubted_since
    if check_answer is None or check_answer.report is None:
        return False
    return missed_at is None or check_answer.asked_at >= missed_at


def _may_be_asked(claimed: ClaimedInstance, this_pass: Pass) -> bool:
    tries_left = claimed.progress.checks_failed < CHECK_TRIES
    return claimed.registration.connected and tries_left and not is_check_denied(claimed.instance, this_pass.fleet)
