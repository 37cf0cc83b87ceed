from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import MINUTE, NOW, POLL, SECOND, is_soon
from tests.core.strategies import PURE

from bottlerocket_ecs_updater.core.decision.polling import (
    apart,
    learned_from,
    next_look,
    quiet_time,
    services_apart,
    shared_look,
)
from bottlerocket_ecs_updater.core.model.time_text import duration_text, has_passed

polls = st.timedeltas(timedelta(milliseconds=10), timedelta(minutes=5))
spans = st.timedeltas(timedelta(0), timedelta(hours=2))


@pytest.mark.parametrize(("ago", "over"), [(59, False), (60, True), (61, True)])
def test_a_limit_has_passed_when_all_of_it_has(ago: int, *, over: bool) -> None:
    assert has_passed(NOW - ago * SECOND, MINUTE, NOW) is over


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(milliseconds=300), "300ms"),
        (timedelta(seconds=1, milliseconds=500), "1s500ms"),
        (timedelta(seconds=30), "30s"),
        (timedelta(minutes=25), "25m"),
        (timedelta(hours=1, minutes=30), "1h30m"),
        (timedelta(days=2), "2d"),
        (timedelta(hours=1, seconds=1), "1h1s"),
    ],
)
def test_a_duration_is_spelled_as_the_settings_write_it(span: timedelta, text: str) -> None:
    assert duration_text(span) == text


@PURE
@given(spans, polls, st.none() | spans, st.none() | spans)
def test_the_next_look_lies_in_the_future(
    age: timedelta, poll: timedelta, learned: timedelta | None, first: timedelta | None
) -> None:
    assert next_look(NOW - age, NOW, poll, learned, first) > NOW


def test_the_first_look_at_a_new_wait_is_soon() -> None:
    assert is_soon(next_look(NOW, NOW, POLL, None))


def test_a_wait_with_a_known_start_of_silence_is_left_alone_until_it_is_over() -> None:
    assert next_look(NOW, NOW, POLL, None, 20 * SECOND) == NOW + 20 * SECOND


@pytest.mark.parametrize("learned", [None, 100 * SECOND])
def test_a_look_that_was_promised_before_the_wait_began_is_not_repeated_at_once(learned: timedelta | None) -> None:
    """The wait begins with a call, which takes a moment after the look from which this one was promised."""
    promised = next_look(NOW, NOW, POLL, learned, 20 * SECOND)
    again = next_look(NOW + SECOND, promised, POLL, learned, 20 * SECOND)
    assert again - promised >= POLL / 2


def test_a_wait_whose_length_was_learned_is_first_looked_at_when_most_of_it_has_passed() -> None:
    look = next_look(NOW, NOW, POLL, 100 * SECOND)
    assert NOW + 80 * SECOND <= look < NOW + 100 * SECOND


def test_a_long_wait_is_looked_at_more_rarely() -> None:
    assert _spacing(NOW - 2 * MINUTE) > POLL


def test_no_wait_is_looked_at_more_rarely_than_every_sixth_poll() -> None:
    assert _spacing(NOW - 600 * MINUTE) == 6 * POLL


def _spacing(began: datetime) -> timedelta:
    return next_look(began, NOW, POLL, None) - NOW


@pytest.mark.parametrize(
    ("together", "settle", "looks", "services"),
    [(1, 60, 0, 0), (3, 60, 0.5, 0), (10, 0, 0.5, 0), (10, 60, 0.5, 0.5), (30, 60, 0.5, 0.5), (30, 0, 0.5, 0)],
)
def test_looks_are_shared_by_the_number_of_hosts_that_are_out_of_service_together(
    together: int, settle: int, looks: float, services: float
) -> None:
    assert apart(POLL, together) == looks * POLL
    assert services_apart(POLL, together, settle * SECOND) == services * POLL


@PURE
@given(poll=polls, together=st.integers(1, 500), settle=spans, after=spans)
def test_no_shared_look_is_early_and_none_waits_longer_than_two_polls(
    poll: timedelta, together: int, settle: timedelta, after: timedelta
) -> None:
    for spacing in (apart(poll, together), services_apart(poll, together, settle)):
        assert timedelta(0) <= shared_look(NOW + after, NOW, spacing) - (NOW + after) <= 2 * poll


def test_the_first_duration_is_believed_but_for_the_time_between_two_looks() -> None:
    assert learned_from(MINUTE, None, POLL, in_time=0) == MINUTE - POLL / 2


@given(st.lists(st.floats(30, 60), min_size=40, max_size=40))
def test_what_is_learned_stays_near_what_is_usual(seconds: list[float]) -> None:
    """The first look is never far before the quickest, nor after the slowest, however many there were."""
    learned, in_time = None, 0
    for each in seconds:
        took = timedelta(seconds=each)
        early = learned is not None and quiet_time(learned, POLL) < took
        seen = took if learned is None or early else quiet_time(learned, POLL)
        in_time = 0 if early else in_time + 1
        learned = learned_from(seen, learned, POLL, in_time=in_time)
    assert learned is not None
    assert timedelta(seconds=30) - 3 * POLL <= learned <= timedelta(seconds=60) + POLL


def test_one_that_takes_far_longer_changes_little() -> None:
    assert learned_from(10 * MINUTE, MINUTE, POLL, in_time=0) == MINUTE + POLL / 2


def test_a_first_host_that_took_long_does_not_make_others_wait_for_long() -> None:
    learned, looked = 2 * MINUTE, 0
    while quiet_time(learned, POLL) > MINUTE / 2:
        looked += 1
        learned = learned_from(quiet_time(learned, POLL), learned, POLL, in_time=looked)
    assert looked < 20
