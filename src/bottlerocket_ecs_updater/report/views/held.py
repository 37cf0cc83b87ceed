"""What the last run held, as text and as JSON: the reasons, in the words of the plan and the log, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.passing import needs_a_person
from bottlerocket_ecs_updater.core.model.reasons import Hold
from bottlerocket_ecs_updater.core.model.wording import and_more
from bottlerocket_ecs_updater.report.analysis.summary import NEEDS_A_PERSON_TEXT
from bottlerocket_ecs_updater.report.words.grouping import grouped
from bottlerocket_ecs_updater.report.words.sanitize import sanitize

SENTENCES_SHOWN = 3
"""How many different sentences for one reason are shown; a plan shows all of them."""


def held_lines(held: Mapping[InstanceId, Hold]) -> Iterator[str]:
    """The holds by reason, those that need a person first; empty if nothing was held."""
    if held:
        yield f"\nHeld by the last run: {len(held)}"
    rows = sorted(held.items(), key=lambda item: not needs_a_person(item[1]))
    for (code, remedy), alike in grouped(rows, lambda row: (row[1].reason.code, row[1].remedy)).items():
        needs = NEEDS_A_PERSON_TEXT if needs_a_person(alike[0][1]) else ""
        yield f"  {code}{needs}: {len(alike)}"
        sentences = list(grouped(alike, lambda row: str(row[1])).items())
        for why, some in sentences[:SENTENCES_SHOWN]:
            yield f"    {sanitize(why)}"
            yield f"      {sanitize(and_more([id_ for id_, _ in some]))}"
        if len(sentences) > SENTENCES_SHOWN:
            yield f"    and {len(sentences) - SENTENCES_SHOWN} more, which `plan` shows"
        yield f"    to do: {sanitize(remedy)}"


def held_json(held: Mapping[InstanceId, Hold]) -> list[dict[str, Any]]:
    """The holds as JSON values."""
    return [
        {
            "instance": id_,
            "reason": why.reason.code,
            "why": str(why),
            "to_do": why.remedy,
            "needs_a_person": needs_a_person(why),
        }
        for id_, why in sorted(held.items())
    ]
