"""Metrics in CloudWatch's embedded metric format: log lines that CloudWatch Logs turns into metrics.

So the updater needs no permission for them, and no route to CloudWatch. The dashboard and the alarms of the stack use
only metrics in the table below. Source: "Specification: Embedded metric format" in the CloudWatch user guide.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TextIO

from bottlerocket_ecs_updater.core.model.event import Event, RunFinished, StandingPublished
from bottlerocket_ecs_updater.core.model.outcome import OutcomeKind, RunOutcome
from bottlerocket_ecs_updater.core.model.phase import Phase
from bottlerocket_ecs_updater.core.model.time_text import write_time
from bottlerocket_ecs_updater.report.analysis.progress import Progress
from bottlerocket_ecs_updater.report.analysis.run_report import spent_by_part
from bottlerocket_ecs_updater.report.analysis.summary import Summary, summarize
from bottlerocket_ecs_updater.report.analysis.timeline import Part, Timeline, timeline_of
from bottlerocket_ecs_updater.report.analysis.version_progress import days_behind, first_seen_in, version_progress

NAMESPACE = "BottlerocketEcsUpdater"
CLUSTER_DIMENSION, VERSION_DIMENSION, REASON_DIMENSION = "Cluster", "Version", "Reason"

GAUGES_EVERY = timedelta(seconds=60)
"""The interval of the gauges: the resolution of a metric. CloudWatch would average more frequent values."""

VALUES_MAX = 100
"""The most values of one metric in one line. Source: the specification's target members."""

KINDS_MAX = 15
"""How many versions or reasons get metrics of their own in one run. Each metric costs money."""

OTHER = "other"

Values = Mapping[str, float | list[float]]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name, unit, dimensions besides the cluster, and meaning."""

    name: str
    unit: str
    meaning: str
    by: str = ""


_PHASES = {phase: f"Instances{phase.value.title()}" for phase in Phase}
_PARTS = {part: f"Seconds{part.value.title()}" for part in Part if part is not Part.QUARANTINED}
"""The duration of a quarantine is not known, because it has not ended."""

METRICS: tuple[Metric, ...] = (
    Metric("RunsSucceeded", "Count", "1 if a run succeeded, otherwise 0."),
    Metric("RunsFailed", "Count", "1 if a run had an error, halted, or left an instance failed or out of service."),
    Metric("RunsHalted", "Count", "1 if a run halted."),
    Metric("RunsStuck", "Count", "1 if a run could start no update, for a reason that needs a person."),
    Metric("RunDuration", "Seconds", "How long the run took."),
    Metric("LastSuccessTime", "Seconds", "When a run last succeeded, in seconds since 1970."),
    Metric("LastProgressTime", "Seconds", "When an instance last made progress, in seconds since 1970."),
    Metric("SecondsSinceProgress", "Seconds", "How long no claimed instance has made progress."),
    Metric("InstancesInProgress", "Count", "Instances that are out of service for an update, or settling after one."),
    Metric("InstancesUpdated", "Count", "Instances that the run updated."),
    Metric("InstancesFailed", "Count", "Instances that failed in the run, and are in service."),
    Metric("InstancesHeld", "Count", "Instances that were held back at the end of the run."),
    Metric(
        "DaysBehind", "None", "Days since a newer version was first seen, for the instance that is furthest behind."
    ),
    Metric("InstanceDaysBehind", "None", "Days that each instance was behind at the end of the run; 0 if it was not."),
    Metric("TimeToUpdated", "Seconds", "Time from when a version was first seen until the last instance ran it."),
    Metric("ApiCalls", "Count", "AWS API calls in the run."),
    Metric("ApiThrottles", "Count", "AWS API calls that were throttled."),
    *(Metric(name, "Count", f"Instances in the phase {phase.value}.") for phase, name in _PHASES.items()),
    *(Metric(name, "Seconds", f"How long each instance was {part.value}.") for part, name in _PARTS.items()),
    Metric("SecondsOutOfService", "Seconds", "How long each instance that returned was out of service."),
    Metric("InstancesOnVersion", "Count", "Instances by the version that they run.", VERSION_DIMENSION),
    Metric(
        "TimeToUpdateInstance",
        "Seconds",
        "Time from when a version was first seen until each instance had it.",
        VERSION_DIMENSION,
    ),
    Metric("InstancesHeldByReason", "Count", "Instances that were held back, by reason.", REASON_DIMENSION),
)

_UNITS = {metric.name: metric.unit for metric in METRICS}
_BY = {metric.name: metric.by for metric in METRICS}


class Metrics:
    """Writes metrics to the stream of the log, gauges during updates and everything else at the end."""

    def __init__(self, stream: TextIO, *, run: str, cluster: str) -> None:
        self._stream = stream
        self._run = run
        self._cluster = cluster
        self._past: list[Event] = []
        self._progress = Progress()
        self._gauges_at: datetime | None = None

    def record(self, event: Event) -> None:
        self._past.append(event)
        self._progress.note(event)
        if isinstance(event, StandingPublished):
            self._write(event.at, _of_standing(event))
        elif isinstance(event, RunFinished):
            self._write_end(event.at)
        else:
            self.tick(event.at)

    def tick(self, now: datetime) -> None:
        """Write the gauges if they are due. They show a run that is stuck, because it has no events."""
        due = self._gauges_at is None or now - self._gauges_at >= GAUGES_EVERY
        if due and self._progress.working and not self._progress.finished:
            self._gauges_at = now
            self._write(now, self._gauges(now))

    def _gauges(self, now: datetime) -> dict[str, float | list[float]]:
        progress = self._progress.progress_at or now
        return {
            "InstancesInProgress": len(self._progress.working),
            "SecondsSinceProgress": (now - progress).total_seconds(),
            "LastProgressTime": progress.timestamp(),
            **{_PHASES[phase]: count for phase, count in self._progress.by_phase.items()},
        }

    def _write_end(self, now: datetime) -> None:
        summary = summarize(self._past)
        if summary.outcome is RunOutcome.LEFT:
            return
        self._write(now, self._end(now, summary))
        timeline = timeline_of(self._past)
        if timeline is not None:
            self._write_all(now, _spans(timeline))
        self._write_lag(now)
        versions = Counter(str(version) for version in self._progress.versions.values())
        for version, count in _largest(versions):
            self._write(now, {"InstancesOnVersion": count}, VERSION_DIMENSION, version)
        reasons = Counter(row.code for row in summary.rows if row.became is OutcomeKind.HELD)
        for reason, count in _largest(reasons):
            self._write(now, {"InstancesHeldByReason": count}, REASON_DIMENSION, reason)

    def _write_lag(self, now: datetime) -> None:
        """How far each instance is behind, and how long updates took since their version was first seen."""
        if not first_seen_in(self._past):
            return
        late = days_behind(self._past)
        self._write_all(now, {"InstanceDaysBehind": [float(late.get(id_, 0)) for id_ in self._progress.versions]})
        for one in version_progress(self._past)[:KINDS_MAX]:
            took = {"TimeToUpdateInstance": [each.total_seconds() for each in one.took]}
            self._write_all(now, took, VERSION_DIMENSION, str(one.version))

    def _end(self, now: datetime, summary: Summary) -> Values:
        counts = summary.counts
        well = summary.outcome is RunOutcome.OK
        phases = dict(self._progress.by_phase) | {Phase.QUARANTINED: counts[OutcomeKind.QUARANTINED]}
        return {
            "RunsSucceeded": int(well),
            "RunsFailed": int(bool(summary.exit_code)),
            "RunsHalted": int(summary.halted),
            "RunsStuck": int(summary.outcome is RunOutcome.STUCK),
            "RunDuration": summary.took.total_seconds(),
            "InstancesUpdated": counts[OutcomeKind.UPDATED],
            "InstancesFailed": counts[OutcomeKind.FAILED],
            "InstancesHeld": counts[OutcomeKind.HELD],
            "ApiCalls": sum(summary.calls.values()),
            "ApiThrottles": summary.throttles,
            **({"LastSuccessTime": now.timestamp()} if well else {}),
            **{_PHASES[phase]: count for phase, count in phases.items()},
        }

    def _write_all(
        self, now: datetime, spans: Mapping[str, Sequence[float]], dimension: str = "", about: str = ""
    ) -> None:
        """Write lists of values, split into lines of the allowed length."""
        for start in range(0, max(map(len, spans.values()), default=0), VALUES_MAX):
            chunk = {name: list(values[start : start + VALUES_MAX]) for name, values in spans.items()}
            self._write(now, {name: values for name, values in chunk.items() if values}, dimension, about)

    def _write(self, now: datetime, values: Values, dimension: str = "", value: str = "") -> None:
        about = {
            "time": write_time(now),
            "level": "info",
            "event": "metrics",
            "run": self._run,
            "cluster": self._cluster,
        }
        line = about | emf(now, self._cluster, values, dimension, value)
        self._stream.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._stream.flush()


def emf(now: datetime, cluster: str, values: Values, dimension: str = "", value: str = "") -> dict[str, object]:
    """One line of metrics with the same dimensions."""
    dimensions = {CLUSTER_DIMENSION: cluster} | ({dimension: value} if dimension else {})
    assert all(_BY[name] == dimension for name in values), "a metric has the dimensions that its table gives"
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": _UNITS[name]} for name in values],
    }
    metadata = {"Timestamp": round(now.timestamp() * 1000), "CloudWatchMetrics": [directive]}
    return {"_aws": metadata, **dimensions, **values}


def _of_standing(event: StandingPublished) -> Values:
    days = event.behind / timedelta(days=1) if event.behind is not None else 0.0
    within = {} if event.updated_within is None else {"TimeToUpdated": event.updated_within.total_seconds()}
    return {"DaysBehind": days, **within}


def _spans(timeline: Timeline) -> dict[str, list[float]]:
    spent = spent_by_part(timeline)
    spans = {_PARTS[part]: [one.total_seconds() for one in lasted] for part, lasted in spent.items() if part in _PARTS}
    back = [lane for lane in timeline.lanes.values() if lane.worked_on and lane.out_since is None]
    out = [lane.out_of_service.total_seconds() for lane in back]
    return spans | ({"SecondsOutOfService": out} if out else {})


def _largest(counts: Counter[str]) -> Iterator[tuple[str, int]]:
    """The most frequent keys, and the others combined."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    yield from ordered[:KINDS_MAX]
    if len(ordered) > KINDS_MAX:
        yield OTHER, sum(count for _, count in ordered[KINDS_MAX:])
