"""What all acts of a run share."""

from __future__ import annotations

from dataclasses import dataclass

from bottlerocket_ecs_updater.engine.act.outcomes import Outcomes
from bottlerocket_ecs_updater.engine.ports import Clock, Recorder
from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.engine.store.ledger_store import LedgerKeeping


@dataclass(frozen=True, slots=True)
class ActContext:
    """What all acts of a run share."""

    known: RunState
    ledger: LedgerKeeping
    clock: Clock
    recorder: Recorder
    outcomes: Outcomes
