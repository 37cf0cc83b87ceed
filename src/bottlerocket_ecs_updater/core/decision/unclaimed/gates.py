"""What keeps instances from beginning, beside the budget: a halt, a stop, the operator's rules, an older run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from bottlerocket_ecs_updater.core.decision.unclaimed.assess import (
    Asking,
    CandidateState,
    Done,
    Held,
    Ready,
    Stageable,
    Waiting,
)
from bottlerocket_ecs_updater.core.decision.unclaimed.before_drain_hook import being_prepared
from bottlerocket_ecs_updater.core.decision.unclaimed.eligibility import RolloutLimits
from bottlerocket_ecs_updater.core.model.fleet import Fleet, Halt
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import duration_text, has_passed
from bottlerocket_ecs_updater.core.rules.policy import Policy


@dataclass(frozen=True, slots=True)
class StartGates:
    """What keeps instances from beginning, beside the budget."""

    whole: Hold | None
    """Why none may, whichever it is."""
    each: Mapping[InstanceId, Hold]
    """Why one that is ready may not, by the operator's rules."""
    limits: RolloutLimits

    def against(self, instance: Instance, candidate: Ready) -> Hold | None:
        """Why that one may not be drained now."""
        return (
            self.whole
            or self.each.get(instance.id)
            or self.limits.spent(candidate.target)
            or self.limits.unmovable(instance)
        )


def nobody_is_asked(fleet: Fleet, elder: Hold | None) -> Hold | None:
    """Why only what is in hand is gone on with: an older run acts with another store, or AWS does not let us.

    What was denied once may be the very question: asked again, it would end the run, and what is in hand with it.
    """
    return hold(Reason.HALTED, why=fleet.blocked) if fleet.blocked else elder


def left_alone(candidate: CandidateState, why: Hold) -> CandidateState:
    """What is true of an instance while only what is in hand is gone on with: nothing is asked, nothing begins."""
    match candidate:
        case Held() | Done():
            return candidate
        case Asking() | Waiting() | Stageable() | Ready():
            return Held(why)
        case _:
            assert_never(candidate)


def nothing_begins(fleet: Fleet, policy: Policy, halt: Halt | None, alone: Hold | None) -> Hold | None:
    """Why no instance may be staged or drained now, whichever it is; `alone` is why nobody is even asked."""
    if halt is not None:
        return hold(Reason.HALTED, why=halt.why)
    if fleet.stopping:
        return hold(Reason.STOPPING, why=fleet.stopping)
    if policy.deadline is not None and has_passed(fleet.started_at, policy.deadline, fleet.at):
        return hold(Reason.STOPPING, why=f"its deadline of {duration_text(policy.deadline)} has passed")
    return alone


def start_gates(
    whole: Hold | None, standings: Mapping[InstanceId, CandidateState], fleet: Fleet, policy: Policy
) -> StartGates:
    """What keeps each of those that are ready from beginning now."""
    limits = RolloutLimits(fleet, policy)
    for instance in filter(being_prepared, fleet.instances.values()):
        # It is about to be taken: else the operator's document would run on others for nothing.
        limits.take_told(instance)
    ready = {id_: candidate.target for id_, candidate in standings.items() if isinstance(candidate, Ready)}
    blocked = {target: limits.blocked(target) for target in set(ready.values())} if whole is None else {}
    each = {id_: why for id_, target in ready.items() if (why := blocked.get(target)) is not None}
    return StartGates(whole, each, limits)
