"""Checks that every mutant can be made and that the tests in the table exist. `make mutants` checks the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.mutants.__main__ import ROOT, mutated, noticed
from tests.mutants.broken import MUTANTS, SOURCE, Mutant, broken
from tests.mutants.table import read_table


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_the_code_that_a_mutant_changes_exists(mutant: Mutant) -> None:
    source = (ROOT / SOURCE / mutant.file).read_text(encoding="utf-8")
    compile(mutated(source, mutant), mutant.file, "exec")


def test_every_mutant_is_in_the_table_with_the_test_that_notices_it() -> None:
    table = read_table()
    assert list(table) == [mutant.what for mutant in MUTANTS]
    for test in table.values():
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_no_test_fails_for_a_mutant_that_changes_nothing(tmp_path: Path) -> None:
    package = tmp_path / SOURCE
    package.mkdir(parents=True)
    (package / "some.py").write_text("number = 1\n")
    (tmp_path / "test_it.py").write_text(
        f"import pathlib\ndef test_it():\n    assert 'number = 2' not in pathlib.Path('{SOURCE}/some.py').read_text()\n"
    )
    assert noticed(broken("none", "some.py", "number = 1\n", "number = 1  # one\n", "test_it.py"), tmp_path) == ""
    assert noticed(broken("one", "some.py", "number = 1\n", "number = 2\n", "test_it.py"), tmp_path)
    assert (package / "some.py").read_text() == "number = 1\n"
