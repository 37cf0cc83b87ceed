"""`report --open`: the page, the index and the pages that it links to, on this machine; and help in a shell."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.forked import quick_starts
from tests.support.people import note_act

from bottlerocket_ecs_updater.cli.commands.report import write_index_beside
from bottlerocket_ecs_updater.cli.commands.status import as_last
from bottlerocket_ecs_updater.core.model.event import LeaseRefused, RunFinished, RunStarted
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.engine.lease.store_lease import lease_key
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore
from bottlerocket_ecs_updater.report.outputs.archive import Archive
from bottlerocket_ecs_updater.report.outputs.index import entries_of
from bottlerocket_ecs_updater.report.record.record import Record

__all__ = ["quick_starts"]

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
ARN = "arn:aws:ecs:eu-west-1:123456789012:cluster/web"
STATE = "123456789012/eu-west-1/web"


def call(*tokens: str, browser: str = "true") -> subprocess.CompletedProcess[str]:
    environ = {
        "PATH": os.environ["PATH"],
        "BROWSER": browser,
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [sys.executable, "-m", "bottlerocket_ecs_updater", *tokens]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """A state store in which two runs left their records and pages, and a person an act."""
    made = FolderStore(tmp_path / "state")
    for hour in (0, 1):
        began = NOW + timedelta(hours=hour)
        run = RunId(f"{began:%Y%m%d-%H%M}-aaaa")
        record, archive = Record(made, STATE, run), Archive(made, STATE, run, print)
        for event in (
            RunStarted(began, run, "web", "1"),
            RunFinished(began + timedelta(minutes=1), run, RunOutcome.OK, 0, {}, timedelta(minutes=1), "", {}, {}),
        ):
            record.record(event)
            archive.record(event)
    note_act(made, STATE, AuditEntry(NOW, "ann", "pause", "", "a holiday", "paused the updates"))
    return made


def test_the_index_finds_the_pages_that_it_links_to(store: FolderStore, tmp_path: Path) -> None:
    index = write_index_beside(store, STATE, tmp_path)
    html = index.read_text("utf-8")
    links = re.findall(r'href="([^"]+/report.html)"', html)
    assert len(set(links)) == 2
    assert all((tmp_path / link).is_file() for link in links)
    assert "a holiday" in html


def test_the_latest_run_is_not_one_that_left_because_another_held_the_lease(store: FolderStore, tmp_path: Path) -> None:
    at, run = NOW + timedelta(hours=2), RunId("20260105-1100-bbbb")
    record = Record(store, STATE, run)
    record.record(LeaseRefused(at, "another", NOW))
    record.record(RunFinished(at, run, RunOutcome.LEFT, 0, {}, timedelta(0), "another run acts", {}, {}))
    done = call("report", "--out", "--format", "json", "--cluster", ARN, "--state", str(tmp_path / "state"))
    assert json.loads(done.stdout)["run"] == "20260105-1000-aaaa"
    named = call("report", run, "--out", "--format", "json", "--cluster", ARN, "--state", str(tmp_path / "state"))
    assert json.loads(named.stdout)["run"] == run


def test_a_pause_in_a_store_that_no_run_uses_is_reported_with_a_warning(store: FolderStore, tmp_path: Path) -> None:
    words = ("pause", "--cluster", ARN, "--state")
    slip = call(*words, str(tmp_path / "sate"))
    assert (slip.returncode, "are paused" in slip.stdout) == (0, True)
    assert f"{tmp_path / 'sate'} holds no lease of web: no run has used it yet; check --state" in slip.stderr
    store.put(lease_key(STATE), b"{}", None)
    assert call(*words, str(tmp_path / "state")).stderr == ""


@pytest.mark.parametrize("outcome", RunOutcome)
def test_status_and_history_call_the_end_of_a_run_by_the_same_words(outcome: RunOutcome, tmp_path: Path) -> None:
    made, run = FolderStore(tmp_path), RunId("20260105-0900-aaaa")
    record = Record(made, STATE, run)
    record.record(RunStarted(NOW, run, "web", "1"))
    record.record(RunFinished(NOW, run, outcome, 0, {}, timedelta(minutes=1), "why", {}, {}))
    (entry,) = entries_of(made, STATE)
    assert as_last(made, STATE, run).ending == entry.ending != ""


@pytest.mark.parametrize(
    ("what", "shown"), [("latest", "20260105-1000-aaaa"), ("20260105-0900-aaaa", None), ("index", None)]
)
def test_a_page_is_opened_and_its_place_is_said(
    store: FolderStore, tmp_path: Path, what: str, shown: str | None
) -> None:
    done = call("report", what, "--open", "--cluster", ARN, "--state", str(tmp_path / "state"))
    assert done.returncode == 0, done.stderr
    word, place = done.stdout.strip().split(" ", 1)
    assert word == "Opened"
    assert Path(place).is_file()
    assert (shown or what) in place
    if what != "index":
        assert (Path(place).parent.parent / "index.html").is_file()


@pytest.mark.parametrize(
    ("tokens", "why"),
    [
        (("report", "index"), "index needs --open"),
        (("report", "--open", "--out"), "--open cannot be used with"),
        (("report", "--open", "--format", "md"), "--open cannot be used with"),
    ],
)
def test_a_page_that_cannot_be_opened_is_refused(tokens: tuple[str, ...], why: str, tmp_path: Path) -> None:
    done = call(*tokens, "--cluster", ARN, "--state", str(tmp_path))
    assert (done.returncode, why in done.stderr) == (2, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_flags(shell: str) -> None:
    said = call("completion", shell).stdout
    assert "max-unavailable" in said
    assert "explain" in said


ZSH = """
autoload -Uz compinit; compinit -u -D
whence -w _cyclopts_bottlerocket-ecs-updater; {load}
_arguments() {{ print called }}; words=(bottlerocket-ecs-updater ''); CURRENT=2
$_comps[bottlerocket-ecs-updater]
"""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.parametrize("load", ["source $SCRIPT", ":"])
def test_zsh_completes_whether_it_sources_the_script_or_finds_it(load: str, tmp_path: Path) -> None:
    script = tmp_path / ("_bottlerocket-ecs-updater" if load == ":" else "script")
    script.write_text(call("completion", "zsh").stdout)
    code = f"fpath=({tmp_path} $fpath)\n{ZSH.format(load=load)}"
    done = subprocess.run(
        ["zsh", "-f", "-c", code],
        env={**os.environ, "SCRIPT": str(script)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "called" in done.stdout, done.stderr


@pytest.mark.parametrize("command", ["run", "plan", "explain"])
def test_the_help_of_settings_for_rules_has_valid_examples(command: str) -> None:
    said = call(command, "--help").stdout
    examples = re.findall(
        r"^  (--(?:window|freeze|include|exclude|task|allow|pin) .*?)(?:  .*)?$", said, flags=re.MULTILINE
    )
    assert len(examples) >= 8
    assert "BOTTLEROCKET_ECS_UPDATER_DRAIN_TIMEOUT=40m" in said
