"""Tests whether a state store honors conditional writes. If it ignores conditions, the lease does not work.

Some S3-compatible stores accept `If-None-Match` and `If-Match` but write anyway. Two runs could then both hold the
lease. So the test writes its own object with conditions that must succeed, and with conditions that must fail.
"""

from __future__ import annotations

from datetime import datetime

from bottlerocket_ecs_updater.core.model.time_text import write_time
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Store
from bottlerocket_ecs_updater.errors import UpdaterError

ATTEMPTS = 3
"""Tries, because another run or test may write the same object at the same time."""


class Unconditional(UpdaterError):
    """The store wrote although the condition failed: the lease does not work there."""


def conditions_key(cluster: str) -> str:
    """The key of the test object."""
    return f"clusters/{cluster}/conditions.json"


def check_conditional_writes(store: Store, cluster: str, now: datetime) -> None:
    """Test conditional writes with one object. Raises Unconditional, and what the store raises."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _try_once(store, conditions_key(cluster), f"{write_time(now)} {attempt}")
        except Conflict:
            # Another writer came in between. The store reported it, which is good, but test again.
            continue
        return


def _try_once(store: Store, key: str, mark: str) -> None:
    first = _first_tag(store, key, mark)
    store.put(key, _text(mark, 3), first)
    _must_be_refused(store, key, _text(mark, 4), first, "If-Match: it wrote over an object that had changed")


def _first_tag(store: Store, key: str, mark: str) -> str:
    """The tag of the object, after a write on condition that there is none was refused."""
    try:
        first = store.put(key, _text(mark, 1), ABSENT)
    except Conflict:
        # It was there, from the test of an earlier run.
        found = store.get(key)
        if found is None:
            raise
        return found.tag
    _must_be_refused(store, key, _text(mark, 2), ABSENT, "If-None-Match: it wrote over an object that was there")
    return first


def _must_be_refused(store: Store, key: str, data: bytes, expect: str, what: str) -> None:
    try:
        store.put(key, data, expect)
    except Conflict:
        return
    raise Unconditional(f"the state store ignores {what}. Two runs could hold the lease at once; use Amazon S3")


def _text(mark: str, step: int) -> bytes:
    return f'{{"trial": "{mark}", "step": {step}}}\n'.encode()
