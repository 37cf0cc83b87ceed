from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.rules import parse_checkpoints

from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.model.time_text import DAY
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.checkpoints import (
    FREE,
    Allowance,
    Checkpoint,
    Checkpoints,
    RolloutState,
    allow,
    allow_today,
)

NOW = datetime(2024, 10, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BAD = Version.parse("1.26.0")
STEPS = Checkpoints(parse_checkpoints("1, 10%, 50%, 100%"), wait=HOUR)


def rollout(
    done: int = 0, *, total: int = 40, ago: timedelta = 2 * HOUR, failed: int = 0, in_progress: int = 0
) -> RolloutState:
    return RolloutState(BAD, total, (NOW - ago,) * done, failed, in_progress)


def reason(allowance: Allowance) -> Reason | None:
    return allowance.hold.reason if allowance.hold else None


# Text


@pytest.mark.parametrize("text", ["1, 10%, 50%, 100%", "5", "2, 5, 25%"])
def test_checkpoints_are_written_as_they_are_read(text: str) -> None:
    assert ", ".join(map(str, parse_checkpoints(text))) == text


@pytest.mark.parametrize("text", ["0", "-1", "101%", "0%", "half", "1.5", "10 percent"])
def test_invalid_checkpoints_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        parse_checkpoints(text)


@pytest.mark.parametrize("text", ["10%, 5%", "5, 1", "1, 1", "1, 50%, 50%"])
def test_checkpoints_that_do_not_ascend_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must ascend"):
        Checkpoints(parse_checkpoints(text))


def test_no_instance_a_day_is_refused_since_that_is_a_pause() -> None:
    with pytest.raises(ValueError, match="pause"):
        Checkpoints(per_day=0)


# Checkpoints


def test_without_checkpoints_a_rollout_is_free() -> None:
    assert allow(Checkpoints(), rollout(), NOW) == FREE
    assert FREE.take().refusal() is None


def test_the_first_of_all_is_one_canary() -> None:
    assert allow(STEPS, rollout(), NOW).room == 1
    assert allow(STEPS, rollout(), NOW).refusal() is None


def test_no_instance_starts_while_the_canary_is_in_progress() -> None:
    allowance = allow(STEPS, rollout(in_progress=1), NOW)
    assert allowance.room == 0
    assert str(allowance.refusal()) == (
        "at most 1 of 40 instances may be updated to 1.26.0 before the next checkpoint: "
        "0 done, 0 failed, 1 in progress, 0 next in line"
    )


def test_after_the_canary_the_rollout_waits() -> None:
    allowance = allow(STEPS, rollout(done=1, ago=HOUR / 2), NOW)
    assert allowance.until == NOW + HOUR / 2
    assert str(allowance.refusal()) == (
        "1.26.0 is done on 1 of 40 instances; the rollout waits at this checkpoint until 2024-10-15 12:30 UTC"
    )


def test_after_the_wait_a_tenth_may_go() -> None:
    assert allow(STEPS, rollout(done=1, ago=HOUR), NOW).room == 3


def test_after_the_last_checkpoint_the_rollout_is_free() -> None:
    two = Checkpoints(parse_checkpoints("1, 10%"), wait=HOUR)
    assert allow(two, rollout(done=4), NOW) == FREE


def test_a_wait_counts_from_the_last_instance_of_its_checkpoint() -> None:
    done = tuple(NOW - minutes * timedelta(minutes=1) for minutes in (200, 100, 90, 59))
    assert allow(STEPS, RolloutState(BAD, 40, done), NOW).until == NOW + timedelta(minutes=1)


def test_a_canary_that_fails_stops_the_rollout() -> None:
    allowance = allow(STEPS, rollout(failed=1), NOW)
    assert str(allowance.refusal()) == "1.26.0 failed on 1 of the first 1 instances"
    assert allowance.until is None


def test_a_version_that_fails_on_two_canaries_takes_two_instances() -> None:
    two = Checkpoints(parse_checkpoints("2, 50%"), wait=HOUR)
    assert allow(two, rollout(), NOW).room == 2
    assert allow(two, rollout(failed=1, in_progress=1), NOW).room == 0
    assert reason(allow(two, rollout(failed=2), NOW)) is Reason.CHECKPOINT_FAILED
    assert reason(allow(two, rollout(done=1, failed=1), NOW)) is Reason.CHECKPOINT_FAILED


def test_one_bad_host_among_many_does_not_stop_the_rollout() -> None:
    assert allow(STEPS, rollout(done=3, failed=1), NOW).room == 16
    assert allow(STEPS, rollout(done=1, failed=1), NOW).room == 2


def test_checkpoints_that_mean_the_same_number_in_a_small_cluster_are_one() -> None:
    small = allow(STEPS, rollout(done=1, total=5, ago=HOUR), NOW)
    assert small.room == 1  # 10% is the canary again; half of five is two


# A day


def test_at_most_so_many_start_in_any_24_hours() -> None:
    limited = Checkpoints(per_day=2)
    started = (NOW - 30 * HOUR, NOW - 20 * HOUR, NOW - 3 * HOUR)
    allowance = allow_today(limited, started, NOW)
    assert allowance.until == NOW + 4 * HOUR
    assert str(allowance.refusal()) == "the limit of 2 in 24 hours is reached: 2 started, 0 next in line"


def test_starts_of_this_pass_count_too() -> None:
    allowance = allow_today(Checkpoints(per_day=2), (NOW - HOUR,), NOW).take()
    assert allowance.refusal() is not None
    assert allowance.until == NOW + 23 * HOUR


def test_an_instance_that_waits_for_others_says_so() -> None:
    taken = allow_today(Checkpoints(per_day=3), (NOW - HOUR,), NOW).take().take()
    assert str(taken.refusal()) == "the limit of 3 in 24 hours is reached: 1 started, 2 next in line"
    canary = allow(STEPS, rollout(), NOW).take()
    assert str(canary.refusal()).endswith("0 done, 0 failed, 0 in progress, 1 next in line")


def test_without_a_daily_limit_any_number_may_start() -> None:
    assert allow_today(Checkpoints(), (NOW,) * 1000, NOW) == FREE


# Properties

step_lists = st.tuples(
    st.lists(st.integers(1, 30), max_size=2, unique=True).map(sorted),
    st.lists(st.integers(1, 100), max_size=3, unique=True).map(sorted),
).map(lambda both: tuple([Checkpoint(size) for size in both[0]] + [Checkpoint(size, True) for size in both[1]]))
totals = st.integers(0, 60)
ages = st.lists(st.integers(0, 300).map(lambda minutes: NOW - timedelta(minutes=minutes)), max_size=40).map(tuple)


@given(step_lists)
def test_checkpoints_read_what_they_write(steps: tuple[Checkpoint, ...]) -> None:
    assert parse_checkpoints(", ".join(map(str, steps))) == steps


@given(step_lists, st.integers(1, 60), ages, st.integers(0, 5), st.integers(0, 5))
def test_the_allowance_never_exceeds_a_checkpoint_that_is_not_passed(
    steps: tuple[Checkpoint, ...], total: int, done: tuple[datetime, ...], failed: int, in_progress: int
) -> None:
    state = RolloutState(BAD, total, done, failed, in_progress)
    allowance = allow(Checkpoints(steps, HOUR), state, NOW)
    if not allowance.room and allowance.room is not None:
        return
    aged = [at for at in done if at <= NOW - HOUR]
    tried = len(done) + failed + in_progress + (allowance.room or total)
    sizes = [min(step.of(total), total) for step in steps]
    for size in (max(sizes[: count + 1]) for count in range(len(sizes))):
        first = sorted(done)[:size]
        passed = len(done) + failed >= size and 2 * len(done) > size and all(at in aged for at in first)
        assert passed or tried <= size


@given(step_lists, totals)
def test_a_rollout_without_failures_completes(steps: tuple[Checkpoint, ...], total: int) -> None:
    checkpoints, now, done = Checkpoints(steps, HOUR), NOW, list[datetime]()
    for _ in range(2 * len(steps) + 2):
        allowance = allow(checkpoints, RolloutState(BAD, total, tuple(done)), now)
        room = total - len(done) if allowance.room is None else min(allowance.room, total - len(done))
        if room == 0 and len(done) < total:
            assert allowance.until is not None
            now = allowance.until
        done += [now] * room
    assert len(done) == total


@given(st.integers(1, 5), st.lists(st.integers(0, 72 * 60), max_size=60))
def test_no_24_hours_see_more_start_than_a_day_allows(limit: int, minutes: list[int]) -> None:
    checkpoints, started = Checkpoints(per_day=limit), list[datetime]()
    for minute in sorted(minutes):
        now = NOW + timedelta(minutes=minute)
        if allow_today(checkpoints, started, now).refusal() is None:
            started.append(now)
    for at in started:
        assert sum(at <= other < at + DAY for other in started) <= limit


@given(st.integers(1, 5), ages)
def test_when_a_day_is_full_there_is_room_again_when_it_says(limit: int, started: tuple[datetime, ...]) -> None:
    checkpoints = Checkpoints(per_day=limit)
    allowance = allow_today(checkpoints, started, NOW)
    if allowance.refusal() is not None:
        assert allowance.until is not None
        assert allow_today(checkpoints, started, allowance.until).refusal() is None
