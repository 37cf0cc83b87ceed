"""The claim of an instance that an earlier run left DRAINING to its Auto Scaling group."""

from __future__ import annotations

from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.instance import Instance


def left_by_us(instance: Instance) -> Claim | None:
    """The dropped claim of an unclaimed instance that the updater drained; None if somebody else may have done so."""
    registration = instance.registration
    if registration is None or registration.status is not Status.DRAINING:
        return None
    return instance.left_claim if registration.arn == instance.claimed_arn else None
