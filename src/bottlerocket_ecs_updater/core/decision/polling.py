"""When to look again: soon when something is due, rarely when not."""

from __future__ import annotations

from datetime import datetime, timedelta

_SPACING_SHARE = 10
"""A wait is looked at every tenth of what it has taken so far: at most so much is lost by looking late."""

_SPACING_MAX_POLLS = 6

_NEAR_SHARE = 4
"""Once the time has come that was learned, looks are close: every fourth of what has passed since then…"""

_NEAR_POLLS = 1.0
"""…and never closer than this many polls."""

_SHARED_BY = 10
"""Of so few drains at a time, each ends at a time of its own, and closer looks would only split what they share."""

LEARNED_SHARE = 0.9
"""How much of the shortest duration seen so far passes before the first look."""


def next_look(
    began: datetime,
    now: datetime,
    poll: timedelta,
    learned: timedelta | None,
    first: timedelta | None = None,
    *,
    closest: timedelta | None = None,
) -> datetime:
    """When to look next at something that began then and takes about as long as `learned`.

    `first` is how long to wait before the first look where nothing has been learned yet, `closest` how close looks
    may be once the time has come that was learned, where that is not a poll.
    """
    quiet = learned * LEARNED_SHARE if learned is not None else (first or poll)
    waited = now - began
    if waited < quiet:
        return max(began + quiet, now + near(poll))
    spacing = min(max(poll, waited / _SPACING_SHARE), _SPACING_MAX_POLLS * poll)
    return now + (
        spacing if learned is None else min(spacing, max(closest or near(poll), (waited - quiet) / _NEAR_SHARE))
    )


def near(poll: timedelta) -> timedelta:
    """How far apart looks are while something may come at any moment, and a place in the budget waits for it."""
    return poll * _NEAR_POLLS


def shared(poll: timedelta, many: int) -> timedelta:
    """How far apart looks are that so many instances share: with enough of them a look costs each next to nothing."""
    return near(poll) / 2 if many >= _SHARED_BY else near(poll)
