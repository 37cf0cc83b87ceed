"""The page of all clusters in a real browser: sortable without scripts, readable on a desktop and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright
from tests.many.test_fleet_page import NOW, many, page_in, store_of

from bottlerocket_ecs_updater.report.outputs.fleet_page import refresh_fleet_page

CHROMIUM = "/usr/bin/chromium"
ROWS = """[...document.querySelectorAll('.one-cluster')]
  .sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)
  .map(row => row.querySelector('b').textContent)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not Path(CHROMIUM).exists():
        pytest.skip("no Chromium here")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def opened(browser: Any, folder: Path, clusters: int, width: int) -> Page:
    store = store_of(*many(clusters))
    refresh_fleet_page(store, NOW)
    file = folder / "index.html"
    file.write_text(page_in(store), encoding="utf-8")
    page: Page = browser.new_context(java_script_enabled=True, viewport={"width": width, "height": 900}).new_page()
    page.goto(file.as_uri())
    return page


def test_a_person_sorts_by_a_click_and_no_script_is_needed(browser: Any, tmp_path: Path) -> None:
    page = opened(browser, tmp_path, 8, 1200)
    assert "<script" not in page.content()
    worst = page.evaluate(ROWS)
    assert worst[:2] == ["cluster-002", "cluster-006"]
    page.get_by_label("name", exact=True).check()
    assert page.evaluate(ROWS) == sorted(worst)
    page.get_by_label("days behind").check()
    assert page.evaluate(ROWS)[:2] == ["cluster-001", "cluster-005"]
    page.get_by_label("oldest run").check()
    assert page.evaluate(ROWS)[:2] == ["cluster-003", "cluster-007"]


@pytest.mark.parametrize("width", [390, 768, 1200])
@pytest.mark.parametrize("clusters", [3, 300])
def test_nothing_runs_out_of_the_page(browser: Any, tmp_path: Path, width: int, clusters: int) -> None:
    page = opened(browser, tmp_path, clusters, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".one-cluster").count() == clusters


def test_a_screen_reader_gets_rows_and_columns(browser: Any, tmp_path: Path) -> None:
    page = opened(browser, tmp_path, 3, 1200)
    assert page.get_by_role("table", name="Clusters").get_by_role("row").count() == 4
    assert page.get_by_role("columnheader").count() == 7
