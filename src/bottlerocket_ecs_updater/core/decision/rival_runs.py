"""Runs with another state store, whose lease this run cannot see: how two such runs stay out of each other's way.

A lease separates runs that share a state store. Two stacks with a bucket each, or a laptop with its own folder, share
only the cluster, and ECS has no conditional writes. But they see each other's claims: each claim names the store of its
run and when its phase began. A young claim belongs to a run that is alive. Then the run that started first continues,
and the other one ends or starts no more updates; neither touches an instance that the other has claimed. A claim that
is older than any phase may last belongs to a dead run, and is finished like any other.

This is weaker than a lease: two runs that start within seconds may each drain an instance before they see each other.
If both claim the same instance, the attribute holds only one claim, and the run that finds the other's claim drops the
instance.
"""

from __future__ import annotations

from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import time_text


def lives(claim: Claim, this_pass: Pass) -> bool:
    """Whether a claim belongs to a run with another state store and is so young that this run may be alive."""
    fleet = this_pass.fleet
    if claim.run == fleet.run or claim.store == fleet.store:
        return False
    # Only here are clocks of two machines compared. A difference of minutes does no harm.
    return abs(this_pass.at - claim.since) < this_pass.policy.longest_phase


def left_to_others(instance: Instance, this_pass: Pass, older_run: Hold | None) -> Hold | None:
    """Why this run must leave a claimed instance to another run; None if it may finish it."""
    claim = instance.claim
    if claim is None or claim.run == this_pass.fleet.run:
        return None
    return _of(instance, claim) if lives(claim, this_pass) else older_run


def find_older_run(this_pass: Pass) -> Hold | None:
    """The hold that names an older live run, to which this run yields; None if there is none. Run ids sort by time."""
    fleet = this_pass.fleet
    claims = ((one, one.claim) for one in fleet.instances.values() if one.claim is not None)
    older = [(claim.run, one.id, one, claim) for one, claim in claims if lives(claim, this_pass)]
    older = [older_run for older_run in older if older_run[0] < fleet.run]
    if not older:
        return None
    _, _, instance, claim = min(older, key=lambda older_run: older_run[:2])
    return _of(instance, claim)


def _of(instance: Instance, claim: Claim) -> Hold:
    since = time_text(claim.since)
    return hold(Reason.ANOTHER_RUN, run=claim.run, instance=instance.id, phase=claim.phase.value, since=since)
