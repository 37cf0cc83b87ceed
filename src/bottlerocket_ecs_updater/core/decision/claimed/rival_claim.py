"""A claim that another run wrote over ours."""

from __future__ import annotations

from bottlerocket_ecs_updater.core.decision.claimed.stale_reads import claim_may_be_stale
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claimed_instance import ClaimedInstance
from bottlerocket_ecs_updater.core.model.command import NextStep, Unmark
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import time_text

OVERWRITTEN_LOOKS = 2
"""How many looks in a row must find another run's claim instead of ours. A single one may be stale."""


def _overwritten(instance: Instance, fleet: Fleet) -> Hold:
    """The hold of an instance that this run claimed and whose attribute now holds another run's claim."""
    run = instance.progress.overwritten_by or "that is not known"
    since = time_text(fleet.at)
    return hold(Reason.ANOTHER_RUN, run=run, instance=instance.id, phase="claimed by it", since=since)


def wait_for_rival(claimed: ClaimedInstance, this_pass: Pass) -> NextStep:
    """Another run's claim has replaced ours: look again, then leave the instance to that run.

    A claim of an earlier run may be older than ours: the read may be from before our claim. Run ids sort by time.
    """
    instance = claimed.instance
    earlier = instance.progress.overwritten_by < this_pass.fleet.run
    old = earlier and claim_may_be_stale(claimed, this_pass)
    if instance.progress.overwritten_looks < OVERWRITTEN_LOOKS or old:
        return NextStep(look_at=this_pass.next_poll)
    why = _overwritten(instance, this_pass.fleet)
    return NextStep((Unmark(instance.id, why, took_slot=False),), hold=why)
