"""The audit trail: what a person did is in the history, on the index and on the page of the next run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.memory_store import MemoryStore
from tests.support.people import note_act

from bottlerocket_ecs_updater.core.model.event import RunFinished, RunStarted
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.engine.ports import Stored
from bottlerocket_ecs_updater.engine.store import shared_state
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.engine.store.shared_state import ACTS_KEY, look_for_acts
from bottlerocket_ecs_updater.errors import Denied
from bottlerocket_ecs_updater.report.outputs.archive import Archive, refresh_index_page
from bottlerocket_ecs_updater.report.outputs.index import acts_text, index_key

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\x1b[31m"


def act(hours: float = 0, **others: str) -> AuditEntry:
    said = {"who": "ann", "verb": "release", "about": "i-1", "why": "the disk was full", "done": "set i-1 ACTIVE"}
    return AuditEntry(NOW + timedelta(hours=hours), **(said | others))


def live(store: MemoryStore, complaints: list[str]) -> str:
    """A run that starts at nine and ends an hour later, and its page."""
    run = RunId("20260105-0900-aaaa")
    archive = Archive(store, "web", run, complaints.append)
    archive.record(RunStarted(NOW, run, "web", "1"))
    archive.record(RunFinished(NOW + timedelta(hours=1), run, RunOutcome.OK, 0, {}, timedelta(hours=1), "", {}, {}))
    return text_at(store, f"runs/web/{run}/report.html")


def noted(store: MemoryStore) -> list[AuditEntry]:
    return list(look_for_acts(store).about("web"))


def text_at(store: MemoryStore, key: str) -> str:
    stored = store.get(key)
    assert stored is not None
    return stored.data.decode()


def test_acts_are_read_as_they_were_noted_and_in_their_order() -> None:
    store = MemoryStore()
    acts = [act(hours, why="") for hours in (800, -3, 0, 0)]
    for one in acts:
        note_act(store, "web", one)
    assert noted(store) == sorted((replace(one, cluster="web") for one in acts), key=lambda one: one.at)
    assert [one.at for one in look_for_acts(store).about("web", NOW + timedelta(hours=1))] == [acts[0].at]
    assert look_for_acts(store).about("api") == ()


def test_only_so_many_acts_are_kept_and_they_are_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_state, "HISTORY_MAX", 2)
    store = MemoryStore()
    for hours in range(4):
        note_act(store, "web", act(hours))
    assert [one.at for one in noted(store)] == [act(2).at, act(3).at]


def test_a_page_shows_only_the_acts_around_its_run() -> None:
    store = MemoryStore()
    for hours, about in ((-30, "i-old"), (-20, "i-before"), (0.5, "i-within"), (2, "i-after")):
        note_act(store, "web", act(hours, about=about))
    page = live(store, [])
    assert [about in page for about in ("i-old", "i-before", "i-within", "i-after")] == [False, True, True, False]
    assert "the disk was full" in page
    assert [about in text_at(store, index_key("web")) for about in ("i-old", "i-after")] == [True, True]


def test_text_from_a_person_is_shown_and_never_interpreted() -> None:
    store = MemoryStore()
    note_act(store, "web", act(why=HOSTILE, who=HOSTILE, about=HOSTILE, done=HOSTILE))
    refresh_index_page(store, "web")
    for text in (live(store, []), text_at(store, index_key("web")), acts_text(noted(store))):
        assert "\x1b" not in text
        assert "alert(1)" in text
    assert "<script>" not in text_at(store, index_key("web"))


def test_a_run_that_may_not_read_acts_has_its_page_anyway() -> None:
    class Closed(MemoryStore):
        def get(self, key: str) -> Stored | None:
            if key == ACTS_KEY:
                raise Denied("not allowed", "s3:GetObject", key)
            return super().get(key)

    complaints: list[str] = []
    assert "No Bottlerocket instances found" in live(Closed(), complaints)
    assert complaints == []
