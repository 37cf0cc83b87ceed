"""Reports waits for something external when they start, so that people see why nothing happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Wait:
    """What the program waits for, since when, and the latest time at which the wait ends."""

    what: str
    since: datetime
    until: datetime | None
    """None if unknown."""


def ignore(_: Wait) -> None:
    """Do not show waits."""


class Waits:
    """Passes waits on to `listener`."""

    def __init__(self, listener: Callable[[Wait], None] = ignore) -> None:
        self.listener = listener

    def begin(self, what: str, since: datetime, until: datetime | None) -> None:
        """Report that a wait starts."""
        self.listener(Wait(what, since, until))
