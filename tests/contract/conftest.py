"""Both doors to the same small world."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.contract.doors import SMALL, Door, inprocess_door, wire_door


@pytest.fixture(scope="module")
def doors() -> Iterator[tuple[Door, Door]]:
    """The wire's and the one in process, shared by tests that change nothing."""
    with wire_door(SMALL) as wire:
        yield wire, inprocess_door(SMALL)


@pytest.fixture
def fresh_doors() -> Iterator[tuple[Door, Door]]:
    """The wire's and the one in process, for one test alone."""
    with wire_door(SMALL) as wire:
        yield wire, inprocess_door(SMALL)


@pytest.fixture(scope="module", params=["wire", "in process"])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    """Each door in turn."""
    if request.param == "wire":
        with wire_door(SMALL) as door:
            yield door
    else:
        yield inprocess_door(SMALL)
