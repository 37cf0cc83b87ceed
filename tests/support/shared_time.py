"""Several writers in virtual time, each in its own thread. One runs at a time, so every run is the same."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta

from tests.support.memory_store import MemoryStore

from bottlerocket_ecs_updater.engine.ports import Stored


class SharedTime:
    """Time that passes when all writers sleep."""

    def __init__(self) -> None:
        self.now = timedelta()
        self._agenda: list[tuple[timedelta, int, threading.Semaphore]] = []
        self._entries = 0
        self._parked = threading.Semaphore(0)
        self._own = threading.local()

    def sleep(self, span: timedelta) -> bool:
        """Let the other writers run until this one is due."""
        self._enter(span, self._own.turn)
        self._parked.release()
        self._own.turn.acquire()
        return True

    def run(self, writers: Iterable[Callable[[], object]]) -> None:
        """Start all writers at once, and return when all have ended."""
        for writer in writers:
            turn = threading.Semaphore(0)
            self._enter(timedelta(), turn)
            threading.Thread(target=self._take_turns, args=(writer, turn), daemon=True).start()
        while self._agenda:
            self.now, _, turn = heapq.heappop(self._agenda)
            turn.release()
            self._parked.acquire()

    def _take_turns(self, writer: Callable[[], object], turn: threading.Semaphore) -> None:
        self._own.turn = turn
        turn.acquire()
        try:
            writer()
        finally:
            self._parked.release()

    def _enter(self, span: timedelta, turn: threading.Semaphore) -> None:
        self._entries += 1
        heapq.heappush(self._agenda, (self.now + span, self._entries, turn))


class DistantStore(MemoryStore):
    """A store whose replies take time."""

    def __init__(self, time: SharedTime, takes: timedelta) -> None:
        super().__init__()
        self._time = time
        self._takes = takes

    def get(self, key: str) -> Stored | None:
        stored = super().get(key)
        self._time.sleep(self._takes)
        return stored

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        self._time.sleep(self._takes)
        return super().put(key, data, expect)
