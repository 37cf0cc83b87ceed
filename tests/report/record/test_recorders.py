"""Which recorders get an event, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest

from bottlerocket_ecs_updater.core.model.event import Event, OutputFailed, RunFinished, RunStopping
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.errors import Interrupted, LeaseLost
from bottlerocket_ecs_updater.report.record.recorders import NAMES, Collected, Faults, SummaryLast, Tee

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class Noted:
    def __init__(self, name: str, heard: list[str]) -> None:
        self._name, self._heard = name, heard

    def record(self, event: Event) -> None:
        self._heard.append(f"{self._name} {event.name}")


def test_the_log_has_the_first_word_of_what_happens_and_the_last_of_the_end() -> None:
    heard: list[str] = []
    recorder = SummaryLast(Noted("log", heard), Tee([Noted("metrics", heard), Noted("record", heard)]))
    recorder.record(RunStopping(NOW, "SIGTERM"))
    recorder.record(RunFinished(NOW, RunId("r"), RunOutcome.OK, 0, {}, timedelta(), "", {}, {}))
    assert heard == [
        "log run.stopping",
        "metrics run.stopping",
        "record run.stopping",
        "metrics run.finished",
        "record run.finished",
        "log run.finished",
    ]


class Broken:
    """A recorder that fails."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def record(self, event: Event) -> None:
        raise self._error


STOPPING, END = RunStopping(NOW, "SIGTERM"), RunFinished(NOW, RunId("r"), RunOutcome.OK, 0, {}, timedelta(), "", {}, {})
FAULTS = [
    BrokenPipeError("the reader went away"),
    OSError(28, "No space left on device"),
    ValueError("I/O operation on closed file."),
    UnicodeEncodeError("ascii", "→", 0, 1, "ordinal not in range(128)"),
    RecursionError("too deep"),
    ZeroDivisionError("a fault of the program"),
]


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("event", [STOPPING, END], ids=lambda event: event.name)
def test_if_a_recorder_fails_the_others_still_get_every_event(error: Exception, event: Event) -> None:
    first, last, speaker = Collected(), Collected(), Collected()
    recorder = SummaryLast(speaker, Tee([first, Broken(error), last]))
    recorder.record(event)
    assert first.events == last.events == speaker.events == [event]


def test_a_log_that_fails_does_not_affect_the_others() -> None:
    others = Collected()
    recorder = SummaryLast(Broken(BrokenPipeError()), others)
    recorder.record(STOPPING)
    recorder.record(END)
    assert others.events == [STOPPING, END]


def test_a_failing_recorder_is_reported_once_to_all_others() -> None:
    heard, faults = Collected(), Faults()
    others = Tee([Broken(ValueError("no")), heard], faults.note)
    faults.listener = SummaryLast(Broken(BrokenPipeError("gone")), others, faults.note)
    for _ in range(3):
        faults.listener.record(STOPPING)
    failed = [event for event in heard.events if isinstance(event, OutputFailed)]
    assert sorted((event.what, event.why) for event in failed) == [
        ("Broken", "BrokenPipeError: gone"),
        ("Broken", "ValueError: no"),
    ]
    assert heard.events.count(STOPPING) == 3


@pytest.mark.parametrize("error", [Interrupted("recorder to stop"), LeaseLost("somebody has it")])
def test_an_error_that_ends_the_run_is_raised_after_all_recorders_got_the_event(error: BaseException) -> None:
    heard = Collected()
    with pytest.raises(type(error)):
        SummaryLast(heard, Tee([Broken(error), heard])).record(END)
    assert heard.events == [END, END]


@pytest.mark.parametrize("name", NAMES)
def test_a_failing_output_is_named_in_words(name: str) -> None:
    modules = (
        "outputs.archive",
        "outputs.fleet_page",
        "outputs.live",
        "outputs.log",
        "outputs.messages",
        "outputs.metrics",
        "record.record",
    )
    rooms = [import_module(f"bottlerocket_ecs_updater.report.{module}") for module in modules]
    assert any(hasattr(room, name) for room in rooms)
