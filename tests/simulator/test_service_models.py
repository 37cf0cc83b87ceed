"""The quick checks of requests and responses accept only what botocore accepts, and accept all valid ones."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from bottlerocket_ecs_updater.simulator.aws_basics.service_models import (
    answer_problems,
    check_of,
    operation_model,
    request_problem,
)

ASKED = [
    ("ecs", "DescribeContainerInstances"),
    ("ecs", "DescribeTasks"),
    ("ecs", "UpdateContainerInstancesState"),
    ("ecs", "CreateService"),
    ("ssm", "SendCommand"),
    ("ssm", "ListCommandInvocations"),
    ("ec2", "DescribeInstances"),
]
WRONG: tuple[Any, ...] = (None, "", "x", 0, -1, 1.5, True, [], {}, {"noSuchName": 1}, [None], b"x")
DEEP = 4


def is_document(shape: Shape) -> bool:
    """Free JSON, which the quick check leaves to botocore."""
    return isinstance(shape, StructureShape) and shape.is_document_type


def value_of(shape: Shape, dice: Random, mistakes: float, deep: int = 0) -> Any:
    """A value of a shape, now and then a wrong one."""
    if dice.random() < mistakes:
        return dice.choice(WRONG)
    match shape:
        case StructureShape(is_tagged_union=True):
            name = dice.choice(list(shape.members))
            return {name: value_of(shape.members[name], dice, mistakes, deep + 1)}
        case StructureShape():
            required = shape.metadata.get("required", [])
            names = [one for one in shape.members if (deep < DEEP and dice.random() < 0.3) or one in required]
            members = {one: shape.members[one] for one in names if not is_document(shape.members[one])}
            made = {one: value_of(inner, dice, mistakes, deep + 1) for one, inner in members.items()}
            return {**made, "noSuchName": 1} if dice.random() < mistakes else made
        case ListShape():
            return [value_of(shape.member, dice, mistakes, deep + 1) for _ in range(shape.metadata.get("min", 0) + 1)]
        case MapShape():
            return {"key" * 10: value_of(shape.value, dice, mistakes, deep + 1)}
        case _:
            least = shape.metadata.get("min", 1)
            scalars = {"string": "x" * max(least, 1), "integer": least, "long": least, "boolean": True}
            return {**scalars, "float": 1.5, "double": 2, "timestamp": datetime(2026, 1, 5, tzinfo=UTC)}[
                shape.type_name
            ]


@given(st.sampled_from(ASKED), st.booleans(), st.integers(0, 2**32), st.sampled_from([0.0, 0.01, 0.1]))
def test_the_quick_check_and_botocore_accept_the_same_values(
    asked: tuple[str, str], answers: bool, seed: int, mistakes: float
) -> None:
    model = operation_model(*asked)
    assert model is not None
    shape = model.output_shape if answers else model.input_shape
    assert shape is not None
    value = value_of(shape, Random(seed), mistakes)
    taken = check_of(shape, lengths=True)(value)
    if taken:
        assert not ParamValidator().validate(value, shape).has_errors()
    if not mistakes:
        assert taken


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"cluster": "demo", "containerInstances": ["a"]}, None),
        ({"cluster": "demo"}, 'Missing required parameter in input: "containerInstances"'),
        ({"containerInstances": "a"}, "Invalid type for parameter containerInstances"),
        ({"containerInstances": ["a"], "clusters": ""}, "Unknown parameter in request: clusters"),
    ],
)
def test_a_request_is_refused_in_the_words_of_botocore(params: dict[str, object], said: str | None) -> None:
    problem = request_problem("ecs", "DescribeContainerInstances", params)
    assert problem is None if said is None else str(problem).startswith(said)


def test_an_answer_may_hold_an_empty_string_but_no_wrong_type_and_no_unknown_name() -> None:
    def problems(**invocation: object) -> list[str]:
        return answer_problems("ssm", "ListCommandInvocations", {"CommandInvocations": [invocation]})

    assert problems(InstanceId="", RequestedDateTime=datetime(2026, 1, 5, tzinfo=UTC)) == []
    assert len(problems(InstanceId=1)) == 1
    assert len(problems(NoSuchName="")) >= 1
