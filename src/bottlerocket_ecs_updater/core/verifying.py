"""From the proof of a reboot to the return: healthy first, then back; what does not become healthy is quarantined."""

from __future__ import annotations

from datetime import datetime

from bottlerocket_ecs_updater.core.claim import ATTRIBUTE, Claim, ClaimPhase
from bottlerocket_ecs_updater.core.command import (
    Cancel,
    Check,
    Command,
    Conclude,
    Note,
    Quarantine,
    Return,
    Unmark,
    Verdict,
)
from bottlerocket_ecs_updater.core.fleet import (
    End,
    Fleet,
    Instance,
    Outcome,
    Quarantined,
    Registration,
    Status,
    Updated,
)
from bottlerocket_ecs_updater.core.hooks import Unwell, ask_after_reboot, ask_again
from bottlerocket_ecs_updater.core.host import HostReport
from bottlerocket_ecs_updater.core.policy import CHECK_TRIES, CONNECTED_LOOKS, Policy
from bottlerocket_ecs_updater.core.questions import ask_host
from bottlerocket_ecs_updater.core.reasons import Failed, Failure, Reason, failed, hold
from bottlerocket_ecs_updater.core.rest import next_rest
from bottlerocket_ecs_updater.core.restoring import give_back
from bottlerocket_ecs_updater.core.waiting import near, passed, spell


def verify(
    instance: Instance,
    claim: Claim,
    registration: Registration,
    report: HostReport,
    fleet: Fleet,
    policy: Policy,
) -> Verdict:
    """A new boot is proven. Healthy means: the agent connected over several looks, and no second reboot to come."""
    soon = fleet.at + near(policy.poll_interval)
    if instance.trail.connected_looks < CONNECTED_LOOKS or not registration.connected:
        if passed(limit_from(instance, claim), policy.reboot_timeout, fleet.at):
            detail = f"it runs {report.running}, but its ECS agent does not stay connected"
            why = failed(Failure.NOT_BACK, limit=spell(policy.reboot_timeout), detail=detail)
            return quarantine(instance, claim, registration, why, fleet)
        wants_end = instance.reboot_flight is not None and instance.trail.reboot_end_asked_at is None
        return Verdict(look_at=soon, wants_reboot_end=wants_end)
    unended = _second_reboot_possible(instance, fleet, policy)
    if unended is not None:
        return unended
    return _vet(instance, claim, registration, report, fleet, policy)


def _vet(
    instance: Instance,
    claim: Claim,
    registration: Registration,
    report: HostReport,
    fleet: Fleet,
    policy: Policy,
) -> Verdict:
    """Back and connected: returned as soon as the operator's own document, where there is one, says that it is well."""
    match ask_after_reboot(instance, fleet.at, policy):
        case None:
            return _return_verified(instance, claim, registration, report, fleet)
        case Verdict() as asked:
            return asked
        case Unwell(detail=detail):
            if not passed(limit_from(instance, claim), policy.reboot_timeout, fleet.at):
                return ask_again(instance, fleet.at, policy)
            why = failed(Failure.UNHEALTHY, version=report.running, detail=detail)
            return quarantine(instance, claim, registration, why, fleet)


def _second_reboot_possible(instance: Instance, fleet: Fleet, policy: Policy) -> Verdict | None:
    """A reboot command that never ended may be run again by the agent: call it back, and prove the same boot twice."""
    trail, told = instance.trail, instance.told
    if instance.reboot_flight is None or trail.proof_at is None or told is None:
        return None
    if trail.reboot_end_asked_at is None:
        return Verdict(wants_reboot_end=True, look_at=fleet.at)
    second = trail.proof_at + policy.second_proof_spacing
    if told.asked_at >= second and told.report is not None:
        return None
    if fleet.at < second:
        look_at = fleet.at + 2 * policy.poll_interval
        return Verdict((Cancel(instance.id),), wants_reboot_end=True, look_at=look_at)
    if instance.flight is not None:
        return Verdict(look_at=fleet.at + policy.poll_interval)
    return Verdict((Check(instance.id),), look_at=fleet.at + policy.poll_interval)


def _return_verified(
    instance: Instance, claim: Claim, registration: Registration, report: HostReport, fleet: Fleet
) -> Verdict:
    verdict, notes = _judge(instance, claim, report, fleet)
    if registration.status is Status.ACTIVE:
        # It came back into service by itself, under whatever registration: verified, and let go.
        return Verdict((Unmark(instance.id, verdict, took_slot=True), *notes), look_at=fleet.at)
    return Verdict((Return(instance.id, verdict), *notes), look_at=fleet.at)


def _judge(instance: Instance, claim: Claim, report: HostReport, fleet: Fleet) -> tuple[Outcome, tuple[Command, ...]]:
    """What a proven boot came to, and what is to be remembered of it."""
    if report.running == claim.target:
        return Updated(claim.source, claim.target), ()
    if report.running == claim.source:
        why = failed(Failure.ROLLED_BACK, version=report.running, target=claim.target)
        return why, (_note(instance, claim, why, fleet),)
    return failed(Failure.WRONG_VERSION, version=report.running, target=claim.target), ()


def quarantined(instance: Instance, claim: Claim, registration: Registration, fleet: Fleet, policy: Policy) -> Verdict:
    """Left out of service: given back when it is healthy again, let go when a person returned it."""
    if registration.status is Status.ACTIVE:
        return Verdict((Unmark(instance.id, hold(Reason.RETURNED_BY_OTHERS), took_slot=True),), look_at=fleet.at)
    known = instance.trail.outcome
    conclusion: tuple[Command, ...] = ()
    if not isinstance(known, Quarantined):
        detail = f"out of service since {claim.since:%Y-%m-%d %H:%M} UTC"
        why = failed(Failure.NOT_BACK, limit=spell(policy.reboot_timeout), detail=detail)
        conclusion = _say_quarantined(instance, claim, registration, why, fleet)
    if not registration.connected:
        return Verdict(conclusion)
    since = max(claim.since, instance.trail.claimed_at or claim.since)
    told = instance.told if instance.told is not None and instance.told.asked_at >= since else None
    if told is None or told.report is None:
        if told is not None and instance.trail.checks_failed >= CHECK_TRIES:
            return Verdict(conclusion)
        asked = ask_host(instance, fleet.at, policy)
        return Verdict((*conclusion, *asked.commands), look_at=asked.look_at)
    if instance.trail.connected_looks < CONNECTED_LOOKS:
        return Verdict(conclusion, look_at=fleet.at + policy.poll_interval)
    if told.report.boot == claim.boot:
        return give_back(instance, claim, never_rebooted(instance, policy), fleet)
    match ask_after_reboot(instance, fleet.at, policy):
        case None:
            return _return_verified(instance, claim, registration, told.report, fleet)
        case Verdict(commands=commands, look_at=look_at):
            return Verdict((*conclusion, *commands), look_at=look_at)
        case Unwell():
            return Verdict(conclusion)


def _say_quarantined(
    instance: Instance, claim: Claim, registration: Registration, why: Failed, fleet: Fleet
) -> tuple[Command, ...]:
    """Conclude, or write the claim where a run died after it told the store, and before it told the instance.

    A claim that is not there at all may have been deleted by a person, who is not contradicted.
    """
    written = registration.attributes.get(ATTRIBUTE)
    if written is not None and written != claim.encode():
        return Quarantine(instance.id, claim, why), _note(instance, claim, why, fleet)
    return (Conclude(instance.id, Quarantined(why)),)


def quarantine(
    instance: Instance,
    claim: Claim,
    registration: Registration,
    why: Failed,
    fleet: Fleet,
    *,
    told_of_release: bool = True,
) -> Verdict:
    """Leave it out of service; one that is in service by itself is let go, and told as failed all the same.

    With `told_of_release`, the release that it was to boot into counts as having failed on it.
    """
    notes = (_note(instance, claim, why, fleet),) if told_of_release else ()
    if registration.status is Status.ACTIVE:
        # Its DRAINING did not outlast the reboot: there is nothing to leave it in, and nothing to give back.
        return Verdict((Unmark(instance.id, why, took_slot=False), *notes), look_at=fleet.at)
    mark = Quarantine(instance.id, claim.enter(ClaimPhase.QUARANTINED, fleet.at), why)
    return Verdict((mark, *notes), look_at=fleet.at)


def _note(instance: Instance, claim: Claim, why: Failed, fleet: Fleet) -> Note:
    """What is remembered of a release that the host did not come back well on."""
    rest = next_rest(instance.rest, claim.target, why.failure.code, fleet.at, rolled_back=True)
    return Note(instance.id, rest)


def never_rebooted(instance: Instance, policy: Policy) -> Failed:
    """Why it is given back on the boot that it had."""
    ended = instance.rebooted
    if ended is not None and ended.end is End.FAILED:
        return failed(Failure.REBOOT_REFUSED, detail=ended.detail)
    return failed(Failure.NEVER_REBOOTED, limit=spell(policy.reboot_timeout))


def limit_from(instance: Instance, claim: Claim) -> datetime:
    """Limits run from the claim, but a run that resumes one after hours gives the host its time to answer.

    A reboot that could be sent only late has its time, too.
    """
    trail = instance.trail
    return max(moment for moment in (claim.since, trail.claimed_at, trail.reboot_sent_at) if moment is not None)
