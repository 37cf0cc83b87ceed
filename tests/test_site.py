"""The docs site is built strictly, loads nothing from elsewhere, and can be searched from a disk."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from bottlerocket_ecs_updater import __version__

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build" / "site" / __version__

pytestmark = pytest.mark.skipif(find_spec("mkdocs") is None, reason="the docs are not set up: make docs-site")


@pytest.fixture(scope="module")
def site() -> Path:
    done = subprocess.run([sys.executable, "site/build.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return SITE


def test_it_is_built_without_a_warning_and_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = [
        found
        for page in site.rglob("*.html")
        for found in re.findall(r'<(?:script|link|img)[^>]*?(?:src|href)="(https?:[^"]+)"', page.read_text())
    ]
    assert loaded == []


@pytest.mark.parametrize("page", ["index", "start", "operate/troubleshooting", "compared", "develop/threat-model"])
def test_a_page_of_the_list_is_there(site: Path, page: str) -> None:
    assert (site / f"{page}.html").is_file()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_in_a_browser_no_page_is_wider_than_the_screen_and_the_search_finds(
    site: Path, width: int, height: int
) -> None:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - slow, and needed here only

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        for path in ("index", "operate/install", "operate/settings", "compared"):
            page.goto((site / f"{path}.html").as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        page.goto((site / "index.html").as_uri())
        page.keyboard.press("/")
        page.keyboard.type("quarantine")
        page.locator(".md-search-result__item").first.wait_for(state="attached", timeout=20_000)
        browser.close()
