"""The shell that runs scripts on a host: exit statuses, operators, and what it does not support."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.simulator.host_bench import MINUTE, SECOND, bench

from bottlerocket_ecs_updater.simulator.faults import RebootEnding


@pytest.mark.parametrize(
    ("lines", "status", "output"),
    [
        pytest.param(["false", "echo on"], 0, "on\n", id="a failing line does not stop the script"),
        pytest.param(["echo on", "false"], 1, "on\n", id="the last status is the script's"),
        pytest.param(["set -e", "false", "echo on"], 1, "", id="set -e stops at the first failure"),
        pytest.param(["set -euo pipefail", "false", "echo on"], 1, "", id="set -e among other flags"),
        pytest.param(["set -o errexit", "false", "echo on"], 1, "", id="set -e by its long name"),
        pytest.param(["set -e", "set +e", "false", "echo on"], 0, "on\n", id="set +e takes it back"),
        pytest.param(["set -e", "false || true", "echo on"], 0, "on\n", id="a caught failure does not stop it"),
        pytest.param(["set -e", "false && true", "echo on"], 0, "on\n", id="a tested failure does not stop it"),
        pytest.param(["set -e; true && false", "echo on"], 1, "", id="the end of a chain does"),
        pytest.param(["exit 3", "echo on"], 3, "", id="exit ends it"),
        pytest.param(["false", "exit"], 1, "", id="exit alone keeps the status"),
        pytest.param(["true && echo yes || echo no"], 0, "yes\n", id="and"),
        pytest.param(["false && echo yes || echo no"], 0, "no\n", id="or"),
        pytest.param(["echo -n a; echo 'b  c' # why"], 0, "ab  c\n", id="quotes, echo -n and comments"),
        pytest.param(["# nothing", "", "echo on 2>&1"], 0, "on\n", id="comments, empty lines, redirections"),
        pytest.param(["echo one\necho two"], 0, "one\ntwo\n", id="lines within a line"),
        pytest.param([], 0, "", id="nothing at all"),
    ],
)
def test_a_script_runs_as_sh_runs_it(lines: list[str], status: int, output: str) -> None:
    result = bench().run(*lines)
    assert (result.exit_code, result.stdout) == (status, output)


@pytest.mark.parametrize(
    ("line", "output", "errors"),
    [
        pytest.param("echo on >/dev/null; cat x", "", "cat: x: No such file or directory\n", id="stdout"),
        pytest.param("echo on; cat x 2>/dev/null", "on\n", "", id="stderr"),
        pytest.param("echo on &>/dev/null; cat x &> /dev/null", "", "", id="both"),
        pytest.param("cat x 2>/dev/null; cat y", "", "cat: y: No such file or directory\n", id="one command only"),
    ],
)
def test_only_the_output_that_a_command_redirects_is_lost(line: str, output: str, errors: str) -> None:
    result = bench().run(line)
    assert (result.stdout, result.stderr) == (output, errors)


@pytest.mark.parametrize(
    ("line", "status", "output"),
    [
        pytest.param("echo 'a b' | tr -d ' '", 0, "ab\n", id="tr"),
        pytest.param("echo '{\"x\":1}' | grep -q '{\"x\":[^}]*1}' && echo yes", 0, "yes\n", id="grep finds it"),
        pytest.param("echo 'a+b' | grep -q 'aab' || echo no", 0, "no\n", id="plus is a plus in a basic expression"),
        pytest.param("echo ab | grep -qxE 'b|ab' && echo yes", 0, "yes\n", id="a whole line is one of two"),
        pytest.param("echo abc | grep -qxE 'b|ab' || echo no", 0, "no\n", id="a whole line is neither"),
        pytest.param("exec echo yes; echo no", 0, "yes\n", id="nothing follows exec"),
        pytest.param("false || exec false; echo no", 1, "", id="exec gives the status"),
        pytest.param("false | tr -d ' '", 0, "", id="the status is that of the last one"),
        pytest.param("test -n '' && echo yes", 1, "", id="an empty text"),
        pytest.param("test -n x && echo yes", 0, "yes\n", id="a text"),
    ],
)
def test_filters_work_as_those_of_the_control_container(line: str, status: int, output: str) -> None:
    result = bench().run(line)
    assert (result.exit_code, result.stdout) == (status, output)


def test_an_unknown_command_is_127() -> None:
    result = bench().run("frobnicate --now")
    assert (result.exit_code, result.stderr) == (127, "sh: frobnicate: command not found\n")


@pytest.mark.parametrize("line", ["echo 'open", "cat x | wc", "(true)", "true &", "echo x > /tmp/y"])
def test_unsupported_shell_syntax_is_a_syntax_error(line: str) -> None:
    result = bench().run(line, "echo on")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("sh: syntax error")


def test_a_file_that_is_not_there_fails_the_line() -> None:
    result = bench().run("cat /etc/shadow")
    assert (result.exit_code, result.stderr) == (1, "cat: /etc/shadow: No such file or directory\n")


def test_a_sleep_takes_its_time() -> None:
    host = bench()
    began = host.clock.now()
    host.run("sleep 90", "sleep 0.5")
    assert host.clock.now() - began == timedelta(seconds=90.5)


def test_a_script_is_never_finished_before_execute_returns() -> None:
    results, script = bench().start("true")
    assert (results, script.running) == ([], True)


def test_a_killed_script_ends_once_with_what_it_printed() -> None:
    host = bench()
    results, script = host.start("echo begun", "sleep 60")
    host.pass_time(SECOND)
    script.kill()
    script.kill()
    host.pass_time(2 * MINUTE)
    assert [(result.exit_code, result.stdout, result.timed_out) for result in results] == [(137, "begun\n", False)]


def test_a_script_under_which_the_host_goes_down_is_cut_off() -> None:
    host = bench()
    results, _ = host.start("echo begun", "sleep 600")
    host.pass_time(SECOND)
    host.host.reboot("maintenance")
    host.pass_time(MINUTE)
    assert [(result.exit_code, result.cut) for result in results] == [(143, RebootEnding.WORKER_TIMED_OUT)]


def test_nothing_can_be_run_on_a_host_without_an_operating_system() -> None:
    host = bench()
    host.host.terminate()
    with pytest.raises(RuntimeError, match="terminated: nothing can be run"):
        host.start("true")
