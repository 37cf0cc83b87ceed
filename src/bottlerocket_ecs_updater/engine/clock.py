"""The system clock: the only place that reads the time or sleeps."""

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
    """Real time. For an accelerated simulation: `scale` seconds for each real second since `origin`.

    It never goes back: if the system clock is set back, it continues from the last time. A run orders events by this
    clock, and must not mistake an answer from before an act for one from after it.

    Runs with the same scale and origin agree on the time, so each can interpret the other's claims. Without an origin,
    scaled time starts when the clock is first read.
    """

    scale: float = 1.0
    origin: datetime | None = None
    interrupted: threading.Event = field(default_factory=threading.Event)
    """Set by a signal handler. From then on, every wait ends immediately."""
    wall: Callable[[], datetime] = _wall
    _last: datetime | None = None
    _set_back_by: timedelta = timedelta(0)

    def now(self) -> datetime:
        """The current time in UTC, timezone-aware."""
        real = self.wall() + self._set_back_by
        if self._last is not None and real < self._last:
            self._set_back_by += self._last - real
            real = self._last
        self._last = real
        if self.origin is None and self.scale != 1:
            self.origin = real
        return real if self.origin is None else self.origin + (real - self.origin) * self.scale

    def monotonic(self) -> float:
        """Seconds that never go back, in the same scale."""
        return time.monotonic() * self.scale

    def sleep(self, span: timedelta) -> bool:
        """Sleep. Returns False if a signal interrupted it."""
        return not self.interrupted.wait(max(0.0, span.total_seconds()) / self.scale)
