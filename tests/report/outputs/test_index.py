"""The index of a cluster's runs, newest first: each run adds itself, dead runs are found, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.hostile import HTML, hostile_run
from tests.report.outputs.test_page import KNOWN_TAGS, Page
from tests.report.runs import died, events_of
from tests.report.samples import CLEAN_RUN, HALTED_RUN, RUN
from tests.support.memory_store import MemoryStore

from bottlerocket_ecs_updater.core.model.event import Event, LeaseTaken, RunFinished, RunStarted
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.engine.ports import Stored
from bottlerocket_ecs_updater.errors import Unreachable
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.report.outputs import index
from bottlerocket_ecs_updater.report.outputs.archive import STORED_FORMS, Archive, report_key
from bottlerocket_ecs_updater.report.outputs.data_block import with_data
from bottlerocket_ecs_updater.report.outputs.index import (
    Entry,
    Index,
    entries_of,
    entry_of,
    history_text,
    index_json,
    index_key,
    read_index,
)
from bottlerocket_ecs_updater.report.outputs.page.html import index_page
from bottlerocket_ecs_updater.report.record.record import Record, runs_of

GOLDEN = Path(__file__).parents[1] / "golden"


def days_later(events: Iterable[Event], days: int) -> list[Event]:
    """The same run on another day, with that day's id."""
    run = RunId(f"{20260105 + days}-0900-0000")
    moved = [replace(event, at=event.at + timedelta(days=days)) for event in events]
    return [replace(event, run=run) if isinstance(event, RunStarted | RunFinished) else event for event in moved]


def index_object(entries: Iterable[Entry]) -> bytes:
    """The object in the store."""
    return with_data(index_page("web", ()), index_json(Index(tuple(entries))))


def live_through(store: MemoryStore, events: Iterable[Event], run: str, cluster: str = "web") -> list[str]:
    """One run, stored as `run` does it."""
    complaints: list[str] = []
    record = Record(store, cluster, RunId(run))
    archive = Archive(store, cluster, RunId(run), complaints.append)
    for event in events:
        record.record(event)
        archive.record(event)
    record.flush()
    return complaints


def lived(store: MemoryStore, *runs: Iterable[Event]) -> None:
    for day, events in enumerate(runs):
        live_through(store, days_later(events, day), f"{20260105 + day}-0900-0000")


def test_a_run_leaves_its_report_and_the_index() -> None:
    store = MemoryStore()
    assert live_through(store, CLEAN_RUN, RUN) == []
    keys = set(store.keys("runs/"))
    assert {report_key("web", RUN, form) for form in STORED_FORMS} <= keys
    assert index_key("web") in keys


def test_runs_are_listed_newest_first() -> None:
    store = MemoryStore()
    lived(store, CLEAN_RUN, HALTED_RUN, CLEAN_RUN)
    assert [entry.ending for entry in entries_of(store, "web")] == ["success", "halted", "success"]
    assert [entry.run[:8] for entry in entries_of(store, "web")] == ["20260107", "20260106", "20260105"]


def test_the_index_is_no_run() -> None:
    store = MemoryStore()
    lived(store, CLEAN_RUN)
    assert runs_of(store, "web") == ["20260105-0900-0000"]


def test_a_run_that_died_is_found_by_the_next_and_gets_its_report() -> None:
    store = MemoryStore()
    lived(store, died("clean"), events_of("clean"))
    entries = entries_of(store, "web")
    assert [entry.ending for entry in entries] == ["success", "no end recorded"]
    assert store.get(report_key("web", entries[1].run, "html")) is not None
    index = store.get(index_key("web"))
    assert index is not None
    assert len(read_index(index.data).entries) == 2


def test_history_shows_a_run_that_died_last() -> None:
    store = MemoryStore()
    lived(store, events_of("clean"), died("clean"))
    assert [entry.ending for entry in entries_of(store, "web")] == ["no end recorded", "success"]


def test_a_run_that_was_still_at_work_when_another_looked_is_entered_again_when_it_ends() -> None:
    store = MemoryStore()
    first, second = days_later(events_of("clean"), 0), days_later(CLEAN_RUN, 1)
    second = [replace(event, at=event.at - timedelta(days=1)) for event in second]
    record = Record(store, "web", RunId("20260105-0900-0000"))
    for event in died("clean"):
        record.record(event)
    record.flush()
    live_through(store, second, "20260106-0900-0000")
    assert "no end recorded" in {entry.ending for entry in entries_of(store, "web")}
    live_through(store, first, "20260105-0900-0000")
    assert "no end recorded" not in {entry.ending for entry in entries_of(store, "web")}


def test_an_index_that_cannot_be_read_is_made_again_from_the_records() -> None:
    store = MemoryStore()
    lived(store, CLEAN_RUN, HALTED_RUN)
    store.put(index_key("web"), b"{half", None)
    assert [entry.ending for entry in entries_of(store, "web")] == ["halted", "success"]


def test_an_index_that_cannot_be_read_is_named_by_the_run_that_makes_it_again() -> None:
    store = MemoryStore()
    lived(store, CLEAN_RUN)
    store.put(index_key("web"), b"[" * 100_000, None)
    (complaint,) = live_through(store, days_later(HALTED_RUN, 1), "20260106-0900-0000")
    assert index_key("web") in complaint
    assert [entry.ending for entry in entries_of(store, "web")] == ["halted", "success"]
    assert live_through(store, days_later(CLEAN_RUN, 2), "20260107-0900-0000") == []


def test_a_run_that_seems_to_be_the_first_loses_no_other() -> None:
    store = MemoryStore()
    dead = live(store, 0, dies=True)
    began = days_later(CLEAN_RUN, 0)
    first = [began[0], LeaseTaken(began[0].at, 1, ""), *began[1:]]
    live_through(store, first, "20260105-0900-0000")
    stored = store.get(index_key("web"))
    assert stored is not None
    assert dead in {entry.run for entry in read_index(stored.data).entries}
    live_through(store, [began[0], LeaseTaken(began[0].at, 1, ""), *days_later(CLEAN_RUN, 1)[1:]], "20260106-0900-0000")
    stored = store.get(index_key("web"))
    assert stored is not None
    assert {entry.run for entry in read_index(stored.data).entries} >= {dead, "20260105-0900-0000"}


class Counting(MemoryStore):
    """Counts calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def get(self, key: str) -> Stored | None:
        self.calls["get"] += 1
        return super().get(key)

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        self.calls["put"] += 1
        return super().put(key, data, expect)

    def keys(self, prefix: str, after: str = "") -> Iterable[str]:
        self.calls["list"] += 1
        found = list(super().keys(prefix, after))
        self.calls["listed"] += len(found)
        return found


def run_of(day: int, hour: int = 9) -> tuple[RunId, list[Event]]:
    """A run that had nothing to do, and its id."""
    at = datetime(2026, 1, 1, hour, tzinfo=UTC) + timedelta(days=day)
    run = RunId(f"{at:%Y%m%d-%H%M}-0000")
    end = RunFinished(at + timedelta(minutes=1), run, RunOutcome.OK, 0, {}, timedelta(minutes=1), "", {}, {})
    return run, [RunStarted(at, run, "web", "1"), end]


def live(store: MemoryStore, day: int, hour: int = 9, *, dies: bool = False) -> RunId:
    run, events = run_of(day, hour)
    if dies:
        record = Record(store, "web", run)
        record.record(events[0])
        record.flush()
    else:
        live_through(store, events, run)
    return run


@pytest.mark.parametrize("most", [5, 1000])
def test_the_work_at_the_end_of_a_run_does_not_grow_over_years(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(index, "REPORTS_LISTED_MAX", most)
    store = Counting()
    costs = []
    for day in range(40):
        before = Counter(store.calls)
        live(store, day)
        costs.append(store.calls - before)
    assert costs[10:] == [costs[10]] * 30
    assert costs[10]["listed"] <= 15


def test_runs_that_were_dropped_from_the_index_are_not_searched_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "REPORTS_LISTED_MAX", 5)
    store = Counting()
    for hour in range(8):
        run, events = run_of(0, hour)
        record = Record(store, "web", run)
        for event in events:
            record.record(event)
    entries = entries_of(store, "web")
    assert len(entries) == 5
    store.put(index_key("web"), index_object(entries), None)
    for hour in range(8, 12):
        before = Counter(store.calls)
        live(store, 0, hour)
        # Read the index, and once, for the page and the index, the acts of people on versions.
        assert (store.calls - before)["get"] == 2
    assert [entry.run[9:11] for entry in entries_of(store, "web")] == ["11", "10", "09", "08", "07"]


def test_a_run_that_died_is_found_among_many_earlier_runs() -> None:
    store = MemoryStore()
    for day in range(5):
        live(store, day)
    dead = live(store, 5, dies=True)
    live(store, 6)
    assert dead in {entry.run for entry in entries_of(store, "web")}
    stored = store.get(index_key("web"))
    assert stored is not None
    assert dead in {entry.run for entry in read_index(stored.data).entries}


def test_more_dead_runs_than_are_read_at_once_are_found_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "ADOPTED_MAX", 3)
    store = MemoryStore()
    live(store, 0)
    dead = {live(store, 1 + day, dies=True) for day in range(10)}
    for day in range(20, 24):
        live(store, day)
    stored = store.get(index_key("web"))
    assert stored is not None
    assert dead <= {entry.run for entry in read_index(stored.data).entries}


def test_a_run_whose_clock_was_ahead_hides_no_later_run() -> None:
    store = MemoryStore()
    live(store, 0)
    live(store, 365 * 70)
    live(store, 1)
    dead = live(store, 2, dies=True)
    live(store, 3)
    stored = store.get(index_key("web"))
    assert stored is not None
    assert dead in {entry.run for entry in read_index(stored.data).entries}


def test_after_the_index_is_lost_runs_of_a_month_are_found_and_history_finds_more() -> None:
    store = Counting()
    for day in range(0, 100, 10):
        live(store, day)
    store.delete(index_key("web"), None)
    live(store, 100)
    stored = store.get(index_key("web"))
    assert stored is not None
    assert [entry.run[4:8] for entry in read_index(stored.data).entries] == ["0411", "0401", "0322", "0312"]
    store.delete(index_key("web"), None)
    assert len(entries_of(store, "web")) == 11


def test_if_the_store_fails_the_report_is_missing_and_a_warning_says_how_to_create_it() -> None:
    class Full(MemoryStore):
        def put(self, key: str, data: bytes, expect: str | None) -> str:
            if "report" in key:
                raise Unreachable("the bucket is gone")
            return super().put(key, data, expect)

    (complaint,) = live_through(Full(), CLEAN_RUN, RUN)
    assert f"`report {RUN}` writes it again" in complaint
    assert "the bucket is gone" in complaint


def test_two_that_write_the_index_at_once_are_both_in_it() -> None:
    class Racing(MemoryStore):
        raced = False

        def get(self, key: str):  # type: ignore[no-untyped-def]
            found = super().get(key)
            if key == index_key("web") and not self.raced:
                self.raced = True
                live_through(self, days_later(HALTED_RUN, 1), "20260106-0900-0000")
            return found

    store = Racing()
    lived(store, CLEAN_RUN)
    assert {entry.ending for entry in entries_of(store, "web")} == {"success", "halted"}


@given(numbers=st.lists(st.integers(0, 2), max_size=5))
def test_an_index_is_read_as_it_was_written(numbers: list[int]) -> None:
    runs = [CLEAN_RUN, HALTED_RUN, hostile_run()]
    entries = [entry_of(run_report(runs[number])) for number in numbers]
    assert list(read_index(index_object(entries)).entries) == entries


def test_the_page_links_every_run_and_is_safe() -> None:
    entries = [entry_of(run_report(run)) for run in (CLEAN_RUN, HALTED_RUN, hostile_run())]
    html = index_page(HTML, [replace(entries[0], run=RunId('"><script>')), *entries])
    page = Page(html)
    assert set(page.tags) <= set(" ".join(KNOWN_TAGS).split()) | {"a"}
    links = [value for name, value in page.attributes if name == "href" and value != "data:,"]
    assert f"{RUN}/report.html" in links
    assert "%22%3E%3Cscript%3E/report.html" in links


def test_a_cluster_without_runs_says_so() -> None:
    assert history_text([]) == "No runs recorded.\n"
    assert "No runs recorded" in index_page("web", [])


def test_history_is_the_golden_text() -> None:
    """Look at the file if this fails: it is what people will read."""
    store = MemoryStore()
    lived(store, CLEAN_RUN, HALTED_RUN, CLEAN_RUN[:-1])
    assert history_text(entries_of(store, "web")) == (GOLDEN / "history.txt").read_text("utf-8")


def test_the_index_says_when_a_run_last_ended_well_and_when_one_last_had_trouble() -> None:
    store = MemoryStore()
    lived(store, CLEAN_RUN, HALTED_RUN, died("clean"))
    text = " ".join(Page(index_page("web", entries_of(store, "web"))).text.split())
    assert "last success: 2026-01-05 09:00" in text
    assert "last problem: 2026-01-07 09:01, no end recorded" in text
    assert "last problem: never" in Page(index_page("web", [entry_of(run_report(CLEAN_RUN))])).text
