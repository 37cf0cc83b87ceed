"""What a run left that a person has to look at, with what to do about each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bottlerocket_ecs_updater.core.model.event import CommandSent, Event, RunHalted
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import OutcomeKind, RunOutcome
from bottlerocket_ecs_updater.core.model.reasons import Failure
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.wording import counted
from bottlerocket_ecs_updater.report.analysis.ending import Ending, open_lanes
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
from bottlerocket_ecs_updater.report.analysis.summary import NEEDS_A_PERSON_TEXT, Row, Summary
from bottlerocket_ecs_updater.report.analysis.timeline import Lane, Timeline
from bottlerocket_ecs_updater.report.analysis.withdrawals import withdrawals

ALIKE_MAX = 3
"""How many different sentences for one reason are shown. Beyond that, one is shown for all."""


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
    """The hosts' own messages, by instance, if they differ."""
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
    def needs_a_person(self) -> bool:
        """Whether it lasts until a person acts."""
        return any(row.needs_a_person for row in self.rows)

    @property
    def label(self) -> str:
        """Its code, and whether it lasts until a person acts."""
        return f"{self.code}{NEEDS_A_PERSON_TEXT}" if self.needs_a_person else self.code


def troubles(
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
    for group in grouped_rows(summary.rows, {OutcomeKind.QUARANTINED}, alike_max=0):
        yield _quarantine(group, lanes, reach)
    yield from _left_open(summary, lanes)
    for group in grouped_rows(summary.rows, {OutcomeKind.FAILED}, alike_max=0):
        yield _failure(group, lanes, reach)
    yield from _withdrawn(events)


def _withdrawn(events: Sequence[Event]) -> Iterable[Trouble]:
    for one in withdrawals(events):
        run_it = counted(len(one.instances), "instance of the cluster runs it", "instances of the cluster run it")
        why = f"the newest published version is {one.latest} again; {run_it}"
        yield Trouble(f"AWS withdrew {one.version} for {one.build}", one.since, why, _WITHDRAWN_TO_DO)


_WITHDRAWN_TO_DO = (
    "Read why in Bottlerocket's release notes, and decide whether instances may keep running it. The updater updates "
    "no other instance to it, but a host that has it staged boots it at the next reboot. If the update repository "
    "offers the older version, the next run follows it (`--downgrades`)."
)


_HALT_TO_DO = (
    "Look at the instances below. The next run takes these failures into account. To stop every run from starting "
    "updates until "
    "you have looked, `pause`, or disable the schedule."
)


_ERROR_TO_DO = "Correct the error. The next run finishes the claimed instances first."


_DIED_WHY = "The record has no end: its task was stopped, its machine failed, or it is still running."


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
    """The command that shows the output of the last document on the first of these instances."""
    for lane in lanes:
        sent = [event for event in lane.events if isinstance(event, CommandSent) and event.command]
        # The output of an apply, a reboot or a hook document explains more than the check after it.
        sent = [event for event in sent if event.kind is not DocumentKind.CHECK] or sent
        if sent:
            return for_invocation(sent[-1].kind.value, sent[-1].command, lane.instance, reach)
    return ()


def _failed_at(lane: Lane) -> datetime | None:
    return next((event.at for event in lane.events if event.name == "instance.failed"), None)


def _left_open(summary: Summary, lanes: Mapping[InstanceId, Lane]) -> Iterable[Trouble]:
    """Instances that are out of service because the run ended before it finished them."""
    left = list(open_lanes(summary, lanes))
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


def _ended_before(summary: Summary) -> str:
    if summary.outcome is not RunOutcome.INTERRUPTED:
        return "The run ended before their update did."
    return f"The run was stopped before their update was done: {summary.why}."


def _said(group: Group) -> tuple[tuple[str, str], ...]:
    return () if group.alike else tuple((row.instance, row.why) for row in group.rows)


def grouped_rows(rows: Iterable[Row], which: set[OutcomeKind], alike_max: int = ALIKE_MAX) -> list[Group]:
    """Rows by reason and remedy. One with many different sentences is one group; otherwise each sentence is a group."""
    by_code: dict[tuple[OutcomeKind, str, str], list[Row]] = {}
    for row in rows:
        if row.became in which:
            by_code.setdefault((row.became, row.code, row.remedy), []).append(row)
    groups: list[Group] = []
    for members in by_code.values():
        sentences = Counter(row.why for row in members)
        if len(sentences) > max(1, alike_max):
            groups.append(_group(members, alike=False))
        else:
            groups += [_group([row for row in members if row.why == why], alike=True) for why in sentences]
    order = list(OutcomeKind)
    return sorted(groups, key=lambda group: (order.index(group.became), not group.needs_a_person, -len(group.rows)))


def _group(rows: Sequence[Row], *, alike: bool) -> Group:
    first = rows[0]
    return Group(first.became, first.code, first.why, first.remedy, tuple(rows), alike)


def with_commands(group: Group, reach: Reach) -> Group:
    return replace(group, commands=for_hold(group.to_do, [row.instance for row in group.rows], reach))


_DID: Mapping[str, str] = {
    Failure.APPLY_FAILED.code: "could not stage the update",
    Failure.ROLLED_BACK.code: "rolled back to the old version",
    Failure.WRONG_VERSION.code: "came back on another version",
    Failure.NOT_BACK.code: "did not come back in time",
    Failure.STOPPED_IN_EC2.code: "was stopped in EC2 during its update",
    Failure.NEVER_REBOOTED.code: "did not reboot",
    Failure.REBOOT_REFUSED.code: "rejected the reboot command",
}
