"""The summary as text: first a halt, then instances that need a person, then the others.

Instances with the same outcome and reason are listed together, so that it works for 3 and for 500.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from bottlerocket_ecs_updater.core.model.outcome import COUNTED, OutcomeKind
from bottlerocket_ecs_updater.core.model.time_text import measured_text
from bottlerocket_ecs_updater.core.model.wording import and_more
from bottlerocket_ecs_updater.report.analysis.summary import NEEDS_A_PERSON_TEXT, Row, Summary
from bottlerocket_ecs_updater.report.words.colours import PLAIN, Paint
from bottlerocket_ecs_updater.report.words.event_text import version_change
from bottlerocket_ecs_updater.report.words.sanitize import sanitize

WIDTH_MAX = 110
"""The longest line. Longer ones are hard to read, even on a wide terminal."""

WIDTH_MIN = 60
"""On a narrower terminal, lines are not wrapped."""

_INDENT = " " * 20
_NAMED_AT_MOST = {OutcomeKind.QUARANTINED: 500, OutcomeKind.FAILED: 500, OutcomeKind.UPDATED: 100, OutcomeKind.HELD: 40}
_NAMED_AT_MOST_OTHERWISE = 10
"""How many instances of a group are named: all that need a person, and a sample of the others."""

KEEP_CURRENT = "keep the AMI of their launch template current, or their replacements are updated again"

_ALIKE_MAX = 3
"""How many different sentences for one reason are shown. Beyond that, one is shown for all."""


def summary_text(summary: Summary, paint: Paint = PLAIN, width: int = WIDTH_MAX) -> str:
    """The whole summary without the last line, wrapped to a width."""
    fitting = min(max(width, WIDTH_MIN), WIDTH_MAX)
    return "\n".join(_lines(summary, paint, fitting)) + "\n"


def last_line(summary: Summary) -> str:
    """The last line of a run, in a form that is easy to search for."""
    counts = summary.counts
    numbers = " ".join(f"{became.value}={counts[became]}" for became in COUNTED)
    return f"run.finished outcome={summary.outcome.value} {numbers} duration={measured_text(summary.took)}"


def _lines(summary: Summary, paint: Paint, width: int) -> Iterator[str]:
    yield ""
    if summary.why:
        word = "HALTED" if summary.halted else summary.outcome.value.upper()
        yield from _wrapped(paint.bad(word) + "  ", sanitize(summary.why), len(word) + 2, width)
        yield ""
    yield from (paint.strong(line) for line in _wrapped("", headline(summary), 0, width))
    for group in _groups(summary.rows):
        yield ""
        yield from _group(group, paint, width)
    yield from _left(summary, paint, width)
    yield ""


def _left(summary: Summary, paint: Paint, width: int) -> Iterator[str]:
    """Updated instances that are not there any more: their replacements may have to be updated again."""
    if summary.lost:
        names = and_more(list(map(sanitize, summary.lost)))
        yield ""
        yield from _wrapped(f"  {'left since':<18}", f"{names}, after the update", len(_INDENT), width)
        yield from _wrapped(f"{_INDENT}{paint.faint('to do:')} ", KEEP_CURRENT, len(_INDENT) + 7, width)


def headline(summary: Summary) -> str:
    """What happened, in one sentence."""
    counts = summary.counts
    ours = len(summary.rows) - counts[OutcomeKind.NOT_BOTTLEROCKET]
    numbers = [
        f"{counts[became]} {became.words}{_needing(summary.rows) if became is OutcomeKind.HELD else ''}"
        for became in OutcomeKind
        if counts[became] and became is not OutcomeKind.UPDATED
    ]
    where = f" on cluster {sanitize(summary.cluster)}" if summary.cluster else ""
    run = f" (run {sanitize(summary.run)})" if summary.run else ""
    if not summary.rows:
        # It exited early, or could not start, so it knows nothing about instances.
        return f"no instances were checked{where} in {measured_text(summary.took)}{run}"
    first = f"{counts[OutcomeKind.UPDATED]} of {ours} instances updated{where} in {measured_text(summary.took)}{run}"
    return "; ".join([first, ", ".join(numbers)]) if numbers else first


def _needing(rows: Sequence[Row]) -> str:
    number = sum(row.needs_a_person for row in rows)
    return f" ({number} {'needs' if number == 1 else 'need'} a person)" if number else ""


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows with the same text, in the order of the first of each. All rows of a group have the same remedy."""
    alike: dict[tuple[object, ...], list[Row]] = {}
    sentences: dict[tuple[OutcomeKind, str, str], set[str]] = {}
    for row in rows:
        sentences.setdefault((row.became, row.code, row.remedy), set()).add(row.why)
    for row in rows:
        many = row.became is OutcomeKind.HELD and len(sentences[row.became, row.code, row.remedy]) > _ALIKE_MAX
        alike.setdefault((row.became, row.code, row.remedy, row.versions, "" if many else row.why), []).append(row)
    return list(alike.values())


def _group(rows: Sequence[Row], paint: Paint, width: int) -> Iterator[str]:
    first = rows[0]
    label = paint.became(first.became, f"{first.became.words:<18}")
    few = len(rows) <= 3
    names = ", ".join(sanitize(row.instance) for row in rows) if few else f"{len(rows)} instances"
    yield from _wrapped(f"  {label}", names, len(_INDENT), width)
    if len(first.versions) == 2:
        yield from _wrapped(_INDENT, version_change(*first.versions), len(_INDENT), width)
    elif first.versions:
        yield f"{_INDENT}on {first.versions[0]}"
    if first.why:
        example = "for example: " if len({row.why for row in rows}) > 1 else ""
        needs = NEEDS_A_PERSON_TEXT if first.needs_a_person else ""
        yield from _wrapped(_INDENT, f"{first.code}{needs}: {example}{sanitize(first.why)}", len(_INDENT), width)
    if first.remedy and first.became is not OutcomeKind.NOT_BOTTLEROCKET:
        yield from _wrapped(f"{_INDENT}{paint.faint('to do:')} ", sanitize(first.remedy), len(_INDENT) + 7, width)
    if not few:
        yield from _names(rows, width)


def _names(rows: Sequence[Row], width: int) -> Iterator[str]:
    limit = _NAMED_AT_MOST.get(rows[0].became, _NAMED_AT_MOST_OTHERWISE)
    names = " ".join(sanitize(row.instance) for row in rows[:limit])
    more = f" … and {len(rows) - limit} more" if len(rows) > limit else ""
    yield from _wrapped(_INDENT, names + more, len(_INDENT), width)


def _wrapped(before: str, text: str, indent: int, width: int) -> Iterator[str]:
    """`before` and the text, wrapped, with later lines indented.

    `before` may contain colour sequences, which have no width.
    """
    room = max(1, width - indent)
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    yield before + lines[0]
    for line in lines[1:]:
        yield " " * indent + line
