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

_QUIET_MAX_POLLS = 24
"""A longer wait is cut into pieces of so many polls: something may happen that was not expected."""

_SEVERAL = 3
"""If this many instances may be out of service together, looks are shared."""

_MANY, _LONG_SETTLE_POLLS = 5, 6
"""If this many may be, and the settle time is at least this many polls, looks at the services are shared too."""

_CROWD = 20
"""From this many instances on, looks serve many of them anyway."""

_TOGETHER_POLLS, _TOGETHER_FEW_POLLS, _TOGETHER_SETTLING_POLLS = 3, 4, 6
"""So many polls a free slot waits for others that are about to be free; the second with few slots, the third if hosts
settle for long."""

FIRST_ANSWERS_SHARE = 0.8
"""The part of a poll after which the first answers of many hosts are read. What was read before the checks were sent is
then still recent enough for a drain."""

LEARNED_SHARE = 0.9
"""The part of the usual duration that passes before the first look."""


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
    # It began with a call, a little after the look from which this one was promised. So this one may be a little early.
    if waited + soon_interval(poll) < quiet:
        return min(began + quiet, now + _QUIET_MAX_POLLS * poll)
    spacing = min(max(poll, waited / _SPACING_SHARE), _SPACING_MAX_POLLS * poll)
    return now + (
        spacing if learned is None else min(spacing, max(soon_interval(poll), (waited - quiet) / _NEAR_SHARE))
    )


def quiet_time(learned: timedelta, poll: timedelta) -> timedelta:
    """How long not to look at something that usually takes `learned`."""
    return max(learned * LEARNED_SHARE, learned - soon_interval(poll))


EARLIER_UNDOUBTED, EARLIER_DOUBLED_MAX = 3, 4
"""Up to so many first looks in time in a row, the next is earlier by one step. Each further one doubles the step, up to
so many times."""

FIRST_SHARE, EARLIER_SHARE = 2, 10
"""The next first look is earlier by poll / FIRST_SHARE after one duration, and by poll / EARLIER_SHARE after a look in
time."""

LATER_SHARE, LATER_MAX_SHARE = 1.5, 2
"""After a first look that was too early, the next is later by the remaining time / LATER_SHARE, and at most by
poll / LATER_MAX_SHARE: a host that takes far longer does not predict others."""


def learned_from(took: timedelta, learned: timedelta | None, poll: timedelta, *, in_time: int) -> timedelta:
    """How long something usually takes, after it took `took` and was expected to take `learned`.

    Only a look shows whether it is over. If the first look was too early (`in_time` is 0), the next first look is a
    little later. If the last `in_time` first looks found it over, it may have been over for some time: the next first
    look is earlier, and after several in a row by more and more.
    """
    if learned is None:
        return max(took - poll / FIRST_SHARE, timedelta(0))
    if in_time:
        doubled = 1 << min(max(in_time - EARLIER_UNDOUBTED, 0), EARLIER_DOUBLED_MAX)
        return max(learned - poll / EARLIER_SHARE * doubled, timedelta(0))
    return learned + min(max(took - quiet_time(learned, poll), timedelta(0)) / LATER_SHARE, poll / LATER_MAX_SHARE)


def soon_interval(poll: timedelta) -> timedelta:
    """The time between looks while a change is due at any moment and a slot waits for it."""
    return poll * _NEAR_POLLS


def apart(poll: timedelta, together: int) -> timedelta:
    """The time between shared looks if `together` instances may be out of service at once; 0 if looks are not shared.

    With one or two, each look is taken when it is due. With more, a short wait lets one look serve several instances
    and saves calls. A longer one saves hardly any more: it only separates instances that started together.
    """
    return soon_interval(poll) if together >= _SEVERAL else timedelta(0)


def begins_apart(poll: timedelta, together: int, settle: timedelta) -> timedelta:
    """How long free slots may wait for others, so that updates start together; 0 if they do not wait.

    With a settle time, an update takes longer, so a longer wait is the same share of it. With few slots, no other slot
    becomes free during a short wait.
    """
    if together < _SEVERAL:
        return timedelta(0)
    if _is_long(settle, poll):
        return poll * _TOGETHER_SETTLING_POLLS
    return poll * (_TOGETHER_FEW_POLLS if together < _MANY else _TOGETHER_POLLS)


JOIN_SHARE, _JOIN_SETTLES = 4, 2
"""In a crowd, free slots wait for others if these are so many times as many, and so many settle times at most."""


def joins_apart(poll: timedelta, together: int, settle: timedelta) -> timedelta:
    """How long a few free slots of a crowd may wait for many others; 0 if they do not wait.

    Most of a crowd starts together, and updates that start alone take as many calls as all of those.
    """
    return _JOIN_SETTLES * settle if is_crowd(together) and _is_long(settle, poll) else timedelta(0)


def is_crowd(together: int) -> bool:
    """Whether so many instances may be out of service at once that looks serve many of them anyway."""
    return together >= _CROWD


def services_apart(poll: timedelta, together: int, settle: timedelta) -> timedelta:
    """How far apart looks at the services are while instances settle; 0 if each is taken when it is due.

    With many, one look covers several instances, and the next drains start together, after one look at the whole
    cluster. A slot waits half of that on average, so this is used only if the settle time is long in comparison.
    """
    if together < _MANY or not _is_long(settle, poll):
        return timedelta(0)
    return apart(poll, together)


def _is_long(settle: timedelta, poll: timedelta) -> bool:
    """Whether waits of a few polls are a small part of the settle time."""
    return settle >= _LONG_SETTLE_POLLS * poll


def shared_look(due: datetime, began: datetime, spacing: timedelta) -> datetime:
    """The first shared look, counted from the start of the run, that is not before `due`."""
    if not spacing:
        return due
    return began - ((began - due) // spacing) * spacing


def is_prompt(instance: Instance, *, emptied: bool = False) -> bool:
    """Whether the next change is due within seconds: a command result, its last task, or the boot that it is back with.

    `emptied` is whether its drain is likely to be over by now.
    """
    claim, progress = instance.claim, instance.progress
    if claim is None or progress.sent_return is not None:
        return False
    drained = claim.phase is ClaimPhase.DRAINING and emptied
    return instance.pending is not None or progress.new_boot is not None or drained
