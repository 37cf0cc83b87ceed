"""The workflows are pinned and limited, run on every Python and architecture, and agree on one version."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bottlerocket_ecs_updater import __version__

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
NOTES = ROOT / ".ci" / "release-notes"


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text())["jobs"].items():
            yield f"{path.stem}/{name}", job


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_with_its_version_beside_it(path: Path) -> None:
    used = re.findall(r"uses: (.+)", path.read_text())
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


def test_every_action_has_one_version_in_all_workflows() -> None:
    used = {each for path in WORKFLOWS for each in re.findall(r"uses: ([^@]+)@(\w+)", path.read_text())}
    assert len({name for name, _ in used}) == len(used)


@pytest.mark.parametrize(("name", "job"), list(jobs()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_job_ends(name: str, job: dict[str, Any]) -> None:
    assert 0 < job["timeout-minutes"] <= 60, name


def test_the_tests_run_on_every_python_that_the_package_names() -> None:
    named = set(re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text()))
    matrix = dict(jobs())["ci/test"]["strategy"]["matrix"]
    assert set(matrix["python"]) == named
    assert {each["arch"] for each in matrix["include"]} | set(matrix["arch"]) == {"amd64", "arm64"}


def test_the_quick_tests_run_before_the_others() -> None:
    needs = {name: job.get("needs") for name, job in jobs() if name.startswith("ci/")}
    assert needs.pop("ci/quick") is None
    assert set(needs.values()) == {"quick"}


def test_nothing_is_published_before_everything_is_tested_and_signed() -> None:
    needs = {name.removeprefix("release/"): job.get("needs", []) for name, job in jobs() if name.startswith("release/")}
    assert {"package", "sign"} <= set(needs["publish"])
    assert "check" in [needs["package"], needs["image"]]
    assert "publish" in needs["announce"]


def test_the_targets_that_workflows_call_exist() -> None:
    lines = [line for path in WORKFLOWS for line in path.read_text().splitlines() if not line.startswith("#")]
    called = {word for line in lines for words in re.findall(r"make ([a-z -]+)", line) for word in words.split()}
    assert {"lint", "dist"} <= called
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert called - targets == set()


def notes(version: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(NOTES), version], capture_output=True, text=True, check=False)


def test_a_tag_of_another_version_than_the_program_s_is_refused() -> None:
    done = notes("99.0.0")
    assert (done.returncode, "the tag says 99.0.0" in done.stderr) == (1, True)


def test_a_version_without_a_section_in_the_changelog_is_refused() -> None:
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    done = notes(__version__)
    assert done.returncode == int(__version__ not in headings), done.stderr


def test_the_base_image_is_named_by_its_digest() -> None:
    [base] = re.findall(r"^FROM (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert re.fullmatch(r"\S+debian13\S*@sha256:[0-9a-f]{64}", base)


def test_dependabot_can_raise_the_base_image() -> None:
    """Dependabot reads FROM lines, but not arguments in them."""
    froms = re.findall(r"^FROM .*", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(froms) == 1
    assert "$" not in froms[0]


def test_the_image_is_built_for_the_requested_architecture() -> None:
    """A default in the Dockerfile would override the platform, so there is none, and every build passes it."""
    assert re.findall(r"^ARG TARGETARCH.*", (ROOT / "Dockerfile").read_text(), re.MULTILINE) == ["ARG TARGETARCH"]
    assert '"TARGETARCH=$arch"' in (ROOT / "image" / "build").read_text()
    [push] = [step["run"] for _, job in jobs() for step in job["steps"] if "buildx build" in step.get("run", "")]
    assert '--platform "linux/$ARCH" --build-arg "TARGETARCH=$ARCH"' in push
