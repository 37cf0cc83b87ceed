"""How a run ended: the outcome of each instance, the outcome of the run and its exit code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from bottlerocket_ecs_updater.core.decision.halting import in_quarantine
from bottlerocket_ecs_updater.core.decision.not_counted import is_kept_warm
from bottlerocket_ecs_updater.core.decision.stuck import failed_drains, said, stuck_on, waiting_codes
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.budget import left_out_of_service
from bottlerocket_ecs_updater.core.model.event import RunFinished
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Quarantined, RunOutcome, count_kinds
from bottlerocket_ecs_updater.core.model.phase import IN_PROGRESS, phase_of
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold, Reason, hold
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.state.ledger import with_waiting
from bottlerocket_ecs_updater.engine.change_record import PASSING_REASONS, ChangeRecord
from bottlerocket_ecs_updater.engine.ports import Counted
from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.engine.store.ledger_store import LedgerKeeping


@dataclass(frozen=True, slots=True)
class RunEnd:
    """Why the passes of a run ended."""

    why: str = ""
    error: bool = False
    interrupted: bool = False
    """A second signal: nothing more is saved or published."""
    lost: bool = False
    """Another run took the lease."""


class RunResult:
    """Judges a run at its end."""

    def __init__(self, known: RunState, policy: Policy, changes: ChangeRecord) -> None:
        self._known = known
        self._policy = policy
        self._changes = changes
        self._stuck_on: Hold | None = None
        self._failed_drains = self._why_stuck = ""

    def note_waiting(self, ledger: LedgerKeeping) -> None:
        """Record what blocked all updates in this run, so that the next run reports if it still does."""
        if not self._known.fleet.stopping and self._known.fleet.halt is None:
            outcomes, fleet = self._outcomes(), self._known.fleet
            self._stuck_on, self._failed_drains = stuck_on(outcomes, fleet), failed_drains(outcomes, fleet)
            self._why_stuck = said(self._stuck_on, fleet) if self._stuck_on is not None else self._failed_drains
            codes = waiting_codes(outcomes, fleet)
            if codes is not None:
                ledger.change(partial(with_waiting, codes=codes, at=self._known.fleet.started_at))

    def finished(self, now: datetime, end: RunEnd, calls: Counted | None) -> RunFinished:
        """The last event of the run."""
        known = self._known
        outcomes = self._outcomes()
        ended, exit_code = self._run_outcome(outcomes.values(), end)
        why = end.why
        if not why and known.fleet.halt is not None:
            why = known.fleet.halt.why
        if not why and ended in (RunOutcome.STUCK, RunOutcome.FAILURES):
            why = self._why_stuck
        took = now - known.fleet.started_at
        why = why or known.fleet.stopping
        counted, throttles = (dict(calls), calls.throttled) if calls is not None else ({}, 0)
        counts = count_kinds(outcomes)
        return RunFinished(
            now, known.fleet.run, ended, exit_code, counts, took, why, outcomes, counted, throttles, known.verifications
        )

    def _run_outcome(self, outcomes: Iterable[Outcome], end: RunEnd) -> tuple[RunOutcome, int]:
        """How the run ended, and its exit code."""
        if end.error:
            return (RunOutcome.INTERRUPTED if end.interrupted else RunOutcome.ERROR), 1
        if self._known.fleet.halt is not None:
            return RunOutcome.HALTED, 4
        fleet = self._known.fleet
        failed = any(isinstance(outcome, Failed | Quarantined) for outcome in outcomes)
        # One that its group keeps in its warm pool is held. In service again, it counts as quarantined.
        quarantined = any(not is_kept_warm(fleet.instances[id_]) for id_ in in_quarantine(fleet))
        bad = failed or quarantined or left_out_of_service(Pass(fleet, self._policy))
        if self._known.fleet.stopping:
            # It was stopped, but the exit code still shows earlier failures.
            return RunOutcome.INTERRUPTED, 3 if bad else 0
        if bad or self._failed_drains:
            return RunOutcome.FAILURES, 3
        return (RunOutcome.STUCK, 3) if self._stuck_on is not None else (RunOutcome.OK, 0)

    def _outcomes(self) -> dict[InstanceId, Outcome]:
        return {id_: self._outcome(instance) for id_, instance in sorted(self._known.instances.items())}

    def _outcome(self, instance: Instance) -> Outcome:
        if instance.progress.outcome is not None:
            return instance.progress.outcome
        if instance.claim is not None and instance.progress.sent_return is not None:
            return instance.progress.sent_return.outcome
        known = self._changes.holds.get(instance.id)
        if known is not None and not (self._known.fleet.stopping and known.reason in PASSING_REASONS):
            return known
        if not instance.bottlerocket:
            return hold(Reason.NOT_BOTTLEROCKET)
        phase = phase_of(instance)
        return hold(Reason.IN_PROGRESS if phase in IN_PROGRESS else Reason.NOT_REACHED, phase=phase.value)
