"""What the object of a lease says, read leniently: nothing in the store may block a cluster for ever."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bottlerocket_ecs_updater.engine.ports import Stored

LONGEST_TERM = timedelta(minutes=15)
"""A rival waits for the holder's term where that is the longer one; no text in the store makes it wait longer."""


@dataclass(frozen=True, slots=True)
class LeaseNote:
    """What the object in the store says."""

    holder: str
    epoch: int
    since: datetime | None
    term: timedelta
    released: bool


def read_lease(stored: Stored | None) -> LeaseNote | None:
    """What the object says, None when there is none.

    Lenient: whatever cannot be read, even the whole object, counts as held for the longest term, so that
    nothing in the store blocks a cluster for ever, and nothing that a newer updater renews is taken from it.
    """
    if stored is None:
        return None
    try:
        value = json.loads(stored.data)
    except ValueError:
        value = None
    facts: dict[str, Any] = value if isinstance(value, dict) else {}
    return LeaseNote(
        holder=str(facts.get("holder", "somebody whose lease cannot be read")),
        epoch=epoch if isinstance(epoch := facts.get("epoch"), int) else 0,
        since=_time(facts.get("since")),
        term=_term(facts.get("term_seconds")),
        released=facts.get("released") is True,
    )


def _time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def _term(value: object) -> timedelta:
    if isinstance(value, int | float) and 0 < value <= LONGEST_TERM.total_seconds():
        return timedelta(seconds=value)
    return LONGEST_TERM
