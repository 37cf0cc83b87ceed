"""A shorter poll interval does not shorten the waits that AWS and hosts need."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bottlerocket_ecs_updater.core.rules.policy import ECS_LAG, OUTAGE_FIRST_WAIT, OUTAGE_WAITS_MAX, Policy

USUAL = Policy()
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def times(policy: Policy) -> dict[str, timedelta]:
    """Every wait that a policy has."""
    names = [name for name, value in vars(Policy).items() if isinstance(value, property)]
    return {name: span for name in names if isinstance(span := getattr(policy, name), timedelta)}


@pytest.mark.parametrize("poll", [SECOND, 2 * SECOND, 4 * SECOND])
def test_no_wait_for_aws_or_a_host_is_shorter_with_a_shorter_poll_interval(poll: timedelta) -> None:
    assert times(replace(USUAL, poll_interval=poll)) == times(USUAL)


@pytest.mark.parametrize("poll", [10 * SECOND, MINUTE, 5 * MINUTE])
def test_no_wait_is_shorter_where_looks_are_further_apart(poll: timedelta) -> None:
    apart = times(replace(USUAL, poll_interval=poll))
    assert [name for name, span in times(USUAL).items() if apart[name] < span] == []


def test_longer_poll_intervals_do_not_extend_the_age_of_a_report() -> None:
    apart = replace(USUAL, poll_interval=5 * MINUTE)
    assert (apart.report_max_age, apart.report_aging) == (USUAL.report_max_age, USUAL.report_aging)
    assert apart.report_aging < apart.report_max_age


def test_a_change_is_read_several_times_before_it_is_requested_again() -> None:
    assert replace(USUAL, poll_interval=MINUTE).reader_lag == 3 * MINUTE
    assert replace(USUAL, poll_interval=SECOND).reader_lag == ECS_LAG


def test_an_instance_is_looked_for_until_ecs_cannot_lag_any_more_before_it_counts_as_gone() -> None:
    assert replace(USUAL, poll_interval=SECOND).listing_spacing * 2 >= ECS_LAG


@pytest.mark.parametrize("poll", [SECOND, 5 * SECOND])
def test_waits_for_aws_to_answer_again_grow_to_a_minute(poll: timedelta) -> None:
    policy = replace(USUAL, poll_interval=poll)
    waits = [policy.outage_wait(before) for before in range(100)]
    assert waits[:3] == [OUTAGE_FIRST_WAIT, 2 * OUTAGE_FIRST_WAIT, 4 * OUTAGE_FIRST_WAIT]
    assert max(waits) == waits[-1] == OUTAGE_WAITS_MAX * OUTAGE_FIRST_WAIT == MINUTE
