"""The right to act on a cluster, however it is secured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from bottlerocket_ecs_updater.engine.ports import Lease


@dataclass(frozen=True, slots=True)
class Taken:
    """This run has the right to act."""

    epoch: int
    from_whom: str = ""
    """The holder that let it lapse; empty where it was free."""
    warning: str = ""
    """What the right does not protect from; empty where it protects fully."""


@dataclass(frozen=True, slots=True)
class HeldBy:
    """Somebody else has the right to act."""

    holder: str
    since: datetime | None
    """By the holder's own clock."""


class Right(Protocol):
    """The right to act, however it is secured."""

    def acquire(self) -> Taken | HeldBy:
        """Ask for the right; may wait for one term. Raises what the store or AWS raises."""

    def keep(self) -> timedelta | None:
        """Renew it when that is due, and say when to come again; None for whenever.

        Raises LeaseLapsed where it lapsed and was not regained since, and LeaseLost when it is gone.
        """

    def check_before_act(self) -> None:
        """Make sure right before an act that nobody else can have it yet. Raises LeaseLapsed and LeaseLost."""

    def regain(self) -> None:
        """Ask again for one that lapsed. Raises LeaseLapsed while it cannot be had, and LeaseLost when it is gone.

        What was known before must be looked at afresh before anything is done.
        """

    def release(self) -> None:
        """Give it back, so that the next run need not wait. Best effort, quick, never raises."""


def lease_guard(right: Lease) -> Callable[[bool], None]:
    """What is called right before each request, with whether it acts: no act without the right to it.

    The request may have waited for its turn since the right was last asked for, and the machine may have slept.
    """

    def before_call(acting: bool) -> None:  # noqa: FBT001 - the hook's form
        right.keep()
        if acting:
            right.check_before_act()

    return before_call
