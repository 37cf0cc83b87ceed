"""Builds the docs site: `python site/build.py` writes the pages to build/site-src, and mkdocs makes build/site/VERSION.

README and the other pages in its folder become pages of the site, and links between files of the repository become
links between pages. Other files are copied as they are.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE, SITE = ROOT / "build" / "site-src", ROOT / "build" / "site"
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))", re.DOTALL)
VERSION = re.compile(r'^__version__ = "([^"]+)"', re.MULTILINE)
WORKER, SHIM = "assets/worker.js", "https://unpkg.com/iframe-worker/shim"
"""The script that lets the search work from disk.

It is our own copy, because the theme would load it from another site.
"""

LATEST = "latest"
FORWARD = '<!doctype html><meta http-equiv="refresh" content="0; url={version}/index.html"><title>Docs</title>\n'


def place_of(path: Path) -> Path:
    """The place of a repository file in the site."""
    relative = path.relative_to(ROOT)
    if str(relative) in PAGES:
        return Path(PAGES[str(relative)])
    if relative.parts[0] == "docs":
        return relative.relative_to("docs")
    return Path("files") / relative


def rewritten(text: str, page: Path) -> str:
    """A page's text with the site's links; files that it links to are copied."""

    def link(found: re.Match[str]) -> str:
        before, target, after = found.groups()
        file, hash_, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:") or not file:
            return found[0]
        meant = (page.parent / file).resolve()
        if meant.is_dir() or not meant.is_relative_to(ROOT):
            raise SystemExit(f"{page}: {target} is no file of the repository")
        if not meant.exists():
            raise SystemExit(f"{page}: {target} does not exist")
        there, here = place_of(meant), place_of(page)
        if there.parts[0] == "files":
            (SOURCE / there).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(meant, SOURCE / there)
        return f"{before}{Path(os.path.relpath(there, here.parent)).as_posix()}{hash_}{anchor}{after}"

    # Leave code unchanged: what looks like a link there is not one.
    parts = re.split(r"(```.*?```|`[^`\n]+`(?!\]))", text, flags=re.DOTALL)
    return "".join(part if part.startswith("`") else LINK.sub(link, part) for part in parts)


def lay_out() -> None:
    """Write every page, and the files that pages show."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    for path in [*(ROOT / name for name in PAGES), *sorted((ROOT / "docs").rglob("*"))]:
        if path.is_dir():
            continue
        target = SOURCE / place_of(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            target.write_text(rewritten(path.read_text(encoding="utf-8"), path), encoding="utf-8")
        else:
            shutil.copyfile(path, target)


def bring_worker(site: Path) -> None:
    """Make every page load its own site's worker. Raises SystemExit if a page loads anything from another site."""
    shutil.copyfile(Path(__file__).with_name("worker.js"), site / WORKER)
    for page in site.rglob("*.html"):
        near = Path(os.path.relpath(site / WORKER, page.parent)).as_posix()
        text = page.read_text(encoding="utf-8").replace(SHIM, f"/{WORKER}" if page.name == "404.html" else near)
        page.write_text(text, encoding="utf-8")
        foreign = re.findall(r'<(?:script|link|img|iframe)[^>]*?(?:src|href)="(https?:[^"]+)"', text)
        if foreign:
            raise SystemExit(f"{page}: it loads {foreign[0]}")


def open_door(site: Path, version: str) -> None:
    """Add a version to the list that the theme shows, and forward the front page to the newest one."""
    listed = site / "versions.json"
    known = [one["version"] for one in json.loads(listed.read_text(encoding="utf-8"))] if listed.is_file() else []
    there = [one for one in {*known, version} if (site / one).is_dir()]
    newest, *older = sorted(there, key=_by_number, reverse=True)
    shown = [(newest, [LATEST]), *((one, []) for one in older)]
    listed.write_text(json.dumps([{"version": one, "title": one, "aliases": names} for one, names in shown], indent=1))
    (site / "index.html").write_text(FORWARD.format(version=newest), encoding="utf-8")


def _by_number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def main() -> None:
    """Write the pages, build strictly, and forward the front page to this version."""
    found = VERSION.search((ROOT / "src" / "bottlerocket_ecs_updater" / "__init__.py").read_text(encoding="utf-8"))
    assert found is not None
    version = found[1]
    lay_out()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(SITE / version)]
    environment = {**os.environ, "DOCS_VERSION": version, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    bring_worker(SITE / version)
    open_door(SITE, version)
    sys.stdout.write(f"{SITE / version / 'index.html'}\n")


if __name__ == "__main__":
    main()
