"""Every fault of the catalogue has a test in this folder whose name begins with its number."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bottlerocket_ecs_updater.simulator.faults import FAULTS


def _numbers() -> Iterator[str]:
    """The fault numbers in the names of the tests: `test_f07_…`, or `test_f19_f25_…` for two."""
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                numbers = re.match(r"test_((?:[fw]\d+_)+)", node.name)
                yield from numbers.group(1).rstrip("_").split("_") if numbers else ()


def _short(name: str) -> str:
    return f"f{name[1:]:0>2}" if name.startswith("F") else name.lower()


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_of_the_catalogue_has_a_story(name: str) -> None:
    assert _short(name) in set(_numbers())


def test_no_story_is_named_after_a_fault_that_is_not_in_the_catalogue() -> None:
    assert set(_numbers()) <= {_short(name) for name in FAULTS}
