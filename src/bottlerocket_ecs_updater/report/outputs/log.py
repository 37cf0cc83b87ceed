"""The log: one line for each event, as JSON or as sentences, with the summary of the run at the end.

structlog and rich are not used: each takes longer to import than everything else, and events are structured already.
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Callable
from typing import Literal, TextIO

from bottlerocket_ecs_updater.core.model.event import Event, InstanceEvent, InstanceUpdated, Returned, RunFinished
from bottlerocket_ecs_updater.core.model.outcome import OutcomeKind
from bottlerocket_ecs_updater.core.model.time_text import write_time
from bottlerocket_ecs_updater.engine.ports import Recorder
from bottlerocket_ecs_updater.report.analysis.summary import Row, Summary, summarize
from bottlerocket_ecs_updater.report.outputs.summary_text import WIDTH_MAX, last_line, summary_text
from bottlerocket_ecs_updater.report.record.recorders import Collected
from bottlerocket_ecs_updater.report.words.colours import Paint
from bottlerocket_ecs_updater.report.words.event_fields import Field, event_fields
from bottlerocket_ecs_updater.report.words.event_text import event_text
from bottlerocket_ecs_updater.report.words.sanitize import sanitize
from bottlerocket_ecs_updater.report.words.severity import Level, level_of

NAMED_IN_LAST_LINE = 50
"""How many instances that need a person are in the last JSON line. CloudWatch Logs limits the size of an event."""

LAST_LINE_REASON_MAX_CHARACTERS = 300
"""Characters of the reason and the remedy of each. The same facts go to EventBridge, which takes 256 KB."""

_INSTANCE_WIDTH = 19
"""The length of an EC2 instance id since 2016."""

_INDENT = " " * (len("09:24:11Z") + 2 + _INSTANCE_WIDTH + 2)
"""The indentation of sentences about an instance."""

SAME_MAX = 5
"""How many equal lines in a row a terminal shows. The others are counted."""

ROOM_MIN = 30
"""The minimum width of a sentence next to its instance. On a narrower terminal it is not indented."""

LogForm = Literal["auto", "json", "text"]


def log_to(
    stream: TextIO,
    *,
    run: str,
    cluster: str,
    form: LogForm = "auto",
    level: Level = Level.INFO,
    colour: bool | None = None,
    width: Callable[[], int] | None = None,
) -> Recorder:
    """The log on a stream.

    `auto` writes sentences to a terminal, and JSON lines elsewhere. `colour` None means colours on a terminal only.
    `width` returns the terminal's width in columns.
    """
    terminal = stream.isatty()
    if form == "json" or (form == "auto" and not terminal):
        return JsonLog(stream, run=run, cluster=cluster, level=level)
    paint = Paint(terminal if colour is None else colour)
    return TextLog(
        stream, run=run, cluster=cluster, level=level, paint=paint, width=width if terminal and width else unbounded
    )


def unbounded() -> int:
    """The width of a stream that is not a terminal: lines are never wrapped."""
    return 0


class JsonLog:
    """One JSON object on each line: `time`, `level`, `event`, `run`, `cluster`, and the facts of the event."""

    def __init__(self, stream: TextIO, *, run: str, cluster: str, level: Level = Level.INFO) -> None:
        self._stream = stream
        self._level = level
        self._about: dict[str, Field] = {"run": run, "cluster": cluster}
        self._past = Collected()

    def record(self, event: Event) -> None:
        self._past.record(event)
        level = level_of(event)
        if isinstance(event, RunFinished):
            facts = last_facts(summarize(self._past.events))
        elif level >= self._level:
            facts = event_fields(event)
        else:
            return
        head: dict[str, Field] = {"time": write_time(event.at), "level": level.word, "event": event.name}
        # ASCII only, so that no reader has to guess the encoding, and a terminal interprets nothing in it.
        self._stream.write(json.dumps({**head, **self._about, **facts}, separators=(",", ":")) + "\n")
        self._stream.flush()


def last_facts(summary: Summary) -> dict[str, Field]:
    """The last line of a run as fields. It names the instances that need a person."""
    urgent = [row for row in summary.rows if row.became in (OutcomeKind.QUARANTINED, OutcomeKind.FAILED)]
    held = Counter(row.code for row in summary.rows if row.became is OutcomeKind.HELD)
    return {
        "outcome": summary.outcome.value,
        "exit_code": summary.exit_code,
        "why": sanitize(summary.why),
        **{became.value: count for became, count in summary.counts.items()},
        "duration_seconds": summary.took.total_seconds(),
        "held_by_reason": dict(held),
        "reboots": dict(summary.reboots),
        "throttles": summary.throttles,
        "calls": dict(summary.calls),
        # Last, because CloudWatch Logs Insights finds only the first 200 fields of a line.
        "needs_a_person": [_row(row) for row in urgent[:NAMED_IN_LAST_LINE]],
    }


def _row(row: Row) -> Field:
    return {
        "instance": sanitize(row.instance),
        "became": row.became.value,
        "failure": row.code,
        "why": sanitize(row.why, LAST_LINE_REASON_MAX_CHARACTERS),
        "to_do": sanitize(row.remedy, LAST_LINE_REASON_MAX_CHARACTERS),
    }


class TextLog:
    """One sentence on each line, for a person who watches. The summary and the last line follow at the end."""

    def __init__(
        self,
        stream: TextIO,
        *,
        run: str,
        cluster: str,
        level: Level,
        paint: Paint,
        width: Callable[[], int] = unbounded,
    ) -> None:
        self._stream = stream
        self._level = level
        self._paint = paint
        self._width = width
        self._past = Collected()
        self._run, self._cluster = run, cluster
        self._said, self._times = "", 0
        """The last sentence, and of how many instances it was said one after the other."""

    def record(self, event: Event) -> None:
        self._past.record(event)
        level = level_of(event)
        if isinstance(event, RunFinished):
            self._count_the_rest()
            summary = summarize(self._past.events)
            text = summary_text(summary, self._paint, self._width() or WIDTH_MAX)
            self._stream.write(f"{text}{last_line(summary)}\n")
        elif level >= self._level:
            self._show(event, level)
        self._stream.flush()

    def _show(self, event: Event, level: Level) -> None:
        said = sanitize(event_text(event))
        if said != self._said or not self._folds(event):
            self._count_the_rest()
            self._said = said
        self._times += 1
        if self._times <= SAME_MAX or not self._folds(event):
            self._stream.write(self._line(event, level, said) + "\n")

    def _folds(self, event: Event) -> bool:
        """Whether to fold equal lines: on a terminal, without `--verbose`."""
        return self._width() > 0 and self._level > Level.DEBUG and isinstance(event, InstanceEvent)

    def _count_the_rest(self) -> None:
        left = self._times - SAME_MAX
        if left > 0 and self._width() > 0 and self._level > Level.DEBUG:
            self._stream.write(f"{_INDENT}{self._paint.faint(f'… and the same of {left} more')}\n")
        self._said, self._times = "", 0

    def _line(self, event: Event, level: Level, said: str) -> str:
        time = self._paint.faint(f"{write_time(event.at)[11:19]}Z")
        who = sanitize(event.instance) if isinstance(event, InstanceEvent) else ""
        good = isinstance(event, InstanceUpdated | Returned)
        first, *more = (
            self._paint.good(line) if good else self._paint.level(level, line) for line in self._fitting(said)
        )
        return "\n".join(
            [f"{time}  {who:<{_INSTANCE_WIDTH}}  {first}".rstrip(), *(f"{_INDENT}{line}" for line in more)]
        )

    def _fitting(self, said: str) -> list[str]:
        """Wrap between words. A long word stays whole, so that it can be copied."""
        room = self._width() - len(_INDENT)
        if room < ROOM_MIN:
            return [said]
        return textwrap.wrap(said, room, break_long_words=False, break_on_hyphens=False) or [""]
