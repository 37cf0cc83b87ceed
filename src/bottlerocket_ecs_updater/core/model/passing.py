"""Whether a hold passes by itself, was chosen, or stays until somebody acts."""

from __future__ import annotations

from enum import Enum

from bottlerocket_ecs_updater.core.model.reasons import Reason


class Passing(Enum):
    """Whether a hold can end without anybody's action, in the words of the documentation."""

    BY_ITSELF = "by itself"
    CHOSEN = "chosen"
    """The operator's rules or a person's action cause it: it is no failure, however long it lasts."""
    NEVER = "not by itself"


CHOSEN = frozenset(
    {
        Reason.NOT_BOTTLEROCKET,
        Reason.MANAGED_INSTANCE,
        Reason.INSTANCE_STOPPED,
        Reason.INSTANCE_TERMINATED,
        Reason.WARM_POOL,
        Reason.BLOCKED,
        Reason.DRAINED_BY_OTHERS,
        Reason.OWN_HOST,
        Reason.CLAIM_REMOVED,
        Reason.RETURNED_BY_OTHERS,
        Reason.PAUSED,
        Reason.VERSION_DENIED,
        Reason.VERSION_NOT_PINNED,
        Reason.VERSION_NOT_ALLOWED,
        Reason.DOWNGRADE_HELD,
        Reason.OPTED_OUT,
        Reason.EXCLUDED,
        Reason.NOT_INCLUDED,
        Reason.NOT_PUBLISHED,
        Reason.VERSION_WITHDRAWN,
        Reason.TASK_HELD,
    }
)


NEVER_PASSES = frozenset(
    {
        Reason.AGENT_DISCONNECTED,
        Reason.UNKNOWN_TO_SSM,
        Reason.HYBRID_ACTIVATION,
        Reason.SSM_CONNECTION_LOST,
        Reason.SEND_DENIED,
        Reason.TOO_OLD,
        Reason.CHECK_FAILED,
        Reason.NO_BOOT_ID,
        Reason.UNREADABLE,
        Reason.UNKNOWN_STATE,
        Reason.NO_ANSWER,
        Reason.END_OF_LIFE_VARIANT,
        Reason.VERSION_SUSPECT,
        Reason.VERSION_BREAKS_TASKS,
        Reason.STAGED_STAYS,
        Reason.NO_PLACE,
        Reason.NO_ROOM,
        Reason.NO_ROOM_FOR_CLAIM,
        Reason.UNCLAIMABLE,
        Reason.CLAIM_UNREADABLE,
        Reason.CLAIM_LOST,
        Reason.CHECKPOINT_FAILED,
        Reason.MEMBERSHIP_UNKNOWN,
        Reason.PUBLISHED_UNKNOWN,
        Reason.DEPLOYMENT_FAILED,
        Reason.BEFORE_DRAIN_FAILED,
    }
)
"""Holds that stay until somebody acts."""


def passing(reason: Reason) -> Passing:
    """Whether a hold for that reason can end without anybody's action."""
    if reason in CHOSEN:
        return Passing.CHOSEN
    return Passing.NEVER if reason in NEVER_PASSES else Passing.BY_ITSELF
