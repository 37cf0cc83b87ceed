"""What Auto Scaling is doing with an instance: never written to, and never worked against.

An instance that its group is about to take away, has set aside, or is replacing, is left alone. One that is taken away
while we hold it is let go (`claimed/let_go.py`): set ACTIVE, it would get tasks though it is about to end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold


class LifecycleState(Enum):
    """The lifecycle state of an instance in its Auto Scaling group, by what it means for us."""

    IN_SERVICE = "InService"
    PENDING = "Pending"
    STANDBY = "Standby"
    DETACHING = "Detaching"
    DETACHED = "Detached"
    TERMINATING = "Terminating"
    REPLACING_ROOT_VOLUME = "ReplacingRootVolume"
    WARMED = "Warmed"
    OTHER = "unknown to this updater"

    @classmethod
    def parse(cls, text: str) -> LifecycleState:
        """Read a state as Auto Scaling writes it, with or without the step of a lifecycle hook behind it."""
        if text == "RootVolumeReplaced":
            return cls.REPLACING_ROOT_VOLUME
        state = text.partition(":")[0].removeprefix("Entering").replace("Terminated", "Terminating")
        return next((known for known in cls if known.value == state), cls.OTHER)


TAKES_AWAY = frozenset({LifecycleState.TERMINATING, LifecycleState.WARMED})
"""States in which the group ends the instance, or puts it back into its warm pool: it serves nobody any more.

In every other state the instance stays in the cluster: what we drained of those, we return.
"""

_ACTIVE_REFRESHES = frozenset({"Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking"})
_ENDED_REFRESHES = frozenset({"Successful", "Failed", "Cancelled", "RollbackFailed", "RollbackSuccessful"})


def refresh_active(status: str) -> bool:
    """Whether an instance refresh of that status still replaces instances; one we do not know counts as active."""
    return status in _ACTIVE_REFRESHES or status not in _ENDED_REFRESHES


@dataclass(frozen=True, slots=True)
class InGroup:
    """It belongs to an Auto Scaling group."""

    group: str
    state: LifecycleState
    refreshing: bool = False
    """Whether an instance refresh of the group is in progress."""


@dataclass(frozen=True, slots=True)
class NoGroup:
    """It belongs to no Auto Scaling group."""


Membership = InGroup | NoGroup


def taken_away(membership: Membership | None) -> Hold | None:
    """Why nobody may set an instance ACTIVE: its group takes it away. None where it does not, or nobody asked."""
    match membership:
        case InGroup(group=group, state=LifecycleState.WARMED):
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
    """Empty where EC2 does not show it."""


@dataclass(frozen=True, slots=True)
class LaunchParameter:
    """Whatever AMI a public or own parameter of Systems Manager names at the time, with its revision behind a colon."""

    name: str


@dataclass(frozen=True, slots=True)
class LaunchUnknown:
    """No image could be found."""

    why: str


@dataclass(frozen=True, slots=True)
class Launch:
    """One way in which an Auto Scaling group starts instances."""

    source: str
    """What says it: a launch template and its version, or a launch configuration."""
    boots: LaunchImage | LaunchParameter | LaunchUnknown


@dataclass(frozen=True, slots=True)
class Launches:
    """How Auto Scaling groups start instances. Only plans look; no decision depends on it."""

    by_group: Mapping[str, tuple[Launch, ...]]
    unread: str = ""
    """Why some groups, or all, could not be asked; empty where all were."""
