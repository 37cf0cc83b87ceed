"""A mistake of the user gives one line that names it, and no wrong advice."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.cli.settings_bench import COMPLETE

from bottlerocket_ecs_updater.cli.app import COMMANDS, build_app
from bottlerocket_ecs_updater.cli.settings.parsing import parse
from bottlerocket_ecs_updater.engine.store.read_json import Unreadable, read_json
from bottlerocket_ecs_updater.errors import UsageError


def refused(*tokens: str) -> str:
    with pytest.raises(UsageError) as error:
        parse(build_app({}), tokens)
    return error.value.message


@pytest.mark.parametrize("flag", ["--frobnicate", "--foo", "--dry-run", "--force", "--json", "--color"])
def test_a_flag_that_is_like_no_other_brings_no_suggestion(flag: str) -> None:
    assert refused("run", *COMPLETE, flag) == f"unknown flag {flag}"
    assert refused("run", flag) == f"unknown flag {flag}"


@pytest.mark.parametrize(
    ("flag", "meant"),
    [("--clustre", "--cluster"), ("--max-unavailible", "--max-unavailable"), ("--windows", "--window")],
)
def test_a_typo_in_a_flag_suggests_the_right_one(flag: str, meant: str) -> None:
    assert refused("run", *COMPLETE, flag, "x") == f"unknown flag {flag}; did you mean {meant}?"


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (("fleet", "foo"), "ACTION cannot be 'foo': it must be one of status, plan, page, forget, waves"),
        (("completion", "tcsh"), "SHELL cannot be 'tcsh': it must be one of bash, zsh, fish"),
        (("simulate", "--serve=maybe"), "serve cannot be 'maybe' (from --serve): it must be true or false"),
        (("--verison",), "unknown flag --verison; did you mean --version?"),
    ],
)
def test_a_word_that_is_none_of_a_few_brings_those_few(tokens: tuple[str, ...], said: str) -> None:
    assert refused(*tokens) == said


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (("simulate", "--instances=minus"), "that is not a whole number"),
        (("simulate", "--instances=1.5"), "that is not a whole number"),
        (("simulate", "--instances=-5"), "that is out of range"),
        (("simulate", "--instances=99999999999"), "that is out of range"),
        (("plan", "--max-unavailable=minus"), "that is neither a whole number nor a percentage"),
        (("plan", "--max-unavailable=-5"), "that is out of range"),
        (("plan", "--max-unavailable=99999999999"), "that is out of range"),
        (("plan", "--max-unavailable=101%"), "that is out of range"),
    ],
)
def test_only_a_number_is_out_of_range(tokens: tuple[str, ...], said: str) -> None:
    assert f": {said}; it must be a whole number from 1 to " in refused(*tokens)


def test_of_settings_that_belong_together_all_that_are_missing_are_named() -> None:
    assert refused("plan", "--cluster=web", "--region=us-east-1", "--check-document=check") == (
        "apply-document, reboot-document are required: give --apply-document, "
        "BOTTLEROCKET_ECS_UPDATER_APPLY_DOCUMENT, or apply-document in the --config file"
    )
    assert refused("plan", "--region=us-east-1").startswith("cluster is required: ")


def test_a_blank_path_is_no_config_file() -> None:
    assert refused("run", *COMPLETE, "--config", "  ") == "config file   : No such file or directory"


@pytest.mark.parametrize("name", ["foo", "version", "banana"])
def test_a_setting_that_is_like_no_other_brings_no_suggestion(name: str, tmp_path: Path) -> None:
    file = tmp_path / "updater.toml"
    file.write_text(f"{name} = 3\n")
    assert refused("run", *COMPLETE, "--config", str(file)) == f"unknown setting {name} in {file}"


def test_a_table_in_the_file_is_named_as_a_table(tmp_path: Path) -> None:
    file = tmp_path / "updater.toml"
    file.write_text('[foo]\nwindow = "daily 22:00 6h UTC"\n')
    assert refused("run", *COMPLETE, "--config", str(file)) == (
        f"config file {file}: [foo] is a table; settings belong at the top, outside any table"
    )


@pytest.mark.parametrize("text", ["{", "", "[1,", '{"a": }'])
def test_invalid_json_is_reported_with_its_place(text: str) -> None:
    with pytest.raises(Unreadable, match=r"^it is not JSON: error in line 1, column \d+$"):
        read_json(text)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_help_shows_a_default_that_is_empty(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    parse(build_app({}), [command, "--help"])()
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "default: ]" not in said
    assert 'default: ""' not in said


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (("--foo",), "say which Python first"),
        (("python", "--tag"), "--tag needs a value"),
        (("python", "--foo", "x"), "--foo is not known"),
    ],
)
def test_invalid_arguments_of_the_image_build_are_reported_before_it_starts(tokens: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        [Path(__file__).parents[2] / "image" / "build", *tokens], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
