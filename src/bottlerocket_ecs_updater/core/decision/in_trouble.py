"""Failed tasks of services that lose tasks by themselves: a bad version shows in how, or how soon, they fail.

A service that crashes in a loop fails on every host, so the share of its tasks that fail says nothing about a version.
But such a service must not hide a bad version. So its failures on the version are compared with how the same deployment
failed on other hosts, before the first drain and since.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.container_instance import TaskEnd

UNUSUAL_FAILURES = 3
"""Fewer tasks that fail in an unusual way may be a coincidence: this happens to these services now and then."""

SOONER = 3
"""A task that ran less than a third of the usual time before the same failure failed for another reason."""

USUAL = 2
"""With this many failures elsewhere, a way of failing counts as usual."""

_VARIES = re.compile(r"[0-9a-f]{8,}|\d+")
"""Ids, times and counts in stop reasons."""


def unusual(here: Sequence[TaskEnd], elsewhere: Sequence[TaskEnd], since: datetime) -> Sequence[TaskEnd]:
    """The failures on the version that are unlike those elsewhere; empty if they are too few, or happen elsewhere too.

    `elsewhere` are the failures of the same deployment on other hosts. Failures there after `since` are as recent as
    the ones on the version.
    """
    before = [end for end in elsewhere if end.stopped_at < since]
    if len(before) < USUAL:
        return ()
    found = [end for end in here if _is_unusual(end, before)]
    recent = [end for end in elsewhere if end.stopped_at >= since and _is_unusual(end, before)]
    return found if len(found) >= UNUSUAL_FAILURES and len(found) > 2 * len(recent) else ()


def is_usual(end: TaskEnd, elsewhere: Sequence[TaskEnd]) -> bool:
    """Whether several tasks elsewhere failed in the same way, and not much later after their start."""
    return not _is_unusual(end, elsewhere)


def _is_unusual(end: TaskEnd, before: Sequence[TaskEnd]) -> bool:
    alike = [one for one in before if _way(one) == _way(end)]
    return len(alike) < USUAL or _much_sooner(end, alike)


def _way(end: TaskEnd) -> tuple[str, int | None, str]:
    """How a task failed, without the details that differ from task to task."""
    return end.code, end.exit_code, _VARIES.sub("#", end.why)


def _much_sooner(end: TaskEnd, alike: Sequence[TaskEnd]) -> bool:
    usual = sorted(one.ran_for for one in alike if one.ran_for is not None)
    return bool(usual) and end.ran_for is not None and _is_less(end.ran_for, usual[len(usual) // 4])


def _is_less(span: timedelta, usual: timedelta) -> bool:
    return SOONER * span < usual
