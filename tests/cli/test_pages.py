"""The generated tables in the documentation match the program."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.pages import TABLES, help_page, rewritten, settings_in_order

from bottlerocket_ecs_updater.cli.app import COMMANDS
from bottlerocket_ecs_updater.cli.help_pages import COLUMNS, page_of, written_help


@pytest.mark.parametrize("page", TABLES, ids=lambda page: page.name)
def test_the_tables_of_a_page_are_those_of_the_program(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == rewritten(page), "run `make docs`"


def test_every_setting_has_a_meaning_that_is_a_sentence() -> None:
    assert [each.name for each in settings_in_order() if not (each.parameter.help or "").endswith(".")] == []


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_the_prepared_help_equals_the_help_of_the_program(command: str) -> None:
    assert page_of(command).read_text(encoding="utf-8") == help_page(command), "run `make docs`"


@pytest.mark.parametrize("tokens", [["run", "--help", "--cluster"], ["rum", "--help"], ["run", "plan", "-h"], ["run"]])
def test_no_page_is_shown_for_words_that_ask_for_something_else(tokens: list[str]) -> None:
    assert written_help(tokens, tuple(COMMANDS)) is None


def test_a_narrow_terminal_gets_help_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS - 1))
    assert written_help(["run", "--help"], tuple(COMMANDS)) is None
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    assert written_help(["run", "-h"], tuple(COMMANDS)) == page_of("run").read_text(encoding="utf-8")
