"""A run as lanes: for each instance, how long it spent in each part of its life.

The bars of the page, the durations of the metrics and the JSON report all come from these stretches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from bottlerocket_ecs_updater.core.model import event as e
from bottlerocket_ecs_updater.core.model.host_report import HostProblem, HostReport
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.model.phase import Phase
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.version import Version


class Part(Enum):
    """The parts of an instance's life that take time, in the words of the phases; SETTLING follows the return."""

    STAGING = "staging"
    READY = "ready"
    DRAINING = "draining"
    REBOOTING = "rebooting"
    VERIFYING = "verifying"
    RETURNING = "returning"
    SETTLING = "settling"
    QUARANTINED = "quarantined"


OUT_OF_SERVICE = frozenset({Part.DRAINING, Part.REBOOTING, Part.VERIFYING, Part.RETURNING, Part.QUARANTINED})

_SHOWN: Mapping[Phase, Part | None] = {
    Phase.UNKNOWN: None,
    Phase.CURRENT: None,
    Phase.AVAILABLE: None,
    Phase.STAGING: Part.STAGING,
    Phase.READY: Part.READY,
    Phase.DRAINING: Part.DRAINING,
    Phase.REBOOTING: Part.REBOOTING,
    Phase.VERIFYING: Part.VERIFYING,
    Phase.RETURNING: Part.RETURNING,
    Phase.QUARANTINED: Part.QUARANTINED,
}

BEFORE_A_DRAIN = frozenset({Phase.CURRENT, Phase.AVAILABLE, Phase.STAGING, Phase.READY})
"""Parts from which no instance returns to service directly. An ACTIVE right after them is older than the drain."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of an instance's life, with its start and end."""

    part: Part
    began: datetime
    ended: datetime

    @property
    def lasted(self) -> timedelta:
        """How long it was."""
        return self.ended - self.began


@dataclass(frozen=True, slots=True)
class Lane:
    """The timeline of one instance in one run."""

    instance: InstanceId
    stretches: tuple[Stretch, ...]
    before: Version | None
    """The version that it ran at its first answer; None if it never answered."""
    after: Version | None
    """The last known version that it ran."""
    out_of_service: timedelta
    """As far as it lies within this run."""
    out_since: datetime | None
    """Since when it was out of service at the end of the record, possibly since an earlier run; None if it was in
    service.
    """
    found_from: RunId | None
    """The earlier run that had left a claim on it."""
    problem: str
    """The host's output, if its last check gave no report."""
    moved: int | None
    """How many service tasks its drain moved; None if that is not recorded."""
    events: tuple[e.InstanceEvent, ...]
    part: Part | None = None
    """The part of its life at the end of the record."""

    def spent(self, part: Part) -> timedelta:
        """How long it spent in that part of its life."""
        return sum((stretch.lasted for stretch in self.stretches if stretch.part is part), timedelta())

    @property
    def worked_on(self) -> bool:
        """Whether the run had it out of service."""
        return any(stretch.part in OUT_OF_SERVICE for stretch in self.stretches)

    @property
    def out_from(self) -> datetime | None:
        """When it was first out of service within this run."""
        return next((stretch.began for stretch in self.stretches if stretch.part in OUT_OF_SERVICE), None)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The timeline of a run."""

    began: datetime
    ended: datetime
    lanes: Mapping[InstanceId, Lane]

    def out_at_once(self) -> list[tuple[datetime, int]]:
        """How many instances were out of service for updates, as a list of changes with their times."""
        changes: dict[datetime, int] = {}
        for lane in self.lanes.values():
            for began, ended in _merged([s for s in lane.stretches if s.part in OUT_OF_SERVICE]):
                changes[began] = changes.get(began, 0) + 1
                if ended < self.ended or lane.out_since is None:
                    changes[ended] = changes.get(ended, 0) - 1
        out, steps = 0, []
        for at in sorted(changes):
            out += changes[at]
            steps.append((at, out))
        return steps


def timeline_of(events: Iterable[e.Event]) -> Timeline | None:
    """Sort the events of a run into lanes. None if there are no events."""
    tracks: dict[InstanceId, _Track] = {}
    began: datetime | None = None
    ended: datetime | None = None
    finished = False
    for event in events:
        began = event.at if began is None else min(began, event.at)
        ended = event.at if ended is None else max(ended, event.at)
        finished = finished or isinstance(event, e.RunFinished)
        if isinstance(event, e.InstanceEvent):
            track = tracks.setdefault(event.instance, _Track(event.instance))
            track.note(event)
    if began is None or ended is None:
        return None
    if not finished:
        for track in tracks.values():
            track.assume_drained()
    return Timeline(began, ended, {id_: track.lane(began, ended) for id_, track in sorted(tracks.items())})


@dataclass(slots=True)
class _Track:
    """A lane under construction."""

    instance: InstanceId
    stretches: list[Stretch] = field(default_factory=list)
    part: Part | None = None
    since: datetime | None = None
    out_since: datetime | None = None
    before: Version | None = None
    after: Version | None = None
    found_from: RunId | None = None
    problem: str = ""
    moved: int | None = None
    claimed_at: datetime | None = None
    """When it was claimed, until more is known."""
    events: list[e.InstanceEvent] = field(default_factory=list)

    def note(self, event: e.InstanceEvent) -> None:
        self.events.append(event)
        if not isinstance(event, e.PhaseEntered):
            self.claimed_at = event.at if isinstance(event, e.Claimed) else None
        self._listen(event)
        match event:
            case e.CommandSent(kind=DocumentKind.APPLY):
                self._enter(Part.STAGING, event.at)
            case e.Drained():
                self._enter(Part.DRAINING, event.at)
            case e.Returned():
                self._enter(Part.SETTLING, event.at)
            case e.InstanceQuarantined():
                self._enter(Part.QUARANTINED, event.at)
            case e.Settled():
                self._enter(None, event.at)
            case e.InstanceFailed() | e.InstanceHeld() if self.part is Part.STAGING:
                self._enter(None, event.at)
            case e.InstanceFailed() | e.InstanceUpdated() if self.part in OUT_OF_SERVICE:
                # Both apply to instances in service.
                self._enter(None, event.at)
            case e.PhaseEntered(phase=phase, before=before):
                self._pass(phase, before, event.at)
            case _:
                pass

    def assume_drained(self) -> None:
        """For a killed run: an instance that was claimed, with nothing recorded after that, may be drained, and is
        shown as drained.
        """
        if self.claimed_at is not None and self.part not in OUT_OF_SERVICE:
            self._enter(Part.DRAINING, self.claimed_at)

    def _listen(self, event: e.InstanceEvent) -> None:
        """Take from an event what it says about versions and earlier runs."""
        match event:
            case e.HostChecked(answer=HostReport(running=running)) | e.Rebooted(version=running):
                self.before = self.before or running
                self.after, self.problem = running, ""
            case e.HostChecked(answer=HostProblem(detail=detail)):
                self.problem = detail
            case e.Claimed(source=source):
                self.before = self.before or source
            case e.ClaimFound(run=run, since=since):
                self.found_from, self.out_since = run, since
            case e.Drained(tasks=int(tasks)):
                self.moved = (self.moved or 0) + tasks
            case _:
                pass

    def _pass(self, phase: Phase, before: Phase, at: datetime) -> None:
        if phase is Phase.RETURNING and before in BEFORE_A_DRAIN:
            # ECS confirmed the drain, but an older look still says ACTIVE. The instance is draining.
            self._enter(Part.DRAINING, at)
        elif phase is Phase.AVAILABLE and self.part is Part.STAGING:
            # The apply has ended, and the host has not been checked since.
            pass
        elif self.part is Part.SETTLING and _SHOWN[phase] not in OUT_OF_SERVICE:
            # In service: its slot settles, even if the host is offered another update.
            pass
        else:
            self._enter(_SHOWN[phase], at)

    def _enter(self, part: Part | None, at: datetime) -> None:
        if part is self.part:
            return
        self._close(at)
        self.part, self.since = part, at
        if part in OUT_OF_SERVICE:
            self.out_since = self.out_since or at
        else:
            self.out_since = None

    def _close(self, at: datetime) -> None:
        if self.part is not None and self.since is not None and at > self.since:
            self.stretches.append(Stretch(self.part, self.since, at))

    def lane(self, began: datetime, ended: datetime) -> Lane:
        self._close(ended)
        out = _merged([stretch for stretch in self.stretches if stretch.part in OUT_OF_SERVICE])
        return Lane(
            self.instance,
            tuple(self.stretches),
            self.before,
            self.after,
            sum((end - max(start, began) for start, end in out), timedelta()),
            self.out_since,
            self.found_from,
            self.problem,
            self.moved,
            tuple(self.events),
            self.part,
        )


def _merged(stretches: Iterable[Stretch]) -> list[tuple[datetime, datetime]]:
    """Merge stretches of the same part that follow each other without a gap."""
    spans: list[tuple[datetime, datetime]] = []
    for stretch in stretches:
        if spans and stretch.began <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], stretch.ended))
        else:
            spans.append((stretch.began, stretch.ended))
    return spans
