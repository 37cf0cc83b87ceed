"""When to look again: soon when something is due, rarely when not."""

from __future__ import annotations

from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.instance import Instance

_SPACING_SHARE = 10
"""A wait is looked at every tenth of what it has taken so far: at most so much is lost by looking late."""

_SPACING_MAX_POLLS = 6

_NEAR_SHARE = 4
"""Once the time has come that was learned, looks are close: every fourth of what has passed since then…"""

_NEAR_POLLS = 0.5
"""…and never closer than this many polls: while something may come at any moment, every second counts for a host."""

_SEVERAL, _SEVERAL_POLLS = 3, 0.5
"""Of so many that may be out of service together, looks are so many polls apart, and shared…"""

_MANY, _MANY_POLLS, _MANY_SETTLE_POLLS = 5, 1.5, 6
"""…and of so many, where the settle time is so many polls at least."""

LEARNED_SHARE = 0.9
"""How much of the shortest duration seen so far passes at least before the first look."""


def next_look(
    began: datetime,
    now: datetime,
    poll: timedelta,
    learned: timedelta | None,
    first: timedelta | None = None,
) -> datetime:
    """When to look next at something that began then and takes about as long as `learned`.

    `first` is how long to wait before the first look where nothing has been learned yet.
    """
    quiet = quiet_time(learned, poll) if learned is not None else (first or poll)
    waited = now - began
    if waited < quiet:
        return max(began + quiet, now + soon_interval(poll))
    spacing = min(max(poll, waited / _SPACING_SHARE), _SPACING_MAX_POLLS * poll)
    return now + (
        spacing if learned is None else min(spacing, max(soon_interval(poll), (waited - quiet) / _NEAR_SHARE))
    )


def quiet_time(learned: timedelta, poll: timedelta) -> timedelta:
    """How long nothing is to be seen of what took `learned` at the shortest, as far as looks can tell."""
    return max(learned * LEARNED_SHARE, learned - soon_interval(poll))


def soon_interval(poll: timedelta) -> timedelta:
    """How far apart looks are while something may come at any moment, and a place in the budget waits for it."""
    return poll * _NEAR_POLLS


def apart(poll: timedelta, together: int, settle: timedelta) -> timedelta:
    """How far apart looks are that are not to follow at once, where so many may be out of service together.

    With one or two, every look is for one of them, and is taken when it is due. With more, what one waits for a look
    spares calls for all; with many, and a settle time beside which that wait is little, more of them.
    """
    if together < _SEVERAL:
        return timedelta(0)
    return poll * (_MANY_POLLS if together >= _MANY and settle >= _MANY_SETTLE_POLLS * poll else _SEVERAL_POLLS)


def shared_look(due: datetime, began: datetime, spacing: timedelta) -> datetime:
    """The first of the common looks, counted from the beginning of the run, that is not before that moment."""
    if not spacing:
        return due
    return began - ((began - due) // spacing) * spacing


def is_prompt(instance: Instance) -> bool:
    """Whether what is waited for is sure to come within seconds: an answer, or the looks that prove it back."""
    proving = instance.progress.proof_at is not None and instance.progress.return_sent_at is None
    return instance.claim is not None and (instance.pending is not None or proving)
