"""What all looks of a run share."""

from __future__ import annotations

from dataclasses import dataclass

from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.engine.look.denials import DeniableCalls
from bottlerocket_ecs_updater.engine.ports import Recorder
from bottlerocket_ecs_updater.engine.run_state import RunState


@dataclass(frozen=True, slots=True)
class LookContext:
    """What all looks of a run share."""

    known: RunState
    policy: Policy
    recorder: Recorder
    calls: DeniableCalls
