"""Keeping the ledger: one JSON object per cluster, written under the condition that nobody else wrote it.

Changes are gathered and written at once, so that a pass costs one write however many instances it marks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from bottlerocket_ecs_updater.core.errors import LeaseLost, Throttled, Unreachable, UpdaterError
from bottlerocket_ecs_updater.core.ids import RunId
from bottlerocket_ecs_updater.core.ledger import Change, Ledger
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Store

FORMAT = 1

FLUSH_TRIES = 3
"""A store that refuses one write now and then costs no pass: what follows the write would else have to begin anew."""


@dataclass
class LedgerBroken(UpdaterError):
    """Call a person: the ledger cannot be read, and guessing that it is empty would strand what it remembers."""


class LedgerKeeping(Protocol):
    """What a run needs of its ledger, kept or not."""

    @property
    def value(self) -> Ledger:
        """The ledger with every change so far."""

    def load(self) -> Ledger:
        """Read it, once, before anything else."""

    def change(self, step: Change) -> Ledger:
        """Take one step; it is not safe before the next `flush`."""

    def flush(self) -> None:
        """Make every change so far safe: returns only when the store has confirmed it."""


class UnkeptLedger:
    """The ledger of a run without a store: it ends with the run."""

    def __init__(self) -> None:
        self.value = Ledger()

    def load(self) -> Ledger:
        return self.value

    def change(self, step: Change) -> Ledger:
        self.value = step(self.value)
        return self.value

    def flush(self) -> None:
        """Nothing is kept, so nothing is to be made safe."""


class KeptLedger:
    """The ledger of a cluster in the state store, for the one run that holds the lease.

    `flush` raises LeaseLost when somebody else wrote it, and Unreachable, Throttled or Denied as the store does:
    the changes are kept then, and the next `flush` tries again.
    """

    def __init__(self, store: Store, cluster: str, run: RunId) -> None:
        self._store = store
        self._run = run
        self._tag = ABSENT
        self._writes = 0
        self._unconfirmed: list[bytes] = []
        """What was sent without an answer: each may be what the store holds."""
        self._safe = Ledger()
        self._unknown: dict[str, Any] = {}
        self.key = ledger_key(cluster)
        self.value = self._safe

    def load(self) -> Ledger:
        stored = self._store.get(self.key)
        if stored is not None:
            self._tag = stored.tag
            self._safe, self._unknown = read_ledger(stored.data, self.key)
            self.value = self._safe
        return self.value

    def change(self, step: Change) -> Ledger:
        self.value = step(self.value)
        return self.value

    def flush(self) -> None:
        for _ in range(FLUSH_TRIES - 1):
            try:
                return self._flush()
            except (Throttled, Unreachable):
                # A repeated write is safe: one whose reply was lost is found to be our own.
                continue
        return self._flush()

    def _flush(self) -> None:
        if self.value == self._safe and not self._unconfirmed:
            return
        try:
            self._put()
        except Conflict:
            self._adopt()
            if self.value != self._safe:
                self._put_again()

    def _put(self) -> None:
        value = self.value
        self._writes += 1
        # The run and the count make every write different from every other, so that ours can be told from theirs.
        data = write_ledger(value, {**self._unknown, "run": self._run, "write": self._writes})
        self._unconfirmed.append(data)
        self._tag = self._store.put(self.key, data, self._tag)
        self._safe = value
        self._unconfirmed.clear()

    def _put_again(self) -> None:
        try:
            self._put()
        except Conflict as conflict:
            raise self._lost() from conflict

    def _adopt(self) -> None:
        """Find that the unexpected content is a write of our own whose reply was lost. Raises LeaseLost if not."""
        stored = self._store.get(self.key)
        if stored is None or stored.data not in self._unconfirmed:
            raise self._lost()
        self._tag = stored.tag
        self._safe, _ = read_ledger(stored.data, self.key)
        self._unconfirmed.clear()

    def _lost(self) -> LeaseLost:
        return LeaseLost(f"somebody else wrote {self.key} while this run believed that it alone acts")


def ledger_key(cluster: str) -> str:
    """Where the ledger of a cluster is kept."""
    return f"clusters/{cluster}/ledger.json"


def write_ledger(ledger: Ledger, beside: dict[str, Any]) -> bytes:
    """The JSON object, in a form that people can read and compare."""
    from bottlerocket_ecs_updater.engine.jsonform import ledger_converter  # noqa: PLC0415 - slow to import

    value = {**beside, "format": FORMAT, **ledger_converter().unstructure(ledger, Ledger)}
    return json.dumps(value, indent=1, sort_keys=True).encode()


def read_ledger(data: bytes, key: str) -> tuple[Ledger, dict[str, Any]]:
    """The ledger, and what a newer updater wrote beside it. Raises LedgerBroken, naming the object and the place."""
    from cattrs import BaseValidationError  # noqa: PLC0415 - slow to import

    from bottlerocket_ecs_updater.engine.jsonform import explain, ledger_converter  # noqa: PLC0415 - slow to import

    try:
        value = json.loads(data)
    except ValueError as error:
        raise LedgerBroken(f"{key} is not JSON: {error}") from error
    if not isinstance(value, dict) or not isinstance(value.get("format"), int):
        raise LedgerBroken(f"{key} is not a ledger: it is no JSON object with a format")
    if missing := {"claims", "rests"} - value.keys():
        raise LedgerBroken(f"{key} is broken: it has no {' and no '.join(sorted(missing))}")
    if value["format"] > FORMAT:
        raise LedgerBroken(f"{key} has format {value['format']}; this updater knows formats up to {FORMAT}")
    try:
        ledger: Ledger = ledger_converter().structure(value, Ledger)
    except BaseValidationError as error:
        raise LedgerBroken(f"{key} is broken: {explain(error)}") from error
    known = {"format", "run", "write", *ledger_converter().unstructure(Ledger(), Ledger)}
    return ledger, {name: part for name, part in value.items() if name not in known}
