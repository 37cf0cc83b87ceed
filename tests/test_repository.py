"""Everything that a document of the repository names exists."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PREDECESSOR = ROOT / "docs" / "develop" / "predecessor.md"
LOCKS = ("runtime", "simulate", "build")

NOUNS_OF_AWS = {"CapacityProvider", "Cluster", "Service", "Task", "UpdateState"}
"""Names that AWS and Bottlerocket chose. The core has the updater's view of each, and the simulator its own."""


def _pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def _tests() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return found


def _rows() -> list[str]:
    lines = PREDECESSOR.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("| ") and not line.endswith("| test |")]


def _pins(lock: str) -> dict[str, set[str]]:
    """The versions of each package; a package may have one for old and one for new versions of Python."""
    found: dict[str, set[str]] = {}
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def _public_names(path: Path) -> Iterator[str]:
    """The public functions, classes and constants at the top of a module. Type variables have no names of their own."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) if not name.startswith("_"):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if not name.startswith("_"):
                if "TypeVar(" not in ast.unparse(value):
                    yield name
            case ast.Assign(targets=[ast.Tuple(elts=names)]):
                yield from (one.id for one in names if isinstance(one, ast.Name) and not one.id.startswith("_"))
            case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_"):
                yield name


def test_a_public_name_of_the_program_names_one_thing() -> None:
    """A reader who searches for a name finds what it is, and nothing else."""
    homes: dict[str, list[str]] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for name in _public_names(path):
            homes.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1 and name not in NOUNS_OF_AWS} == {}


def test_every_behaviour_of_the_predecessor_has_a_test() -> None:
    assert [row for row in _rows() if "`test_" not in row.rsplit("|", 2)[1]] == []


def test_every_test_that_is_named_for_the_predecessor_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PREDECESSOR.read_text(encoding="utf-8")))
    assert named - _tests() == set()


def _anchors(page: Path) -> set[str]:
    """The anchors of its headings, as GitHub and the docs site make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    words = (re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower() for heading in headings)
    return {re.sub(r"\s+", "-", text) for text in words}


@pytest.mark.parametrize("page", _pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    files = [link for link in links if "://" not in link]
    assert [link for link in files if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", _pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_heading_leads_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    wanted = {(page.parent / file if file else page, anchor) for file, anchor in links}
    pages = {file: _anchors(file) for file, _ in wanted if file.suffix == ".md"}
    assert {anchor for file, anchor in wanted if file in pages and anchor not in pages[file]} == set()


@pytest.mark.parametrize("lock", LOCKS)
def test_the_shipped_versions_are_the_tested_ones(lock: str) -> None:
    tested = _pins("dev")
    assert {name: pins for name, pins in _pins(lock).items() if pins != tested.get(name)} == {}


def test_the_image_holds_no_simulator() -> None:
    assert {"moto", "flask", "werkzeug", "hatchling"} & set(_pins("runtime")) == set()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("CHANGELOG.md", "- It waits. Before, it did not."),
        ("docs/page.md", "Correct what is said above."),
        ("README.md", "Do not let it be."),
        ("program.py", "# " + "TO" + "DO"),
    ],
)
def test_a_word_that_does_not_belong_is_found(file: str, text: str, tmp_path: Path) -> None:
    script = tmp_path / ".ci" / "words"
    script.parent.mkdir()
    script.write_text((ROOT / ".ci" / "words").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for said, code in (("All is well.", 0), (text, 1)):
        (tmp_path / file).write_text(f"{said}\n", encoding="utf-8")
        assert subprocess.run(["bash", script], capture_output=True, check=False).returncode == code


def test_no_word_that_does_not_belong_is_in_the_tree() -> None:
    searched = subprocess.run([ROOT / ".ci" / "words"], capture_output=True, text=True, check=False)
    assert (searched.returncode, searched.stdout) == (0, "")
