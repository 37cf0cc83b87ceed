"""Starts another run on another host, which can update the host that this run is on.

The run requests it with an event, and finds it among the tasks of the family. The stack's rule starts the task, with a
role that can start only this task. To start tasks itself, the updater would need iam:PassRole, and with it everything
that the passed roles can do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bottlerocket_ecs_updater.aws.ecs_tasks import NO_INSTANCE
from bottlerocket_ecs_updater.aws.identity import FamilyTask
from bottlerocket_ecs_updater.aws.transport.messages import OutgoingNotice
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, TaskArn

WANTED = "successor.wanted"
"""The detail type that the stack's rule matches. No run event has this name, so no run event starts a task."""

DEFAULT_BUS = "default"
"""Every account has this bus, and only its owner puts events there."""


class EventBus(Protocol):
    """An event bus."""

    def put(self, notices: Sequence[OutgoingNotice]) -> None:
        """Put each as an event. Raises UpdaterError."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The event that requests another run."""

    facts: Mapping[str, Any]
    name: str = WANTED


class CalledSuccessors:
    """Requests successors with an event. `running` lists the tasks of the updater's family, including this one."""

    def __init__(
        self, bus: EventBus, running: Callable[[], Sequence[FamilyTask]], own: TaskArn, cluster: str, run: str
    ) -> None:
        self._bus = bus
        self._running = running
        self._own = own
        self._wanted = Wanted({"cluster": cluster, "run": run, "task": own})
        self._before = _Before(frozenset(), NO_INSTANCE)

    def call(self) -> None:
        """Request a successor. Raises UpdaterError."""
        tasks = self._running()
        here = next((task.where for task in tasks if task.arn == self._own), NO_INSTANCE)
        self._before = _Before(frozenset(task.arn for task in tasks), here)
        self._bus.put([self._wanted])

    def placed(self) -> TaskArn | None:
        """The first successor placed on another host since the request. Raises what `Api.look` raises."""
        new = (task for task in self._running() if task.arn not in self._before.tasks)
        return next((task.arn for task in new if task.where != self._before.here), None)


@dataclass(frozen=True, slots=True)
class _Before:
    """The family's tasks when the successor was requested."""

    tasks: frozenset[TaskArn]
    here: ContainerInstanceArn
