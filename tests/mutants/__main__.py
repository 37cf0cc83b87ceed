"""Break the program in a copy of this tree, one way after the other, and record which test fails: `make mutants`.

The table names the first test that fails. The exit code is 1 if no test notices a mutant, or if the text that it
changes no longer exists.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.mutants.broken import MUTANTS, SOURCE, Mutant
from tests.mutants.table import write_table

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("src", "tests", "stacks", "pyproject.toml")
LONGEST_SECONDS = 900
"""The time limit for the tests of one mutant. A mutant that makes them run forever is noticed by it."""

FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def main(wanted: Sequence[str]) -> int:
    """Try the mutants whose text contains one of the wanted words, or all. Only a run of all writes the table."""
    chosen = [mutant for mutant in MUTANTS if not wanted or any(words in mutant.what for words in wanted)]
    caught: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        for part in COPIED:
            _copy(ROOT / part, Path(scratch) / part)
        for mutant in chosen:
            test = noticed(mutant, Path(scratch))
            print(f"{mutant.what}: {test or 'NOBODY NOTICED'}", flush=True)  # noqa: T201 - its result
            if test:
                caught[mutant.what] = test
    if len(caught) == len(MUTANTS):
        write_table(caught)
    return 0 if len(caught) == len(chosen) else 1


def noticed(mutant: Mutant, tree: Path) -> str:
    """The first test that fails with this mutant; empty if none does."""
    path = tree / SOURCE / mutant.file
    whole = path.read_text(encoding="utf-8")
    try:
        path.write_text(mutated(whole, mutant), encoding="utf-8")
        return next((test for tests in mutant.tests if (test := _first_failure(tests, tree))), "")
    finally:
        path.write_text(whole, encoding="utf-8")


def mutated(text: str, mutant: Mutant) -> str:
    """The changed text. Raises ValueError if a text to change does not occur exactly once."""
    for old, new in mutant.changes:
        if text.count(old) != 1:
            raise ValueError(f"{mutant.what}: {mutant.file} has {text.count(old)} times {old!r}")
        text = text.replace(old, new)
    return text


def _first_failure(tests: str, tree: Path) -> str:
    # Tests of the repository's own files would read the copy; only tests of behaviour are run here.
    command = [sys.executable, "-m", "pytest", *tests.split(), "-x", "-q", "-p", "no:cacheprovider", "--no-header"]
    try:
        done = subprocess.run(
            command,
            cwd=tree,
            env=_environment(tree),
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{tests} (comes to no end)"
    found = FAILED.search(done.stdout)
    if found is None and done.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(command)} could not run:\n{done.stdout}{done.stderr}")
    return found[1] if found is not None else ""


def _environment(tree: Path) -> Mapping[str, str]:
    # The copy comes before the installed tree.
    return {**os.environ, "PYTHONPATH": f"{tree / 'src'}{os.pathsep}{tree}", "PYTHONDONTWRITEBYTECODE": "1"}


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
