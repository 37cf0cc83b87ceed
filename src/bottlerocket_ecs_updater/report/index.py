"""All runs of a cluster, newest first: what the index page and `history` show, and how it is kept in the store.

    runs/<cluster>/index.json      one entry a run, newest first
    runs/<cluster>/index.html      the same as a page, with a link to the page of each run

Each run adds its own entry to the JSON, with a conditional write, so that an index of years costs two reads. Runs
that died could not; whoever writes next finds them by the folders that they left, and adds them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bottlerocket_ecs_updater.core.errors import Unreachable
from bottlerocket_ecs_updater.core.ids import RunId
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Store
from bottlerocket_ecs_updater.engine.times import read_time, write_time
from bottlerocket_ecs_updater.report.account import Account, Ending, account_of
from bottlerocket_ecs_updater.report.record import read_record, runs_of
from bottlerocket_ecs_updater.report.sentence import span
from bottlerocket_ecs_updater.report.summary import Became
from bottlerocket_ecs_updater.report.text import visible

FORMAT = 1

ENTRIES_MAX = 2000
"""More than two years of a run every ten hours; the records of older runs stay where they are."""

ADOPTED_MAX = 20
"""Runs without an entry that are read at once: each is a few reads, and they are rare."""

ATTEMPTS_MAX = 5
"""Writers of one index that come between each other's read and write; there is one run at a time."""

STILL_AT_WORK = timedelta(hours=24)
"""A run without an end that began within this time may be at work: its entry is not yet final."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One run, in a line."""

    run: RunId
    ending: str
    exit_code: int | None
    began: datetime | None
    ended: datetime | None
    took: timedelta
    counts: Mapping[str, int]
    targets: tuple[str, ...]
    """The releases that instances were updated to."""
    headline: str

    @property
    def bad(self) -> bool:
        """Whether a person should look."""
        return any(ending.value == self.ending and ending.bad for ending in Ending)

    @property
    def well(self) -> bool:
        """Whether nothing kept it from all that policy let it do."""
        return self.ending in (Ending.WELL.value, Ending.NOTHING.value, Ending.HELD.value)

    @property
    def died(self) -> bool:
        """Whether its record had no end when it was read."""
        return self.ending == Ending.DIED.value

    def count(self, became: Became) -> int:
        """How many instances came to that end."""
        return self.counts.get(became.value, 0)


def entry_of(account: Account) -> Entry:
    """The line of a run."""
    summary = account.summary
    targets = {row.versions[1] for row in summary.rows if row.became is Became.UPDATED}
    return Entry(
        RunId(summary.run),
        account.ending.value,
        summary.exit_code,
        summary.began,
        summary.ended,
        summary.took,
        {became.value: count for became, count in summary.counts.items()},
        tuple(str(version) for version in sorted(targets)),
        account.headline,
    )


def index_key(cluster: str, form: str) -> str:
    """Where the index of a cluster is: `form` is `json` or `html`."""
    return f"runs/{cluster}/index.{form}"


@dataclass(frozen=True, slots=True)
class Entered:
    """The index with a run more."""

    entries: tuple[Entry, ...]
    adopted: tuple[RunId, ...]
    """Runs that died, and were found by their records: nobody wrote their reports."""


def enter(store: Store, cluster: str, entry: Entry) -> Entered:
    """Put a run into the index. Raises what the store raises."""
    for _ in range(ATTEMPTS_MAX):
        stored = store.get(index_key(cluster, "json"))
        known = read_index(stored.data) if stored is not None else []
        adopted = _adopted(store, cluster, [entry, *known])
        entries = _newest_first([entry, *adopted, *known])
        try:
            store.put(index_key(cluster, "json"), write_index(entries), stored.tag if stored is not None else ABSENT)
        except Conflict:
            continue
        return Entered(tuple(entries), tuple(one.run for one in adopted))
    raise Unreachable(f"{index_key(cluster, 'json')} is written by somebody else again and again")


def entries_of(store: Store, cluster: str) -> list[Entry]:
    """Every run of a cluster, newest first, also those that died. Raises what the store raises."""
    stored = store.get(index_key(cluster, "json"))
    known = read_index(stored.data) if stored is not None else []
    return _newest_first([*_adopted(store, cluster, known, limit=None), *known])


def _adopted(store: Store, cluster: str, known: Sequence[Entry], limit: int | None = ADOPTED_MAX) -> list[Entry]:
    """Entries for runs that left a record and are not in the index, the newest of them; and for those that lived on."""
    last = max((entry.ended for entry in known if entry.ended is not None), default=None)
    final = {entry.run for entry in known if not (entry.died and _may_live(entry, last))}
    missing = [run for run in reversed(runs_of(store, cluster)) if run not in final][:limit]
    found = []
    for run in missing:
        past = read_record(store, cluster, run)
        if past.events:
            entry = entry_of(account_of(past.events, past.unreadable, cluster=cluster))
            # The folder is the name: a record that lost its first line tells no id of its own.
            found.append(entry if entry.run == run else replace(entry, run=run))
    return found


def _may_live(entry: Entry, now: datetime | None) -> bool:
    return entry.ended is None or now is None or now - entry.ended < STILL_AT_WORK


def _newest_first(entries: Iterable[Entry]) -> list[Entry]:
    """One entry a run; of two, the first."""
    by_run: dict[RunId, Entry] = {}
    for entry in entries:
        by_run.setdefault(entry.run, entry)
    oldest = datetime.min.replace(tzinfo=UTC)
    ordered = sorted(by_run.values(), key=lambda entry: (entry.began or entry.ended or oldest, entry.run), reverse=True)
    return ordered[:ENTRIES_MAX]


def write_index(entries: Sequence[Entry]) -> bytes:
    """The index as JSON, a line for each run."""
    lines = ",\n".join(json.dumps(_to_json(entry), separators=(",", ":")) for entry in entries)
    return f'{{"format":{FORMAT},"runs":[\n{lines}\n]}}\n'.encode()


def read_index(data: bytes) -> list[Entry]:
    """Read what `write_index` wrote; what cannot be read is left out, and found again by its record."""
    try:
        value = json.loads(data)
    except ValueError:
        return []
    if not isinstance(value, dict) or value.get("format") != FORMAT or not isinstance(value.get("runs"), list):
        return []
    return [entry for one in value["runs"] if (entry := _from_json(one)) is not None]


def _to_json(entry: Entry) -> dict[str, Any]:
    return {
        "run": entry.run,
        "ending": entry.ending,
        "exit_code": entry.exit_code,
        "began": write_time(entry.began) if entry.began is not None else None,
        "ended": write_time(entry.ended) if entry.ended is not None else None,
        "took_seconds": entry.took.total_seconds(),
        "counts": dict(entry.counts),
        "targets": list(entry.targets),
        "headline": entry.headline,
    }


def _from_json(value: Any) -> Entry | None:
    try:
        return Entry(
            RunId(str(value["run"])),
            str(value["ending"]),
            int(value["exit_code"]) if value["exit_code"] is not None else None,
            read_time(value["began"]) if value["began"] is not None else None,
            read_time(value["ended"]) if value["ended"] is not None else None,
            timedelta(seconds=float(value["took_seconds"])),
            {str(name): int(count) for name, count in value["counts"].items()},
            tuple(str(target) for target in value["targets"]),
            str(value["headline"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def history_text(entries: Sequence[Entry]) -> str:
    """The runs as a table of text, newest first."""
    if not entries:
        return "No run has left a record.\n"
    head = ("began (UTC)", "run", "took", "ended", "updated", "failed", "quarantined", "held", "to")
    rows = [head, *(_columns(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _columns(entry: Entry) -> tuple[str, ...]:
    began = f"{entry.began.astimezone(UTC):%Y-%m-%d %H:%M}" if entry.began is not None else "?"
    counts = (Became.UPDATED, Became.FAILED, Became.QUARANTINED, Became.HELD)
    numbers = (str(entry.count(became)) for became in counts)
    return (
        began,
        visible(entry.run, 60),
        span(entry.took),
        visible(entry.ending, 60),
        *numbers,
        visible(", ".join(entry.targets), 60),
    )
