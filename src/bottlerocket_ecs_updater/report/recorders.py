"""Recorders that keep events, or hand them on."""

from __future__ import annotations

from collections.abc import Sequence

from bottlerocket_ecs_updater.core.event import Event, RunFinished
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


class LastWord:
    """Tells one recorder first of everything that happens, and last of the end: its line is the last of a run."""

    def __init__(self, speaker: Recorder, others: Recorder) -> None:
        self._speaker = speaker
        self._others = others

    def record(self, event: Event) -> None:
        order = (self._speaker, self._others)
        for recorder in reversed(order) if isinstance(event, RunFinished) else order:
            recorder.record(event)
