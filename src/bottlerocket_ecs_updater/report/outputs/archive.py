"""Writes a run's reports to the state store when it ends: the page, the same as JSON, and the index.

runs/<cluster>/<run>/report.html, report.json                 next to the run's record of events
runs/<cluster>/index.html                                     all runs
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.event import ClaimFound, Event, LeaseTaken, RunFinished
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.location import name_of
from bottlerocket_ecs_updater.engine.ports import Store
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.engine.store.shared_state import look_for_acts
from bottlerocket_ecs_updater.errors import UpdaterError
from bottlerocket_ecs_updater.report.analysis.run_report import RunReport, run_report
from bottlerocket_ecs_updater.report.analysis.suggested_commands import Reach
from bottlerocket_ecs_updater.report.outputs.fleet_page import FleetPage
from bottlerocket_ecs_updater.report.outputs.index import IndexPage, enter, entry_of, index_key, write_again
from bottlerocket_ecs_updater.report.record.record import complete_records, read_record, record_folder

FORMS = ("html", "json", "md")
STORED_FORMS = ("html", "json")
"""The others can be made from the record, with `report`."""

ACTS_BEFORE = timedelta(days=1)
"""How long before a run the acts of people are shown on its page. They often explain what the run found."""

_INDEX_BESIDE = "../index.html"
"""The path of the index page, relative to the page of a run in the state store."""


class Archive:
    """Keeps the events of a run, and writes its reports when it ends. If the store fails, only the reports are lost."""

    def __init__(
        self,
        store: Store,
        cluster: str,
        run: RunId,
        warn: Callable[[str], None],
        reach: Reach | None = None,
        fleet: FleetPage | None = None,
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._run = run
        self._warn = warn
        self._reach = reach
        self._fleet = fleet
        self._events: list[Event] = []

    def record(self, event: Event) -> None:
        self._events.append(event)
        if isinstance(event, RunFinished):
            try:
                self._complete_killed_runs()
                acts = self._acts()
                shown = _around(acts, self._events)
                report = run_report(self._events, cluster=name_of(self._cluster), reach=self._reach, acts=shown)
                first = any(isinstance(one, LeaseTaken) and one.epoch == 1 for one in self._events)
                for fault in write_reports(self._store, self._cluster, self._run, report, acts, first=first):
                    self._warn(fault)
            except UpdaterError as error:
                again = f"`report {self._run}` writes it again"
                self._warn(f"the report could not be written to the state store ({again}): {error}")

    def _acts(self) -> Sequence[AuditEntry]:
        """What people did, as it was just read for the page of all clusters, or from the store."""
        read = self._fleet.acts if self._fleet is not None else None
        return read.about(self._cluster) if read is not None else _acts(self._store, self._cluster)

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
    store: Store,
    cluster: str,
    run: RunId,
    report: RunReport,
    acts: Sequence[AuditEntry] | None = None,
    *,
    first: bool = False,
) -> Sequence[str]:
    """Write the report, and the index. Returns what could not be read. Raises what the store raises.

    `acts` are all acts of people, if they were read already. `first` says that no run held the lease before.
    """
    _write_forms(store, cluster, run, report)
    page = _index_page(cluster, _acts(store, cluster) if acts is None else acts)
    entered = enter(store, cluster, entry_of(report), page, first=first)
    for other in entered.adopted:
        past = read_record(store, cluster, other)
        shown = acts_around(store, cluster, past.events)
        died = run_report(past.events, past.unreadable, cluster=name_of(cluster), reach=report.reach, acts=shown)
        _write_forms(store, cluster, other, died)
    key = index_key(cluster)
    return [f"{key} could not be read, and was made again from the records: {entered.fault}"] if entered.fault else []


def _write_forms(store: Store, cluster: str, run: RunId, report: RunReport) -> None:
    for form in STORED_FORMS:
        store.put(report_key(cluster, run, form), render_report(report, form, index=_INDEX_BESIDE).encode(), None)


def refresh_index_page(store: Store, cluster: str) -> None:
    """Write the index page again after an act of a person. Raises what the store raises."""
    write_again(store, cluster, _index_page(cluster, _acts(store, cluster)))


def _index_page(cluster: str, acts: Sequence[AuditEntry]) -> IndexPage:
    from bottlerocket_ecs_updater.report.outputs.page.html import index_page  # noqa: PLC0415 - slow to import

    return lambda entries: index_page(name_of(cluster), entries, acts)


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
