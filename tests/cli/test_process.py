"""The program as its caller sees it: a process, its exit code and its output."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.cli.settings_bench import COMPLETE

from bottlerocket_ecs_updater import __version__
from bottlerocket_ecs_updater.cli.app import COMMANDS

HEAVY = ("boto3", "botocore", "moto", "jinja2", "flask", "rich", "structlog", "bottlerocket_ecs_updater.core.decision")


def _call(*tokens: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": "/usr/bin:/bin", "BOTTLEROCKET_ECS_UPDATER_REGION": "", **variables}
    command = [sys.executable, "-m", "bottlerocket_ecs_updater", *tokens]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)


def test_the_version_is_printed_with_exit_code_zero() -> None:
    called = _call("--version")
    assert (called.returncode, called.stdout.strip()) == (0, __version__)


@pytest.mark.parametrize("tokens", [(), ("--help",), ("run", "--help")])
def test_help_is_printed_with_exit_code_zero(tokens: tuple[str, ...]) -> None:
    called = _call(*tokens)
    assert (called.returncode, called.stderr) == (0, "")
    assert "Usage: bottlerocket-ecs-updater" in called.stdout


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (("rum",), "unknown command rum; did you mean run?"),
        (("--clustre",), "unknown flag --clustre"),
        (("run",), "cluster, check-document, apply-document, reboot-document are required"),
        (("release",), "WHAT, cluster are required: give --cluster"),
        (("run", *COMPLETE, "--settle", "5"), "settle cannot be '5' (from --settle)"),
    ],
)
def test_a_usage_error_is_one_line_and_exit_code_two(tokens: tuple[str, ...], said: str) -> None:
    called = _call(*tokens)
    assert (called.returncode, called.stdout) == (2, "")
    assert called.stderr.count("\n") == 1
    assert called.stderr.startswith(f"bottlerocket-ecs-updater: {said}")


def test_an_unknown_variable_is_refused_by_the_process_too() -> None:
    called = _call("run", *COMPLETE, BOTTLEROCKET_ECS_UPDATER_SETLE="5s")
    assert (called.returncode, "did you mean BOTTLEROCKET_ECS_UPDATER_SETTLE?" in called.stderr) == (2, True)


def test_verbose_shows_where_an_error_came_from() -> None:
    assert "Traceback" in _call("run", *COMPLETE, "--settle", "5", "--verbose").stderr


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_that_only_a_run_needs(command: str) -> None:
    words = [*filter(None, [command]), "--help"]
    program = (
        f"import sys; from bottlerocket_ecs_updater.cli.app import run_program; run_program({words!r}); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    called = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert called.stderr.strip() == "[]"
