"""The lease of a run on its cluster, for every way to keep it: in a state store, or by the tasks of a family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bottlerocket_ecs_updater.engine.ports import Lease


@dataclass(frozen=True, slots=True)
class Taken:
    """This run holds the lease."""

    epoch: int
    from_whom: str = ""
    """The previous holder, whose lease lapsed; empty if the lease was free."""
    warning: str = ""
    """What the lease does not protect against; empty if it protects fully."""


@dataclass(frozen=True, slots=True)
class HeldBy:
    """Another run holds the lease."""

    holder: str
    since: datetime | None
    """According to the holder's own clock."""


class RunLease(Lease, Protocol):
    """A lease that a run acquires and releases, for every way to keep it."""

    def acquire(self) -> Taken | HeldBy:
        """Acquire the lease; may wait for one term. Raises what the store or AWS raises."""

    def release(self) -> None:
        """Release the lease, so that the next run does not have to wait. Best effort, quick, never raises."""


def lease_guard(lease: Lease) -> Callable[[bool], None]:
    """The hook that `Api` calls before each request: renews the lease, and checks it before each act.

    The request may have waited for the rate limit since the last check, and the machine may have been suspended.
    """

    def before_call(acting: bool) -> None:  # noqa: FBT001 - the hook's form
        lease.keep()
        if acting:
            lease.check_before_act()

    return before_call
