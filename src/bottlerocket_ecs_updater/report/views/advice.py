"""Advice as text and as JSON, for plan and status."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, assert_never

from bottlerocket_ecs_updater.core.planning.launch_advice import Advice, StartsOld, StartsUnknown
from bottlerocket_ecs_updater.core.planning.rollout_advice import NeverMoves, RolloutAdvice, TakesDrained
from bottlerocket_ecs_updater.core.planning.room_advice import RoomNote, Unchecked
from bottlerocket_ecs_updater.report.words.sanitize import sanitize


def advice_lines(advice: Sequence[Advice | RoomNote | Unchecked | RolloutAdvice]) -> Iterator[str]:
    """Advice as lines; empty without advice."""
    if advice:
        yield "\nAdvice"
    for each in advice:
        yield f"  {sanitize(_sentence(each))}"
        if isinstance(each, StartsOld | TakesDrained | NeverMoves):
            yield f"    to do: {sanitize(each.remedy)}"


def _sentence(advice: Advice | RoomNote | Unchecked | RolloutAdvice) -> str:
    text = str(advice)
    return text[:1].upper() + text[1:]


def advice_json(advice: Sequence[Advice | RoomNote | Unchecked | RolloutAdvice]) -> list[dict[str, Any]]:
    """Advice as JSON values."""
    return [_json(each) for each in advice]


def _json(advice: Advice | RoomNote | Unchecked | RolloutAdvice) -> dict[str, Any]:
    match advice:
        case StartsOld():
            return {
                "advice": "starts-old",
                "group": advice.group,
                "why": str(advice),
                "to_do": advice.remedy,
                "starts_with": str(advice.starts_with),
                "runs": str(advice.runs),
                "updated_to": str(advice.updated_to) if advice.updated_to is not None else None,
                "source": advice.source,
            }
        case StartsUnknown():
            return {"advice": "starts-unknown", "group": advice.group or None, "why": str(advice), "to_do": None}
        case RoomNote():
            return {"advice": "room", "group": None, "why": str(advice), "to_do": None}
        case Unchecked():
            return {"advice": "unchecked", "group": None, "why": str(advice), "to_do": None}
        case TakesDrained():
            return {"advice": "takes-drained", "group": advice.group, "why": str(advice), "to_do": advice.remedy}
        case NeverMoves():
            return {"advice": "never-moves", "group": None, "why": str(advice), "to_do": advice.remedy}
        case _:
            assert_never(advice)
