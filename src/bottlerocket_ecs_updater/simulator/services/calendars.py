"""Change Calendar of Systems Manager: calendars whose entries are times at which they change to the other state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.clock import WorldClock

OPEN, CLOSED = "OPEN", "CLOSED"
OPPOSITE = {OPEN: CLOSED, CLOSED: OPEN}


@dataclass(frozen=True, slots=True)
class _Calendar:
    state: str
    """Before the first of the changes."""
    changes: tuple[datetime, ...]

    def at(self, moment: datetime) -> tuple[str, datetime | None]:
        passed = sum(change <= moment for change in self.changes)
        following = self.changes[passed] if passed < len(self.changes) else None
        return self.state if passed % 2 == 0 else OPPOSITE[self.state], following


class ChangeCalendars:
    """Calendars by ARN; those of other accounts are shared with this one."""

    def __init__(self, clock: WorldClock, *, is_document: Callable[[str], bool] = lambda _: False) -> None:
        self._clock = clock
        self._is_document = is_document
        self._calendars: dict[str, _Calendar] = {}

    def set_calendar(self, arn: str, state: str, *changes: datetime) -> None:
        """A calendar that is in this state now, and changes to the other one at each of these times."""
        self._calendars[arn] = _Calendar(state, tuple(sorted(changes)))

    def handlers(self) -> dict[str, Callable[[Shape], Shape]]:
        """By the operation's name."""
        return {"GetCalendarState": self.state}

    def state(self, request: Shape) -> Shape:
        """GetCalendarState: several calendars are open only where all of them are."""
        asked = request.get("AtTime")
        at = datetime.fromisoformat(asked) if asked else self._clock.now()
        found = [self._find(name).at(at) for name in request["CalendarNames"]]
        state = OPEN if all(each == OPEN for each, _ in found) else CLOSED
        following = self._next_change(state, found)
        reply = {"State": state, "AtTime": _iso(at)}
        return {**reply, "NextTransitionTime": _iso(following)} if following is not None else reply

    @staticmethod
    def _next_change(state: str, found: Sequence[tuple[str, datetime | None]]) -> datetime | None:
        times = [following for each, following in found if each == state]
        known = [time for time in times if time is not None]
        if state == OPEN:
            return min(known, default=None)
        return max(known, default=None) if len(known) == len(times) else None

    def _find(self, name: str) -> _Calendar:
        by_name = {arn.rsplit("/", 1)[-1]: calendar for arn, calendar in self._calendars.items()}
        found = self._calendars.get(name) or by_name.get(name)
        if found is None and self._is_document(name):
            raise AwsError("InvalidDocumentType", "Calendar document must be of type ChangeCalendar.")
        if found is None:
            raise AwsError("InvalidDocument", f"Document with name {name} does not exist.")
        return found


def _iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
