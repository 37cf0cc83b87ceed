"""A process finds out which cluster it updates, and which state older versions kept for it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.e2e.town import Town, assert_clean, town

from bottlerocket_ecs_updater.core.model.event import RunFinished, RunStarted
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore
from bottlerocket_ecs_updater.engine.store.pause_switch import Pause, pause_key, set_pause
from bottlerocket_ecs_updater.report.record.record import Record, runs_of
from bottlerocket_ecs_updater.simulator.faults import ApiFails, FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.scenarios import row

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
OLDER = RunId("20260105-0900-3f9c")


def place_of(here: Town) -> Location:
    names = here.scenario.names
    return Location(names.account, names.region, here.scenario.cluster)


def ask(here: Town, *words: str) -> str:
    """The output of another command."""
    where = ["--cluster", here.scenario.cluster, "--region", here.scenario.names.region, "--state", str(here.state)]
    command = [sys.executable, "-m", "bottlerocket_ecs_updater", *words, *where]
    done = subprocess.run(command, env=here.environment(), capture_output=True, check=True, text=True)
    return done.stdout


def leave_a_record(store: FolderStore) -> None:
    """The state that an older version left."""
    record = Record(store, "demo", OLDER)
    record.record(RunStarted(NOW, OLDER, "demo", "0.1"))
    record.record(RunFinished(NOW, OLDER, RunOutcome.OK, 0, {}, timedelta(minutes=1), "", {}, {}))


def test_state_of_an_older_version_is_respected_moved_and_still_readable(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    set_pause(store, "demo", Pause(NOW, "me", "incident 4711"))
    leave_a_record(store)
    with town(row(2), tmp_path) as here:
        assert "incident 4711" in ask(here, "status")
        assert here.run().last["held_by_reason"] == {"paused": 2}
        assert store.get(pause_key(str(place_of(here)))) is not None
        assert "incident 4711" in ask(here, "resume")
        assert here.run().last["updated"] == 2
        assert_clean(here.findings())
        runs = {entry["run"] for entry in json.loads(ask(here, "history", "--format", "json"))["runs"]}
        assert runs == {OLDER, *runs_of(store, str(place_of(here)))}
        assert json.loads(ask(here, "report", OLDER, "--out", "--format", "json"))["run"] == OLDER


def test_a_cluster_by_its_arn_is_the_same_cluster_as_by_its_name(tmp_path: Path) -> None:
    with town(row(2), tmp_path) as here:
        arn = here.scenario.names.ecs("cluster", here.scenario.cluster)
        first = here.run("--cluster", arn)
        assert (first.exit_code, first.last["cluster"], first.last["updated"]) == (0, "demo", 2)
        assert here.run().exit_code == 0
        assert len(runs_of(FolderStore(tmp_path), str(place_of(here)))) == 2


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
