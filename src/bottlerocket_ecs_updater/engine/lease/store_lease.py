"""The lease on a cluster, which at most one run holds at a time.

It is one object in the state store. Every write is conditional, so if two runs write, one gets Conflict.

    absent, released ──take──▶ held ──renewed in time──▶ held ──release──▶ released
                                 │ ▲
            not renewed in time  ▼ │ renewed late: no other run wrote it in the meantime
                               lapsed
                                 └──not renewed for a whole term, as seen by a rival──▶ held by the rival

Why two runs never act at once, even if their clocks disagree:
the holder stops three quarters of a term after it *started* its last confirmed renewal;
a rival takes over a whole term after it first *saw* that renewal, and only if nothing was written since.
The rival sees a renewal only after it started, so at least a quarter of the term separates the last act of one run
from the first act of the other, as long as their clocks run at rates within a few percent. Neither run compares times
with the other's clock.

A lapsed lease is regained with one more renewal, a write on condition that the object is still the holder's own last
one. A rival's takeover is a write on the same condition: one of the two gets Conflict. If the holder is first, the
rival sees a new object and watches for another whole term, so the guarantee above holds for this renewal too.
In between, the holder did nothing and its knowledge is stale: it looks at everything again before it acts.

All of this depends on a store that refuses a write whose condition fails. Some S3-compatible stores accept
`If-None-Match` and `If-Match` but write anyway. So right after the lease was acquired, `check_store` tries to write
with conditions that must fail.

A Conflict counts only if the object that is read afterwards is not the holder's own. S3 may reject a write only because
it overlaps another one, and a write whose reply was lost may have taken effect.

The holder measures the longer of wall-clock and monotonic time: monotonic time stops while a machine is suspended, and
a wall clock can be set back. The rival measures only monotonic time, because a clock that is set forward must not
shorten its watch. An act that is sent just before the end must finish within the remaining quarter: see `Lease.margin`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.time_text import time_text
from bottlerocket_ecs_updater.engine.lease.lease_note import LONGEST_TERM, LeaseNote, read_lease
from bottlerocket_ecs_updater.engine.lease.run_lease import HeldBy, Taken
from bottlerocket_ecs_updater.engine.lease.task_lease import Monotonic
from bottlerocket_ecs_updater.engine.ports import ABSENT, Clock, Conflict, Store, Unconditional
from bottlerocket_ecs_updater.engine.waits import Waits
from bottlerocket_ecs_updater.errors import LeaseLapsed, LeaseLost, Throttled, Unreachable, UpdaterError

RENEW_AFTER_SHARE = 2 / 5
"""Share of the term after which the holder renews: after 72 s of 3 minutes.

Before the lease lapses, after 135 s, that leaves a minute for retries. So a renewal whose connection hangs until its
deadline, or half a minute without answers from the store, costs nothing.
"""

MARGIN_SHARE = 1 / 4
"""Share of the term between the end of the holder's lease and the earliest takeover."""

TRY_AGAIN_SHARE = 1 / 20
TRY_AGAIN_MAX = timedelta(seconds=3)
"""Wait before a failed renewal is retried: the share of the term, and the maximum."""

WATCHES_PER_TERM = 8
"""How often a rival checks whether the lease was renewed, so that it notices a live holder soon."""

NO_TAG = '"00000000000000000000000000000000"'
"""A tag that no object has."""

LOOKS_MAX = 4 * WATCHES_PER_TERM
"""Maximum looks in one attempt to acquire the lease. More than one term's worth, to allow for store faults."""

RELEASE_TRIES = 3
"""Immediate tries to release: the write may overlap the last renewal, or find that a failed renewal took effect."""


@dataclass(frozen=True, slots=True)
class _Moment:
    wall: datetime
    monotonic: float


@dataclass(slots=True)
class _Held:
    """What the holder knows about its own lease."""

    epoch: int
    since: datetime
    tag: str
    data: bytes
    """The object's content when it was last read or written."""
    began: _Moment
    """When the last confirmed renewal started: a rival may have watched since then."""
    failed: _Moment | None = None
    """When the last renewal failed; None if none failed since the last confirmed one."""
    lapsed: bool = False
    """Whether the lease lapsed since the run last looked at everything again."""


@dataclass(frozen=True, slots=True)
class _Watch:
    """The object that a rival saw first. The rival watches whether it changes."""

    tag: str
    note: LeaseNote | None
    began: float
    term: timedelta


class StoreLease:
    """A lease that is an object in the state store. `term` must be at most `LONGEST_TERM`."""

    def __init__(
        self,
        store: Store,
        key: str,
        holder: str,
        run: RunId,
        term: timedelta,
        clock: Clock,
        monotonic: Monotonic,
        waits: Waits | None = None,
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
        self._waits = waits or Waits()
        self._held: _Held | None = None
        self._sent: dict[bytes, _Moment] = {}
        """Writes without a reply, and when each started: the store may contain any of them."""
        self._writes = 0
        self._refused_absent = False
        """Whether the store refused to create the object, because it exists."""
        self._lost = ""

    @property
    def margin(self) -> timedelta:
        """How long an act may take after `check_before_act` without overlapping the next holder's lease."""
        return self._term * MARGIN_SHARE

    # Acquire

    def acquire(self) -> Taken | HeldBy:
        """Acquire the lease if it is free or has lapsed. Waits at most one term to see whether it is renewed."""
        watch: _Watch | None = None
        fault: UpdaterError | None = None
        began = self._clock.now()
        for _ in range(LOOKS_MAX):
            try:
                step, silent, fault = self._look(watch), fault is not None, None
            except (Throttled, Unreachable) as error:
                if fault is None:
                    until = began + self._term * LOOKS_MAX / WATCHES_PER_TERM
                    self._waits.begin(f"the state store to answer: {error}", began, until)
                fault = error
            else:
                if not isinstance(step, _Watch):
                    return step
                if watch is None or silent:
                    self._show_watch(step)
                watch = step
            if not self._clock.sleep((watch.term if watch is not None else self._term) / WATCHES_PER_TERM):
                break
        if fault is not None:
            raise fault
        return _held_by(watch.note if watch is not None else None)

    def _show_watch(self, watch: _Watch) -> None:
        """Show whose lease is watched, and for how long. A holder that was killed never released it."""
        if watch.note is None:
            return
        now = self._clock.now()
        left = watch.term - timedelta(seconds=self._monotonic() - watch.began)
        since = f" since {time_text(watch.note.since)}" if watch.note.since is not None else ""
        what = f"the lease of the cluster, which {watch.note.holder} holds{since}, to see whether it is still renewed"
        self._waits.begin(what, now, now + left)

    def _look(self, watch: _Watch | None) -> Taken | HeldBy | _Watch:
        """Look at the lease once, and try to take it if it is free or was watched for its whole term."""
        if not (self._refused_absent or self._sent):
            created = self._take(ABSENT, None, from_whom="")
            if isinstance(created, Taken):
                return created
            self._refused_absent = True
        seen = self._store.get(self._key)
        note, now = read_lease(seen), self._monotonic()
        if seen is not None and note is not None and seen.data in self._sent:
            return self._have(note.epoch, self._sent[seen.data], seen.tag, seen.data, from_whom="")
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
            return self._have(epoch, began, self._store.put(self._key, data, tag), data, from_whom)
        except Conflict:
            # A rival, or an earlier write of our own, was faster. The next look sees the new tag.
            return _Watch(tag, note, self._monotonic(), self._term)

    def _have(self, epoch: int, began: _Moment, tag: str, data: bytes, from_whom: str) -> Taken:
        self._held = _Held(epoch, began.wall, tag, data, began)
        self._sent.clear()
        return Taken(epoch, from_whom)

    def check_store(self) -> None:
        """Check that the store refuses writes whose condition fails. Call right after the lease was acquired.

        Raises Unconditional, and what the store raises.
        """
        if not self._refused_absent:
            self._must_be_refused(ABSENT, "If-None-Match: it wrote over an object that was there")
        self._must_be_refused(NO_TAG, "If-Match: it wrote over an object that had another tag")

    def _must_be_refused(self, expect: str, what: str) -> None:
        held = self._holding()
        try:
            self._store.put(self._key, self._write(held.epoch, held.since, released=False), expect)
        except Conflict:
            return
        raise Unconditional(f"the state store ignores {what}. Two runs could hold the lease at once; use Amazon S3")

    # Renew

    def keep(self) -> timedelta:
        """Renew if due. After a failure, retry every few seconds until it succeeds or another run holds the lease."""
        held = self._renewed()
        if held.lapsed:
            raise self._lapse()
        return max(self._due_in(held), self._spacing)

    def check_before_act(self) -> None:
        if self._too_old(self._renewed()):
            raise self._lapse()

    def regain(self) -> None:
        held = self._renewed()
        if self._too_old(held):
            raise self._lapse()
        held.lapsed = False

    def _renewed(self) -> _Held:
        """The held lease, after an attempt to renew it if due. Raises LeaseLost if another run holds it."""
        held = self._holding()
        if self._due_in(held) <= timedelta():
            self._renew(held)
        held.lapsed = held.lapsed or self._too_old(held)
        return held

    def _too_old(self, held: _Held) -> bool:
        return self._age(held.began) >= self._term - self.margin

    def _due_in(self, held: _Held) -> timedelta:
        if held.failed is not None:
            return self._spacing - self._age(held.failed)
        return self._term * RENEW_AFTER_SHARE - self._age(held.began)

    @property
    def _spacing(self) -> timedelta:
        return min(self._term * TRY_AGAIN_SHARE, TRY_AGAIN_MAX)

    def _renew(self, held: _Held) -> None:
        began = self._moment()
        data = self._write(held.epoch, held.since, released=False)
        self._sent[data] = began
        # It counts as failed until it is confirmed.
        held.failed = began
        try:
            tag = self._store.put(self._key, data, held.tag)
        except Conflict:
            self._adopt(held)
        except (Throttled, Unreachable):
            held.failed = self._moment()
        else:
            self._confirm(held, tag, data)

    def _adopt(self, held: _Held) -> None:
        """Find out who wrote the unexpected content. Raises LeaseLost if it was not this run."""
        try:
            stored = self._store.get(self._key)
        except (Throttled, Unreachable):
            stored = None
        else:
            if stored is None or stored.data not in (held.data, *self._sent):
                note = read_lease(stored)
                raise self._lose(f"{note.holder} holds it" if note is not None else "its object was deleted")
        held.failed = self._moment()
        if stored is not None and stored.data in self._sent:
            # A renewal whose reply was lost. It counts from when it started.
            self._confirm(held, stored.tag, stored.data)
        elif stored is not None:
            # Nothing was written, but the store rejected the write: retry it.
            held.tag = stored.tag

    def _confirm(self, held: _Held, tag: str, data: bytes) -> None:
        began = self._sent[data]
        # If the lease had run out before this renewal started, a rival could have taken it.
        held.lapsed = held.lapsed or _between(held.began, began) >= self._term - self.margin
        held.tag, held.data, held.began, held.failed = tag, data, began, None
        self._sent.clear()

    def _holding(self) -> _Held:
        if self._held is None:
            raise LeaseLost(self._lost or "this run never held the lease of the cluster")
        return self._held

    def _lapse(self) -> LeaseLapsed:
        why = "the lease of the cluster could not be renewed in time, so another run may have taken it"
        return LeaseLapsed(why, self._spacing)

    def _lose(self, why: str) -> LeaseLost:
        self._held = None
        self._lost = f"this run lost the lease of the cluster: {why}"
        return LeaseLost(self._lost)

    # Release

    def release(self) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        data = self._write(held.epoch, held.since, released=True)
        ours = {held.data, data, *self._sent}
        try:
            tag: str | None = held.tag
            for _ in range(RELEASE_TRIES):
                tag = self._put_last(data, tag, ours) if tag is not None else None
        except UpdaterError:
            # If it was not released, the next run waits one term.
            return

    def _put_last(self, data: bytes, tag: str, ours: set[bytes]) -> str | None:
        """Write on condition of that tag. Returns the next tag to try; None if done, or if another run wrote it."""
        try:
            self._store.put(self._key, data, tag)
        except Throttled:
            return tag
        except Conflict:
            stored = self._store.get(self._key)
            return stored.tag if stored is not None and stored.data in ours - {data} else None
        return None

    def _moment(self) -> _Moment:
        return _Moment(self._clock.now(), self._monotonic())

    def _age(self, then: _Moment) -> timedelta:
        return _between(then, self._moment())

    def _write(self, epoch: int, since: datetime, *, released: bool) -> bytes:
        # The run and the count make each write unique, because a tag may be just a hash of the content.
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


def _between(then: _Moment, now: _Moment) -> timedelta:
    return max(now.wall - then.wall, timedelta(seconds=now.monotonic - then.monotonic))


def lease_key(cluster: str) -> str:
    """The key of a cluster's lease."""
    return f"clusters/{cluster}/lease.json"


def _held_by(note: LeaseNote | None) -> HeldBy:
    return HeldBy(note.holder, note.since) if note is not None else HeldBy("unknown", None)
