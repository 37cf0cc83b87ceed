"""How far behind an instance is: since when a newer version than its own has been known, up to the one it is offered.

Plan, status, explanation, report, metrics and the standing of a cluster all use this rule. Only versions that the host
is offered count: a version that was seen once and then withdrawn, or that is only for other variants, does not make a
host late.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.model.wording import counted


@dataclass(frozen=True, slots=True)
class Behind:
    """A version is newer than the one that runs, and has been known for a while."""

    newest: Version
    """The version that its host is offered."""
    since: datetime
    """When the first version after the running one was first seen."""

    def days(self, now: datetime) -> int:
        """Whole days since then; 0 on the first day."""
        return max(0, (now - self.since) // timedelta(days=1))

    def since_when(self, now: datetime) -> str:
        """For how long, as text: `for 3 days`, or `for less than a day`."""
        days = self.days(now)
        return f"for {counted(days, 'day')}" if days else "for less than a day"


def behind(running: Version | None, target: Version | None, first_seen: Mapping[Version, datetime]) -> Behind | None:
    """How far behind an instance is, given its version and the one that it is offered; None if it is not behind, or if
    that is not known.
    """
    if running is None or target is None or target <= running:
        return None
    since = [at for version, at in first_seen.items() if running < version <= target]
    return Behind(target, min(since)) if since else None


def instance_behind(instance: Instance, first_seen: Mapping[Version, datetime]) -> Behind | None:
    """The same for an instance, by its host's last report."""
    report = instance.report
    return behind(report.running, report.target, first_seen) if report is not None else None
