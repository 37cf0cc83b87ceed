"""Maintenance windows and freezes: when updates may start.

A window opens at a local time on its days of the week and stays open for a duration: four hours are four hours, even if
the clocks change. A freeze is a range of local dates, both included. With several windows, any open one is enough; a
freeze closes them all. Without windows, updates may always start.

If a clock change makes a local time ambiguous, RFC 5545 (section 3.3.5) applies: a skipped time uses the offset from
before the change, and a repeated time means the first one. A day that a time zone skipped entirely (Samoa, 30 December
2011) has no window.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from heapq import merge
from zoneinfo import ZoneInfo

from bottlerocket_ecs_updater.core.model.passing import NO_WINDOW_FITS
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import duration_text, parse_duration, time_text

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEK = timedelta(days=7)
_DAY = timedelta(days=1)

_DAYS_BACK = 8
"""A window that is still open started at most a week ago; one day more allows for its time zone."""

_DAYS_AHEAD = 15
"""A window opens every week, or after two weeks if its day is missing from the calendar."""

HORIZON = timedelta(days=366)
"""Windows that follow each other without a gap for this long count as always open."""

_LAST_YEAR = 9000


WINDOWS_AHEAD = 60
"""How many times of opening and closing are considered: a month of daily windows, and more than half a year of weekly
ones. If the only window that is long enough comes later than that, a person should know too."""


@dataclass(frozen=True, slots=True)
class Window:
    """A weekly maintenance window."""

    days: frozenset[int]
    """Days on which it opens, Monday as 0."""
    start: time
    duration: timedelta
    zone: ZoneInfo

    def __post_init__(self) -> None:
        """Validate days, start and duration."""
        if not self.days or not self.days <= set(range(7)):
            raise ValueError("a window needs at least one day of the week")
        if self.start.tzinfo is not None or self.start != self.start.replace(second=0, microsecond=0):
            raise ValueError("a window's start is a local time, to the minute; its time zone is a separate part")
        if not timedelta() < self.duration <= _WEEK:
            raise ValueError(f"a window lasts more than 0s and at most 7d, not {duration_text(self.duration)}")

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read `Sat,Sun 02:00 4h Europe/Berlin`. Raises ValueError with what is wrong."""
        parts = re.sub(r"\s*,\s*", ",", text).split()
        if len(parts) != 4:
            raise ValueError(f"not a maintenance window: {text[:80]!r}")
        days, start, duration, zone = parts
        return cls(_parse_days(days), _parse_start(start), parse_duration(duration), zone_named(zone))

    def __str__(self) -> str:
        days = "daily" if len(self.days) == 7 else ",".join(_DAYS[day][:3] for day in sorted(self.days))
        return f"{days} {self.start:%H:%M} {duration_text(self.duration)} {self.zone.key}"

    def spans(self, first: date, days: int) -> Iterator[tuple[datetime, datetime]]:
        """When it opens and closes, in UTC, for a number of local days starting with `first`."""
        for day in (first + count * _DAY for count in range(days)):
            if day.weekday() not in self.days:
                continue
            opens = datetime.combine(day, self.start, self.zone).astimezone(UTC)
            if opens.astimezone(self.zone).date() == day or _day_exists(day, self.zone):
                yield opens, opens + self.duration

    def local(self, at: datetime) -> date:
        """The local date in its time zone at that time."""
        return at.astimezone(self.zone).date()

    def opens_after(self, at: datetime) -> datetime:
        """When it opens next after that time."""
        return min(opens for opens, _ in self.spans(self.local(at) - _DAY, _DAYS_AHEAD + 2) if opens > at)


@dataclass(frozen=True, slots=True)
class Freeze:
    """Local dates, both included, on which no update starts."""

    first: date
    last: date
    zone: ZoneInfo

    def __post_init__(self) -> None:
        """Reject a range that ends before it begins."""
        if self.last < self.first:
            raise ValueError(f"a freeze cannot end ({self.last}) before it begins ({self.first})")
        if self.last.year > _LAST_YEAR:
            raise ValueError(f"a freeze cannot reach beyond the year {_LAST_YEAR}")

    @classmethod
    def parse(cls, text: str) -> Freeze:
        """Read `2026-12-20..2027-01-03 Europe/Berlin`, or one date. Raises ValueError with what is wrong."""
        parts = re.sub(r"\s*\.\.\s*", "..", text.strip()).split()
        if len(parts) != 2:
            raise ValueError(f"not a freeze: {text[:80]!r}")
        dates = parts[0].split("..")
        if len(dates) > 2:
            raise ValueError(f"not a freeze: {text[:80]!r}")
        return cls(_parse_date(dates[0]), _parse_date(dates[-1]), zone_named(parts[1]))

    def __str__(self) -> str:
        dates = f"{self.first}" if self.first == self.last else f"{self.first}..{self.last}"
        return f"{dates} {self.zone.key}"

    @property
    def begins(self) -> datetime:
        """When the first date begins, in UTC."""
        return _midnights(self.first, self.zone)[0]

    @property
    def ends(self) -> datetime:
        """When the last date finally ends, in UTC."""
        after = self.last + _DAY
        first, second = _midnights(after, self.zone)
        # If the clocks go back exactly to midnight, the date does not repeat.
        returns = (second - timedelta.resolution).astimezone(self.zone).date() < after
        return second if returns else first


@dataclass(frozen=True, slots=True)
class Open:
    """Updates may start now."""

    until: datetime | None
    """When it closes; None if not within a year."""


@dataclass(frozen=True, slots=True)
class Closed:
    """No update may start now."""

    next_opens: datetime
    freeze: Freeze | None = None
    """The freeze that applies now; None if the reason is that no window is open."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When updates may start. Without windows and freezes that is always."""

    windows: tuple[Window, ...] = ()
    freezes: tuple[Freeze, ...] = ()


def open_at(windows: Sequence[Window], freezes: Sequence[Freeze], now: datetime) -> Open | Closed:
    """Whether updates may start now, and until when; if not, when they may again."""
    return _open_at(tuple(windows), tuple(freezes), now) if windows or freezes else Open(None)


@lru_cache(maxsize=64)
def _open_at(windows: tuple[Window, ...], freezes: tuple[Freeze, ...], now: datetime) -> Open | Closed:
    """Cached, because all instances of a pass need the same answer."""
    # A date that a zone skipped, as Samoa did on 2011-12-30, ends when it begins, so it is not a freeze.
    freezes = tuple(freeze for freeze in freezes if freeze.begins < freeze.ends)
    frozen = _frozen_by(freezes, now)
    if frozen is None and _window_closes(windows, now) != now:
        return Open(_closes(windows, freezes, now))
    return Closed(_next_opens(windows, freezes, now), frozen)


def may_begin(schedule: Schedule, now: datetime, needed: timedelta = timedelta()) -> Hold | None:
    """Why an update that takes `needed` may not start now; None if it may."""
    match open_at(schedule.windows, schedule.freezes, now):
        case Closed(next_opens=opens, freeze=None):
            return hold(Reason.WINDOW_CLOSED, opens=time_text(opens))
        case Closed(next_opens=opens, freeze=freeze):
            return hold(Reason.FROZEN, freeze=freeze, opens=time_text(opens))
        case Open(until=until) if until is not None and until - now < needed:
            never = {} if _ever_fits(schedule, until, needed) else dict([NO_WINDOW_FITS])
            return hold(Reason.CUTOFF, closes=time_text(until), needed=duration_text(needed), **never)
        case Open():
            return None


@lru_cache(maxsize=64)
def _ever_fits(schedule: Schedule, after: datetime, needed: timedelta) -> bool:
    """Whether any of the next windows after that time stays open long enough."""
    at = after
    for _ in range(WINDOWS_AHEAD):
        state = open_at(schedule.windows, schedule.freezes, at)
        if isinstance(state, Open) and (state.until is None or state.until - at >= needed):
            return True
        at = state.next_opens if isinstance(state, Closed) else state.until or at
    return False


def fits(now: datetime, needed: timedelta, windows: Sequence[Window], freezes: Sequence[Freeze] = ()) -> bool:
    """Whether an update that starts now and takes `needed` ends while a window is open."""
    return may_begin(Schedule(tuple(windows), tuple(freezes)), now, needed) is None


def _next_opens(windows: Sequence[Window], freezes: Sequence[Freeze], now: datetime) -> datetime:
    """Each step passes a freeze or reaches a window, so there are at most two steps per freeze, plus one."""
    at = now
    while True:
        frozen = _frozen_by(freezes, at)
        if frozen is not None:
            at = frozen.ends
        elif _window_closes(windows, at) == at:
            at = min(window.opens_after(at) for window in windows)
        else:
            return at


def _closes(windows: Sequence[Window], freezes: Sequence[Freeze], now: datetime) -> datetime | None:
    closes = _window_closes(windows, now)
    ends = [freeze.begins for freeze in freezes if freeze.begins > now]
    return min(ends if closes is None else [*ends, closes], default=None)


def _window_closes(windows: Sequence[Window], at: datetime) -> datetime | None:
    """When the windows open at `at` close, including those that follow without a gap; `at` itself if none is open.

    None if they do not close within the horizon, or if there are no windows.
    """
    if not windows:
        return None
    end = at
    days = _DAYS_BACK + HORIZON.days
    for opens, closes in merge(*(window.spans(window.local(at) - _DAYS_BACK * _DAY, days) for window in windows)):
        if opens > end:
            return end
        end = max(end, closes)
    return None


def _frozen_by(freezes: Sequence[Freeze], at: datetime) -> Freeze | None:
    """The freeze that ends last among those that apply at that time; None if none applies."""
    holding = [freeze for freeze in freezes if freeze.begins <= at < freeze.ends]
    return max(holding, key=lambda freeze: freeze.ends, default=None)


def _midnights(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The first and last time, in UTC, at which this date begins; they differ only if clocks go back at midnight."""
    first, second = (datetime.combine(day, time(fold=fold), zone).astimezone(UTC) for fold in (0, 1))
    if first <= second:
        return first, second
    # The clocks skip this midnight: the date begins when they jump, which is between the two results.
    before, after = second, first
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        if middle.astimezone(zone).date() >= day:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0), after.replace(microsecond=0)


def _day_exists(day: date, zone: ZoneInfo) -> bool:
    return _midnights(day, zone)[0] < _midnights(day + _DAY, zone)[0]


def zone_named(name: str) -> ZoneInfo:
    """The time zone with that IANA name. Raises ValueError for any other name.

    It reads the time zone database, once per zone. Only settings use it, not decisions.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"not an IANA time zone: {name[:60]!r}; write UTC or, for example, Europe/Berlin") from error


def _parse_days(text: str) -> frozenset[int]:
    if text.lower() == "daily":
        return frozenset(range(7))
    days: set[int] = set()
    for item in text.split(","):
        first, dash, last = item.partition("-")
        start, end = _parse_day(first), _parse_day(last if dash else first)
        days |= {day % 7 for day in range(start, end + 1 if end >= start else end + 8)}
    return frozenset(days)


def _parse_day(text: str) -> int:
    found = [index for index, name in enumerate(_DAYS) if len(text) >= 3 and name.lower().startswith(text.lower())]
    if not found:
        raise ValueError(f"not a day of the week: {text[:20]!r}; write Mon, Tue, Wed, Thu, Fri, Sat, Sun or daily")
    return found[0]


def _parse_start(text: str) -> time:
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text)
    if match is None:
        raise ValueError(f"not a time of day: {text[:20]!r}; write it as 02:00, from 00:00 to 23:59")
    return time(int(match[1]), int(match[2]))


def _parse_date(text: str) -> date:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text) is None:
        raise ValueError(f"not a date: {text[:20]!r}; write it as 2026-12-24")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"not a date: {text!r}: {error}") from error
