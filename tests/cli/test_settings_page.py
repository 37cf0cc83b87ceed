"""The documentation of the settings says what their definition says."""

from __future__ import annotations

from tests.cli.settings_page import PAGE, page_with_table, settings_in_order


def test_the_table_of_settings_is_that_of_their_definition() -> None:
    assert PAGE.read_text(encoding="utf-8") == page_with_table(), "run: python -m tests.cli.settings_page"


def test_every_setting_has_a_meaning_that_is_a_sentence() -> None:
    assert [each.name for each in settings_in_order() if not (each.parameter.help or "").endswith(".")] == []
