"""Leases without a state store: the oldest task of the updater's family holds it, or there is no protection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.ids import TaskArn
from bottlerocket_ecs_updater.engine.lease.run_lease import HeldBy, Taken
from bottlerocket_ecs_updater.engine.ports import Clock
from bottlerocket_ecs_updater.engine.waits import Waits
from bottlerocket_ecs_updater.errors import LeaseLost, Throttled, Unreachable

Monotonic = Callable[[], float]
"""Returns seconds that never go back, at the same scale as the clock."""

LOOKS_PER_TERM = 8
"""How many times per term to check whether ECS lists this task."""


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A running task of the updater's own family."""

    arn: TaskArn
    created_at: datetime


class TaskLease:
    """A lease without a state store: the oldest running task of the updater's own family holds it.

    Weaker than `Lease`: it cannot see runs outside ECS, and relies on ECS to list every running task.
    """

    def __init__(
        self,
        own: TaskArn,
        running: Callable[[], Sequence[RunningTask]],
        term: timedelta,
        clock: Clock,
        monotonic: Monotonic,
        waits: Waits | None = None,
    ) -> None:
        self._own = own
        self._running = running
        self._term = term
        self._clock = clock
        self._monotonic = monotonic
        self._waits = waits or Waits()
        self._asked: float | None = None

    def acquire(self) -> Taken | HeldBy:
        """Acquire if no older task is listed. Waits at most one term for ECS to list this task."""
        began, shown = self._monotonic(), False
        while True:
            tasks = self._running()
            first = _oldest(tasks)
            if first is not None and any(task.arn == self._own for task in tasks):
                break
            if self._monotonic() - began >= self._term.total_seconds():
                break
            if not shown:
                now, shown = self._clock.now(), True
                self._waits.begin("ECS, which does not list this task yet", now, now + self._term)
            if not self._clock.sleep(self._term / LOOKS_PER_TERM):
                break
        if first is None or first.arn != self._own:
            return HeldBy(first.arn, first.created_at) if first is not None else HeldBy("unknown", None)
        self._asked = self._monotonic()
        return Taken(0)

    def keep(self) -> None:
        if self._asked is None:
            raise LeaseLost("this run does not hold the lease of the cluster")
        now = self._monotonic()
        if now - self._asked < self._term.total_seconds():
            return
        try:
            first = _oldest(self._running())
        except (Throttled, Unreachable):
            # An older task cannot start after this one, so it is safe to miss one check.
            return
        if first is not None and first.arn != self._own:
            self._asked = None
            raise LeaseLost(f"an older task of this family runs: {first.arn}")
        self._asked = now

    def check_before_act(self) -> None:
        self.keep()

    def regain(self) -> None:
        self.keep()

    def release(self) -> None:
        self._asked = None


def _oldest(tasks: Sequence[RunningTask]) -> RunningTask | None:
    return min(tasks, key=lambda task: (task.created_at, task.arn), default=None)


class NoLease:
    """No protection: for a run outside ECS and without a state store. It acts, with a warning."""

    WARNING = "nothing prevents another run from acting on this cluster at the same time: use a state store"

    def acquire(self) -> Taken | HeldBy:
        return Taken(0, warning=self.WARNING)

    def keep(self) -> None:
        """Nothing to renew."""

    def check_before_act(self) -> None:
        """There is nothing to lose."""

    def regain(self) -> None:
        """There is nothing to lose."""

    def release(self) -> None:
        """Nothing to release."""
