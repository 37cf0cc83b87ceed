"""When a release was first seen by any cluster that shares the state store: one object for each release.

The object is written once, under the condition that there is none, so that of two clusters that see a release at the
same time one is first, and both know it.
"""

from __future__ import annotations

import json
from datetime import datetime

from bottlerocket_ecs_updater.core.errors import UpdaterError
from bottlerocket_ecs_updater.core.version import Version
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Store, Stored
from bottlerocket_ecs_updater.engine.times import read_time, write_time


class Sightings:
    """Asks the store once for each release. Without a store nothing is shared."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._known: dict[Version, datetime] = {}

    def note(self, version: Version, at: datetime) -> datetime:
        """Remember that the release was seen, and give when it was first seen. Raises what the store raises."""
        if version not in self._known:
            self._known[version] = at if self._store is None else min(at, _noted(self._store, version, at))
        return self._known[version]

    def look(self, version: Version) -> datetime | None:
        """When the release was first seen, None where nobody noted it; nothing is written."""
        stored = self._store.get(_key(version)) if self._store is not None else None
        return _read(stored, version) if stored is not None else None


def _noted(store: Store, version: Version, at: datetime) -> datetime:
    stored = store.get(_key(version))
    if stored is None:
        try:
            store.put(_key(version), json.dumps({"first_seen": write_time(at)}).encode(), ABSENT)
        except Conflict:
            stored = store.get(_key(version))
    return _read(stored, version) if stored is not None else at


def _key(version: Version) -> str:
    return f"first-seen/{version}.json"


def _read(stored: Stored, version: Version) -> datetime:
    try:
        return read_time(json.loads(stored.data)["first_seen"])
    except (ValueError, KeyError, TypeError) as error:
        raise UpdaterError(f"{_key(version)} in the state store cannot be read: {error!r}") from error
