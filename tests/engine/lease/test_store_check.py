"""A store that ignores conditions is detected before it is used for a lease."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.memory_store import MemoryStore

from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.engine.clock import SystemClock
from bottlerocket_ecs_updater.engine.lease.run_lease import Taken
from bottlerocket_ecs_updater.engine.lease.store_lease import StoreLease
from bottlerocket_ecs_updater.engine.ports import ABSENT, Store, Stored, Unconditional
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore

KEY = "clusters/123456789012/us-east-1/demo/lease.json"


@dataclass
class Lax(MemoryStore):
    """Ignores some conditions."""

    ignores_absence: bool = False
    ignores_tags: bool = False

    def __post_init__(self) -> None:
        MemoryStore.__init__(self)

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        absence = expect == ABSENT
        ignored = (absence and self.ignores_absence) or (not absence and self.ignores_tags)
        return super().put(key, data, None if ignored else expect)


@dataclass
class Counting(MemoryStore):
    """Counts calls."""

    calls: int = 0

    def __post_init__(self) -> None:
        MemoryStore.__init__(self)

    def get(self, key: str) -> Stored | None:
        self.calls += 1
        return super().get(key)

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        self.calls += 1
        return super().put(key, data, expect)


def checked(store: Store, who: str = "a") -> None:
    """A run takes the lease, checks the store, and releases the lease."""
    clock = SystemClock()
    lease = StoreLease(store, KEY, who, RunId(who), timedelta(minutes=1), clock, clock.monotonic)
    assert isinstance(lease.acquire(), Taken)
    try:
        lease.check_store()
        lease.check_before_act()
    finally:
        lease.release()


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_a_store_that_keeps_conditions_is_trusted_time_after_time(kind: str, tmp_path: Path) -> None:
    store: Store = MemoryStore() if kind == "memory" else FolderStore(tmp_path)
    checked(store)
    checked(store, "b")
    assert list(store.keys("clusters/")) == [KEY]


@pytest.mark.parametrize("tested_before", [False, True])
@pytest.mark.parametrize(("flaw", "named"), [("ignores_absence", "If-None-Match"), ("ignores_tags", "If-Match")])
def test_a_store_that_ignores_conditions_is_refused(flaw: str, named: str, *, tested_before: bool) -> None:
    store = Lax()
    if tested_before:
        checked(store)
    setattr(store, flaw, True)
    with pytest.raises(Unconditional, match=named):
        checked(store, "b")


def test_the_lease_and_the_test_of_the_store_take_few_calls() -> None:
    """Every run pays for them: three calls if there is no lease yet, otherwise four, and one to release it."""
    store = Counting()
    for who, calls in (("a", 3 + 1), ("b", 3 + 1 + 4 + 1)):
        checked(store, who)
        assert store.calls == calls
