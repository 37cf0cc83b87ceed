"""Schedule expressions: `rate(…)`, `cron(…)` and `at(…)`, as in EventBridge.

A local time that a clock change skips is skipped; one that it repeats counts once. Source: "Schedule types in
EventBridge Scheduler", daylight saving time.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import product
from zoneinfo import ZoneInfo

YEARS_AHEAD = 6
"""How far a cron expression is followed: a leap day comes within this, except around 2100."""

FIRST_YEAR, LAST_YEAR = 1970, 2199

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_FIELDS = 6


class BadExpression(ValueError):
    """AWS would reject it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Repeatedly, counted from when the schedule was created or enabled."""

    period: timedelta

    def after(self, when: datetime, since: datetime) -> datetime:
        """The first time that is later than `when`."""
        periods = max(0, (when - since) // self.period)
        return since + self.period * (periods + 1)


@dataclass(frozen=True, slots=True)
class At:
    """Once."""

    local: datetime
    zone: tzinfo

    def after(self, when: datetime, since: datetime) -> datetime | None:
        """The time, as long as it is later than `when`."""
        due = self.local.replace(tzinfo=self.zone).astimezone(UTC)
        return due if due > when else None


@dataclass(frozen=True, slots=True)
class Cron:
    """At times of day and dates in a time zone."""

    minutes: Sequence[int]
    hours: Sequence[int]
    days: str
    months: frozenset[int]
    weekdays: str
    years: frozenset[int]
    zone: tzinfo

    def after(self, when: datetime, since: datetime) -> datetime | None:
        """The first time that is later than `when`; None if there is none within some years."""
        first = when.astimezone(self.zone).date()
        for ahead in range(YEARS_AHEAD * 366):
            day = first + timedelta(days=ahead)
            if self._is_on(day):
                for due in self._times(day):
                    if due > when:
                        return due
        return None

    def _is_on(self, day: date) -> bool:
        if day.year not in self.years or day.month not in self.months:
            return False
        return _day_matches(self.days, day) and _weekday_matches(self.weekdays, day)

    def _times(self, day: date) -> Iterator[datetime]:
        for hour, minute in product(self.hours, self.minutes):
            local = datetime.combine(day, time(hour, minute), self.zone)
            due = local.astimezone(UTC)
            if due.astimezone(self.zone).replace(tzinfo=None) == local.replace(tzinfo=None):
                yield due


Expression = Rate | At | Cron


def read_expression(text: str, zone: str = "UTC") -> Expression:
    """Read an expression. Raises BadExpression."""
    form = re.fullmatch(r"(rate|cron|at)\((.*)\)", text.strip())
    if form is None:
        raise BadExpression(f"neither rate(…), cron(…) nor at(…): {text!r}")
    kind, inner = form.groups()
    try:
        local: tzinfo = UTC if zone in ("", "UTC") else ZoneInfo(zone)
    except (KeyError, ValueError) as error:
        raise BadExpression(f"no time zone: {zone!r}") from error
    if kind == "rate":
        return _rate(inner)
    return At(datetime.fromisoformat(inner), local) if kind == "at" else _cron(inner, local)


def _rate(inner: str) -> Rate:
    found = re.fullmatch(r"([1-9][0-9]*) (minute|hour|day)(s?)", inner)
    if found is None or (found[1] == "1") == bool(found[3]):
        raise BadExpression(f"not a rate: {inner!r}")
    return Rate(int(found[1]) * _UNITS[found[2]])


def _cron(inner: str, zone: tzinfo) -> Cron:
    fields = inner.split()
    if len(fields) != _FIELDS:
        raise BadExpression(f"a cron expression has six fields: {inner!r}")
    minutes, hours, days, months, weekdays, years = (field.upper() for field in fields)
    if (days == "?") == (weekdays == "?"):
        raise BadExpression(f"one of day and weekday must be ?: {inner!r}")
    return Cron(
        minutes=sorted(_numbers(minutes, 0, 59)),
        hours=sorted(_numbers(hours, 0, 23)),
        days=days,
        months=frozenset(_numbers(months, 1, 12, _MONTHS)),
        weekdays=weekdays,
        years=frozenset(_numbers(years, FIRST_YEAR, LAST_YEAR)),
        zone=zone,
    )


def _numbers(field: str, low: int, high: int, words: Sequence[str] = ()) -> set[int]:
    """All numbers that a field names: `*`, lists, ranges, steps, and words counted from `low`."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = _number(first, low, words)
            end = _number(last, low, words) if dash else (high if step else start)
        if not low <= start <= end <= high or (step and not step.isdecimal()) or step == "0":
            raise BadExpression(f"not within {low}-{high}: {part!r}")
        found.update(range(start, end + 1, int(step or 1)))
    return found


def _number(text: str, low: int, words: Sequence[str]) -> int:
    if text in words:
        return words.index(text) + low
    if not text.isdecimal():
        raise BadExpression(f"not a number: {text!r}")
    return int(text)


def _day_matches(field: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if field == "?":
        return True
    if field == "L":
        return day.day == last
    if field.endswith("W"):
        return day == _nearest_weekday(day.replace(day=min(_number(field[:-1], 1, ()), last)), last)
    return day.day in _numbers(field, 1, 31)


def _nearest_weekday(day: date, last: int) -> date:
    """The working day that is nearest, within the same month."""
    if day.isoweekday() == 6:
        return day - timedelta(days=1) if day.day > 1 else day + timedelta(days=2)
    if day.isoweekday() == 7:
        return day + timedelta(days=1) if day.day < last else day - timedelta(days=2)
    return day


def _weekday_matches(field: str, day: date) -> bool:
    number = day.isoweekday() % 7 + 1
    if field == "?":
        return True
    if field == "L":
        return number == 7
    if field.endswith("L"):
        last = calendar.monthrange(day.year, day.month)[1]
        return number == _number(field[:-1], 1, _WEEKDAYS) and day.day + 7 > last
    if "#" in field:
        weekday, _, nth = field.partition("#")
        return number == _number(weekday, 1, _WEEKDAYS) and (day.day - 1) // 7 + 1 == int(nth)
    return number in _numbers(field, 1, 7, _WEEKDAYS)
