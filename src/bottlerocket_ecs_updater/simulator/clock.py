"""Time in the simulated world: virtual for tests, or real time at any speed.

Everything that happens later is an event on the clock. Nothing else in the simulator keeps time.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

Action = Callable[[], None]

DEFAULT_START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class Timer:
    """An action that runs once at its time, unless it is cancelled first."""

    __slots__ = ("_action", "when")

    def __init__(self, when: datetime, action: Action) -> None:
        self.when = when
        self._action: Action | None = action

    def cancel(self) -> None:
        """Cancel the action. Does nothing if it already ran."""
        self._action = None

    @property
    def pending(self) -> bool:
        """Whether the action is still to come."""
        return self._action is not None

    def fire(self) -> None:
        """Run the action, the first time only."""
        action, self._action = self._action, None
        if action is not None:
            action()


class WorldClock(Protocol):
    """The world's time. Hold `lock` to access the world."""

    lock: threading.RLock

    def now(self) -> datetime:
        """The time in the world, timezone-aware, UTC."""
        ...

    def after(self, delay: timedelta, action: Action) -> Timer:
        """Run `action` once, `delay` from now, under `lock`."""
        ...

    def sleep(self, delay: timedelta) -> None:
        """Let `delay` of the world's time pass. Never called by an action."""
        ...

    def pump(self) -> None:
        """Run what is due, so that the caller sees an up-to-date world."""
        ...


class _Agenda:
    """Timers ordered by time, then by creation."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, Timer]] = []
        self._made = 0

    def add(self, timer: Timer) -> None:
        self._made += 1
        heapq.heappush(self._heap, (timer.when, self._made, timer))

    def next_time(self) -> datetime | None:
        """When the next timer is due; None if none is left."""
        while self._heap and not self._heap[0][2].pending:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, until: datetime) -> Timer | None:
        """Remove and return the next timer due at or before `until`."""
        due = self.next_time()
        if due is None or due > until:
            return None
        return heapq.heappop(self._heap)[2]


class VirtualClock:
    """Time that passes only in `sleep`: single-threaded, repeatable, and as fast as the events run."""

    def __init__(self, start: datetime = DEFAULT_START) -> None:
        self.lock = threading.RLock()
        self._now = start
        self._agenda = _Agenda()
        self._running = False

    def now(self) -> datetime:
        return self._now

    def after(self, delay: timedelta, action: Action) -> Timer:
        timer = Timer(self._now + max(delay, timedelta()), action)
        self._agenda.add(timer)
        return timer

    def sleep(self, delay: timedelta) -> None:
        self.advance(delay)

    def advance(self, delta: timedelta) -> None:
        """Move forward by `delta`, and run each event on the way at its own time."""
        self._run_until(self._now + delta)

    def pump(self) -> None:
        if not self._running:
            self._run_until(self._now)

    def next_time(self) -> datetime | None:
        """When the next event is due; None if nothing more will happen by itself."""
        return self._agenda.next_time()

    def _run_until(self, end: datetime) -> None:
        if self._running:
            raise RuntimeError("an action may not let time pass")
        self._running = True
        try:
            while (timer := self._agenda.take_due(end)) is not None:
                self._now = max(self._now, timer.when)
                timer.fire()
            self._now = max(self._now, end)
        finally:
            self._running = False


class ScaledClock:
    """Real time, `speed` times as fast. Events run on a daemon thread, or in the next call of `pump`.

    While an event runs, `now()` returns the event's scheduled time: on a busy machine events are late in real time,
    but simulated durations stay exact.
    """

    def __init__(self, speed: float = 1.0, start: datetime | None = None) -> None:
        if speed <= 0:
            raise ValueError(f"the speed of a clock must be above 0, not {speed}")
        self.speed = speed
        self.lock = threading.RLock()
        self._wake = threading.Condition(self.lock)
        self._agenda = _Agenda()
        self._start = start or datetime.now(UTC)  # noqa: TID251 - the one place that asks
        self._monotonic_start = time.monotonic()
        self._event_time: datetime | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def now(self) -> datetime:
        with self.lock:
            return self._event_time or self._wall()

    def after(self, delay: timedelta, action: Action) -> Timer:
        with self.lock:
            timer = Timer(self.now() + max(delay, timedelta()), action)
            self._agenda.add(timer)
            self._wake.notify_all()
            return timer

    def sleep(self, delay: timedelta) -> None:
        self._stopping.wait(max(delay.total_seconds(), 0.0) / self.speed)

    def pump(self) -> None:
        with self.lock:
            if self._event_time is not None:
                return
            try:
                while (timer := self._agenda.take_due(self._wall())) is not None:
                    self._event_time = timer.when
                    timer.fire()
            finally:
                self._event_time = None

    def start(self) -> None:
        """Start a daemon thread that runs events."""
        if self._thread is not None:
            raise RuntimeError("the clock runs already")
        self._stopping.clear()
        self._thread = threading.Thread(target=self._keep_pumping, name="simulated-clock", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop running events, and end every `sleep`. Returns after the thread has ended."""
        self._stopping.set()
        with self.lock:
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _wall(self) -> datetime:
        return self._start + timedelta(seconds=(time.monotonic() - self._monotonic_start) * self.speed)

    def _keep_pumping(self) -> None:
        with self.lock:
            while not self._stopping.is_set():
                self.pump()
                due = self._agenda.next_time()
                wait = None if due is None else (due - self._wall()).total_seconds() / self.speed
                if wait is None or wait > 0:
                    self._wake.wait(wait)
