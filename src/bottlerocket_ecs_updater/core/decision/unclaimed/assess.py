"""The state of an unclaimed instance as a candidate for an update.

`assess` looks at one instance. `decide` uses the states of all candidates for what depends on the whole cluster:
staging ahead and the budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import assert_never

from bottlerocket_ecs_updater.core.decision.admission import OfferedUpdate, failed_before, not_bootable, offered_update
from bottlerocket_ecs_updater.core.decision.host_checks import ask_host
from bottlerocket_ecs_updater.core.decision.left_claim import left_by_us
from bottlerocket_ecs_updater.core.decision.not_counted import (
    LISTED_NO_MORE,
    left_out,
    not_selected,
    set_aside,
    why_leaving,
)
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.before_drain_hook import before_drain_hold
from bottlerocket_ecs_updater.core.decision.unclaimed.eligibility import answers_before_staging, tasks_hold
from bottlerocket_ecs_updater.core.decision.unclaimed.own_host import own_host_hold
from bottlerocket_ecs_updater.core.decision.unclaimed.rule_answers import RuleAnswer, first_hold
from bottlerocket_ecs_updater.core.model.auto_scaling import InGroup, LifecycleState
from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import PingStatus, Registration, Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.host_report import HostProblem, HostReport, Problem, UpdateState
from bottlerocket_ecs_updater.core.model.ids import BootId, RunId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Outcome, UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Failed, Failure, Hold, Reason, failed, hold
from bottlerocket_ecs_updater.core.model.run_command import CheckAnswer, CommandStatus, DocumentKind
from bottlerocket_ecs_updater.core.model.time_text import has_passed, time_text
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.policy import APPLY_TRIES, CHECK_TRIES, REBOOT_MARKS, UNHEARD_APPLIES, Policy
from bottlerocket_ecs_updater.core.rules.promotion import block_on


@dataclass(frozen=True, slots=True)
class Held:
    """It is held, for a reason."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class Asking:
    """It must be checked first."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """One of our commands is pending on it, or its next check is not due yet."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Stageable:
    """An update is available and admitted: it may be staged."""

    target: Version
    again: bool
    """Whether an apply was started on it before, so that it does not count among those staged ahead."""
    replaces: Version | None = None
    """The version that is ready to boot on it and must not be booted; None if none is."""


@dataclass(frozen=True, slots=True)
class Ready:
    """An admitted version is staged: it may be drained when a slot is free."""

    report: HostReport
    target: Version


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing is left to do with it in this run."""

    outcome: Outcome


CLAIMS_REMEMBERED = 8192
"""Size of the cache: ECS allows 5,000 container instances in a cluster, and each pass checks the claim of each."""

CandidateState = Held | Asking | Deferred | Stageable | Ready | Finished

_PROBLEM_REASONS = {
    Problem.TOO_OLD: Reason.TOO_OLD,
    Problem.BUSY: Reason.UPDATE_LOCK_HELD,
    Problem.FAILED: Reason.CHECK_FAILED,
    Problem.NO_BOOT_ID: Reason.NO_BOOT_ID,
    Problem.UNREADABLE: Reason.UNREADABLE,
    Problem.UNKNOWN_STATE: Reason.UNKNOWN_STATE,
    Problem.NO_ANSWER: Reason.NO_ANSWER,
}

END_OF_LIFE_VARIANTS = ("aws-ecs-1",)
"""Variants that get no new versions, with all their flavours (`aws-ecs-1-nvidia`). Source: Bottlerocket 1.43."""


ABSENCES = 20
"""A run no longer waits for an instance that was absent this often: it flaps, and the run would never end."""

UNDESCRIBED_LOOKS = 6
"""A run no longer waits for an instance after this many looks in a row that did not describe it."""


def assess(instance: Instance, this_pass: Pass) -> CandidateState:
    """The state of an unclaimed instance now."""
    if instance.progress.outcome is not None:
        return Finished(instance.progress.outcome)
    why = out_of_reach(instance)
    why = excluded(instance, why, this_pass.policy) or why or not_selected(instance, this_pass.policy)
    if why is not None:
        return Held(why)
    if instance.pending is not None:
        return Deferred(this_pass.next_poll)
    if instance.send_denied:
        return Held(hold(Reason.SEND_DENIED, why=instance.send_denied))
    if instance.send_refused:
        return Held(hold(Reason.SEND_REFUSED, why=instance.send_refused))
    check_answer = instance.check_answer
    if instance.applied is not None and instance.applied.given_up and _applied_since(instance):
        # It may still be running, so the host must not be checked.
        return Finished(_apply_failed(instance))
    if check_answer is None or _applied_since(instance) or _asked_before_rival(check_answer, this_pass.fleet):
        return Asking()
    if isinstance(check_answer.answer, HostProblem):
        return _problem(instance, check_answer.answer, this_pass)
    return _report(instance, check_answer.answer, this_pass)


def out_of_reach(instance: Instance) -> Hold | None:
    """Why an instance cannot be checked at all; None if it can."""
    registration = instance.registration
    if instance.undescribed:
        return hold(Reason.NOT_DESCRIBED, why=instance.undescribed)
    if registration is None:
        return hold(Reason.GONE, why=LISTED_NO_MORE)
    if registration.variant is None:
        return hold(Reason.NOT_BOTTLEROCKET)
    if instance.claim_unreadable:
        return hold(Reason.CLAIM_UNREADABLE, why=instance.claim_unreadable)
    if registration.status is Status.INACTIVE:
        return hold(Reason.GONE, why=_why_gone(instance))
    return (
        set_aside(instance)
        or why_leaving(instance)
        or _not_in_service(instance, registration)
        or _not_reachable(instance, registration)
    )


def _why_gone(instance: Instance) -> str:
    membership = instance.membership
    if isinstance(membership, InGroup) and membership.state is LifecycleState.TERMINATING:
        return f"its Auto Scaling group {membership.group} terminated it"
    return LISTED_NO_MORE


def excluded(instance: Instance, reach: Hold | None, policy: Policy) -> Hold | None:
    """How the policy excludes an instance, whether it could be reached or not; None if it does not.

    What is wrong with an excluded instance is not the updater's business, and no reason to call a person.
    """
    known = reach is None or reach.reason not in _UNKNOWN
    return left_out(instance, policy) if known else None


_UNKNOWN = frozenset({Reason.NOT_DESCRIBED, Reason.GONE, Reason.NOT_BOTTLEROCKET, Reason.CLAIM_UNREADABLE})
"""Holds of instances that are not known, not Bottlerocket hosts, or perhaps in the middle of an update."""


def some_may_be_back(this_pass: Pass) -> bool:
    """Whether a missing instance may be back in a moment.

    A healthy agent may disconnect for some seconds. ECS may describe at the next look an instance that it did not
    describe now, or show one as ACTIVE that was just returned.
    """
    fleet = this_pass.fleet
    awaited = [one for one in fleet.instances.values() if one.progress.absences <= ABSENCES]
    if any(one.unknown and one.progress.undescribed_looks <= UNDESCRIBED_LOOKS for one in awaited):
        return True
    if any(_shown_late(one, this_pass) for one in fleet.instances.values()):
        return True
    gone = (one.progress.disconnected_since for one in awaited if _only_disconnected(one))
    return any(since is not None and not has_passed(since, this_pass.policy.flap_time, this_pass.at) for since in gone)


def _shown_late(instance: Instance, this_pass: Pass) -> bool:
    """Whether ECS may still show it as it was before our return, which it has confirmed."""
    sent, registration = instance.progress.sent_return, instance.registration
    if sent is None or not sent.confirmed or registration is None or registration.status is not Status.DRAINING:
        return False
    return not has_passed(sent.at, this_pass.policy.stale_at_most, registration.at)


def _only_disconnected(instance: Instance) -> bool:
    why = out_of_reach(instance)
    return why is not None and why.reason is Reason.AGENT_DISCONNECTED


def _not_in_service(instance: Instance, registration: Registration) -> Hold | None:
    left = left_by_us(instance)
    match registration.status:
        case Status.ACTIVE:
            return None
        case Status.DRAINING if left is not None:
            since = time_text(left.since)
            return hold(Reason.CLAIM_LOST, run=left.run, since=since, status=registration.status.value)
        case Status.DRAINING:
            return hold(Reason.DRAINED_BY_OTHERS)
        case status:
            return hold(Reason.NOT_ACTIVE, status=status.value)


def _not_reachable(instance: Instance, registration: Registration) -> Hold | None:
    if not registration.connected:
        return hold(Reason.AGENT_DISCONNECTED)
    match instance.reach:
        case PingStatus.ONLINE:
            return None
        case PingStatus.CONNECTION_LOST:
            return hold(Reason.SSM_CONNECTION_LOST)
        case PingStatus.UNKNOWN if instance.ping:
            return hold(Reason.SSM_STATUS_UNKNOWN, status=instance.ping)
        case PingStatus.UNKNOWN:
            known = instance.node
            return hold(Reason.HYBRID_ACTIVATION, known=known) if known else hold(Reason.UNKNOWN_TO_SSM)
        case _:
            assert_never(instance.reach)


def _asked_before_rival(check_answer: CheckAnswer, fleet: Fleet) -> bool:
    """Whether a run with another state store may have been active since the host was checked."""
    return fleet.rival_at is not None and check_answer.asked_at <= fleet.rival_at


def _applied_since(instance: Instance) -> bool:
    """Whether an apply ended after the last check, so that only a new check shows its result."""
    applied, check_answer = instance.applied, instance.check_answer
    return applied is not None and check_answer is not None and check_answer.asked_at < applied.ended_at


def _problem(instance: Instance, answer: HostProblem, this_pass: Pass) -> CandidateState:
    final = answer.problem is Problem.TOO_OLD
    if answer.problem is Problem.BUSY:
        # Another command holds the lock. It may be an apply that outlived its client and takes its full time.
        first = instance.progress.first_busy_at or this_pass.at
        final = has_passed(first, this_pass.policy.apply_timeout, this_pass.at)
    elif instance.progress.checks_failed >= CHECK_TRIES:
        final = True
    if final and instance.progress.applies.sent:
        return Finished(failed(Failure.APPLY_FAILED, detail=answer.detail))
    if final:
        return Held(hold(_PROBLEM_REASONS[answer.problem], detail=answer.detail))
    asked = ask_host(instance, this_pass)
    return Asking() if asked.commands else Deferred(asked.look_at or this_pass.next_poll)


def _report(instance: Instance, report: HostReport, this_pass: Pass) -> CandidateState:
    if report.state is UpdateState.IDLE:
        return _idle(instance, report)
    offered = offered_update(instance, this_pass)
    if offered is None:
        return Held(hold(Reason.NOTHING_CHOSEN))
    why = first_hold(answers_about(offered, this_pass))
    if why is not None:
        return Held(why)
    if report.state is UpdateState.READY and offered.target == report.staged:
        refusal = before_drain_hold(instance, this_pass.policy)
        return Ready(report, offered.target) if refusal is None else Finished(refusal)
    return _stageable(offered, this_pass)


def _stageable(offered: OfferedUpdate, this_pass: Pass) -> CandidateState:
    instance, report, target = offered.instance, offered.report, offered.target
    applied, replaces = instance.applied, report.staged if report.state is UpdateState.READY else None
    if replaces is not None and instance.progress.applies.target != target:
        return Stageable(target, False, replaces)  # an earlier apply was for the version that is staged
    if applied is None or _worth_another_apply(instance, report):
        return Stageable(target, applied is not None, replaces)
    staged_stays = _staged_stays(offered, this_pass)
    return Held(staged_stays) if staged_stays is not None else Finished(_apply_failed(instance))


def _staged_stays(offered: OfferedUpdate, this_pass: Pass) -> Hold | None:
    """The hold of a host on which an apply left a bad version staged; None if none is ready to boot.

    This is not a failure of the new version: the host did not try it.
    """
    applied, staged = offered.instance.applied, offered.report.staged
    bad = not_bootable(offered.instance, offered.report, this_pass)
    if bad is None or staged is None or applied is None:
        return None
    detail = applied.detail or applied.end.value
    return hold(Reason.STAGED_STAYS, staged=staged, why=bad, version=offered.target, detail=detail)


def answers_about(offered: OfferedUpdate, this_pass: Pass) -> tuple[RuleAnswer, ...]:
    """Whether it may be updated to the version, rule by rule.

    ECS moves only tasks of services; a standalone task would be killed, and nothing would restart it. So a standalone
    task holds its instance before anything is staged on it.
    """
    fleet, instance, target = this_pass.fleet, offered.instance, offered.target
    return (
        RuleAnswer("block", block_on(target, fleet.shared.acts)),
        RuleAnswer("record", failed_before(instance, target, this_pass)),
        RuleAnswer("staged", _withdrawn(offered.report, target)),
        RuleAnswer("claim", _unclaimable(offered.report, target, fleet)),
        *answers_before_staging(offered, this_pass),
        RuleAnswer("own-host", own_host_hold(instance, this_pass)),
        RuleAnswer("tasks", tasks_hold(instance, this_pass)),
        # This check is last: if it is the hold, no other rule prevents the update now.
        RuleAnswer("finish-only", hold(Reason.FINISH_ONLY) if this_pass.policy.rules.finish_only else None),
    )


def _withdrawn(report: HostReport, target: Version) -> Hold | None:
    """Why a version that is ready to boot is not booted: its repository withdrew it after it was staged."""
    ready = report.state is UpdateState.READY and report.staged == target
    return hold(Reason.STAGED_WITHDRAWN, version=target) if ready and report.withdrawn else None


def _idle(instance: Instance, report: HostReport) -> CandidateState:
    offered = instance.progress.offered
    # If it runs the version it was offered, somebody else rebooted it into the update that we staged.
    if instance.progress.applies.sent and report.running != offered:
        return Held(hold(Reason.WITHDRAWN, version=offered or "a newer version"))
    variant = instance.registration.variant if instance.registration else None
    if variant is not None and any(variant == old or variant.startswith(f"{old}-") for old in END_OF_LIFE_VARIANTS):
        return Held(hold(Reason.END_OF_LIFE_VARIANT, variant=variant, version=report.running))
    return Finished(UpToDate(report.running))


def _unclaimable(report: HostReport, target: Version, fleet: Fleet) -> Hold | None:
    """Why our claim would not fit its attribute; None if it fits. The longest form of the claim is checked."""
    why = _not_encodable(fleet.run, report.running, target, report.boot, fleet.started_at, fleet.store)
    return hold(Reason.UNCLAIMABLE, why=why) if why else None


@lru_cache(maxsize=CLAIMS_REMEMBERED)
def _not_encodable(run: RunId, source: Version, target: Version, boot: BootId, at: datetime, store: str) -> str:
    """What is wrong with the longest form of the claim; empty if nothing is. Its length does not depend on the time."""
    try:
        Claim(ClaimPhase.QUARANTINED, run, source, target, boot, at, REBOOT_MARKS, store).encode()
    except ValueError as error:
        return str(error)
    return ""


def _worth_another_apply(instance: Instance, report: HostReport) -> bool:
    """Whether another apply may help: the last one was interrupted, never ran, or found the lock held."""
    applied, progress = instance.applied, instance.progress
    if applied is None or progress.applies.sent - progress.applies.unheard >= APPLY_TRIES:
        return False
    if not applied.command:
        return progress.applies.unheard < UNHEARD_APPLIES
    cut_short = applied.end in (
        CommandStatus.TIMED_OUT,
        CommandStatus.NOT_DELIVERED,
        CommandStatus.CANCELLED,
        CommandStatus.ABANDONED,
    )
    # A boot clears the check result and the staged update, so an apply before it was refused or lost.
    rebooted = instance.progress.applies.on_boot is not None and instance.progress.applies.on_boot != report.boot
    return report.state is UpdateState.STAGED or cut_short or applied.busy or rebooted


def _apply_failed(instance: Instance) -> Failed | Hold:
    applied = instance.applied
    if applied is not None and applied.kind is DocumentKind.APPLY and not applied.command:
        return hold(Reason.UNCLEAR, what="the apply", why=f"{instance.progress.applies.unheard} got no reply")
    detail = applied.detail if applied is not None and applied.kind is DocumentKind.APPLY else "it gave no result"
    return failed(Failure.APPLY_FAILED, detail=detail)
