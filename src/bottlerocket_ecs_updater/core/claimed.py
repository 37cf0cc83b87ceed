"""What is ours is finished first: draining, rebooting, verifying, returning, quarantine.

Each function reads the world as it is now, whoever brought it there: this run, a run that was killed, or a person.
The claim says what was begun; the witnesses say how far it came.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from bottlerocket_ecs_updater.core.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.command import Command, Drain, Mark, Note, Return, Unmark, Verdict
from bottlerocket_ecs_updater.core.fleet import Fleet, Instance, Outcome, Registration, Rest, Status
from bottlerocket_ecs_updater.core.host import HostReport, UpdateState
from bottlerocket_ecs_updater.core.policy import MISSING_LOOKS, Policy
from bottlerocket_ecs_updater.core.questions import ask_host
from bottlerocket_ecs_updater.core.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.rebooting import not_empty, quarantined, rebooting
from bottlerocket_ecs_updater.core.rest import next_rest
from bottlerocket_ecs_updater.core.waiting import next_look, passed

RESEND_AFTER_POLLS = 3
"""A state change that a look still does not show after so many polls is asked for again."""

GONE_AFTER_POLLS = 36
"""How long a rebooting host may be missing from the cluster: its agent may be registering anew."""


def proceed(instance: Instance, claim: Claim, fleet: Fleet, policy: Policy) -> Verdict:
    """What to do next with an instance that carries our claim."""
    registration = instance.registration
    if registration is None or registration.status is Status.INACTIVE:
        return _missing(instance, claim, fleet, policy)
    if _returned(instance, registration):
        return Verdict((Unmark(instance.id, instance.trail.verdict, took_slot=True),))
    if instance.trail.return_sent_at is not None and instance.trail.verdict is not None:
        return _returning(instance, instance.trail.verdict, instance.trail.return_sent_at, fleet, policy)
    match claim.phase:
        case ClaimPhase.DRAINING:
            return _draining(instance, claim, registration, fleet, policy)
        case ClaimPhase.REBOOTING:
            return rebooting(instance, claim, registration, fleet, policy)
        case ClaimPhase.QUARANTINED:
            return quarantined(instance, claim, registration, fleet, policy)
        case _:
            assert_never(claim.phase)


def _returned(instance: Instance, registration: Registration) -> bool:
    return instance.trail.return_sent_at is not None and registration.status is Status.ACTIVE


def _returning(instance: Instance, verdict: Outcome, sent_at: datetime, fleet: Fleet, policy: Policy) -> Verdict:
    if passed(sent_at, RESEND_AFTER_POLLS * policy.poll_interval, fleet.at):
        return Verdict((Return(instance.id, verdict),), look_at=fleet.at + policy.poll_interval)
    return Verdict(look_at=fleet.at + policy.poll_interval)


def _missing(instance: Instance, claim: Claim, fleet: Fleet, policy: Policy) -> Verdict:
    """It is not listed, or INACTIVE: terminated, deregistered, or about to come back under a new registration."""
    began = max(claim.since, instance.trail.claimed_at or claim.since)
    may_come_back = claim.phase is ClaimPhase.REBOOTING and not passed(
        began, GONE_AFTER_POLLS * policy.poll_interval, fleet.at
    )
    if instance.trail.missing_looks < MISSING_LOOKS or may_come_back:
        return Verdict(look_at=fleet.at + 2 * policy.poll_interval, wants_listing=True)
    why = instance.undescribed or "ECS lists it no more"
    return Verdict((Unmark(instance.id, hold(Reason.GONE, why=why), took_slot=False),))


def _draining(instance: Instance, claim: Claim, registration: Registration, fleet: Fleet, policy: Policy) -> Verdict:
    trail = instance.trail
    marked_by_this_run = claim.run == fleet.run
    if registration.status is Status.ACTIVE:
        return _marked_but_active(instance, claim, fleet, policy)
    if marked_by_this_run and trail.drain_sent_at is None:
        # It was ACTIVE when we marked it, and we have not drained it: somebody else did, between the two.
        return _let_go(instance, hold(Reason.DRAINED_BY_OTHERS))
    if trail.claim_absent_looks >= 2:
        return _let_go(instance, hold(Reason.CLAIM_REMOVED, status=registration.status.value))
    if _counts_say_empty(registration) and instance.tasks is None:
        return Verdict(wants_tasks=True, look_at=fleet.at)
    if _counts_say_empty(registration) and instance.tasks is not None and not instance.tasks.left:
        return _emptied(instance, claim, registration, fleet, policy)
    if passed(claim.since, policy.drain_timeout, fleet.at):
        return _drain_limit(instance, claim, registration, fleet, policy)
    due = next_look(claim.since, fleet.at, policy.poll_interval, fleet.durations.drain)
    return Verdict(look_at=min(due, claim.since + policy.drain_timeout))


def _counts_say_empty(registration: Registration) -> bool:
    return registration.running_tasks == 0 and registration.pending_tasks == 0


def _tasks_are_fresh(instance: Instance, registration: Registration) -> bool:
    return instance.tasks is not None and instance.tasks.at >= registration.at


def _marked_but_active(instance: Instance, claim: Claim, fleet: Fleet, policy: Policy) -> Verdict:
    trail = instance.trail
    if claim.run != fleet.run:
        # A run marked it and was killed before it drained, or after it returned it. Either way it is in service.
        return Verdict((Unmark(instance.id, None, took_slot=False),), look_at=fleet.at)
    if trail.drain_seen:
        return Verdict((Unmark(instance.id, hold(Reason.RETURNED_BY_OTHERS), took_slot=True),))
    if passed(claim.since, policy.drain_timeout, fleet.at):
        return _let_go(instance, hold(Reason.UNCLEAR, what="DRAINING", why="ECS never showed it"))
    if trail.drain_sent_at is None or passed(trail.drain_sent_at, RESEND_AFTER_POLLS * policy.poll_interval, fleet.at):
        return Verdict((Drain(instance.id),), look_at=fleet.at + policy.poll_interval)
    return Verdict(look_at=fleet.at + policy.poll_interval)


def _let_go(instance: Instance, why: Hold) -> Verdict:
    return Verdict((Unmark(instance.id, why, took_slot=False),), hold=why)


def _emptied(instance: Instance, claim: Claim, registration: Registration, fleet: Fleet, policy: Policy) -> Verdict:
    """Nothing runs on it: go on to the reboot, if the host still has what we claimed it for."""
    asked_after = instance.trail.claimed_at if claim.run != fleet.run else None
    report = instance.told.report if instance.told else None
    if report is None or (asked_after and instance.told and instance.told.asked_at < asked_after):
        if passed(claim.since, policy.drain_timeout, fleet.at):
            why = hold(Reason.CHANGED_WHILE_DRAINING, why=_why_unreadable(instance))
            return _give_back(instance, claim, why, fleet)
        return ask_host(instance, fleet.at, policy)
    if not registration.connected and not passed(claim.since, policy.drain_timeout, fleet.at):
        # What ECS says of its tasks is old news while the agent is away.
        return Verdict(look_at=fleet.at + policy.poll_interval)
    changed = _changed(report, claim)
    if changed is not None:
        why = hold(Reason.CHANGED_WHILE_DRAINING, why=changed)
        return _give_back(instance, claim, why, fleet)
    mark = Mark(instance.id, claim_for_reboot(claim, fleet))
    return Verdict((mark,), look_at=fleet.at)


def claim_for_reboot(claim: Claim, fleet: Fleet) -> Claim:
    """The claim that must stand before a reboot is sent: ours now, and one reboot more."""
    taken = Claim(claim.phase, fleet.run, claim.source, claim.target, claim.boot, claim.since, claim.reboots)
    return taken.enter(ClaimPhase.REBOOTING, fleet.at, reboots=claim.reboots + 1)


def _changed(report: HostReport, claim: Claim) -> str | None:
    """How the host differs from what it was when we claimed it, None when it does not."""
    if report.boot != claim.boot:
        return None  # somebody rebooted it: it is verified as after a reboot of ours
    if report.state is not UpdateState.READY:
        return f"it is {report.state.value} now, not Ready"
    if report.staged != claim.target:
        return f"it would boot into {report.staged} now, not {claim.target}"
    return None


def _why_unreadable(instance: Instance) -> str:
    return "it did not answer" if instance.told is None else str(instance.told.answer)


def _drain_limit(instance: Instance, claim: Claim, registration: Registration, fleet: Fleet, policy: Policy) -> Verdict:
    if not _tasks_are_fresh(instance, registration):
        return Verdict(wants_tasks=True, look_at=fleet.at)
    return not_empty(instance, claim, fleet, policy)


def _give_back(instance: Instance, claim: Claim, why: Hold, fleet: Fleet) -> Verdict:
    rest: Rest = next_rest(instance.rest, claim.target, why.reason.code, fleet.at)
    commands: tuple[Command, ...] = (Return(instance.id, why), Note(instance.id, rest))
    return Verdict(commands, look_at=fleet.at)
