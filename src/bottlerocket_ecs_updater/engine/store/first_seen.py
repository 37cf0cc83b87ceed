"""When any cluster that shares the state store first saw a version: one object per version.

The object is written once, on condition that it does not exist. If two clusters see a version at the same time, one
is first and both agree on it. An unreadable object is ignored: the version then counts as first seen when this cluster
first saw it, which matters only if versions must have a minimum age.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from bottlerocket_ecs_updater.core.model.time_text import read_time, write_time
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Store, Stored
from bottlerocket_ecs_updater.engine.store.read_json import Unreadable, read_object, text_of
from bottlerocket_ecs_updater.errors import Throttled, Unreachable, UpdaterError

NOTE_TRIES = 3
"""As for the ledger: a fault that coincides with lease renewals must not fail every time."""


class FirstSeen:
    """Reads the store once for each version. Without a store, nothing is shared."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._known: dict[Version, datetime] = {}
        self._unreadable: list[tuple[str, str]] = []

    def note(self, version: Version, at: datetime, *, new: bool = False) -> datetime:
        """Note that a version was seen. Returns when it was first seen. Raises what the store raises.

        `new` says that this cluster sees it for the first time, so that there is probably no object yet.
        """
        if version not in self._known:
            noted = _noted(self._store, version, at, new=new) if self._store is not None else None
            self._known[version] = min(at, self._read(noted, version) or at)
        return self._known[version]

    def look(self, version: Version) -> datetime | None:
        """When a version was first seen; None if not noted, or not readable. Writes nothing."""
        return self._read(self._store.get(_key(version)) if self._store is not None else None, version)

    def take_unreadable(self) -> Sequence[tuple[str, str]]:
        """Unreadable objects since the last call, each with the reason."""
        taken, self._unreadable = self._unreadable, []
        return taken

    def _read(self, stored: Stored | None, version: Version) -> datetime | None:
        if stored is None:
            return None
        try:
            return read_object(stored.data, lambda value: read_time(text_of(value["first_seen"])))
        except Unreadable as problem:
            self._unreadable.append((_key(version), str(problem)))
            return None


def _noted(store: Store, version: Version, at: datetime, *, new: bool) -> Stored | None:
    """The existing note; None if this call wrote the first one. Raises what the store raises."""
    fault: UpdaterError | None = None
    for attempt in range(NOTE_TRIES):
        stored = store.get(_key(version)) if attempt or not new else None
        if stored is not None:
            return stored
        try:
            store.put(_key(version), json.dumps({"first_seen": write_time(at)}).encode(), ABSENT)
        except Conflict:
            continue
        except (Throttled, Unreachable) as error:
            fault = error
        else:
            return None
    if fault is not None:
        raise fault
    return None


def _key(version: Version) -> str:
    return f"first-seen/{version}.json"
