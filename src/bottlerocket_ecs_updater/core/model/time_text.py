"""Durations and times as text: `1h30m`, `2026-12-20 02:00 UTC`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

_SPAN = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,7})s)?(?:(\d{1,9})ms)?", re.ASCII)

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}


def parse_duration(text: str) -> timedelta:
    """Read `4h`, `1h30m`, `7d`, `300ms`, largest unit first. Raises ValueError for anything else."""
    if text.isascii() and text.isdigit():
        raise ValueError(f"a number needs a unit, as in {text[:60]}s")
    match = _SPAN.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"not a duration: {text[:60]!r}; write it as 90s, 25m, 4h, 1h30m or 7d")
    return sum(
        (int(number or 0) * unit for number, unit in zip(match.groups(), _UNITS.values(), strict=True)), timedelta()
    )


def time_text(at: datetime) -> str:
    """A time to the minute, in UTC, so that all readers of a log see the same clock."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def since_text(at: datetime | None) -> str:
    """Since when, in parentheses and after a space, for the end of a sentence; empty if that is not known."""
    return f" (since {time_text(at)})" if at is not None else ""


def since_fact(at: datetime | None) -> Mapping[str, str]:
    """The fact of a hold that says since when its reason exists; none if that is not known."""
    return {"since": time_text(at)} if at is not None else {}


def has_passed(since: datetime, limit: timedelta, now: datetime) -> bool:
    """Whether a limit that runs from `since` is over."""
    return now - since >= limit


def duration_text(span: timedelta) -> str:
    """A duration as `parse_duration` reads it: `25m`, `1h30m`, `7d`. Fractions of a millisecond are dropped."""
    rest = max(span, timedelta())
    parts = []
    for name, unit in _UNITS.items():
        number, rest = divmod(rest, unit)
        if number:
            parts.append(f"{number}{name}")
    return "".join(parts) or "0s"


def measured_text(span: timedelta) -> str:
    """A measured duration as text, rounded to seconds if it is at least one second long."""
    return duration_text(timedelta(seconds=round(span.total_seconds())) if span >= timedelta(seconds=1) else span)


DAY = timedelta(days=1)

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Times outside this range are invalid. Any limit added to a time inside it is still a valid `datetime`."""


LONGEST_DURATION = timedelta(days=36525)
"""The longest duration that is stored. A sum of several of them still fits a `timedelta`."""


def write_time(at: datetime) -> str:
    """A time in UTC at full precision: `2026-01-05T09:00:00Z`."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def read_time(text: str) -> datetime:
    """Read what `write_time` wrote. Raises ValueError if the offset from UTC is missing or the time is out of range."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"a time without its offset from UTC: {text!r}")
    # Compare before converting to UTC: the first and last hours that `datetime` can hold cannot be converted.
    if not EARLIEST <= at <= LATEST:
        raise ValueError(f"a time out of range: {text!r}")
    return at.astimezone(UTC)


def read_span(seconds: float) -> timedelta:
    """Seconds as a duration. Raises ValueError if it is out of range."""
    if not -LONGEST_DURATION.total_seconds() <= seconds <= LONGEST_DURATION.total_seconds():
        raise ValueError(f"a duration out of range: {seconds} s")
    return timedelta(seconds=seconds)


DAY_SECONDS = 24 * 3600


def rough_text(length: timedelta) -> str:
    """A duration for people: to seconds below an hour, to minutes below a day, else to hours, such as `2d3h`."""
    seconds = round(length.total_seconds())
    if seconds >= DAY_SECONDS:
        days, hours = divmod(round(seconds / 3600), 24)
        return f"{days}d{hours}h" if hours else f"{days}d"
    return duration_text(timedelta(seconds=seconds if seconds < 3600 else round(seconds / 60) * 60))
