"""Fault plans, and the catalogue that they are made from."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import get_args, get_type_hints

import cattrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bottlerocket_ecs_updater.simulator.faults import (
    FAULTS,
    BootHangs,
    Fault,
    FaultPlan,
    GrubFails,
    Placed,
    SlowDownload,
    StaleReads,
)

KINDS = get_args(Fault)
DURATIONS = st.integers(0, 10_000_000).map(lambda millis: timedelta(milliseconds=millis))


def any_of(kind: type[Fault]) -> st.SearchStrategy[Fault]:
    """Any fault of a kind, with durations in whole seconds."""
    chosen = {timedelta: DURATIONS, timedelta | None: st.none() | DURATIONS}
    hints = get_type_hints(kind)
    return st.builds(kind, **{name: chosen.get(hint, st.from_type(hint)) for name, hint in hints.items()})


@settings(deadline=None)
@given(st.lists(st.sampled_from(KINDS).flatmap(any_of), max_size=4), st.integers(0))
def test_a_plan_is_the_same_after_it_was_written_and_read(faults: list[Fault], seed: int) -> None:
    plan = FaultPlan(tuple(Placed(fault, "i-1") for fault in faults), seed)
    written = json.loads(json.dumps(plan.to_dict()))
    assert FaultPlan.from_dict(written) == plan
    assert FaultPlan.from_dict(written) == plan, "reading it has not used it up"


def test_a_plan_names_what_happens_to_each_instance_and_to_the_world() -> None:
    plan = FaultPlan((Placed(GrubFails(), "i-1"), Placed(StaleReads()), Placed(BootHangs(), "i-1")))
    assert (plan.on("i-1"), plan.on("i-2"), plan.world) == ((GrubFails(), BootHangs()), (), (StaleReads(),))


def test_a_duration_is_written_in_seconds() -> None:
    plan = FaultPlan((Placed(SlowDownload(timedelta(minutes=11)), "i-1"),))
    assert plan.to_dict()["faults"][0] == {
        "on": "i-1",
        "fault": {"is": "SlowDownload", "takes": 660.0, "times": 1},
    }


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(cattrs.BaseValidationError):
        FaultPlan.from_dict({"faults": [{"on": "", "fault": {"is": "SlowDownload", "speed": 1}}], "seed": 0})


def test_every_fault_is_in_the_catalogue_and_nothing_else() -> None:
    assert {kind for entry in FAULTS.values() for kind in entry.kinds} == set(KINDS)


def test_the_catalogue_is_complete() -> None:
    assert [name for name in FAULTS if name.startswith("F")] == [f"F{number}" for number in range(1, 53)]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_says_its_number_effect_and_evidence(name: str) -> None:
    found = FAULTS[name]
    assert all((kind.__doc__ or "").startswith(f"{name}. ") for kind in found.kinds)
    assert found.effect
    assert found.evidence
