"""These tests start the program, and the same state machine, often. They test what these do, not how they start."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from tests.support.forked import quick_starts

__all__ = ["quick_starts"]

_parse = AmazonStateLanguageParser.parse


@cache
def _tree(definition: str) -> Any:
    """The parsed text. moto parses a definition three times for an execution, in 0.2 seconds of CPU each."""
    return _parse(definition)[1]


@pytest.fixture(autouse=True)
def parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse each definition once. What executes is made anew from the parsed text each time."""

    def parse(definition: str) -> tuple[Any, Any]:
        tree = _tree(definition)
        return Preprocessor().visit(tree), tree

    monkeypatch.setattr(AmazonStateLanguageParser, "parse", staticmethod(parse))
