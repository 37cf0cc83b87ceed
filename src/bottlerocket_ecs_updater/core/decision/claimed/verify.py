"""From the first verification of a reboot to the return. A host that does not become healthy is quarantined."""

from __future__ import annotations

from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.backoff import next_backoff
from bottlerocket_ecs_updater.core.decision.claimed.after_reboot_hook import Unhealthy, ask_after_reboot, ask_again
from bottlerocket_ecs_updater.core.decision.claimed.give_back import cancel_open, hand_back
from bottlerocket_ecs_updater.core.decision.claimed.let_go import RETURNS_AFTER_ANSWER, group_due_soon, noted_cut_off
from bottlerocket_ecs_updater.core.decision.claimed.stale_reads import may_be_stale
from bottlerocket_ecs_updater.core.decision.host_checks import ask_host, is_check_denied
from bottlerocket_ecs_updater.core.decision.instance_health import (
    awaited_health,
    impaired_by_update,
    unhealthy_until,
)
from bottlerocket_ecs_updater.core.decision.polling import soon_interval
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.claimed_instance import ClaimedInstance
from bottlerocket_ecs_updater.core.model.command import Command, NextStep, Note, Quarantine, Unmark
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.host_report import HostReport
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Updated
from bottlerocket_ecs_updater.core.model.reasons import Failed, Failure, Hold, Reason, failed, hold
from bottlerocket_ecs_updater.core.model.reboots import (
    bound_to_old_boot,
    quiet_after_boot,
    quiet_unverified,
    surely_over,
)
from bottlerocket_ecs_updater.core.model.run_progress import NewBoot
from bottlerocket_ecs_updater.core.model.time_text import duration_text
from bottlerocket_ecs_updater.core.rules.policy import CONNECTED_LOOKS, Policy

BOOTS_WITHIN = timedelta(minutes=5)
"""How long after the claim for its reboot a host that is stopped may still be in its first boot of the version."""

SECOND_CHECK_LOOK_POLLS = 6
"""While waiting for the second verification, look at the instance once in this many polls: it may go down again."""


def verify(claimed: ClaimedInstance, report: HostReport, this_pass: Pass) -> NextStep:
    """A new boot is verified. The host is healthy if its agent stays connected and no second reboot can follow."""
    instance, registration = claimed.instance, claimed.registration
    policy = this_pass.policy
    soon = this_pass.at + soon_interval(policy.poll_interval)
    over = this_pass.at >= limit_of_reboot(claimed, this_pass)
    wrong = _not_well(claimed, this_pass.at, this_pass.fleet.read_lag)
    if wrong and over:
        detail = f"it runs {report.running}, but {wrong}"
        why = failed(Failure.NOT_BACK, limit=duration_text(policy.reboot_timeout), detail=detail)
        return quarantine(claimed, why, this_pass)
    if wrong:
        # Read its group with the last look before the return, so that the return does not wait for it.
        nearly = instance.progress.connected_looks == CONNECTED_LOOKS - 1 and registration.connected
        wants_group = nearly and group_due_soon(instance, RETURNS_AFTER_ANSWER, this_pass.fleet)
        return NextStep(look_at=soon, wants_reboot_end=_end_unasked(instance), wants_group=wants_group)
    step = return_when_verified(claimed, report, this_pass)
    if isinstance(step, NextStep):
        return step
    if not over:
        return ask_again(instance, this_pass)
    why = failed(Failure.UNHEALTHY, version=report.running, detail=step.detail)
    return quarantine(claimed, why, this_pass)


def _not_well(claimed: ClaimedInstance, now: datetime, read_lag: timedelta) -> str:
    """Why a host that booted is not known to be healthy yet; empty if it is."""
    instance, new_boot = claimed.instance, claimed.progress.new_boot
    impaired = impaired_by_update(instance)
    if impaired:
        return impaired
    if instance.progress.connected_looks < CONNECTED_LOOKS or not claimed.registration.connected:
        return "its ECS agent does not stay connected"
    if new_boot is not None and claimed.registration.at - read_lag < new_boot.asked_at:
        # ECS showed a drain late, so this may be the agent of the old boot.
        return "ECS may still show its ECS agent as it was before the reboot"
    if unhealthy_until(instance, now) is not None:
        return "ECS keeps reporting it as IMPAIRED"
    return awaited_health(instance, new_boot.asked_at if new_boot is not None else now, now)


def return_when_verified(claimed: ClaimedInstance, report: HostReport, this_pass: Pass) -> NextStep | Unhealthy:
    """Return it if no second reboot can come and the after-reboot document, if there is one, succeeds."""
    again = _second_reboot_possible(claimed, this_pass)
    if again is not None:
        return again
    answer = ask_after_reboot(claimed.instance, this_pass)
    return _return_verified(claimed, report, this_pass) if answer is None else answer


def _end_unasked(instance: Instance) -> bool:
    new_boot = instance.progress.new_boot
    since = new_boot.asked_at if new_boot is not None else None
    return any(one.not_asked_since(since or one.sent_at) for one in instance.reboots if not one.bound)


def _second_reboot_possible(claimed: ClaimedInstance, this_pass: Pass) -> NextStep | None:
    """The next step to rule out a second reboot; None if it is ruled out.

    Commands that are bound to the boot that the claim names do nothing on the new one. Without that:

    The agent may run an unfinished command again, and one of several commands may arrive late. So pending commands are
    cancelled, and the same boot is verified again some time after the first check (see `_second_check_from`). Then the
    results of the commands are read: a command that ran again reports success, and then the host goes down again.
    """
    instance = claimed.instance
    policy = this_pass.policy
    new_boot, check_answer = instance.progress.new_boot, instance.check_answer
    if new_boot is None or check_answer is None or _once_is_enough(claimed, new_boot):
        return None
    if is_check_denied(instance, this_pass.fleet):
        quiet = quiet_unverified(instance.reboots)
        if quiet is None or this_pass.at >= quiet:
            return None
        return NextStep(cancel_open(instance), look_at=min(quiet, this_pass.at + policy.answer_timeout))
    due = _second_check_due(claimed, new_boot, this_pass)
    if this_pass.at < due:
        soon = min(due, this_pass.at + SECOND_CHECK_LOOK_POLLS * policy.poll_interval)
        # The second check shows whether it went down in between: a look right before it would add nothing.
        last = soon == due and not _end_unasked(instance)
        return NextStep(
            cancel_open(instance), look_at=soon, wants_reboot_end=_end_unasked(instance), wants_answer_only=last
        )
    if check_answer.asked_at < due or check_answer.report is None:
        asked = ask_host(instance, this_pass)
        return NextStep(asked.commands, look_at=asked.look_at, wants_reboot_end=True)
    if any(one.not_asked_since(check_answer.asked_at) for one in instance.reboots):
        return NextStep(look_at=this_pass.at, wants_reboot_end=True)
    return None


def _once_is_enough(claimed: ClaimedInstance, new_boot: NewBoot) -> bool:
    """Whether the first verification of the boot rules out another reboot."""
    instance = claimed.instance
    if claimed.claim.reboots <= 1 and surely_over(instance.reboots, new_boot.asked_at):
        return True
    return bound_to_old_boot(instance.reboots)


def _second_check_due(claimed: ClaimedInstance, new_boot: NewBoot, this_pass: Pass) -> datetime:
    second = _second_check_from(claimed, new_boot, this_pass)
    quiet = quiet_after_boot(claimed.instance.reboots, new_boot.asked_at)
    return max(second, quiet) if quiet is not None else second


def _second_check_from(claimed: ClaimedInstance, new_boot: NewBoot, this_pass: Pass) -> datetime:
    """The earliest time at which a second verification of the same boot rules out another reboot.

    If this run sent exactly one command, the host went down because of it, and the agent can only run it again. An
    agent does that when it starts, before it takes new commands, and it was up when it gave the first answer. So a host
    on the same boot half a minute later was not rebooted again. If an inhibitor delays that shutdown, the command has
    reported success, which is read after the second verification. With several commands, or one whose history is less
    certain, a command may be delivered as late as its expiry, so the wait is longer.
    """
    instance, claim = claimed.instance, claimed.claim
    policy = this_pass.policy
    only = instance.reboots[0] if len(instance.reboots) == 1 else None
    known = only is not None and only.command and claim.reboots <= 1 and claim.run == this_pass.fleet.run
    if not known:
        return new_boot.asked_at + policy.second_check_spacing
    return max(new_boot.asked_at + policy.run_again_spacing, new_boot.answered_at + policy.answering_spacing)


def _return_verified(claimed: ClaimedInstance, report: HostReport, this_pass: Pass) -> NextStep:
    outcome, notes = _judge(claimed, report, this_pass)
    if claimed.registration.status is Status.ACTIVE and not may_be_stale(claimed, this_pass):
        # It is already back in service, perhaps under a new registration: it is verified, so drop the claim.
        return NextStep((Unmark(claimed.id, outcome, took_slot=True), *notes), look_at=this_pass.at)
    return NextStep(hand_back(claimed.instance, outcome, *notes), look_at=this_pass.at)


def _judge(claimed: ClaimedInstance, report: HostReport, this_pass: Pass) -> tuple[Outcome, tuple[Command, ...]]:
    """The outcome of a verified boot, with the backoff to record."""
    claim = claimed.claim
    if report.running == claim.target:
        return Updated(claim.source, claim.target), ()
    if report.running == claim.source and _was_stopped(claimed):
        return hold(Reason.STOPPED_DURING_REBOOT, running=report.running), ()
    if report.running == claim.source:
        why = failed(Failure.ROLLED_BACK, version=report.running, target=claim.target)
        return why, (note_failure(claimed, why, this_pass),)
    return failed(Failure.WRONG_VERSION, version=report.running, target=claim.target), ()


def _was_stopped(claimed: ClaimedInstance) -> bool:
    """Whether somebody stopped and started it during its reboot, or its group stopped it for its warm pool.

    A boot that is cut off makes the host roll back. A quarantined host was stopped for so long that the run gave up.
    """
    if _was_stopped_early(claimed):
        return True
    rest, claim, around = claimed.instance.backoff, claimed.claim, claimed.instance.around
    quarantined = claim.phase is ClaimPhase.QUARANTINED
    if around is not None and around.warm_at is not None and (quarantined or around.warm_at > claimed.phase_began):
        return True
    why = rest.why if rest is not None and rest.version == claim.target else ""
    return noted_cut_off(claimed) or (why == Failure.STOPPED_IN_EC2.code and quarantined)


def _was_stopped_early(claimed: ClaimedInstance) -> bool:
    """Whether EC2 shows that it was stopped, or started again, while it usually boots.

    Later, a person may have done so because the version hangs.
    """
    machine, began = claimed.instance.machine, claimed.phase_began
    if machine is None or claimed.claim.phase is not ClaimPhase.REBOOTING:
        return False
    known = (at for at in (machine.started_at, machine.stopped_at) if at is not None)
    return any(began < at <= began + BOOTS_WITHIN for at in known)


_SAY_NOTHING = (Failure.REBOOT_STALLED, Failure.STOPPED_IN_EC2)
"""Failures that say nothing about the version."""


def quarantine(claimed: ClaimedInstance, why: Failed, this_pass: Pass) -> NextStep:
    """Leave it out of service. If it is in service by itself, drop the claim, and still report it as failed."""
    # A reboot that did not happen says nothing about the version. Neither does a host that cannot be checked, or that
    # somebody stopped.
    instance = claimed.instance
    blames_version = why.failure not in _SAY_NOTHING and not is_check_denied(instance, this_pass.fleet)
    note = note_failure(claimed, why, this_pass, against_version=blames_version)
    if claimed.registration.status is Status.ACTIVE:
        # DRAINING did not survive the reboot: it is in service, so there is nothing to return.
        return NextStep((Unmark(instance.id, why, took_slot=False), note), look_at=this_pass.at)
    mark = Quarantine(instance.id, claimed.claim.enter(ClaimPhase.QUARANTINED, this_pass.at), why)
    return NextStep((mark, note), look_at=this_pass.at)


def note_failure(claimed: ClaimedInstance, why: Failed, this_pass: Pass, *, against_version: bool = True) -> Note:
    """The backoff to record for a version on which the host did not come back healthy."""
    instance = claimed.instance
    rest = next_backoff(
        instance.backoff, claimed.claim.target, why.failure.code, this_pass.at, rolled_back=against_version
    )
    return Note(instance.id, rest)


def never_rebooted(claimed: ClaimedInstance) -> Failed | Hold:
    """Why it is returned on its old boot.

    If it is possible that no reboot was ever sent, this is not a failure of the host.
    """
    instance, claim = claimed.instance, claimed.claim
    refusal = next((one.end for one in reversed(instance.reboots) if one.end is not None and one.refused), None)
    if refusal is not None:
        return failed(Failure.REBOOT_REFUSED, detail=refusal.detail)
    if instance.reboots and not any(one.command for one in instance.reboots):
        return hold(Reason.CHANGED_WHILE_DRAINING, why="AWS never confirmed a reboot command to it")
    times = "once" if claim.reboots <= 1 else f"{claim.reboots} times"
    return failed(Failure.NEVER_REBOOTED, times=times)


def stalled(policy: Policy) -> Failed:
    """Why it is quarantined on its old boot: the reboot that it accepted may still happen."""
    return failed(Failure.REBOOT_STALLED, limit=duration_text(policy.reboot_timeout))


def not_back(claimed: ClaimedInstance, this_pass: Pass) -> Failed:
    """Why it is quarantined if no new boot was seen."""
    instance, registration = claimed.instance, claimed.registration
    fleet = this_pass.fleet
    machine = instance.machine
    if not registration.connected and machine is not None and machine.stopped:
        limit = duration_text(this_pass.policy.reboot_timeout)
        return failed(Failure.STOPPED_IN_EC2, state=machine.state, limit=limit)
    if registration.connected and is_check_denied(instance, fleet):
        why = instance.send_denied or fleet.blocked
        detail = f"its ECS agent is connected, but AWS denies update checks: {why}"
    elif registration.connected:
        detail = "its ECS agent is connected, but it answers no update check"
    else:
        detail = "its ECS agent did not connect"
    return failed(Failure.NOT_BACK, limit=duration_text(this_pass.policy.reboot_timeout), detail=detail)


def limit_of_reboot(claimed: ClaimedInstance, this_pass: Pass) -> datetime:
    """When the reboot limit ends. It counts from the claim, so that it also ends across runs that die early.

    If the reboot was sent late, the limit counts from then. A run that takes over a claim has time to check once.
    If it waited for the second verification of a boot, there is time for that: an agent may be disconnected then.
    """
    policy = this_pass.policy
    progress = claimed.progress
    limit = (progress.reboot_sent_at or claimed.phase_began) + policy.reboot_timeout
    if claimed.claim.run != this_pass.fleet.run and progress.claimed_at is not None:
        limit = max(limit, progress.claimed_at + policy.takeover_grace)
    if progress.new_boot is None or _once_is_enough(claimed, progress.new_boot):
        return limit
    due = min(_second_check_due(claimed, progress.new_boot, this_pass), limit + policy.longest_quiet)
    return max(limit, due + policy.answer_timeout)
