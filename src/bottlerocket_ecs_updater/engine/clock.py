"""The machine's clock: the one place that asks for the time and that waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


def _wall() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - this is the clock


@dataclass(slots=True)
class SystemClock:
    """Real time; or, for a simulated world at speed, `scale` seconds for each real one since `origin`.

    It never goes back: where the machine's clock is set back, it goes on from where it was. A run orders what it saw
    by its own time, and must not take an answer of before an act for one of after it.

    Runs that are given the same scale and origin agree on the time, so that a claim of one makes sense to another.
    Where only the scale is given, time runs at that speed from the first look at the clock on.
    """

    scale: float = 1.0
    origin: datetime | None = None
    interrupted: threading.Event = field(default_factory=threading.Event)
    """Set by a signal handler: every wait ends at once, from then on."""
    wall: Callable[[], datetime] = _wall
    _last: datetime | None = None
    _set_back_by: timedelta = timedelta(0)

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        real = self.wall() + self._set_back_by
        if self._last is not None and real < self._last:
            self._set_back_by += self._last - real
            real = self._last
        self._last = real
        if self.origin is None and self.scale != 1:
            self.origin = real
        return real if self.origin is None else self.origin + (real - self.origin) * self.scale

    def monotonic(self) -> float:
        """Seconds that never go backwards, in the same scale."""
        return time.monotonic() * self.scale

    def sleep(self, span: timedelta) -> bool:
        """Wait. False when a signal cut it short."""
        return not self.interrupted.wait(max(0.0, span.total_seconds()) / self.scale)
