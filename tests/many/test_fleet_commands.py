"""`fleet plan` and `fleet waves` in an account: which clusters are found, their waves, and their state."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.many.test_fleet_page import standing
from tests.support.simulated import row

from bottlerocket_ecs_updater.cli.app import run_program
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.shared import Act, ClusterStanding, HeldFor
from bottlerocket_ecs_updater.core.planning.waves import CLUSTERS_MAX
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore
from bottlerocket_ecs_updater.engine.store.shared_state import change_acts, standing_key, with_pause, write_standing
from bottlerocket_ecs_updater.simulator.waves.cluster_list import Control
from bottlerocket_ecs_updater.simulator.world.world import World

SETTINGS = """
[fleet]
leave-out = ["legacy-*"]
tag = "updater=on"
approve = [2]

[cluster."staging-*"]
wave = 1
stage = "staging"

[cluster."shop-*"]
wave = 2
stage = "production"
promoted-by = ["staging for 1d"]
"""
"""The file does not contain what the stack gives its tasks: the documents and the state store."""

ON = {"updater": "on"}


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, World]]:
    """Clusters by name; the next command finds those that are added."""
    there = {name: row(2) for name in ("staging-a", "shop-eu", "legacy-a", "other")}
    tags: Mapping[str, Mapping[str, str]] = {name: ON for name in (*there, "shop-us") if name != "other"}
    with Control(there, tags) as control:
        for name, value in {
            "AWS_ENDPOINT_URL": control.endpoint,
            "AWS_ACCESS_KEY_ID": "AKIASIMULATEDUPDATER",
            "AWS_SECRET_ACCESS_KEY": "simulated",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            monkeypatch.setenv(name, value)
        yield there


def asked(tmp_path: Path, *words: str, settings: str = SETTINGS) -> int:
    file = tmp_path / "fleet.toml"
    file.write_text(settings, encoding="utf-8")
    return run_program(["fleet", *words, "--config", str(file), "--region", "us-east-1"])


def test_clusters_are_found_by_tag_some_are_left_out_and_a_new_one_is_found_by_the_next_execution(
    worlds: dict[str, World], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more, second in (([], ["shop-eu"]), (["shop-us"], ["shop-eu", "shop-us"])):
        worlds.update({name: row(2) for name in more})
        assert asked(tmp_path, "waves", "--format", "json") == 0
        waves = json.loads(capsys.readouterr().out)["waves"]
        assert [(wave["number"], wave["clusters"]) for wave in waves] == [(1, ["staging-a"]), (2, second)]


def place_in(worlds: Mapping[str, World], name: str) -> Location:
    names = worlds[name].names
    return Location(names.account, names.region, name)


def namesakes(one: ClusterStanding, worlds: Mapping[str, World]) -> list[ClusterStanding]:
    """Standings of clusters with the same name, in another account and in another Region."""
    here = place_in(worlds, one.place.name)
    return [replace(one, place=replace(here, **other)) for other in ({"account": "1" * 12}, {"region": "eu-west-3"})]


def keep(tmp_path: Path, *standings: ClusterStanding) -> None:
    for one in standings:
        FolderStore(tmp_path / "state").put(standing_key(one.place), write_standing(one), None)


NOTHING, AN_UPDATE = (HeldFor("frozen", 1, "why"),), (HeldFor("finish-only", 1, "why"),)


@pytest.mark.parametrize(
    ("own", "others", "approve"),
    [(NOTHING, AN_UPDATE, False), (AN_UPDATE, NOTHING, True), (None, NOTHING, True)],
)
def test_clusters_with_the_same_name_elsewhere_do_not_decide_whether_a_person_is_asked(
    worlds: dict[str, World],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    own: tuple[HeldFor, ...] | None,
    others: tuple[HeldFor, ...],
    approve: bool,
) -> None:
    keep(tmp_path, *namesakes(standing("shop-eu", held=others), worlds))
    if own is not None:
        keep(tmp_path, replace(standing("shop-eu", held=own), place=place_in(worlds, "shop-eu")))
    assert asked(tmp_path, "waves", "--format", "json", "--state", str(tmp_path / "state")) == 0
    waves = json.loads(capsys.readouterr().out)["waves"]
    assert [wave["approve"] for wave in waves] == [False, approve]


def test_a_plan_shows_the_waves_and_the_state_of_each_cluster(
    worlds: dict[str, World], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = standing("shop-eu", quarantined=("i-0123456789abcdef0",), trouble=("1 quarantined",), held=AN_UPDATE)
    keep(tmp_path, replace(bad, place=place_in(worlds, "shop-eu")))
    keep(tmp_path, *namesakes(standing("staging-a"), worlds))
    pause = Act("ann", bad.looked_at)
    change_acts(FolderStore(tmp_path / "state"), lambda acts: with_pause(acts, str(place_in(worlds, "shop-eu")), pause))
    assert asked(tmp_path, "plan", "--state", str(tmp_path / "state")) == 0
    said = capsys.readouterr().out
    assert "wave 1: 1 cluster" in said
    assert "staging-a  has not reported yet" in said
    assert "shop-eu  quarantined, paused: quarantined: i-0123456789abcdef0" in said
    assert "after a person has approved" in said
    assert "legacy-a" not in said
    assert "other" not in said


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (SETTINGS.replace("1d", "soon"), ["shop-eu", "promoted-by"]),
        (f'check-document = "c"\n{SETTINGS}', ["check-document cannot be 'c'"]),
        (SETTINGS.replace("approve = [2]", 'bake = "7d"'), ["bake", "promoted-by"]),
        (SETTINGS.replace("approve = [2]", 'approve-within = "30d"'), ["approve-within"]),
    ],
)
def test_wrong_settings_of_a_cluster_are_refused_before_any_wave(
    worlds: dict[str, World],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    settings: str,
    names: list[str],
) -> None:
    assert worlds
    assert asked(tmp_path, "waves", settings=settings) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in names), said


def test_the_settings_of_clusters_that_differ_in_their_sections_are_all_checked(
    worlds: dict[str, World], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worlds.update({f"shop-{number}": worlds["shop-eu"] for number in range(200)})
    settings = '[cluster."shop-*"]\nwave = 2\n[cluster."shop-199"]\nwindow = ["always"]\n'
    assert asked(tmp_path, "waves", settings=settings) == 2
    assert "settings of the cluster shop-199: window cannot be" in capsys.readouterr().err


def test_more_clusters_than_an_execution_can_take_are_refused_with_what_to_do(
    worlds: dict[str, World], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = worlds["other"]
    worlds.update({f"c-{number}": world for number in range(CLUSTERS_MAX + 1)})
    assert asked(tmp_path, "waves", settings="") == 2
    assert "leave some out" in capsys.readouterr().err


def test_a_default_bake_is_none_and_an_hour_is_taken(
    worlds: dict[str, World], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert worlds
    for line, bake in (("", timedelta()), ('bake = "1h"', timedelta(hours=1))):
        assert asked(tmp_path, "waves", "--format", "json", settings=SETTINGS.replace("approve = [2]", line)) == 0
        waves = json.loads(capsys.readouterr().out)["waves"]
        assert {wave["bake"] for wave in waves} == {int(bake.total_seconds())}
