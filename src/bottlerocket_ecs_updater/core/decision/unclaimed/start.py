"""Starting updates: drain the next instances in order, within budget, rules and room, based on fresh looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from bottlerocket_ecs_updater.core.capacity.unread_facts import held_for_survey
from bottlerocket_ecs_updater.core.decision.affected import seen_deploying_since
from bottlerocket_ecs_updater.core.decision.draft import DecisionDraft, due
from bottlerocket_ecs_updater.core.decision.instance_health import impaired_on_trial
from bottlerocket_ecs_updater.core.decision.polling import next_look
from bottlerocket_ecs_updater.core.decision.settling import UNSTEADY_POLLS
from bottlerocket_ecs_updater.core.decision.tasks_on_host import is_own_host
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.assess import CandidateState, Ready
from bottlerocket_ecs_updater.core.decision.unclaimed.before_drain_hook import prepared
from bottlerocket_ecs_updater.core.decision.unclaimed.budget import Budget, count_budget
from bottlerocket_ecs_updater.core.decision.unclaimed.eligibility import RolloutLimits
from bottlerocket_ecs_updater.core.decision.unclaimed.fresh_facts import (
    facts_are_fresh,
    fleet_is_fresh,
    with_fresh_facts,
)
from bottlerocket_ecs_updater.core.decision.unclaimed.gates import StartGates, work_goes_on
from bottlerocket_ecs_updater.core.decision.unclaimed.gathering import starts_together_at
from bottlerocket_ecs_updater.core.decision.unclaimed.own_host import hand_over
from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.command import CallSuccessor, Check, Drain, Mark, NextStep, RunBeforeDrain
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId, Zone
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.time_text import has_passed


def start_updates(
    this_pass: Pass, states: Mapping[InstanceId, CandidateState], gates: StartGates, draft: DecisionDraft
) -> None:
    """Give free slots to ready instances, in order, based on fresh looks only."""
    fleet, policy = this_pass.fleet, this_pass.policy
    ready = {
        id_: candidate
        for id_, candidate in states.items()
        if isinstance(candidate, Ready) and not is_own_host(fleet.instances[id_], fleet)
    }
    budget = count_budget(this_pass)
    refusals: dict[Zone, Hold | None] = {}
    candidates = [fleet.instances[id_] for id_ in ready]
    picks: list[Instance] = []
    waiting: list[Instance] = []
    roomless: list[Instance] = []
    # If no slot is free, the order does not matter, and most passes can skip the sorting.
    in_line = gates.limits.in_order(candidates) if budget.open else candidates
    if policy.before_drain and budget.open:
        # Hosts whose before-drain document has succeeded go first, before it runs on others.
        in_line.sort(key=lambda instance: not prepared(instance, this_pass))
    for instance in in_line:
        refusal = gates.against(instance, ready[instance.id])
        if refusal is not None:
            draft.steps[instance.id] = _ruled_out(instance, refusal, this_pass, draft, gates)
            continue
        if instance.zone not in refusals:
            refusals[instance.zone] = budget.refusal(instance.zone)
        refusal = refusals[instance.zone]
        if refusal is not None:
            draft.steps[instance.id] = NextStep(hold=refusal)
            waiting.append(instance)
            continue
        refusal = gates.limits.no_room(instance)
        if refusal is not None:
            draft.steps[instance.id] = NextStep(hold=refusal)
            roomless.append(instance)
            continue
        unsaid = held_for_survey(instance, fleet, policy)
        if unsaid is not None:
            draft.steps[instance.id] = NextStep(hold=unsaid[0], look_at=unsaid[1])
            continue
        budget = budget.take(instance)
        refusals.clear()
        gates.limits.leave(instance)
        gates.limits.take(ready[instance.id].target)
        picks.append(instance)
    if picks and not _wait_together(picks, budget, this_pass, draft):
        _start_picks(picks, ready, this_pass, draft)
    if roomless and not picks and not work_goes_on(fleet) and not fleet_is_fresh(this_pass):
        # Before the run ends for lack of room, it looks once more.
        _look_for_room(roomless, fleet, draft)
    if waiting and not picks:
        _look_for_slot(waiting, budget, this_pass, draft)
    if work_goes_on(fleet):
        _renew_aging(waiting, budget.limit, gates.limits, this_pass, draft)


def _look_for_slot(waiting: list[Instance], budget: Budget, this_pass: Pass, draft: DecisionDraft) -> None:
    """The budget is full: look whether it still is, if what fills it may have passed, or will soon."""
    fleet, policy = this_pass.fleet, this_pass.policy
    if has_passed(fleet.full_at, policy.flap_time, this_pass.at):
        # Other people's drains may fill the budget, and may be done by now. A run with updates in progress looks again
        # anyway.
        draft.wants_full_look = not work_goes_on(fleet) or draft.wants_full_look
    if _will_free_a_slot(budget, this_pass):
        _wait_for_slot(waiting, this_pass, draft)


def _will_free_a_slot(budget: Budget, this_pass: Pass) -> bool:
    """Whether the budget is full only because of instances that their groups started to terminate a short while ago.

    That takes minutes, or up to two days with a lifecycle hook that waits. It frees their slots.
    """
    limit, now = this_pass.policy.settle_timeout, this_pass.at
    since = (_leaving_since(id_, this_pass.fleet) for id_, _ in budget.taken)
    leaving = sum(one is not None and not has_passed(one, limit, now) for one in since)
    return leaving > 0 and len(budget.taken) - leaving < budget.limit


def _leaving_since(id_: InstanceId, fleet: Fleet) -> datetime | None:
    instance = fleet.instances.get(id_)
    around = instance.around if instance is not None and instance.claim is None else None
    return around.leaving_since if around is not None else None


def _wait_for_slot(waiting: list[Instance], this_pass: Pass, draft: DecisionDraft) -> None:
    """Look again soon. ECS lists a terminated instance no more, or shows it as INACTIVE."""
    draft.wants_full_look = True
    first = waiting[0].id
    at = this_pass.at + this_pass.policy.leaving_spacing
    draft.steps[first] = NextStep(hold=draft.steps[first].hold, look_at=at, wants_listing=True)


def leave_own_host(
    this_pass: Pass, states: Mapping[InstanceId, CandidateState], gates: StartGates, draft: DecisionDraft
) -> None:
    """After all others, hand our own host over to another run, if it may be drained."""
    fleet = this_pass.fleet
    own = [instance for instance in fleet.instances.values() if is_own_host(instance, fleet)]
    if not own:
        return
    others = [(fleet.instances[id_], step) for id_, step in draft.steps.items()]
    looks = [due(one, step, this_pass) for one, step in others if one not in own]
    awaited = [look for look in looks if look is not None]
    for instance in own:
        candidate = states.get(instance.id)
        if not isinstance(candidate, Ready):
            continue
        refusal = gates.against(instance, candidate)
        no_place = count_budget(this_pass).refusal(instance.zone) or gates.limits.no_room(instance)
        if refusal is not None:
            draft.steps[instance.id] = _ruled_out(instance, refusal, this_pass, draft, gates)
        elif no_place is not None:
            draft.steps[instance.id] = NextStep(hold=no_place)
        elif (unsaid := held_for_survey(instance, fleet, this_pass.policy)) is not None:
            draft.steps[instance.id] = NextStep(hold=unsaid[0], look_at=unsaid[1])
        else:
            done = not awaited and not fleet.slots
            step = hand_over(instance, this_pass, others_done=done)
            calls = any(isinstance(command, CallSuccessor) for command in step.commands)
            if awaited and not fleet.slots and max(awaited) <= this_pass.at:
                # The others wait only for one more look. Read our own host in the same look. If looks take longer than
                # a poll, the two would otherwise never be fresh together, and the run would never end.
                step = replace(step, wants_tasks=True, look_at=this_pass.at)
            # Request no run before a fresh look shows that nothing holds the instance.
            if not calls or facts_are_fresh(instance, this_pass, draft):
                draft.steps[instance.id] = step


def _look_for_room(roomless: list[Instance], fleet: Fleet, draft: DecisionDraft) -> None:
    draft.wants_full_look = True
    for instance in roomless:
        hold_ = draft.steps[instance.id].hold
        draft.steps[instance.id] = NextStep(hold=hold_, look_at=fleet.at, wants_tasks=True)


def _ruled_out(instance: Instance, why: Hold, this_pass: Pass, draft: DecisionDraft, gates: StartGates) -> NextStep:
    """Hold it by a rule. The run waits for holds that may pass soon, and leaves all others to a later run."""
    policy = this_pass.policy
    since = _passing_since(instance, why, this_pass)
    if gates.run_ends or since is None or has_passed(since, policy.settle_timeout, this_pass.at):
        return NextStep(hold=why)
    draft.services_at = this_pass.at + UNSTEADY_POLLS * policy.poll_interval
    draft.wants_full_look = draft.wants_full_look or why.reason is Reason.SETTLING
    return NextStep(hold=why, look_at=draft.services_at)


def _passing_since(instance: Instance, why: Hold, this_pass: Pass) -> datetime | None:
    """Since when a deployment or a health problem has held the next drain; None for every other reason."""
    fleet = this_pass.fleet
    match why.reason:
        case Reason.SERVICE_DEPLOYING:
            return seen_deploying_since(instance, fleet)
        case Reason.UNWELL:
            return fleet.health.since if fleet.health is not None and not fleet.health.denied else None
        case Reason.SETTLING:
            return min(one.progress.impaired_since or fleet.at for one in impaired_on_trial(this_pass))
        case _:
            return None


def _renew_aging(
    waiting: list[Instance], next_in_line: int, limits: RolloutLimits, this_pass: Pass, draft: DecisionDraft
) -> None:
    """Check all waiting hosts again at once, before the report of the next one becomes too old."""
    policy = this_pass.policy

    def aging(instance: Instance) -> bool:
        return instance.check_answer is None or has_passed(
            instance.check_answer.asked_at, policy.report_aging, this_pass.at
        )

    if any(map(aging, waiting)) and any(map(aging, limits.in_order(waiting)[:next_in_line])):
        for instance in waiting:
            if instance.check_answer is None or has_passed(
                instance.check_answer.asked_at, policy.report_aging / 2, this_pass.at
            ):
                hold_ = draft.steps[instance.id].hold
                again = NextStep((Check(instance.id),), hold=hold_, look_at=this_pass.next_poll)
                draft.steps[instance.id] = again


def _ask_again_if_old(
    picks: list[Instance], ready: Mapping[InstanceId, Ready], this_pass: Pass, draft: DecisionDraft
) -> bool:
    """Check all ready hosts again at once if the report of a pick is too old; True if that has to be done first.

    A host whose agent was away since may have been stopped and started, and so have booted what was staged.
    """

    def old(instance: Instance) -> bool:
        answer, away_at = instance.check_answer, instance.progress.last_away_at
        if answer is None or has_passed(answer.asked_at, this_pass.policy.report_max_age, this_pass.at):
            return True
        return away_at is not None and answer.asked_at <= away_at

    if not any(old(pick) for pick in picks):
        return False
    for id_ in ready:
        if old(this_pass.fleet.instances[id_]):
            draft.steps[id_] = NextStep((Check(id_),), look_at=this_pass.next_poll)
    for pick in picks:
        if not old(pick):
            draft.steps[pick.id] = NextStep(look_at=this_pass.next_poll)
    return True


def _wait_together(picks: list[Instance], budget: Budget, this_pass: Pass, draft: DecisionDraft) -> bool:
    """Whether the picks wait a moment for other slots, to start together."""
    together = starts_together_at(len(picks), budget.limit, this_pass)
    if together is not None:
        draft.steps |= {pick.id: NextStep(look_at=together) for pick in picks}
    return together is not None


def _start_picks(
    picks: list[Instance], ready: Mapping[InstanceId, Ready], this_pass: Pass, draft: DecisionDraft
) -> None:
    fleet = this_pass.fleet
    if _ask_again_if_old(picks, ready, this_pass, draft):
        return
    for pick in with_fresh_facts(picks, this_pass, draft):
        if not prepared(pick, this_pass):
            soon = this_pass.next_poll
            draft.steps[pick.id] = NextStep((RunBeforeDrain(pick.id),), look_at=soon)
            continue
        mark = Mark(pick.id, claim_of(ready[pick.id], fleet))
        learned = fleet.durations.drain_of(pick)
        look_at = next_look(this_pass.at, this_pass.at, this_pass.policy.poll_interval, learned)
        # Once the time of a drain is known, there is nothing to see before the host is checked again.
        draft.steps[pick.id] = NextStep((mark, Drain(pick.id)), look_at=look_at, wants_answer_only=learned is not None)


def claim_of(candidate: Ready, fleet: Fleet) -> Claim:
    """The claim to write before an instance is drained."""
    report = candidate.report
    return Claim(
        ClaimPhase.DRAINING,
        fleet.run,
        report.running,
        candidate.target,
        report.boot,
        fleet.at.replace(microsecond=0),
        store=fleet.store,
    )
