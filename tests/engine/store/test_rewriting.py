"""Many writers of one object: all get through, each in a bounded number of tries."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.memory_store import MemoryStore
from tests.support.shared_time import DistantStore, SharedTime

from bottlerocket_ecs_updater.engine.ports import Conflict
from bottlerocket_ecs_updater.engine.store.rewriting import HURRIED_TRIES, LONGEST_DELAY, WRITE_TRIES, rewrite
from bottlerocket_ecs_updater.errors import Unreachable

KEY = "names"


def added(name: str, data: bytes | None) -> tuple[None, bytes]:
    return None, (data or b"") + name.encode() + b"\n"


@pytest.mark.parametrize("writers", [2, 40, 150])
def test_all_of_many_writers_that_start_together_get_through(writers: int) -> None:
    time = SharedTime()
    store = DistantStore(time, timedelta(milliseconds=200))
    names = [f"writer-{number}" for number in range(writers)]
    done: list[str] = []

    def write(name: str) -> None:
        rewrite(store, KEY, lambda data: added(name, data), time.sleep)
        done.append(name)

    time.run([lambda name=name: write(name) for name in names])  # type: ignore[misc]
    stored = MemoryStore.get(store, KEY)
    assert stored is not None
    assert sorted(done) == sorted(stored.data.decode().split()) == sorted(names)
    assert time.now < timedelta(minutes=4)


class AlwaysOvertaken(MemoryStore):
    def put(self, key: str, data: bytes, expect: str | None) -> str:
        raise Conflict(key)


@pytest.mark.parametrize(("sleeps", "tries"), [(True, WRITE_TRIES), (False, HURRIED_TRIES)])
def test_a_writer_that_is_always_overtaken_gives_up(sleeps: bool, tries: int) -> None:
    waits: list[timedelta] = []
    tried: list[bytes | None] = []

    def sleep(span: timedelta) -> bool:
        waits.append(span)
        return sleeps

    def write(data: bytes | None) -> tuple[None, bytes]:
        tried.append(data)
        return added("a", data)

    with pytest.raises(Unreachable):
        rewrite(AlwaysOvertaken(), KEY, write, sleep)
    assert len(tried) == tries
    assert len(waits) == (tries - 1 if sleeps else 1), "after a signal, it does not wait again"
    assert all(timedelta() <= span <= LONGEST_DELAY for span in waits)
    assert sum(waits, timedelta()) < tries * LONGEST_DELAY
