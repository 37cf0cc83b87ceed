"""The operator's own documents: one that a host must run well before its drain, one after its reboot.

Both are asked, never assumed: whatever does not end in success says no. A host that may not be drained stays as it
is; one that is not well after its reboot is asked again until its limit, and is quarantined then. Each document may
run more than once on a host, since a run may die between the document and what follows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bottlerocket_ecs_updater.core.command import RunAfterReboot, Verdict
from bottlerocket_ecs_updater.core.fleet import End, Ended, Instance, Kind
from bottlerocket_ecs_updater.core.policy import Policy
from bottlerocket_ecs_updater.core.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.waiting import passed


@dataclass(frozen=True, slots=True)
class Unwell:
    """The document after the reboot said no."""

    detail: str


def before_drain_hold(instance: Instance, policy: Policy) -> Hold | None:
    """Why the document before the drain keeps it in service, None where it was not run, or said yes."""
    ended = instance.prepared
    if not policy.before_drain or ended is None or ended.end is End.SUCCESS:
        return None
    return hold(Reason.BEFORE_DRAIN_FAILED, detail=_said(ended))


def prepared(instance: Instance, policy: Policy, now: datetime) -> bool:
    """Whether nothing of the operator's has to be run on it before its drain; what was run long ago is run again."""
    ended = instance.prepared
    if not policy.before_drain:
        return True
    return ended is not None and ended.end is End.SUCCESS and not passed(ended.ended_at, policy.report_max_age, now)


def being_prepared(instance: Instance) -> bool:
    """Whether the document before the drain runs on it now: it is about to be taken, and takes a place."""
    return instance.flight is not None and instance.flight.kind is Kind.BEFORE_DRAIN


def ask_after_reboot(instance: Instance, now: datetime, policy: Policy) -> Verdict | Unwell | None:
    """The next step with a host that is back: None where it is well, Unwell where its last answer was no.

    Gives a verdict while the document is to be sent, or under way.
    """
    if not policy.after_reboot:
        return None
    if instance.flight is not None:
        return Verdict(look_at=now + policy.poll_interval)
    if instance.vetted is None:
        return Verdict((RunAfterReboot(instance.id),), look_at=now + policy.poll_interval)
    return None if instance.vetted.end is End.SUCCESS else Unwell(_said(instance.vetted))


def ask_again(instance: Instance, now: datetime, policy: Policy) -> Verdict:
    """Run the document once more on a host that was not well, as soon as it may."""
    assert instance.vetted is not None
    due = instance.vetted.ended_at + policy.hook_spacing
    if now < due:
        return Verdict(look_at=due)
    return Verdict((RunAfterReboot(instance.id),), look_at=now + policy.poll_interval)


def _said(ended: Ended) -> str:
    match ended.end:
        case End.FAILED:
            return f"exit code {ended.exit_code}: {ended.detail}" if ended.detail else f"exit code {ended.exit_code}"
        case _:
            return f"{ended.end.value}: {ended.detail}" if ended.detail else ended.end.value
