"""Change calendars of Systems Manager, as the last look at them found each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class CalendarOpen:
    """Changes may be made."""

    closes: datetime | None
    """When that ends; None if Systems Manager does not say."""


@dataclass(frozen=True, slots=True)
class CalendarClosed:
    """Changes may not be made."""

    opens: datetime | None
    """When changes may be made again; None if Systems Manager does not say."""


@dataclass(frozen=True, slots=True)
class CalendarUnread:
    """It is not known whether changes may be made."""

    why: str


CalendarState = CalendarOpen | CalendarClosed | CalendarUnread
