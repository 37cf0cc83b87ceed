"""Quarantined instances: kept out of service until they are healthy or a person acts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bottlerocket_ecs_updater.core.decision.claimed.give_back import give_back
from bottlerocket_ecs_updater.core.decision.claimed.verify import never_rebooted, note_failure, return_when_verified
from bottlerocket_ecs_updater.core.decision.host_checks import ask_host, is_check_denied
from bottlerocket_ecs_updater.core.decision.instance_health import awaited_health, impaired_by_update, unhealthy_until
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, Claim
from bottlerocket_ecs_updater.core.model.claimed_instance import ClaimedInstance
from bottlerocket_ecs_updater.core.model.command import Command, Conclude, NextStep, Quarantine, Unmark
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.host_report import HostReport
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Quarantined
from bottlerocket_ecs_updater.core.model.reasons import Failed, Failure, Reason, failed, hold
from bottlerocket_ecs_updater.core.model.reboots import COMMAND_LIFE, INHIBITED_FOR, quiet_from
from bottlerocket_ecs_updater.core.model.time_text import time_text
from bottlerocket_ecs_updater.core.rules.policy import CHECK_TRIES, CONNECTED_LOOKS


def quarantined(claimed: ClaimedInstance, this_pass: Pass) -> NextStep:
    """Keep it out of service; return it once it is healthy, and drop the claim if a person returned it."""
    instance, registration = claimed.instance, claimed.registration
    if registration.status is Status.ACTIVE:
        return NextStep((Unmark(instance.id, hold(Reason.RETURNED_BY_OTHERS), took_slot=True),), look_at=this_pass.at)
    conclusion = _conclusion(claimed, this_pass)
    if (
        not registration.connected
        or registration.status is not Status.DRAINING
        or is_check_denied(instance, this_pass.fleet)
    ):
        # An instance that is REGISTERING or the like cannot be returned.
        return NextStep(conclusion)
    since = instance.progress.phase_seen_at or instance.phase_began
    check_answer = (
        instance.check_answer if instance.check_answer is not None and instance.check_answer.asked_at >= since else None
    )
    if check_answer is None or check_answer.report is None:
        if check_answer is not None and instance.progress.checks_failed >= CHECK_TRIES:
            return NextStep(conclusion)
        asked = ask_host(instance, this_pass)
        return NextStep((*conclusion, *asked.commands), look_at=asked.look_at)
    if instance.progress.connected_looks < CONNECTED_LOOKS:
        return NextStep(conclusion, look_at=this_pass.next_poll)
    if impaired_by_update(instance):
        return NextStep(conclusion)
    if awaited_health(instance, since, this_pass.at) or unhealthy_until(instance, this_pass.at) is not None:
        return NextStep(conclusion, look_at=this_pass.next_poll)
    found = _recovered(claimed, check_answer.report, this_pass)
    return replace(found, commands=(*conclusion, *found.commands))


def _recovered(claimed: ClaimedInstance, report: HostReport, this_pass: Pass) -> NextStep:
    """A quarantined instance that answers again: what must still be checked before it returns to service."""
    instance = claimed.instance
    if report.boot == claimed.claim.boot:
        quiet = max(moment for moment in (quiet_from(instance.reboots), _quiet_of_quarantine(instance)) if moment)
        return NextStep() if this_pass.at < quiet else give_back(claimed, never_rebooted(claimed), this_pass)
    step = return_when_verified(claimed, report, this_pass)
    return step if isinstance(step, NextStep) else NextStep()


def _quiet_of_quarantine(instance: Instance) -> datetime:
    """When all reboots sent before its quarantine have expired, including ones that were never found."""
    return instance.phase_began + COMMAND_LIFE + INHIBITED_FOR


def _conclusion(claimed: ClaimedInstance, this_pass: Pass) -> tuple[Command, ...]:
    if isinstance(claimed.instance.progress.outcome, Quarantined):
        return ()
    return _say_quarantined(claimed, still_quarantined(claimed.instance, claimed.claim), this_pass)


def still_quarantined(instance: Instance, claim: Claim) -> Failed:
    """Why a quarantined instance is out of service, for a later run, a plan or an explanation."""
    rest = instance.backoff
    reason = rest.why if rest is not None and rest.version == claim.target else "see that run's report for the cause"
    return failed(Failure.STILL_QUARANTINED, since=time_text(claim.since), why=reason)


def _say_quarantined(claimed: ClaimedInstance, why: Failed, this_pass: Pass) -> tuple[Command, ...]:
    """Record the outcome; rewrite the claim if a run died after writing it to the store but not to the instance.

    If the attribute is missing, a person may have deleted it, so it is not written again.
    """
    claim = claimed.claim
    written = claimed.registration.attributes.get(CLAIM_ATTRIBUTE)
    if written is not None and written != claim.encode():
        return Quarantine(claimed.id, claim, why), note_failure(claimed, why, this_pass)
    return (Conclude(claimed.id, Quarantined(why)),)
