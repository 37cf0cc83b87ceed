"""Times as RFC 3339 writes them, in UTC: the one form in which they leave the program."""

from __future__ import annotations

from datetime import UTC, datetime


def write_time(at: datetime) -> str:
    """A time in UTC, with as many digits as it has: `2026-01-05T09:00:00Z`."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def read_time(text: str) -> datetime:
    """Read what `write_time` wrote. Raises ValueError for anything without an offset from UTC."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"a time without its offset from UTC: {text!r}")
    return at.astimezone(UTC)
