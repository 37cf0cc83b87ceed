"""Backoff: how long a failed attempt keeps an instance from being tried again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.outcome import LONGEST_BACKOFF, Backoff, longest_backoff
from bottlerocket_ecs_updater.core.model.version import Version

FIRST_BACKOFF = timedelta(minutes=30)
"""Long enough for the most common causes, a repository or a deployment, to pass."""


def next_backoff(
    before: Backoff | None, version: Version, why: str, now: datetime, *, rolled_back: bool = False
) -> Backoff:
    """The backoff after one more failure: twice as long as the last one for the same version, up to its maximum."""
    attempts = before.attempts + 1 if before is not None and before.version == version else 1
    backoff = Backoff(version, attempts, now, why, rolled_back)
    length = (
        longest_backoff(backoff) if rolled_back else min(FIRST_BACKOFF * 2 ** min(attempts - 1, 10), LONGEST_BACKOFF)
    )
    return replace(backoff, until=now + length)
