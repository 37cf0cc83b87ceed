"""Spans and moments as people write and read them: `1h30m`, `2026-12-20 02:00 UTC`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_SPAN = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,7})s)?(?:(\d{1,9})ms)?")


def parse_span(text: str) -> timedelta:
    """Read `4h`, `1h30m`, `7d`, `300ms`, largest unit first. Raises ValueError for anything else."""
    match = _SPAN.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"not a duration: {text[:60]!r}; write it as 90s, 25m, 4h, 1h30m or 7d")
    days, hours, minutes, seconds, milliseconds = (int(group or 0) for group in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)


def spell_moment(at: datetime) -> str:
    """A moment to the minute, in UTC: the one clock that all readers of a log share."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
