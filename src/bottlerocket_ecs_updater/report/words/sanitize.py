"""Makes untrusted text safe to show: hosts, tasks and repositories choose parts of it."""

from __future__ import annotations

SHOWN_MAX_CHARACTERS = 1000
"""The most characters of one text. It is more than any of our sentences; Run Command keeps the whole output."""


def sanitize(text: str, limit: int = SHOWN_MAX_CHARACTERS) -> str:
    """The text on one line, with every control, directional or invisible character written as its escape."""
    cut = text[:limit]
    shown = cut if cut.isprintable() else "".join(map(_escaped, cut))
    return shown if len(text) <= limit else f"{shown}… ({len(text) - limit} more characters)"


def _escaped(character: str) -> str:
    # Not printable, by Unicode: controls, directions, line ends, surrogates, and every space but the ordinary one.
    return character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
