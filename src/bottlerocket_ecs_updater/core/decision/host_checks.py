"""Asking a host, at most one question at a time, with a limit to how often."""

from __future__ import annotations

from datetime import datetime

from bottlerocket_ecs_updater.core.decision.polling import near
from bottlerocket_ecs_updater.core.model.command import Check, Verdict
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.run_command import End, Ended
from bottlerocket_ecs_updater.core.rules.policy import Policy


def is_mute(instance: Instance, fleet: Fleet) -> bool:
    """Whether AWS does not let us ask the host anything."""
    return fleet.hosts_mute or instance.mute


def ask_host(instance: Instance, now: datetime, policy: Policy) -> Verdict:
    """Send a check, or wait for the one that is under way, or for the host to be free of the last one."""
    if instance.flight is not None:
        return Verdict(look_at=now + near(policy.poll_interval))
    if instance.told is not None and instance.told.report is None:
        due = instance.told.at + policy.retry_spacing * min(instance.trail.checks_failed, 4)
        if now < due:
            return Verdict(look_at=due)
    # Most answers are there within two or three seconds; what is slower is looked at every poll.
    return Verdict((Check(instance.id),), look_at=now + near(policy.poll_interval))


def _said(ended: Ended) -> str:
    match ended.end:
        case End.FAILED:
            return f"exit code {ended.exit_code}: {ended.detail}" if ended.detail else f"exit code {ended.exit_code}"
        case _:
            return f"{ended.end.value}: {ended.detail}" if ended.detail else ended.end.value
