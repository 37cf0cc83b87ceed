"""The documentation of the log is right: events, their fields, and the results of the queries on real lines."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.report.insights import FIELDS_MAX, Refused, Row, ask, discovered
from tests.report.runs import died, events_of
from tests.report.samples import name, started_as
from tests.support.scenarios import thirteen_broken
from tests.support.simulated import Updater

from bottlerocket_ecs_updater.core.model import event as e
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import Outcome, OutcomeKind, RunOutcome, kind_of
from bottlerocket_ecs_updater.core.model.reasons import Failure, failed
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.report.outputs.log import JsonLog
from bottlerocket_ecs_updater.report.outputs.metrics import Metrics
from bottlerocket_ecs_updater.report.record.codec import EVENTS
from bottlerocket_ecs_updater.report.words.severity import Level
from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.world.findings import UpdaterLimits

E = TypeVar("E", bound=e.Event)

PAGE = (Path(__file__).parents[3] / "docs" / "operate" / "log.md").read_text("utf-8")
QUERIES: dict[str, str] = dict(
    re.findall(r"^([A-Z][^\n]*\?)\n\n(?:[^`]+?\n\n)?```\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
)
"""Each query of the page, by its question."""

ROWS = {
    row[0]: set(re.findall(r"`(\w+)`", row[1]))
    for row in re.findall(r"^\| `([\w.]+)` \| [^|]+ \| [^|]+ \| ([^|]*) \|$", PAGE, re.MULTILINE)
    if "." in row[0]
}
EXAMPLE = "i-0123456789abcdef0"
"""The instance that the page's query names."""

FIRST, SECOND, LEFT, DEAD = map(
    RunId, ("20260105-0901-aaaa", "20260106-0901-bbbb", "20260107-0901-cccc", "20260108-0901-dddd")
)
HOLDER = "arn:aws:ecs:eu-central-1:123456789012:task/web/42"


@cache
def runs() -> dict[RunId, tuple[e.Event, ...]]:
    """Four nights of one cluster: a run with failures, one that finds their results, one that exits early, one that
    dies.
    """
    world = thirteen_broken(6).build(VirtualClock(), budget=UpdaterLimits(8))
    world.clock.sleep(timedelta(minutes=1))
    runs: dict[RunId, tuple[e.Event, ...]] = {}
    for run in (FIRST, SECOND):
        began = world.clock.now()
        policy = Policy(max_unavailable=Limit(number=8), max_failures=20, suspect_after=20)
        updater = Updater(world, policy=policy, name=run)
        updater.run()
        *before, end = updater.tape.events
        assert isinstance(end, e.RunFinished)
        runs[run] = (e.LeaseTaken(began, 1, ""), *before, replace(end, throttles=7) if run == FIRST else end)
        world.clock.sleep(began + timedelta(days=1) - world.clock.now())
    now = world.clock.now()
    end = e.RunFinished(now, LEFT, RunOutcome.LEFT, 0, {}, timedelta(), "another run acts", {}, {})
    runs[LEFT] = (e.LeaseRefused(now, HOLDER, now - timedelta(minutes=5)), end)
    late = now + timedelta(days=1) - events_of("clean")[0].at
    runs[DEAD] = tuple(started_as(DEAD, [replace(event, at=event.at + late) for event in died("clean")]))
    return runs


@cache
def lines() -> tuple[str, ...]:
    """Every line of these runs in one log group, at the lowest level, with metrics."""
    stream = io.StringIO()
    for run, events in runs().items():
        log = JsonLog(stream, run=run, cluster="demo", level=Level.DEBUG)
        metrics = Metrics(stream, run=run, cluster="demo")
        for event in events:
            for reader in (log, metrics):
                reader.record(event)
    return tuple(stream.getvalue().splitlines())


def recorded(kind: type[E], *of: RunId) -> list[tuple[RunId, E]]:
    """The events of one kind, each with its run."""
    return [(run, event) for run in of or runs() for event in runs()[run] if isinstance(event, kind)]


def answer(question: str, instance: str = EXAMPLE) -> list[Row]:
    return ask(QUERIES[question].replace(EXAMPLE, instance), lines())


# The events


def test_every_event_is_documented_and_no_other() -> None:
    assert set(ROWS) == set(EVENTS)


def test_the_fields_of_events_that_happened_are_those_that_are_documented() -> None:
    always = {"time", "level", "event", "run", "cluster", "instance"}
    for line in map(json.loads, lines()):
        if line["event"] not in ("run.finished", "metrics"):
            filled = {name for name, value in line.items() if value is not None}
            assert filled - always <= ROWS[line["event"]], line


def test_a_line_belongs_to_the_run_that_writes_it_even_if_it_is_about_another() -> None:
    found = [line for line in map(json.loads, lines()) if line["event"] == "claim.found"]
    assert {(line["run"], line["of_run"]) for line in found} == {(SECOND, FIRST)}


def test_every_line_has_what_the_page_says_every_line_has() -> None:
    for line in map(json.loads, lines()):
        assert {"time", "level", "event", "run", "cluster"} <= line.keys()


# The queries


def test_the_last_runs_are_listed_newest_first_with_their_ends() -> None:
    found = answer("How did the last runs end?")
    assert [(row["run"], row["outcome"]) for row in found] == [
        (LEFT, "left"),
        (SECOND, "failures"),
        (FIRST, "failures"),
    ]
    end = recorded(e.RunFinished, FIRST)[0][1]
    assert (found[-1]["updated"], found[-1]["quarantined"]) == (end.counts["updated"], end.counts["quarantined"])
    assert found[-1]["duration_seconds"] == end.took.total_seconds()


def test_the_query_counts_updates_by_run_and_version() -> None:
    expected = Counter((run, str(event.source), str(event.target)) for run, event in recorded(e.InstanceUpdated))
    found = answer("What was updated in the last runs?")
    assert {(row["run"], row["source"], row["target"]): row["instances"] for row in found} == expected
    assert expected


def test_a_failure_includes_the_hosts_own_message() -> None:
    found = answer("What failed, and what did the host say?")
    expected = recorded(e.InstanceFailed) + recorded(e.InstanceQuarantined)
    assert len(found) == len(expected)
    for run, event in expected:
        key = (run, event.instance, event.name)
        (row,) = [row for row in found if (row["run"], row["instance"], row["event"]) == key]
        assert row["failure"] == event.failure.failure.code
        assert row["facts.detail"] == dict(event.failure.facts).get("detail")
    assert any("No space left on device" in (row["facts.detail"] or "") for row in found)


def test_the_query_for_broken_instances_finds_quarantined_ones_that_were_not_returned() -> None:
    found = answer("What is broken now, and since when?")
    quarantined = {event.instance: event.at for _, event in recorded(e.InstanceQuarantined, FIRST)}
    (returned,) = quarantined.keys() & {event.instance for _, event in recorded(e.Returned, SECOND)}
    assert len(quarantined) == 4
    assert {row["instance"]: row["broken_since"] for row in found} == {
        id_: at for id_, at in quarantined.items() if id_ != returned
    }
    assert {row["last_run"] for row in found} == {SECOND}


def test_every_instance_that_was_held_or_failed_says_why() -> None:
    question = "Why was this instance not updated?"
    for run, event in recorded(e.InstanceHeld):
        rows = [row for row in answer(question, event.instance) if row["run"] == run]
        assert event.hold.reason.code in {row["hold"] for row in rows}
    for run, failed_ in recorded(e.InstanceFailed):
        rows = [row for row in answer(question, failed_.instance) if row["run"] == run]
        assert failed_.failure.failure.code in {row["failure"] for row in rows}
    assert answer(question) == []


def test_the_reasons_of_holds_are_those_of_the_last_run_that_ended() -> None:
    (last,) = [event for _, event in recorded(e.RunFinished, SECOND)]
    held: list[Outcome] = [outcome for outcome in last.outcomes.values() if kind_of(outcome) is OutcomeKind.HELD]
    expected = Counter(getattr(outcome, "reason").code for outcome in held)  # noqa: B009 - recorded by its kind
    found = {row["Reason"]: row["instances"] for row in answer("How many instances were held back, for which reasons?")}
    assert expected
    assert expected.items() <= found.items()


def test_each_instance_was_out_of_service_for_as_long_as_its_return_says() -> None:
    expected = {
        (run, event.instance): event.out_of_service.total_seconds()
        for run, event in recorded(e.Returned)
        if event.out_of_service is not None
    }
    found = answer("How long was each instance out of service?")
    assert {(row["run"], row["instance"]): row["seconds"] for row in found if row["seconds"] is not None} == expected
    longest = [row["seconds"] for row in found if row["seconds"] is not None]
    assert longest == sorted(longest, reverse=True)


def test_weeks_are_separate() -> None:
    spans = [event.out_of_service for _, event in recorded(e.Returned) if event.out_of_service is not None]
    found = answer("How long are instances out of service, week by week?")
    assert sum(row["instances"] for row in found) == len(recorded(e.Returned))
    assert max(row["longest"] for row in found) == max(spans).total_seconds()


def test_a_run_that_died_is_the_one_without_an_end() -> None:
    (row,) = answer("Is a run active, or did one die?")
    assert (row["run"], row["began"]) == (DEAD, runs()[DEAD][0].at)
    assert row["last_heard"] == runs()[DEAD][-1].at


def test_a_run_that_exited_names_who_held_the_lease() -> None:
    (row,) = answer("Who held the lease when a run exited?")
    assert (row["run"], row["holder"]) == (LEFT, HOLDER)


def test_throttles_and_calls_are_those_of_each_run() -> None:
    found = {row["run"]: row for row in answer("Did AWS throttle calls, and how many calls of each kind were made?")}
    assert {run: row["throttles"] for run, row in found.items()} == {FIRST: 7, SECOND: 0, LEFT: 0}
    for run, event in recorded(e.RunFinished, FIRST, SECOND):
        assert found[run]["calls.ssm:SendCommand"] == event.calls["ssm:SendCommand"] > 0


def test_calls_that_aws_did_not_answer_are_listed() -> None:
    at = datetime.fromisoformat("2026-01-05T09:00:00+00:00")
    stream = io.StringIO()
    log = JsonLog(stream, run=FIRST, cluster="demo")
    log.record(e.LookPostponed(at, "ThrottlingException", timedelta(seconds=5)))
    log.record(e.ActUnclear(at + timedelta(seconds=1), name(1), "drain", "Read timeout"))
    rows = ask(QUERIES["What did AWS not answer?"], stream.getvalue().splitlines())
    assert [(row["event"], row["why"]) for row in rows] == [
        ("act.unclear", "Read timeout"),
        ("look.postponed", "ThrottlingException"),
    ]


def test_every_query_of_the_page_is_tried_here() -> None:
    tried = Path(__file__).read_text("utf-8")
    assert [question for question in QUERIES if f'"{question}"' not in tried] == []
    assert len(QUERIES) == PAGE.count("```\nf") == 12


def test_the_end_of_a_run_is_found_whole_for_any_number_of_instances() -> None:
    outcomes: dict[InstanceId, Outcome] = {
        name(number): failed(Failure.APPLY_FAILED, detail="full") for number in range(500)
    }
    end = replace(recorded(e.RunFinished, FIRST)[0][1], outcomes=outcomes)
    stream = io.StringIO()
    JsonLog(stream, run=FIRST, cluster="demo").record(end)
    line = json.loads(stream.getvalue())
    found = discovered(line)
    assert {field for field in line if field not in found and not isinstance(line[field], dict | list)} == set()
    assert {f"calls.{operation}" for operation in end.calls} <= found.keys()
    assert len(found) == FIELDS_MAX + 2


def test_the_example_of_an_instance_id_has_the_form_of_one() -> None:
    assert EXAMPLE in PAGE
    assert re.fullmatch(r"i-[0-9a-f]{17}", EXAMPLE)


# The implementation of the query language


@pytest.mark.parametrize(
    "query",
    [
        "fields held_by_reason.too-old",
        "where event = 1",
        "stats median(took_seconds) by run",
        "filter event in 7",
        "fields strlen(run)",
        "limit many",
        "filter event = ",
        "fields run run",
    ],
)
def test_syntax_that_the_language_lacks_is_rejected(query: str) -> None:
    with pytest.raises(Refused):
        ask(query, lines())


def rows_of(*facts: dict[str, Any]) -> Sequence[str]:
    return [json.dumps({"time": f"2026-01-05T09:00:0{n}Z", **fact}) for n, fact in enumerate(facts)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("filter a = 1 or b = 2 and a > 2\n| fields a", [1, 3]),
        ("filter not a in [1, 2]\n| fields a", [3]),
        ("filter ispresent(b)\n| sort a desc\n| fields a", [3, 1]),
        ("filter (a = 1 or a = 2) and a != 2\n| fields a", [1]),
        ("filter c like /^x.z/\n| fields a", [2]),
        ("sort a desc\n| limit 2\n| fields a", [3, 2]),
        ("fields `d.e-f` as a\n| filter ispresent(a)", [7]),
    ],
)
def test_the_language_is_read_as_aws_describes_it(query: str, expected: list[int]) -> None:
    found = ask(query, rows_of({"a": 1, "b": 2}, {"a": 2, "c": "xyz"}, {"a": 3, "b": 2, "d": {"e-f": 7}}))
    assert [row["a"] for row in found] == expected
