"""All runs of a cluster, newest first: what the index page and `history` show, and how it is kept in the store.

    runs/<cluster>/index.html      one entry a run, newest first, with a link to its page; and the same as JSON inside

Each run adds its own entry, with a conditional write, so that an index of years costs two reads. Runs that died could
not: the next one that writes finds them by their folders, and adds them.

The cost does not grow with the years. The index says up to which run the search is complete (`looked_to`), and only
later runs are listed. The index has a limited number of runs; those that it dropped are not searched for again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.location import name_of
from bottlerocket_ecs_updater.core.model.outcome import OutcomeKind
from bottlerocket_ecs_updater.core.model.time_text import measured_text, read_span, read_time, write_time
from bottlerocket_ecs_updater.engine.ports import Store
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.engine.store.read_json import (
    Unreadable,
    number_of,
    read_object,
    shaped,
    text_of,
    whole_of,
)
from bottlerocket_ecs_updater.engine.store.rewriting import rewrite
from bottlerocket_ecs_updater.report.analysis.ending import Ending
from bottlerocket_ecs_updater.report.analysis.run_report import RunReport, run_report
from bottlerocket_ecs_updater.report.outputs.data_block import data_in, with_data
from bottlerocket_ecs_updater.report.record.record import read_record, runs_of
from bottlerocket_ecs_updater.report.words.columns import in_columns
from bottlerocket_ecs_updater.report.words.sanitize import sanitize

T = TypeVar("T")

INDEX_FORMAT = 1

REPORTS_LISTED_MAX = 2000
"""Entries in the index: more than two years of runs every ten hours. The records of older runs stay in the store."""

ADOPTED_MAX = 20
"""How many runs without an entry are read at once. Each needs a few reads, and they are rare."""

_BEGUN = re.compile(r"\d{8}-\d{4}")
"""The pattern of run ids that the program makes: they begin with the minute of the start."""

LOOKED_BACK = timedelta(days=30)
"""How far back runs are searched if there is no readable index. `history` searches further."""

STILL_AT_WORK = timedelta(hours=24)
"""A run without an end that began within this time may still be active, so its entry is not final."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry of one run."""

    run: RunId
    ending: str
    exit_code: int | None
    began: datetime | None
    ended: datetime | None
    took: timedelta
    counts: Mapping[str, int]
    targets: tuple[str, ...]
    """The versions that instances were updated to."""
    headline: str
    days_behind: int | None = None
    """Whole days that the instance furthest behind was behind at the end; None in entries of older versions."""
    took_from_first_seen: Mapping[str, timedelta] = field(default_factory=dict)
    """By version: from when it was first seen until the last of this run's instances was updated to it."""

    @property
    def bad(self) -> bool:
        """Whether a person should look at it."""
        # Earlier versions used the second name.
        words = {ending.value for ending in Ending if ending.bad} | {"interrupted in the middle of an update"}
        return self.ending in words

    @property
    def well(self) -> bool:
        """Whether it did everything that the policy allowed."""
        return self.ending in (Ending.WELL.value, Ending.NOTHING.value, Ending.HELD.value)

    @property
    def died(self) -> bool:
        """Whether its record has no end."""
        return self.ending == Ending.DIED.value

    def count(self, became: OutcomeKind) -> int:
        """How many instances have that outcome."""
        return self.counts.get(became.value, 0)


def entry_of(report: RunReport) -> Entry:
    """The entry of a run."""
    summary = report.summary
    targets = {row.versions[1] for row in summary.rows if row.became is OutcomeKind.UPDATED}
    return Entry(
        RunId(summary.run),
        report.ending.value,
        summary.exit_code,
        summary.began,
        summary.ended,
        summary.took,
        {became.value: count for became, count in summary.counts.items()},
        tuple(str(version) for version in sorted(targets)),
        report.headline,
        max(report.days_behind.values(), default=0) if report.knows_first_seen else None,
        {str(one.version): one.took[-1] for one in report.versions if one.took},
    )


def index_key(cluster: str) -> str:
    """The key of the index of a cluster."""
    return f"runs/{cluster}/index.html"


@dataclass(frozen=True, slots=True)
class Entered:
    """The index with a new run."""

    entries: tuple[Entry, ...]
    adopted: tuple[RunId, ...]
    """Runs that died and were found by their records. Their reports were never written."""
    fault: str = ""
    """Why the previous index could not be read; empty if it could, or if there was none."""


@dataclass(frozen=True, slots=True)
class Index:
    """The index as it was read."""

    entries: Sequence[Entry] = ()
    looked_to: str = ""
    """Runs up to this id are in the index or were dropped from it."""
    fault: str = ""

    @property
    def dropped(self) -> str:
        """Runs up to this id were dropped because the index was full; empty if it is not full."""
        full = len(self.entries) >= REPORTS_LISTED_MAX
        return min(entry.run for entry in self.entries) if full else ""


IndexPage = Callable[[Sequence[Entry]], str]
"""Makes the page of the index from its entries."""


def enter(store: Store, cluster: str, entry: Entry, page: IndexPage, *, first: bool = False) -> Entered:
    """Add a run to the index. Raises what the store raises.

    `first` says that no run held the lease before, so that there is probably no index yet.
    """

    def change(index: Index) -> tuple[Index, Entered]:
        floor = _floor(index, entry)
        missing = _missing(store, cluster, [entry, *index.entries], floor)
        adopted = _adopted(store, cluster, missing[:ADOPTED_MAX])
        entries = tuple(_newest_first([entry, *adopted, *index.entries]))
        looked_to = _looked_to(floor, entry, missing[ADOPTED_MAX:])
        return Index(entries, looked_to), Entered(entries, tuple(one.run for one in adopted), index.fault)

    return _rewrite(store, cluster, page, change, first=first)


def write_again(store: Store, cluster: str, page: IndexPage) -> None:
    """Write the index again with another page, such as after an act of a person. Raises what the store raises."""
    _rewrite(store, cluster, page, lambda index: (index, None))


def _rewrite(
    store: Store,
    cluster: str,
    page: IndexPage,
    change: Callable[[Index], tuple[Index, T]],
    *,
    first: bool = False,
) -> T:
    """Write what `change` makes of the index. With `first`, it is empty unless the store turns out to have one."""

    def write(data: bytes | None) -> tuple[T, bytes]:
        index, value = change(read_index(data) if data is not None else Index())
        return value, with_data(page(index.entries), index_json(index))

    return rewrite(store, index_key(cluster), write, first=first)


def _floor(index: Index, entry: Entry) -> str:
    if not index.entries:
        return _days_before(entry.began, LOOKED_BACK)
    # A run whose clock was ahead must not hide later runs.
    settled = _days_before(entry.began, STILL_AT_WORK)
    return max(index.dropped, min(index.looked_to, settled) if settled else "")


def _looked_to(floor: str, entry: Entry, left: Sequence[RunId]) -> str:
    """The run id up to which no search is needed again. Runs that may still be active are searched again."""
    settled = _days_before(entry.began, STILL_AT_WORK)
    return max(floor, settled) if not left or min(left) > settled else floor


def _days_before(at: datetime | None, span: timedelta) -> str:
    """The prefix of run ids from this long before; empty if unknown."""
    return f"{(at - span).astimezone(UTC):%Y%m%d-%H%M}" if at is not None else ""


def entries_of(store: Store, cluster: str) -> list[Entry]:
    """Every run of a cluster, newest first, including runs that died. Raises what the store raises."""
    stored = store.get(index_key(cluster))
    index = read_index(stored.data) if stored is not None else Index()
    missing = _missing(store, cluster, index.entries, max(index.looked_to, index.dropped))
    return _newest_first([*_adopted(store, cluster, missing[:REPORTS_LISTED_MAX]), *index.entries])


def _missing(store: Store, cluster: str, known: Sequence[Entry], floor: str) -> Sequence[RunId]:
    """Runs with a record that are not in the index, or have no end there; newest first."""
    last = max((entry.ended for entry in known if entry.ended is not None), default=None)
    final = {entry.run for entry in known if not (entry.died and _may_live(entry, last))}
    return [run for run in reversed(runs_of(store, cluster, floor)) if run not in final]


def _adopted(store: Store, cluster: str, runs: Iterable[RunId]) -> list[Entry]:
    """Entries for runs that are not in the index, and for those that ended since; none for a run without events."""
    found = []
    for run in runs:
        past = read_record(store, cluster, run)
        if past.events:
            entry = entry_of(run_report(past.events, past.unreadable, cluster=name_of(cluster)))
            # Take the id from the folder, because a record that lost its first line has none.
            found.append(entry if entry.run == run else replace(entry, run=run))
    return found


def _may_live(entry: Entry, now: datetime | None) -> bool:
    return entry.ended is None or now is None or now - entry.ended < STILL_AT_WORK


def _newest_first(entries: Iterable[Entry]) -> list[Entry]:
    """One entry for each run: the first of duplicates."""
    by_run: dict[RunId, Entry] = {}
    for entry in entries:
        by_run.setdefault(entry.run, entry)
    oldest = datetime.min.replace(tzinfo=UTC)
    ordered = sorted(by_run.values(), key=lambda entry: (entry.began or entry.ended or oldest, entry.run), reverse=True)
    return ordered[:REPORTS_LISTED_MAX]


def index_json(index: Index) -> dict[str, Any]:
    """The index as JSON values."""
    looked = {"looked_to": index.looked_to} if index.looked_to else {}
    return {"format": INDEX_FORMAT, **looked, "runs": [_to_json(entry) for entry in index.entries]}


def read_index(page: bytes) -> Index:
    """Read the index in its page. Unreadable entries are skipped, and found again by their records."""
    try:
        return read_object(data_in(page), _index)
    except Unreadable as problem:
        return Index(fault=str(problem))


def _index(value: Mapping[str, Any]) -> Index:
    if value["format"] != INDEX_FORMAT or not isinstance(value["runs"], list):
        raise Unreadable(f"format {value['format']!r}; this updater reads format {INDEX_FORMAT}")
    entries = [entry for one in value["runs"] if (entry := _from_json(one)) is not None]
    looked_to = text_of(value.get("looked_to", ""))
    return Index(entries, looked_to if _BEGUN.fullmatch(looked_to) else "")


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
        "days_behind": entry.days_behind,
        "seconds_from_first_seen": {name: took.total_seconds() for name, took in entry.took_from_first_seen.items()},
    }


def _from_json(value: Any) -> Entry | None:
    try:
        return shaped(value, _entry)
    except Unreadable:
        return None


def _entry(value: Mapping[str, Any]) -> Entry:
    return Entry(
        RunId(text_of(value["run"])),
        text_of(value["ending"]),
        whole_of(value["exit_code"]) if value["exit_code"] is not None else None,
        read_time(text_of(value["began"])) if value["began"] is not None else None,
        read_time(text_of(value["ended"])) if value["ended"] is not None else None,
        read_span(number_of(value["took_seconds"])),
        {text_of(name): whole_of(count) for name, count in value["counts"].items()},
        tuple(text_of(target) for target in value["targets"]),
        text_of(value["headline"]),
        whole_of(days) if (days := value.get("days_behind")) is not None else None,
        {text_of(name): read_span(number_of(took)) for name, took in value.get("seconds_from_first_seen", {}).items()},
    )


def acts_text(acts: Sequence[AuditEntry]) -> str:
    """The acts of people as text, newest first; empty if there are none."""
    if not acts:
        return ""
    lines = [line for act in sorted(acts, key=lambda act: act.at, reverse=True) for line in _act_lines(act)]
    return "\nWhat people did, newest first\n" + "".join(f"{line}\n" for line in lines)


def _act_lines(act: AuditEntry) -> Iterator[str]:
    why = f": {sanitize(act.why)}" if act.why else ""
    yield f"{act.at.astimezone(UTC):%Y-%m-%d %H:%M}  {sanitize(act.command, 80)}, by {sanitize(act.who)}{why}"
    if act.done:
        yield f"                  {sanitize(act.done)}"


def history_text(entries: Sequence[Entry]) -> str:
    """The runs as a table of text, newest first."""
    if not entries:
        return "No runs recorded.\n"
    head = ("began (UTC)", "run", "took", "ended", "updated", "failed", "quarantined", "held", "days behind", "to")
    rows = [head, *(_columns(entry) for entry in entries)]
    return "".join(f"{line}\n" for line in in_columns(rows))


def _columns(entry: Entry) -> tuple[str, ...]:
    began = f"{entry.began.astimezone(UTC):%Y-%m-%d %H:%M}" if entry.began is not None else "?"
    counts = (OutcomeKind.UPDATED, OutcomeKind.FAILED, OutcomeKind.QUARANTINED, OutcomeKind.HELD)
    numbers = (str(entry.count(became)) for became in counts)
    return (
        began,
        sanitize(entry.run, 60),
        measured_text(entry.took),
        sanitize(entry.ending, 60),
        *numbers,
        str(entry.days_behind) if entry.days_behind is not None else "?",
        sanitize(", ".join(entry.targets), 60),
    )
