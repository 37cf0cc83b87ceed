"""Claims that are only in the state store: which of them to finish, and which to leave.

The store has a copy of every claim, because it is not certain that the attribute survives a registration of the agent.
A copy without its attribute has three explanations, and each needs a different action:

* the claim never reached the instance, or the instance was returned and its copy was not deleted yet: if it is DRAINING
  now, somebody else drained it;
* a person deleted the attribute to take over the instance;
* the attribute was lost when the agent registered after our reboot: only the updater knows that it must be returned.

Only the third is finished, and only if it is possible: the instance has a new registration, or its host has booted
since and no attribute was ever seen to survive a boot in this cluster. The updater leaves all others as they are and
reports them. It always leaves a quarantined instance, because it waits for a person anyway.
"""

from __future__ import annotations

from bottlerocket_ecs_updater.core.decision.claimed.stale_reads import may_be_stale
from bottlerocket_ecs_updater.core.decision.host_checks import ask_host, is_check_denied
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.claimed_instance import ClaimedInstance
from bottlerocket_ecs_updater.core.model.command import NextStep, Unmark
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import time_text
from bottlerocket_ecs_updater.core.rules.policy import CHECK_TRIES


def lost_claim(claimed: ClaimedInstance, this_pass: Pass) -> NextStep | None:
    """The next step for a claim that is only in the store; None if it is finished like any other."""
    instance, claim, registration = claimed.instance, claimed.claim, claimed.registration
    fleet = this_pass.fleet
    if not _only_in_store(claimed, this_pass):
        return None
    if claim.phase is not ClaimPhase.QUARANTINED and not fleet.attributes_survive:
        report = instance.report
        if report is not None and report.boot != claim.boot:
            return None
        if report is None and claim.phase is ClaimPhase.REBOOTING:
            return None  # the reboot phase checks it
        may_be_asked = registration.connected and not is_check_denied(instance, fleet)
        if report is None and may_be_asked and instance.progress.checks_failed < CHECK_TRIES:
            return ask_host(instance, this_pass)
    if may_be_stale(claimed, this_pass):
        # The read may be stale: dropping the claim too early would leave a drained instance without an owner.
        return NextStep(look_at=this_pass.next_poll)
    if registration.status is Status.ACTIVE:
        return NextStep((Unmark(instance.id, None, took_slot=False),), look_at=this_pass.at)
    return NextStep(hold=_lost(claimed))


def _only_in_store(claimed: ClaimedInstance, this_pass: Pass) -> bool:
    """Whether only the store has the claim, and the instance still has the registration under which it was claimed."""
    instance = claimed.instance
    seen = instance.claim_on_instance or instance.progress.claim_seen
    return claimed.claim.run != this_pass.fleet.run and not seen and instance.claimed_arn == claimed.registration.arn


def _lost(claimed: ClaimedInstance) -> Hold:
    claim = claimed.claim
    since = time_text(claim.since)
    return hold(Reason.CLAIM_LOST, run=claim.run, since=since, status=claimed.registration.status.value)
