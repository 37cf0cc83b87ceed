"""When a schedule is due, by its expression and time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.account.schedule.expressions import BadExpression, read_expression

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)  # a Monday


def dues(expression: str, count: int, zone: str = "UTC", start: datetime = START) -> list[str]:
    """The next times, in UTC."""
    found: list[str] = []
    when: datetime | None = start
    read = read_expression(expression, zone)
    while when is not None and len(found) < count:
        when = read.after(when, start)
        if when is not None:
            found.append(f"{when:%Y-%m-%d %H:%M}")
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rate(12 hours)", ["2026-01-05 21:00", "2026-01-06 09:00"]),
        ("rate(1 day)", ["2026-01-06 09:00", "2026-01-07 09:00"]),
        ("rate(5 minutes)", ["2026-01-05 09:05", "2026-01-05 09:10"]),
        ("cron(0/30 * * * ? *)", ["2026-01-05 09:30", "2026-01-05 10:00"]),
        ("cron(0 3 ? * MON-FRI *)", ["2026-01-06 03:00", "2026-01-07 03:00"]),
        ("cron(0 3 ? * 3 *)", ["2026-01-06 03:00", "2026-01-13 03:00"]),
        ("cron(15 10 1,15 * ? *)", ["2026-01-15 10:15", "2026-02-01 10:15"]),
        ("cron(0 3 L * ? *)", ["2026-01-31 03:00", "2026-02-28 03:00"]),
        ("cron(0 3 ? * TUE#2 *)", ["2026-01-13 03:00", "2026-02-10 03:00"]),
        ("cron(0 3 ? * FRIL *)", ["2026-01-30 03:00", "2026-02-27 03:00"]),
        ("cron(0 3 1W * ? *)", ["2026-02-02 03:00", "2026-03-02 03:00"]),
        ("cron(0 3 29 FEB ? *)", ["2028-02-29 03:00"]),
        ("cron(0 3 1 1 ? 2027)", ["2027-01-01 03:00"]),
        ("at(2026-01-06T10:00:00)", ["2026-01-06 10:00"]),
        ("at(2026-01-01T10:00:00)", []),
    ],
)
def test_a_schedule_is_due_when_its_expression_says(expression: str, expected: list[str]) -> None:
    assert dues(expression, 2)[: len(expected)] == expected


def test_a_local_time_stays_local_over_a_clock_change() -> None:
    start = datetime(2026, 3, 27, tzinfo=UTC)
    assert dues("cron(0 4 * * ? *)", 4, "Europe/Berlin", start) == [
        "2026-03-27 03:00",
        "2026-03-28 03:00",
        "2026-03-29 02:00",
        "2026-03-30 02:00",
    ]


def test_a_time_that_the_clock_change_leaves_out_is_passed_over() -> None:
    start = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert dues("cron(30 2 * * ? *)", 1, "Europe/Berlin", start) == ["2026-03-30 00:30"]


def test_a_time_that_the_clock_change_brings_twice_counts_once() -> None:
    start = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert dues("cron(30 2 * * ? *)", 2, "Europe/Berlin", start) == ["2026-10-25 00:30", "2026-10-26 01:30"]


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("daily", "UTC"),
        ("rate(0 minutes)", "UTC"),
        ("rate(1 minutes)", "UTC"),
        ("rate(2 minute)", "UTC"),
        ("cron(0 3 * * * *)", "UTC"),
        ("cron(0 3 ? * ? *)", "UTC"),
        ("cron(60 3 * * ? *)", "UTC"),
        ("cron(0 3 * *)", "UTC"),
        ("cron(0 3 * * ? *)", "Europe/Nowhere"),
    ],
)
def test_a_schedule_that_eventbridge_rejects_is_rejected(expression: str, zone: str) -> None:
    with pytest.raises(BadExpression):
        read_expression(expression, zone)


@given(st.integers(1, 500), st.timedeltas(timedelta(), timedelta(days=30)))
def test_a_rate_is_due_within_one_period(minutes: int, later: timedelta) -> None:
    period = timedelta(minutes=minutes)
    rate = read_expression(f"rate({minutes} minute{'' if minutes == 1 else 's'})")
    due = rate.after(START + later, START)
    assert due is not None
    assert timedelta() < due - (START + later) <= period
