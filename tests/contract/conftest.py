"""Both interfaces of the same small world, and another endpoint if one is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.contract.doors import SMALL, Door, endpoint_door, inprocess_door, wire_door
from tests.support.given import GIVEN

WHICH = ["endpoint"] if "CONTRACT_ENDPOINT" in GIVEN else ["wire", "in process"]
"""An endpoint is asked alone: it is not the world that the others ask."""


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


@pytest.fixture(scope="module", params=WHICH)
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    """Each door in turn."""
    match request.param:
        case "endpoint":
            yield endpoint_door(GIVEN)
        case "wire":
            with wire_door(SMALL) as door:
                yield door
        case _:
            yield inprocess_door(SMALL)
