"""The drain of a claimed instance: from the claim until nothing runs on it, or the drain limit has passed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.affected import deploying_on, hold_for_deployments
from bottlerocket_ecs_updater.core.decision.claimed.absent_claim import absent_claim
from bottlerocket_ecs_updater.core.decision.claimed.give_back import (
    AGENT_AWAY,
    changed,
    give_back,
    give_back_blocked,
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
from bottlerocket_ecs_updater.core.decision.claimed.reboot import is_seen_empty, send_reboot
from bottlerocket_ecs_updater.core.decision.claimed.rival_claim import wait_for_rival
from bottlerocket_ecs_updater.core.decision.claimed.stale_reads import may_be_stale
from bottlerocket_ecs_updater.core.decision.evidence import evidence_is_old
from bottlerocket_ecs_updater.core.decision.host_checks import ask_host
from bottlerocket_ecs_updater.core.decision.not_counted import set_aside
from bottlerocket_ecs_updater.core.decision.polling import next_look, quiet_time
from bottlerocket_ecs_updater.core.decision.tasks_on_host import GIVEN_BACK, is_own_host, tasks_on
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.claimed_instance import ClaimedInstance
from bottlerocket_ecs_updater.core.model.command import Drain, Mark, NextStep, StopTasks, Unmark
from bottlerocket_ecs_updater.core.model.container_instance import Registration, Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.host_report import HostProblem
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.rules.tasks import drain_deadline

REPORT_SPACING_SHARE = 4
"""While the last tasks stop, the host is checked again after each further quarter of the drain so far."""


CHECKED_EARLIER = timedelta(seconds=7.5)
"""How much earlier than needed a host is checked together with others: half of `STAGED_REPORT_MAX_AGE`."""

LONG_DRAIN, SERVICES_SPACING = timedelta(minutes=2), timedelta(seconds=60)
"""In a drain longer than `LONG_DRAIN`, services are looked at once per `SERVICES_SPACING` if a version is on trial."""

STALLED_DRAIN, STALLED_SPACING = timedelta(minutes=5), timedelta(minutes=2)
"""In a drain longer than `STALLED_DRAIN`, they are looked at once per `STALLED_SPACING` in any case."""


def draining(claimed: ClaimedInstance, this_pass: Pass) -> NextStep:
    instance, registration = claimed.instance, claimed.registration
    fleet = this_pass.fleet
    progress = instance.progress
    if progress.overwritten_looks:
        return wait_for_rival(claimed, this_pass)
    marked_by_this_run = claimed.claim.run == fleet.run
    if registration.status is Status.ACTIVE:
        return _marked_but_active(claimed, this_pass)
    if marked_by_this_run and progress.drain is None:
        # It was ACTIVE when we claimed it, and we have not drained it: somebody else has.
        return _let_go(instance, hold(Reason.DRAINED_BY_OTHERS))
    absent = absent_claim(claimed, this_pass)
    if absent is not None:
        return absent
    blocked = why_blocked(instance, fleet)
    if blocked is not None:
        return give_back_blocked(claimed, blocked, this_pass)
    if is_own_host(instance, fleet):
        # Another run drained it while this one, on it, waited for the lease. With this run on it, it never becomes
        # empty.
        return NextStep(hand_back(instance, hold(Reason.OWN_HOST, why=GIVEN_BACK)), look_at=this_pass.at)
    unwanted = unwanted_now(claimed, this_pass) or _stopped(instance)
    if unwanted is not None:
        return give_back(claimed, unwanted, this_pass, backs_off=False)
    if _counts_say_empty(registration) and instance.tasks is None:
        return NextStep(wants_tasks=True, look_at=this_pass.at)
    if _counts_say_empty(registration) and instance.tasks is not None and not instance.tasks.left:
        return _emptied(claimed, this_pass)
    return _not_empty(claimed, this_pass)


def _stopped(instance: Instance) -> Hold | None:
    """Whether its EC2 instance was stopped: its tasks died with it, and only a person starts it again."""
    aside = set_aside(instance)
    return aside if aside is not None and aside.reason is Reason.INSTANCE_STOPPED else None


def _not_empty(claimed: ClaimedInstance, this_pass: Pass) -> NextStep:
    """Tasks are left: wait for them as long as the rules allow, and stop those that the rules say to stop."""
    instance = claimed.instance
    fleet, policy = this_pass.fleet, this_pass.policy
    began = instance.phase_began
    stands = drain_deadline(tasks_on(instance, fleet), policy.rules.tasks, began, policy.drain_timeout, this_pass.at)
    over = this_pass.at >= stands.until
    not_replaced = _not_replaced(instance, this_pass)
    if (over or stands.stop or not_replaced) and not _tasks_are_fresh(claimed):
        return NextStep(wants_tasks=True, look_at=this_pass.at)
    if not_replaced is not None:
        return give_back(claimed, not_replaced, this_pass, backs_off=False)
    if over:
        return give_back_not_empty(claimed, stands.until - began, this_pass)
    soon = this_pass.next_poll
    if stands.stop:
        return NextStep((StopTasks(instance.id, stands.stop),), look_at=soon)
    due = next_look(began, this_pass.at, policy.poll_interval, fleet.durations.drain_of(instance))
    look_at = min(due, stands.until, stands.next_stop or due)
    ahead = _check_ahead(claimed, this_pass)
    if ahead is not None:
        return ahead
    return NextStep(look_at=look_at, wants_services=_services_matter(claimed, this_pass))


def _services_matter(claimed: ClaimedInstance, this_pass: Pass) -> bool:
    """Whether to look at services, because the drain takes long.

    The version may be the cause: its tasks may fail to start on updated hosts. Or a deployment may have failed.
    """
    began, services = claimed.instance.phase_began, this_pass.fleet.services
    if has_passed(began, LONG_DRAIN, this_pass.at) and evidence_is_old(claimed.claim, this_pass, SERVICES_SPACING):
        return True
    stalled = has_passed(began, STALLED_DRAIN, this_pass.at)
    return stalled and (services is None or has_passed(services.at, STALLED_SPACING, this_pass.at))


def _not_replaced(instance: Instance, this_pass: Pass) -> Hold | None:
    """The hold if a deployment failed during the drain: ECS starts no tasks of its service in place of those here."""
    failed = [service for service in deploying_on(instance, this_pass.fleet) if service.failed]
    return hold_for_deployments(failed, this_pass.policy.rules.tasks) if failed else None


def _check_ahead(claimed: ClaimedInstance, this_pass: Pass) -> NextStep | None:
    """Check the host when only stopping tasks are likely to be left, so that it has answered by the time it is empty.

    Until it answers, nothing else about it is read; then everything is read together. None if it is too early.
    """
    instance, registration = claimed.instance, claimed.registration
    if not registration.connected:
        return None
    soon_empty = _counts_say_empty(registration) or is_likely_empty(instance, this_pass)
    if soon_empty and _report_is_aging(instance, this_pass):
        wants_group = group_due_soon(instance, REBOOTS_AFTER_ANSWER, this_pass.fleet)
        return replace(ask_host(instance, this_pass), wants_answer_only=True, wants_group=wants_group)
    if _answered_now(claimed, this_pass) or _known_tasks_stopped_now(claimed, this_pass):
        return NextStep(look_at=this_pass.at)
    return None


def is_checked_first(instance: Instance, this_pass: Pass) -> bool:
    """Whether the host is being checked, or will be now, before its tasks matter."""
    return instance.pending is not None or _report_is_aging(instance, this_pass)


def check_along(instance: Instance, this_pass: Pass) -> NextStep | None:
    """Check a host a little earlier, because others are checked now: one call sends to all, and one reads all results.

    None if its drain will not be over while its report is recent enough for a reboot.
    """
    fleet, poll = this_pass.fleet, this_pass.policy.poll_interval
    claim, registration, learned = instance.claim, instance.registration, fleet.durations.drain_of(instance)
    if claim is None or registration is None or learned is None or claim.phase is not ClaimPhase.DRAINING:
        return None
    soon_empty = has_passed(instance.phase_began, quiet_time(learned, poll) - CHECKED_EARLIER, this_pass.at)
    ours = claim.run == fleet.run and instance.progress.drain is not None and registration.connected
    if not (ours and soon_empty and _report_is_aging(instance, this_pass)):
        return None
    return replace(ask_host(instance, this_pass), wants_answer_only=True)


def _answered_now(claimed: ClaimedInstance, this_pass: Pass) -> bool:
    """Whether this look read the host's answer, but not whether its last tasks have stopped, and they may have."""
    instance, registration = claimed.instance, claimed.registration
    tasks, answer = instance.tasks, instance.check_answer
    if answer is None or answer.at != this_pass.at or (tasks is not None and tasks.at >= this_pass.at):
        return False
    if registration.at >= this_pass.at:
        return _counts_say_empty(registration)
    return is_likely_empty(instance, this_pass)


def _known_tasks_stopped_now(claimed: ClaimedInstance, this_pass: Pass) -> bool:
    """Whether this look read only that the known tasks have stopped; whether there are others is read immediately."""
    tasks = claimed.instance.tasks
    stopped_now = tasks is not None and not tasks.left and tasks.at == this_pass.at
    return stopped_now and claimed.registration.at < this_pass.at


def is_likely_empty(instance: Instance, this_pass: Pass) -> bool:
    """Whether its drain has taken about as long as tasks like those on it usually take to stop."""
    learned, poll = this_pass.fleet.durations.drain_of(instance), this_pass.policy.poll_interval
    return learned is not None and has_passed(instance.phase_began, quiet_time(learned, poll), this_pass.at)


def _report_is_aging(instance: Instance, this_pass: Pass) -> bool:
    """Whether the host's report would be too old for a reboot; it is renewed less and less often."""
    if instance.pending is not None or staged_report(instance, this_pass) is not None:
        return False
    if instance.check_answer is None:
        return True
    spacing = max(this_pass.policy.staged_report_max_age, (this_pass.at - instance.phase_began) / REPORT_SPACING_SHARE)
    return has_passed(instance.check_answer.asked_at, spacing, this_pass.at)


def _counts_say_empty(registration: Registration) -> bool:
    return not registration.counted_tasks


def _tasks_are_fresh(claimed: ClaimedInstance) -> bool:
    """Whether all its tasks were listed with the last look at it.

    That the known ones were looked at again is not enough: some may have been stopping before the drain.
    """
    tasks = claimed.instance.tasks
    return tasks is not None and tasks.with_stopping and tasks.at >= claimed.registration.at


def _marked_but_active(claimed: ClaimedInstance, this_pass: Pass) -> NextStep:
    instance, registration = claimed.instance, claimed.registration
    fleet, policy = this_pass.fleet, this_pass.policy
    progress = instance.progress
    soon = this_pass.next_poll
    lag = policy.reader_lag
    if claimed.claim.run != fleet.run:
        # A run claimed it and died before draining it, or after returning it. Either way it is in service, unless the
        # read is stale: then dropping the claim too early would leave a drained instance without an owner.
        if may_be_stale(claimed, this_pass):
            return NextStep(look_at=soon)
        return NextStep((Unmark(instance.id, None, took_slot=False),), look_at=this_pass.at)
    if instance.claimed_arn not in (None, registration.arn):
        why = hold(Reason.CHANGED_WHILE_DRAINING, why="it has registered in ECS under another ARN")
        return NextStep((Unmark(instance.id, why, took_slot=True),))
    if progress.drain is None:
        return NextStep(look_at=soon)  # it is drained through the same gates as all others: see `unclaimed/start.py`
    if not has_passed(progress.drain.at, lag, registration.at):
        # This pass may use an older description of it than the drain.
        if unwanted_now(claimed, this_pass) is not None and registration.at < this_pass.at:
            return NextStep(look_at=this_pass.at)
        ahead = _check_ahead(claimed, this_pass)
        learned = fleet.durations.drain_of(instance)
        due = next_look(progress.drain.at, this_pass.at, policy.poll_interval, learned)
        return ahead or NextStep(look_at=due if learned is not None else soon)
    if progress.drain_seen and may_be_stale(claimed, this_pass):
        return _check_ahead(claimed, this_pass) or NextStep(look_at=soon)
    if progress.drain_seen:
        # If the read is older than any should be, it is DRAINING because of us. So first set it ACTIVE once more.
        return NextStep(hand_back(instance, hold(Reason.RETURNED_BY_OTHERS)), look_at=soon)
    blocked = why_blocked(instance, fleet)
    if blocked is not None:
        return NextStep(hand_back(instance, blocked), look_at=soon)
    if has_passed(instance.phase_began, policy.drain_timeout, this_pass.at):
        why = hold(Reason.UNCLEAR, what="DRAINING", why="ECS never showed it")
        return NextStep(hand_back(instance, why), look_at=soon)
    return NextStep((Drain(instance.id),), look_at=soon)


def _let_go(instance: Instance, why: Hold) -> NextStep:
    return NextStep((Unmark(instance.id, why, took_slot=False),), hold=why)


def _emptied(claimed: ClaimedInstance, this_pass: Pass) -> NextStep:
    """Nothing runs on it: claim it for the reboot, if the host still has the update that we claimed it for."""
    instance, claim = claimed.instance, claimed.claim
    over = this_pass.at >= _limit_of_drain(claimed, this_pass)
    report = staged_report(instance, this_pass)
    if report is None:
        if over:
            return give_back_changed(claimed, _why_unreadable(instance), this_pass)
        return replace(ask_host(instance, this_pass), wants_answer_only=True)
    if not claimed.registration.connected:
        # While the agent is disconnected, what ECS says about its tasks is out of date.
        if over:
            return give_back_changed(claimed, AGENT_AWAY, this_pass)
        return NextStep(look_at=this_pass.next_poll)
    difference = changed(report, claim)
    if difference is not None:
        return give_back_changed(claimed, difference, this_pass)
    if evidence_is_old(claim, this_pass):
        return NextStep(look_at=this_pass.at, wants_services=True)
    if not is_seen_empty(claimed, this_pass):
        wants_group = group_due_soon(instance, REBOOTS_AFTER_ANSWER, this_pass.fleet)
        return NextStep(wants_tasks=True, look_at=this_pass.at, wants_group=wants_group)
    mark = Mark(instance.id, claim_for_reboot(claim, this_pass.fleet))
    if report.boot != claim.boot:
        # Somebody rebooted it: verify it as after our own reboot.
        return NextStep((mark,), look_at=this_pass.at)
    return send_reboot(instance, this_pass, mark)


def _limit_of_drain(claimed: ClaimedInstance, this_pass: Pass) -> datetime:
    """When the drain times out.

    It counts from the claim; a run that takes over the claim gives the host time to answer.
    """
    instance = claimed.instance
    policy = this_pass.policy
    limit = instance.phase_began + policy.drain_timeout + policy.rules.tasks.longest
    if claimed.claim.run != this_pass.fleet.run and instance.progress.claimed_at is not None:
        limit = max(limit, instance.progress.claimed_at + policy.takeover_grace)
    return limit


def claim_for_reboot(claim: Claim, fleet: Fleet) -> Claim:
    """The claim that must be written before a reboot is sent: now of this run, with one more reboot."""
    taken = replace(claim, run=fleet.run, store=fleet.store)
    return taken.enter(ClaimPhase.REBOOTING, fleet.at, reboots=claim.reboots + 1)


def _why_unreadable(instance: Instance) -> str:
    answer = instance.check_answer.answer if instance.check_answer is not None else None
    return f"its update check failed: {answer.detail}" if isinstance(answer, HostProblem) else "it did not answer"
