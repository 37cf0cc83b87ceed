"""What a plan says of the room for the tasks that move: what is yet to come, what is short, what is not known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoomNote:
    """Something worth knowing of the room that drains of the plan need."""

    why: str

    def __str__(self) -> str:
        return self.why
