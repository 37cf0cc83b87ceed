"""The right to act of a run that knows its task's family, and not which of its tasks it is.

As the predecessor had it: whoever finds a second task of the family leaves. Two that start together both leave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bottlerocket_ecs_updater.engine.lease.right import HeldBy, Taken
from bottlerocket_ecs_updater.engine.lease.task_lease import RunningTask


class SingleTask:
    """The right to act where no other task of the family runs."""

    def __init__(self, running: Callable[[], Sequence[RunningTask]]) -> None:
        self._running = running

    def acquire(self) -> Taken | HeldBy:
        """Have the right unless a second task is listed."""
        tasks = sorted(self._running(), key=lambda task: (task.created_at, task.arn))
        if len(tasks) > 1:
            return HeldBy(f"one of {len(tasks)} tasks of this family", tasks[0].created_at)
        warning = "which task this is could not be found out, so that two that start together both leave"
        return Taken(0, warning=warning)

    def keep(self) -> None:
        """A later task finds this one, and leaves."""

    def check_before_act(self) -> None:
        """See `keep`."""

    def regain(self) -> None:
        """See `keep`."""

    def release(self) -> None:
        """The end of the task is the end of its right."""
