"""Reads of ECS that may be older than our last call: what must not be concluded from them yet.

ECS is eventually consistent, and AWS names no limit. A read from before our drain shows the instance ACTIVE; one from
before our claim shows no claim, or an earlier one. If the claim were dropped because of such a read, the instance would
stay DRAINING, and nobody would know that the updater drained it. So these conclusions wait until the read is newer than
the call, however old reads may be. A call that may be repeated needs no such wait.
"""

from __future__ import annotations

from datetime import datetime

from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claimed_instance import ClaimedInstance
from bottlerocket_ecs_updater.core.model.time_text import has_passed


def may_be_stale(claimed: ClaimedInstance, this_pass: Pass) -> bool:
    """Whether the last read of an instance may be from before its drain, or before this run found its claim."""
    drain, found_at = claimed.progress.drain, claimed.progress.claimed_at
    return _may_precede(drain.at if drain is not None else found_at or this_pass.at, claimed, this_pass)


def claim_may_be_stale(claimed: ClaimedInstance, this_pass: Pass) -> bool:
    """Whether the last read of an instance may be from before its claim was written in its phase."""
    return _may_precede(claimed.progress.phase_seen_at or claimed.phase_began, claimed, this_pass)


def _may_precede(call_at: datetime, claimed: ClaimedInstance, this_pass: Pass) -> bool:
    return not has_passed(call_at, this_pass.policy.stale_at_most, claimed.registration.at)
