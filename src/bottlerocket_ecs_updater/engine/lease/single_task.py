"""The lease of a run that knows its task's family but not its own task.

Works as in the predecessor: a run that finds a second task of the family exits. Two that start together both exit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bottlerocket_ecs_updater.engine.lease.run_lease import HeldBy, Taken
from bottlerocket_ecs_updater.engine.lease.task_lease import RunningTask


class SingleTask:
    """A lease that is held while no other task of the family runs."""

    def __init__(self, running: Callable[[], Sequence[RunningTask]]) -> None:
        self._running = running

    def acquire(self) -> Taken | HeldBy:
        """Acquire unless ECS lists a second task."""
        tasks = sorted(self._running(), key=lambda task: (task.created_at, task.arn))
        if len(tasks) > 1:
            return HeldBy(f"one of {len(tasks)} tasks of this family", tasks[0].created_at)
        warning = "the updater cannot identify its own task, so if two tasks start together, both exit"
        return Taken(0, warning=warning)

    def keep(self) -> None:
        """Nothing to renew: a later task finds this one and exits."""

    def check_before_act(self) -> None:
        """See `keep`."""

    def regain(self) -> None:
        """See `keep`."""

    def release(self) -> None:
        """Nothing to release: the lease ends with the task."""
