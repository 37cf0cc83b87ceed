"""Stores the ledger: one JSON object per cluster, written on condition that no one else wrote it.

Changes are collected and written together, so a pass needs one write for any number of instances.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.state.ledger import Change, Ledger
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Store
from bottlerocket_ecs_updater.engine.store.read_json import Unreadable, read_object, whole_of
from bottlerocket_ecs_updater.errors import LeaseLost, Throttled, Unreachable, UpdaterError

LEDGER_FORMAT = 1

_RENAMED = {"rests": "backoffs"}
"""Keys that earlier versions wrote under another name."""

FLUSH_TRIES = 3
"""Tries for one write, so that an occasional store fault does not make the pass start over."""


REMEDY = (
    "Restore an earlier version of the object, or run the updater version that wrote it. If neither is possible, "
    "delete it: the updater finds claims on the instances, but forgets earlier failures"
)
"""The remedy for an unreadable ledger."""


@dataclass
class LedgerBroken(UpdaterError):
    """A person must act: the ledger cannot be read, and to treat it as empty would forget failures.

    Claimed instances can still be returned to service, because claims are also on the instances. No update may start.
    """


class LedgerKeeping(Protocol):
    """The ledger as a run uses it, with or without a store."""

    @property
    def value(self) -> Ledger:
        """The ledger with all changes so far."""

    @property
    def saved(self) -> Ledger:
        """The ledger as the store last confirmed it."""

    def load(self) -> Ledger:
        """Read the ledger. Call once, first."""

    def change(self, step: Change) -> Ledger:
        """Apply a change. It is not saved until the next `flush`."""

    def ask_first(self, check: Callable[[], None]) -> None:
        """Call `check` right before each write. If it raises, `flush` raises that and writes nothing."""

    def flush(self) -> None:
        """Save all changes so far. Returns only after the store has confirmed them."""


class UnkeptLedger:
    """The ledger of a run without a store. It is gone when the run ends."""

    def __init__(self) -> None:
        self.value = Ledger()

    @property
    def saved(self) -> Ledger:
        return self.value

    def load(self) -> Ledger:
        return self.value

    def change(self, step: Change) -> Ledger:
        self.value = step(self.value)
        return self.value

    def ask_first(self, check: Callable[[], None]) -> None:
        """Nothing to check: it is never written."""

    def flush(self) -> None:
        """Nothing to save."""


class KeptLedger:
    """The ledger of a cluster in the state store, for the run that holds the lease.

    `flush` raises LeaseLost if another run wrote the object. It passes on Unreachable, Throttled and Denied from the
    store; the changes are kept, and the next `flush` retries. After a Conflict, the object is read to find out
    whether another run wrote it. After a `load` that raised LedgerBroken, nothing is ever written.
    """

    def __init__(self, store: Store, cluster: str, run: RunId) -> None:
        self._store = store
        self._run = run
        self._tag = ABSENT
        self._writes = 0
        self._unconfirmed: list[bytes] = []
        """Writes without a reply: the store may contain any of them."""
        self._safe = Ledger()
        self._safe_beside: Mapping[str, Any] = {}
        self.beside: dict[str, Any] = {}
        """Other keys of the object: those of a newer updater."""
        self._broken = False
        self._check: Callable[[], None] = _nothing
        self.key = ledger_key(cluster)
        self.value = self._safe

    def load(self) -> Ledger:
        stored = self._store.get(self.key)
        if stored is not None:
            self._tag = stored.tag
            self._broken = True
            self._safe, self.beside = read_ledger(stored.data, self.key)
            self._broken = False
            self.value, self._safe_beside = self._safe, dict(self.beside)
        return self.value

    @property
    def saved(self) -> Ledger:
        return self._safe

    def change(self, step: Change) -> Ledger:
        self.value = step(self.value)
        return self.value

    def ask_first(self, check: Callable[[], None]) -> None:
        self._check = check

    def flush(self) -> None:
        fault: UpdaterError = Unreachable(f"{self.key} could not be written, although no one else wrote it")
        for _ in range(FLUSH_TRIES):
            try:
                if self._written():
                    return
            except (Throttled, Unreachable) as error:
                # A retry is safe: if the reply was lost, the next read recognizes our own write.
                fault = error
        raise fault

    def _written(self) -> bool:
        """Try once to save. Returns whether everything is saved. Raises what the store raises, and LeaseLost."""
        if self._broken:
            # Never overwrite an unreadable ledger: a person must look at it.
            return True
        if self._is_safe():
            return True
        try:
            self._put()
        except Conflict:
            self._adopt()
            return self._is_safe()
        return True

    def _is_safe(self) -> bool:
        return self.value == self._safe and self.beside == self._safe_beside and not self._unconfirmed

    def _put(self) -> None:
        self._check()
        value, beside = self.value, dict(self.beside)
        self._writes += 1
        # The run and the count make each write unique, so that we recognize our own.
        data = write_ledger(value, {**beside, "run": self._run, "write": self._writes})
        self._unconfirmed.append(data)
        self._tag = self._store.put(self.key, data, self._tag)
        self._safe, self._safe_beside = value, beside
        self._unconfirmed.clear()

    def _adopt(self) -> None:
        """Find out who wrote the unexpected content. Raises LeaseLost if it was not this run."""
        stored = self._store.get(self.key)
        if (stored.tag if stored is not None else ABSENT) == self._tag:
            # The object has not changed: the store rejected the write for another reason, so retry.
            return
        if stored is None or stored.data not in self._unconfirmed:
            raise self._lost()
        self._tag = stored.tag
        self._safe, self._safe_beside = read_ledger(stored.data, self.key)
        self._unconfirmed.clear()

    def _lost(self) -> LeaseLost:
        return LeaseLost(f"another writer changed {self.key} while this run held the lease")


def _nothing() -> None:
    return


def ledger_key(cluster: str) -> str:
    """The key of a cluster's ledger."""
    return f"clusters/{cluster}/ledger.json"


def write_ledger(ledger: Ledger, beside: dict[str, Any]) -> bytes:
    """The ledger as JSON that people can read and compare."""
    from bottlerocket_ecs_updater.engine.store.json_values import ledger_converter  # noqa: PLC0415 - slow to import

    value = {**beside, "format": LEDGER_FORMAT, **ledger_converter().unstructure(ledger, Ledger)}
    return json.dumps(value, indent=1, sort_keys=True).encode()


def read_ledger(data: bytes, key: str) -> tuple[Ledger, dict[str, Any]]:
    """The ledger, and the keys of a newer updater. Raises LedgerBroken, which names the object and the place."""
    try:
        return read_object(data, ledger_of)
    except Unreadable as problem:
        raise broken(key, problem) from problem


def broken(key: str, problem: Unreadable) -> LedgerBroken:
    """An error with the object, why it cannot be read, and the remedy."""
    return LedgerBroken(f"{key} in the state store cannot be read: {problem}. {REMEDY}")


def ledger_of(value: Mapping[str, Any]) -> tuple[Ledger, dict[str, Any]]:
    """Like `read_ledger`, for parsed JSON. Raises Unreadable."""
    from bottlerocket_ecs_updater.engine.store.json_values import ledger_converter, structured  # noqa: PLC0415 - slow to import

    if "format" not in value:
        raise Unreadable("it is not a ledger: it has no format")
    if whole_of(value["format"]) > LEDGER_FORMAT:
        raise Unreadable(f"it has format {value['format']}, and this updater knows formats up to {LEDGER_FORMAT}")
    value = {_RENAMED.get(name, name): part for name, part in value.items()}
    if missing := {"claims", "backoffs"} - value.keys():
        raise Unreadable(f"it has no {' and no '.join(sorted(missing))}")
    known = {"format", "run", "write", *ledger_converter().unstructure(Ledger(), Ledger)}
    beside = {name: part for name, part in value.items() if name not in known}
    return structured(ledger_converter(), value, Ledger), beside
