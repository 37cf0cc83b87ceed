"""A store that ignores conditions is detected before it is used for a lease."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.memory_store import MemoryStore

from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Store, Stored
from bottlerocket_ecs_updater.engine.store.conditional_writes import (
    Unconditional,
    check_conditional_writes,
    conditions_key,
)
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore

NOW = datetime(2026, 1, 5, tzinfo=UTC)
CLUSTER = "123456789012/us-east-1/demo"


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
class Busy(MemoryStore):
    """Somebody else writes the same object in between, a few times."""

    times: int = 1
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        MemoryStore.__init__(self)

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        if self.times:
            self.times -= 1
            super().put(key, f"another {self.times}".encode(), None)
        return super().put(key, data, expect)


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


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_a_store_that_keeps_conditions_is_trusted_time_after_time(kind: str, tmp_path: Path) -> None:
    store: Store = MemoryStore() if kind == "memory" else FolderStore(tmp_path)
    check_conditional_writes(store, CLUSTER, NOW)
    check_conditional_writes(store, CLUSTER, NOW)
    assert store.get(conditions_key(CLUSTER)) is not None


@pytest.mark.parametrize("tested_before", [False, True])
def test_a_store_that_overwrites_existing_objects_is_refused(*, tested_before: bool) -> None:
    store = Lax(ignores_absence=not tested_before)
    if tested_before:
        check_conditional_writes(store, CLUSTER, NOW)
        store.ignores_absence = True
    with pytest.raises(Unconditional, match="If-None-Match"):
        check_conditional_writes(store, CLUSTER, NOW)


@pytest.mark.parametrize("tested_before", [False, True])
def test_a_store_that_takes_an_old_tag_is_refused(*, tested_before: bool) -> None:
    store = Lax(ignores_tags=not tested_before)
    if tested_before:
        check_conditional_writes(store, CLUSTER, NOW)
        store.ignores_tags = True
    with pytest.raises(Unconditional, match="If-Match"):
        check_conditional_writes(store, CLUSTER, NOW)


def test_the_test_of_a_store_takes_four_calls() -> None:
    """Every run pays for it."""
    store = Counting()
    for calls in (4, 8):
        check_conditional_writes(store, CLUSTER, NOW)
        assert store.calls == calls


@pytest.mark.parametrize("times", [1, 2, 5])
def test_somebody_else_s_writes_are_no_reason_to_refuse_a_store(times: int) -> None:
    check_conditional_writes(Busy(times=times), CLUSTER, NOW)


def test_a_store_that_keeps_conditions_shows_no_conflict_to_its_caller() -> None:
    store = MemoryStore()
    check_conditional_writes(store, CLUSTER, NOW)
    with pytest.raises(Conflict):
        store.put(conditions_key(CLUSTER), b"x", ABSENT)
