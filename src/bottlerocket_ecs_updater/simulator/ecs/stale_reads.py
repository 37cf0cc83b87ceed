"""Reads return the current state, or an earlier one while reads are stale."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.ecs.shapes import instance_shape, task_shape

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.ecs.model import ContainerInstance, Task
    from bottlerocket_ecs_updater.simulator.ecs.registry import Registry

STATES_KEPT = 64


class ReadHistory:
    """Renders records for reads. Keeps earlier versions only after `remember`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lag: Callable[[], timedelta | None] = lambda: None
        self._past: dict[str, deque[tuple[datetime, Shape]]] = defaultdict(lambda: deque(maxlen=STATES_KEPT))

    def remember(self, lag: Callable[[], timedelta | None]) -> None:
        """Keep earlier versions from now on. `lag` returns how stale reads currently are."""
        self._lag = lag
        self._registry.on_instance.append(self._note_instance)
        self._registry.on_task.append(self._note_task)

    def instance(self, instance: ContainerInstance) -> Shape:
        """A container instance as reads show it."""
        return self._earlier(instance.arn) or instance_shape(instance)

    def task(self, task: Task) -> Shape:
        """A task as reads show it."""
        return self._earlier(task.arn) or task_shape(task)

    def desired(self, task: Task) -> str:
        """A task's desired status as lists see it."""
        earlier = self._earlier(task.arn)
        return task.desired.value if earlier is None else str(earlier["desiredStatus"])

    def _earlier(self, arn: str) -> Shape | None:
        lag = self._lag()
        if lag is None or arn not in self._past:
            return None
        moment = self._registry.clock.now() - lag
        past = self._past[arn]
        # A record younger than the lag shows its first version.
        return next((shape for at, shape in reversed(past) if at <= moment), past[0][1])

    def _note_instance(self, instance: ContainerInstance) -> None:
        self._past[instance.arn].append((self._registry.clock.now(), instance_shape(instance)))
        for task in instance.tasks.values():
            self._past[task.arn].append((self._registry.clock.now(), task_shape(task)))

    def _note_task(self, task: Task) -> None:
        now = self._registry.clock.now()
        self._past[task.arn].append((now, task_shape(task)))
        if task.instance is not None:
            self._past[task.instance.arn].append((now, instance_shape(task.instance)))
