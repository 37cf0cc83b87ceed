"""Instances that are DRAINING because of the updater, and that it leaves to their Auto Scaling group."""

from __future__ import annotations

from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.instance import Instance


def drained_for_claim(instance: Instance, run: RunId) -> bool:
    """Whether a claimed instance may be DRAINING because of its claim. This run may not have drained it yet."""
    claim = instance.claim
    if claim is None:
        return False
    not_yet = claim.run == run and claim.phase is ClaimPhase.DRAINING and instance.progress.drain is None
    return not not_yet


def left_by_us(instance: Instance) -> Claim | None:
    """The dropped claim of an unclaimed instance that the updater drained; None if somebody else may have done so."""
    registration = instance.registration
    if registration is None or registration.status is not Status.DRAINING:
        return None
    return instance.left_claim if registration.arn == instance.claimed_arn else None
