"""Instances that their Auto Scaling group is replacing or terminating are left to the group."""

from __future__ import annotations

from bottlerocket_ecs_updater.core.model.auto_scaling import (
    TAKES_AWAY,
    InGroup,
    LifecycleState,
    Membership,
    NoGroup,
    taken_away,
)
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import since_fact


def leave_to_group(membership: Membership | None) -> Hold | None:
    """Why an instance is left to its Auto Scaling group; None if it is not, or if the group was not read."""
    match membership:
        case None | NoGroup():
            return None
        case InGroup(state=LifecycleState.DETACHED):
            return None
        case InGroup(state=state) if state in TAKES_AWAY:
            return taken_away(membership)
        case InGroup(group=group, state=state) if state is not LifecycleState.IN_SERVICE:
            return hold(Reason.LEAVING_GROUP, group=group, state=state.value)
        case InGroup(group=group, refreshing=True, refreshing_since=since):
            return hold(Reason.GROUP_REFRESHING, group=group, **since_fact(since))
        case InGroup():
            return None
