"""Notes of a plan about room for the tasks that move: capacity to be added, missing tasks, unknown facts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoomNote:
    """A note about the room that the plan's drains need."""

    why: str

    def __str__(self) -> str:
        return self.why
