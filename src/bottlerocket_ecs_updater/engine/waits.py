"""Waits for something outside the program, told when they begin: nobody should have to guess why nothing happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Wait:
    """What is waited for, since when, and until when at most."""

    what: str
    since: datetime
    until: datetime | None
    """None where nobody can tell."""


def untold(_: Wait) -> None:
    """Tell nobody."""


class Waits:
    """Where waits are told. Whoever watches sets `listener`."""

    def __init__(self, listener: Callable[[Wait], None] = untold) -> None:
        self.listener = listener

    def begin(self, what: str, since: datetime, until: datetime | None) -> None:
        """Say that a wait begins."""
        self.listener(Wait(what, since, until))
