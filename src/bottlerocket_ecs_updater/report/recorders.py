"""Recorders that keep events, or hand them on."""

from __future__ import annotations

from collections.abc import Sequence

from bottlerocket_ecs_updater.core.event import Event
from bottlerocket_ecs_updater.engine.ports import Recorder


class Collected:
    """Keeps every event in memory, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, event: Event) -> None:
        self.events.append(event)


class Fan:
    """Hands every event to each of several recorders, in their order."""

    def __init__(self, recorders: Sequence[Recorder]) -> None:
        self._recorders = tuple(recorders)

    def record(self, event: Event) -> None:
        for recorder in self._recorders:
            recorder.record(event)
