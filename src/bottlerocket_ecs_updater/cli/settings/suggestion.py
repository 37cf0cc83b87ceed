"""Suggests the name that a person may have meant, for an unknown setting or flag."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

SIMILAR = 0.7
"""How similar an unknown name must be to a known one to be suggested as it (0 to 1)."""


def nearest_name(unknown: str, known: Iterable[str]) -> str:
    """The known name that is most like it; empty if none is similar."""
    return next(iter(get_close_matches(unknown, sorted(known), n=1, cutoff=SIMILAR)), "")
