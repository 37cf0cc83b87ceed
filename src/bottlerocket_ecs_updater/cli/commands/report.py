"""`report`: the report of a run, made from its record. It also works for a run that died."""

from __future__ import annotations

import os
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated, Literal

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli.outputs import reach_of
from bottlerocket_ecs_updater.cli.printing import print_line
from bottlerocket_ecs_updater.cli.settings import parameters
from bottlerocket_ecs_updater.cli.settings.settings import ConfigFile, Target
from bottlerocket_ecs_updater.cli.wiring import wire_read_only
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.location import name_of
from bottlerocket_ecs_updater.engine.ports import Store
from bottlerocket_ecs_updater.engine.store.shared_state import look_for_acts
from bottlerocket_ecs_updater.errors import NotFound, UsageError
from bottlerocket_ecs_updater.report.analysis.ending import Ending
from bottlerocket_ecs_updater.report.analysis.run_report import RunReport, run_report
from bottlerocket_ecs_updater.report.analysis.suggested_commands import Reach
from bottlerocket_ecs_updater.report.outputs.archive import (
    FORMS,
    STORED_FORMS,
    acts_around,
    render_report,
    report_key,
    write_reports,
)
from bottlerocket_ecs_updater.report.outputs.index import entries_of
from bottlerocket_ecs_updater.report.record.record import read_record
from bottlerocket_ecs_updater.report.words.sanitize import sanitize

LATEST_RUN = "latest"
INDEX = "index"

PAGES_MAX = 20
"""How many pages of the newest runs are fetched with the index, each in one read."""

ReportForm = Literal["html", "json", "md"]

_FORM_BY_ENDING = {"": "html", "htm": "html", "markdown": "md"} | {form: form for form in FORMS}


@Parameter(name="*", group="Report")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """Where the record is, and where the report is written."""

    target: Target
    config: ConfigFile = None
    to: Annotated[Path | None, parameters.file("File to write. Default: an object in the state store.")] = None
    out: Annotated[bool, parameters.switch("Print the report; do not write a file.", "o")] = False
    open_: Annotated[
        bool,
        parameters.switch(
            "Open the page in a browser, together with the index of all runs; write nothing to the state store.",
            name="--open",
        ),
    ] = False
    form: Annotated[
        ReportForm | None,
        parameters.choice("Format. Default: by the file extension of --to, otherwise html.", *FORMS, name="--format"),
    ] = None


def report(
    run: Annotated[str, Parameter(help="The id of a run, latest, or index (with --open).", metavar="RUN")] = LATEST_RUN,
    /,
    *,
    settings: ReportSettings,
) -> int:
    """Write the report of a run, from its record, as HTML, Markdown or JSON."""
    if settings.open_ and (settings.out or settings.to is not None or settings.form not in (None, "html")):
        raise UsageError("--open cannot be used with --out, --to or another --format")
    if run == INDEX and not settings.open_:
        raise UsageError("index needs --open; `history` lists the runs as text")
    form = settings.form or form_of(settings.to)
    if settings.to is not None:
        check_place(settings.to)
    wired = wire_read_only(settings.target, os.environ)
    if wired.store is None:
        raise UsageError("the record of runs is kept in the state store: give --state")
    if settings.open_:
        return _open(wired.store, wired.state, run, reach_of(settings.target))
    state = wired.state
    name, report = _read(wired.store, state, run, reach_of(settings.target))
    if settings.out or settings.to is not None:
        _put(render_report(report, form), settings.to)
    else:
        for fault in write_reports(wired.store, state, name, report):
            print_line(fault)
        folder = report_key(state, name, "").rpartition("/")[0]
        written = ", ".join(f"report.{one}" for one in STORED_FORMS)
        print_line(f"{sanitize(report.headline)}\nWritten to {folder} in the state store: {written}")
    return 0


def _open(store: Store, state: str, run: str, reach: Reach) -> int:
    """Download the page of a run, or the index, with the pages that it links to, and open it."""
    folder = Path(mkdtemp(prefix="bottlerocket-ecs-updater-"))
    index = write_index_beside(store, state, folder)
    if run == INDEX:
        page = index
    else:
        name, report = _read(store, state, run, reach)
        page = folder / name / "report.html"
        page.parent.mkdir(exist_ok=True)
        write_file(page, render_report(report, "html", index="../index.html"))
    opened = webbrowser.open(page.as_uri())
    print_line(f"{'Opened' if opened else 'No browser found; open'} {page}")
    return 0


def write_index_beside(store: Store, state: str, folder: Path) -> Path:
    """Write the index of all runs to a folder, with the stored pages of the newest runs."""
    from bottlerocket_ecs_updater.report.outputs.page.html import index_page  # noqa: PLC0415 - slow to import

    entries = entries_of(store, state)
    for entry in entries[:PAGES_MAX]:
        stored = store.get(report_key(state, entry.run, "html"))
        if stored is not None:
            place = folder / entry.run / "report.html"
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(stored.data)
    index = folder / "index.html"
    write_file(index, index_page(name_of(state), entries, look_for_acts(store).about(state)))
    return index


def _put(text: str, to: Path | None) -> None:
    if to is None:
        sys.stdout.write(text)
    else:
        write_file(to, text)


def _read(store: Store, state: str, run: str, reach: Reach) -> tuple[RunId, RunReport]:
    """A run and its report, from its record."""
    cluster = name_of(state)
    if run != LATEST_RUN and ("/" in run or not run):
        raise UsageError(f"{run!r} is not a run id; `history` lists them")
    name = RunId(run) if run != LATEST_RUN else _latest(store, state)
    past = read_record(store, state, name) if name is not None else None
    if name is not None and past is not None and past.events:
        acts = acts_around(store, state, past.events)
        return name, run_report(past.events, past.unreadable, cluster=cluster, reach=reach, acts=acts)
    if run == LATEST_RUN:
        raise NotFound(f"no run of {cluster} has left a record")
    raise NotFound(f"run {run} of {cluster} has left no record; `history` lists those that did")


def _latest(store: Store, state: str) -> RunId | None:
    """The newest run, without those that left because another one held the lease, if there are others."""
    entries = entries_of(store, state)
    acted = (entry.run for entry in entries if entry.ending != Ending.LEFT.value)
    return next(acted, entries[0].run if entries else None)


def form_of(path: Path | None) -> str:
    """The format for a file name extension; without one, a page. Raises UsageError for an unknown extension."""
    ending = path.suffix.removeprefix(".").lower() if path is not None else ""
    if ending not in _FORM_BY_ENDING:
        raise UsageError(f"{path}: unknown report format; the formats are .html, .md and .json")
    return _FORM_BY_ENDING[ending]


def check_place(path: Path) -> None:
    """Check that the file can be written before the report is made. Raises UsageError."""
    folder = path.absolute().parent
    if path.is_dir():
        raise UsageError(f"{path}: this is a folder; name a file in it")
    if not folder.is_dir():
        raise UsageError(f"{path}: there is no folder {folder}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"{path}: cannot be written")


def write_file(path: Path, text: str) -> None:
    """Write a report to a local file. Raises UsageError if that fails."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
