"""Staging: updates are staged ahead of the drains, while tasks run, but only on hosts that are drained soon."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from bottlerocket_ecs_updater.core.decision.draft import DecisionDraft
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.assess import Asking, CandidateState, Deferred, Ready, Stageable
from bottlerocket_ecs_updater.core.decision.unclaimed.budget import count_budget
from bottlerocket_ecs_updater.core.decision.unclaimed.eligibility import RolloutLimits
from bottlerocket_ecs_updater.core.decision.unclaimed.gates import StartGates, work_goes_on
from bottlerocket_ecs_updater.core.decision.unclaimed.own_host import own_last
from bottlerocket_ecs_updater.core.model.command import Apply, NextStep
from bottlerocket_ecs_updater.core.model.ids import InstanceId, Zone
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Reason, hold
from bottlerocket_ecs_updater.core.rules.policy import STAGE_AHEAD_FACTOR, STAGE_AHEAD_MIN


def stage(
    this_pass: Pass, candidates: Mapping[InstanceId, CandidateState], gates: StartGates, draft: DecisionDraft
) -> None:
    """Stage ahead of the drains, in chunks: a bad version is staged on few hosts only, and calls are shared."""
    fleet = this_pass.fleet
    stageable = {id_: s for id_, s in candidates.items() if isinstance(s, Stageable)}
    if not stageable:
        return
    ordered = own_last(gates.limits.in_order([fleet.instances[id_] for id_ in stageable]), fleet)
    budget = count_budget(this_pass)
    chunk = max(STAGE_AHEAD_MIN, STAGE_AHEAD_FACTOR * budget.limit)
    full = {zone for zone in budget.limit_per_zone if budget.zone_refusal(zone) is not None}
    idle = not work_goes_on(fleet)
    ahead = [
        id_
        for id_, candidate in candidates.items()
        if id_ not in gates.each
        and _ahead(fleet.instances[id_], candidate, full)
        and not (idle and _stays(fleet.instances[id_], candidate, gates))
    ]
    room = chunk if len(ahead) <= budget.limit else 0
    limits = _turns_for_staging(ahead, this_pass)
    for instance in ordered:
        candidate = stageable[instance.id]
        refusal = gates.global_hold or limits.spent(candidate.target)
        if refusal is not None:
            draft.steps[instance.id] = NextStep(hold=refusal)
        elif candidate.again or room > 0:
            room -= 0 if candidate.again else 1
            limits.take(candidate.target)
            apply = Apply(instance.id, candidate.target, candidate.replaces)
            draft.steps[instance.id] = NextStep((apply,), look_at=this_pass.next_poll)
        else:
            draft.steps[instance.id] = NextStep(hold=hold(Reason.STAGING_AHEAD))


def _turns_for_staging(ahead: Iterable[InstanceId], this_pass: Pass) -> RolloutLimits:
    """What the limits allow for staging: a version is staged on no more hosts than may be updated to it now."""
    limits = RolloutLimits(this_pass)
    for id_ in ahead:
        limits.take_reported(this_pass.fleet.instances[id_])
    return limits


def _stays(instance: Instance, candidate: CandidateState, gates: StartGates) -> bool:
    """Whether it is staged, but its tasks keep it from being drained although no other update is in progress.

    It must not keep others from being staged: nobody knows when it is drained.
    """
    if not isinstance(candidate, Ready):
        return False
    return (gates.limits.unmovable(instance) or gates.limits.no_room(instance)) is not None


def _ahead(instance: Instance, candidate: CandidateState, full: Collection[Zone]) -> bool:
    """Whether it is staged, or soon will be, and may be drained. Only these instances stop others from being staged.

    `full` are the zones whose budget is full now.
    """
    match candidate:
        case Ready():
            return instance.zone not in full
        case Asking() | Deferred():
            answers = instance.check_answer is None or instance.check_answer.report is not None
            return answers or instance.progress.applies.sent > 0
        case _:
            return False
