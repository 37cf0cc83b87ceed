"""Giving an instance back whose update does not go on: what is said of it, and how long it rests."""

from __future__ import annotations

from datetime import timedelta

from bottlerocket_ecs_updater.core.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.command import Cancel, Command, Note, Return, Verdict
from bottlerocket_ecs_updater.core.fleet import Fleet, Instance
from bottlerocket_ecs_updater.core.host import HostReport, UpdateState
from bottlerocket_ecs_updater.core.reasons import Failed, Hold, Reason, hold
from bottlerocket_ecs_updater.core.rest import next_rest
from bottlerocket_ecs_updater.core.waiting import spell

TASKS_NAMED_AT_MOST = 5
"""How many of the tasks that did not stop are named in the reason."""


def give_back(instance: Instance, claim: Claim, why: Hold | Failed, fleet: Fleet) -> Verdict:
    """Set it ACTIVE and let it rest; a reboot that may still be on its way to it is called back first."""
    code = why.reason.code if isinstance(why, Hold) else why.failure.code
    rest = next_rest(instance.rest, claim.target, code, fleet.at)
    cancel: tuple[Command, ...] = (Cancel(instance.id),) if instance.reboot_flight is not None else ()
    return Verdict((*cancel, Return(instance.id, why), Note(instance.id, rest)), look_at=fleet.at)


def give_back_changed(instance: Instance, claim: Claim, why: str, fleet: Fleet) -> Verdict:
    """Give back what no longer is as it was when it was claimed."""
    return give_back(instance, claim, hold(Reason.CHANGED_WHILE_DRAINING, why=why), fleet)


def why_barred(instance: Instance, fleet: Fleet) -> Hold | None:
    """Why AWS does not let us go on with it, be it with none or with this one alone; None where it does."""
    if instance.send_denied:
        return hold(Reason.SEND_DENIED, why=instance.send_denied)
    return hold(Reason.CHANGED_WHILE_DRAINING, why=fleet.barred) if fleet.barred else None


def give_back_barred(instance: Instance, claim: Claim, why: Hold, fleet: Fleet) -> Verdict:
    """Give back at once what AWS does not let us reboot. It is no fault of the host's, so it does not rest for it.

    But where the reboot of this one alone is denied, it rests: every run would drain it in vain.
    """
    if why.reason is Reason.SEND_DENIED and claim.phase is ClaimPhase.REBOOTING:
        return give_back(instance, claim, why, fleet)
    cancel: tuple[Command, ...] = (Cancel(instance.id),) if instance.reboot_flight is not None else ()
    return Verdict((*cancel, Return(instance.id, why)), look_at=fleet.at)


def give_back_not_empty(instance: Instance, claim: Claim, limit: timedelta, fleet: Fleet) -> Verdict:
    """Give back what did not become empty in time, naming what is left on it."""
    tasks = instance.tasks.left[:TASKS_NAMED_AT_MOST] if instance.tasks is not None else ()
    left = ", ".join(task.group or task.arn for task in tasks) or "none that ECS names"
    why = hold(Reason.DRAIN_TIMED_OUT, limit=spell(limit), tasks=left)
    return give_back(instance, claim, why, fleet)


def changed(report: HostReport, claim: Claim) -> str | None:
    """Why a reboot of this host would not bring what it was claimed for, None where it would."""
    if report.boot != claim.boot:
        return None  # somebody rebooted it: it is verified as after a reboot of ours
    if report.state is not UpdateState.READY:
        return f"it is {report.state.value} now, not Ready"
    if report.staged != claim.target:
        return f"it would boot into {report.staged} now, not {claim.target}"
    return None
