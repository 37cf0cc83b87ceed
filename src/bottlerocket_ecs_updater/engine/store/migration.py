"""Moves state from the old keys, which have only the cluster's name, to keys with account and Region. Runs once.

    clusters/<name>/…            before: shared by clusters of one name in all Regions and accounts of the store
    clusters/<account>/<region>/<name>/…

A cluster's first run moves its own state:

    hold both leases         an older updater acts on the same instances, and knows only the old lease
    copy pause.json          if there is no new one
    read ledger.json         take over claims on instances of this account and Region, and everything else in the
                             ledger: backoffs, failed versions, first sightings
    write the new ledger     with a mark that the old one is being left
    fence the old ledger     raise its format, and remove this cluster's claims from it. An older updater then reports
                             that it cannot read the ledger, and does not act. What is left belongs to another
                             cluster, whose first run takes it over

Each step can be repeated, and is repeated if a run dies in between. After the old ledger is fenced, the next write of
the new one records that, and the old state is never read again. Records and reports stay where they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bottlerocket_ecs_updater.core.model.location import Location, location_of
from bottlerocket_ecs_updater.core.state.ledger import Change, Ledger
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Store, Stored
from bottlerocket_ecs_updater.engine.store.ledger_store import (
    LEDGER_FORMAT,
    KeptLedger,
    LedgerBroken,
    broken,
    ledger_key,
    ledger_of,
)
from bottlerocket_ecs_updater.engine.store.pause_switch import clear_pause, look_for_pause, pause_key
from bottlerocket_ecs_updater.engine.store.read_json import Unreadable, read_object, shaped
from bottlerocket_ecs_updater.errors import LeaseLost, Unreachable

MARK = "old_state"
"""Key in the new ledger: the state of the migration."""

LEAVING, LEFT = "leaving", "left"

MOVED_TO = "moved_to"
"""Key in the old ledger: the clusters that have moved their state out of it."""

FENCED_FORMAT = 2
"""A format that older updaters refuse to read."""


class MovingLedger:
    """The ledger of a cluster, which takes over its part of the old ledger and then fences it."""

    def __init__(self, ledger: KeptLedger, store: Store, place: Location) -> None:
        self._ledger = ledger
        self._store = store
        self._place = place
        self._old_key = ledger_key(place.name)
        self._old: Stored | None = None
        """The old ledger, until it is fenced."""
        self._check: Callable[[], None] = lambda: None

    @property
    def value(self) -> Ledger:
        return self._ledger.value

    @property
    def saved(self) -> Ledger:
        return self._ledger.saved

    def has_left(self) -> bool:
        """Whether the migration is complete. Only for the run that holds the lease. Raises what the store raises."""
        return _has_left(self._ledger.peek())

    def load(self) -> Ledger:
        self._ledger.load()
        if self._ledger.beside.get(MARK) != LEFT:
            try:
                self._take_over(self._store.get(self._old_key))
            except LedgerBroken:
                # If one of the two cannot be read, write neither: a person must look first.
                self._ledger.leave_alone()
                raise
        return self.value

    def _take_over(self, stored: Stored | None) -> None:
        old = _read_old(stored, self._old_key, self._place)
        if old is None or stored is None:
            self._ledger.beside[MARK] = LEFT
            return
        if self._ledger.is_new:
            self._ledger.change(lambda _: ours(old, self._place))
        # Otherwise an earlier run took it over, and died before it fenced the old one.
        self._ledger.beside[MARK] = LEAVING
        self._old = stored

    def change(self, step: Change) -> Ledger:
        return self._ledger.change(step)

    def ask_first(self, check: Callable[[], None]) -> None:
        self._check = check
        self._ledger.ask_first(check)

    def flush(self) -> None:
        self._ledger.flush()
        if self._old is not None:
            self._fence(self._old)
            self._old, self._ledger.beside[MARK] = None, LEFT

    def _fence(self, old: Stored) -> None:
        self._check()
        try:
            self._store.put(self._old_key, _fenced(old.data, self._place), old.tag)
        except Conflict:
            stored = self._store.get(self._old_key)
            if _read_old(stored, self._old_key, self._place) is None:
                return
            if stored is None or stored.tag != old.tag:
                raise LeaseLost(f"another writer changed {self._old_key} while this run moved it") from None
            raise Unreachable(f"{self._old_key} could not be written, although no one else wrote it") from None


def _read_old(stored: Stored | None, key: str, place: Location) -> Ledger | None:
    """The ledger to take over; None if there is none, or it was taken over before. Raises LedgerBroken."""
    if stored is None:
        return None
    try:
        value = read_object(stored.data, dict)
        if value.get("format") == FENCED_FORMAT:
            if str(place) in _moved_to(value):
                return None
            value = {**value, "format": LEDGER_FORMAT}
        return shaped(value, ledger_of)[0]
    except Unreadable as problem:
        raise broken(key, problem) from problem


def ours(ledger: Ledger, place: Location) -> Ledger:
    """This cluster's part of an old ledger: claims that are or may be its own, and everything else."""
    claims = {id_: one for id_, one in ledger.claims.items() if _may_be(one.arn, place)}
    return replace(ledger, claims=claims)


def _fenced(data: bytes, place: Location) -> bytes:
    """The old ledger without this cluster's claims, in a format that older updaters refuse to read."""
    value = read_object(data, dict)
    kept = {id_: one for id_, one in value["claims"].items() if not _may_be(one["arn"], place)}
    moved = {"format": FENCED_FORMAT, MOVED_TO: sorted({*_moved_to(value), str(place)}), "claims": kept}
    return json.dumps({**value, **moved}, indent=1, sort_keys=True).encode()


def _moved_to(value: Mapping[str, Any]) -> frozenset[str]:
    named = value.get(MOVED_TO)
    return frozenset(map(str, named)) if isinstance(named, list) else frozenset()


def _may_be(arn: str, place: Location) -> bool:
    where = location_of(arn)
    return where is None or where.may_be(place)


def has_left(store: Store, place: Location) -> bool:
    """Whether the migration is complete. Raises what the store raises."""
    return _has_left(store.get(ledger_key(str(place))))


def _has_left(stored: Stored | None) -> bool:
    try:
        return stored is not None and read_object(stored.data, dict).get(MARK) == LEFT
    except Unreadable:
        # An unreadable new ledger is not a reason to use the old state.
        return True


def pause_of(store: Store | None, place: Location | None, name: str) -> str:
    """Who paused the cluster, as text: from the new key or, until the migration is complete, from the old one."""
    if store is None or place is None:
        return look_for_pause(store, name)
    return look_for_pause(store, str(place)) or ("" if has_left(store, place) else look_for_pause(store, place.name))


def end_pause(store: Store, place: Location) -> None:
    """Resume, under both keys. Raises what the store raises."""
    clear_pause(store, str(place))
    if not has_left(store, place):
        clear_pause(store, place.name)


def move_pause(store: Store, place: Location) -> None:
    """Copy an old pause, if there is no new one. Only until the migration is complete. Raises what the store raises."""
    paused = store.get(pause_key(place.name))
    if paused is None:
        return
    try:
        store.put(pause_key(str(place)), paused.data, ABSENT)
    except Conflict:
        # A newer updater already wrote a pause under the new key.
        return
