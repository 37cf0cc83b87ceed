"""The report of one run as a value.

Page, JSON and Markdown all render it. What is broken comes first, with since when and what to do, because a person on
call reads the top.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from statistics import median

from bottlerocket_ecs_updater.core.model.event import Event, RuleOff, VersionSeen
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import OutcomeKind, UpToDate
from bottlerocket_ecs_updater.core.model.unchecked import unchecked
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.report.analysis.ending import Ending, ending_of
from bottlerocket_ecs_updater.report.analysis.headline import headline_of
from bottlerocket_ecs_updater.report.analysis.suggested_commands import (
    Reach,
)
from bottlerocket_ecs_updater.report.analysis.summary import Row, Summary, summarize
from bottlerocket_ecs_updater.report.analysis.timeline import Lane, Part, Timeline, timeline_of
from bottlerocket_ecs_updater.report.analysis.troubles import (
    Group,
    Trouble,
    grouped_rows,
    troubles,
    with_commands,
)
from bottlerocket_ecs_updater.report.analysis.version_progress import VersionProgress, days_behind, version_progress


@dataclass(frozen=True, slots=True)
class Move:
    """How many instances ran a version before the run, and after it."""

    version: Version
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run."""

    summary: Summary
    timeline: Timeline | None
    ending: Ending
    headline: str
    troubles: tuple[Trouble, ...]
    holds: tuple[Group, ...]
    failures: tuple[Group, ...]
    moves: tuple[Move, ...]
    events: tuple[Event, ...]
    reach: Reach
    """The flags with which commands find the cluster."""
    unreadable: tuple[str, ...] = ()
    """Lines of the record that could not be read."""
    acts: tuple[AuditEntry, ...] = ()
    """The acts of people from a day before the run until its end, oldest first."""
    versions: tuple[VersionProgress, ...] = ()
    """How far the cluster is with each version, newest first; empty in older records."""
    days_behind: Mapping[InstanceId, int] = field(default_factory=dict)
    """Whole days that each instance was behind at the end; those that were not are left out."""

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What the run did not check, because AWS did not allow or offer a call, each once."""
        off = {event.rule: event.why for event in self.events if isinstance(event, RuleOff)}
        return tuple(unchecked(rule, why) for rule, why in off.items())

    @property
    def knows_first_seen(self) -> bool:
        """Whether the record says when versions were first seen."""
        return any(isinstance(event, VersionSeen) for event in self.events)

    def lane(self, row: Row) -> Lane | None:
        """The timeline of an instance."""
        return self.timeline.lanes.get(row.instance) if self.timeline is not None else None

    @property
    def most_out_at_once(self) -> int:
        """The most instances that the run had out of service at once."""
        return max((count for _, count in self.timeline.out_at_once()), default=0) if self.timeline else 0

    @property
    def out_of_service(self) -> tuple[timedelta, ...]:
        """How long each instance that came back was out of service, shortest first."""
        lanes = self.timeline.lanes.values() if self.timeline is not None else ()
        return tuple(sorted(lane.out_of_service for lane in lanes if lane.worked_on and lane.out_since is None))

    @property
    def moved(self) -> int | None:
        """How many service tasks the drains moved; None if that is not recorded."""
        lanes = self.timeline.lanes.values() if self.timeline is not None else ()
        moved = [lane.moved for lane in lanes if lane.moved is not None]
        return sum(moved) if moved else None

    @property
    def median_out_of_service(self) -> timedelta | None:
        """The median of these; None if no instance came back."""
        spans = self.out_of_service
        return timedelta(seconds=median(one.total_seconds() for one in spans)) if spans else None


def run_report(
    events: Sequence[Event],
    unreadable: Sequence[str] = (),
    *,
    cluster: str = "",
    reach: Reach | None = None,
    acts: Sequence[AuditEntry] = (),
) -> RunReport:
    """Make the report of a run.

    `cluster` is used if the run ended before it recorded its cluster. `reach` says how suggested commands find the
    cluster; without it they only name it. `acts` are the acts of people around the run.
    """
    summary, timeline = summarize(events), timeline_of(events)
    summary = summary if summary.cluster else replace(summary, cluster=cluster or (reach.cluster if reach else ""))
    reach = reach or Reach(summary.cluster)
    ending = ending_of(summary, timeline, events)
    found = tuple(troubles(summary, timeline, ending, events, reach))
    return RunReport(
        summary,
        timeline,
        ending,
        headline_of(summary, ending, events),
        found,
        tuple(with_commands(group, reach) for group in grouped_rows(summary.rows, {OutcomeKind.HELD})),
        tuple(grouped_rows(summary.rows, {OutcomeKind.QUARANTINED, OutcomeKind.FAILED})),
        _moves(summary, timeline),
        tuple(events),
        reach,
        tuple(unreadable),
        tuple(acts),
        version_progress(events),
        days_behind(events) if events else {},
    )


def _moves(summary: Summary, timeline: Timeline | None) -> tuple[Move, ...]:
    before: Counter[Version] = Counter()
    after: Counter[Version] = Counter()
    for row in summary.rows:
        lane = timeline.lanes.get(row.instance) if timeline is not None else None
        known = row.outcome.version if isinstance(row.outcome, UpToDate) else None
        updated = row.versions if len(row.versions) == 2 else ()
        first = (lane.before if lane else None) or (updated[0] if updated else known)
        last = updated[1] if updated else (lane.after if lane else None) or known
        before.update([first] if first is not None else [])
        after.update([last] if last is not None else [])
    return tuple(Move(version, before[version], after[version]) for version in sorted(before.keys() | after.keys()))


def spent_by_part(timeline: Timeline) -> dict[Part, list[timedelta]]:
    """The durations of each part of an instance's life, in the order of that life."""
    spans: dict[Part, list[timedelta]] = {part: [] for part in Part}
    for lane in timeline.lanes.values():
        for stretch in lane.stretches:
            spans[stretch.part].append(stretch.lasted)
    return {part: lasted for part, lasted in spans.items() if lasted}
