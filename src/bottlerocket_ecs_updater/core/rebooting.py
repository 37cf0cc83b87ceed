"""From the mark to the proof of a reboot: ask once, look again before it is asked once more, and prove it.

A reboot is proven by a boot id other than the claim's. How the reboot command itself ended proves nothing: across
a reboot Run Command reports success, failure, silence, or runs the command a second time.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.command import (
    Mark,
    Reboot,
    Unmark,
    Verdict,
)
from bottlerocket_ecs_updater.core.fleet import (
    End,
    Fleet,
    Instance,
    Registration,
    Status,
)
from bottlerocket_ecs_updater.core.host import HostReport
from bottlerocket_ecs_updater.core.policy import REBOOT_MARKS, REBOOT_TRIES, Policy
from bottlerocket_ecs_updater.core.questions import ask_host
from bottlerocket_ecs_updater.core.reasons import Failure, Reason, failed, hold
from bottlerocket_ecs_updater.core.restoring import (
    changed,
    give_back,
    give_back_barred,
    give_back_changed,
    give_back_not_empty,
    why_barred,
)
from bottlerocket_ecs_updater.core.strangers import wait_for_rival
from bottlerocket_ecs_updater.core.verifying import limit_from, never_rebooted, quarantine, verify
from bottlerocket_ecs_updater.core.waiting import LEARNED_SHARE, next_look, passed, spell


def rebooting(instance: Instance, claim: Claim, registration: Registration, fleet: Fleet, policy: Policy) -> Verdict:
    """The next step for an instance that is marked for its reboot, or comes back from it."""
    report = _report_since(instance, claim, fleet)
    if report is not None and report.boot != claim.boot:
        return verify(instance, claim, registration, report, fleet, policy)
    if instance.trail.reboot_sent_at is None and instance.reboot_flight is None:
        return _not_sent(instance, claim, registration, report, fleet, policy)
    return _await_boot(instance, claim, registration, report, fleet, policy)


def _report_since(instance: Instance, claim: Claim, fleet: Fleet) -> HostReport | None:
    """The host's report, if it was asked for after what it shall prove."""
    told = instance.told
    if told is None:
        return None
    trail = instance.trail
    after = trail.reboot_sent_at
    if after is None and claim.run != fleet.run:
        after = trail.claimed_at
    # What it said before its agent went says nothing of the boot that it comes back with.
    return told.report if all(told.asked_at >= moment for moment in (after, trail.away_at) if moment) else None


def _not_sent(
    instance: Instance,
    claim: Claim,
    registration: Registration,
    report: HostReport | None,
    fleet: Fleet,
    policy: Policy,
) -> Verdict:
    """Marked, and no reboot is known to have been sent: by us not yet, or by a run that was killed."""
    if claim.run != fleet.run:
        return _resume(instance, claim, registration, report, fleet, policy)
    if instance.trail.overwritten_looks:
        return wait_for_rival(instance, fleet, policy)
    if registration.status is Status.ACTIVE:
        drained_at = instance.trail.drain_sent_at
        if drained_at is not None and not passed(drained_at, policy.reader_lag, registration.at):
            return Verdict(look_at=fleet.at + policy.poll_interval)
        return Verdict((Unmark(instance.id, hold(Reason.RETURNED_BY_OTHERS), took_slot=True),))
    over = passed(limit_from(instance, claim), policy.reboot_timeout, fleet.at)
    if instance.trail.claim_absent_looks >= 2:
        why = hold(Reason.CLAIM_REMOVED, status=registration.status.value)
        return Verdict((Unmark(instance.id, why, took_slot=False),), hold=why)
    barred = why_barred(instance, fleet)
    if barred is not None:
        return give_back_barred(instance, claim, barred, fleet)
    if over:
        return _give_back_unsent(instance, claim, registration, fleet, policy)
    if report is None and instance.trail.away_at is not None:
        return _ask_when_connected(instance, registration, fleet, policy)
    if instance.tasks is None or instance.tasks.at < registration.at or registration.at < fleet.at:
        return Verdict(wants_tasks=True, look_at=fleet.at)
    empty = not (registration.running_tasks or registration.pending_tasks or instance.tasks.left)
    if not empty or registration.status is not Status.DRAINING or not registration.connected:
        return Verdict(look_at=fleet.at + policy.poll_interval)
    due = next_look(fleet.at, fleet.at, policy.poll_interval, fleet.durations.reboot, policy.quiet_after_reboot)
    return Verdict((Reboot(instance.id),), look_at=due)


def _give_back_unsent(
    instance: Instance, claim: Claim, registration: Registration, fleet: Fleet, policy: Policy
) -> Verdict:
    """By the last look before the reboot it never was as it must be: no failure of the host."""
    if instance.tasks is not None and instance.tasks.left:
        return give_back_not_empty(instance, claim, policy.drain_timeout, fleet)
    if not registration.connected:
        return give_back_changed(instance, claim, "its ECS agent is disconnected", fleet)
    why = f"no reboot could be sent to it within {spell(policy.reboot_timeout)}"
    return give_back_changed(instance, claim, why, fleet)


def _resume(
    instance: Instance,
    claim: Claim,
    registration: Registration,
    report: HostReport | None,
    fleet: Fleet,
    policy: Policy,
) -> Verdict:
    """A run was killed around its reboot: the host's boot id tells on which side."""
    if passed(limit_from(instance, claim), policy.reboot_timeout, fleet.at):
        return _limit_over(instance, claim, registration, report, fleet, policy)
    if report is None or not registration.connected:
        return _ask_when_connected(instance, registration, fleet, policy)
    # The old boot still runs. A reboot that was sent is delivered within its time-out or never.
    deliverable_until = claim.since + policy.answer_timeout
    if fleet.at < deliverable_until:
        return Verdict(look_at=deliverable_until)
    ended = instance.rebooted
    if ended is not None and ended.end is End.SUCCESS:
        # Accepted: a second one could come after the boot, to a host that was returned by then.
        return _ask_when_connected(instance, registration, fleet, policy)
    settled_at = max(deliverable_until, ended.ended_at) if ended is not None else deliverable_until
    if instance.told is not None and instance.told.asked_at < settled_at:
        return ask_host(instance, fleet.at, policy)
    return _again(instance, claim, registration, report, fleet, policy)


def _await_boot(
    instance: Instance,
    claim: Claim,
    registration: Registration,
    report: HostReport | None,
    fleet: Fleet,
    policy: Policy,
) -> Verdict:
    """Sent. Wait for the host to go and to come back, within the limit."""
    if report is not None and registration.connected:
        verdict = _refused(instance, claim, registration, report, fleet, policy)
        if verdict is not None:
            return verdict
    if passed(limit_from(instance, claim), policy.reboot_timeout, fleet.at):
        return _limit_over(instance, claim, registration, report, fleet, policy)
    return _ask_when_connected(instance, registration, fleet, policy)


def _refused(
    instance: Instance,
    claim: Claim,
    registration: Registration,
    report: HostReport,
    fleet: Fleet,
    policy: Policy,
) -> Verdict | None:
    """The old boot still runs: whether the host refused, or never got the command. None while neither is known."""
    if instance.reboot_flight is not None:
        asked = instance.trail.reboot_end_asked_at
        if asked is None or (instance.told is not None and asked < instance.told.at):
            return Verdict(wants_reboot_end=True, look_at=fleet.at)
        return None
    ended = instance.rebooted
    sent_at = instance.trail.reboot_sent_at or claim.since
    # Of a sending that got no reply nothing is known but this: it is delivered within its time-out or never.
    settled_at = ended.ended_at if ended is not None else sent_at + policy.answer_timeout
    if instance.told is None or instance.told.asked_at < settled_at:
        return None
    if not passed(sent_at, policy.reboot_spacing, fleet.at):
        return None
    if ended is not None and ended.end is End.SUCCESS:
        return None  # accepted: it may be held up for minutes by what inhibits a shutdown
    return _again(instance, claim, registration, report, fleet, policy)


def _again(
    instance: Instance,
    claim: Claim,
    registration: Registration,
    report: HostReport,
    fleet: Fleet,
    policy: Policy,
) -> Verdict:
    """Ask for the reboot once more, while tries are left and it is still what we claimed."""
    if registration.status is Status.ACTIVE:
        return Verdict((Unmark(instance.id, hold(Reason.RETURNED_BY_OTHERS), took_slot=True),))
    barred = why_barred(instance, fleet)
    if barred is not None:
        return give_back_barred(instance, claim, barred, fleet)
    difference = changed(report, claim)
    if difference is not None:
        return give_back_changed(instance, claim, difference, fleet)
    if claim.reboots >= (REBOOT_TRIES if claim.run == fleet.run else REBOOT_MARKS):
        return give_back(instance, claim, never_rebooted(instance, policy), fleet)
    taken = replace(claim, run=fleet.run, store=fleet.store)
    mark = Mark(instance.id, taken.enter(ClaimPhase.REBOOTING, fleet.at, reboots=claim.reboots + 1))
    return Verdict((mark,), look_at=fleet.at)


def _ask_when_connected(instance: Instance, registration: Registration, fleet: Fleet, policy: Policy) -> Verdict:
    """Ask the host once its agent is there again; now and then one that may have gone and come back unseen."""
    trail = instance.trail
    sent_at = trail.reboot_sent_at or trail.claimed_at or fleet.at
    if instance.flight is not None:
        return Verdict(look_at=fleet.at + policy.poll_interval)
    due = next_look(
        sent_at,
        fleet.at,
        policy.poll_interval,
        fleet.durations.reboot,
        policy.quiet_after_reboot if trail.reboot_sent_at else policy.poll_interval,
    )
    if not registration.connected:
        late = passed(sent_at, policy.late_after_reboot, fleet.at)
        spacing = policy.listing_spacing if late else timedelta(0)
        return Verdict(look_at=max(due, fleet.at + spacing), wants_listing=late)
    if _came_back_unasked(instance):
        return ask_host(instance, fleet.at, policy)
    return _ask_one_that_never_left(instance, sent_at, due, fleet, policy)


def _came_back_unasked(instance: Instance) -> bool:
    """Whether its agent was away, or its claim was found, and the host gave no report since."""
    trail, told = instance.trail, instance.told
    since = trail.away_at or (trail.claimed_at if trail.reboot_sent_at is None else None)
    return since is not None and (told is None or told.report is None or told.asked_at < since)


def _ask_one_that_never_left(
    instance: Instance, sent_at: datetime, due: datetime, fleet: Fleet, policy: Policy
) -> Verdict:
    learned = fleet.durations.reboot
    quiet = learned * LEARNED_SHARE if learned is not None else 2 * policy.quiet_after_reboot
    if fleet.at < sent_at + quiet:
        return Verdict(look_at=due)
    last = instance.told.asked_at if instance.told and instance.told.asked_at >= sent_at else None
    spacing = max(policy.quiet_after_reboot, (fleet.at - sent_at) / 4)
    if last is not None and fleet.at < last + spacing:
        return Verdict(look_at=min(last + spacing, max(due, fleet.at + policy.poll_interval)))
    return ask_host(instance, fleet.at, policy)


def _limit_over(
    instance: Instance,
    claim: Claim,
    registration: Registration,
    report: HostReport | None,
    fleet: Fleet,
    policy: Policy,
) -> Verdict:
    if report is not None and registration.connected:
        return give_back(instance, claim, never_rebooted(instance, policy), fleet)
    if instance.flight is not None and registration.connected and not _grace_over(instance, claim, fleet, policy):
        return Verdict(look_at=fleet.at + policy.poll_interval)
    denied = instance.send_denied if registration.connected else ""
    if denied:
        detail = f"its ECS agent is connected, but AWS allows no update check: {denied}"
    elif registration.connected:
        detail = "its ECS agent is connected, but it answers no update check"
    else:
        detail = "its ECS agent did not connect"
    why = failed(Failure.NOT_BACK, limit=spell(policy.reboot_timeout), detail=detail)
    # A host that nobody may ask may well be on the new release: what is missing is a permission.
    return quarantine(instance, claim, registration, why, fleet, told_of_release=not denied)


def _grace_over(instance: Instance, claim: Claim, fleet: Fleet, policy: Policy) -> bool:
    return passed(limit_from(instance, claim), policy.reboot_timeout + policy.answer_timeout, fleet.at)
