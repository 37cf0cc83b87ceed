"""The page of one run, and the index of all runs, as HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from bottlerocket_ecs_updater.core.model.event import CommandSent, HostChecked, PhaseEntered, RunHalted
from bottlerocket_ecs_updater.core.model.host_report import HostReport
from bottlerocket_ecs_updater.core.model.outcome import OutcomeKind
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.time_text import measured_text, rough_text, write_time
from bottlerocket_ecs_updater.core.model.wording import counted
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.report.analysis.run_report import RunReport
from bottlerocket_ecs_updater.report.analysis.summary import Row
from bottlerocket_ecs_updater.report.analysis.timeline import Lane, Part
from bottlerocket_ecs_updater.report.analysis.version_progress import release_notes
from bottlerocket_ecs_updater.report.outputs.page.lanes import draw, durations, left_open
from bottlerocket_ecs_updater.report.words.event_text import event_text
from bottlerocket_ecs_updater.report.words.sanitize import SHOWN_MAX_CHARACTERS, sanitize

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.report.outputs.index import Entry

SAID_MAX_CHARACTERS = 4000
"""Characters of a host's output that are shown. A whole output can have 24,000 characters."""

TABLE_MAX_ROWS = 25
"""How many instances of one problem are listed. All of them are in the table of instances below."""

INDEX_ACTS_MAX = 100
"""How many of the newest acts of people are shown. `history` has all of them."""

STORY_MAX_LINES = 60
"""How many of the last events of a failed instance are shown."""

_TILES = (OutcomeKind.UPDATED, OutcomeKind.FAILED, OutcomeKind.QUARANTINED, OutcomeKind.HELD, OutcomeKind.UP_TO_DATE)

_COUNTED = (OutcomeKind.UPDATED, OutcomeKind.FAILED, OutcomeKind.QUARANTINED, OutcomeKind.HELD)

_MEANING = {
    Part.STAGING: "staging the update, in service",
    Part.READY: "staged, waiting for its turn, in service",
    Part.DRAINING: "draining",
    Part.REBOOTING: "rebooting",
    Part.VERIFYING: "verifying that it is healthy",
    Part.RETURNING: "returning",
    Part.SETTLING: "in service, services are settling",
    Part.QUARANTINED: "in quarantine, out of service",
}


def page(report: RunReport, index: str = "") -> str:
    """The page of a run. `index` is the path of the index page; empty if it is unknown."""
    summary, timeline = report.summary, report.timeline
    lanes = timeline.lanes if timeline is not None else {}
    failed = [row for row in summary.rows if row.became in (OutcomeKind.QUARANTINED, OutcomeKind.FAILED)]
    halted = (event.at for event in report.events if isinstance(event, RunHalted))
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            a=report,
            s=summary,
            d=draw(report, next(halted, None)),
            lanes={row.instance: lanes.get(row.instance) for row in summary.rows},
            failed=[(row, lanes.get(row.instance)) for row in failed],
            rows=sorted(summary.rows, key=lambda row: _how_bad(row, lanes.get(row.instance))),
            left_open=left_open,
            tiles=_TILES,
            became_held=OutcomeKind.HELD,
            most=max((max(move.before, move.after) for move in report.moves), default=1),
            meaning={part.value: words for part, words in _MEANING.items()},
            durations=durations(report),
            calls=sorted(summary.calls.items(), key=lambda item: (-item[1], item[0])),
            style=_style(),
            table_max=TABLE_MAX_ROWS,
            said_max=SAID_MAX_CHARACTERS,
            index=index,
            clock="when" if _over_midnight(report) else "clock",
        )
    )


def index_page(cluster: str, entries: Sequence[Entry], acts: Sequence[AuditEntry] = ()) -> str:
    """The index page of a cluster: its runs in the given order, and the acts of people, newest first."""
    return (
        _templates()
        .get_template("index.html.j2")
        .render(
            cluster=cluster,
            entries=entries,
            acts=sorted(acts, key=lambda act: act.at, reverse=True)[:INDEX_ACTS_MAX],
            last_well=next((entry for entry in entries if entry.well), None),
            last_bad=next((entry for entry in entries if entry.bad), None),
            style=_style(),
            counted=_COUNTED,
        )
    )


def render_page(template: str, **facts: object) -> str:
    """Another page in the same style."""
    return _templates().get_template(template).render(style=_style(), **facts)


def _how_bad(row: Row, lane: Lane | None) -> int:
    """A sort key, worst first: instances out of service come before failed ones in service."""
    if left_open(row, lane):
        return 1
    return 0 if row.became is OutcomeKind.QUARANTINED else 2


@cache
def _templates() -> Environment:
    made = Environment(autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(_source))
    made.filters |= {
        "shown": sanitize,
        "said": lambda text: sanitize(text, SAID_MAX_CHARACTERS),
        "span": measured_text,
        "clock": lambda at: f"{at.astimezone(UTC):%H:%M:%S}",
        "minute": lambda at: f"{at.astimezone(UTC):%Y-%m-%d %H:%M}",
        "day": lambda at: f"{at.astimezone(UTC):%Y-%m-%d}",
        "machine": write_time,
        "when": lambda at: f"{at.astimezone(UTC):%d %b %H:%M:%S}",
        "prose": _prose,
        "marked": _marked,
        "counted": counted,
        "spent": _spent,
        "story": _story,
        "notes": release_notes,
        "rough": rough_text,
    }
    return made


def _source(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _style() -> Markup:
    return Markup(_source("style.css").strip())  # noqa: S704 - our own file


_MARKED = re.compile(r"(`[^`]+`)|(\bm?i-[0-9a-f]{8,17}\b)")


def _prose(text: str, limit: int = SHOWN_MAX_CHARACTERS) -> Markup:
    """A sentence as a paragraph, with markup and a capital letter."""
    marked = _marked(text, limit)
    first = marked[:1]
    return first.upper() + marked[1:] if first.islower() else marked


def _marked(text: str, limit: int = SHOWN_MAX_CHARACTERS) -> Markup:
    """A sentence as HTML: text in back-ticks is code, and instance ids are not wrapped."""
    shown, markup, done = sanitize(text, limit), Markup(), 0
    for found in _MARKED.finditer(shown):
        code, id_ = found.groups()
        kind, inside = ("code", code[1:-1]) if code else ("span", id_)
        opened = Markup("<code>") if kind == "code" else Markup('<span class="one">')
        markup += Markup("{}{}{}</{}>").format(shown[done : found.start()], opened, inside, kind)
        done = found.end()
    return markup + shown[done:]


def _over_midnight(report: RunReport) -> bool:
    """Whether the run spans several days, so that a time needs a date."""
    began, ended = report.summary.began, report.summary.ended
    return began is not None and ended is not None and began.astimezone(UTC).date() != ended.astimezone(UTC).date()


def _spent(lane: Lane, part: str) -> str:
    lasted = lane.spent(Part(part))
    return measured_text(lasted) if lasted else ""


def _story(lane: Lane) -> Iterable[tuple[datetime, str]]:
    """The events of an instance without repetitions: repeated checks, and phases that other events show."""
    lines: list[tuple[datetime, str]] = []
    last_answer = ""
    for event in lane.events:
        said = event_text(event)
        match event:
            case PhaseEntered() | CommandSent(kind=DocumentKind.CHECK):
                continue
            case HostChecked(answer=answer):
                words = f"{type(answer).__name__} {said}" if isinstance(answer, HostReport) else said
                if words == last_answer:
                    continue
                last_answer = words
            case _:
                pass
        lines.append((event.at, said))
    return lines[-STORY_MAX_LINES:]
