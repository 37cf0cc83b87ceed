"""Signals: the first one asks the run to leave, a second SIGINT ends it at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bottlerocket_ecs_updater.core.errors import Interrupted
from bottlerocket_ecs_updater.engine.run import Stop

CALL_GRACE_SECONDS = 4
"""How long a call to AWS that is under way may still take; with the end of the lease it stays below 10 seconds."""

RELEASE_GRACE_SECONDS = 4
"""How long giving back the lease may take; one that is not given back is taken over a term later."""

EXIT_ON_SECOND_INTERRUPT = 130


@contextmanager
def heard(stop: Stop, interrupted: threading.Event) -> Iterator[None]:
    """While inside: SIGTERM and SIGINT cut waits short and tell the run to stop; calls get a moment to come back."""
    seen = {"interrupts": 0}

    def on_signal(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT:
            seen["interrupts"] += 1
            if seen["interrupts"] > 1:
                os._exit(EXIT_ON_SECOND_INTERRUPT)
        stop.request(f"{signal.Signals(number).name} was received")
        interrupted.set()
        signal.setitimer(signal.ITIMER_REAL, CALL_GRACE_SECONDS)

    def on_alarm(_: int, __: FrameType | None) -> None:
        raise Interrupted("a call to AWS took too long after the run was told to stop")

    handlers = {signal.SIGTERM: on_signal, signal.SIGINT: on_signal, signal.SIGALRM: on_alarm}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises Interrupted in what takes longer; only inside `heard`."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
