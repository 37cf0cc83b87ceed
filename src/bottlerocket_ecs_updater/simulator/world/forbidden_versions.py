"""Invariant 8: the versions that an updater must know by now that it may not take a host to.

A policy denies them, no public parameter names them, a person blocked them, or the host's update repository no longer
offers them.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.faults import Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bottlerocket_ecs_updater.simulator.host import Host
    from bottlerocket_ecs_updater.simulator.world.findings import UpdaterLimits
    from bottlerocket_ecs_updater.simulator.world.world import World

ACTS = "/fleet/acts.json"
"""How the key of people's acts on versions ends in a state store."""

EVERY_VERSION = "*"
"""Stands for all versions, which an unreadable object blocks."""

READ_NOTICEABLE = timedelta(seconds=60)
"""How long ago an updater must have read something before it must have reacted, with calls that are slow or retried."""

LONG_NOTICEABLE = timedelta(minutes=16)
"""How long something must have been so before an updater must have seen it: an answer counts that long."""


class ForbiddenVersions:
    """The versions that must not be taken, by what updaters have read and hosts have reported."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._blocked: dict[str, datetime] = {}
        """Since when each version has been blocked."""
        self._reads: dict[str, list[datetime]] = {}
        """By caller: when it read people's acts."""
        self._offered: dict[str, set[str]] = {}
        """By host: every version that its repository has offered to it."""
        self._not_offered: dict[str, dict[str, datetime]] = {}
        """By host: the versions that are no longer offered, and the first check that showed it."""

    def follow(self, host: Host) -> None:
        """Note what the checks of a host show."""
        host.on_step.append(self._step_began)

    def stored(self, key: str, body: bytes) -> None:
        """Notice if people's acts in a state store change: versions are blocked or unblocked."""
        if key.endswith(ACTS):
            now = self._world.clock.now()
            self._blocked = {version: self._blocked.get(version, now) for version in _read_blocked(body)}

    def deleted(self, key: str) -> None:
        """Notice if people's acts are deleted."""
        if key.endswith(ACTS):
            self._blocked = {}

    def read(self, key: str, caller: str) -> None:
        """Note that a caller read people's acts."""
        if key.endswith(ACTS):
            self._reads.setdefault(caller, []).append(self._world.clock.now())

    def why_not(self, version: str, host: Host, caller: str, budget: UpdaterLimits) -> str:
        """Why this caller must know that it may not take the host to the version; empty if it need not."""
        if budget.published_only and not self._is_published(version, host):
            return "which is not published"
        if self._knows_of_block(version, caller):
            return "which is blocked"
        since = self._not_offered.get(host.instance_id, {}).get(version)
        if since is not None and self._world.clock.now() - since >= READ_NOTICEABLE:
            return f"which its repository has not offered since {since}"
        return ""

    def _is_published(self, version: str, host: Host) -> bool:
        since = self._world.clock.now() - LONG_NOTICEABLE
        return self._world.published.named(version, host.variant, host.spec.arch, since)

    def _knows_of_block(self, version: str, caller: str) -> bool:
        now = self._world.clock.now()
        reads = self._reads.get(caller, [])
        moments = [self._blocked[one] for one in (version, EVERY_VERSION) if one in self._blocked]
        if not (reads and moments):
            return False
        blocked = min(moments)
        has_read = any(at >= blocked and now - at >= READ_NOTICEABLE for at in reads)
        return has_read or now - max(blocked, reads[0]) >= LONG_NOTICEABLE

    def _step_began(self, host: Host, step: Step) -> None:
        if step is not Step.CHECK:
            return
        offered = self._offered.setdefault(host.instance_id, set())
        available = host.offered()
        offered |= available
        before, now = self._not_offered.get(host.instance_id, {}), self._world.clock.now()
        self._not_offered[host.instance_id] = {one: before.get(one, now) for one in offered - available}


def _read_blocked(acts: bytes) -> Mapping[str, object]:
    """The versions that people's acts block."""
    with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        blocked: Mapping[str, object] = json.loads(acts)["said"]["blocked"]
        return dict(blocked)
    return {EVERY_VERSION: None}
