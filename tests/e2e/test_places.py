"""A process finds out which cluster it updates."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.town import Town, assert_clean, town

from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore
from bottlerocket_ecs_updater.report.outputs.fleet_page import PAGE_KEY
from bottlerocket_ecs_updater.report.outputs.index import entries_of
from bottlerocket_ecs_updater.report.record.record import runs_of
from bottlerocket_ecs_updater.simulator.faults import ApiFails, FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.scenarios import row


def place_of(here: Town) -> Location:
    names = here.scenario.names
    return Location(names.account, names.region, here.scenario.cluster)


def test_a_cluster_by_its_arn_is_the_same_cluster_as_by_its_name(tmp_path: Path) -> None:
    with town(row(2), tmp_path) as here:
        arn = here.scenario.names.ecs("cluster", here.scenario.cluster)
        first = here.run("--cluster", arn)
        assert (first.exit_code, first.last["cluster"], first.last["updated"]) == (0, "demo", 2)
        assert here.run().exit_code == 0
        store, place = FolderStore(tmp_path), str(place_of(here))
        assert len(runs_of(store, place)) == 2
        assert len(entries_of(store, place)) == 2
        page = store.get(PAGE_KEY)
        assert page is not None
        assert b"<b>demo</b>" in page.data


def test_a_run_that_cannot_find_out_which_cluster_it_is_waits_for_aws_and_says_so(tmp_path: Path) -> None:
    away = ApiFails("ServerException", 500, operation="ListContainerInstances", times=20)
    with town(row(2, faults=FaultPlan((Placed(away),))), tmp_path) as here:
        output = here.run()
        assert (output.exit_code, output.last["updated"]) == (0, 2)
        first = next(line for line in output.lines if line["event"] == "look.postponed")
        assert first["level"] == "warning"
        assert "ecs:ListContainerInstances" in first["why"]
        assert_clean(here.findings())


def test_the_arn_of_a_cluster_of_another_account_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    with town(row(2), tmp_path) as here:
        arn = here.scenario.names.ecs("cluster", here.scenario.cluster).replace(":123456789012:", ":999999999999:")
        output = here.run("--cluster", arn)
        assert output.exit_code == 2
        assert output.last["event"] == "run.finished"
        assert output.last["outcome"] == "error"
        assert "999999999999" in output.last["why"]
        assert here.findings().most_out_at_once == 0
    assert list(FolderStore(tmp_path).keys("")) == []
