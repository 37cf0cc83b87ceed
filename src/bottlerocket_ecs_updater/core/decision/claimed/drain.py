"""The drain of a claimed instance: from the claim until nothing runs on it, or the drain limit has passed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.claimed.give_back import (
    changed,
    give_back,
    give_back_barred,
    give_back_changed,
    give_back_not_empty,
    hand_back,
    staged_report,
    unwanted_now,
    why_blocked,
)
from bottlerocket_ecs_updater.core.decision.claimed.let_go import (
    REBOOTS_AFTER_ANSWER,
    group_due_soon,
)
from bottlerocket_ecs_updater.core.decision.claimed.rival_claim import wait_for_rival
from bottlerocket_ecs_updater.core.decision.evidence import evidence_is_old
from bottlerocket_ecs_updater.core.decision.host_checks import ask_host
from bottlerocket_ecs_updater.core.decision.polling import next_look, quiet_time
from bottlerocket_ecs_updater.core.decision.tasks_on_host import GIVEN_BACK, is_own_host, tasks_on
from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.command import Drain, Mark, NextStep, StopTasks, Unmark
from bottlerocket_ecs_updater.core.model.container_instance import Registration, Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.host_report import HostProblem
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.tasks import drain_deadline

REPORT_SPACING_SHARE = 4
"""While the last tasks stop, the host is asked again each time that a quarter of the drain so far has passed."""


LONG_DRAIN, SERVICES_SPACING = timedelta(minutes=2), timedelta(seconds=60)
"""A drain that takes longer is looked into: how services fare, every so often."""


def draining(instance: Instance, claim: Claim, registration: Registration, fleet: Fleet, policy: Policy) -> NextStep:
    progress = instance.progress
    if progress.overwritten_looks:
        return wait_for_rival(instance, fleet, policy)
    marked_by_this_run = claim.run == fleet.run
    if registration.status is Status.ACTIVE:
        return _marked_but_active(instance, claim, registration, fleet, policy)
    if marked_by_this_run and progress.drain_sent_at is None:
        # It was ACTIVE when we marked it, and we have not drained it: somebody else did, between the two.
        return _let_go(instance, hold(Reason.DRAINED_BY_OTHERS))
    if progress.claim_absent_looks >= 2:
        return _let_go(instance, hold(Reason.CLAIM_REMOVED, status=registration.status.value))
    blocked = why_blocked(instance, fleet)
    if blocked is not None:
        return give_back_barred(instance, claim, blocked, fleet)
    if is_own_host(instance, fleet):
        # Another run drained it while this one, on it, waited for the right to act. It never becomes empty now.
        return NextStep(hand_back(instance, hold(Reason.OWN_HOST, why=GIVEN_BACK)), look_at=fleet.at)
    unwanted = unwanted_now(instance, claim, fleet, policy)
    if unwanted is not None:
        return give_back(instance, claim, unwanted, fleet, backs_off=False)
    if _counts_say_empty(registration) and instance.tasks is None:
        return NextStep(wants_tasks=True, look_at=fleet.at)
    if _counts_say_empty(registration) and instance.tasks is not None and not instance.tasks.left:
        return _emptied(instance, claim, registration, fleet, policy)
    return _not_empty(instance, claim, registration, fleet, policy)


def _not_empty(instance: Instance, claim: Claim, registration: Registration, fleet: Fleet, policy: Policy) -> NextStep:
    """Tasks are left: wait for them as long as the rules say, and stop those that the rules say to stop."""
    began = instance.phase_began
    stands = drain_deadline(tasks_on(instance, fleet), policy.rules.tasks, began, policy.drain_timeout, fleet.at)
    over = fleet.at >= stands.until
    if (over or stands.stop) and not _tasks_are_fresh(instance, registration):
        return NextStep(wants_tasks=True, look_at=fleet.at)
    if over:
        return give_back_not_empty(instance, claim, stands.until - began, fleet)
    soon = fleet.at + policy.poll_interval
    if stands.stop:
        return NextStep((StopTasks(instance.id, stands.stop),), look_at=soon)
    due = next_look(began, fleet.at, policy.poll_interval, fleet.durations.drain)
    look_at = min(due, stands.until, stands.next_stop or due)
    soon_empty = _counts_say_empty(registration) or _others_were_empty(began, fleet, policy)
    if soon_empty and registration.connected and _report_is_aging(instance, fleet, policy):
        # What is left only has to stop: asked now, the host has answered by the time it is empty.
        asked = ask_host(instance, fleet.at, policy)
        return replace(asked, look_at=look_at, wants_group=group_due_soon(instance, REBOOTS_AFTER_ANSWER, fleet))
    # Where a drain takes long, the version may be why: its tasks find no start on the hosts that came to it before.
    long = has_passed(began, LONG_DRAIN, fleet.at)
    return NextStep(look_at=look_at, wants_services=long and evidence_is_old(claim, fleet, SERVICES_SPACING))


def _others_were_empty(began: datetime, fleet: Fleet, policy: Policy) -> bool:
    """Whether the quickest drain so far was over, or about to be, after the time that this one has taken."""
    learned = fleet.durations.drain
    return learned is not None and has_passed(began, quiet_time(learned, policy.poll_interval), fleet.at)


def _report_is_aging(instance: Instance, fleet: Fleet, policy: Policy) -> bool:
    """Whether what the host said would be too old for a reboot; asked again less and less often."""
    if instance.pending is not None:
        return False
    if instance.check_answer is None:
        return True
    spacing = max(policy.staged_report_max_age, (fleet.at - instance.phase_began) / REPORT_SPACING_SHARE)
    return has_passed(instance.check_answer.asked_at, spacing, fleet.at)


def _counts_say_empty(registration: Registration) -> bool:
    return registration.running_tasks == 0 and registration.pending_tasks == 0


def _tasks_are_fresh(instance: Instance, registration: Registration) -> bool:
    return instance.tasks is not None and instance.tasks.at >= registration.at


def _marked_but_active(
    instance: Instance, claim: Claim, registration: Registration, fleet: Fleet, policy: Policy
) -> NextStep:
    progress = instance.progress
    soon = fleet.at + policy.poll_interval
    lag = policy.reader_lag
    if claim.run != fleet.run:
        # A run marked it and was killed before it drained, or after it returned it. Either way it is in service,
        # unless the reader lags: a claim that is dropped too early would leave a drain to nobody.
        if not has_passed(progress.claimed_at or fleet.at, lag, registration.at):
            return NextStep(look_at=soon)
        return NextStep((Unmark(instance.id, None, took_slot=False),), look_at=fleet.at)
    if progress.drain_sent_at is None:
        return NextStep(look_at=soon)  # it begins through the same gates as all others: see `taking`
    if not has_passed(progress.drain_sent_at, lag, registration.at):
        # Passes that others are due for decide on it too: what they know of it may be older than the drain.
        return NextStep(look_at=soon)
    if progress.drain_seen:
        return NextStep((Unmark(instance.id, hold(Reason.RETURNED_BY_OTHERS), took_slot=True),))
    blocked = why_blocked(instance, fleet)
    if blocked is not None:
        return _let_go(instance, blocked)
    if has_passed(instance.phase_began, policy.drain_timeout, fleet.at):
        return _let_go(instance, hold(Reason.UNCLEAR, what="DRAINING", why="ECS never showed it"))
    return NextStep((Drain(instance.id),), look_at=soon)


def _let_go(instance: Instance, why: Hold) -> NextStep:
    return NextStep((Unmark(instance.id, why, took_slot=False),), hold=why)


def _emptied(instance: Instance, claim: Claim, registration: Registration, fleet: Fleet, policy: Policy) -> NextStep:
    """Nothing runs on it: mark it for the reboot, if the host still has what we claimed it for."""
    over = fleet.at >= _limit_of_drain(instance, claim, fleet, policy)
    report = staged_report(instance, fleet, policy)
    if report is None:
        if over:
            return give_back_changed(instance, claim, _why_unreadable(instance), fleet)
        return replace(ask_host(instance, fleet.at, policy), wants_answer_only=True)
    if not registration.connected:
        # What ECS says of its tasks is old news while the agent is away.
        if over:
            return give_back_changed(instance, claim, "its ECS agent is disconnected", fleet)
        return NextStep(look_at=fleet.at + policy.poll_interval)
    difference = changed(report, claim)
    if difference is not None:
        return give_back_changed(instance, claim, difference, fleet)
    if evidence_is_old(claim, fleet):
        return NextStep(look_at=fleet.at, wants_services=True)
    mark = Mark(instance.id, claim_for_reboot(claim, fleet))
    return NextStep((mark,), look_at=fleet.at)


def _limit_of_drain(instance: Instance, claim: Claim, fleet: Fleet, policy: Policy) -> datetime:
    """The limit counts from the claim. A run that takes the claim over gives the host its time to answer."""
    limit = instance.phase_began + policy.drain_timeout + policy.rules.tasks.longest
    if claim.run != fleet.run and instance.progress.claimed_at is not None:
        limit = max(limit, instance.progress.claimed_at + policy.takeover_grace)
    return limit


def claim_for_reboot(claim: Claim, fleet: Fleet) -> Claim:
    """The claim that must stand before a reboot is sent: ours now, and one reboot more."""
    taken = replace(claim, run=fleet.run, store=fleet.store)
    return taken.enter(ClaimPhase.REBOOTING, fleet.at, reboots=claim.reboots + 1)


def _why_unreadable(instance: Instance) -> str:
    answer = instance.check_answer.answer if instance.check_answer is not None else None
    return f"its update check failed: {answer.detail}" if isinstance(answer, HostProblem) else "it did not answer"
