"""How much of the store a run reads: it grows in proportion to the clusters that share it, up to a limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.many.test_fleet_page import NOW, V2, Counting, standing

from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.rules.promotion import Requirement, StageRules, not_promoted
from bottlerocket_ecs_updater.engine.look.store import ORDERS_KNOWN_FOR
from bottlerocket_ecs_updater.engine.store import shared_state
from bottlerocket_ecs_updater.engine.store.shared_state import (
    STANDINGS_EVERY,
    Acts,
    SharedState,
    standing_key,
    standings_of,
    write_standing,
)
from bottlerocket_ecs_updater.report.analysis.fleet_overview import ClusterState, overview_of
from bottlerocket_ecs_updater.report.outputs.fleet_page import overview_text

OWN = Location("111122223333", "eu-west-1", "shop")
RULES = StageRules("production", (Requirement.parse("staging for 1d"),))
OF_A_RUN = 2
"""The acts of people, and the cluster's own standing."""


def store_with(clusters: int) -> Counting:
    """Half of the clusters are in the stage that the others wait for."""
    store = Counting()
    for number in range(clusters):
        one = standing(f"c-{number:04}", stage="staging" if number % 2 else "other")
        store.put(standing_key(one.place), write_standing(one), None)
    return store


def reads_of(store: Counting, shared: SharedState, later: timedelta = timedelta()) -> int:
    store.reads = 0
    shared.look(NOW + later, ORDERS_KNOWN_FOR)
    return store.reads


@pytest.mark.parametrize("clusters", [0, 3, 30, 300])
def test_a_run_reads_each_standing_once_and_then_those_it_waits_for_every_ten_minutes(clusters: int) -> None:
    store = store_with(clusters)
    shared = SharedState(store, str(OWN), OWN, RULES)
    assert reads_of(store, shared) == clusters + OF_A_RUN
    assert reads_of(store, shared, ORDERS_KNOWN_FOR / 2) == 0
    assert reads_of(store, shared, ORDERS_KNOWN_FOR) == 1
    assert reads_of(store, shared, STANDINGS_EVERY) == clusters // 2 + 1


def test_a_cluster_that_waits_for_no_stage_reads_no_standing() -> None:
    store = store_with(30)
    assert reads_of(store, SharedState(store, str(OWN), OWN, StageRules("staging"))) == 1


def test_a_store_full_of_standings_is_read_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_state, "STANDINGS_MAX", 20)
    store = store_with(30)
    assert reads_of(store, SharedState(store, str(OWN), OWN, RULES)) == 20 + OF_A_RUN
    store.reads = 0
    assert len(standings_of(store)[0]) == store.reads == 20


UNREAD = "fleet/clusters/111122223333/eu-west-1/c-0020/standing.json and later ones"


@pytest.mark.parametrize(("clusters", "unread"), [(19, ()), (21, (UNREAD,)), (30, (UNREAD,))])
def test_standings_beyond_the_limit_promote_nothing_and_are_named(
    clusters: int, unread: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_state, "STANDINGS_MAX", 20)
    store = store_with(clusters)
    known = standing(OWN.name, waits_for=RULES.waits_for, peers=(Location("999999999999", "eu-west-1", "far"),))
    store.put(standing_key(OWN), write_standing(replace(known, place=OWN)), None)
    shared = SharedState(store, str(OWN), OWN, RULES).look(NOW)
    assert shared.unreadable == unread
    assert not (shared.lost and unread), "a cluster that was not read has not lost its standing"
    for key in unread:
        assert key in str(not_promoted(V2, RULES, shared, NOW))
    overview = overview_of(*standings_of(store), Acts(), NOW)
    assert [row.name for row in overview.rows if row.state is ClusterState.UNREADABLE] == list(unread)
    assert all(f"{key}  " in overview_text(overview) for key in unread)
