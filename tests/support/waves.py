"""Bottlerocket's default waves of a new version."""

from __future__ import annotations

from datetime import datetime, timedelta

from bottlerocket_ecs_updater.simulator.repository import WAVE_SEEDS

DEFAULT_WAVES: tuple[tuple[float, timedelta], ...] = (
    (0.01, timedelta(hours=1)),
    (0.05, timedelta(hours=4)),
    (0.15, timedelta(days=1)),
    (0.40, timedelta(days=2)),
    (0.60, timedelta(days=4)),
    (0.90, timedelta(days=5)),
    (1.00, timedelta(days=6)),
)
"""Bottlerocket's default waves: the share of hosts that see a version after each delay."""


def default_waves(published: datetime) -> tuple[tuple[int, datetime], ...]:
    """The waves of a version that was published then: each with its first seed, and when it begins."""
    starts: list[tuple[int, datetime]] = []
    begin = 0
    for share, delay in DEFAULT_WAVES:
        starts.append((begin, published + delay))
        begin = int(WAVE_SEEDS * share)
    return tuple(starts)
