"""What Auto Scaling is doing with an instance. The updater only reads this, and never works against it.

An instance that its group is terminating, has in standby, or is replacing, is left alone. If it is terminated while we
hold a claim on it, the claim is dropped (`claimed/let_go.py`): if set ACTIVE, it would get tasks that are soon killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold


class LifecycleState(Enum):
    """The lifecycle state of an instance in its Auto Scaling group, without steps of lifecycle hooks."""

    IN_SERVICE = "InService"
    PENDING = "Pending"
    STANDBY = "Standby"
    DETACHING = "Detaching"
    DETACHED = "Detached"
    TERMINATING = "Terminating"
    REPLACING_ROOT_VOLUME = "ReplacingRootVolume"
    WARMING = "Warmed:Pending"
    """On its way into its warm pool, and still up."""
    WARMED = "Warmed"
    OTHER = "unknown to this updater"

    @classmethod
    def parse(cls, text: str) -> LifecycleState:
        """Read a state as Auto Scaling writes it, with or without the step of a lifecycle hook after it."""
        if text == "RootVolumeReplaced":
            return cls.REPLACING_ROOT_VOLUME
        if text.startswith(cls.WARMING.value):
            return cls.WARMING
        state = text.partition(":")[0].removeprefix("Entering").replace("Terminated", "Terminating")
        return next((known for known in cls if known.value == state), cls.OTHER)


TAKES_AWAY = frozenset({LifecycleState.TERMINATING, LifecycleState.WARMING, LifecycleState.WARMED})
"""States in which the group terminates the instance or puts it back into its warm pool.

In every other state the instance stays in the cluster, so one that we drained is returned.
"""

_ACTIVE_REFRESHES = frozenset({"Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking"})
_ENDED_REFRESHES = frozenset({"Successful", "Failed", "Cancelled", "RollbackFailed", "RollbackSuccessful"})


def refresh_active(status: str) -> bool:
    """Whether an instance refresh of that status still replaces instances. An unknown status counts as active."""
    return status in _ACTIVE_REFRESHES or status not in _ENDED_REFRESHES


@dataclass(frozen=True, slots=True)
class InGroup:
    """It belongs to an Auto Scaling group."""

    group: str
    state: LifecycleState
    refreshing: bool = False
    """Whether an instance refresh of the group is in progress."""
    refreshing_since: datetime | None = None
    """When that refresh started; None if Auto Scaling does not say."""


@dataclass(frozen=True, slots=True)
class NoGroup:
    """It does not belong to an Auto Scaling group."""


Membership = InGroup | NoGroup


def is_warm(membership: Membership | None) -> bool:
    """Whether its group keeps the instance in its warm pool, or puts it there. It may come back into service."""
    return isinstance(membership, InGroup) and membership.state in (LifecycleState.WARMING, LifecycleState.WARMED)


def taken_away(membership: Membership | None) -> Hold | None:
    """Why an instance must not be set ACTIVE: its group is removing it. None if it is not, or if that is not known."""
    match membership:
        case InGroup(group=group) if is_warm(membership):
            return hold(Reason.WARM_POOL, group=group)
        case InGroup(group=group, state=state) if state in TAKES_AWAY:
            return hold(Reason.LEAVING_GROUP, group=group, state=state.value)
        case _:
            return None


@dataclass(frozen=True, slots=True)
class LaunchImage:
    """An AMI."""

    id: str
    name: str
    """Empty if EC2 does not show it."""


@dataclass(frozen=True, slots=True)
class LaunchParameter:
    """The AMI that a Systems Manager parameter names at launch; the name may end in a colon and a parameter version."""

    name: str


@dataclass(frozen=True, slots=True)
class LaunchUnknown:
    """The AMI could not be found out."""

    why: str


@dataclass(frozen=True, slots=True)
class Launch:
    """One way in which an Auto Scaling group launches instances."""

    source: str
    """A launch template with its version, or a launch configuration."""
    boots: LaunchImage | LaunchParameter | LaunchUnknown


@dataclass(frozen=True, slots=True)
class Launches:
    """How Auto Scaling groups launch instances. Only plans read it; no decision depends on it."""

    by_group: Mapping[str, tuple[Launch, ...]]
    unread: str = ""
    """Why some or all groups could not be read; empty if all were."""
