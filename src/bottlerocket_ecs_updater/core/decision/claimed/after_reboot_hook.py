"""The operator's own documents: one that a host must run well before its drain, one after its reboot.

Both are asked, never assumed: whatever does not end in success says no. A host that may not be drained stays as it
is; one that is not well after its reboot is asked again until its limit, and is quarantined then. Each document may
run more than once on a host, since a run may die between the document and what follows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bottlerocket_ecs_updater.core.decision.host_checks import _said
from bottlerocket_ecs_updater.core.model.command import NextStep, RunAfterReboot
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus
from bottlerocket_ecs_updater.core.rules.policy import Policy


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """The document after the reboot said no."""

    detail: str


def ask_after_reboot(instance: Instance, now: datetime, policy: Policy) -> NextStep | Unhealthy | None:
    """The next step with a host that is back: None where it is well, Unwell where its last answer was no.

    Gives a verdict while the document is to be sent, or under way.
    """
    if not policy.after_reboot:
        return None
    if instance.pending is not None:
        return NextStep(look_at=now + policy.poll_interval)
    if instance.after_reboot_result is None:
        return NextStep((RunAfterReboot(instance.id),), look_at=now + policy.poll_interval)
    return (
        None
        if instance.after_reboot_result.end is CommandStatus.SUCCESS
        else Unhealthy(_said(instance.after_reboot_result))
    )


def ask_again(instance: Instance, now: datetime, policy: Policy) -> NextStep:
    """Run the document once more on a host that was not well, as soon as it may."""
    assert instance.after_reboot_result is not None
    due = instance.after_reboot_result.ended_at + policy.hook_spacing
    if now < due:
        return NextStep(look_at=due)
    return NextStep((RunAfterReboot(instance.id),), look_at=now + policy.poll_interval)
