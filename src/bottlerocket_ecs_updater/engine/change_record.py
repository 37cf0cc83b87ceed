"""Records what has changed since the last pass: holds, phases, and a halt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from bottlerocket_ecs_updater.core.decision.decide import Decision
from bottlerocket_ecs_updater.core.model.command import Unmark
from bottlerocket_ecs_updater.core.model.event import ClaimFound, InstanceHeld, PhaseEntered, RunHalted
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.phase import Phase, phase_of
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.engine.ports import Clock, Recorder
from bottlerocket_ecs_updater.engine.run_state import RunState

PASSING_REASONS = frozenset(
    {Reason.BUDGET, Reason.ZONE_BUDGET, Reason.SETTLING, Reason.STAGING_AHEAD, Reason.OWN_HOST_LAST}
)
"""Holds that come and go with every slot: they are in the summary, not in the log.

A stopped run does not hold instances for these reasons: it may not have used the slots that it gave to others.
"""


class ChangeRecord:
    """Turns decisions and phases into events, each change once."""

    def __init__(self, known: RunState, recorder: Recorder, clock: Clock) -> None:
        self._known = known
        self._recorder = recorder
        self._clock = clock
        self._phases: dict[InstanceId, tuple[Phase, datetime]] = {}
        self.holds: Mapping[InstanceId, Hold] = {}
        """Why each instance is held, by the last decision."""

    def record_remembered(self) -> None:
        """Record the claims that other runs left behind."""
        for id_, instance in sorted(self._known.instances.items()):
            claim = instance.claim
            if claim is not None and claim.run != self._known.fleet.run:
                self._recorder.record(ClaimFound.of(self._known.fleet.started_at, id_, claim))

    def record_decision(self, decision: Decision) -> None:
        """Record a halt, and the instances that are held now, or held for another reason."""
        now = self._known.fleet.at
        if decision.halt is not None and self._known.fleet.halt is None:
            self._known.fleet = replace(self._known.fleet, halt=decision.halt)
            self._recorder.record(RunHalted(now, decision.halt.why))
        settling = {one.instance for one in decision.commands if isinstance(one, Unmark) and one.outcome is not None}
        for id_, why in decision.holds.items():
            before = self.holds.get(id_)
            if self._known.instance(id_).progress.outcome is not None or id_ in settling:
                continue  # reported when it is settled
            if why.reason not in PASSING_REASONS and (before is None or before.reason is not why.reason):
                self._recorder.record(InstanceHeld(now, id_, why))
        self.holds = dict(decision.holds)
        self.record_phases()

    def record_phases(self) -> None:
        """Record each instance that entered another phase."""
        now = self._clock.now()
        for id_ in sorted(self._known.touched):
            instance = self._known.instance(id_)
            if not instance.bottlerocket:
                continue
            phase = phase_of(instance)
            before, since = self._phases.get(id_, (Phase.UNKNOWN, None))
            if phase is not before:
                self._recorder.record(PhaseEntered(now, id_, phase, before, now - since if since is not None else None))
                self._phases[id_] = (phase, now)
        self._known.touched.clear()
