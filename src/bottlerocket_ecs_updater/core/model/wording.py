"""Numbers and names in sentences: `1 task`, `3 tasks`, `a, b and 4 more`."""

from __future__ import annotations

from collections.abc import Sequence

NAMED_AT_MOST = 3
"""How many names a sentence has."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 task`, `3 tasks`. The plural is given if it is not the noun with an `s`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def and_more(names: Sequence[str], most: int = NAMED_AT_MOST, between: str = ", ") -> str:
    """The first `most` of the names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more
