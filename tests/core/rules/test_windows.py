from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.rules import parse_freezes, parse_windows

from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.rules.windows import Closed, Freeze, Open, Schedule, Window, fits, may_begin, open_at

MINUTE = timedelta(minutes=1)
BERLIN = "Europe/Berlin"

ZONES_AND_CHANGES = {
    "UTC": ["2026-01-01"],
    "Europe/Berlin": ["2026-03-29", "2026-10-25", "2027-03-28"],
    "America/New_York": ["2025-03-09", "2025-11-02"],
    "Australia/Lord_Howe": ["2026-04-05", "2026-10-04"],  # half an hour
    "America/Havana": ["2025-03-09", "2025-11-02"],  # at midnight
    "Asia/Beirut": ["2022-03-27", "2022-10-30"],  # at midnight
    "America/St_Johns": ["2008-03-09", "2008-11-02"],  # a minute past midnight
    "America/Nuuk": ["2026-03-28"],  # an hour before midnight
    "Pacific/Apia": ["2011-12-30"],  # a whole day
    "Asia/Kolkata": ["2026-06-01"],
    "Africa/Casablanca": ["2025-02-23", "2025-04-06"],
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def one(text: str) -> tuple[Window]:
    return (Window.parse(text),)


# Text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Sat,Sun 02:00 4h Europe/Berlin", "Sat,Sun 02:00 4h Europe/Berlin"),
        ("sun, saturday  2:00  240m   Europe/Berlin", "Sat,Sun 02:00 4h Europe/Berlin"),
        ("Mon-Fri 22:30 1h30m UTC", "Mon,Tue,Wed,Thu,Fri 22:30 1h30m UTC"),
        ("Sat-Mon 00:00 1d UTC", "Mon,Sat,Sun 00:00 1d UTC"),
        ("daily 03:15 45m America/New_York", "daily 03:15 45m America/New_York"),
        ("Mon-Sun 03:15 45m America/New_York", "daily 03:15 45m America/New_York"),
    ],
)
def test_a_window_is_read_as_people_write_it_and_written_in_one_form(text: str, canonical: str) -> None:
    assert str(Window.parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2026-12-20..2027-01-03 Europe/Berlin", "2026-12-20..2027-01-03 Europe/Berlin"),
        ("2026-12-20 .. 2027-01-03 Europe/Berlin", "2026-12-20..2027-01-03 Europe/Berlin"),
        ("2026-12-24 UTC", "2026-12-24 UTC"),
        ("2026-12-24..2026-12-24 UTC", "2026-12-24 UTC"),
    ],
)
def test_a_freeze_is_read_as_people_write_it_and_written_in_one_form(text: str, canonical: str) -> None:
    assert str(Freeze.parse(text)) == canonical


windows = st.builds(
    Window,
    st.frozensets(st.integers(0, 6), min_size=1),
    st.builds(time, st.integers(0, 23), st.integers(0, 59)),
    st.integers(1, 7 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes)),
    st.sampled_from(sorted(ZONES_AND_CHANGES)).map(ZoneInfo),
)


@given(windows)
def test_a_window_reads_what_it_writes(window: Window) -> None:
    assert Window.parse(str(window)) == window


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(0, 400), st.sampled_from(sorted(ZONES_AND_CHANGES)))
def test_a_freeze_reads_what_it_writes(first: date, days: int, zone: str) -> None:
    freeze = Freeze(first, first + timedelta(days=days), ZoneInfo(zone))
    assert Freeze.parse(str(freeze)) == freeze


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a maintenance window"),
        ("Sat 02:00 4h", "not a maintenance window: 'Sat 02:00 4h'"),
        ("Sat 02:00 4h Europe/Berlin extra", "not a maintenance window"),
        ("Sab 02:00 4h UTC", "not a day of the week: 'Sab'"),
        ("S 02:00 4h UTC", "not a day of the week: 'S'"),
        ("Sat- 02:00 4h UTC", "not a day of the week: ''"),
        ("Sat 24:00 4h UTC", "not a time of day: '24:00'"),
        ("Sat 2am 4h UTC", "not a time of day"),
        ("Sat 02:00 4x UTC", "not a duration: '4x'"),
        ("Sat 02:00 4 UTC", "a number needs a unit, as in 4s"),
        ("Sat 02:00 0h UTC", "more than 0s"),
        ("Sat 02:00 8d UTC", "at most 7d"),
        ("Sat 02:00 4h Europe/Berln", "not an IANA time zone: 'Europe/Berln'"),
        ("Sat 02:00 4h Europe", "not an IANA time zone: 'Europe'"),
        ("Sat 02:00 4h ../../etc/passwd", "not an IANA time zone"),
    ],
)
def test_an_invalid_window_is_refused_with_the_mistake(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("(", r"\(")):
        Window.parse(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("2026-12-20..2027-01-03", "not a freeze"),
        ("2027-01-03..2026-12-20 UTC", "cannot end"),
        ("2026-02-30 UTC", "not a date: '2026-02-30'"),
        ("20.12.2026 UTC", "not a date: '20.12.2026'"),
        ("2026-01-01..2026-01-02..2026-01-03 UTC", "not a freeze"),
        ("9999-12-31 UTC", "beyond the year"),
    ],
)
def test_an_invalid_freeze_is_refused_with_the_mistake(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Freeze.parse(text)


def test_several_windows_and_freezes_are_written_with_semicolons_between_them() -> None:
    assert len(parse_windows("Sat 02:00 4h UTC; Sun 03:00 2h UTC;")) == 2
    assert len(parse_freezes("2026-12-24 UTC; 2026-12-31..2027-01-01 UTC")) == 2


# Time


def test_without_windows_and_freezes_it_is_always_open() -> None:
    assert open_at((), (), at("2026-05-01T12:00Z")) == Open(None)


def test_a_window_is_open_from_its_start_to_just_before_its_end() -> None:
    window = one("Sat 02:00 4h Europe/Berlin")
    opens, closes = at("2026-05-02T02:00+02:00"), at("2026-05-02T06:00+02:00")
    assert open_at(window, (), opens - MINUTE) == Closed(opens)
    assert open_at(window, (), opens) == Open(closes)
    assert open_at(window, (), closes - MINUTE) == Open(closes)
    assert open_at(window, (), closes) == Closed(at("2026-05-09T02:00+02:00"))


def test_a_start_that_the_clocks_skip_is_read_with_the_offset_from_before_the_change() -> None:
    window = one("Sun 02:30 1h Europe/Berlin")
    assert open_at(window, (), at("2027-03-28T00:00+01:00")) == Closed(at("2027-03-28T03:30+02:00"))


def test_a_start_that_comes_twice_opens_at_its_first_time_only() -> None:
    window = one("Sun 02:30 30m Europe/Berlin")
    assert open_at(window, (), at("2026-10-25T02:30+02:00")) == Open(at("2026-10-25T03:00+02:00"))
    assert open_at(window, (), at("2026-10-25T02:30+01:00")) == Closed(at("2026-11-01T02:30+01:00"))


def test_a_start_that_the_clocks_skip_into_the_next_day_still_opens() -> None:
    window = one("Sat 23:30 1h America/Nuuk")
    assert open_at(window, (), at("2026-03-28T22:00-02:00")) == Closed(at("2026-03-29T00:30-01:00"))


def test_four_hours_are_four_hours_over_a_clock_change() -> None:
    window = one("Sun 01:00 4h Europe/Berlin")
    assert open_at(window, (), at("2027-03-28T01:00+01:00")) == Open(at("2027-03-28T06:00+02:00"))
    assert open_at(window, (), at("2026-10-25T01:00+02:00")) == Open(at("2026-10-25T04:00+01:00"))


def test_a_day_that_a_zone_left_out_of_its_calendar_has_no_window() -> None:
    window = one("Fri 02:00 4h Pacific/Apia")
    assert open_at(window, (), at("2011-12-29T12:00-10:00")) == Closed(at("2012-01-06T02:00+14:00"))


def test_windows_that_touch_or_overlap_are_one() -> None:
    windows = parse_windows("Sat 02:00 2h UTC; Sat 04:00 1h UTC; Sat 04:30 1h UTC")
    assert open_at(windows, (), at("2026-05-02T03:00Z")) == Open(at("2026-05-02T05:30Z"))


def test_windows_without_a_gap_never_close() -> None:
    assert open_at(one("daily 00:00 1d UTC"), (), at("2026-05-02T03:00Z")) == Open(None)


def test_a_window_that_a_freeze_cuts_short_closes_when_the_freeze_starts() -> None:
    window, freeze = one("Sat 22:00 4h UTC"), Freeze.parse("2026-05-03..2026-05-04 UTC")
    assert open_at(window, (freeze,), at("2026-05-02T22:30Z")) == Open(at("2026-05-03T00:00Z"))


def test_a_freeze_that_ends_within_a_window_lets_it_open_there() -> None:
    window, freeze = one("Sun 22:00 4h UTC"), Freeze.parse("2026-05-02..2026-05-03 UTC")
    assert open_at(window, (freeze,), at("2026-05-02T22:30Z")) == Closed(at("2026-05-04T00:00Z"), freeze)


def test_a_holiday_freeze_in_a_zone_with_a_clock_change_lasts_for_its_local_days() -> None:
    freeze = Freeze.parse("2026-10-24..2026-10-26 Europe/Berlin")
    assert freeze.begins == at("2026-10-24T00:00+02:00")
    assert freeze.ends == at("2026-10-27T00:00+01:00")
    assert freeze.ends - freeze.begins == timedelta(hours=73)


def test_over_the_holidays_nothing_starts_and_the_hold_says_when_it_may_again() -> None:
    schedule = Schedule(one("Sat,Sun 02:00 4h Europe/Berlin"), parse_freezes("2026-12-20..2027-01-03 Europe/Berlin"))
    held = may_begin(schedule, at("2026-12-26T03:00+01:00"))
    assert held is not None
    assert held.reason is Reason.FROZEN
    assert str(held) == (
        "updates are frozen (2026-12-20..2027-01-03 Europe/Berlin); the next one may start at 2027-01-09 01:00 UTC"
    )


def test_a_freeze_whose_first_midnight_the_clocks_skip_starts_when_they_jump() -> None:
    freeze = Freeze.parse("2022-03-27 Asia/Beirut")
    assert freeze.begins == at("2022-03-27T01:00+03:00")


def test_a_freeze_whose_last_midnight_comes_twice_ends_at_the_second_one() -> None:
    freeze = Freeze.parse("2008-11-01 America/St_Johns")
    assert freeze.ends == at("2008-11-02T00:00-03:30")


def test_a_freeze_ends_at_the_first_midnight_where_the_second_one_is_of_the_same_day() -> None:
    freeze = Freeze.parse("2025-11-01 America/Havana")
    assert freeze.ends == at("2025-11-02T00:00-04:00")


def test_a_closed_window_is_a_hold_that_says_when_it_opens() -> None:
    held = may_begin(Schedule(one("Sat 02:00 4h UTC")), at("2026-05-01T12:00Z"))
    assert str(held) == "no maintenance window is open; the next one opens at 2026-05-02 02:00 UTC"


def test_an_update_that_cannot_end_within_the_window_does_not_start() -> None:
    schedule, needed = Schedule(one("Sat 02:00 4h UTC")), timedelta(minutes=20)
    assert may_begin(schedule, at("2026-05-02T05:40Z"), needed) is None
    held = may_begin(schedule, at("2026-05-02T05:41Z"), needed)
    assert held is not None
    assert held.reason is Reason.CUTOFF
    assert str(held) == "its update is expected to take 20m, and the maintenance window closes at 2026-05-02 06:00 UTC"


def test_an_update_longer_than_any_window_never_fits() -> None:
    assert not fits(at("2026-05-02T02:00Z"), timedelta(hours=5), one("Sat 02:00 4h UTC"))


# Properties, compared with a walk from minute to minute


def walk(windows: tuple[Window, ...], freezes: tuple[Freeze, ...], first: datetime, days: int) -> list[bool]:
    """For each minute from the first on, whether updates may start, by the local time."""
    minutes = [first + count * MINUTE for count in range(-9 * 1440, days * 1440)]
    opened = [False] * len(minutes)
    for window in windows:
        for index in _openings(window, minutes):
            for later in range(index, min(len(minutes), index + window.duration // MINUTE)):
                opened[later] = True
    for freeze in freezes:
        days_shown = [minute.astimezone(freeze.zone).date() for minute in minutes]
        frozen = [index for index, day in enumerate(days_shown) if freeze.first <= day <= freeze.last]
        for index in range(frozen[0], frozen[-1] + 1) if frozen else ():
            opened[index] = False
    return opened[9 * 1440 :]


def _openings(window: Window, minutes: list[datetime]) -> list[int]:
    shown = [minute.astimezone(window.zone).replace(tzinfo=None) for minute in minutes]
    dates = {wall.date() for wall in shown}
    seen: set[datetime] = set()
    found: list[int] = []
    skipped_until = jump = None
    for index, wall in enumerate(shown):
        step = wall - shown[index - 1] if index else MINUTE
        if step > MINUTE:
            jump, skipped_until = step - MINUTE, wall
        candidates = [wall]
        if jump is not None and skipped_until is not None:
            if wall - jump < skipped_until:
                candidates.append(wall - jump)
            else:
                jump = None
        for candidate in candidates:
            due = candidate.time() == window.start and candidate.weekday() in window.days
            if due and candidate not in seen and candidate.date() in dates:
                found.append(index)
        seen.add(wall)
    return found


@st.composite
def calendars(draw: st.DrawFn) -> tuple[tuple[Window, ...], tuple[Freeze, ...], datetime]:
    zone = draw(st.sampled_from(sorted(ZONES_AND_CHANGES)))
    change = date.fromisoformat(draw(st.sampled_from(ZONES_AND_CHANGES[zone])))
    hours = st.integers(0, 5) | st.integers(0, 23)
    near = st.builds(
        Window,
        st.frozensets(st.integers(0, 6), min_size=1, max_size=3),
        st.builds(time, hours, st.sampled_from([0, 1, 15, 30, 45, 59])),
        st.sampled_from([1, 30, 60, 90, 240, 1440, 7 * 1440]).map(lambda minutes: timedelta(minutes=minutes)),
        st.just(ZoneInfo(zone)),
    )
    freezes = st.builds(
        lambda start, length: Freeze(
            change + timedelta(days=start), change + timedelta(days=start + length), ZoneInfo(zone)
        ),
        st.integers(-3, 3),
        st.integers(0, 4),
    )
    first = datetime.combine(change, time(12), UTC) - timedelta(days=draw(st.integers(1, 4)))
    drawn_windows = draw(st.lists(near, min_size=1, max_size=3))
    return tuple(drawn_windows), tuple(draw(st.lists(freezes, max_size=2))), first


@settings(max_examples=12, deadline=None)
@given(calendars())
@example(((Window.parse("Fri 02:00 4h Pacific/Apia"),), (), at("2011-12-28T12:00Z")))
@example(
    (
        (Window.parse("Thu 00:01 24h Pacific/Apia"),),
        (Freeze.parse("2011-12-30 Pacific/Apia"),),
        at("2011-12-29T12:00Z"),
    )
)
@example(((Window.parse("Sun 00:30 1h America/St_Johns"),), (), at("2008-11-01T12:00Z")))
@example(((Window.parse("Sun 00:30 1h America/Havana"),), (), at("2025-03-08T12:00Z")))
def test_it_is_open_exactly_when_a_walk_from_minute_to_minute_finds_it_open(
    calendar: tuple[tuple[Window, ...], tuple[Freeze, ...], datetime],
) -> None:
    windows, freezes, first = calendar
    truth = walk(windows, freezes, first, 12)
    edges = [index for index in range(1, 5 * 1440) if truth[index] != truth[index - 1]]
    looks = sorted({0, *range(0, 5 * 1440, 397), *edges, *(edge - 1 for edge in edges)})
    for index in looks:
        now = first + index * MINUTE
        change = next((first + i * MINUTE for i in range(index, len(truth)) if truth[i] != truth[index]), None)
        match open_at(windows, freezes, now):
            case Open(until=until):
                assert truth[index]
                assert until == change or change is None
            case Closed(next_opens=opens):
                assert not truth[index]
                assert opens == change or change is None


@given(calendars(), st.integers(0, 600))
@settings(max_examples=60, deadline=None)
def test_an_update_that_fits_ends_before_the_windows_close(
    calendar: tuple[tuple[Window, ...], tuple[Freeze, ...], datetime], minutes: int
) -> None:
    windows, freezes, now = calendar
    needed = minutes * MINUTE
    if fits(now, needed, windows, freezes):
        opened = open_at(windows, freezes, now)
        assert isinstance(opened, Open)
        assert opened.until is None or now + needed <= opened.until


@given(calendars())
@settings(max_examples=60, deadline=None)
def test_it_is_open_at_the_moment_that_a_closed_answer_promises(
    calendar: tuple[tuple[Window, ...], tuple[Freeze, ...], datetime],
) -> None:
    windows, freezes, now = calendar
    answer = open_at(windows, freezes, now)
    if isinstance(answer, Closed):
        assert answer.next_opens > now
        assert isinstance(open_at(windows, freezes, answer.next_opens), Open)
