"""Parses the lease object leniently, so that nothing in the store can block a cluster forever."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from bottlerocket_ecs_updater.core.model.time_text import read_time
from bottlerocket_ecs_updater.engine.ports import Stored
from bottlerocket_ecs_updater.engine.store.read_json import (
    Unreadable,
    number_of,
    read_object,
    shaped,
    text_of,
    whole_of,
)

T = TypeVar("T")
U = TypeVar("U")

UNKNOWN_HOLDER = "unknown (its lease cannot be read)"
HOLDER_MAX_CHARACTERS = 300
"""More than a task ARN or a host name has."""

LONGEST_TERM = timedelta(minutes=15)
"""A rival waits for the holder's term if that is longer than its own, but never longer than this."""


@dataclass(frozen=True, slots=True)
class LeaseNote:
    """The content of the lease object."""

    holder: str
    epoch: int
    since: datetime | None
    term: timedelta
    released: bool


def read_lease(stored: Stored | None) -> LeaseNote | None:
    """Parse the lease object; None if it does not exist.

    Lenient: an unreadable field, or object, counts as held for the longest term. So nothing in the store blocks a
    cluster forever, and a lease that a newer updater renews is not taken over.
    """
    if stored is None:
        return None
    try:
        facts = read_object(stored.data, dict)
    except Unreadable:
        facts = {}
    return LeaseNote(
        holder=_read(facts, "holder", lambda value: text_of(value)[:HOLDER_MAX_CHARACTERS], UNKNOWN_HOLDER),
        epoch=_read(facts, "epoch", lambda value: max(0, whole_of(value)), 0),
        since=_read(facts, "since", lambda value: read_time(text_of(value)), None),
        term=_read(facts, "term_seconds", _term, LONGEST_TERM),
        released=facts.get("released") is True,
    )


def _read(facts: Mapping[str, Any], name: str, shape: Callable[[Any], T], otherwise: U) -> T | U:
    try:
        return shaped(facts.get(name), shape)
    except Unreadable:
        return otherwise


def _term(value: object) -> timedelta:
    seconds = number_of(value)
    return timedelta(seconds=seconds) if 0 < seconds <= LONGEST_TERM.total_seconds() else LONGEST_TERM
