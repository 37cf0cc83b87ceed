"""A terminal shows colours, unless its user turned them off."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from tests.cli.settings_bench import COMPLETE

from bottlerocket_ecs_updater.cli.outputs import colour_of


@pytest.mark.parametrize(("environ", "colour"), [({}, None), ({"NO_COLOR": ""}, None), ({"NO_COLOR": "1"}, False)])
def test_no_color_is_heeded_where_it_says_anything(environ: dict[str, str], colour: bool | None) -> None:
    assert colour_of(environ) is colour


def on_a_terminal(folder: Path, *tokens: str, **variables: str) -> str:
    """The output of a run without credentials on its own terminal: it may act, but every call fails."""
    main, sub = pty.openpty()
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_EC2_METADATA_DISABLED": "true"}
    environ = {"PATH": os.environ["PATH"], "TERM": "xterm", **nowhere, **variables}
    settings = [*COMPLETE, "--cluster", "arn:aws:ecs:eu-west-1:111122223333:cluster/web", "--state", str(folder)]
    command = [sys.executable, "-m", "bottlerocket_ecs_updater", "run", *settings, *tokens]
    process = subprocess.Popen(command, env=environ, stdin=sub, stdout=sub, stderr=sub)
    os.close(sub)
    shown = b""
    with suppress(OSError):  # the other end is closed
        while process.poll() is None or select.select([main], [], [], 0)[0]:
            if select.select([main], [], [], 0.1)[0]:
                shown += os.read(main, 65536)
    process.wait()
    os.close(main)
    return shown.decode()


def test_a_run_on_a_terminal_is_in_colours_or_in_none(tmp_path: Path) -> None:
    assert "\x1b[2m" in on_a_terminal(tmp_path)
    plain = on_a_terminal(tmp_path, NO_COLOR="1")
    assert "lease acquired" in plain
    assert re.findall(r"\x1b\[[0-9;]*m", plain) == []
