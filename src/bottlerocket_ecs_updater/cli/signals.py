"""Signals: the first one asks the run to exit, a second SIGINT ends it immediately, and ten seconds are the limit.

    signal ──4 s──▶ the current call is cut short ──each second──▶ so is each later call ──9.5 s──▶ the process exits

A run that must stop needs a moment: for the call in progress, the end of the record, the reports, messages and the
lease. Any of these may hang. Each is cut short by Interrupted, raised by an alarm. Python handles a signal only between
two of its own steps, and a name lookup that hangs never reaches one: a thread enforces the last limit.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bottlerocket_ecs_updater.cli.local_user import local_user
from bottlerocket_ecs_updater.engine.stop import Stop
from bottlerocket_ecs_updater.errors import Interrupted

CALL_GRACE_SECONDS = 4
"""How long the current call may still take after the signal."""

NEXT_GRACE_SECONDS = 1
"""How long each later call may take. The record, the reports and the messages are calls that may hang."""

RELEASE_GRACE_SECONDS = 2
"""How long releasing the lease may take. A lease that is not released can be taken over one term later."""

RUN_LEAVES_WITHIN_SECONDS = 9.5
"""When the process exits, counted from the first signal.

ECS and most supervisors wait at least ten seconds before they kill it.
"""

EXIT_ON_SECOND_INTERRUPT = 130
EXIT_WHEN_STUCK = 1


@contextmanager
def handle_signals(
    stop: Stop, interrupted: threading.Event, leave_within_seconds: float = RUN_LEAVES_WITHIN_SECONDS
) -> Iterator[None]:
    """Inside this context, SIGTERM and SIGINT end waits and tell the run to stop. Calls get a moment to return."""
    seen = {"signals": 0, "interrupts": 0}

    def on_signal(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT:
            seen["interrupts"] += 1
            if seen["interrupts"] > 1:
                os._exit(EXIT_ON_SECOND_INTERRUPT)
        stop.request(_signal_text(signal.Signals(number)))
        interrupted.set()
        seen["signals"] += 1
        if seen["signals"] == 1:
            # A repeated signal must not postpone the end.
            signal.setitimer(signal.ITIMER_REAL, CALL_GRACE_SECONDS, NEXT_GRACE_SECONDS)

    def on_alarm(_: int, __: FrameType | None) -> None:
        raise Interrupted("a call to AWS took too long after the signal to stop")

    handlers = {signal.SIGTERM: on_signal, signal.SIGINT: on_signal, signal.SIGALRM: on_alarm}
    with _left_in_time(leave_within_seconds):
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)


def _signal_text(received: signal.Signals) -> str:
    """Which signal it was, and what is known about the sender."""
    if received is signal.SIGINT and sys.stdin is not None and sys.stdin.isatty():
        return f"{received.name} was received: Ctrl-C at the terminal of {local_user()}"
    return f"{received.name} was received: the process, or its task in ECS, was stopped from outside"


@contextmanager
def _left_in_time(seconds: float) -> Iterator[None]:
    """End the process this long after the first stop signal, whatever it is doing."""
    ours, written = socket.socketpair()
    over = threading.Event()
    written.setblocking(False)
    before = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(ours, over, seconds), name="leave-in-time", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        over.set()
        written.close()
        watcher.join()
        ours.close()


def _watch(signals: socket.socket, over: threading.Event, seconds: float) -> None:
    """Read signal numbers as they arrive, independently of the main thread."""
    while received := signals.recv(1):
        if received[0] in (signal.SIGTERM, signal.SIGINT):
            if not over.wait(seconds):
                os._exit(EXIT_WHEN_STUCK)
            return


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise Interrupted in a block that takes longer. Only inside `handle_signals`."""
    signal.setitimer(signal.ITIMER_REAL, seconds, NEXT_GRACE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
