"""A run that exited because another one was active reports when it started, and that it looked at nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bottlerocket_ecs_updater.core.model.event import LeaseRefused, RunFinished
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.report.outputs.index import entry_of, history_text
from bottlerocket_ecs_updater.report.outputs.summary_text import headline

END = datetime(2026, 1, 5, 9, 1, tzinfo=UTC)
RUN = RunId("20260105-0900-aaaa")
LEFT = [
    LeaseRefused(END, "task/7", None),
    RunFinished(
        END, RUN, RunOutcome.LEFT, 0, {}, timedelta(minutes=1), "another run acts on this cluster: task/7", {}, {}
    ),
]


def test_its_start_is_known_from_how_long_it_took() -> None:
    report = run_report(LEFT)
    assert report.summary.began == END - timedelta(minutes=1)
    assert history_text([entry_of(report)]).splitlines()[1].startswith("2026-01-05 09:00  ")


def test_a_run_without_instances_mentions_none() -> None:
    assert headline(run_report(LEFT).summary) == f"no instances were checked in 1m (run {RUN})"
