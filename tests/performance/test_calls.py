"""What a roll asks of AWS, counted: time cannot be held to a figure on a machine that others use, calls can.

Each bound is about a seventh above what was counted when it was written. A change that asks for less lowers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import pytest
from benchmarks.hosts import Size
from benchmarks.measuring import SUSTAINED, moves_per_task, peaks
from benchmarks.roll import Rolled, roll

IN_ALL = {50: 655, 300: 1510}
"""ECS and SSM calls of a whole roll, ten per cent at a time, polled every 5 s, updates to be staged first."""

STORE = {50: 510, 300: 645}

BY_OPERATION: Mapping[str, tuple[int, int]] = {
    "ecs:DescribeContainerInstances": (177, 295),
    "ecs:DescribeServices": (58, 73),
    "ecs:DescribeTasks": (48, 126),
    "ecs:DeleteAttributes": (30, 60),
    "ecs:ListTasks": (67, 400),
    "ecs:PutAttributes": (29, 79),
    "ecs:UpdateContainerInstancesState": (41, 93),
    "ssm:ListCommandInvocations": (110, 240),
    "ssm:SendCommand": (80, 130),
}
"""At 50 instances, and at 300."""

RARE = 45
"""No other operation is asked for so often."""

SIZES = (50, 300)


@cache
def rolled(instances: int) -> Rolled:
    """One world of that size, rolled once for all tests of this module."""
    return roll(Size(instances, instances // 10))


@pytest.mark.parametrize("instances", SIZES)
def test_a_roll_needs_no_more_calls_than_it_did(instances: int) -> None:
    assert rolled(instances).traffic.of("ecs", "ssm") <= IN_ALL[instances]


@pytest.mark.parametrize("instances", SIZES)
@pytest.mark.parametrize("operation", BY_OPERATION)
def test_no_operation_is_asked_for_more_often_than_it_was(operation: str, instances: int) -> None:
    most = BY_OPERATION[operation][SIZES.index(instances)]
    assert 0 < rolled(instances).traffic.by_operation[operation] <= most


@pytest.mark.parametrize("instances", SIZES)
def test_what_is_not_named_here_is_rare(instances: int) -> None:
    others = rolled(instances).traffic.by_operation.keys() - BY_OPERATION.keys()
    often = {name for name in others if rolled(instances).traffic.by_operation[name] >= RARE}
    assert {name for name in often if not name.startswith("s3:")} == set()


@pytest.mark.parametrize("instances", SIZES)
def test_the_store_is_asked_no_more_often_than_it_was(instances: int) -> None:
    assert rolled(instances).traffic.of("s3") <= STORE[instances]


def test_the_larger_the_cluster_the_fewer_calls_for_each_instance() -> None:
    small, large = (rolled(instances).traffic.of("ecs", "ssm") / instances for instances in SIZES)
    assert large < small / 2


@pytest.mark.parametrize("instances", SIZES)
@pytest.mark.parametrize("bucket", SUSTAINED)
def test_half_of_what_ecs_sustains_is_left_to_others_in_any_second(bucket: str, instances: int) -> None:
    assert peaks(rolled(instances))[bucket] < SUSTAINED[bucket] / 2


@pytest.mark.parametrize("instances", SIZES)
def test_few_tasks_are_moved_twice(instances: int) -> None:
    assert moves_per_task(rolled(instances)) <= 1.3
