"""Records the outcomes of instances, and acts whose result is unknown."""

from __future__ import annotations

from dataclasses import replace

from bottlerocket_ecs_updater.core.model.event import (
    ActUnclear,
    InstanceFailed,
    InstanceHeld,
    InstanceQuarantined,
    InstanceUpdated,
)
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Quarantined, Updated, UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold
from bottlerocket_ecs_updater.engine.ports import Clock, Recorder
from bottlerocket_ecs_updater.engine.run_state import RunState


class Outcomes:
    """Stores outcomes in the run's state, and emits them as events."""

    def __init__(self, known: RunState, clock: Clock, recorder: Recorder) -> None:
        self._known = known
        self._clock = clock
        self._recorder = recorder

    def settle(self, id_: InstanceId, outcome: Outcome) -> None:
        """Set an instance's outcome in this run."""
        instance = self._known.instance(id_)
        self._known.learn(replace(instance, progress=replace(instance.progress, outcome=outcome)))
        now = self._clock.now()
        match outcome:
            case Updated(source=source, target=target):
                self._recorder.record(InstanceUpdated(now, id_, source, target, outcome.downgrade))
            case Failed():
                self._recorder.record(InstanceFailed(now, id_, outcome))
            case Quarantined(why=why):
                self._recorder.record(InstanceQuarantined(now, id_, why))
            case Hold():
                self._recorder.record(InstanceHeld(now, id_, outcome))
            case UpToDate():
                pass

    def unclear(self, id_: InstanceId, act: str, why: str) -> None:
        """Record that AWS did not report whether an act took effect. The next look shows it."""
        self._recorder.record(ActUnclear(self._clock.now(), id_, act, why))
