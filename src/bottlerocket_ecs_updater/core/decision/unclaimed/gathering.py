"""Starts updates together: a free slot waits a few seconds for others that are about to be free.

Instances that are drained together are empty, rebooted and back at about the same time. So they share looks, checks and
acts, and are ready to be followed by others together again. While a slot waits, its next instance stays in service.

In a crowd with a long settle time, a few slots whose hosts took far longer than others wait until the many others are
free again, but only while that is at most two settle times away.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.polling import JOIN_SHARE, begins_apart, joins_apart
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance

VERIFIED_AFTER = timedelta(seconds=8)
"""How long a host usually takes from its reboot until it is returned."""


def starts_together_at(picked: int, limit: int, this_pass: Pass) -> datetime | None:
    """How long the instances that were picked for the free slots wait for others; None if they start now."""
    fleet, policy = this_pass.fleet, this_pass.policy
    longest = begins_apart(policy.poll_interval, limit, policy.settle)
    free_since = _free_since(picked, this_pass)
    if not longest or free_since is None:
        return None
    soon = tuple(_about_to_be_free(fleet, policy.settle))
    join = joins_apart(policy.poll_interval, limit, policy.settle)
    # In a crowd, some may have waited for the others: these wait as if they were alone.
    most_since = _free_since((picked + 1) // 2, this_pass) if join else None
    until = (most_since or free_since) + longest
    if this_pass.at < until and any(at <= until for at in soon):
        return until
    joined = free_since + join
    many = sum(1 for at in soon if at <= joined) >= JOIN_SHARE * picked
    return joined if this_pass.at < joined and many else None


def _free_since(slots: int, this_pass: Pass) -> datetime | None:
    """When the first of so many free slots became free; None if that was not by the return of an instance."""
    taken = {slot.instance for slot in this_pass.fleet.slots}
    ours = (one for one in this_pass.fleet.instances.values() if one.claim is None and one.id not in taken)
    returns = (one.progress.sent_return for one in ours)
    moments = sorted((one.at + this_pass.policy.settle for one in returns if one is not None), reverse=True)
    return moments[slots - 1] if len(moments) >= slots else None


def _about_to_be_free(fleet: Fleet, settle: timedelta) -> Iterable[datetime]:
    """When slots are likely to be free: of instances that settle, and of hosts that reboot."""
    settling = ((slot.steady_since or fleet.at) + settle for slot in fleet.slots)
    rebooting = (at + settle for one in fleet.instances.values() if (at := _expected_back(one, fleet)) is not None)
    return (*settling, *rebooting)


def _expected_back(instance: Instance, fleet: Fleet) -> datetime | None:
    """When a rebooting host is likely to be returned; None if it is not rebooting, or nothing is known."""
    claim, progress = instance.claim, instance.progress
    sent, usual = progress.reboot_sent_at, fleet.durations.reboot_of(instance)
    if claim is None or claim.phase is not ClaimPhase.REBOOTING or sent is None or usual is None:
        return None
    at = sent + usual + VERIFIED_AFTER
    return at if progress.new_boot is not None or at > fleet.at else None
