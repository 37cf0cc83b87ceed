"""Durations are read and written as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlerocket_ecs_updater.core.model.time_text import duration_text, parse_duration

spans = st.integers(min_value=0, max_value=9999 * 86_400_000).map(lambda ms: timedelta(milliseconds=ms))


@given(spans)
def test_what_is_written_reads_back_as_the_same_span(span: timedelta) -> None:
    assert parse_duration(duration_text(span)) == span


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused_with_a_value_error(text: str) -> None:
    try:
        span = parse_duration(text)
    except ValueError:
        return
    assert span >= timedelta()


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("300ms", timedelta(milliseconds=300)),
        ("30s", timedelta(seconds=30)),
        ("25m", timedelta(minutes=25)),
        ("1h30m", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
        ("0s", timedelta()),
    ],
)
def test_the_forms_that_the_documentation_names_are_read(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize(
    "text", ["", "s", "-5s", "+5s", "1.5h", "30m1h", "5s5s", "5 s", "1e3s", "99999999999999999999s", "5sec", "1h-5m"]
)
def test_nonsense_negatives_and_overflow_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


def test_a_bare_number_is_refused_with_the_unit_that_is_missing() -> None:
    with pytest.raises(ValueError, match="a number needs a unit, as in 30s"):
        parse_duration("30")
