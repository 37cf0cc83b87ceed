"""The number of AWS calls in a rollout.

Times depend on the machine, but calls do not.

Each limit is about a seventh above the count when it was written. Lower it with each change that saves calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache

import pytest
from benchmarks.hosts import Size
from benchmarks.measuring import SUSTAINED, moves_per_task, peaks
from benchmarks.races import ONCE_ASKED, TWICE_ASKED, Race, beyond_need, beyond_settle, middle_of, over_limit
from benchmarks.roll import Rolled, roll
from benchmarks.stopwatch import NOTHING

from bottlerocket_ecs_updater.engine.store.shared_state import ACTS_KEY

IN_ALL = {50: 610, 300: 1500}
"""ECS and SSM calls of a whole rollout, ten per cent at a time, polled every 5 s, with updates to stage first."""

STORE = {50: 105, 300: 113}
"""S3 calls of a whole run, with the test of the bucket, the reports and the page of all clusters: 24 for any size."""

BY_OPERATION: Mapping[str, tuple[int, int]] = {
    "ecs:DescribeContainerInstances": (130, 216),
    "ecs:DescribeServices": (84, 170),
    "ecs:DescribeTasks": (44, 100),
    "ecs:DeleteAttributes": (34, 73),
    "ecs:ListTasks": (75, 398),
    "ecs:PutAttributes": (31, 87),
    "ecs:UpdateContainerInstancesState": (45, 111),
    "ssm:ListCommandInvocations": (68, 153),
    "ssm:SendCommand": (71, 127),
}
"""At 50 instances, and at 300."""

RARE = {50: 28, 300: 47}
"""No other operation is called as often."""

SIZES = (50, 300)


@cache
def rolled(instances: int) -> Rolled:
    """One rollout in a world of that size, shared by all tests of this module."""
    return roll(Size(instances, instances // 10))


@pytest.mark.parametrize("instances", SIZES)
def test_a_rollout_needs_no_more_calls_than_it_did(instances: int) -> None:
    assert rolled(instances).traffic.of("ecs", "ssm") <= IN_ALL[instances]


@pytest.mark.parametrize("instances", SIZES)
@pytest.mark.parametrize("operation", BY_OPERATION)
def test_no_operation_is_called_more_often_than_before(operation: str, instances: int) -> None:
    most = BY_OPERATION[operation][SIZES.index(instances)]
    assert 0 < rolled(instances).traffic.by_operation[operation] <= most


@pytest.mark.parametrize("instances", SIZES)
def test_what_is_not_named_here_is_rare(instances: int) -> None:
    others = rolled(instances).traffic.by_operation.keys() - BY_OPERATION.keys()
    often = {name for name in others if rolled(instances).traffic.by_operation[name] >= RARE[instances]}
    assert {name for name in often if not name.startswith("s3:")} == set()


@pytest.mark.parametrize("instances", SIZES)
def test_the_store_is_called_no_more_often_than_before(instances: int) -> None:
    assert rolled(instances).traffic.of("s3") <= STORE[instances]


def test_the_larger_the_cluster_the_fewer_calls_for_each_instance() -> None:
    small, large = (rolled(instances).traffic.of("ecs", "ssm") / instances for instances in SIZES)
    assert large < 0.8 * small


# The second world: with latency, bad reboot endings, slow shutdowns, flapping agents, throttles and lost replies


FEW_HOSTS = 10

HALF_A_SECOND = 0.5

FEWER_LATER = 3
"""So many looks more are needed by the first host of a cluster's first run."""


@cache
def raced(instances: int, budget: int) -> Rolled:
    """One rollout of that size in the second world, without a settle time."""
    return Race(instances, budget, NOTHING, None, None, None).run(2)


@pytest.mark.parametrize(("instances", "budget", "most"), [(8, 1, 1.35), (30, 3, 1.5)])
def test_the_last_host_is_back_little_later_than_drains_and_reboots_allow(
    instances: int, budget: int, most: float
) -> None:
    assert over_limit(raced(instances, budget)) <= most


@pytest.mark.parametrize(("instances", "budget"), [(8, 1), (30, 3)])
def test_hosts_are_out_of_service_for_little_more_than_their_drain_and_reboot(instances: int, budget: int) -> None:
    roll_ = raced(instances, budget)
    # The target is for the median of several worlds.
    assert beyond_need(roll_, twice=False) <= ONCE_ASKED + HALF_A_SECOND
    # Of eight hosts, only one whose agent flaps is verified twice, and how long it flaps decides.
    assert instances < FEW_HOSTS or beyond_need(roll_, twice=True) <= TWICE_ASKED


def test_a_settle_time_of_zero_takes_one_look() -> None:
    assert beyond_settle(raced(8, 1)) <= 1


@pytest.mark.parametrize(("instances", "budget", "most"), [(8, 1, 25.5), (30, 3, 19.5)])
def test_the_second_world_needs_no_more_calls_than_it_did(instances: int, budget: int, most: float) -> None:
    assert raced(instances, budget).traffic.of("ecs", "ssm") / instances <= most


def test_a_later_run_needs_fewer_looks_because_it_knows_how_long_reboots_take() -> None:
    first, later = (
        [Race(8, 1, NOTHING, None, None, None, later=later).run(seed) for seed in (1, 2, 3)] for later in (False, True)
    )
    assert looks(later) <= looks(first) - FEWER_LATER * len(later)
    assert middle_of(later, lambda one: beyond_need(one, twice=False)) <= ONCE_ASKED


def looks(rolls: Sequence[Rolled]) -> int:
    return sum(one.traffic.by_operation["ecs:DescribeContainerInstances"] for one in rolls)


EACH: Mapping[str, float] = {
    "ecs:DescribeContainerInstances": 8,
    "ecs:DescribeTasks": 2.6,
    "ecs:ListTasks": 2.3,
    "ecs:DescribeServices": 1.4,
    "ecs:GetTaskProtection": 1,
    "ecs:PutAttributes": 2,
    "ecs:UpdateContainerInstancesState": 2,
    "ecs:DeleteAttributes": 1,
    "ssm:SendCommand": 2.5,
    "ssm:ListCommandInvocations": 2.2,
}
"""For each of eight hosts, one at a time, in the second world, including the first host, bad endings and throttles."""


@pytest.mark.parametrize("operation", EACH)
def test_each_fact_and_each_act_takes_so_many_calls(operation: str) -> None:
    assert raced(8, 1).traffic.by_operation[operation] / 8 <= EACH[operation]


@pytest.mark.parametrize(("instances", "budget", "most"), [(8, 1, 6), (30, 3, 2.9)])
def test_calls_to_the_state_store_stay_below_their_limit_per_host(instances: int, budget: int, most: float) -> None:
    assert raced(instances, budget).traffic.of("s3") / instances <= most


def test_every_reboot_command_is_cancelled_at_most_once() -> None:
    plain = roll(Size(30, 3, prepared=True, rough=True, plain_reboots=True), settle=NOTHING, seed=2)
    commands = Counter(plain.traffic.cancelled)
    assert commands
    assert set(commands.values()) == {1}


def test_what_people_decided_is_read_at_its_own_pace() -> None:
    roll_ = raced(8, 1)
    assert roll_.traffic.read[ACTS_KEY] <= roll_.took / timedelta(minutes=1) + 2


@pytest.mark.parametrize("instances", SIZES)
@pytest.mark.parametrize("bucket", SUSTAINED)
def test_half_of_what_ecs_sustains_is_left_to_others_in_any_second(bucket: str, instances: int) -> None:
    assert peaks(rolled(instances))[bucket] < SUSTAINED[bucket] / 2


@pytest.mark.parametrize("instances", SIZES)
def test_few_tasks_are_moved_twice(instances: int) -> None:
    assert moves_per_task(rolled(instances)) <= 1.3
