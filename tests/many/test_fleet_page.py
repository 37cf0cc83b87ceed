"""The page of all clusters, its data and `fleet status`: their contents, and that no run overwrites another's entry."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.many import NEW, Clusters
from tests.support.memory_store import MemoryStore
from tests.support.shared_time import DistantStore, SharedTime

from bottlerocket_ecs_updater.cli.app import run_program
from bottlerocket_ecs_updater.core.model.event import RunFinished, StandingPublished
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome, count_kinds
from bottlerocket_ecs_updater.core.model.passing import HAS_A_PERSON, NEVER_PASSES
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.model.shared import Act, ClusterStanding, Expedite, HeldFor, LastRun, Promotion
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.engine.ports import Conflict, Stored
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore
from bottlerocket_ecs_updater.engine.store.shared_state import (
    ACTS_KEY,
    Acts,
    change_acts,
    look_for_acts,
    standing_key,
    with_block,
    with_expedite,
    with_pause,
    with_promotion,
    write_standing,
)
from bottlerocket_ecs_updater.report.analysis.fleet_overview import ClusterState, overview_of
from bottlerocket_ecs_updater.report.outputs.data_block import data_in
from bottlerocket_ecs_updater.report.outputs.fleet_page import (
    PAGE_KEY,
    FleetPage,
    overview_json,
    overview_text,
    refresh_fleet_page,
)
from bottlerocket_ecs_updater.simulator.faults import BootHangs

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
DAY = timedelta(days=1)
V1, V2 = Version.parse("1.20.0"), Version.parse("1.21.0")


def standing(name: str, **more: Any) -> ClusterStanding:
    at = more.pop("at", NOW - timedelta(hours=1))
    assert isinstance(at, datetime)
    run = LastRun(f"20260302-0900-{name[:4]}", str(more.pop("outcome", "ok")), int(str(more.pop("code", 0))), at)
    plain = {"eligible": 3, "running": {V2: 3}, "newest": V2, "stage": "production"} | more
    return ClusterStanding(Location("111122223333", "eu-west-1", name), looked_at=at, last_run=run, **plain)  # type: ignore[arg-type]


def store_of(*standings: ClusterStanding) -> MemoryStore:
    store = MemoryStore()
    for one in standings:
        store.put(standing_key(one.place), write_standing(one), None)
    return store


class Counting(MemoryStore):
    """Counts reads."""

    reads = 0

    def get(self, key: str) -> Stored | None:
        self.reads += 1
        return super().get(key)


def page_in(store: MemoryStore) -> str:
    stored = store.get(PAGE_KEY)
    assert stored is not None
    return stored.data.decode()


def many(number: int) -> list[ClusterStanding]:
    kinds: list[dict[str, Any]] = [
        {},
        {"running": {V1: 2, V2: 1}, "behind_since": NOW - 9 * DAY, "held": (HeldFor("not-promoted", 2, "x" * 200),)},
        {"quarantined": ("i-0123456789abcdef0",), "trouble": ("1 quarantined",), "outcome": "failures", "code": 3},
        {"at": NOW - 5 * DAY},
    ]
    return [standing(f"cluster-{index:03}", **kinds[index % 4]) for index in range(number)]


def test_the_worst_comes_first_and_each_says_why() -> None:
    shown = refresh_fleet_page(store_of(*many(8)), NOW)
    states = [row.state for row in shown.rows]
    assert (
        states
        == [ClusterState.QUARANTINE] * 2
        + [ClusterState.SILENT] * 2
        + [ClusterState.BEHIND] * 2
        + [ClusterState.CURRENT] * 2
    )
    assert shown.rows[0].why[0] == "quarantined: i-0123456789abcdef0"
    assert shown.rows[4].days_behind == 9
    assert shown.headline == "8 clusters: 2 quarantined, 2 silent, 2 behind, 2 up to date"


@pytest.mark.parametrize("reason", [one for one in Reason if one in NEVER_PASSES - HAS_A_PERSON])
def test_a_cluster_with_a_host_that_needs_a_person_is_never_called_up_to_date(reason: Reason) -> None:
    held = (HeldFor(reason.code, 1, "a sentence"),)
    shown = overview_of([standing("a", held=held), standing("b")], {}, Acts(), NOW)
    assert [(row.name, row.state, row.state.bad) for row in shown.rows] == [
        ("a", ClusterState.NEEDS_A_PERSON, True),
        ("b", ClusterState.CURRENT, False),
    ]


def test_hosts_that_need_a_person_are_shown_before_missing_tasks_and_longer_lists_of_holds() -> None:
    held = (HeldFor("not-promoted", 9, "a wait"), HeldFor("ssm-connection-lost", 1, "a sentence"))
    one = standing("a", held=held, trouble=("services with missing tasks: web",), behind_since=NOW - DAY)
    shown = refresh_fleet_page(store := store_of(standing("b", trouble=one.trouble), one), NOW)
    assert [(row.name, row.state, row.state.bad) for row in shown.rows] == [
        ("a", ClusterState.NEEDS_A_PERSON, True),
        ("b", ClusterState.UNHEALTHY, False),
    ]
    assert [why.partition(":")[0] for why in shown.rows[0].why] == [
        "1 held as ssm-connection-lost",
        "services with missing tasks",
        "9 held as not-promoted",
    ]
    assert "1 problem<" in page_in(store)


def test_reasons_that_do_not_fit_on_the_page_are_counted() -> None:
    for number, more in ((4, ""), (6, "<li>and 2 more</li>")):
        refresh_fleet_page(
            store := store_of(standing("a", held=tuple(HeldFor(f"c{n}", 1, "") for n in range(number)))), NOW
        )
        assert page_in(store).count("<li>1 held as") == 4
        assert more in page_in(store)


def paused_store(*standings: ClusterStanding) -> MemoryStore:
    """A store in which every cluster is paused, and one that has no standing."""
    store = store_of(*standings)
    for place in (*(one.place for one in standings), Location("111122223333", "eu-west-1", "new")):
        pause = Act("ann", NOW - DAY, f"incident of {place.name}")
        change_acts(store, lambda acts, place=place, pause=pause: with_pause(acts, str(place), pause))  # type: ignore[misc]
    return store


def test_a_paused_cluster_is_shown_as_paused_with_who_paused_it_and_why() -> None:
    pausing = HeldFor("paused", 3, "a sentence")
    store = paused_store(standing("a"), standing("b", behind_since=NOW - DAY, held=(pausing,)), standing("c", code=3))
    shown = refresh_fleet_page(store, NOW)
    assert [(row.name, row.state_text) for row in shown.rows] == [
        ("c", "run failed, paused"),
        ("b", "paused"),
        ("a", "paused"),
    ]
    for row in shown.rows:
        assert [why for why in row.why if "paused" in why] == [f"updates are paused {row.paused}"]
        assert row.paused.endswith(f": incident of {row.name}")
    for text in (overview_text(shown), page_in(store)):
        assert all(f"incident of {name}" in text for name in ("a", "b", "c", "new"))
    assert {one["paused"] for one in overview_json(shown)["clusters"]} == {row.paused for row in shown.rows}
    assert "run failed, paused</span>" in page_in(store)
    assert "resume --cluster new<" in page_in(store)


def test_a_cluster_that_is_not_paused_and_one_with_the_same_name_elsewhere_are_not_shown_as_paused() -> None:
    store = store_of(standing("a"))
    change_acts(store, lambda acts: with_pause(acts, "999999999999/eu-west-1/a", Act("ann", NOW)))
    [row] = refresh_fleet_page(store, NOW).rows
    assert (row.state, row.paused) == (ClusterState.CURRENT, "")


def test_a_decision_about_some_stages_or_windows_only_is_shown_as_that() -> None:
    store = store_of(standing("a"))
    promoted = Promotion("ann", NOW, "", ("canary", "staging", "eu", "us"))
    change_acts(store, lambda acts: with_promotion(acts, V2, promoted))
    change_acts(store, lambda acts: with_expedite(acts, V1, Expedite("bob", NOW, "", windows=True)))
    shown = refresh_fleet_page(store, NOW)
    where, how = "to stage canary, staging, eu, us by ann", "ignoring windows by bob"
    assert f"promoted {V2} {where}" in overview_text(shown)
    assert f"expedited {V1} {how}" in overview_text(shown)
    assert overview_json(shown)["promoted"][str(V2)].startswith(where)
    assert page_in(store).count(where) == page_in(store).count(how) == 1
    assert str(Promotion("ann", NOW)).startswith("by ann")


def test_a_blocked_version_is_named_with_the_clusters_that_run_it() -> None:
    store = store_of(standing("a"), standing("b"), standing("c", running={V1: 1}))
    change_acts(store, lambda acts: with_block(acts, V2, Act("ann", NOW, "breaks things")))
    shown = refresh_fleet_page(store, NOW)
    assert "breaks things. 2 clusters run it. Undo:" in page_in(store)
    assert "breaks things; 2 clusters run it\n" in overview_text(shown)


def test_an_unreadable_standing_has_its_own_row() -> None:
    store = store_of(standing("good"))
    store.put(standing_key(Location("1", "r", "bad")), b"{", None)
    shown = refresh_fleet_page(store, NOW)
    assert [(row.name, row.state) for row in shown.rows] == [
        ("bad", ClusterState.UNREADABLE),
        ("good", ClusterState.CURRENT),
    ]


@pytest.mark.parametrize("harm", [b"{", b"[]", b'{"format":9}', b"", None])
def test_a_page_that_cannot_be_read_is_made_again_from_the_standings(harm: bytes | None) -> None:
    store = store_of(standing("a"), standing("b"))
    refresh_fleet_page(store, NOW)
    page = page_in(store).encode()
    data = data_in(page)
    store.put(PAGE_KEY, page.replace(data, harm) if harm is not None else b"<html>", None)
    assert len(refresh_fleet_page(store, NOW, standing("c")).rows) == 3


def test_a_page_that_somebody_deleted_is_made_again_from_the_standings() -> None:
    store = store_of(standing("a"), standing("b"))
    assert [row.name for row in refresh_fleet_page(store, NOW, standing("b")).rows] == ["a", "b"]


def test_a_run_adds_its_cluster_to_the_page_and_reads_no_standing_for_it() -> None:
    store = Counting()
    for name in ("a", "b", "a"):
        shown = refresh_fleet_page(store, NOW, standing(name))
    assert [row.name for row in shown.rows] == ["a", "b"]
    assert store.reads == 3 * len((PAGE_KEY, ACTS_KEY))


def test_a_cluster_that_was_forgotten_leaves_the_page() -> None:
    store = store_of(standing("a"), standing("b"))
    refresh_fleet_page(store, NOW)
    store.delete(standing_key(standing("b").place), None)
    assert [row.name for row in refresh_fleet_page(store, NOW).rows] == ["a"]


def test_runs_that_end_together_lose_nothing() -> None:
    store = MemoryStore()
    faults: list[BaseException] = []

    def end(index: int) -> None:
        one = standing(f"c{index}")
        try:
            store.put(standing_key(one.place), write_standing(one), None)
            refresh_fleet_page(store, NOW, one)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=end, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert all(f"<b>c{index}</b>" in page_in(store) for index in range(4))


@pytest.mark.parametrize("there", [True, False])
def test_forty_runs_that_end_together_all_reach_the_page(there: bool) -> None:
    time = SharedTime()
    store = DistantStore(time, timedelta(milliseconds=100))
    time.run([lambda: refresh_fleet_page(store, NOW - DAY)] if there else [])
    runs = [standing(f"c{index:02}") for index in range(40)]
    warnings: list[str] = []

    def end(one: ClusterStanding) -> None:
        store.put(standing_key(one.place), write_standing(one), None)
        page = FleetPage(store, warnings.append, time.sleep)
        page.keep(one)
        page.record(RunFinished(NOW, RunId("r"), RunOutcome.OK, 0, count_kinds({}), DAY, "", {}, {}, 0))

    time.run([lambda one=one: end(one) for one in runs])  # type: ignore[misc]
    assert warnings == []
    stored = MemoryStore.get(store, PAGE_KEY)
    assert stored is not None
    assert all(f"<b>{one.place.name}</b>" in stored.data.decode() for one in runs)


class Overtaken(MemoryStore):
    """Another run ends once between this run's read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: ClusterStanding | None = None

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        if self.meanwhile is not None and key == PAGE_KEY:
            other, self.meanwhile = self.meanwhile, None
            super().put(standing_key(other.place), write_standing(other), None)
            refresh_fleet_page(self, NOW, other)
            raise Conflict(key)
        return super().put(key, data, expect)


def test_a_run_that_was_overtaken_writes_again_with_both() -> None:
    store = Overtaken()
    one = standing("first")
    store.put(standing_key(one.place), write_standing(one), None)
    store.meanwhile = standing("second")
    refresh_fleet_page(store, NOW, one)
    assert "<b>first</b>" in page_in(store)
    assert "<b>second</b>" in page_in(store)


def test_the_page_of_300_clusters_is_below_a_megabyte_and_a_run_reads_no_more_for_it_than_for_three() -> None:
    reads = {}
    for number in (3, 300):
        store = Counting()
        for one in many(number):
            store.put(standing_key(one.place), write_standing(one), None)
        refresh_fleet_page(store, NOW)
        store.reads = 0
        refresh_fleet_page(store, NOW, many(1)[0])
        reads[number] = store.reads
        assert len(page_in(store)) < 1_000_000
    assert reads[3] == reads[300] < 10


def test_the_text_of_others_cannot_break_out_of_the_page() -> None:
    bad = standing("a", trouble=("<script>alert(1)</script>",), stage="<b>")
    store = store_of(bad)
    change_acts(store, lambda acts: with_block(acts, V2, Act("<i>ann", NOW, "</li><script>")))
    refresh_fleet_page(store, NOW)
    assert "<script>" not in page_in(store)
    assert "<i>ann" not in page_in(store)


def test_runs_of_clusters_write_where_they_stand_and_how_long_it_took() -> None:
    clusters = Clusters()
    shop = clusters.add("shop", "staging")
    shop.run()
    [published] = shop.updaters[-1].tape.of(StandingPublished)
    assert published.version == Version.parse(NEW)
    assert published.updated_within is not None
    assert timedelta(0) < published.updated_within < timedelta(hours=2)
    assert published.behind is None
    shown = refresh_fleet_page(clusters.store, clusters.now)
    assert shown.rows[0].state is ClusterState.CURRENT
    assert shown.rows[0].updated_within == published.updated_within
    shop.run()
    assert shop.updaters[-1].tape.of(StandingPublished)[0].updated_within is None


def test_a_cluster_with_a_host_that_hangs_is_the_worst_and_names_it() -> None:
    clusters = Clusters()
    clusters.add("good")
    bad = clusters.add("bad", faults={0: (BootHangs(),)})
    for one in clusters.each.values():
        one.run()
    shown = refresh_fleet_page(clusters.store, clusters.now)
    assert [(row.name, row.state) for row in shown.rows] == [
        ("bad", ClusterState.QUARANTINE),
        ("good", ClusterState.CURRENT),
    ]
    assert any(name in shown.rows[0].why[0] for name in bad.world.hosts)


def test_fleet_status_shows_the_same_as_text_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = FolderStore(tmp_path)
    for one in (standing("web"), standing("batch", running={V1: 3}, behind_since=NOW - DAY)):
        store.put(standing_key(one.place), write_standing(one), None)
    assert run_program(["fleet", "status", "--state", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "web (111122223333 eu-west-1)" in text
    assert run_program(["fleet", "status", "--state", str(tmp_path), "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {one["cluster"] for one in answer["clusters"]} == {"web", "batch"}


def test_a_person_forgets_a_cluster_that_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = FolderStore(tmp_path)
    one = standing("web")
    store.put(standing_key(one.place), write_standing(one), None)
    assert run_program(["fleet", "forget", "web", "--state", str(tmp_path)]) == 2
    assert run_program(["fleet", "forget", str(one.place), "--state", str(tmp_path), "--why", "it was deleted"]) == 0
    assert "is forgotten" in capsys.readouterr().out
    (act,) = look_for_acts(store).about(str(one.place))
    assert (act.command, act.why) == (f"fleet forget {one.place}", "it was deleted")
    assert store.get(standing_key(one.place)) is None
    assert run_program(["fleet", "status"]) == 2
