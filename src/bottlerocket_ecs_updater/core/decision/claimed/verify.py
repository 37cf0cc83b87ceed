"""From the proof of a reboot to the return: healthy first, then back; what does not become healthy is quarantined."""

from __future__ import annotations

from datetime import datetime

from bottlerocket_ecs_updater.core.decision.backoff import next_backoff
from bottlerocket_ecs_updater.core.decision.claimed.after_reboot_hook import Unhealthy, ask_after_reboot, ask_again
from bottlerocket_ecs_updater.core.decision.claimed.give_back import cancel_open, hand_back
from bottlerocket_ecs_updater.core.decision.claimed.let_go import RETURNS_AFTER_ANSWER, group_due_soon
from bottlerocket_ecs_updater.core.decision.evidence import impaired_by_update
from bottlerocket_ecs_updater.core.decision.host_checks import ask_host, is_mute
from bottlerocket_ecs_updater.core.decision.polling import soon_interval
from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.command import Command, NextStep, Note, Quarantine, Unmark
from bottlerocket_ecs_updater.core.model.container_instance import Registration, Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.host_report import HostReport
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Updated
from bottlerocket_ecs_updater.core.model.reasons import Failed, Failure, Hold, Reason, failed, hold
from bottlerocket_ecs_updater.core.model.reboots import (
    quiet_after_boot,
    quiet_unproven,
    surely_over,
)
from bottlerocket_ecs_updater.core.model.time_text import duration_text
from bottlerocket_ecs_updater.core.rules.policy import CONNECTED_LOOKS, Policy

SECOND_PROOF_LOOK_POLLS = 6
"""While a second proof is waited for, the instance is looked at every so many polls: it may go down meanwhile."""


def verify(
    instance: Instance,
    claim: Claim,
    registration: Registration,
    report: HostReport,
    fleet: Fleet,
    policy: Policy,
) -> NextStep:
    """A new boot is proven. Healthy means: the agent connected over several looks, and no second reboot to come."""
    soon = fleet.at + soon_interval(policy.poll_interval)
    over = fleet.at >= limit_of_reboot(instance, claim, fleet, policy)
    if (
        instance.progress.connected_looks < CONNECTED_LOOKS
        or not registration.connected
        or impaired_by_update(instance)
    ):
        if over:
            wrong = impaired_by_update(instance) or "its ECS agent does not stay connected"
            detail = f"it runs {report.running}, but {wrong}"
            why = failed(Failure.NOT_BACK, limit=duration_text(policy.reboot_timeout), detail=detail)
            return quarantine(instance, claim, registration, why, fleet)
        # Its group is asked with the last look before the return, which then waits for no further one.
        nearly = instance.progress.connected_looks == CONNECTED_LOOKS - 1 and registration.connected
        wants_group = nearly and group_due_soon(instance, RETURNS_AFTER_ANSWER, fleet)
        return NextStep(look_at=soon, wants_reboot_end=_end_unasked(instance), wants_group=wants_group)
    again = _second_reboot_possible(instance, claim, fleet, policy)
    if again is not None:
        return again
    match ask_after_reboot(instance, fleet.at, policy):
        case None:
            return _return_verified(instance, claim, registration, report, fleet)
        case NextStep() as asked:
            return asked
        case Unhealthy(detail=detail):
            if not over:
                return ask_again(instance, fleet.at, policy)
            why = failed(Failure.UNHEALTHY, version=report.running, detail=detail)
            return quarantine(instance, claim, registration, why, fleet)


def _end_unasked(instance: Instance) -> bool:
    proof = instance.progress.proof_at
    return any(one.not_asked_since(proof or one.sent_at) for one in instance.reboots)


def _second_reboot_possible(instance: Instance, claim: Claim, fleet: Fleet, policy: Policy) -> NextStep | None:
    """What must be seen before a second reboot can be ruled out; None where it is.

    The agent may run a command again that has not ended, and one of several commands may be the one that comes late.
    So open commands are cancelled, and the same boot is proven again some time after the first proof. After that it is
    asked how the commands ended: one that ran again ends in success, and then the host goes down once more.

    How long that is: see `_second_proof_from`.
    """
    progress, check_answer = instance.progress, instance.check_answer
    if progress.proof_at is None or check_answer is None:
        return None
    if claim.reboots <= 1 and surely_over(instance.reboots, progress.proof_at):
        return None
    second = _second_proof_from(instance, claim, progress.proof_at, fleet, policy)
    quiet = quiet_after_boot(instance.reboots, progress.proof_at)
    if is_mute(instance, fleet):
        quiet = quiet_unproven(instance.reboots)
        if quiet is None or fleet.at >= quiet:
            return None
        return NextStep(cancel_open(instance), look_at=min(quiet, fleet.at + policy.answer_timeout))
    due = max(second, quiet) if quiet is not None else second
    if fleet.at < due:
        soon = min(due, fleet.at + SECOND_PROOF_LOOK_POLLS * policy.poll_interval)
        return NextStep(cancel_open(instance), look_at=soon, wants_reboot_end=_end_unasked(instance))
    if check_answer.asked_at < due or check_answer.report is None:
        asked = ask_host(instance, fleet.at, policy)
        return NextStep(asked.commands, look_at=asked.look_at, wants_reboot_end=True)
    if any(one.not_asked_since(check_answer.asked_at) for one in instance.reboots):
        return NextStep(look_at=fleet.at, wants_reboot_end=True)
    return None


def _second_proof_from(instance: Instance, claim: Claim, proof_at: datetime, fleet: Fleet, policy: Policy) -> datetime:
    """From when on the same boot once more proves that none of its reboots comes again.

    One command, which this run sent: the agent took it, and the host went down by it. What is left is that the agent
    runs it again, and an agent does so as it starts, before it takes anything new. It was up when it gave the first
    answer; a host that still runs the same boot half a minute later was not asked by its agent to go down, unless a
    service holds that up, and then the command has ended in success, which is asked for after the second proof.
    Several commands, or one of which less is known: one may be delivered as late as it expires, so it takes longer.
    """
    only = instance.reboots[0] if len(instance.reboots) == 1 else None
    known = only is not None and only.command and claim.reboots <= 1 and claim.run == fleet.run
    if not known:
        return proof_at + policy.second_proof_spacing
    heard_at = instance.progress.proof_heard_at or proof_at
    return max(proof_at + policy.run_again_spacing, heard_at + policy.answering_spacing)


def _return_verified(
    instance: Instance, claim: Claim, registration: Registration, report: HostReport, fleet: Fleet
) -> NextStep:
    verdict, notes = _judge(instance, claim, report, fleet)
    if registration.status is Status.ACTIVE:
        # It came back into service by itself, under whatever registration: verified, and let go.
        return NextStep((Unmark(instance.id, verdict, took_slot=True), *notes), look_at=fleet.at)
    return NextStep(hand_back(instance, verdict, *notes), look_at=fleet.at)


def _judge(instance: Instance, claim: Claim, report: HostReport, fleet: Fleet) -> tuple[Outcome, tuple[Command, ...]]:
    """What a proven boot came to, and what is to be remembered of it."""
    if report.running == claim.target:
        return Updated(claim.source, claim.target), ()
    if report.running == claim.source:
        why = failed(Failure.ROLLED_BACK, version=report.running, target=claim.target)
        return why, (_note(instance, claim, why, fleet),)
    return failed(Failure.WRONG_VERSION, version=report.running, target=claim.target), ()


def quarantine(instance: Instance, claim: Claim, registration: Registration, why: Failed, fleet: Fleet) -> NextStep:
    """Leave it out of service; one that is in service by itself is let go, and told as failed all the same."""
    # A reboot that did not happen says nothing about the version, and neither does a host that nobody may ask.
    told_of_version = why.failure is not Failure.REBOOT_STALLED and not is_mute(instance, fleet)
    note = _note(instance, claim, why, fleet, against_version=told_of_version)
    if registration.status is Status.ACTIVE:
        # Its DRAINING did not outlast the reboot: there is nothing to leave it in, and nothing to give back.
        return NextStep((Unmark(instance.id, why, took_slot=False), note), look_at=fleet.at)
    mark = Quarantine(instance.id, claim.enter(ClaimPhase.QUARANTINED, fleet.at), why)
    return NextStep((mark, note), look_at=fleet.at)


def _note(instance: Instance, claim: Claim, why: Failed, fleet: Fleet, *, against_version: bool = True) -> Note:
    """What is remembered of a version that the host did not come back well on."""
    rest = next_backoff(instance.backoff, claim.target, why.failure.code, fleet.at, rolled_back=against_version)
    return Note(instance.id, rest)


def never_rebooted(instance: Instance, claim: Claim) -> Failed | Hold:
    """Why it is given back on the boot that it had. Where nobody knows that it was ever asked, it is not to blame."""
    refusal = next((one.end for one in reversed(instance.reboots) if one.end is not None and one.refused), None)
    if refusal is not None:
        return failed(Failure.REBOOT_REFUSED, detail=refusal.detail)
    if instance.reboots and not any(one.command for one in instance.reboots):
        return hold(Reason.CHANGED_WHILE_DRAINING, why="AWS took no reboot for it, and named no command that it took")
    times = "once" if claim.reboots <= 1 else f"{claim.reboots} times"
    return failed(Failure.NEVER_REBOOTED, times=times)


def stalled(policy: Policy) -> Failed:
    """Why it is quarantined on the boot that it had: the reboot that it accepted may still come."""
    return failed(Failure.REBOOT_STALLED, limit=duration_text(policy.reboot_timeout))


def not_back(instance: Instance, registration: Registration, fleet: Fleet, policy: Policy) -> Failed:
    """Why it is quarantined when nothing was heard of a new boot."""
    if registration.connected and is_mute(instance, fleet):
        why = instance.send_denied or fleet.blocked
        detail = f"its ECS agent is connected, but AWS allows no update check: {why}"
    elif registration.connected:
        detail = "its ECS agent is connected, but it answers no update check"
    else:
        detail = "its ECS agent did not connect"
    return failed(Failure.NOT_BACK, limit=duration_text(policy.reboot_timeout), detail=detail)


def limit_of_reboot(instance: Instance, claim: Claim, fleet: Fleet, policy: Policy) -> datetime:
    """When the reboot has lasted long enough. It counts from the claim, so runs that die early reach it, too.

    A reboot that could be sent only late has its time. A run that takes a claim over has the time to ask the host once.
    """
    progress = instance.progress
    limit = (progress.reboot_sent_at or instance.phase_began) + policy.reboot_timeout
    if claim.run != fleet.run and progress.claimed_at is not None:
        limit = max(limit, progress.claimed_at + policy.takeover_grace)
    return limit
