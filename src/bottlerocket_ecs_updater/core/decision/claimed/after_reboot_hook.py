"""The operator's document that runs after the reboot. (`unclaimed/before_drain_hook.py` has the one before a drain.)

Only success passes. On a host where it fails, it runs again until the reboot limit, and then the host is quarantined.
It may run more than once on a host, because a run may die between the document and the next step.
"""

from __future__ import annotations

from dataclasses import dataclass

from bottlerocket_ecs_updater.core.decision.host_checks import result_text
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.command import NextStep, RunAfterReboot
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """The after-reboot document failed."""

    detail: str


def ask_after_reboot(instance: Instance, this_pass: Pass) -> NextStep | Unhealthy | None:
    """Whether a host that is back is healthy: None if it is, Unhealthy if the after-reboot document failed.

    Returns the next step while the document has to be sent or is pending.
    """
    policy = this_pass.policy
    if not policy.after_reboot:
        return None
    if instance.pending is not None:
        return NextStep(look_at=this_pass.next_poll)
    if instance.after_reboot_result is None:
        return NextStep((RunAfterReboot(instance.id),), look_at=this_pass.next_poll)
    return (
        None
        if instance.after_reboot_result.end is CommandStatus.SUCCESS
        else Unhealthy(result_text(instance.after_reboot_result))
    )


def ask_again(instance: Instance, this_pass: Pass) -> NextStep:
    """Run the after-reboot document again, once enough time has passed since it failed."""
    policy = this_pass.policy
    assert instance.after_reboot_result is not None
    due = instance.after_reboot_result.ended_at + policy.hook_spacing
    if this_pass.at < due:
        return NextStep(look_at=due)
    return NextStep((RunAfterReboot(instance.id),), look_at=this_pass.next_poll)
