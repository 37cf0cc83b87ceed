"""Both interfaces of the same small world, and another endpoint if one is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.contract.doors import SMALL, Door, endpoint_door, inprocess_door, wire_door
from tests.support.given import GIVEN

WHICH = ["endpoint"] if "CONTRACT_ENDPOINT" in GIVEN else ["wire", "in process"]
"""An endpoint is tested alone: its world is not the one that the others use."""


@pytest.fixture(scope="module")
def doors() -> Iterator[tuple[Door, Door]]:
    """Both interfaces, shared by tests that change nothing."""
    with wire_door(SMALL) as wire:
        yield wire, inprocess_door(SMALL)


@pytest.fixture
def fresh_doors() -> Iterator[tuple[Door, Door]]:
    """Both interfaces, for one test alone."""
    with wire_door(SMALL) as wire:
        yield wire, inprocess_door(SMALL)


@pytest.fixture(scope="module", params=WHICH)
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    """Each interface in turn."""
    match request.param:
        case "endpoint":
            yield endpoint_door(GIVEN)
        case "wire":
            with wire_door(SMALL) as door:
                yield door
        case _:
            yield inprocess_door(SMALL)
