"""Metrics are lines that CloudWatch accepts, with the numbers of the run, under the names in one table."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.hostile import hostile_run
from tests.report.runs import RUN, died, events_of
from tests.report.samples import NEW, OLD, START, STARTED, finished, name
from tests.report.samples import RUN as SAMPLE_RUN
from tests.report.strategies import ANY_EVENT

from bottlerocket_ecs_updater.core.model.event import (
    Claimed,
    ClaimFound,
    Drained,
    Event,
    RunFinished,
    StandingPublished,
)
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Outcome, RunOutcome
from bottlerocket_ecs_updater.core.model.reasons import Reason, hold
from bottlerocket_ecs_updater.report.outputs.metrics import (
    CLUSTER_DIMENSION,
    GAUGES_EVERY,
    METRICS,
    NAMESPACE,
    Metrics,
    emf,
)

DOCS = Path(__file__).parents[3] / "docs" / "operate" / "log.md"

# Source: "Specification: Embedded metric format", its JSON schema; and Unit of PutMetricData's MetricDatum.
UNITS = {"Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "None", "Bytes", "Count/Second"}


def emf_faults(line: dict[str, Any]) -> Iterable[str]:
    """The errors of a line under the published schema."""
    metadata = line.get("_aws")
    if not isinstance(metadata, dict):
        yield "no _aws object"
        return
    if not isinstance(metadata.get("Timestamp"), int) or metadata["Timestamp"] < 0:
        yield "Timestamp is no number of milliseconds"
    directives = metadata.get("CloudWatchMetrics")
    if not isinstance(directives, list) or not directives:
        yield "no CloudWatchMetrics"
        return
    for directive in directives:
        if set(directive) - {"Namespace", "Dimensions", "Metrics"}:
            yield "a directive has other members"
        if not re.fullmatch(r"[A-Za-z0-9._/#:-]{1,255}", directive["Namespace"]):
            yield "Namespace"
        yield from _dimension_faults(line, directive["Dimensions"])
        yield from _metric_faults(line, directive["Metrics"])


def _dimension_faults(line: dict[str, Any], sets: Any) -> Iterable[str]:
    if not isinstance(sets, list) or not sets:
        yield "no dimension sets"
    for keys in sets:
        if len(keys) > 30:
            yield "more than 30 dimensions"
        for key in keys:
            if not isinstance(key, str) or not 1 <= len(key) <= 250:
                yield f"dimension key {key!r}"
            if not isinstance(line.get(key), str) or not 1 <= len(line[key]) <= 1024:
                yield f"dimension value of {key!r}"


def _metric_faults(line: dict[str, Any], metrics: Any) -> Iterable[str]:
    if not isinstance(metrics, list) or not 1 <= len(metrics) <= 100:
        yield "number of metrics"
    for metric in metrics:
        if set(metric) - {"Name", "Unit", "StorageResolution"} or not 1 <= len(metric["Name"]) <= 1024:
            yield f"metric {metric!r}"
        if metric.get("Unit", "None") not in UNITS:
            yield f"unit {metric['Unit']!r}"
        value = line.get(metric["Name"])
        values = value if isinstance(value, list) else [value]
        if not 1 <= len(values) <= 100:
            yield f"number of values of {metric['Name']}"
        if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
            yield f"value of {metric['Name']}"


def metrics_of(events: Iterable[Event]) -> list[dict[str, Any]]:
    stream = io.StringIO()
    metrics = Metrics(stream, run=RUN, cluster="demo")
    for event in events:
        metrics.record(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def values(lines: list[dict[str, Any]], metric: str) -> list[Any]:
    return [line[metric] for line in lines if metric in line]


# The form


@pytest.mark.parametrize("run", ["clean", "broken", "halted", "large"])
def test_every_line_of_a_run_is_valid(run: str) -> None:
    lines = metrics_of(events_of(run))
    assert lines
    assert [fault for line in lines for fault in emf_faults(line)] == []


@given(events=st.lists(ANY_EVENT, max_size=20))
def test_every_line_is_valid_for_any_events(events: list[Event]) -> None:
    assert [fault for line in metrics_of([STARTED, *events]) for fault in emf_faults(line)] == []


def test_hostile_text_reaches_no_metric() -> None:
    text = json.dumps(metrics_of(hostile_run()))
    assert "script" not in text
    assert "evil" not in text


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({}, "no _aws object"),
        ({"Cluster": 7}, "dimension value"),
        ({"RunsFailed": "1"}, "value of RunsFailed"),
        ({"RunsFailed": []}, "number of values"),
        ({"RunsFailed": [1] * 101}, "number of values"),
    ],
)
def test_the_schema_here_finds_what_is_wrong(wrong: dict[str, Any], fault: str) -> None:
    line = emf(START, "demo", {"RunsFailed": 1}) | wrong if wrong else {}
    assert any(fault in one for one in emf_faults(line))


def test_a_line_is_also_a_line_of_the_log() -> None:
    assert {"time", "level", "event", "run", "cluster"} <= metrics_of(events_of("clean"))[0].keys()


# The names


def test_every_metric_of_the_table_is_reported_in_some_run_and_no_other() -> None:
    seen = set()
    progress = StandingPublished(START, "staging", None, None, timedelta(days=2), timedelta(hours=3), "")
    for run in ("clean", "broken", "halted"):
        for line in metrics_of([progress, *events_of(run)]):
            for directive in line["_aws"]["CloudWatchMetrics"]:
                assert directive["Namespace"] == NAMESPACE
                seen |= {metric["Name"] for metric in directive["Metrics"]}
    # An instance is in phase returning only if the reply to its return was lost and a look must show the result.
    assert seen | {"SecondsReturning"} == {metric.name for metric in METRICS}


def test_the_table_of_the_documentation_is_that_of_the_program() -> None:
    rows = re.findall(
        r"^\| `([A-Z]\w+)` \| (\w+) \| Cluster(?:, (\w+))? \| (.+) \|$", DOCS.read_text("utf-8"), re.MULTILINE
    )
    assert rows == [(metric.name, metric.unit, metric.by, metric.meaning) for metric in METRICS]


# The numbers


def test_a_run_that_went_well_says_so_and_that_it_did_not_fail() -> None:
    lines = metrics_of(events_of("clean"))
    assert (values(lines, "RunsSucceeded"), values(lines, "RunsFailed"), values(lines, "RunsHalted")) == ([1], [0], [0])
    assert values(lines, "InstancesUpdated") == [6]


def test_a_halted_run_failed_and_was_no_success() -> None:
    lines = metrics_of(events_of("halted"))
    assert (values(lines, "RunsSucceeded"), values(lines, "RunsFailed"), values(lines, "RunsHalted")) == ([0], [1], [1])
    assert values(lines, "LastSuccessTime") == []


def test_the_last_success_is_reported_in_seconds_since_1970() -> None:
    end = events_of("clean")[-1].at
    assert values(metrics_of(events_of("clean")), "LastSuccessTime") == [end.timestamp()]


def test_quarantined_instances_are_counted_at_the_end() -> None:
    assert values(metrics_of(events_of("broken")), "InstancesQuarantined")[-1] == 4


def test_a_run_that_left_for_another_writes_no_metrics() -> None:
    assert metrics_of([RunFinished(START, SAMPLE_RUN, RunOutcome.LEFT, 0, {}, timedelta(), "", {}, {})]) == []


def test_each_instance_is_one_value_of_a_duration() -> None:
    lines = metrics_of(events_of("large"))
    out = [value for values_ in values(lines, "SecondsOutOfService") for value in values_]
    assert len(out) == 300
    assert all(60 < value < 300 for value in out)


def test_throttles_are_reported_at_the_end() -> None:
    *before, end = events_of("clean")
    assert isinstance(end, RunFinished)
    assert values(metrics_of([*before, replace(end, throttles=7)]), "ApiThrottles") == [7]


def test_held_instances_are_distinguished_by_reason_within_a_bound() -> None:
    outcomes: dict[InstanceId, Outcome] = {
        name(n): hold(reason, **dict.fromkeys(_facts(reason), "x")) for n, reason in enumerate(Reason)
    }
    lines = [line for line in metrics_of([STARTED, finished(outcomes)]) if "InstancesHeldByReason" in line]
    assert len(lines) == 16
    assert lines[-1]["Reason"] == "other"
    assert sum(line["InstancesHeldByReason"] for line in lines) == len(Reason) - 1


def _facts(reason: Reason) -> list[str]:
    return re.findall(r"\{(\w+)\}", reason.value.sentence + reason.value.remedy)


# While it runs


def stuck(minutes: float) -> list[dict[str, Any]]:
    stream = io.StringIO()
    metrics = Metrics(stream, run=RUN, cluster="demo")
    for event in (STARTED, Claimed(START, name(1), OLD, NEW, downgrade=False), Drained(START, name(1))):
        metrics.record(event)
    for second in range(0, int(minutes * 60), 5):
        metrics.tick(START + timedelta(seconds=second))
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_run_that_is_stuck_says_for_how_long_though_nothing_happens() -> None:
    assert values(stuck(90), "SecondsSinceProgress")[-1] > 3600


def test_gauges_are_reported_once_a_minute() -> None:
    assert len(stuck(10)) == 10
    assert timedelta(minutes=1) == GAUGES_EVERY


def test_a_run_with_nothing_in_progress_has_no_gauges() -> None:
    stream = io.StringIO()
    metrics = Metrics(stream, run=RUN, cluster="demo")
    metrics.record(STARTED)
    metrics.tick(START + timedelta(hours=2))
    assert stream.getvalue() == ""


def test_an_instance_that_waits_for_a_person_makes_no_run_stuck() -> None:
    found = ClaimFound(START, name(1), "quarantined", SAMPLE_RUN, START - timedelta(days=1))
    assert metrics_of([STARTED, found]) == []


def test_a_run_that_died_has_already_sent_its_gauges() -> None:
    assert values(metrics_of(died("clean")), "InstancesInProgress") == [1]


def test_the_cluster_is_the_only_dimension_of_what_alarms_watch() -> None:
    for line in metrics_of(events_of("halted")):
        if "RunsHalted" in line or "SecondsSinceProgress" in line:
            assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[CLUSTER_DIMENSION]]
