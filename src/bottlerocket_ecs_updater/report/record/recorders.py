"""Recorders that keep events, or hand them on.

Nothing that is told may end a run: an instance may be out of service at that moment. A log whose reader went away, a
full disk, a text that the terminal's encoding lacks, a fault in a recorder: each costs that recorder this event, the
others hear of it once, and the run goes on.
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
"""What a recorder writes, in words, by the name of its class."""


class Collected:
    """Keeps every event in memory, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, event: Event) -> None:
        self.events.append(event)


class Faults:
    """Tells whoever listens of each recorder that fails, once."""

    def __init__(self) -> None:
        self.listener: Recorder = Collected()
        """Set to the recorder of everything, once there is one: the others then say which one failed."""
        self._told: set[int] = set()

    def note(self, recorder: Recorder, event: Event, error: Exception) -> None:
        """A recorder did not take an event."""
        if id(recorder) in self._told:
            return
        self._told.add(id(recorder))
        name = type(recorder).__name__
        self.listener.record(OutputFailed(event.at, NAMES.get(name, name), f"{type(error).__name__}: {error}"))


Noted = Callable[[Recorder, Event, Exception], None]


def _pass_over(_recorder: Recorder, _event: Event, _error: Exception) -> None:
    return


class Tee:
    """Hands every event to each of several recorders, in their order. Raises only Interrupted and LeaseLost."""

    def __init__(self, recorders: Sequence[Recorder], fault: Noted = _pass_over) -> None:
        self._recorders = tuple(recorders)
        self._fault = fault

    def record(self, event: Event) -> None:
        _tell(self._recorders, event, self._fault)


class SummaryLast:
    """Tells one recorder first of everything that happens, and last of the end: its line is the last of a run."""

    def __init__(self, speaker: Recorder, others: Recorder, fault: Noted = _pass_over) -> None:
        self._speaker = speaker
        self._others = others
        self._fault = fault

    def record(self, event: Event) -> None:
        order = (self._speaker, self._others)
        _tell(reversed(order) if isinstance(event, RunFinished) else order, event, self._fault)


def _tell(recorders: Iterable[Recorder], event: Event, fault: Noted) -> None:
    """Tell each of them, whatever becomes of the others; what ends the run is raised when all have heard."""
    leave: Interrupted | LeaseLost | None = None
    for recorder in recorders:
        try:
            recorder.record(event)
        except (Interrupted, LeaseLost) as error:
            leave = leave or error
        except Exception as error:
            # Whatever is wrong with a recorder, the run goes on.
            fault(recorder, event, error)
    if leave is not None:
        raise leave
