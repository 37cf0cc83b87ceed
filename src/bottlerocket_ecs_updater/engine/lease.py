"""The lease: the right to act on a cluster, held by at most one run at a time.

It is one object in the state store, and every write of it is conditional, so that of two writers one gets Conflict.

    absent, released ──take──▶ held ──renewed every third of the term──▶ held ──release──▶ released
                                 └──not renewed for a whole term, as seen by a rival──▶ held by the rival

Why two never act at once, whatever their clocks say:
a holder stops three quarters of a term after it *began* its last confirmed renewal;
a rival takes over a whole term after it first *saw* that renewal, and only if nothing was written since.
Seeing comes after beginning, so at least a quarter of the term lies between the last act of one and the first of the
other, as long as their clocks run at rates within a few percent. No time of the other's clock is ever compared.

The holder counts the longer of wall-clock and monotonic time: one stands still while a machine is suspended, the other
can be set back. The rival counts monotonic time alone, since a clock that is set forward must not shorten its watch.
An act that is sent just before the end must be over within the quarter that is left: see `Lease.margin`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from bottlerocket_ecs_updater.core.errors import LeaseLost, Throttled, Unreachable, UpdaterError
from bottlerocket_ecs_updater.core.ids import RunId, TaskArn
from bottlerocket_ecs_updater.engine.lease_note import LONGEST_TERM, LeaseNote, read_lease
from bottlerocket_ecs_updater.engine.ports import ABSENT, Clock, Conflict, Store

RENEW_AFTER_SHARE = 1 / 3
"""Of the term: two more renewals fit before the holder must stop, so one lost reply costs nothing."""

MARGIN_SHARE = 1 / 4
"""Of the term: what lies between the end of the holder's right and the earliest take-over."""

WATCHES_PER_TERM = 8
"""How often a rival looks whether the lease was renewed: a live holder is noticed soon after its next renewal."""

LOOKS_MAX = 4 * WATCHES_PER_TERM
"""Looks in one attempt to take the lease; beyond the watch itself, they are for faults of the store."""


@dataclass(frozen=True, slots=True)
class Taken:
    """This run has the right to act."""

    epoch: int
    from_whom: str = ""
    """The holder that let it lapse; empty where it was free."""
    warning: str = ""
    """What the right does not protect from; empty where it protects fully."""


@dataclass(frozen=True, slots=True)
class HeldBy:
    """Somebody else has the right to act."""

    holder: str
    since: datetime | None
    """By the holder's own clock."""


class Right(Protocol):
    """The right to act, however it is secured."""

    def acquire(self) -> Taken | HeldBy:
        """Ask for the right; may wait for one term. Raises what the store or AWS raises."""

    def keep(self) -> None:
        """Renew it when that is due; call it at every pass. Raises LeaseLost when it is gone or too old."""

    def check_before_act(self) -> None:
        """Make sure of it right before an act. Raises LeaseLost when it is gone or too old."""

    def release(self) -> None:
        """Give it back, so that the next run need not wait. Best effort, quick, never raises."""


def asking(right: Right) -> Callable[[bool], None]:
    """What is called right before each request, with whether it acts: no act without the right to it.

    The request may have waited for its turn since the right was last asked for, and the machine may have slept.
    """

    def before_call(acting: bool) -> None:  # noqa: FBT001 - the hook's form
        right.keep()
        if acting:
            right.check_before_act()

    return before_call


Monotonic = Callable[[], float]
"""Seconds that never go back, at the same scale as the clock."""


@dataclass(frozen=True, slots=True)
class _Moment:
    wall: datetime
    monotonic: float


@dataclass(slots=True)
class _Held:
    """What the holder knows of its own lease."""

    epoch: int
    since: datetime
    tag: str
    began: _Moment
    """When the last confirmed renewal began: from then on the rival's term may be running."""


@dataclass(frozen=True, slots=True)
class _Watch:
    """What a rival watches: whether the object is still the one that it saw first."""

    tag: str
    note: LeaseNote | None
    began: float
    term: timedelta


class Lease:
    """The right to act by an object in the state store. `term` must not be above `LONGEST_TERM`."""

    def __init__(
        self, store: Store, key: str, holder: str, run: RunId, term: timedelta, clock: Clock, monotonic: Monotonic
    ) -> None:
        if not timedelta() < term <= LONGEST_TERM:
            raise ValueError(f"the term of a lease must be above 0 and at most {LONGEST_TERM}, not {term}")
        self._store = store
        self._key = key
        self._holder = holder
        self._run = run
        self._term = term
        self._clock = clock
        self._monotonic = monotonic
        self._held: _Held | None = None
        self._sent: dict[bytes, _Moment] = {}
        """Writes without an answer, and when each began: any of them may be what the store holds."""
        self._writes = 0
        self._lost = ""

    @property
    def margin(self) -> timedelta:
        """How long an act may take after `check_before_act` without reaching into the time of the next holder."""
        return self._term * MARGIN_SHARE

    # Taking it

    def acquire(self) -> Taken | HeldBy:
        """Take the lease where it is free or has lapsed; wait at most one term to see whether it is renewed."""
        watch: _Watch | None = None
        fault: UpdaterError | None = None
        for _ in range(LOOKS_MAX):
            try:
                step, fault = self._look(watch), None
            except (Throttled, Unreachable) as error:
                fault = error
            else:
                if not isinstance(step, _Watch):
                    return step
                watch = step
            if not self._clock.sleep((watch.term if watch is not None else self._term) / WATCHES_PER_TERM):
                break
        if fault is not None:
            raise fault
        return _held_by(watch.note if watch is not None else None)

    def _look(self, watch: _Watch | None) -> Taken | HeldBy | _Watch:
        """One look at the lease, and an attempt to take it where it is free or was watched for its whole term."""
        seen = self._store.get(self._key)
        note, now = read_lease(seen), self._monotonic()
        if seen is not None and note is not None and seen.data in self._sent:
            return self._have(note.epoch, self._sent[seen.data], seen.tag, from_whom="")
        tag = seen.tag if seen is not None else ABSENT
        if note is None or note.released:
            return self._take(tag, note, from_whom="")
        if watch is None:
            return _Watch(tag, note, now, max(self._term, note.term))
        if watch.tag != tag:
            return _held_by(note)
        if now - watch.began < watch.term.total_seconds():
            return watch
        return self._take(tag, note, from_whom=note.holder)

    def _take(self, tag: str, note: LeaseNote | None, from_whom: str) -> Taken | _Watch:
        epoch = (note.epoch if note is not None else 0) + 1
        began = self._moment()
        data = self._write(epoch, began.wall, released=False)
        self._sent[data] = began
        try:
            return self._have(epoch, began, self._store.put(self._key, data, tag), from_whom)
        except Conflict:
            # Whoever was faster, a rival or an earlier write of our own, shows at the next look by another tag.
            return _Watch(tag, note, self._monotonic(), self._term)

    def _have(self, epoch: int, began: _Moment, tag: str, from_whom: str) -> Taken:
        self._held = _Held(epoch, began.wall, tag, began)
        self._sent.clear()
        return Taken(epoch, from_whom)

    # Keeping it

    def keep(self) -> None:
        held = self._holding()
        if self._age(held) >= self._term * RENEW_AFTER_SHARE:
            self._renew(held)
        if self._age(held) >= self._term - self.margin:
            raise self._lose("it could not be renewed in time, so another run may have taken it")

    def check_before_act(self) -> None:
        self.keep()

    def _renew(self, held: _Held) -> None:
        began = self._moment()
        data = self._write(held.epoch, held.since, released=False)
        self._sent[data] = began
        try:
            tag = self._store.put(self._key, data, held.tag)
        except Conflict:
            self._adopt(held)
        except (Throttled, Unreachable):
            return
        else:
            held.tag, held.began = tag, began
            self._sent.clear()

    def _adopt(self, held: _Held) -> None:
        """Find that the unexpected content is a renewal of our own whose reply was lost. Raises LeaseLost if not."""
        try:
            stored = self._store.get(self._key)
        except (Throttled, Unreachable):
            return
        if stored is None or stored.data not in self._sent:
            note = read_lease(stored)
            raise self._lose(f"{note.holder} has it" if note is not None else "somebody removed it")
        held.tag, held.began = stored.tag, self._sent[stored.data]
        self._sent.clear()

    def _holding(self) -> _Held:
        if self._held is None:
            raise LeaseLost(self._lost or "this run never had the lease of the cluster")
        return self._held

    def _lose(self, why: str) -> LeaseLost:
        self._held = None
        self._lost = f"this run lost the lease of the cluster: {why}"
        return LeaseLost(self._lost)

    # Giving it back

    def release(self) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        data = self._write(held.epoch, held.since, released=True)
        try:
            self._put_last(data, held.tag)
        except (Conflict, UpdaterError):
            # Whoever has it now keeps it; whoever wants it waits one term.
            return

    def _put_last(self, data: bytes, tag: str) -> None:
        try:
            self._store.put(self._key, data, tag)
        except Conflict:
            stored = self._store.get(self._key)
            if stored is None or stored.data not in self._sent:
                raise
            self._store.put(self._key, data, stored.tag)

    def _moment(self) -> _Moment:
        return _Moment(self._clock.now(), self._monotonic())

    def _age(self, held: _Held) -> timedelta:
        now = self._moment()
        monotonic = timedelta(seconds=now.monotonic - held.began.monotonic)
        return max(now.wall - held.began.wall, monotonic)

    def _write(self, epoch: int, since: datetime, *, released: bool) -> bytes:
        # The run and the count make every write different from every other: a tag may be no more than a hash.
        self._writes += 1
        value = {
            "holder": self._holder,
            "run": self._run,
            "epoch": epoch,
            "since": since.isoformat(),
            "term_seconds": self._term.total_seconds(),
            "released": released,
            "write": self._writes,
        }
        return json.dumps(value, indent=1).encode()


def lease_key(cluster: str) -> str:
    """Where the lease of a cluster is kept."""
    return f"clusters/{cluster}/lease.json"


def _held_by(note: LeaseNote | None) -> HeldBy:
    return HeldBy(note.holder, note.since) if note is not None else HeldBy("unknown", None)


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A running task of the updater's own family."""

    arn: TaskArn
    created_at: datetime


class TaskLease:
    """The right to act without a state store: the oldest running task of the updater's own family has it.

    Weaker than `Lease`: it knows nothing of runs outside ECS, and trusts that ECS lists every running task.
    """

    def __init__(
        self,
        own: TaskArn,
        running: Callable[[], Sequence[RunningTask]],
        term: timedelta,
        clock: Clock,
        monotonic: Monotonic,
    ) -> None:
        self._own = own
        self._running = running
        self._term = term
        self._clock = clock
        self._monotonic = monotonic
        self._asked: float | None = None

    def acquire(self) -> Taken | HeldBy:
        """Have the right where no older task is listed; waits at most one term until ECS lists this one itself."""
        began = self._monotonic()
        while True:
            tasks = self._running()
            first = _oldest(tasks)
            if first is not None and any(task.arn == self._own for task in tasks):
                break
            if self._monotonic() - began >= self._term.total_seconds():
                break
            if not self._clock.sleep(self._term / WATCHES_PER_TERM):
                break
        if first is None or first.arn != self._own:
            return HeldBy(first.arn, first.created_at) if first is not None else HeldBy("unknown", None)
        self._asked = self._monotonic()
        return Taken(0)

    def keep(self) -> None:
        if self._asked is None:
            raise LeaseLost("this run does not have the right to act on the cluster")
        now = self._monotonic()
        if now - self._asked < self._term.total_seconds():
            return
        try:
            first = _oldest(self._running())
        except (Throttled, Unreachable):
            # An older task cannot begin later than this one: not knowing for a while takes nothing away.
            return
        if first is not None and first.arn != self._own:
            self._asked = None
            raise LeaseLost(f"an older task of this family runs: {first.arn}")
        self._asked = now

    def check_before_act(self) -> None:
        self.keep()

    def release(self) -> None:
        self._asked = None


def _oldest(tasks: Sequence[RunningTask]) -> RunningTask | None:
    return min(tasks, key=lambda task: (task.created_at, task.arn), default=None)


class NoLease:
    """No protection at all: for a run outside ECS and without a state store. It acts, and says so."""

    WARNING = "nothing keeps another run from acting on this cluster at the same time: use a state store"

    def acquire(self) -> Taken | HeldBy:
        return Taken(0, warning=self.WARNING)

    def keep(self) -> None:
        """There is nothing to renew."""

    def check_before_act(self) -> None:
        """There is nothing to lose."""

    def release(self) -> None:
        """There is nothing to give back."""
