"""Behaviour that all commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from bottlerocket_ecs_updater.cli.app import build_app
from bottlerocket_ecs_updater.cli.settings.parsing import parse
from bottlerocket_ecs_updater.errors import UsageError

FILE = """
cluster = "web"
state = "s3://bucket/updater"
check-document = "check"
apply-document = "apply"
reboot-document = "reboot"
max-unavailable = "10%"
window = ["daily 22:00 6h UTC"]
"""
WORDS = {"explain": ["i-0"], "report": ["latest"], "release": ["i-0"], "pause": ["--why", "a holiday"]}


@pytest.mark.parametrize(
    "command", ["run", "plan", "explain", "status", "history", "report", "pause", "resume", "release"]
)
def test_one_file_serves_every_command(command: str, tmp_path: Path) -> None:
    file = tmp_path / "updater.toml"
    file.write_text(FILE)
    parse(build_app({}), [command, *WORDS.get(command, []), "--config", str(file)])


@pytest.mark.parametrize("command", ["status", "history"])
def test_a_misspelt_setting_in_the_file_is_refused_by_every_command(command: str, tmp_path: Path) -> None:
    file = tmp_path / "updater.toml"
    file.write_text(FILE.replace("window", "windw"))
    with pytest.raises(UsageError, match="window"):
        parse(build_app({}), [command, "--config", str(file)])
