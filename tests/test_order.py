"""The order of a whole test run: no test is lost, and no long one comes late."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.order import BUSY, WAITING, in_blocks

ROOT = Path(__file__).parents[1]
LONG = [f"{place}/test_x.py::test_{number}" for place in ("tests/e2e", "tests/properties") for number in range(4)]
QUICK = [f"tests/core/test_{file}.py::test_{number}" for file in "abcdef" for number in range(7)]


@pytest.mark.parametrize("workers", range(1, 9))
@pytest.mark.parametrize("tests", [[], LONG, QUICK, LONG + QUICK, QUICK + LONG], ids=len)
def test_every_test_is_taken_once(tests: list[str], workers: int) -> None:
    assert sorted(in_blocks(tests, workers)) == list(range(len(tests)))


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_tests_that_wait_begin_the_first_blocks_and_those_that_compute_the_last(workers: int) -> None:
    tests = QUICK + LONG
    order = [tests[position] for position in in_blocks(tests, workers)]
    size = len(tests) // workers
    assert order[:4] == LONG[:4]
    assert order[(workers // 2) * size :][:4] == LONG[4:]


def test_the_places_that_are_named_exist() -> None:
    assert [place for place in WAITING + BUSY if not (ROOT / place).exists()] == []
