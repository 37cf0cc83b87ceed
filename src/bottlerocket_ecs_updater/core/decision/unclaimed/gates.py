"""What stops updates from starting, apart from the budget: a halt, a stop, the operator's rules, or an older run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from bottlerocket_ecs_updater.core.decision.not_counted import is_kept_warm
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.assess import (
    Asking,
    CandidateState,
    Deferred,
    Finished,
    Held,
    Ready,
    Stageable,
)
from bottlerocket_ecs_updater.core.decision.unclaimed.before_drain_hook import being_prepared
from bottlerocket_ecs_updater.core.decision.unclaimed.eligibility import RolloutLimits
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.fleet import Fleet, Halt
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import duration_text, has_passed


@dataclass(frozen=True, slots=True)
class StartGates:
    """What stops updates from starting, apart from the budget."""

    global_hold: Hold | None
    """Why no update at all may start; None if one may."""
    each: Mapping[InstanceId, Hold]
    """Why individual ready instances may not start, by the operator's rules."""
    limits: RolloutLimits

    @property
    def run_ends(self) -> bool:
        """Whether the run is stopping, so that it waits for nothing."""
        return self.global_hold is not None and self.global_hold.reason is Reason.STOPPING

    def against(self, instance: Instance, candidate: Ready) -> Hold | None:
        """Why that instance may not be drained now; None if it may.

        At the end of a run, its own reason says more than the end of the run.
        """
        return (
            (self.limits.unmovable(instance) if self.run_ends else None)
            or self.global_hold
            or self.each.get(instance.id)
            or self.limits.spent(candidate.target)
            or self.limits.unmovable(instance)
        )


def why_only_claimed(fleet: Fleet, older_run: Hold | None) -> Hold | None:
    """Why the run may only finish claimed instances: an older run with another store is active, or AWS denied a call.

    The denied call may be a check. Sending it again would end the run before the claimed instances are finished.
    """
    return hold(Reason.HALTED, why=fleet.blocked) if fleet.blocked else older_run


def without_starts(candidate: CandidateState, why: Hold) -> CandidateState:
    """State of an unclaimed instance while the run only finishes claimed ones: no checks, no new updates."""
    match candidate:
        case Held() | Finished():
            return candidate
        case Asking() | Deferred() | Stageable() | Ready():
            return Held(why)
        case _:
            assert_never(candidate)


def why_no_starts(this_pass: Pass, halt: Halt | None, only_claimed: Hold | None) -> Hold | None:
    """Why no instance may be staged or drained now; `only_claimed` is why the run may only finish claimed ones."""
    fleet, policy = this_pass.fleet, this_pass.policy
    if halt is not None:
        return hold(Reason.HALTED, why=halt.why)
    if fleet.stopping:
        return hold(Reason.STOPPING, why=fleet.stopping)
    if policy.deadline is not None and has_passed(fleet.started_at, policy.deadline, this_pass.at):
        return hold(Reason.STOPPING, why=f"its deadline of {duration_text(policy.deadline)} has passed")
    return only_claimed


def start_gates(
    global_hold: Hold | None, candidates: Mapping[InstanceId, CandidateState], this_pass: Pass
) -> StartGates:
    """Find what stops each ready instance from starting now."""
    limits = RolloutLimits(this_pass)
    for instance in filter(being_prepared, this_pass.fleet.instances.values()):
        # It is about to be drained. If it did not count, the document would run on other hosts for nothing.
        limits.take_reported(instance)
    ready = {id_: candidate.target for id_, candidate in candidates.items() if isinstance(candidate, Ready)}
    blocked = {target: limits.blocked(target) for target in set(ready.values())} if global_hold is None else {}
    each = {id_: why for id_, target in ready.items() if (why := blocked.get(target)) is not None}
    return StartGates(global_hold, each, limits)


def work_goes_on(fleet: Fleet) -> bool:
    """Whether updates are in progress, so that a slot will be free again in this run."""
    return bool(fleet.slots) or any(
        instance.claim is not None and instance.claim.phase is not ClaimPhase.QUARANTINED and not is_kept_warm(instance)
        for instance in fleet.instances.values()
    )
