"""The report of one run as a value.

Page, JSON and Markdown all render it. What is broken comes first, with since when and what to do, because a person on
call reads the top.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from statistics import median

from bottlerocket_ecs_updater.core.model.event import CommandSent, Event, LeaseRefused, RunHalted, VersionSeen
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import OutcomeKind, RunOutcome, UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Failure, Hold
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.time_text import measured_text
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.model.wording import counted
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.report.analysis.suggested_commands import (
    Reach,
    SuggestedCommands,
    for_failure,
    for_halt,
    for_hold,
    for_invocation,
    for_open,
    for_quarantine,
)
from bottlerocket_ecs_updater.report.analysis.summary import Row, Summary, summarize
from bottlerocket_ecs_updater.report.analysis.timeline import Lane, Part, Timeline, timeline_of
from bottlerocket_ecs_updater.report.analysis.version_progress import VersionProgress, days_behind, version_progress
from bottlerocket_ecs_updater.report.words.severity import wants_a_person

ALIKE_MAX = 3
"""How many different sentences for one reason are shown. Beyond that, one stands for all."""

WHY_IN_HEADLINE_MAX_CHARACTERS = 120
"""Characters of the reason why a run could not begin that are shown in the headline. The whole reason is below it."""


class Ending(Enum):
    """How a run ended."""

    WELL = "all well"
    NOTHING = "nothing to do"
    HELD = "held back"
    FAILURES = "failures"
    STUCK = "no update could start"
    HALTED = "halted"
    STOPPED = "stopped"
    STOPPED_AFTER_FAILURES = "stopped, after failures"
    CUT_SHORT = "stopped in the middle of an update"
    ERROR = "could not continue"
    DIED = "no end recorded"
    LEFT = "left to another run"

    @property
    def bad(self) -> bool:
        """Whether a person should look at it."""
        return self in _BAD


_BAD = frozenset(
    {
        Ending.FAILURES,
        Ending.STUCK,
        Ending.HALTED,
        Ending.ERROR,
        Ending.DIED,
        Ending.STOPPED_AFTER_FAILURES,
        Ending.CUT_SHORT,
    }
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that a person must look at: what, since when, why, and what to do."""

    what: str
    since: datetime | None
    why: str
    to_do: str
    lanes: tuple[Lane, ...] = ()
    """The instances that it is about; empty if it is about the run."""
    said: tuple[tuple[str, str], ...] = ()
    """What the hosts said, by instance, if it differs between them."""
    commands: tuple[SuggestedCommands, ...] = ()
    out_of_service: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Instances with the same outcome for the same reason."""

    became: OutcomeKind
    code: str
    why: str
    to_do: str
    rows: tuple[Row, ...]
    alike: bool
    """Whether `why` applies to all of them, not only to the first."""
    commands: tuple[SuggestedCommands, ...] = ()

    @property
    def wants_a_person(self) -> bool:
        """Whether it lasts until a person acts."""
        return any(isinstance(row.outcome, Hold) and wants_a_person(row.outcome) for row in self.rows)


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
    ending = _ending(summary, timeline, events)
    troubles = tuple(_troubles(summary, timeline, ending, events, reach))
    return RunReport(
        summary,
        timeline,
        ending,
        _headline(summary, ending, events),
        troubles,
        tuple(_with_commands(group, reach) for group in _groups(summary.rows, {OutcomeKind.HELD})),
        tuple(_groups(summary.rows, {OutcomeKind.QUARANTINED, OutcomeKind.FAILED})),
        _moves(summary, timeline),
        tuple(events),
        reach,
        tuple(unreadable),
        tuple(acts),
        version_progress(events),
        days_behind(events) if events else {},
    )


def _ending(summary: Summary, timeline: Timeline | None, events: Sequence[Event]) -> Ending:
    match summary.outcome:
        case RunOutcome.HALTED:
            return Ending.HALTED
        case RunOutcome.FAILURES:
            return Ending.FAILURES
        case RunOutcome.STUCK:
            return Ending.STUCK
        case RunOutcome.INTERRUPTED:
            return _stopped(summary, timeline)
        case RunOutcome.ERROR:
            return Ending.ERROR
        case RunOutcome.OK:
            if summary.counts[OutcomeKind.UPDATED]:
                return Ending.WELL
            return Ending.HELD if summary.counts[OutcomeKind.HELD] else Ending.NOTHING
        case RunOutcome.LEFT:
            return Ending.LEFT
        case RunOutcome.UNFINISHED:
            return Ending.LEFT if any(isinstance(event, LeaseRefused) for event in events) else Ending.DIED


def _stopped(summary: Summary, timeline: Timeline | None) -> Ending:
    """How a run that was stopped left the cluster."""
    counts = summary.counts
    failed = bool(counts[OutcomeKind.FAILED] or counts[OutcomeKind.QUARANTINED])
    if (timeline is not None and list(_open_lanes(summary, timeline.lanes))) or (summary.exit_code and not failed):
        return Ending.CUT_SHORT
    return Ending.STOPPED_AFTER_FAILURES if failed else Ending.STOPPED


# The headline


def _nothing_updated(summary: Summary, ours: int) -> str:
    """What held all instances, if it does not pass by itself."""
    if summary.outcome is RunOutcome.STUCK:
        return summary.why[:1].upper() + summary.why[1:WHY_IN_HEADLINE_MAX_CHARACTERS]
    return f"Nothing was updated: {summary.counts[OutcomeKind.HELD]} of {counted(ours, 'instance')} held back"


def _headline(summary: Summary, ending: Ending, events: Sequence[Event]) -> str:
    counts = summary.counts
    ours = len(summary.rows) - counts[OutcomeKind.NOT_BOTTLEROCKET]
    updated = f"{counts[OutcomeKind.UPDATED]} of {counted(ours, 'instance')} updated{_to_which(summary)}"
    trouble = _trouble_in_words(counts[OutcomeKind.QUARANTINED], counts[OutcomeKind.FAILED])
    match ending:
        case Ending.WELL if counts[OutcomeKind.UPDATED] == ours:
            every = "The one instance" if ours == 1 else f"All {ours} instances"
            return f"{every} updated{_to_which(summary)}, in {measured_text(summary.took)}"
        case Ending.WELL:
            return f"{updated}, nothing failed, in {measured_text(summary.took)}"
        case Ending.HELD | Ending.STUCK:
            return _nothing_updated(summary, ours)
        case Ending.NOTHING:
            return (
                f"Nothing to do: {counted(ours, 'instance')}, all up to date"
                if ours
                else "No Bottlerocket instances found"
            )
        case Ending.HALTED:
            return f"Halted: {trouble or 'a person must look'}; {updated}"
        case Ending.FAILURES:
            return f"{trouble or 'An instance is out of service'}; {updated}"
        case Ending.STOPPED | Ending.STOPPED_AFTER_FAILURES | Ending.CUT_SHORT:
            where = " in the middle of an update" if ending is Ending.CUT_SHORT else ""
            stopped = f"Stopped{_by_what(summary)} after {measured_text(summary.took)}{where}"
            return f"{stopped}: {updated}" + (f"; {trouble}" if trouble else "")
        case Ending.ERROR if not summary.rows:
            why = textwrap.shorten(summary.why, WHY_IN_HEADLINE_MAX_CHARACTERS, placeholder=" …")
            return f"The run could not start: {why}"
        case Ending.ERROR:
            return f"The run could not continue: {updated}" + (f"; {trouble}" if trouble else "")
        case Ending.DIED:
            return f"The record of this run ends after {measured_text(summary.took)}, before the run's end: {updated}"
        case Ending.LEFT:
            holder = next((event.holder for event in events if isinstance(event, LeaseRefused)), "it did not say which")
            return f"Exited at once: another run holds the lease ({holder})"


def _by_what(summary: Summary) -> str:
    """The signal that stopped the run, if it is recorded."""
    signal = re.match(r"SIG[A-Z]+\b", summary.why)
    return f" by {signal[0]}" if signal else ""


def _trouble_in_words(quarantined: int, failed: int) -> str:
    if not quarantined:
        return f"{counted(failed, 'instance')} failed" if failed else ""
    out = f"{counted(quarantined, 'instance is', 'instances are')} out of service"
    return f"{out}, {failed} failed" if failed else out


def _to_which(summary: Summary) -> str:
    targets = {row.versions[1] for row in summary.rows if row.became is OutcomeKind.UPDATED}
    return f" to {next(iter(targets))}" if len(targets) == 1 else ""


# What a person must look at


def _troubles(
    summary: Summary, timeline: Timeline | None, ending: Ending, events: Sequence[Event], reach: Reach
) -> Iterable[Trouble]:
    lanes = timeline.lanes if timeline is not None else {}
    if ending is Ending.HALTED:
        since = next((event.at for event in events if isinstance(event, RunHalted)), summary.ended)
        to_type = for_halt(reach)
        yield Trouble("The run halted: no more updates start", since, summary.why, _HALT_TO_DO, commands=to_type)
    if ending is Ending.ERROR:
        yield Trouble("The run could not continue", summary.ended, summary.why, _ERROR_TO_DO)
    if ending is Ending.DIED:
        yield Trouble(
            "The run ended without recording why",
            summary.ended,
            _DIED_WHY,
            _DIED_TO_DO,
            commands=for_open(reach),
        )
    for group in _groups(summary.rows, {OutcomeKind.QUARANTINED}, alike_max=0):
        yield _quarantine(group, lanes, reach)
    yield from _left_open(summary, lanes)
    for group in _groups(summary.rows, {OutcomeKind.FAILED}, alike_max=0):
        yield _failure(group, lanes, reach)


_HALT_TO_DO = (
    "Look at the instances below. The next run knows of these failures. To stop every run from starting updates until "
    "you have looked, `pause`, or disable the schedule."
)
_ERROR_TO_DO = "Correct the error. The next run finishes the claimed instances first."
_DIED_WHY = "Its task was stopped, its machine failed, or it is still running: the record has no end."
_DIED_TO_DO = (
    "Check in ECS why its task stopped. The next run finishes the updates in progress; nothing else is needed."
)
_OPEN_TO_DO = "Start a run if none is due soon: it finishes these updates first."


def _quarantine(group: Group, lanes: Mapping[InstanceId, Lane], reach: Reach) -> Trouble:
    them = [lanes[row.instance] for row in group.rows if row.instance in lanes]
    since = min((lane.out_since for lane in them if lane.out_since is not None), default=None)
    what = f"{counted(len(group.rows), 'instance is', 'instances are')} out of service, in quarantine"
    ids = [row.instance for row in group.rows]
    commands = (*_what_it_said(them, reach), *for_quarantine(group.code, ids, reach))
    return Trouble(what, since, group.why, group.to_do, tuple(them), _said(group), commands, out_of_service=True)


def _failure(group: Group, lanes: Mapping[InstanceId, Lane], reach: Reach) -> Trouble:
    them = [lanes[row.instance] for row in group.rows if row.instance in lanes]
    serve = "it is in service" if len(group.rows) == 1 else "they are in service"
    return Trouble(
        f"{counted(len(group.rows), 'instance')} {_DID.get(group.code, 'failed')}; {serve}",
        min((at for lane in them if (at := _failed_at(lane)) is not None), default=None),
        group.why,
        group.to_do,
        tuple(them),
        _said(group),
        (*_what_it_said(them, reach), *for_failure(group.code, [row.instance for row in group.rows], reach)),
    )


def _what_it_said(lanes: Sequence[Lane], reach: Reach) -> Iterable[SuggestedCommands]:
    """The command that shows what the last document said on the first of these instances."""
    for lane in lanes:
        sent = [event for event in lane.events if isinstance(event, CommandSent) and event.command]
        # The output of an apply, a reboot or a hook document explains more than the check after it.
        sent = [event for event in sent if event.kind is not DocumentKind.CHECK] or sent
        if sent:
            return for_invocation(sent[-1].kind.value, sent[-1].command, lane.instance, reach)
    return ()


_DID: Mapping[str, str] = {
    Failure.APPLY_FAILED.code: "could not stage the update",
    Failure.ROLLED_BACK.code: "fell back to the old version",
    Failure.WRONG_VERSION.code: "came back on another version",
    Failure.NOT_BACK.code: "did not come back in time",
    Failure.NEVER_REBOOTED.code: "did not reboot",
    Failure.REBOOT_REFUSED.code: "refused to reboot",
}


def _failed_at(lane: Lane) -> datetime | None:
    return next((event.at for event in lane.events if event.name == "instance.failed"), None)


def _left_open(summary: Summary, lanes: Mapping[InstanceId, Lane]) -> Iterable[Trouble]:
    """Instances that are out of service because the run ended before it finished them."""
    left = list(_open_lanes(summary, lanes))
    if left:
        yield Trouble(
            f"{counted(len(left), 'instance is', 'instances are')} out of service, in the middle of an update",
            min(lane.out_since for lane in left if lane.out_since is not None),
            _ended_before(summary),
            _OPEN_TO_DO,
            tuple(left),
            tuple((lane.instance, f"last seen {lane.part.value}") for lane in left if lane.part is not None),
            out_of_service=True,
        )


def _open_lanes(summary: Summary, lanes: Mapping[InstanceId, Lane]) -> Iterable[Lane]:
    """Instances that are out of service and not quarantined."""
    quarantined = {row.instance for row in summary.rows if row.became is OutcomeKind.QUARANTINED}
    return (lane for lane in lanes.values() if lane.out_since is not None and lane.instance not in quarantined)


def _ended_before(summary: Summary) -> str:
    if summary.outcome is not RunOutcome.INTERRUPTED:
        return "The run ended before their update did."
    return f"The run was stopped before their update was done: {summary.why}."


def _said(group: Group) -> tuple[tuple[str, str], ...]:
    return () if group.alike else tuple((row.instance, row.why) for row in group.rows)


def _groups(rows: Iterable[Row], which: set[OutcomeKind], alike_max: int = ALIKE_MAX) -> list[Group]:
    """Rows by reason. A reason with many different sentences is one group; otherwise each sentence is a group."""
    by_code: dict[tuple[OutcomeKind, str], list[Row]] = {}
    for row in rows:
        if row.became in which:
            by_code.setdefault((row.became, row.code), []).append(row)
    groups: list[Group] = []
    for members in by_code.values():
        sentences = Counter(row.why for row in members)
        if len(sentences) > max(1, alike_max):
            groups.append(_group(members, alike=False))
        else:
            groups += [_group([row for row in members if row.why == why], alike=True) for why in sentences]
    order = list(OutcomeKind)
    return sorted(groups, key=lambda group: (order.index(group.became), not group.wants_a_person, -len(group.rows)))


def _group(rows: Sequence[Row], *, alike: bool) -> Group:
    first = rows[0]
    return Group(first.became, first.code, first.why, first.remedy, tuple(rows), alike)


def _with_commands(group: Group, reach: Reach) -> Group:
    return replace(group, commands=for_hold(group.to_do, [row.instance for row in group.rows], reach))


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
