"""Whether a state store really keeps the conditions of its writes. One that ignores them would break the lease.

Some stores that speak S3's protocol take `If-None-Match` and `If-Match`, and write all the same. Two runs could then
both hold the lease. So an object of our own is written under conditions that must hold, and under ones that must not.
"""

from __future__ import annotations

from datetime import datetime

from bottlerocket_ecs_updater.core.model.time_text import write_time
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Store
from bottlerocket_ecs_updater.errors import UpdaterError

ATTEMPTS = 3
"""Another run, or another examination, may write the same object at the same time."""


class Unconditional(UpdaterError):
    """The store wrote where a condition forbade it: no lease can be kept there."""


def trial_key(cluster: str) -> str:
    """Where the trial of a cluster's store is written."""
    return f"clusters/{cluster}/conditions.json"


def try_conditions(store: Store, cluster: str, now: datetime) -> None:
    """Write one object five times. Raises Unconditional, and whatever the store raises when it does not answer."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _try_once(store, trial_key(cluster), f"{write_time(now)} {attempt}")
        except Conflict:
            # Somebody else wrote in between: a store that says so keeps its conditions, but see it once more.
            continue
        return


def _try_once(store: Store, key: str, mark: str) -> None:
    found = store.get(key)
    first = store.put(key, _text(mark, 1), found.tag if found else ABSENT)
    _must_be_refused(store, key, _text(mark, 2), ABSENT, "If-None-Match: it wrote over an object that was there")
    second = store.put(key, _text(mark, 3), first)
    _must_be_refused(store, key, _text(mark, 4), first, "If-Match: it wrote over an object that had changed")
    seen = store.get(key)
    if seen is None or seen.tag != second:
        raise Conflict(f"{key} was written by somebody else")


def _must_be_refused(store: Store, key: str, data: bytes, expect: str, what: str) -> None:
    try:
        store.put(key, data, expect)
    except Conflict:
        return
    raise Unconditional(f"the state store ignores {what}. Two runs could hold the lease at once; use Amazon S3")


def _text(mark: str, step: int) -> bytes:
    return f'{{"trial": "{mark}", "step": {step}}}\n'.encode()
