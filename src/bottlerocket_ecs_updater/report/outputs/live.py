"""Progress in a terminal: the log scrolls, and below it are counts, the likely end and the instances in progress.

It uses basic control sequences that every terminal knows; rich is slow to import. Everything is written at once, so
that nothing flickers. The block disappears when the run ends.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Protocol, TextIO

from bottlerocket_ecs_updater.core.model.event import Event
from bottlerocket_ecs_updater.core.model.outcome import OutcomeKind
from bottlerocket_ecs_updater.core.model.time_text import measured_text
from bottlerocket_ecs_updater.engine.ports import Recorder
from bottlerocket_ecs_updater.report.analysis.progress import InProgress, Progress
from bottlerocket_ecs_updater.report.words.colours import Paint
from bottlerocket_ecs_updater.report.words.sanitize import sanitize

ROWS_MAX = 20
"""The most instances that are shown."""

ROWS_SHARE = 3
"""The block takes at most one part in this many of the terminal's height, so that the log stays readable."""


class Size(Protocol):
    """The size of a terminal, as from `shutil`."""

    @property
    def columns(self) -> int: ...
    @property
    def lines(self) -> int: ...


class Live:
    """A log on a terminal, with the progress of the run below it."""

    def __init__(
        self, stream: TextIO, log: Callable[[TextIO], Recorder], size: Callable[[], Size], paint: Paint
    ) -> None:
        self._stream = stream
        self._said = io.StringIO()
        self._log = log(self._said)
        self._size = size
        self._paint = paint
        self._progress = Progress()
        self._block: list[str] = []

    def record(self, event: Event) -> None:
        self._log.record(event)
        self._progress.note(event)
        self._show(event.at)

    def tick(self, now: datetime) -> None:
        """Update the durations."""
        self._show(now)

    def say(self, line: str) -> None:
        """Print a line that is not an event above the block."""
        self._write(f"{line}\n", self._block)

    def close(self) -> None:
        """Remove the block."""
        self._progress.finished = True
        self._write("", [])

    def _show(self, now: datetime) -> None:
        said = self._said.getvalue()
        self._said.seek(0)
        self._said.truncate()
        size = self._size()
        shown = [] if self._progress.finished else list(self._lines(now, size.columns, size.lines))
        if said or shown != self._block:
            self._write(said, shown)

    def _write(self, said: str, block: list[str]) -> None:
        # Go to the first column first, because the terminal may have echoed ^C at the cursor.
        erased = f"\r\x1b[{len(self._block)}A\x1b[J" if self._block else ""
        self._stream.write(erased + said + "".join(f"{line}\n" for line in block))
        self._stream.flush()
        self._block = block

    def _lines(self, now: datetime, columns: int, lines: int) -> Iterator[str]:
        progress = self._progress
        if progress.began is None:
            return
        yield self._paint.faint("─" * min(columns - 1, 100))
        counts, forecast = self._counts(now), self._forecast(now)
        both = f"{counts}; {forecast}" if forecast else counts
        for line in [both] if len(both) < columns else filter(None, (counts, forecast)):
            yield self._paint.strong(_cut(line, columns))
        if progress.halted:
            yield self._paint.bad(_cut(f"HALTED: {sanitize(progress.halted)}", columns))
        elif progress.stopping:
            yield self._paint.bad(_cut(f"stopping: {sanitize(progress.stopping)}", columns))
        elif progress.paused:
            yield self._paint.bad(_cut(f"PAUSED {sanitize(progress.paused)}", columns))
        if progress.waiting:
            yield self._paint.bad(_cut(f"waiting for {sanitize(progress.waiting)}", columns))
        room = max(1, min(ROWS_MAX, lines // ROWS_SHARE))
        rows = list(progress.in_progress.items())
        shown = rows if len(rows) <= room else rows[: room - 1]
        for instance, one in shown:
            yield self._row(instance, one, now, columns)
        if len(rows) > len(shown):
            yield self._paint.faint(_cut(f"  … and {len(rows) - len(shown)} more in progress", columns))

    def _counts(self, now: datetime) -> str:
        progress = self._progress
        counts = [
            f"{progress.count(became)} {became.words}"
            for became in (OutcomeKind.UPDATED, OutcomeKind.FAILED, OutcomeKind.QUARANTINED)
            if progress.count(became) or became is OutcomeKind.UPDATED
        ]
        ours = progress.bottlerocket or len(progress.phases)
        shown = [f"{sanitize(progress.cluster)}: {ours} instances", *counts, f"{progress.to_come} to come"]
        began = progress.began or now
        return ", ".join([*shown, f"after {measured_text(now - began)}"])

    def _forecast(self, now: datetime) -> str:
        ends = self._progress.ends_at(now)
        if ends is None or ends <= now:
            return ""
        return f"expected to end at {ends.astimezone(UTC):%H:%M}Z, in {measured_text(ends - now)}"

    def _row(self, instance: str, one: InProgress, now: datetime, columns: int) -> str:
        quarantined = instance in self._progress.quarantined
        phase = "quarantined" if quarantined else sanitize(one.phase)
        since = measured_text(max(now - one.since, now - now))
        text = f"  {sanitize(instance):<19}  {phase:<11}  {since:>7}  {one.change}"
        line = _cut(text, columns)
        return self._paint.bad(line) if quarantined else line


def _cut(text: str, columns: int) -> str:
    """Cut a line so that the terminal does not wrap it. Otherwise the block would be taller than counted."""
    return text if len(text) < columns else text[: max(1, columns - 2)] + "…"
