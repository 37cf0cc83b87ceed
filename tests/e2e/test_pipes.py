"""A run works even if nobody reads its output, and does not report that."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.e2e.town import ENDS_WITHIN_SECONDS, Town, assert_clean, town

from bottlerocket_ecs_updater.core.model.event import OutputFailed
from bottlerocket_ecs_updater.report.record.codec import decode
from bottlerocket_ecs_updater.simulator.scenarios import row


def run_into(built: Town, redirected: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """`run` in a shell with redirected output; the shell prints the exit code of the run."""
    words = [sys.executable, "-m", "bottlerocket_ecs_updater", "run", *built.arguments()]
    clock = ["--time-scale", "60", "--time-origin", built.origin, *flags]
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirected}', "bash", *words, *clock],
        env=built.environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=ENDS_WITHIN_SECONDS,
    )


@pytest.mark.parametrize(
    ("redirected", "flags", "failed"),
    [
        ("2>&1 | head -n 3 >/dev/null; echo ${PIPESTATUS[0]}", (), ["the log", "metrics"]),
        ("2>/dev/full; echo $?", ("--log-format", "text"), ["the log"]),
        ("2>&- >&-; echo $?", (), []),
    ],
    ids=["head", "full disk", "closed"],
)
def test_a_run_into_a_pipe_that_breaks_updates_all_and_exits_as_ever(
    tmp_path: Path, redirected: str, flags: Sequence[str], failed: Sequence[str]
) -> None:
    with town(row(2), tmp_path) as here:
        done = run_into(here, redirected, *flags)
        assert (done.stdout.strip().splitlines()[-1:], done.stderr) == (["0"], "")
        assert here.not_as_foretold() == []
        assert_clean(here.findings())
        batches = sorted(tmp_path.rglob("events-*.jsonl"))
        events = [decode(line) for batch in batches for line in batch.read_bytes().splitlines()]
        assert [event.name for event in events].count("run.finished") == 1
        assert [event.what for event in events if isinstance(event, OutputFailed)] == failed


@pytest.mark.parametrize("command", ["status", "history", "--help"])
def test_a_command_ends_without_a_traceback_if_its_output_is_not_read(tmp_path: Path, command: str) -> None:
    read, write = os.pipe()
    os.close(read)
    with town(row(1), tmp_path) as here:
        where = ["--cluster", "demo", "--region", here.scenario.names.region, "--state", str(tmp_path)]
        words = [command] if command == "--help" else [command, *where]
        done = subprocess.run(
            [sys.executable, "-m", "bottlerocket_ecs_updater", *words],
            env=here.environment(),
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
            timeout=60,
        )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
