"""The state of versions that kept it under the cluster's name alone, and how it is moved: once, and by one run.

    clusters/<name>/…            before: shared by clusters of one name in all Regions and accounts of the store
    clusters/<account>/<region>/<name>/…

A cluster's first run moves what is its own:

    both leases are held     a run of an older version acts on the same instances, and knows the old one only
    pause.json is copied     where there is no new one
    ledger.json is read      claims on instances of this account and Region are taken over, with all that is
                             remembered beside them: rests, releases that failed, first sightings
    the new one is written   with a mark that the old one is being left
    the old one is fenced    its format is raised, and this cluster's claims are taken out of it: a run of an older
                             version says that it cannot read it, and acts on nothing; what is left is of another
                             cluster, whose first run finds it there

Each step can be repeated, and is, where a run dies in between. Once the old ledger is fenced, the next write of the new
one says so, and nobody reads the old state again. Records and reports stay where they are.
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
    FORMAT,
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
"""In the ledger: what became of the old one."""

LEAVING, LEFT = "leaving", "left"

MOVED_TO = "moved_to"
"""In the old ledger: the clusters that took theirs out of it."""

FENCED_FORMAT = 2
"""No version that knows the old place reads it."""


class MovingLedger:
    """The ledger of a cluster, which takes over what is its own in the old one, and fences that."""

    def __init__(self, ledger: KeptLedger, store: Store, place: Location) -> None:
        self._ledger = ledger
        self._store = store
        self._place = place
        self._old_key = ledger_key(place.name)
        self._old: Stored | None = None
        """The old one, while it is to be fenced."""
        self._check: Callable[[], None] = lambda: None

    @property
    def value(self) -> Ledger:
        return self._ledger.value

    def load(self) -> Ledger:
        self._ledger.load()
        if self._ledger.beside.get(MARK) != LEFT:
            try:
                self._take_over(self._store.get(self._old_key))
            except LedgerBroken:
                # Of two of which one cannot be read, none is written: a person looks first.
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
        # Else it was taken over before, by a run that died before the old one was fenced.
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
                raise LeaseLost(f"somebody else wrote {self._old_key} while this run moved it") from None
            raise Unreachable(f"{self._old_key} was not written, though nobody else wrote it") from None


def _read_old(stored: Stored | None, key: str, place: Location) -> Ledger | None:
    """What is to be taken over; None where there is nothing, or it was before. Raises LedgerBroken."""
    if stored is None:
        return None
    try:
        value = read_object(stored.data, dict)
        if value.get("format") == FENCED_FORMAT:
            if str(place) in _moved_to(value):
                return None
            value = {**value, "format": FORMAT}
        return shaped(value, ledger_of)[0]
    except Unreadable as problem:
        raise broken(key, problem) from problem


def ours(ledger: Ledger, place: Location) -> Ledger:
    """What of an old ledger is this cluster's, or may be: claims tell whose they are, all else is taken as it is."""
    claims = {id_: one for id_, one in ledger.claims.items() if _may_be(one.arn, place)}
    return replace(ledger, claims=claims)


def _fenced(data: bytes, place: Location) -> bytes:
    """The old ledger without what is this cluster's, in a form that no older version reads."""
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
    """Whether the cluster's first run has moved everything. Raises what the store raises."""
    stored = store.get(ledger_key(str(place)))
    try:
        return stored is not None and read_object(stored.data, dict).get(MARK) == LEFT
    except Unreadable:
        # Whatever it is, it is not the old one that must be heard.
        return True


def pause_of(store: Store | None, place: Location | None, name: str) -> str:
    """Who paused the cluster, at the new place or, until that has moved, at the old one; in words, as of `pausing`."""
    if store is None or place is None:
        return look_for_pause(store, name)
    return look_for_pause(store, str(place)) or ("" if has_left(store, place) else look_for_pause(store, place.name))


def end_pause(store: Store, place: Location) -> None:
    """Resume, wherever it was paused. Raises what the store raises."""
    clear_pause(store, str(place))
    if not has_left(store, place):
        clear_pause(store, place.name)


def move_pause(store: Store, place: Location) -> None:
    """Take over a pause, where there is none yet, and nothing was moved before. Raises what the store raises."""
    paused = store.get(pause_key(place.name)) if not has_left(store, place) else None
    if paused is None:
        return
    try:
        store.put(pause_key(str(place)), paused.data, ABSENT)
    except Conflict:
        # There is one, of somebody who knows the new place.
        return
