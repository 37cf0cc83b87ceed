"""Runs with another state store: what keeps two that know nothing of each other's lease from one cluster.

A lease keeps runs apart that share a store. Two stacks with a bucket each, or a laptop with a folder of its own, share
nothing but the cluster, and there nothing can be written under a condition. What they can see of each other are claims:
each names the store of its run, and when its phase was entered. One that is young is of a run that lives. Then the run
that began first goes on, and the other leaves, or begins nothing more; nobody touches what carries the other's claim.
A claim that is older than any phase may last is of a dead run, and is finished as every other.

This is less than a lease: two that begin in the same seconds may each drain an instance before they see each other.
Where both mark the same instance, the attribute holds one claim only, and who finds the other's there lets it go.
"""

from __future__ import annotations

from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.rules.policy import Policy


def lives(claim: Claim, fleet: Fleet, policy: Policy) -> bool:
    """Whether a claim is of a run with another store, and so young that this run may be at work."""
    if claim.run == fleet.run or claim.store == fleet.store:
        return False
    # Clocks of two machines are compared here, and nowhere else: minutes between them do no harm.
    return abs(fleet.at - claim.since) < policy.longest_phase


def left_to_others(instance: Instance, fleet: Fleet, policy: Policy, elder: Hold | None) -> Hold | None:
    """Why an instance that carries a claim is not ours to go on with, None where it is."""
    claim = instance.claim
    if claim is None or claim.run == fleet.run:
        return None
    return _of(instance, claim) if lives(claim, fleet, policy) else elder


def find_elder(fleet: Fleet, policy: Policy) -> Hold | None:
    """The run that goes on where this one leaves, None where this one goes on. Names of runs sort by their time."""
    claims = ((one, one.claim) for one in fleet.instances.values() if one.claim is not None)
    elders = [(claim.run, one.id, one, claim) for one, claim in claims if lives(claim, fleet, policy)]
    elders = [elder for elder in elders if elder[0] < fleet.run]
    if not elders:
        return None
    _, _, instance, claim = min(elders, key=lambda elder: elder[:2])
    return _of(instance, claim)


def _of(instance: Instance, claim: Claim) -> Hold:
    since = f"{claim.since:%Y-%m-%d %H:%M} UTC"
    return hold(Reason.ANOTHER_RUN, run=claim.run, instance=instance.id, phase=claim.phase.value, since=since)
