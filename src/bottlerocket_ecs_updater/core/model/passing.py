"""Whether a hold passes by itself, was chosen, or stays until somebody acts; and whether a person must look at it.

Every reason is in exactly one of the three sets, and a test says which one is missing.
"""

from __future__ import annotations

from enum import Enum

from bottlerocket_ecs_updater.core.model.outcome import UNTIL_CLEARED
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason


class Passing(Enum):
    """Whether a hold can end without anybody's action, in the words of the documentation."""

    BY_ITSELF = "by itself"
    CHOSEN = "chosen"
    """The operator's rules or a person's action cause it: it is not a failure, however long it lasts."""
    NEVER = "not by itself"


CHOSEN = frozenset(
    {
        Reason.NOT_BOTTLEROCKET,
        Reason.MANAGED_INSTANCE,
        Reason.INSTANCE_STOPPED,
        Reason.INSTANCE_TERMINATED,
        Reason.WARM_POOL,
        Reason.BLOCKED,
        Reason.CLAIM_REMOVED,
        Reason.RETURNED_BY_OTHERS,
        Reason.PAUSED,
        Reason.FINISH_ONLY,
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
        Reason.DRAINED_BY_OTHERS,
        Reason.UNKNOWN_TO_SSM,
        Reason.HYBRID_ACTIVATION,
        Reason.SSM_CONNECTION_LOST,
        Reason.SSM_STATUS_UNKNOWN,
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


DATED = frozenset(
    {
        Reason.WINDOW_CLOSED,
        Reason.CUTOFF,
        Reason.FROZEN,
        Reason.CALENDAR_CLOSED,
        Reason.CALENDAR_CUTOFF,
        Reason.VERSION_TOO_YOUNG,
        Reason.VERSION_NEW,
        Reason.NOT_PROMOTED,
        Reason.CHECKPOINT_WAIT,
        Reason.CHECKPOINT_FULL,
        Reason.DAILY_LIMIT,
        Reason.BACKING_OFF,
        Reason.DRAIN_BLOCKED,
        Reason.TASKS_UNLISTED,
    }
)
"""Holds that end at a known time, or when others are done. Nobody has to act, however long they last.

See `dated` for the exception.
"""

BY_ITSELF = DATED | frozenset(
    {
        Reason.NOT_DESCRIBED,
        Reason.NOT_ACTIVE,
        Reason.ANOTHER_RUN,
        Reason.SEND_REFUSED,
        Reason.UPDATE_LOCK_HELD,
        Reason.NOTHING_CHOSEN,
        Reason.STAGED_WITHDRAWN,
        Reason.WITHDRAWN,
        Reason.STANDALONE_TASK,
        Reason.OWN_HOST,
        Reason.OWN_HOST_LAST,
        Reason.HANDED_OVER,
        Reason.BUDGET,
        Reason.ZONE_BUDGET,
        Reason.SETTLING,
        Reason.HALTED,
        Reason.STOPPING,
        Reason.STAGING_AHEAD,
        Reason.DRAIN_TIMED_OUT,
        Reason.CHANGED_WHILE_DRAINING,
        Reason.STOPPED_DURING_REBOOT,
        Reason.GONE,
        Reason.NOT_ANSWERED,
        Reason.IN_PROGRESS,
        Reason.NOT_REACHED,
        Reason.UNCLEAR,
        Reason.CALENDAR_UNKNOWN,
        Reason.TASK_PROTECTED,
        Reason.SURVEY_FAILED,
        Reason.SERVICE_DEPLOYING,
        Reason.UNWELL,
        Reason.SERVICE_UNKNOWN,
        Reason.FACTS_MISSING,
        Reason.LEAVING_GROUP,
        Reason.WARM_POOL_DRAINED,
        Reason.GROUP_REFRESHING,
        Reason.GROUP_TAKES_DRAINED,
    }
)
"""Holds that end at a certain time, when other instances are done, or when AWS or the host answers again."""


NEEDS_A_LOOK = frozenset(
    {
        # They may pass by themselves, but often do not.
        Reason.NOT_DESCRIBED,
        Reason.SEND_REFUSED,
        Reason.UPDATE_LOCK_HELD,
        Reason.DRAIN_BLOCKED,
        Reason.TASKS_UNLISTED,
        Reason.DRAIN_TIMED_OUT,
        Reason.CALENDAR_UNKNOWN,
        Reason.UNCLEAR,
        # A person or a rule caused them, and they may leave an instance out of service or on a withdrawn version.
        Reason.CLAIM_REMOVED,
        Reason.VERSION_WITHDRAWN,
        # Any other reboot of the host boots it.
        Reason.STAGED_WITHDRAWN,
    }
)
"""Holds that a person should look at although they may pass, or were chosen."""

UNREPORTED = ("unreported", "yes")
"""The fact of a hold that waits for another stage that does not report."""

NO_WINDOW_FITS = ("no_window_fits", "yes")
"""The fact of a hold for a maintenance window that closes too early, if all others do so too."""

HAS_A_PERSON = frozenset({Reason.DRAINED_BY_OTHERS})
"""Holds that stay until somebody acts, and that somebody caused: usually they are still working on it."""

NEEDS_A_PERSON = NEVER_PASSES - HAS_A_PERSON | NEEDS_A_LOOK
"""Holds that a person should look at."""


def dated(hold: Hold) -> bool:
    """Whether a hold ends at a known time, or when others are done. Nobody knows when a silent stage reports again."""
    return hold.reason in DATED and UNREPORTED not in hold.facts


def never_passes(hold: Hold) -> bool:
    """Whether a hold stays until somebody acts, by its reason or by its facts: some windows are all too short."""
    return hold.reason in NEVER_PASSES or NO_WINDOW_FITS in hold.facts


def passing(reason: Reason) -> Passing:
    """Whether a hold for that reason can end without anybody's action."""
    if reason in CHOSEN:
        return Passing.CHOSEN
    return Passing.NEVER if reason in NEVER_PASSES else Passing.BY_ITSELF


def needs_a_person(hold: Hold) -> bool:
    """Whether a person should look at it. A run with one of these holds is never reported as a success."""
    until_cleared = hold.reason is Reason.BACKING_OFF and ("until", UNTIL_CLEARED) in hold.facts
    return until_cleared or hold.reason in NEEDS_A_PERSON
