"""Recorders that keep events or pass them on.

An output that fails must not end a run, because an instance may be out of service. If a log's reader is gone, a disk is
full, or a recorder has a bug, that recorder loses the event, the others get one event about it, and the run continues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bottlerocket_ecs_updater.core.model.event import Event, OutputFailed, RunFinished
from bottlerocket_ecs_updater.engine.ports import Recorder
from bottlerocket_ecs_updater.errors import Interrupted, LeaseLost

NAMES = {
    "Archive": "the reports",
    "FleetPage": "the page of all clusters",
    "JsonLog": "the log",
    "Live": "the terminal",
    "Messenger": "messages",
    "Metrics": "metrics",
    "Record": "the record in the state store",
    "TextLog": "the log",
}
"""The outputs' names for people, by class name."""


class Collected:
    """Keeps every event in memory, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, event: Event) -> None:
        self.events.append(event)


class Faults:
    """Reports each recorder that fails, once."""

    def __init__(self) -> None:
        self.listener: Recorder = Collected()
        """Set to the recorder of everything, once there is one: the others then say which one failed."""
        self._reported: set[int] = set()

    def note(self, recorder: Recorder, event: Event, error: Exception) -> None:
        """Report that a recorder failed."""
        if id(recorder) in self._reported:
            return
        self._reported.add(id(recorder))
        name = type(recorder).__name__
        self.listener.record(OutputFailed(event.at, NAMES.get(name, name), f"{type(error).__name__}: {error}"))


Noted = Callable[[Recorder, Event, Exception], None]


def _pass_over(_recorder: Recorder, _event: Event, _error: Exception) -> None:
    return


class Tee:
    """Passes every event to several recorders, in order. Raises only Interrupted and LeaseLost."""

    def __init__(self, recorders: Sequence[Recorder], fault: Noted = _pass_over) -> None:
        self._recorders = tuple(recorders)
        self._fault = fault

    def record(self, event: Event) -> None:
        _pass_on(self._recorders, event, self._fault)


class SummaryLast:
    """Passes events to one recorder first, but the end of the run last, so that its line is the last one."""

    def __init__(self, speaker: Recorder, others: Recorder, fault: Noted = _pass_over) -> None:
        self._speaker = speaker
        self._others = others
        self._fault = fault

    def record(self, event: Event) -> None:
        order = (self._speaker, self._others)
        _pass_on(reversed(order) if isinstance(event, RunFinished) else order, event, self._fault)


def _pass_on(recorders: Iterable[Recorder], event: Event, fault: Noted) -> None:
    """Pass an event to all recorders, even if some fail. What ends the run is raised afterwards."""
    leave: Interrupted | LeaseLost | None = None
    for recorder in recorders:
        try:
            recorder.record(event)
        except (Interrupted, LeaseLost) as error:
            leave = leave or error
        except Exception as error:
            # A recorder with a bug must not end the run.
            fault(recorder, event, error)
    if leave is not None:
        raise leave
