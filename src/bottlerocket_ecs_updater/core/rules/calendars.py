"""Change calendars: no update starts while one is closed, or if it would not end before one closes.

Systems Manager returns the state of a calendar and the time of its next change (GetCalendarState), but nothing after
that. A calendar that could not be read counts as closed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.calendars import CalendarClosed, CalendarOpen, CalendarState, CalendarUnread
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import duration_text, time_text

# The name of a document: 3 to 128 of these characters. Source: CreateDocument, `Name`.
_ARN = re.compile(r"arn:aws[a-z-]*:ssm:[a-z0-9-]+:[0-9]{12}:document/[A-Za-z0-9_.-]{3,128}")

CALENDAR_NOT_READ = CalendarUnread("it has not been read yet")


def read_calendar(text: str) -> str:
    """The ARN of a change calendar. Raises ValueError for anything else."""
    if not _ARN.fullmatch(text):
        raise ValueError("that is not the ARN of a change calendar")
    return text


def hold_for_calendars(
    wanted: Iterable[str], states: Mapping[str, CalendarState], now: datetime, needed: timedelta
) -> Hold | None:
    """Why something that takes this long may not begin now: the calendar that holds longest; None if none does."""
    holds = [why for arn in wanted if (why := _hold(arn, states.get(arn, CALENDAR_NOT_READ), now, needed)) is not None]
    # A known opening time is useless if another calendar's is unknown.
    return max(holds, key=lambda why: why.reason is Reason.CALENDAR_UNKNOWN, default=None)


def opens_at(wanted: Iterable[str], states: Mapping[str, CalendarState]) -> datetime | None:
    """When all calendars will be open; None if they are open now, or if a time is unknown."""
    closed = [state for arn in wanted if isinstance(state := states.get(arn, CALENDAR_NOT_READ), CalendarClosed)]
    return max((state.opens for state in closed if state.opens is not None), default=None)


def closes_at(wanted: Iterable[str], states: Mapping[str, CalendarState]) -> datetime | None:
    """When the first open calendar closes; None if no time is known."""
    opened = [state for arn in wanted if isinstance(state := states.get(arn, CALENDAR_NOT_READ), CalendarOpen)]
    return min((state.closes for state in opened if state.closes is not None), default=None)


def _hold(arn: str, state: CalendarState, now: datetime, needed: timedelta) -> Hold | None:
    name = arn.rsplit("/", 1)[-1]
    match state:
        case CalendarUnread(why=why):
            return hold(Reason.CALENDAR_UNKNOWN, calendar=name, why=why)
        case CalendarClosed(opens=opens) if opens is not None:
            return hold(Reason.CALENDAR_CLOSED, calendar=name, opens=time_text(opens))
        case CalendarClosed():
            return hold(Reason.CALENDAR_UNKNOWN, calendar=name, why="it is closed, and names no opening time")
        case CalendarOpen(closes=closes) if closes is not None and closes <= now:
            why = f"it closed {time_text(closes)}, and has not been read since"
            return hold(Reason.CALENDAR_UNKNOWN, calendar=name, why=why)
        case CalendarOpen(closes=closes) if closes is not None and closes - now < needed:
            late = duration_text(needed)
            return hold(Reason.CALENDAR_CUTOFF, calendar=name, closes=time_text(closes), needed=late)
        case CalendarOpen():
            return None
