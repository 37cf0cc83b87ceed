"""The pages in a real browser, in light and dark mode, on a phone and on a wide screen.

`REPORT_SCREENSHOTS=folder` saves a picture of each page: look at them after a change to the page.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from tests.report.hostile import HTML, hostile_run
from tests.report.runs import died, events_of
from tests.report.samples import CLEAN_RUN, HALTED_RUN

from bottlerocket_ecs_updater.core.model.event import Event
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.report.outputs.index import entry_of
from bottlerocket_ecs_updater.report.outputs.page.html import index_page, page

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
WIDTHS = {"telephone": 360, "wide": 1400}
RUNS = ("clean", "broken", "halted", "large", "died", "hostile")

CONTRAST = """
() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    const inSvg = element.closest("svg");
    if (!own || ["TITLE", "DESC"].includes(element.tagName.toUpperCase())) continue;
    const style = getComputedStyle(element);
    const ink = light(rgb(inSvg ? style.fill : style.color));
    const [a, b] = [ink, light(behind(inSvg || element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(element.tagName + " " + element.textContent.slice(0, 40));
  }
  return poor;
}
"""
"""Texts with less contrast than WCAG 2 requires (level AA, text of normal size)."""


@dataclass
class Visit:
    """A page in a browser."""

    tab: Tab
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def find(self, selector: str) -> list[str]:
        """The visible text of every matching element."""
        return [one.inner_text() for one in self.tab.locator(selector).all()]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


def run_named(name: str) -> Sequence[Event]:
    if name == "died":
        return died("clean")
    return hostile_run() if name == "hostile" else events_of(name)


def visit(browser: Browser, folder: Path, html: str, scheme: Scheme = "light", width: int = 1400) -> Visit:
    """Open a page from a file, as a person who received it does."""
    file = folder / "report.html"
    file.write_text(html, encoding="utf-8")
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}, java_script_enabled=True
    )
    seen = Visit(context.new_page())
    seen.tab.on("console", lambda message: seen.said.append(message.text))
    seen.tab.on("pageerror", lambda error: seen.said.append(str(error)))
    seen.tab.on("request", lambda request: seen.asked.append(request.url))
    seen.tab.goto(file.as_uri())
    return seen


def keep(seen: Visit, name: str) -> None:
    if folder := os.environ.get("REPORT_SCREENSHOTS"):
        seen.tab.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_is_silent_asks_for_nothing_and_fits(
    browser: Browser, tmp_path: Path, run: str, scheme: Scheme, width: str
) -> None:
    seen = visit(browser, tmp_path, page(run_report(run_named(run))), scheme, WIDTHS[width])
    keep(seen, f"{run}-{scheme}-{width}")
    assert seen.said == []
    assert [url for url in seen.asked if not url.startswith(("file:", "data:"))] == []
    assert seen.tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page itself scrolls sideways"
    seen.tab.context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("run", ["halted", "clean", "large", "died"])
def test_every_text_can_be_read(browser: Browser, tmp_path: Path, scheme: Scheme, run: str) -> None:
    seen = visit(browser, tmp_path, page(run_report(run_named(run))), scheme)
    assert seen.tab.evaluate(CONTRAST) == []
    seen.tab.context.close()


def test_the_colours_follow_what_the_reader_prefers(browser: Browser, tmp_path: Path) -> None:
    html = page(run_report(run_named("clean")))
    grounds = set()
    for scheme in SCHEMES:
        seen = visit(browser, tmp_path, html, scheme)
        grounds.add(seen.tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        seen.tab.context.close()
    assert len(grounds) == 2


def test_what_is_broken_is_on_the_first_screen(browser: Browser, tmp_path: Path) -> None:
    for width in WIDTHS.values():
        seen = visit(browser, tmp_path, page(run_report(run_named("halted"))), width=width)
        box = seen.tab.locator(".todo").first.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 900
        seen.tab.context.close()


def test_headings_tell_the_page_and_every_table_has_its_head(browser: Browser, tmp_path: Path) -> None:
    seen = visit(browser, tmp_path, page(run_report(run_named("halted"))))
    assert seen.find("h2") == [
        "What is broken, and what to do",
        "Timeline",
        "Versions before and after",
        "Held back, and why",
        "Failures, step by step",
        "Instances",
        "Durations and calls",
    ]
    assert seen.tab.locator("h1").count() == 1
    for landmark in ("banner", "navigation", "main", "contentinfo"):
        assert seen.tab.get_by_role(landmark).count() == 1, landmark
    levels = seen.tab.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(one => +one.tagName[1])")
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert seen.tab.evaluate("document.documentElement.lang") == "en"
    assert seen.tab.evaluate(
        """[...document.querySelectorAll('table')]
             .every(table => table.querySelector('th[scope]') && table.caption.textContent.trim())"""
    )
    seen.tab.context.close()


def test_all_that_opens_scrolls_or_leads_on_is_reached_by_the_keyboard(browser: Browser, tmp_path: Path) -> None:
    seen = visit(browser, tmp_path, page(run_report(run_named("halted"))), width=WIDTHS["telephone"])
    reached = set()
    for _ in range(60):
        seen.tab.keyboard.press("Tab")
        reached.add(
            seen.tab.evaluate("document.activeElement.tagName + document.activeElement.textContent.slice(0, 99)")
        )
    wanted = seen.tab.evaluate(
        """[...document.querySelectorAll('summary, a, .scroll')]
             .filter(one => one.tagName != 'DIV' || one.scrollWidth > one.clientWidth)
             .map(one => one.tagName + one.textContent.slice(0, 99))"""
    )
    assert set(wanted) <= reached
    seen.tab.context.close()


def test_a_screen_reader_gets_the_content_of_the_drawing(browser: Browser, tmp_path: Path) -> None:
    seen = visit(browser, tmp_path, page(run_report(run_named("clean"))))
    image = seen.tab.get_by_role("img", name="Timeline, a lane for each instance")
    assert image.count() == 1
    seen.tab.context.close()


@pytest.mark.parametrize(("run", "lanes"), [("clean", 6), ("large", 300)])
def test_every_instance_that_was_worked_on_has_a_lane(browser: Browser, tmp_path: Path, run: str, lanes: int) -> None:
    seen = visit(browser, tmp_path, page(run_report(run_named(run))))
    assert seen.tab.locator("svg .lane").count() == lanes
    assert seen.tab.locator("svg .lane .p-rebooting").count() == lanes
    seen.tab.context.close()


def test_the_labels_of_lanes_and_bars_do_not_lie_over_each_other(browser: Browser, tmp_path: Path) -> None:
    seen = visit(browser, tmp_path, page(run_report(run_named("broken"))))
    assert seen.tab.evaluate(
        """() => {
          const boxes = of => [...document.querySelectorAll(of)].map(one => one.getBoundingClientRect());
          const bars = boxes('svg .lane rect:not(.back)');
          const left = Math.min(...bars.map(bar => bar.left)), right = Math.max(...bars.map(bar => bar.right));
          const edge = document.querySelector('svg').getBoundingClientRect().right;
          return boxes('svg .name').every(name => name.right <= left)
            && boxes('svg .lane text:not(.name)').every(word => word.left >= right && word.right <= edge + 1);
        }"""
    )
    seen.tab.context.close()


def test_hostile_text_makes_no_elements(browser: Browser, tmp_path: Path) -> None:
    seen = visit(browser, tmp_path, page(run_report(hostile_run())))
    assert seen.tab.locator("script, img, iframe, b[onclick]").count() == 0
    assert any(HTML in text for text in seen.find(".troubles"))
    seen.tab.context.close()


def test_on_paper_what_is_folded_is_open_and_nothing_is_cut(browser: Browser, tmp_path: Path) -> None:
    seen = visit(browser, tmp_path, page(run_report(run_named("halted"))), "dark")
    seen.tab.emulate_media(media="print")
    assert seen.tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    paper = seen.tab.pdf()
    assert paper.startswith(b"%PDF")
    hidden = seen.tab.locator("details:not([open]) table").first
    assert hidden.evaluate("one => one.checkVisibility({contentVisibilityAuto: true})")
    seen.tab.context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_index_leads_to_every_run(browser: Browser, tmp_path: Path, scheme: Scheme, width: str) -> None:
    entries = [entry_of(run_report(run)) for run in (HALTED_RUN, CLEAN_RUN, hostile_run())]
    seen = visit(browser, tmp_path, index_page("web", entries), scheme, WIDTHS[width])
    keep(seen, f"index-{scheme}-{width}")
    assert seen.said == []
    assert seen.tab.locator("tbody th a").count() == 3
    assert seen.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert seen.tab.evaluate(CONTRAST) == []
    seen.tab.context.close()
