"""The record of a run: its events, written to the state store as they happen.

    runs/<cluster>/<run>/events-001.jsonl, events-002.jsonl, …

Each batch is its own object, written once and never changed: appending would mean reading and writing all of it again.
A batch is written when it is old or large enough, at the end of a run, and by `secure` before an act that follows a
failure. So the record of a killed run may lack other events of its last two minutes. The next run finds its claims on
the instances, and adds them to the record (`complete_records`). It then names every instance that may be out of
service.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.event import (
    Claimed,
    ClaimFound,
    Event,
    InstanceFailed,
    InstanceQuarantined,
    LeaseTaken,
    RunFinished,
    RunHalted,
    RunStarted,
)
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Store
from bottlerocket_ecs_updater.errors import Unreachable, UpdaterError

BATCH_MAX_AGE = timedelta(minutes=2)
"""The oldest an unwritten event may be. The log has each event at once."""

BATCH_MAX_EVENTS = 1000
"""The most events in one object: a few hundred kilobytes, one look at a large cluster."""

NUMBERS_TRIED_MAX = 10
"""How many taken numbers are skipped before giving up. They mean that another process writes under this run's id."""

_WEIGHTY = (RunStarted, LeaseTaken, InstanceFailed, InstanceQuarantined, RunHalted)
"""What must be in the store before the next act: a later run could not find it out from the cluster."""


class Record:
    """Writes the events of one run. While the store does not answer, events are kept in memory."""

    def __init__(self, store: Store, cluster: str, run: RunId) -> None:
        self._store = store
        self._folder = record_folder(cluster, run)
        self._number = 1
        self._waiting: list[bytes] = []
        self._since: datetime | None = None
        """When the oldest waiting event happened."""
        self._weighty = False
        self._sent: bytes | None = None
        """A batch that was sent without an answer: it is what it is now, and is sent again as it is."""
        self._sent_events = 0

    def record(self, event: Event) -> None:
        # cattrs is slow to import, and only runs with a store need it.
        from bottlerocket_ecs_updater.report.record.codec import encode  # noqa: PLC0415

        self._waiting.append(encode(event).encode() + b"\n")
        self._since = self._since or event.at
        self._weighty = self._weighty or isinstance(event, _WEIGHTY)
        last = isinstance(event, RunFinished)
        if last or len(self._waiting) >= BATCH_MAX_EVENTS or self._is_old(event.at):
            self._try_to_flush(event.at)

    def secure(self) -> None:
        """Write important events to the store, if there are any.

        Call it before an act on an instance. Raises what the store raises; the act must wait then.
        """
        if self._weighty:
            self.flush()

    def tick(self, now: datetime) -> None:
        """Write what is older than `BATCH_MAX_AGE`. Call it often; it raises nothing that the store raises."""
        if self._is_old(now):
            self._try_to_flush(now)

    def _is_old(self, now: datetime) -> bool:
        return self._since is not None and now - self._since >= BATCH_MAX_AGE

    def flush(self) -> None:
        """Write every event so far. Raises what the store raises; nothing is lost then."""
        while self._waiting:
            self._write_batch()
        self._since, self._weighty = None, False

    def _try_to_flush(self, now: datetime) -> None:
        try:
            self.flush()
        except UpdaterError:
            # Events wait for the next batch, or for `secure`.
            self._since = now

    def _write_batch(self) -> None:
        if self._sent is None:
            self._sent_events = len(self._waiting)
            self._sent = b"".join(self._waiting)
        for _ in range(NUMBERS_TRIED_MAX):
            key = _batch_key(self._folder, self._number)
            if self._put(key, self._sent):
                break
            self._number += 1
        else:
            raise Unreachable(f"{self._folder} has another writer: {NUMBERS_TRIED_MAX} numbers were taken")
        self._number += 1
        del self._waiting[: self._sent_events]
        self._sent = None

    def _put(self, key: str, data: bytes) -> bool:
        """Write an object that must not exist yet.

        Returns True also if an earlier try took effect without a reply. Raises Unreachable if the store says that it
        exists but cannot find it; the write is tried again later.
        """
        try:
            self._store.put(key, data, ABSENT)
        except Conflict:
            stored = self._store.get(key)
            if stored is None:
                raise Unreachable(f"{key} was not written, though there is none") from None
            return stored.data == data
        return True


@dataclass(frozen=True, slots=True)
class Past:
    """A record that was read."""

    events: tuple[Event, ...]
    unreadable: tuple[str, ...]
    """What could not be read, with its place and the reason. Usually a newer updater wrote it."""


def read_record(store: Store, cluster: str, run: RunId) -> Past:
    """All events of a run, in order; empty if there is no such run. Raises what the store raises."""
    keys = _batches(store, f"{record_folder(cluster, run)}/events-")
    return read_batches((key, stored.data) for key in keys if (stored := store.get(key)) is not None)


def read_batches(batches: Iterable[tuple[str, bytes]]) -> Past:
    """The events of a record's batches. The batches are given in order, with their names."""
    events: list[Event] = []
    unreadable: list[str] = []
    for place, data in batches:
        for number, line in enumerate(data.splitlines(), 1):
            _read_line(line, f"{place} line {number}", events, unreadable)
    return Past(tuple(events), tuple(unreadable))


def complete_records(store: Store, cluster: str, found: Iterable[ClaimFound]) -> None:
    """Add to the records of killed runs the claims that they could not record any more. Raises what the store raises.

    `found` are the claims that this run found. A record that does not exist, or that has an end, stays as it is.
    """
    by_run: dict[RunId, list[ClaimFound]] = {}
    for claim in found:
        by_run.setdefault(claim.run, []).append(claim)
    for run, claims in by_run.items():
        keys = _batches(store, f"{record_folder(cluster, run)}/events-")
        past = read_batches((key, stored.data) for key in keys if (stored := store.get(key)) is not None)
        missing = _unrecorded(past, claims)
        if missing:
            _add_batch(store, keys[-1], missing)


def _unrecorded(past: Past, claims: Iterable[ClaimFound]) -> Sequence[Claimed]:
    """The claims that a record of a killed run does not name."""
    if not past.events or any(isinstance(event, RunFinished) for event in past.events):
        return ()
    named = {event.instance for event in past.events if isinstance(event, Claimed | ClaimFound)}
    last = past.events[-1].at
    return [
        Claimed(max(last, one.since), one.instance, one.source, one.target, downgrade=one.target < one.source)
        for one in claims
        if one.instance not in named and one.source is not None and one.target is not None
    ]


def _add_batch(store: Store, last: str, events: Iterable[Event]) -> None:
    """Write events as the batch after `last`, unless another run does that at the same time."""
    from bottlerocket_ecs_updater.report.record.codec import encode  # noqa: PLC0415 - slow to import

    folder, _, name = last.rpartition("/")
    number = int(name.removeprefix("events-").removesuffix(".jsonl")) + 1
    with suppress(Conflict):
        store.put(_batch_key(folder, number), b"".join(encode(event).encode() + b"\n" for event in events), ABSENT)


def _read_line(line: bytes, place: str, events: list[Event], unreadable: list[str]) -> None:
    from bottlerocket_ecs_updater.report.record.codec import UnreadableLine, decode  # noqa: PLC0415 - slow to import

    try:
        events.append(decode(line))
    except UnreadableLine as problem:
        unreadable.append(f"{place}: {problem}")


def _batches(store: Store, prefix: str) -> Sequence[str]:
    """Batches by number. In a very long run, numbers have more than three digits."""
    return sorted((key for key in store.keys(prefix) if key.endswith(".jsonl")), key=lambda key: (len(key), key))


def runs_of(store: Store, cluster: str, after: str = "") -> Sequence[RunId]:
    """The ids of a cluster's runs with a record, in order of time; only those after one id, if it is given."""
    start = f"runs/{cluster}/"
    keys = store.keys(start, f"{start}{after}") if after else store.keys(start)
    inside = (key[len(start) :].split("/") for key in keys)
    # The index is next to the folders of the runs.
    return sorted({RunId(path[0]) for path in inside if len(path) == 2 and path[0] > after})


def _batch_key(folder: str, number: int) -> str:
    return f"{folder}/events-{number:03}.jsonl"


def record_folder(cluster: str, run: RunId) -> str:
    """The folder of a run in the store."""
    return f"runs/{cluster}/{run}"
