"""A person pauses a cluster, asks about it, and resumes it, with the commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.town import Town, assert_clean, town

from bottlerocket_ecs_updater.simulator.scenarios import row


def ask(here: Town, *words: str) -> tuple[str, str]:
    """What another command prints, and its warnings."""
    where = ["--cluster", here.scenario.cluster, "--region", here.scenario.names.region, "--state", str(here.state)]
    command = [sys.executable, "-m", "bottlerocket_ecs_updater", *words, *where]
    done = subprocess.run(command, env=here.environment(), capture_output=True, check=True, text=True)
    return done.stdout, done.stderr


def test_a_pause_holds_every_host_until_it_is_resumed_and_the_history_has_both(tmp_path: Path) -> None:
    with town(row(2), tmp_path) as here:
        said, warning = ask(here, "pause", "--why", "incident 4711")
        assert "are paused by " in said
        assert "no run has used it yet" in warning
        assert "incident 4711" in ask(here, "status")[0]
        assert here.run().last["held_by_reason"] == {"paused": 2}
        said, warning = ask(here, "pause", "--why", "incident 4712")
        assert "This replaces an earlier pause, by " in said
        assert warning == ""
        assert "incident 4712" in ask(here, "resume", "--why", "it is over")[0]
        assert ask(here, "resume")[0] == "Updates were not paused.\n"
        assert here.run().last["updated"] == 2
        assert_clean(here.findings())
        acts = json.loads(ask(here, "history", "--format", "json")[0])["acts"]
        assert [(act["verb"], act["why"]) for act in acts] == [
            ("resume", "it is over"),
            ("pause", "incident 4712"),
            ("pause", "incident 4711"),
        ]
