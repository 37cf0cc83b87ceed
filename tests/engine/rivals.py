"""A tiny world in which several runs compete for one lease, each with its own network and clocks.

It has true time and one store. Each run is a thread. Exactly one thread runs at a time, in the order of true time, so a
world is repeatable.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import chain, cycle, repeat

from tests.support.memory_store import MemoryStore

from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.engine.lease.run_lease import Taken
from bottlerocket_ecs_updater.engine.lease.store_lease import StoreLease
from bottlerocket_ecs_updater.engine.ports import Conflict, Stored
from bottlerocket_ecs_updater.errors import LeaseLapsed, LeaseLost, Unreachable

TERM = 60.0
ACT_MAX = TERM / 10
"""How long an act may take: less than the margin, because the rates of two clocks may differ."""

_BEGINNING = datetime(2026, 1, 5, tzinfo=UTC)


class Way(Enum):
    """How the network treats a call."""

    WELL = "well"
    REQUEST_LOST = "the request is lost"
    REPLY_LOST = "the reply is lost"
    LATE = "the reply is lost, and the request takes effect long after"


@dataclass(frozen=True)
class Fate:
    """One call: the time until it takes effect, the time until the reply, and its fault."""

    there: float = 0.1
    back: float = 0.1
    way: Way = Way.WELL
    late: float = 0.0
    suspended: float = 0.0
    """How long the whole process is suspended during the call."""


@dataclass(frozen=True)
class Work:
    """What a holder does between two checks of its lease."""

    busy: float
    suspended: float = 0.0
    act: float = 1.0


@dataclass(frozen=True)
class Rival:
    """One run that wants the lease."""

    start: float = 0.0
    rate: float = 1.0
    offset: float = 0.0
    """The error of its wall clock."""
    step: float = 0.0
    """How far its wall clock jumps at every sleep; only if its monotonic clock counts suspension."""
    monotonic_stops: bool = False
    """Whether its monotonic clock stops while it is suspended, as on Linux."""
    fates: Sequence[Fate] = ()
    """The faults of its first calls."""
    then: Fate = Fate()
    """The fault of every later call."""
    works: Sequence[Work] = (Work(10.0),)
    acts: int = 10
    releases: bool = True
    """Whether it releases the lease after its work; otherwise it dies."""
    persists: bool = False
    """Whether it regains a lease that lapsed, and then continues."""
    returns: int = 1
    """How often it tries again after it was refused, or after it lost the lease."""


@dataclass(frozen=True)
class Act:
    """An act while holding the lease."""

    began: float
    ended: float
    who: int
    epoch: int


class Ended(Exception):
    """The world has ended."""


@dataclass
class World:
    """Runs all rivals until they are done."""

    now: float = 0.0
    end: float = 40 * TERM
    store: MemoryStore = field(default_factory=MemoryStore)
    acts: list[Act] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    _agenda: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _made: int = 0
    _back: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Schedule something."""
        self._made += 1
        heapq.heappush(self._agenda, (when, self._made, action))

    def wait(self, seconds: float) -> None:
        """Let time pass for the calling rival while others run."""
        turn = threading.Semaphore(0)
        self.at(self.now + seconds, lambda: self._hand_to(turn))
        self._back.release()
        turn.acquire()
        if self.now > self.end:
            raise Ended

    def run(self, rivals: Sequence[Rival]) -> None:
        """Run until each is done."""
        threads = []
        for who, rival in enumerate(rivals):
            turn = threading.Semaphore(0)
            thread = threading.Thread(target=self._live, args=(who, rival, turn), daemon=True)
            threads.append(thread)
            thread.start()
            self.at(rival.start, lambda turn=turn: self._hand_to(turn))  # type: ignore[misc]
        while self._agenda:
            when, _, action = heapq.heappop(self._agenda)
            self.now = max(self.now, when)
            action()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()

    def _hand_to(self, turn: threading.Semaphore) -> None:
        turn.release()
        self._back.acquire()

    def _live(self, who: int, rival: Rival, turn: threading.Semaphore) -> None:
        turn.acquire()
        try:
            _Life(self, who, rival).live()
        except Ended:
            pass
        except BaseException as error:
            self.log.append(f"rival {who} died of {error!r}")
            raise
        finally:
            self._back.release()


class _Life:
    """One rival: its run, its clock and its connection to the store."""

    def __init__(self, world: World, who: int, rival: Rival) -> None:
        self._world = world
        self._who = who
        self._rival = rival
        self._fates: Iterator[Fate] = chain(rival.fates, repeat(rival.then))
        self._suspended = 0.0
        self._stepped = 0.0

    def live(self) -> None:
        for attempt in range(self._rival.returns + 1):
            if attempt:
                self._world.wait(TERM / 2)
            run = RunId(f"run-{self._who}-{attempt}")
            term = timedelta(seconds=TERM)
            lease = StoreLease(self, "lease", f"rival {self._who}", run, term, self, self.monotonic)
            try:
                taken = lease.acquire()
            except Unreachable:
                continue
            if not isinstance(taken, Taken):
                continue
            try:
                self._work(lease, taken.epoch)
            except LeaseLost:
                continue
            if self._rival.releases:
                lease.release()
            return

    def _work(self, lease: StoreLease, epoch: int) -> None:
        works = cycle(self._rival.works)
        for _ in range(self._rival.acts):
            work = next(works)
            self._world.wait(work.busy)
            self._suspend(work.suspended)
            self._make_sure(lease)
            act = Act(self._world.now, self._world.now + work.act, self._who, epoch)
            self._world.acts.append(act)
            self._world.wait(work.act)

    def _make_sure(self, lease: StoreLease) -> None:
        try:
            lease.keep()
            return lease.check_before_act()
        except LeaseLapsed as lapse:
            if not self._rival.persists:
                raise
            self._world.log.append(f"rival {self._who} lapsed")
            again = lapse.again.total_seconds()
        while True:
            try:
                lease.regain()
                return lease.check_before_act()
            except LeaseLapsed:
                self._world.wait(again)

    # Its clock

    def now(self) -> datetime:
        wall = self._world.now * self._rival.rate + self._rival.offset + self._stepped
        return _BEGINNING + timedelta(seconds=wall)

    def monotonic(self) -> float:
        missed = self._suspended if self._rival.monotonic_stops else 0.0
        return (self._world.now - missed) * self._rival.rate

    def sleep(self, span: timedelta) -> bool:
        self._world.wait(span.total_seconds() / self._rival.rate)
        if not self._rival.monotonic_stops:
            self._stepped += self._rival.step
        return True

    def _suspend(self, seconds: float) -> None:
        if seconds:
            self._world.wait(seconds)
            self._suspended += seconds

    # Its connection to the store

    def get(self, key: str) -> Stored | None:
        fate = self._set_out()
        stored = self._world.store.get(key)
        self._come_back(fate)
        if fate.way is not Way.WELL:
            raise Unreachable("no reply")
        return stored

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        fate = self._set_out()
        if fate.way is Way.LATE:
            self._world.at(self._world.now + fate.late, lambda: self._late(key, data, expect))
        tag: str | Conflict = ""
        if fate.way in (Way.WELL, Way.REPLY_LOST):
            try:
                tag = self._world.store.put(key, data, expect)
            except Conflict as conflict:
                tag = conflict
        self._come_back(fate)
        if fate.way is not Way.WELL:
            raise Unreachable("no reply")
        if isinstance(tag, Conflict):
            raise tag
        return tag

    def delete(self, key: str, expect: str | None) -> None:
        raise NotImplementedError

    def keys(self, prefix: str, after: str = "") -> Sequence[str]:
        raise NotImplementedError

    def _late(self, key: str, data: bytes, expect: str | None) -> None:
        try:
            self._world.store.put(key, data, expect)
        except Conflict:
            self._world.log.append("a late request came too late")

    def _set_out(self) -> Fate:
        fate = next(self._fates)
        self._world.wait(fate.there)
        return fate

    def _come_back(self, fate: Fate) -> None:
        self._suspend(fate.suspended)
        self._world.wait(fate.back)
