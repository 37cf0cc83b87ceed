"""The documentation says what the program says."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.pages import TABLES, rewritten, settings_in_order


@pytest.mark.parametrize("page", TABLES, ids=lambda page: page.name)
def test_the_tables_of_a_page_are_those_of_the_program(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == rewritten(page), "run `make docs`"


def test_every_setting_has_a_meaning_that_is_a_sentence() -> None:
    assert [each.name for each in settings_in_order() if not (each.parameter.help or "").endswith(".")] == []
