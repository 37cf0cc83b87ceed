"""The lease on a cluster, independent of how it is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
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


class Right(Protocol):
    """The lease, independent of how it is kept."""

    def acquire(self) -> Taken | HeldBy:
        """Acquire the lease; may wait for one term. Raises what the store or AWS raises."""

    def keep(self) -> timedelta | None:
        """Renew the lease if due. Returns when to call again; None for any time.

        Raises LeaseLapsed if it lapsed and was not regained since, and LeaseLost if another run took it.
        """

    def check_before_act(self) -> None:
        """Check right before an act that no other run can hold the lease yet. Raises LeaseLapsed and LeaseLost."""

    def regain(self) -> None:
        """Renew a lapsed lease. Raises LeaseLapsed if that fails for now, and LeaseLost if another run took it.

        Everything known before is stale: the run must look at everything again before it acts.
        """

    def release(self) -> None:
        """Release the lease, so that the next run does not have to wait. Best effort, quick, never raises."""


def lease_guard(right: Lease) -> Callable[[bool], None]:
    """The hook that `Api` calls before each request: renews the lease, and checks it before each act.

    The request may have waited for the rate limit since the last check, and the machine may have been suspended.
    """

    def before_call(acting: bool) -> None:  # noqa: FBT001 - the hook's form
        right.keep()
        if acting:
            right.check_before_act()

    return before_call
