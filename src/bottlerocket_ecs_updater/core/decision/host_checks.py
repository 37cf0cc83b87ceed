"""Checking a host: at most one command at a time, and not too often."""

from __future__ import annotations

from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.polling import soon_interval
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.command import Check, NextStep
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.run_command import CommandResult, CommandStatus, PendingCommand

HEARD_AGAIN_SHARE, HEARD_AGAIN_MAX_POLLS = 2, 2
"""A late result is read again after half of the time since it was sent, and after two polls at most."""


def is_check_denied(instance: Instance, fleet: Fleet) -> bool:
    """Whether AWS denies sending checks to the host."""
    return fleet.hosts_denied or instance.check_denied


def ask_host(instance: Instance, this_pass: Pass) -> NextStep:
    """Send a check, or wait for the pending command, or wait until a failed check may be repeated."""
    policy = this_pass.policy
    if instance.pending is not None:
        return NextStep(look_at=next_poll(instance.pending, this_pass))
    if instance.check_answer is not None and instance.check_answer.report is None:
        due = instance.check_answer.at + policy.retry_spacing * min(instance.progress.checks_failed, 4)
        if this_pass.at < due:
            return NextStep(look_at=due)
    # Most answers arrive within two or three seconds; for slower ones the run looks at every poll.
    return NextStep((Check(instance.id),), look_at=this_pass.at + soon_interval(policy.poll_interval))


def next_poll(pending: PendingCommand, this_pass: Pass) -> datetime:
    """When to read the result again: soon at first, then less often the longer it takes."""
    return this_pass.at + poll_spacing(this_pass.at - pending.sent_at, this_pass.policy.poll_interval)


def poll_spacing(waited: timedelta, poll: timedelta) -> timedelta:
    """How long after a result was last read it is read again, if the command had been sent `waited` before that."""
    return min(max(soon_interval(poll), waited / HEARD_AGAIN_SHARE), HEARD_AGAIN_MAX_POLLS * poll)


def result_text(ended: CommandResult) -> str:
    match ended.end:
        case CommandStatus.FAILED:
            return f"exit code {ended.exit_code}: {ended.detail}" if ended.detail else f"exit code {ended.exit_code}"
        case _:
            return f"{ended.end.value}: {ended.detail}" if ended.detail else ended.end.value
