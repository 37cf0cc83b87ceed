"""A run that waits for another run's lease: until it is released, expires, or the wait is over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.memory_store import MemoryStore

from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.engine.lease.lease_wait import LEASE_READ_EVERY, wait_for_lease
from bottlerocket_ecs_updater.engine.lease.store_lease import StoreLease, lease_key
from bottlerocket_ecs_updater.engine.ports import Stored
from bottlerocket_ecs_updater.errors import Denied, Unreachable

KEY = lease_key("web")
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
TERM, MINUTE = timedelta(minutes=3), timedelta(minutes=1)


class Shared:
    """A store and a clock; at each moment of the clock, the holder of the lease does something."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.past = timedelta()
        self.holder = StoreLease(self.store, KEY, "holder", RunId("r"), TERM, self, self.monotonic)
        self.does: Callable[[], object] = lambda: None
        self.interrupted = False

    def now(self) -> datetime:
        return START + self.past

    def monotonic(self) -> float:
        return self.past.total_seconds()

    def sleep(self, span: timedelta) -> bool:
        self.past += span
        self.does()
        return not self.interrupted

    def waited(self, limit: timedelta) -> tuple[bool, timedelta]:
        """The answer of a wait, and how long it took."""
        began = self.past
        return wait_for_lease(self.store, KEY, self, self.now() + limit), self.past - began


@pytest.fixture
def shared() -> Shared:
    shared = Shared()
    shared.holder.acquire()
    shared.does = shared.holder.keep
    return shared


def test_a_lease_that_was_never_held_is_not_waited_for() -> None:
    assert Shared().waited(timedelta(hours=12)) == (True, timedelta())


def test_a_wait_ends_soon_after_the_holder_releases_the_lease(shared: Shared) -> None:
    over = 5 * timedelta(hours=1)
    shared.does = lambda: shared.holder.keep() if shared.past < over else shared.holder.release()
    free, took = shared.waited(timedelta(hours=12))
    assert free
    assert over <= took <= over + LEASE_READ_EVERY


def test_a_live_holder_is_waited_for_until_the_limit(shared: Shared) -> None:
    limit = timedelta(hours=12, seconds=7)
    assert shared.waited(limit) == (False, limit)


def test_a_dead_holder_is_waited_for_until_its_term_is_over(shared: Shared) -> None:
    shared.does = lambda: None
    free, took = shared.waited(timedelta(hours=12))
    assert free
    assert TERM < took <= TERM + 2 * LEASE_READ_EVERY


def test_a_signal_ends_the_wait(shared: Shared) -> None:
    shared.interrupted = True
    assert shared.waited(timedelta(hours=12)) == (False, LEASE_READ_EVERY)


class Down(MemoryStore):
    """A store that fails for a while."""

    def __init__(self, error: Exception, replies: int) -> None:
        super().__init__()
        self.error, self.replies = error, replies

    def get(self, key: str) -> Stored | None:
        self.replies -= 1
        if self.replies < 0:
            return super().get(key)
        raise self.error


def test_a_store_that_does_not_answer_does_not_free_the_lease() -> None:
    shared = Shared()
    shared.store = Down(Unreachable("away"), replies=20)
    assert shared.waited(timedelta(hours=1)) == (True, 20 * LEASE_READ_EVERY)
    shared.store = Down(Unreachable("away"), replies=1000)
    assert shared.waited(timedelta(hours=1)) == (False, timedelta(hours=1))


def test_a_lease_that_may_not_be_read_is_an_error() -> None:
    shared = Shared()
    shared.store = Down(Denied("s3:GetObject is denied"), replies=1)
    with pytest.raises(Denied):
        shared.waited(MINUTE)
