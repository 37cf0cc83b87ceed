"""The docs site is built strictly, loads nothing from other sites, and can be searched from disk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

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


def build() -> Any:
    spec = spec_from_file_location("build", ROOT / "site" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_versions_stand_beside_each_other_and_the_front_door_leads_to_the_newest(tmp_path: Path) -> None:
    for version in ("0.9.0", "0.10.0", "0.2.0"):
        (tmp_path / version).mkdir()
        build().open_door(tmp_path, version)
    listed = json.loads((tmp_path / "versions.json").read_text())
    assert [(one["version"], one["aliases"]) for one in listed] == [
        ("0.10.0", ["latest"]),
        ("0.9.0", []),
        ("0.2.0", []),
    ]
    assert "url=0.10.0/index.html" in (tmp_path / "index.html").read_text()


def test_a_release_adds_its_version_to_those_that_are_published(site: Path, tmp_path: Path) -> None:
    (tmp_path / "0.0.1").mkdir()
    (tmp_path / "versions.json").write_text('[{"version": "0.0.1", "title": "0.0.1", "aliases": ["latest"]}]')
    done = subprocess.run([sys.executable, "site/publish.py", str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    assert done.returncode == 0
    assert [one["version"] for one in json.loads((tmp_path / "versions.json").read_text())] == [__version__, "0.0.1"]
    assert (tmp_path / __version__ / "operate" / "install.html").is_file()
    assert (tmp_path / ".nojekyll").is_file()


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
