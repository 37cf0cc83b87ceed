"""Returning an instance to service before its update is finished: the reason, and the backoff."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bottlerocket_ecs_updater.core.decision.admission import not_admitted
from bottlerocket_ecs_updater.core.decision.backoff import next_backoff
from bottlerocket_ecs_updater.core.decision.blockers import blocking_families
from bottlerocket_ecs_updater.core.decision.not_counted import left_out
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.claimed_instance import ClaimedInstance
from bottlerocket_ecs_updater.core.model.command import Cancel, Command, NextStep, Note, NoteBlockers, Return, Unmark
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.host_report import HostReport, UpdateState
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Outcome
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import duration_text

AGENT_AWAY = "its ECS agent is disconnected"
TASKS_NAMED_AT_MOST = 5
"""The most tasks that the reason names."""


def give_back(claimed: ClaimedInstance, why: Hold | Failed, this_pass: Pass, *, backs_off: bool = True) -> NextStep:
    """Set it ACTIVE. With `backs_off`, the version is not tried on it again for a while.

    Only for an instance that none of our reboots can still hit, because cancelling a reboot is not reliable.
    """
    instance = claimed.instance
    notes: tuple[Note, ...] = ()
    if backs_off:
        code = why.reason.code if isinstance(why, Hold) else why.failure.code
        notes = (Note(instance.id, next_backoff(instance.backoff, claimed.claim.target, code, this_pass.at)),)
    return NextStep((*cancel_open(instance), *hand_back(instance, why, *notes)), look_at=this_pass.at)


def hand_back(instance: Instance, outcome: Outcome, *notes: Command) -> tuple[Command, ...]:
    """Set it ACTIVE, and remove the claim once ECS shows it ACTIVE, in its reply or at a later look.

    If it has registered under another ARN since, it was ACTIVE then: somebody else drained it, so it is left DRAINING.
    """
    registration = instance.registration
    draining = registration is not None and registration.status is Status.DRAINING
    if registration is not None and draining and instance.claimed_arn not in (None, registration.arn):
        return (*notes, Unmark(instance.id, outcome, took_slot=False))
    return (Return(instance.id, outcome), *notes, Unmark(instance.id, outcome, took_slot=True))


def cancel_open(instance: Instance) -> tuple[Command, ...]:
    """Cancel the pending reboot commands, each once."""
    if any(one.open and one.command and not one.cancelled for one in instance.reboots):
        return (Cancel(instance.id),)
    return ()


def give_back_changed(claimed: ClaimedInstance, why: str, this_pass: Pass) -> NextStep:
    """Return an instance that has changed since it was claimed."""
    return give_back(claimed, hold(Reason.CHANGED_WHILE_DRAINING, why=why), this_pass)


def why_blocked(instance: Instance, fleet: Fleet) -> Hold | None:
    """Which denied call stops its update, for all instances or for this one; None if there is none."""
    if fleet.blocked:
        return hold(Reason.CHANGED_WHILE_DRAINING, why=fleet.blocked)
    return hold(Reason.SEND_DENIED, why=instance.send_denied) if instance.send_denied else None


def backs_off_when_blocked(claim: Claim, why: Hold) -> bool:
    """Whether to back off after a denied call. If only its reboot is denied, every run would drain it for nothing."""
    return why.reason is Reason.SEND_DENIED and claim.phase is ClaimPhase.REBOOTING


def give_back_blocked(claimed: ClaimedInstance, why: Hold, this_pass: Pass) -> NextStep:
    """Return at once an instance whose update AWS denies."""
    return give_back(claimed, why, this_pass, backs_off=backs_off_when_blocked(claimed.claim, why))


def give_back_not_empty(claimed: ClaimedInstance, limit: timedelta, this_pass: Pass) -> NextStep:
    """Return an instance whose drain timed out, and record which tasks were left."""
    instance = claimed.instance
    if not claimed.registration.connected:
        # What ECS says about its tasks is out of date, so they are not to blame.
        return give_back_changed(claimed, AGENT_AWAY, this_pass)
    step = give_back(claimed, not_empty_hold(instance, limit), this_pass)
    return replace(step, commands=(NoteBlockers(instance.id, blocking_families(instance), limit), *step.commands))


def not_empty_hold(instance: Instance, limit: timedelta) -> Hold:
    """The hold of an instance whose tasks did not stop in time, with their last status.

    ECS has not tried to stop one that is RUNNING. Daemons are named last, because ECS stops them last.
    """
    tasks = sorted(instance.tasks.left, key=lambda task: task.daemon) if instance.tasks is not None else []
    named = dict.fromkeys(f"{task.group or task.arn} ({task.last_status.value})" for task in tasks)
    left = ", ".join(list(named)[:TASKS_NAMED_AT_MOST]) or "none that ECS names"
    return hold(Reason.DRAIN_TIMED_OUT, limit=duration_text(limit), tasks=left)


def unwanted_now(claimed: ClaimedInstance, this_pass: Pass) -> Hold | None:
    """Why it must not be rebooted into its target any more; None if it may.

    The version may have been denied or may have failed elsewhere, or somebody opted the instance out since the drain.
    """
    claim, instance = claimed.claim, claimed.instance
    unwanted = not_admitted(instance, claim.target, claim.source, this_pass)
    return unwanted or left_out(instance, this_pass.policy)


def reboots_plainly(instance: Instance, fleet: Fleet) -> bool:
    """Whether the run checks the host right before its reboot, because the host itself checks nothing.

    That is so if the reboot document has no parameters, or refused on this host. After a refusal, the host is rebooted
    only if a check finds nothing wrong: then the document misreads the output of this host.
    """
    return fleet.plain_reboots or any(one.refused_by_document for one in instance.reboots)


def staged_report(instance: Instance, this_pass: Pass) -> HostReport | None:
    """The host's last report, if it is recent enough to reboot on: somebody may have staged another version.

    Our reboot document checks that itself, so the report may be as old as for a drain. An earlier document does not. A
    slow answer counts while it is fresh. While AWS keeps refusing the claim for the reboot, the age counts from the
    first refusal: another check would only hide the refusals and their limit.
    """
    policy = this_pass.policy
    check_answer = instance.check_answer
    if check_answer is None:
        return None
    now = instance.progress.stalled_since or this_pass.at
    plain = reboots_plainly(instance, this_pass.fleet)
    asked_after = now - (policy.staged_report_max_age if plain else policy.report_max_age)
    if instance.pending is None and check_answer.at >= asked_after:
        asked_after -= policy.answer_timeout
    claim, found_at = instance.claim, instance.progress.claimed_at
    if claim is not None and claim.run != this_pass.fleet.run and found_at is not None:
        asked_after = max(asked_after, found_at)  # a dead run may have been active until then
    return check_answer.report if check_answer.asked_at >= asked_after else None


def changed(report: HostReport, claim: Claim) -> str | None:
    """Why a reboot of this host would not boot the claimed version; None if it would."""
    if report.boot != claim.boot:
        return None  # somebody rebooted it: it is verified as after our own reboot
    if report.state is not UpdateState.READY:
        return f"it is {report.state.value} now, not Ready"
    if report.staged != claim.target:
        return f"it would boot into {report.staged} now, not {claim.target}"
    if report.withdrawn:
        return f"its update repository no longer offers {claim.target}"
    return None
