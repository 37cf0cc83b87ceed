"""Several programs in one virtual time: exactly one runs at a time, and they take turns when they wait.

Each program is a thread. They run in the order of the world's time, so that a scenario is repeatable.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.simulator.clock import VirtualClock

Program = Callable[[], None]


def _closed() -> threading.Lock:
    """A lock that is held: a thread that acquires it waits until another one releases it."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class Stage:
    """Plays programs on a virtual clock. Only `wait` lets time pass while they run."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._made = 0
        self._back = _closed()
        self._failure: BaseException | None = None

    def enter(self, delay: timedelta, program: Program) -> None:
        """Start a program that much later."""
        self._at(self._clock.now() + delay, lambda: self._begin(program))

    def wait(self, span: timedelta) -> None:
        """Let time pass for the calling program while the others run."""
        when = self._clock.now() + max(span, timedelta())
        if not self._agenda or self._agenda[0][0] > when:
            self._clock.advance(when - self._clock.now())
            return
        turn = _closed()
        self._at(when, lambda: self._hand_to(turn))
        self._back.release()
        turn.acquire()

    def play(self) -> None:
        """Run until every program has ended. Raises what a program raised."""
        while self._agenda:
            when, _, action = heapq.heappop(self._agenda)
            self._clock.advance(max(when - self._clock.now(), timedelta()))
            action()
            if self._failure is not None:
                raise self._failure

    def _at(self, when: datetime, action: Callable[[], None]) -> None:
        self._made += 1
        heapq.heappush(self._agenda, (when, self._made, action))

    def _begin(self, program: Program) -> None:
        threading.Thread(target=self._perform, args=(program,), daemon=True).start()
        self._back.acquire()

    def _perform(self, program: Program) -> None:
        try:
            program()
        except BaseException as failure:
            self._failure = failure
        finally:
            self._back.release()

    def _hand_to(self, turn: threading.Lock) -> None:
        turn.release()
        self._back.acquire()
