"""The progress of a run, from its events so far, for the live display and the gauges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model import event as e
from bottlerocket_ecs_updater.core.model.host_report import HostReport
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import OutcomeKind
from bottlerocket_ecs_updater.core.model.phase import Phase
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.report.analysis.timeline import BEFORE_A_DRAIN
from bottlerocket_ecs_updater.report.words.severity import ROUTINE

TO_COME = frozenset({Phase.AVAILABLE, Phase.STAGING, Phase.READY})
"""Phases of instances that are still to be updated."""


@dataclass(slots=True)
class InProgress:
    """An instance that the run has taken out of service, or whose slot settles."""

    phase: str
    since: datetime
    """When it entered its phase."""
    taken: datetime
    """When it was claimed."""
    change: str = ""
    """From which version to which."""
    found: bool = False
    """Whether an earlier run claimed it. Then its duration does not count for the forecast."""


@dataclass(slots=True)
class Progress:
    """Kept up to date by `note`."""

    began: datetime | None = None
    cluster: str = ""
    bottlerocket: int = 0
    phases: dict[InstanceId, Phase] = field(default_factory=dict)
    versions: dict[InstanceId, Version] = field(default_factory=dict)
    became: dict[InstanceId, OutcomeKind] = field(default_factory=dict)
    """The final outcomes of instances so far."""
    holds: dict[InstanceId, Reason] = field(default_factory=dict)
    in_progress: dict[InstanceId, InProgress] = field(default_factory=dict)
    """Those in progress, in the order in which they began."""
    quarantined: set[InstanceId] = field(default_factory=set)
    slot_spans: list[timedelta] = field(default_factory=list)
    """How long each slot was used, from the claim until the cluster settled."""
    most_in_progress: int = 0
    progress_at: datetime | None = None
    """When an instance last made progress."""
    halted: str = ""
    stopping: str = ""
    paused: str = ""
    """Who paused the updates, and why; empty if they are not paused."""
    waiting: str = ""
    """What the run waits for; empty if it does not wait."""
    finished: bool = False

    def note(self, event: e.Event) -> None:
        """Take one event into account."""
        self.waiting = ""
        if isinstance(event, e.LookPostponed):
            self.waiting = f"AWS: {event.why}"
        elif isinstance(event, e.WaitBegan):
            self.waiting = event.what
        if isinstance(event, e.InstanceEvent):
            self._note_instance(event)
            return
        match event:
            case e.RunStarted(at=at, cluster=cluster):
                self.began, self.cluster, self.progress_at = at, cluster, at
            case e.ClusterLooked(bottlerocket=ours):
                self.bottlerocket = ours
            case e.RunHalted(why=why):
                self.halted = why
            case e.RunStopping(why=why):
                self.stopping = why
            case e.UpdatesPaused(why=why):
                self.paused = why
            case e.UpdatesResumed():
                self.paused = ""
            case e.RunFinished():
                self.finished = True
            case _:
                pass

    def count(self, became: OutcomeKind) -> int:
        """How many instances have that outcome so far."""
        return sum(1 for one in self.became.values() if one is became)

    @property
    def working(self) -> Mapping[InstanceId, InProgress]:
        """Those in progress that do not wait for a person."""
        return {id_: one for id_, one in self.in_progress.items() if id_ not in self.quarantined}

    @property
    def by_phase(self) -> Mapping[Phase, int]:
        """How many instances are in each phase."""
        counts = dict.fromkeys(Phase, 0)
        for id_, phase in self.phases.items():
            counts[Phase.QUARANTINED if id_ in self.quarantined else phase] += 1
        return counts

    @property
    def to_come(self) -> int:
        """How many instances are still to be updated: they are offered an update, and no lasting hold applies."""
        return sum(1 for id_, phase in self.phases.items() if phase in TO_COME and self._open(id_))

    def _open(self, id_: InstanceId) -> bool:
        hold = self.holds.get(id_)
        return id_ not in self.became and id_ not in self.in_progress and (hold is None or hold in ROUTINE)

    def ends_at(self, now: datetime) -> datetime | None:
        """When the run is likely to end; None while there is no data.

        Assumes rounds of as many instances as were in progress at once, each as long as one took so far.
        """
        if not self.slot_spans or self.halted or self.stopping:
            return None
        usual = sum(self.slot_spans, timedelta()) / len(self.slot_spans)
        spans = [max(usual - (now - one.taken), timedelta()) for one in self.working.values()]
        left = max(spans, default=timedelta())
        rounds = -(-self.to_come // max(1, self.most_in_progress))
        return now + left + rounds * usual

    def _note_instance(self, event: e.InstanceEvent) -> None:
        id_ = event.instance
        match event:
            case e.HostChecked(answer=HostReport(running=running)) | e.Rebooted(version=running):
                self.versions[id_] = running
            case e.InstanceHeld(hold=hold):
                self.holds[id_] = hold.reason
                self._let_go(id_)
            case e.ClaimFound(phase=phase, since=since):
                self._take(id_, InProgress(phase, event.at, since, found=True))
                if phase == Phase.QUARANTINED.value:
                    self.quarantined.add(id_)
            case e.Claimed(source=source, target=target):
                self._take(id_, InProgress(Phase.DRAINING.value, event.at, event.at, f"{source} → {target}"))
            case e.InstanceQuarantined():
                self.quarantined.add(id_)
                self.became[id_] = OutcomeKind.QUARANTINED
            case e.InstanceUpdated():
                self.became[id_] = OutcomeKind.UPDATED
            case e.InstanceFailed():
                self.became[id_] = OutcomeKind.FAILED
            case e.Returned() | e.Settled():
                self._came_back(id_, event)
            case e.PhaseEntered(phase=phase, before=before):
                self._enter(id_, phase, before, event.at)
            case _:
                return
        if not isinstance(event, e.HostChecked | e.InstanceHeld):
            self.progress_at = event.at

    def _take(self, id_: InstanceId, one: InProgress) -> None:
        self.in_progress.setdefault(id_, one)
        self.most_in_progress = max(self.most_in_progress, len(self.in_progress))

    def _came_back(self, id_: InstanceId, event: e.Returned | e.Settled) -> None:
        one = self.in_progress.get(id_)
        if isinstance(event, e.Settled):
            if one is not None and not one.found:
                self.slot_spans.append(event.at - one.taken)
            self.in_progress.pop(id_, None)
        elif one is not None:
            one.phase, one.since = "settling", event.at
            self.quarantined.discard(id_)

    def _let_go(self, id_: InstanceId) -> None:
        """The instance has left our hands. A slot that settles stays taken."""
        one = self.in_progress.get(id_)
        if one is not None and one.phase != "settling":
            del self.in_progress[id_]

    def _enter(self, id_: InstanceId, phase: Phase, before: Phase, at: datetime) -> None:
        if phase is Phase.RETURNING and before in BEFORE_A_DRAIN:
            phase = Phase.DRAINING
        self.phases[id_] = phase
        one = self.in_progress.get(id_)
        if one is None:
            return
        if one.phase != "settling":
            one.phase, one.since = phase.value, at
        if phase in (Phase.CURRENT, *TO_COME):
            self._let_go(id_)
