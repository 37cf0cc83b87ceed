"""After a stop signal the process exits within ten seconds, even if something hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bottlerocket_ecs_updater.cli import signals
from bottlerocket_ecs_updater.cli.signals import handle_signals, time_limit
from bottlerocket_ecs_updater.core.model.event import Event, RunFinished
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.engine.stop import Stop
from bottlerocket_ecs_updater.errors import Interrupted
from bottlerocket_ecs_updater.report.outputs.archive import Archive
from bottlerocket_ecs_updater.report.record.record import Record
from bottlerocket_ecs_updater.report.record.recorders import Collected, SummaryLast, Tee

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
FINISHED = RunFinished(NOW, RunId("r"), RunOutcome.INTERRUPTED, 0, {}, timedelta(), "SIGTERM", {}, {})
LONG = 60.0
SOON = LONG / 2
"""Seconds. What is cut short takes well below one of them, on a machine that is very busy too."""


def hang() -> None:
    """A call to a service that does not answer."""
    threading.Event().wait(LONG)


def hang_in_a_library() -> None:
    """botocore treats every Exception in a request as a network error."""
    try:
        hang()
    except Exception as error:
        raise OSError("a fault of the network") from error


class Silent:
    """A store that never answers."""

    def __init__(self) -> None:
        self.calls = 0

    def get(self, key: str) -> None:
        self._hang()

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        self._hang()
        return ""

    def delete(self, key: str, expect: str | None) -> None:
        self._hang()

    def keys(self, prefix: str, after: str = "") -> tuple[str, ...]:
        self._hang()
        return ()

    def _hang(self) -> None:
        self.calls += 1
        hang()


class Hanging:
    """A recorder that never returns."""

    def record(self, event: Event) -> None:
        hang()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(signals, "CALL_GRACE_SECONDS", 0.3)
    monkeypatch.setattr(signals, "NEXT_GRACE_SECONDS", 0.2)
    # A late signal must not end the tests.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    yield
    signal.signal(signal.SIGTERM, before)


def tell_to_stop(number: int = signal.SIGTERM, after_seconds: float = 0.05) -> None:
    threading.Timer(after_seconds, lambda: os.kill(os.getpid(), number)).start()


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is too busy to leave the context within the short limits cuts nothing short."""
    monkeypatch.setattr(signals, "CALL_GRACE_SECONDS", LONG)


@pytest.mark.usefixtures("unhurried")
def test_a_signal_stops_the_run_and_ends_its_waits() -> None:
    stop, interrupted = Stop(), threading.Event()
    with handle_signals(stop, interrupted):
        tell_to_stop()
        assert interrupted.wait(LONG)
    assert stop.why == "SIGTERM was received: the process, or its task in ECS, was stopped from outside"


def test_a_hanging_call_is_cut_short_even_if_a_library_catches_every_exception() -> None:
    began = time.monotonic()
    with handle_signals(Stop(), threading.Event()):
        tell_to_stop()
        with pytest.raises(Interrupted):
            hang_in_a_library()
    assert time.monotonic() - began < SOON


@pytest.mark.parametrize("kind", [Record, Archive])
def test_the_record_and_the_reports_do_not_take_it_for_a_fault_of_the_store(kind: type[Record | Archive]) -> None:
    store = Silent()
    recorder = Record(store, "web", RunId("r")) if kind is Record else Archive(store, "web", RunId("r"), lambda _: None)
    with handle_signals(Stop(), threading.Event()):
        tell_to_stop()
        with pytest.raises(Interrupted):
            recorder.record(FINISHED)
    assert store.calls == 1


def test_every_later_call_that_hangs_is_cut_short_too_and_the_log_gets_its_last_line() -> None:
    log, record = Collected(), Record(Silent(), "web", RunId("r"))
    recorder = SummaryLast(log, Tee([record, Hanging(), Hanging()]))
    began = time.monotonic()
    with handle_signals(Stop(), threading.Event(), leave_within_seconds=5 * LONG):
        tell_to_stop()
        with pytest.raises(Interrupted):
            recorder.record(FINISHED)
    assert log.events == [FINISHED]
    assert time.monotonic() - began < SOON


def test_repeated_signals_do_not_postpone_the_end() -> None:
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(0.1):
            os.kill(os.getpid(), signal.SIGTERM)

    began, person = time.monotonic(), threading.Thread(target=repeat, daemon=True)
    with handle_signals(Stop(), threading.Event(), leave_within_seconds=5 * LONG):
        person.start()
        with pytest.raises(Interrupted):
            hang()
    over.set()
    person.join()
    assert time.monotonic() - began < SOON


def test_work_at_the_very_end_has_its_own_limit() -> None:
    with handle_signals(Stop(), threading.Event()), pytest.raises(Interrupted), time_limit(0.1):
        hang()


def test_the_limits_add_up_to_less_than_the_ten_seconds_that_a_process_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    store_reports_messages = 3
    steps = signals.CALL_GRACE_SECONDS + store_reports_messages * signals.NEXT_GRACE_SECONDS
    assert steps + signals.RELEASE_GRACE_SECONDS < signals.RUN_LEAVES_WITHIN_SECONDS < 10


DEAF = """
import ctypes, os, signal, sys, threading
from bottlerocket_ecs_updater.cli.signals import handle_signals
from bottlerocket_ecs_updater.engine.stop import Stop
lock = ctypes.create_string_buffer(256)
libc = ctypes.CDLL(None)
libc.pthread_mutex_lock(lock)
with handle_signals(Stop(), threading.Event(), leave_within_seconds=0.5):
    print("ready", flush=True)
    libc.pthread_mutex_lock(lock)
"""


def test_a_process_that_hangs_where_python_handles_no_signal_is_ended_anyway() -> None:
    """A name lookup in the C library blocks like this."""
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout is not None
        assert deaf.stdout.readline() == b"ready\n"
        deaf.send_signal(signal.SIGTERM)
        assert deaf.wait(20) == 1


@pytest.mark.usefixtures("unhurried")
def test_after_it_signals_do_what_they_did_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with handle_signals(Stop(), interrupted := threading.Event(), leave_within_seconds=LONG):
        tell_to_stop()
        assert interrupted.wait(LONG)
    assert [each for each in threading.enumerate() if each.name == "leave-in-time"] == []
    assert signal.getsignal(signal.SIGTERM) == before
    assert signal.set_wakeup_fd(-1) == -1
