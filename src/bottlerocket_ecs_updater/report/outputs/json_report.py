"""The report of a run as JSON, for programs: the same facts as the page, in a form that says its version.

    {"format": 1, "run": "…", "cluster": "…", "outcome": "halted", "headline": "…", "needs_a_person": […], …}

Times are RFC 3339 in UTC, spans are seconds, versions are text. A change that would be misread raises FORMAT.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from io import BytesIO, TextIOWrapper
from typing import Any

from bottlerocket_ecs_updater.core.model.time_text import write_time
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.report.analysis.run_report import RunReport, spent_by_part
from bottlerocket_ecs_updater.report.analysis.suggested_commands import SuggestedCommands
from bottlerocket_ecs_updater.report.analysis.summary import Row
from bottlerocket_ecs_updater.report.analysis.troubles import Trouble
from bottlerocket_ecs_updater.report.analysis.version_progress import release_notes

REPORT_FORMAT = 1


def report_json(report: RunReport) -> str:
    """The report as JSON, indented, ASCII only, with a final newline."""
    # Encode in pieces: `dumps` would need ten times the memory of the text.
    held = BytesIO()
    with TextIOWrapper(held, encoding="ascii", newline="\n") as text:
        json.dump(report_object(report), text, indent=1)
        text.write("\n")
        text.flush()
        return held.getvalue().decode("ascii")


def report_object(report: RunReport) -> dict[str, Any]:
    """The report as JSON values."""
    summary = report.summary
    return {
        "format": REPORT_FORMAT,
        "run": summary.run,
        "cluster": summary.cluster,
        "updater_version": summary.updater_version,
        "outcome": summary.outcome.value,
        "ending": report.ending.value,
        "exit_code": summary.exit_code,
        "headline": report.headline,
        "why": summary.why,
        "began": _time(summary.began),
        "ended": _time(summary.ended),
        "took_seconds": summary.took.total_seconds(),
        "counts": {became.value: count for became, count in summary.counts.items()},
        "needs_a_person": [_trouble(trouble) for trouble in report.troubles],
        "held": [
            {
                "reason": group.code,
                "why": group.why,
                "to_do": group.to_do,
                "instances": [row.instance for row in group.rows],
                "commands": _lines(group.commands),
            }
            for group in report.holds
        ],
        "versions": [
            {"version": str(move.version), "before": move.before, "after": move.after} for move in report.moves
        ],
        "updates_by_version": [
            {
                "version": str(one.version),
                "release_notes": release_notes(one.version) or None,
                "first_seen": write_time(one.first_seen),
                "updated": len(one.took),
                "seconds_from_first_seen": [took.total_seconds() for took in one.took],
                "seconds_until_all_had_it": _seconds(one.whole),
                "left": one.left,
            }
            for one in report.versions
        ],
        "instances": [_instance(report, row) for row in summary.rows],
        "most_out_of_service_at_once": report.most_out_at_once,
        "median_out_of_service_seconds": _seconds(report.median_out_of_service),
        "tasks_moved": report.moved,
        "seconds_by_part": _by_part(report),
        "calls": dict(summary.calls),
        "throttles": summary.throttles,
        "reboots": dict(summary.reboots),
        "acts": [act_object(act) for act in report.acts],
        "unchecked": list(report.unchecked),
        "unreadable": list(report.unreadable),
    }


def act_object(act: AuditEntry) -> dict[str, Any]:
    """An act of a person as JSON values."""
    return {
        "at": write_time(act.at),
        "who": act.who,
        "verb": act.verb,
        "about": act.about,
        "why": act.why,
        "done": act.done,
    }


def _trouble(trouble: Trouble) -> dict[str, Any]:
    return {
        "what": trouble.what,
        "since": _time(trouble.since),
        "why": trouble.why,
        "to_do": trouble.to_do,
        "out_of_service": trouble.out_of_service,
        "instances": [lane.instance for lane in trouble.lanes],
        "commands": _lines(trouble.commands),
    }


def _instance(report: RunReport, row: Row) -> dict[str, Any]:
    lane = report.lane(row)
    value: dict[str, Any] = {
        "instance": row.instance,
        "became": row.became.value,
        "reason": row.code,
        "why": row.why,
        "to_do": row.remedy,
        "days_behind": report.days_behind.get(row.instance, 0),
    }
    if lane is None:
        return value
    after = row.versions[-1] if row.versions else lane.after
    return value | {
        "release_before": str(lane.before) if lane.before is not None else None,
        "release_after": str(after) if after is not None else None,
        "out_of_service_seconds": lane.out_of_service.total_seconds(),
        "out_of_service_since": _time(lane.out_since),
        "parts": [
            {"part": stretch.part.value, "began": _time(stretch.began), "ended": _time(stretch.ended)}
            for stretch in lane.stretches
        ],
    }


def _by_part(report: RunReport) -> dict[str, list[float]]:
    if report.timeline is None:
        return {}
    spans = spent_by_part(report.timeline)
    return {part.value: [one.total_seconds() for one in sorted(lasted)] for part, lasted in spans.items()}


def _lines(commands: Iterable[SuggestedCommands]) -> list[str]:
    return [line for one in commands for line in one.lines]


def _time(at: datetime | None) -> str | None:
    return write_time(at) if at is not None else None


def _seconds(span: timedelta | None) -> float | None:
    return span.total_seconds() if span is not None else None
