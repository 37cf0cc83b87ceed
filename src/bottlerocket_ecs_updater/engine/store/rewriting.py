"""Changes one object of the state store, also if others change it at the same time.

The runs of a wave may end together, and each writes the page of all clusters. Of the writers that read the same
content, one succeeds in each round. So the others wait before they read again, twice as long after each try, and each a
different share of that time, so that they do not meet again. With 40 writers that need half a second each, all are done
within a minute or two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Store
from bottlerocket_ecs_updater.errors import Unreachable

T = TypeVar("T")

WRITE_TRIES = 30
"""Tries if others write in between: about four minutes, if each wait is half of what it may be."""

HURRIED_TRIES = 10
"""Tries of a writer that does not wait: few others write the object, or a signal ends its process."""

FIRST_DELAY = timedelta(milliseconds=250)
LONGEST_DELAY = timedelta(seconds=20)

Rewrite = Callable[[bytes | None], tuple[T, bytes | None]]
"""What to return, and the new content, from the old content; None for no object, and for no change."""

Sleep = Callable[[timedelta], bool]
"""Sleeps. Returns False if a signal interrupted it, as `Clock.sleep` does."""


def no_wait(_: timedelta) -> bool:
    """For an object with few writers, such as one that only the runs of one cluster write."""
    return False


def rewrite(store: Store, key: str, write: Rewrite[T], sleep: Sleep = no_wait, *, first: bool = False) -> T:
    """Write what `write` makes of the content; it is called again if others write in between.

    `first` says that there is probably no object yet. Raises what the store and `write` raise, and Unreachable if
    others keep writing.
    """
    hurried, data = False, None
    for attempt in range(WRITE_TRIES):
        hurried = hurried or (data is not None and not sleep(_wait(attempt, data)))
        if hurried and attempt >= HURRIED_TRIES:
            break
        stored = store.get(key) if attempt or not first else None
        value, data = write(stored.data if stored is not None else None)
        if data is None or (stored is not None and data == stored.data):
            return value
        try:
            store.put(key, data, stored.tag if stored is not None else ABSENT)
        except Conflict:
            continue
        return value
    raise Unreachable(f"{key} could not be written: other writers keep changing it")


def _wait(attempt: int, data: bytes) -> timedelta:
    """How long to wait before a try. It differs between writers, because they write different data."""
    digest = hashlib.blake2b(data, digest_size=4, salt=bytes([attempt])).digest()
    share = int.from_bytes(digest) / 2**32
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (attempt - 1)) * share
