"""The table of mutants in the documentation. `make mutants` writes it, and a test reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.mutants.broken import MUTANTS, SOURCE, Mutant

PAGE = Path(__file__).resolve().parents[2] / "docs/develop/mutants.md"

BEGIN, END = "<!-- mutants: begin -->", "<!-- mutants: end -->"


def write_table(caught: Mapping[str, str]) -> None:
    """Write the whole table: which test caught each mutant."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = "\n".join(_row(mutant, caught[mutant.what]) for mutant in MUTANTS)
    table = f"\n| mistake | where | the first test that fails |\n|---|---|---|\n{rows}\n"
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def read_table() -> Mapping[str, str]:
    """Which test caught each mutant, according to the page."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    lines = [line for line in rest.partition(END)[0].splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
    return {what: test.strip("`") for what, _, test in cells}


def _row(mutant: Mutant, test: str) -> str:
    # Leave out the parameters of the test: they may contain any text.
    return f"| {mutant.what} | `{SOURCE.rpartition('/')[2]}/{mutant.file}` | `{test.partition('[')[0]}` |"
