"""The state machine passes the checks beyond the schema, and these checks find mistakes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.many.states_language import faults

from bottlerocket_ecs_updater.simulator.waves.definition import waves_definition


@pytest.mark.parametrize("tagged", [False, True])
def test_the_definition_is_sound(tagged: bool) -> None:
    assert list(faults(waves_definition(tagged=tagged))) == []


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ('"Next": "Decide"', '"Next": "Jury"', "Count: Jury does not exist"),
        ('"Next": "Bake"', '"Next": "WavesLeft"', "Bake is never reached"),
        ('"Default": "Done"', '"Default": "Moor"', "WavesLeft: Moor does not exist"),
        ('"Default": "NoneFailed"', '"Comment": ""', "Report: a Choice without a Default can fail the execution"),
        ("States.ArrayLength($.found", "States.ArrayLenth($.found", "no intrinsic has the name States.ArrayLenth"),
        (
            '["States.Timeout", "Declined"]',
            '["States.ALL", "Declined"]',
            "Approval: States.ALL must be alone and last",
        ),
        ('["States.TaskFailed"]', '["States.IntrinsicFailure"]', "no error has the name States.IntrinsicFailure"),
        ('"$.wave.bake", "Next"', '"wave.bake", "Next"', "Bake: SecondsPath is no reference path"),
        ("$..failed[*]", "$..failed[*", "$..failed[* is no path"),
        ("exit code {}'", "exit code'", "has 1 places for 2 values"),
        ('"text.$": "States.Format(', '"text.$": "Format[', "is neither a path nor a call"),
        ('"ok": true}, "End": true', '"ok": true}', "Ok: needs Next or End"),
        ('"ResultPath": "$.unreadable"', '"ResultPath": "$..unreadable"', "Read: Catch loses its input"),
    ],
)
def test_mistakes_in_a_definition_are_found(before: str, after: str, fault: str) -> None:
    text = json.dumps(waves_definition())
    assert before in text
    broken: dict[str, Any] = json.loads(text.replace(before, after))
    found = "\n".join(faults(broken))
    assert fault in found
