"""Times as RFC 3339 writes them, in UTC: the one form in which they leave the program."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""No run was, or is noted, at any other time; and whatever is added to such a time is a time, too."""

LONGEST = timedelta(days=36525)
"""No span that is noted is longer, and no sum of such spans is too long."""


def write_time(at: datetime) -> str:
    """A time in UTC, with as many digits as it has: `2026-01-05T09:00:00Z`."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def read_time(text: str) -> datetime:
    """Read what `write_time` wrote. Raises ValueError for anything without an offset from UTC, or out of all bounds."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"a time without its offset from UTC: {text!r}")
    # Compared before it is turned into UTC: the first and the last hours of all time have no other one.
    if not EARLIEST <= at <= LATEST:
        raise ValueError(f"a time that no clock shows: {text!r}")
    return at.astimezone(UTC)


def read_span(seconds: float) -> timedelta:
    """Seconds as a span. Raises ValueError for one that is out of all bounds."""
    if not -LONGEST.total_seconds() <= seconds <= LONGEST.total_seconds():
        raise ValueError(f"a span that nothing takes: {seconds} s")
    return timedelta(seconds=seconds)
