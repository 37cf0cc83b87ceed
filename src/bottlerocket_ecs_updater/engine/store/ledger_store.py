"""Keeping the ledger: one JSON object per cluster, written under the condition that nobody else wrote it.

Changes are gathered and written at once, so that a pass costs one write however many instances it marks.
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

FORMAT = 1

FLUSH_TRIES = 3
"""A store that refuses one write now and then costs no pass: what follows the write would else have to begin anew."""


REMEDY = (
    "Restore an earlier version of the object, or let the version of the updater run that wrote it. Where neither can "
    "be had, delete it: claims are found on the instances, and what failed before is forgotten"
)
"""What a person does about a ledger that cannot be read."""


@dataclass
class LedgerBroken(UpdaterError):
    """Call a person: the ledger cannot be read, and guessing that it is empty would forget what failed.

    What carries a claim can be given back all the same, since the claim is on the instance; nothing more may begin.
    """


class LedgerKeeping(Protocol):
    """What a run needs of its ledger, kept or not."""

    @property
    def value(self) -> Ledger:
        """The ledger with every change so far."""

    def load(self) -> Ledger:
        """Read it, once, before anything else."""

    def change(self, step: Change) -> Ledger:
        """Take one step; it is not safe before the next `flush`."""

    def ask_first(self, check: Callable[[], None]) -> None:
        """Have this called right before each write: what it raises is raised by `flush`, and nothing is written."""

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

    def ask_first(self, check: Callable[[], None]) -> None:
        """Nothing is ever written."""

    def flush(self) -> None:
        """Nothing is kept, so nothing is to be made safe."""


class KeptLedger:
    """The ledger of a cluster in the state store, for the one run that holds the lease.

    `flush` raises LeaseLost when somebody else wrote it, and Unreachable, Throttled or Denied as the store does:
    the changes are kept then, and the next `flush` tries again. That somebody else wrote it is believed only when the
    object that is read then is not this run's own. After a `load` that raised LedgerBroken nothing is ever written.
    """

    def __init__(self, store: Store, cluster: str, run: RunId) -> None:
        self._store = store
        self._run = run
        self._tag = ABSENT
        self._writes = 0
        self._unconfirmed: list[bytes] = []
        """What was sent without an answer: each may be what the store holds."""
        self._safe = Ledger()
        self._safe_beside: Mapping[str, Any] = {}
        self.beside: dict[str, Any] = {}
        """What stands beside it in the object: what a newer updater wrote, and what became of older state."""
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
    def is_new(self) -> bool:
        """Whether there was no such object when it was read."""
        return self._tag == ABSENT

    def leave_alone(self) -> None:
        """Write nothing any more."""
        self._broken = True

    def change(self, step: Change) -> Ledger:
        self.value = step(self.value)
        return self.value

    def ask_first(self, check: Callable[[], None]) -> None:
        self._check = check

    def flush(self) -> None:
        fault: UpdaterError = Unreachable(f"{self.key} was not written, though nobody else wrote it")
        for _ in range(FLUSH_TRIES):
            try:
                if self._written():
                    return
            except (Throttled, Unreachable) as error:
                # A repeated write is safe: one whose reply was lost is found to be our own.
                fault = error
        raise fault

    def _written(self) -> bool:
        """Whether the store has everything, after one try. Raises what the store raises, and LeaseLost."""
        if self._broken:
            # What cannot be read is a person's to look at, and never overwritten.
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
        # The run and the count make every write different from every other, so that ours can be told from theirs.
        data = write_ledger(value, {**beside, "run": self._run, "write": self._writes})
        self._unconfirmed.append(data)
        self._tag = self._store.put(self.key, data, self._tag)
        self._safe, self._safe_beside = value, beside
        self._unconfirmed.clear()

    def _adopt(self) -> None:
        """Find out whose the unexpected content is. Raises LeaseLost where it is not this run's own."""
        stored = self._store.get(self.key)
        if (stored.tag if stored is not None else ABSENT) == self._tag:
            # It is what it was: the write was refused for another reason, and is tried again.
            return
        if stored is None or stored.data not in self._unconfirmed:
            raise self._lost()
        self._tag = stored.tag
        self._safe, self._safe_beside = read_ledger(stored.data, self.key)
        self._unconfirmed.clear()

    def _lost(self) -> LeaseLost:
        return LeaseLost(f"somebody else wrote {self.key} while this run believed that it alone acts")


def _nothing() -> None:
    return


def ledger_key(cluster: str) -> str:
    """Where the ledger of a cluster is kept."""
    return f"clusters/{cluster}/ledger.json"


def write_ledger(ledger: Ledger, beside: dict[str, Any]) -> bytes:
    """The JSON object, in a form that people can read and compare."""
    from bottlerocket_ecs_updater.engine.store.json_values import ledger_converter  # noqa: PLC0415 - slow to import

    value = {**beside, "format": FORMAT, **ledger_converter().unstructure(ledger, Ledger)}
    return json.dumps(value, indent=1, sort_keys=True).encode()


def read_ledger(data: bytes, key: str) -> tuple[Ledger, dict[str, Any]]:
    """The ledger, and what a newer updater wrote beside it. Raises LedgerBroken, naming the object and the place."""
    try:
        return read_object(data, ledger_of)
    except Unreadable as problem:
        raise broken(key, problem) from problem


def broken(key: str, problem: Unreadable) -> LedgerBroken:
    """The error that names the object, why it cannot be read, and what to do."""
    return LedgerBroken(f"{key} in the state store cannot be read: {problem}. {REMEDY}")


def ledger_of(value: Mapping[str, Any]) -> tuple[Ledger, dict[str, Any]]:
    """The same, of an object that was read as JSON. Raises Unreadable."""
    from bottlerocket_ecs_updater.engine.store.json_values import ledger_converter, structured  # noqa: PLC0415 - slow to import

    if "format" not in value:
        raise Unreadable("it is not a ledger: it has no format")
    if whole_of(value["format"]) > FORMAT:
        raise Unreadable(f"it has format {value['format']}, and this updater knows formats up to {FORMAT}")
    if missing := {"claims", "rests"} - value.keys():
        raise Unreadable(f"it has no {' and no '.join(sorted(missing))}")
    known = {"format", "run", "write", *ledger_converter().unstructure(Ledger(), Ledger)}
    beside = {name: part for name, part in value.items() if name not in known}
    return structured(ledger_converter(), value, Ledger), beside
