"""When to look again: soon if something is due, rarely if not."""

from __future__ import annotations

from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.instance import Instance

_SPACING_SHARE = 10
"""A wait is polled every tenth of the time it has taken so far, so a late look adds at most a tenth."""

_SPACING_MAX_POLLS = 6

_NEAR_SHARE = 4
"""After the learned time has passed, looks are closer: every fourth of the time since then…"""

_NEAR_POLLS = 0.5
"""…but never closer than this many polls. While a change is due at any moment, every second counts."""

_SEVERAL, _SEVERAL_POLLS = 3, 0.5
"""If this many instances may be out of service together, looks are shared and this many polls apart…"""

_MANY, _MANY_UNSETTLED_POLLS, _MANY_POLLS, _MANY_SETTLE_POLLS = 5, 0.8, 1, 6
"""…if this many may be, a little further; and further still if the settle time is at least this many polls…"""

_CROWD, _CROWD_POLLS = 20, 1.5
"""…and in a crowd with such a settle time, this many polls."""

LEARNED_SHARE = 0.9
"""The part of the shortest duration seen so far that passes before the first look."""


def next_look(
    began: datetime,
    now: datetime,
    poll: timedelta,
    learned: timedelta | None,
    first: timedelta | None = None,
) -> datetime:
    """When to look next at something that started at `began` and takes about as long as `learned`.

    `first` is how long to wait before the first look if nothing has been learned yet.
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
    """How long there is nothing to see of something that has always taken at least `learned`."""
    return max(learned * LEARNED_SHARE, learned - soon_interval(poll))


def soon_interval(poll: timedelta) -> timedelta:
    """How far apart looks are while a change is due at any moment and a slot waits for it."""
    return poll * _NEAR_POLLS


def apart(poll: timedelta, together: int, settle: timedelta) -> timedelta:
    """How far apart shared looks are if `together` instances may be out of service at once; 0 for no sharing.

    With one or two, each look is taken when it is due. With more, a short wait lets one look serve several instances
    and saves calls; with many, and a settle time that is long compared with the wait, it may be longer.
    """
    if together < _SEVERAL:
        return timedelta(0)
    if together < _MANY:
        return poll * _SEVERAL_POLLS
    if settle < _MANY_SETTLE_POLLS * poll:
        return poll * _MANY_UNSETTLED_POLLS
    return poll * (_CROWD_POLLS if together >= _CROWD else _MANY_POLLS)


def is_crowd(together: int) -> bool:
    """Whether so many instances may be out of service at once that looks serve many of them anyway."""
    return together >= _CROWD


def services_apart(poll: timedelta, together: int, settle: timedelta) -> timedelta:
    """How far apart looks at the services are while instances settle; 0 if each is taken when it is due.

    With many, one look covers several instances, and the next drains start together, after one look at the whole
    cluster. A slot waits half of that on average, so this is used only if the settle time is long in comparison.
    """
    if together < _MANY or settle < _MANY_SETTLE_POLLS * poll:
        return timedelta(0)
    return apart(poll, together, settle)


def shared_look(due: datetime, began: datetime, spacing: timedelta) -> datetime:
    """The first shared look, counted from the start of the run, that is not before `due`."""
    if not spacing:
        return due
    return began - ((began - due) // spacing) * spacing


def is_prompt(instance: Instance, *, crowd: bool = False) -> bool:
    """Whether the next change is due within seconds: a command result, its last task, or the boot that it is back with.

    In a crowd, the last tasks are looked at together with others: a few seconds more for each of many instances saves
    calls.
    """
    claim, progress, answer = instance.claim, instance.progress, instance.check_answer
    if claim is None or progress.sent_return is not None:
        return False
    drain = progress.drain if claim.phase is ClaimPhase.DRAINING else None
    emptied = not crowd and drain is not None and answer is not None and answer.asked_at > drain.at
    return instance.pending is not None or progress.proof is not None or emptied
