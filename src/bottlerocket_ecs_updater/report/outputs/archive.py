"""Writes a run's reports to the state store when it ends: the page, the same as JSON and Markdown, and the index.

runs/<cluster>/<run>/report.html, report.json, report.md      next to the run's record of events
runs/<cluster>/index.html, index.json
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.event import ClaimFound, Event, RunFinished
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.location import name_of
from bottlerocket_ecs_updater.engine.ports import Store
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.engine.store.shared_state import look_for_acts
from bottlerocket_ecs_updater.errors import UpdaterError
from bottlerocket_ecs_updater.report.analysis.run_report import RunReport, run_report
from bottlerocket_ecs_updater.report.analysis.suggested_commands import Reach
from bottlerocket_ecs_updater.report.outputs.index import Entry, enter, entries_of, entry_of, index_key
from bottlerocket_ecs_updater.report.record.record import complete_records, read_record, record_folder

FORMS = ("html", "json", "md")

ACTS_BEFORE = timedelta(days=1)
"""How long before a run the acts of people are shown on its page. They often explain what the run found."""

_INDEX_BESIDE = "../index.html"
"""The path of the index page, relative to the page of a run in the state store."""


class Archive:
    """Keeps the events of a run, and writes its reports when it ends. If the store fails, only the reports are lost."""

    def __init__(
        self, store: Store, cluster: str, run: RunId, warn: Callable[[str], None], reach: Reach | None = None
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._run = run
        self._warn = warn
        self._reach = reach
        self._events: list[Event] = []

    def record(self, event: Event) -> None:
        self._events.append(event)
        if isinstance(event, RunFinished):
            try:
                self._complete_killed_runs()
                acts = _acts(self._store, self._cluster)
                shown = _around(acts, self._events)
                report = run_report(self._events, cluster=name_of(self._cluster), reach=self._reach, acts=shown)
                for fault in write_reports(self._store, self._cluster, self._run, report, acts):
                    self._warn(fault)
            except UpdaterError as error:
                again = f"`report {self._run}` writes it again"
                self._warn(f"the report could not be written to the state store ({again}): {error}")

    def _complete_killed_runs(self) -> None:
        """Add to the records of killed runs the claims that this run found. If that fails, write the report anyway."""
        with suppress(UpdaterError):
            found = [event for event in self._events if isinstance(event, ClaimFound)]
            complete_records(self._store, self._cluster, found)


def render_report(report: RunReport, form: str, index: str = "") -> str:
    """The report in one of FORMS. `index` is the path of the index page, relative to this page."""
    # The template engine is slow to import, and only the end of a run needs it.
    from bottlerocket_ecs_updater.report.outputs.json_report import report_json  # noqa: PLC0415
    from bottlerocket_ecs_updater.report.outputs.markdown import markdown  # noqa: PLC0415
    from bottlerocket_ecs_updater.report.outputs.page.html import page  # noqa: PLC0415

    match form:
        case "html":
            return page(report, index)
        case "json":
            return report_json(report)
        case "md":
            return markdown(report)
        case _:
            raise ValueError(f"not a report format: {form!r}")


def write_reports(
    store: Store, cluster: str, run: RunId, report: RunReport, acts: Sequence[AuditEntry] | None = None
) -> Sequence[str]:
    """Write the report in every format, and the index. Returns what could not be read. Raises what the store raises.

    `acts` are all acts of people, if they were read already.
    """
    _write_forms(store, cluster, run, report)
    entered = enter(store, cluster, entry_of(report))
    for other in entered.adopted:
        past = read_record(store, cluster, other)
        shown = acts_around(store, cluster, past.events)
        died = run_report(past.events, past.unreadable, cluster=name_of(cluster), reach=report.reach, acts=shown)
        _write_forms(store, cluster, other, died)
    write_index_page(store, cluster, entered.entries, acts)
    key = index_key(cluster, "json")
    return [f"{key} could not be read, and was made again from the records: {entered.fault}"] if entered.fault else []


def _write_forms(store: Store, cluster: str, run: RunId, report: RunReport) -> None:
    for form in FORMS:
        store.put(report_key(cluster, run, form), render_report(report, form, index=_INDEX_BESIDE).encode(), None)


def write_index_page(
    store: Store, cluster: str, entries: Sequence[Entry], acts: Sequence[AuditEntry] | None = None
) -> None:
    """Write the index page; `acts` are all acts of people, if they were read already. Raises what the store raises."""
    from bottlerocket_ecs_updater.report.outputs.page.html import index_page  # noqa: PLC0415

    acts = _acts(store, cluster) if acts is None else acts
    store.put(index_key(cluster, "html"), index_page(name_of(cluster), entries, acts).encode(), None)


def refresh_index_page(store: Store, cluster: str) -> None:
    """Write the index page again after an act of a person. Raises what the store raises."""
    write_index_page(store, cluster, entries_of(store, cluster))


def acts_around(store: Store, cluster: str, events: Sequence[Event]) -> Sequence[AuditEntry]:
    """The acts of people from a day before a run until its last event; empty if they cannot be read."""
    if not events:
        return ()
    return _around(_acts(store, cluster, events[0].at - ACTS_BEFORE), events)


def _around(acts: Iterable[AuditEntry], events: Sequence[Event]) -> Sequence[AuditEntry]:
    return tuple(act for act in acts if events[0].at - ACTS_BEFORE <= act.at <= events[-1].at)


def _acts(store: Store, cluster: str, since: datetime | None = None) -> Sequence[AuditEntry]:
    """The acts, or nothing if they cannot be read: a report without them is better than none."""
    try:
        return look_for_acts(store).about(cluster, since)
    except UpdaterError:
        return ()


def report_key(cluster: str, run: RunId, form: str) -> str:
    """The key of a report of a run."""
    return f"{record_folder(cluster, run)}/report.{form}"
