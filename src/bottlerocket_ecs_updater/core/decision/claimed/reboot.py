"""From the claim for a reboot to its verification: send it once, look before sending it again, and verify it.

A boot id other than the claim's shows that the host rebooted. The result of the reboot command does not: across a
reboot, Run Command may report success, failure or nothing, or run the command a second time. The result does show until
when one of our reboots may still happen (`core/model/reboots.py`). Until then, the updater sends no other reboot and
does not return the instance.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.claimed.absent_claim import absent_claim
from bottlerocket_ecs_updater.core.decision.claimed.give_back import (
    AGENT_AWAY,
    backs_off_when_blocked,
    cancel_open,
    changed,
    give_back,
    give_back_blocked,
    not_empty_hold,
    reboots_plainly,
    staged_report,
    unwanted_now,
    why_blocked,
)
from bottlerocket_ecs_updater.core.decision.claimed.rival_claim import wait_for_rival
from bottlerocket_ecs_updater.core.decision.claimed.stale_reads import may_be_stale
from bottlerocket_ecs_updater.core.decision.claimed.verify import (
    limit_of_reboot,
    never_rebooted,
    not_back,
    quarantine,
    stalled,
    verify,
)
from bottlerocket_ecs_updater.core.decision.host_checks import ask_host, is_check_denied, next_poll
from bottlerocket_ecs_updater.core.decision.polling import next_look, quiet_time, soon_interval
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.claimed_instance import ClaimedInstance
from bottlerocket_ecs_updater.core.model.command import Mark, NextStep, Reboot, Unmark
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.host_report import HostReport
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.reboots import FIRST_RUN, SentReboot, quiet_from, quiet_unverified
from bottlerocket_ecs_updater.core.model.time_text import duration_text, has_passed
from bottlerocket_ecs_updater.core.rules.policy import CONNECTED_LOOKS, REBOOT_MARKS, REBOOT_TRIES, Policy

END_ASKED_SHARE = 0.7
"""When the result of a reboot command is read first, as a share of `FIRST_RUN`. By then it has ended on most hosts, and
the results of several commands are read together."""


def rebooting(claimed: ClaimedInstance, this_pass: Pass) -> NextStep:
    """The next step for an instance that is claimed for its reboot or coming back from it."""
    claim = claimed.claim
    fleet = this_pass.fleet
    report = _report_since(claimed, this_pass)
    if report is not None and report.boot != claim.boot:
        return verify(claimed, report, this_pass)
    if claim.run == fleet.run and claimed.progress.reboot_sent_at is None:
        return _not_sent(claimed, report, this_pass)
    if is_check_denied(claimed.instance, fleet):
        return _without_checks(claimed, this_pass)
    return _await_boot(claimed, report, this_pass)


def _report_since(claimed: ClaimedInstance, this_pass: Pass) -> HostReport | None:
    """The host's report, if the check was sent after the reboot or takeover that it must verify."""
    instance = claimed.instance
    check_answer = instance.check_answer
    if check_answer is None:
        return None
    progress = instance.progress
    after = progress.reboot_sent_at
    if after is None and claimed.claim.run != this_pass.fleet.run:
        after = progress.claimed_at
    # A report from before its agent disconnected does not cover the boot that it comes back with.
    return (
        check_answer.report
        if all(check_answer.asked_at >= moment for moment in (after, progress.away_at) if moment)
        else None
    )


# Before the reboot


def _not_sent(claimed: ClaimedInstance, report: HostReport | None, this_pass: Pass) -> NextStep:
    """This run claimed it for the reboot, but has not sent the reboot yet."""
    instance, registration = claimed.instance, claimed.registration
    policy = this_pass.policy
    if instance.progress.overwritten_looks:
        return wait_for_rival(claimed, this_pass)
    if registration.status is Status.ACTIVE:
        if may_be_stale(claimed, this_pass):
            return NextStep(look_at=this_pass.next_poll)
        return NextStep((Unmark(instance.id, hold(Reason.RETURNED_BY_OTHERS), took_slot=True),))
    absent = absent_claim(claimed, this_pass)
    if absent is not None:
        return absent
    blocked = why_blocked(instance, this_pass.fleet)
    if blocked is not None:
        backs_off = backs_off_when_blocked(claimed.claim, blocked)
        return _give_back_when_quiet(claimed, blocked, this_pass, backs_off=backs_off)
    unwanted = unwanted_now(claimed, this_pass)
    if unwanted is not None:
        return _give_back_when_quiet(claimed, unwanted, this_pass, backs_off=False)
    if this_pass.at >= limit_of_reboot(claimed, this_pass):
        why_unsent = _why_unsent(claimed, policy)
        return _give_back_when_quiet(claimed, why_unsent, this_pass)
    if report is None and instance.progress.away_at is not None:
        return _ask_when_connected(claimed, this_pass)
    return _send(claimed, report, this_pass)


def _send(claimed: ClaimedInstance, report: HostReport | None, this_pass: Pass) -> NextStep:
    """Send the reboot, if the current look shows that it is empty, DRAINING and staged."""
    instance = claimed.instance
    if not _looked_at_now(claimed, this_pass):
        return NextStep(wants_tasks=True, look_at=this_pass.at)
    if not is_seen_empty(claimed, this_pass):
        return NextStep(look_at=this_pass.next_poll)
    # A plain reboot boots whatever is staged by now. So it needs a recent report even if AWS refused the bound one.
    excused = instance.progress.stalled_since is not None and not reboots_plainly(instance, this_pass.fleet)
    if report is None or (staged_report(instance, this_pass) is None and not excused):
        return replace(ask_host(instance, this_pass), wants_answer_only=True)
    difference = changed(report, claimed.claim)
    if difference is not None:
        why = hold(Reason.CHANGED_WHILE_DRAINING, why=difference)
        return _give_back_when_quiet(claimed, why, this_pass)
    return send_reboot(instance, this_pass)


def is_seen_empty(claimed: ClaimedInstance, this_pass: Pass) -> bool:
    """Whether this look, and no earlier one, shows that it is DRAINING, connected, and has no task that is not STOPPED.

    It must have counted its tasks and listed those that are still stopping: the counts do not include them.
    """
    tasks, registration = claimed.instance.tasks, claimed.registration
    if tasks is None or not _looked_at_now(claimed, this_pass):
        return False
    empty = not (registration.counted_tasks or tasks.left)
    return empty and registration.status is Status.DRAINING and registration.connected


def _looked_at_now(claimed: ClaimedInstance, this_pass: Pass) -> bool:
    tasks, registration = claimed.instance.tasks, claimed.registration
    listed = tasks is not None and tasks.with_stopping and tasks.at >= registration.at
    return listed and registration.at >= this_pass.at


def send_reboot(instance: Instance, this_pass: Pass, *first: Mark) -> NextStep:
    """Send the reboot after the commands in `first`.

    If the document takes no parameters, read the command's result before it can run a second time.
    """
    fleet, policy, at = this_pass.fleet, this_pass.policy, this_pass.at
    if reboots_plainly(instance, fleet):
        soon, plain = at + FIRST_RUN * END_ASKED_SHARE, Reboot(instance.id, bound=False)
        return NextStep((*first, plain), look_at=soon, wants_answer_only=True, wants_reboot_end=True)
    look_at = next_look(at, at, policy.poll_interval, fleet.durations.reboot_of(instance), policy.quiet_after_reboot)
    return NextStep((*first, Reboot(instance.id)), look_at=look_at)


def _why_unsent(claimed: ClaimedInstance, policy: Policy) -> Hold:
    """Why the reboot could never be sent. This is not a failure of the host."""
    instance = claimed.instance
    if instance.tasks is not None and instance.tasks.left:
        return not_empty_hold(instance, policy.drain_timeout)
    if not claimed.registration.connected:
        return hold(Reason.CHANGED_WHILE_DRAINING, why=AGENT_AWAY)
    why = f"no reboot could be sent to it within {duration_text(policy.reboot_timeout)}"
    return hold(Reason.CHANGED_WHILE_DRAINING, why=why)


# Until the boot


def _await_boot(claimed: ClaimedInstance, report: HostReport | None, this_pass: Pass) -> NextStep:
    """A reboot was sent by this run, or perhaps by a dead one: wait until the host leaves and comes back."""
    instance, registration = claimed.instance, claimed.registration
    over = this_pass.at >= limit_of_reboot(claimed, this_pass)
    undelivered = cancel_open(instance) if _returned_before_it_left(claimed, this_pass) else ()
    if undelivered and not over:
        return NextStep(undelivered, look_at=this_pass.next_poll)
    if report is not None and registration.connected:
        return _on_old_boot(claimed, report, this_pass, over=over)
    asked = instance.pending is not None and registration.connected and not _grace_over(instance, this_pass)
    if not over or asked:
        return _ask_when_connected(claimed, this_pass)
    return quarantine(claimed, not_back(claimed, this_pass), this_pass)


def _returned_before_it_left(claimed: ClaimedInstance, this_pass: Pass) -> bool:
    """Whether somebody returned it while the command may not have been delivered: it takes tasks again."""
    returned = claimed.registration.status is Status.ACTIVE and not may_be_stale(claimed, this_pass)
    return returned and claimed.progress.away_at is None


def _grace_over(instance: Instance, this_pass: Pass) -> bool:
    """Whether the pending check has run out of time to be answered."""
    return instance.pending is None or has_passed(
        instance.pending.sent_at, this_pass.policy.answer_timeout, this_pass.at
    )


def _on_old_boot(claimed: ClaimedInstance, report: HostReport, this_pass: Pass, *, over: bool) -> NextStep:
    """The old boot still runs: the host rejected the reboot, never got it, or is about to go down."""
    instance = claimed.instance
    if _end_is_due(instance):
        return NextStep(look_at=this_pass.at, wants_reboot_end=True)
    if instance.progress.overwritten_looks:
        return wait_for_rival(claimed, this_pass)
    absent = absent_claim(claimed, this_pass)
    if absent is not None:
        return absent
    blocked = why_blocked(instance, this_pass.fleet)
    if blocked is not None:
        backs_off = backs_off_when_blocked(claimed.claim, blocked)
        return _give_back_when_quiet(claimed, blocked, this_pass, backs_off=backs_off)
    if over:
        why = never_rebooted(claimed)
        return _give_back_when_quiet(claimed, why, this_pass)
    if not _may_ask_again(instance, this_pass):
        return _ask_when_connected(claimed, this_pass)
    return _again(claimed, report, this_pass)


def _end_is_due(instance: Instance) -> bool:
    """Whether to read the results of pending reboots, because the host has since reported its old boot."""
    check_answer = instance.check_answer
    if check_answer is None:
        return False
    return any(one.not_asked_since(check_answer.at) for one in instance.reboots)


def _may_ask_again(instance: Instance, this_pass: Pass) -> bool:
    """Whether another reboot may be sent: as far as is known, none of the earlier ones can still happen."""
    check_answer = instance.check_answer
    from_ = [_asked_again_from(one, this_pass.policy) for one in instance.reboots]
    if check_answer is None or any(moment is None for moment in from_):
        return False
    settled = [moment for moment in from_ if moment is not None]
    return all(check_answer.asked_at >= moment and this_pass.at >= moment for moment in settled)


def _asked_again_from(one: SentReboot, policy: Policy) -> datetime | None:
    """The earliest time at which another reboot may be sent despite this one; None for never."""
    if one.accepted:
        return None
    if one.end is not None and one.refused:
        return max(one.end.heard_at, one.sent_at + policy.reboot_spacing)
    if not one.command:
        # It was never found. If it had been sent, Systems Manager would list it by then.
        return one.sent_at + policy.answer_timeout
    return quiet_from((one,))


def _again(claimed: ClaimedInstance, report: HostReport, this_pass: Pass) -> NextStep:
    """Send the reboot again, while tries are left and the host still has the update that we claimed it for."""
    claim = claimed.claim
    fleet = this_pass.fleet
    if claimed.registration.status is Status.ACTIVE and may_be_stale(claimed, this_pass):
        return NextStep(look_at=this_pass.next_poll)
    if claimed.registration.status is Status.ACTIVE:
        return NextStep((Unmark(claimed.id, hold(Reason.RETURNED_BY_OTHERS), took_slot=True),))
    difference = changed(report, claim)
    if difference is not None:
        why = hold(Reason.CHANGED_WHILE_DRAINING, why=difference)
        return _give_back_when_quiet(claimed, why, this_pass)
    unwanted = unwanted_now(claimed, this_pass)
    if unwanted is not None:
        return _give_back_when_quiet(claimed, unwanted, this_pass, backs_off=False)
    if claim.reboots >= (REBOOT_TRIES if claim.run == fleet.run else REBOOT_MARKS):
        return _give_back_when_quiet(claimed, never_rebooted(claimed), this_pass)
    taken = replace(claim, run=fleet.run, store=fleet.store)
    mark = Mark(claimed.id, taken.enter(ClaimPhase.REBOOTING, this_pass.at, reboots=claim.reboots + 1))
    # Every other try takes one more call, so that a fault in every n-th call does not hit all of them.
    return NextStep((mark,), look_at=this_pass.at, wants_services=claim.reboots % 2 == 1)


# Returning it on its old boot


def _give_back_when_quiet(
    claimed: ClaimedInstance, why: Hold | Failed, this_pass: Pass, *, backs_off: bool = True
) -> NextStep:
    """Return it once none of our reboots can happen any more; quarantine it if one stays pending past the limit."""
    instance = claimed.instance
    policy = this_pass.policy
    quiet = quiet_from(instance.reboots)
    if quiet is None:
        return give_back(claimed, why, this_pass, backs_off=backs_off)
    if this_pass.at < quiet and any(one.accepted for one in instance.reboots):
        if this_pass.at < limit_of_reboot(claimed, this_pass):
            return _ask_when_connected(claimed, this_pass)
        return quarantine(claimed, stalled(policy), this_pass)
    if this_pass.at < quiet:
        look_at = min(quiet, this_pass.at + policy.answer_timeout)
        return NextStep(cancel_open(instance), look_at=look_at, wants_reboot_end=True)
    if instance.check_answer is None or instance.check_answer.asked_at < quiet:
        return ask_host(instance, this_pass)
    return give_back(claimed, why, this_pass, backs_off=backs_off)


def _without_checks(claimed: ClaimedInstance, this_pass: Pass) -> NextStep:
    """AWS denies checks: rely on ECS and on time. Its version stays unverified."""
    instance = claimed.instance
    policy = this_pass.policy
    progress, blocked = instance.progress, why_blocked(instance, this_pass.fleet)
    assert blocked is not None
    came_back = progress.away_at is not None and progress.connected_looks >= CONNECTED_LOOKS
    quiet = quiet_unverified(instance.reboots) if came_back else quiet_from(instance.reboots)
    if quiet is not None and this_pass.at < quiet:
        if this_pass.at >= limit_of_reboot(claimed, this_pass):
            return quarantine(claimed, not_back(claimed, this_pass), this_pass)
        return NextStep(cancel_open(instance), look_at=min(quiet, this_pass.at + policy.answer_timeout))
    if claimed.registration.connected:
        return give_back_blocked(claimed, blocked, this_pass)
    if this_pass.at < limit_of_reboot(claimed, this_pass):
        return NextStep(look_at=this_pass.at + policy.listing_spacing)
    return quarantine(claimed, not_back(claimed, this_pass), this_pass)


# Checks


def _ask_when_connected(claimed: ClaimedInstance, this_pass: Pass) -> NextStep:
    """Check the host once its agent is connected again; now and then also if it may have rebooted unnoticed."""
    instance = claimed.instance
    policy = this_pass.policy
    progress = instance.progress
    sent_at = progress.reboot_sent_at or progress.claimed_at or this_pass.at
    wants_end = _end_unknown(instance)
    if instance.pending is not None:
        return NextStep(look_at=next_poll(instance.pending, this_pass), wants_reboot_end=wants_end)
    due = next_look(
        sent_at,
        this_pass.at,
        policy.poll_interval,
        this_pass.fleet.durations.reboot_of(instance),
        policy.quiet_after_reboot if progress.reboot_sent_at else policy.poll_interval,
    )
    if not claimed.registration.connected:
        late = has_passed(sent_at, policy.late_after_reboot, this_pass.at)
        spacing = policy.listing_spacing if late else timedelta(0)
        return NextStep(look_at=max(due, this_pass.at + spacing), wants_listing=late, wants_reboot_end=wants_end)
    if _came_back_unasked(instance):
        # The look after the answer also verifies its connection, so nothing else is read until then.
        asked = ask_host(instance, this_pass)
        wants_end = any(one.open and not one.bound for one in instance.reboots)
        return replace(asked, wants_answer_only=bool(asked.commands), wants_reboot_end=wants_end)
    return _ask_one_that_never_left(claimed, sent_at, due, this_pass)


def _end_unknown(instance: Instance) -> bool:
    """Whether a command's result was never read. Read early, it shows whether a success is from the first run."""
    return any(one.open and one.end_asked_at is None and not one.bound for one in instance.reboots)


def _came_back_unasked(instance: Instance) -> bool:
    """Whether its agent was disconnected, or its claim was found, and the host has not reported since."""
    progress, check_answer = instance.progress, instance.check_answer
    since = progress.away_at or (progress.claimed_at if progress.reboot_sent_at is None else None)
    return since is not None and (check_answer is None or check_answer.report is None or check_answer.asked_at < since)


def _ask_one_that_never_left(claimed: ClaimedInstance, sent_at: datetime, due: datetime, this_pass: Pass) -> NextStep:
    """Check a host that is connected and was never seen disconnected: it rebooted unnoticed, or not at all.

    Only a look from now shows that it is connected: one from before its reboot also says so.
    """
    instance, policy = claimed.instance, this_pass.policy
    learned = this_pass.fleet.durations.reboot_of(instance)
    quiet = quiet_time(learned, policy.poll_interval) if learned is not None else 2 * policy.quiet_after_reboot
    early = this_pass.at + soon_interval(policy.poll_interval) < sent_at + quiet
    if early or claimed.registration.at < this_pass.at:
        return NextStep(look_at=due)
    last = (
        instance.check_answer.asked_at if instance.check_answer and instance.check_answer.asked_at >= sent_at else None
    )
    spacing = max(policy.quiet_after_reboot, (this_pass.at - sent_at) / 4)
    if last is not None and this_pass.at < last + spacing:
        return NextStep(look_at=min(last + spacing, max(due, this_pass.next_poll)))
    # The look that led to the check counts, so the answer is read alone here too.
    asked = ask_host(instance, this_pass)
    return replace(asked, wants_answer_only=bool(asked.commands))
