"""A report goes to the named file, in the format of its extension. An invalid path is an error before any work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bottlerocket_ecs_updater.cli.commands.report import check_place, form_of
from bottlerocket_ecs_updater.errors import UsageError

SIMULATE = [sys.executable, "-m", "bottlerocket_ecs_updater", "simulate"]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("report.html", "html"),
        ("report.HTM", "html"),
        ("report.md", "md"),
        ("report.markdown", "md"),
        ("report.json", "json"),
        ("report", "html"),
        ("report.2026-01-05.md", "md"),
    ],
)
def test_the_ending_of_a_file_asks_for_its_form(name: str, form: str) -> None:
    assert form_of(Path(name)) == form


@pytest.mark.parametrize("name", ["report.txt", "report.pdf", "report.html.gz"])
def test_an_ending_that_is_no_form_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(UsageError, match=r"the formats are \.html, \.md and \.json"):
        form_of(Path(name))


def test_a_place_where_nothing_can_be_written_is_known_before_the_work(tmp_path: Path) -> None:
    check_place(tmp_path / "report.html")
    with pytest.raises(UsageError, match="this is a folder"):
        check_place(tmp_path)
    with pytest.raises(UsageError, match="there is no folder"):
        check_place(tmp_path / "gone" / "report.html")


@pytest.mark.parametrize(("file", "said"), [("report.txt", "unknown report format"), ("gone/r.html", "no folder")])
def test_a_simulation_whose_report_could_not_be_written_does_not_start(tmp_path: Path, file: str, said: str) -> None:
    done = subprocess.run([*SIMULATE, "--report", file], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"bottlerocket-ecs-updater: {file}: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--fleet", "--report", "r.html"], "report and fleet"),
        (["--fleet", "--instances", "3"], "instances and fleet"),
        (["--fleet", "--serve"], "serve and fleet"),
        (["--serve", "--report", "r.html"], "report and serve"),
    ],
)
def test_a_simulation_refuses_a_flag_that_it_would_ignore(tmp_path: Path, flags: list[str], said: str) -> None:
    done = subprocess.run([*SIMULATE, *flags], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"bottlerocket-ecs-updater: {said} cannot be used together; ")
