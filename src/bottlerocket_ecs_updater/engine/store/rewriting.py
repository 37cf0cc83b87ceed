"""Changes one object of the state store, also if others change it at the same time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Store
from bottlerocket_ecs_updater.errors import Unreachable

T = TypeVar("T")

WRITE_TRIES = 10
"""Tries if others write in between. People rarely act at the same time, and a cluster has one run at a time."""

Rewrite = Callable[[bytes | None], tuple[T, bytes | None]]
"""What to return, and the new content, from the old content; None for no object, and for no change."""


def rewrite(store: Store, key: str, write: Rewrite[T], *, first: bool = False, tries: int = WRITE_TRIES) -> T:
    """Write what `write` makes of the content; it is called again if others write in between.

    `first` says that there is probably no object yet. Raises what the store and `write` raise, and Unreachable if
    others keep writing.
    """
    for attempt in range(tries):
        stored = store.get(key) if attempt or not first else None
        value, data = write(stored.data if stored is not None else None)
        if data is None:
            return value
        try:
            store.put(key, data, stored.tag if stored is not None else ABSENT)
        except Conflict:
            continue
        return value
    raise Unreachable(f"{key} could not be written: other writers keep changing it")
