"""How far behind an instance is: since when a newer version than the one that it runs has been known here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.version import Version


@dataclass(frozen=True, slots=True)
class Behind:
    """A version is newer than the one that runs, and has been known for a while."""

    newest: Version
    """The newest version that was ever offered in this cluster."""
    since: datetime
    """When the first version after the running one was first seen."""

    def days(self, now: datetime) -> int:
        """Whole days since then; 0 on the first."""
        return max(0, (now - self.since) // timedelta(days=1))


def behind(running: Version | None, first_seen: Mapping[Version, datetime]) -> Behind | None:
    """How far behind an instance is that runs that version; None where it is not, or nothing is known."""
    newer = {version: at for version, at in first_seen.items() if running is not None and version > running}
    return Behind(max(newer), min(newer.values())) if newer else None
