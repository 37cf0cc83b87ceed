"""Notes of a plan: capacity to be added for tasks that move, missing tasks, unknown facts, and what is not checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoomNote:
    """A note about the room that the plan's drains need."""

    why: str

    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True)
class Unchecked:
    """What a run does not check, because AWS does not allow or offer a call."""

    why: str

    def __str__(self) -> str:
        return self.why
