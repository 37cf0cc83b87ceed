"""A page shows first what is out of service, even if no event says so, and ids before commands."""

from __future__ import annotations

import re
from datetime import timedelta

from tests.report.runs import died, events_of
from tests.report.samples import NEW, OLD, START, STARTED, name

from bottlerocket_ecs_updater.core.model.event import Claimed, Event, HostChecked, InstanceFailed, PhaseEntered
from bottlerocket_ecs_updater.core.model.host_report import HostReport, UpdateState
from bottlerocket_ecs_updater.core.model.ids import BootId
from bottlerocket_ecs_updater.core.model.phase import Phase
from bottlerocket_ecs_updater.core.model.reasons import Failure, failed
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.report.outputs.archive import render_report

ABANDONED, FAILED, IDLE = name(7), name(3), name(1)


def killed() -> list[Event]:
    """A run that was killed with one instance claimed, after another one had failed."""
    idle = HostReport(BootId("b"), UpdateState.IDLE, OLD, None, None)
    return [
        STARTED,
        InstanceFailed(START, FAILED, failed(Failure.APPLY_FAILED, detail="`df` says that the disk is full")),
        PhaseEntered(START, ABANDONED, Phase.READY, Phase.STAGING, None),
        Claimed(START, ABANDONED, OLD, NEW, downgrade=False),
        HostChecked(START + timedelta(minutes=1), IDLE, idle),
    ]


def test_an_abandoned_instance_is_the_first_in_the_table_and_in_the_drawing() -> None:
    html = render_report(run_report(killed()), "html")
    table = html.partition('<h2 id="instances">')[2]
    assert re.findall(r"i-[0-9a-f]{17}", table)[:2] == [ABANDONED, FAILED]
    assert "out of service" in table.partition(FAILED)[0]
    drawn = html.partition("<svg viewBox")[2].partition("</svg>")[0]
    assert "in the middle of an update" in drawn
    assert drawn.find(ABANDONED) < drawn.find("apply-failed") or "apply-failed" not in drawn


def test_the_id_of_an_instance_is_before_the_commands_about_it() -> None:
    for run in ("broken", "halted"):
        html = render_report(run_report(events_of(run)), "html")
        for trouble in re.findall(r'<article class="trouble.*?</article>', html, flags=re.DOTALL):
            ids, commands = trouble.find('class="id"'), trouble.find('class="commands"')
            assert ids == -1 or commands == -1 or ids < commands


def test_no_back_ticks_are_left_on_a_page() -> None:
    for events in (killed(), events_of("broken"), events_of("halted"), died("clean")):
        assert "`" not in render_report(run_report(events), "html").partition("<body>")[2]


def test_a_failure_includes_the_command_that_shows_the_hosts_output() -> None:
    lines = [line for t in run_report(events_of("broken")).troubles for c in t.commands for line in c.lines]
    assert any(line.startswith("aws ssm get-command-invocation --command-id ") for line in lines)


def test_a_page_that_lies_alone_names_the_command_that_lists_all_runs() -> None:
    assert "bottlerocket-ecs-updater history --cluster web" in render_report(run_report(killed()), "html")
    beside = render_report(run_report(killed()), "html", index="../index.html")
    assert '<a href="../index.html">All runs</a>' in beside
