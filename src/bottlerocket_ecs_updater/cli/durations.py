"""Durations as people write them: `300ms`, `30s`, `25m`, `1h30m`, `7d`."""

from __future__ import annotations

import re
from datetime import timedelta

from bottlerocket_ecs_updater.core.span import parse_span

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}


def parse_duration(text: str) -> timedelta:
    """Read a duration: whole numbers with units, the largest first, each at most once.

    Raises ValueError with what is wrong, in words that follow a setting's name.
    """
    if re.fullmatch(r"[0-9]+", text):
        raise ValueError(f"a number needs a unit, as in {text}s")
    try:
        return parse_span(text)
    except ValueError:
        raise ValueError("that is no duration") from None


def format_duration(span: timedelta) -> str:
    """Write a duration as `parse_duration` reads it; what is less than a millisecond is dropped."""
    rest = max(span, timedelta())
    parts = []
    for unit, size in _UNITS.items():
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
