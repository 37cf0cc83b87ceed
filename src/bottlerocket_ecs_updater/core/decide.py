"""The decision: what is ours is finished first, then what may begin begins.

`decide` is a function of the fleet and the policy alone. `plan` and `run` share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from bottlerocket_ecs_updater.core.barriers import Barriers, barriers_of, left_alone, nothing_begins
from bottlerocket_ecs_updater.core.budget import Budget, count_budget
from bottlerocket_ecs_updater.core.candidate import (
    FLAP_POLLS,
    Asking,
    Done,
    Held,
    Ready,
    Stageable,
    Standing,
    Waiting,
    some_may_be_back,
    stand,
)
from bottlerocket_ecs_updater.core.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.claimed import proceed
from bottlerocket_ecs_updater.core.command import (
    Apply,
    CallSuccessor,
    Check,
    Command,
    Conclude,
    Drain,
    Mark,
    Note,
    RunBeforeDrain,
    Verdict,
)
from bottlerocket_ecs_updater.core.fleet import Fleet, Halt, Instance, Outcome
from bottlerocket_ecs_updater.core.halting import find_halt
from bottlerocket_ecs_updater.core.hooks import prepared
from bottlerocket_ecs_updater.core.ids import InstanceId, Zone
from bottlerocket_ecs_updater.core.order import in_order
from bottlerocket_ecs_updater.core.own import hand_over, is_own_host, own_last
from bottlerocket_ecs_updater.core.policy import STAGE_AHEAD_FACTOR, STAGE_AHEAD_MIN, Policy
from bottlerocket_ecs_updater.core.reasons import Failed, Hold, Reason, hold
from bottlerocket_ecs_updater.core.rest import next_rest
from bottlerocket_ecs_updater.core.room import unsurveyed
from bottlerocket_ecs_updater.core.ruling import Turns
from bottlerocket_ecs_updater.core.settling import UNSTEADY_POLLS, next_settle_look
from bottlerocket_ecs_updater.core.strangers import find_elder, left_to_others
from bottlerocket_ecs_updater.core.waiting import next_look, passed


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, what must be looked at before more can be decided, and when to look again."""

    verdicts: Mapping[InstanceId, Verdict]
    halt: Halt | None
    look_at: datetime | None
    """None when nothing is left that may be done now: the run is over."""
    wants_full_look: bool = False
    """Every instance must be described before an instance may begin."""
    wants_listing: bool = False
    """The cluster must be listed again: an instance may have left, or come back under another registration."""
    services_at: datetime | None = None
    """When the services must be looked at, None when nobody waits for them."""

    @property
    def commands(self) -> Iterable[Command]:
        """All commands, what is ours first."""
        return (command for verdict in self.verdicts.values() for command in verdict.commands)

    @property
    def holds(self) -> Mapping[InstanceId, Hold]:
        """Why each passed-over instance is passed over."""
        return {id_: verdict.hold for id_, verdict in self.verdicts.items() if verdict.hold is not None}


@dataclass(slots=True)
class _Draft:
    """A decision in the making; never seen outside."""

    verdicts: dict[InstanceId, Verdict] = field(default_factory=dict)
    wants_full_look: bool = False
    services_at: datetime | None = None
    """When a deployment that holds an instance is looked at again."""


def decide(fleet: Fleet, policy: Policy) -> Decision:
    """Decide one pass over the whole cluster."""
    draft = _Draft()
    for instance in fleet.instances.values():
        if instance.claim is not None:
            others = left_to_others(instance, fleet, policy)
            theirs = Verdict(hold=others) if others is not None else None
            draft.verdicts[instance.id] = theirs or proceed(instance, instance.claim, fleet, policy)
    hopeful = {id_ for id_, verdict in draft.verdicts.items() if verdict.look_at is not None}
    halt = find_halt(fleet, policy, hopeful)
    standings = {
        instance.id: stand(instance, fleet, policy) for instance in fleet.instances.values() if instance.claim is None
    }
    elder = find_elder(fleet, policy)
    if elder is not None:
        standings = {id_: left_alone(standing, elder) for id_, standing in standings.items()}
    for id_, standing in standings.items():
        draft.verdicts[id_] = _first_verdict(fleet.instances[id_], standing, fleet, policy)
    barriers = barriers_of(nothing_begins(fleet, policy, halt), standings, fleet, policy)
    _stage(fleet, policy, standings, barriers, draft)
    _begin(fleet, policy, standings, barriers, draft)
    _leave_own_host(fleet, policy, standings, barriers, draft)
    return _close(fleet, policy, halt, draft)


def _first_verdict(instance: Instance, standing: Standing, fleet: Fleet, policy: Policy) -> Verdict:
    match standing:
        case Held(hold=why):
            return Verdict(hold=why)
        case Asking():
            return Verdict((Check(instance.id),), look_at=fleet.at + policy.poll_interval)
        case Waiting(until=until):
            return Verdict(look_at=until)
        case Done(outcome=outcome):
            return _concluded(instance, outcome, fleet)
        case Stageable() | Ready():
            return Verdict()
        case _:
            assert_never(standing)


def _concluded(instance: Instance, outcome: Outcome, fleet: Fleet) -> Verdict:
    if instance.trail.outcome is not None:
        return Verdict(hold=outcome if isinstance(outcome, Hold) else None)
    conclusion = Conclude(instance.id, outcome)
    if isinstance(outcome, Failed) and instance.trail.offered is not None:
        rest = next_rest(instance.rest, instance.trail.offered, outcome.failure.code, fleet.at)
        return Verdict((conclusion, Note(instance.id, rest)))
    return Verdict((conclusion,))


def _stage(
    fleet: Fleet,
    policy: Policy,
    standings: Mapping[InstanceId, Standing],
    barriers: Barriers,
    draft: _Draft,
) -> None:
    """Stage ahead of the drains, a chunk at a time: a bad release is then staged on few hosts, and calls are shared."""
    stageable = {id_: s for id_, s in standings.items() if isinstance(s, Stageable)}
    if not stageable:
        return
    ordered = own_last(in_order([fleet.instances[id_] for id_ in stageable], barriers.turns.strays), fleet)
    budget = count_budget(fleet, policy)
    chunk = max(STAGE_AHEAD_MIN, STAGE_AHEAD_FACTOR * budget.limit)
    ahead = [
        id_
        for id_, standing in standings.items()
        if id_ not in barriers.each and _ahead(fleet.instances[id_], standing, budget)
    ]
    room = chunk if len(ahead) <= budget.limit else 0
    turns = _turns_for_staging(ahead, fleet, policy)
    for instance in ordered:
        standing = stageable[instance.id]
        refusal = barriers.whole or turns.spent(standing.target)
        if refusal is not None:
            draft.verdicts[instance.id] = Verdict(hold=refusal)
        elif standing.again or room > 0:
            room -= 0 if standing.again else 1
            turns.take(standing.target)
            apply = Apply(instance.id, standing.target)
            draft.verdicts[instance.id] = Verdict((apply,), look_at=fleet.at + policy.poll_interval)
        else:
            draft.verdicts[instance.id] = Verdict(hold=hold(Reason.STAGING_AHEAD))


def _turns_for_staging(ahead: Iterable[InstanceId], fleet: Fleet, policy: Policy) -> Turns:
    """What is left for those that are not staged yet: a release is staged on no more hosts than may go to it now."""
    turns = Turns(fleet, policy)
    for id_ in ahead:
        told = fleet.instances[id_].told
        report = told.report if told is not None else None
        if report is not None and report.target is not None:
            turns.take(report.target)
    return turns


def _ahead(instance: Instance, standing: Standing, budget: Budget) -> bool:
    """Whether it is staged and its turn may come, or may soon be: only those keep others from being staged."""
    match standing:
        case Ready():
            return budget.zone_refusal(instance.zone) is None
        case Asking() | Waiting():
            answers = instance.told is None or instance.told.report is not None
            return answers or instance.trail.applies > 0
        case _:
            return False


def _begin(
    fleet: Fleet,
    policy: Policy,
    standings: Mapping[InstanceId, Standing],
    barriers: Barriers,
    draft: _Draft,
) -> None:
    """Give free slots to instances that are ready, in order, on the strength of fresh looks only."""
    ready = {
        id_: standing
        for id_, standing in standings.items()
        if isinstance(standing, Ready) and not is_own_host(fleet.instances[id_], fleet)
    }
    budget = count_budget(fleet, policy)
    refusals: dict[Zone, Hold | None] = {}
    candidates = [fleet.instances[id_] for id_ in ready]
    picks: list[Instance] = []
    waiting: list[Instance] = []
    roomless: list[Instance] = []
    # Where no place is free, nobody's turn has come: most passes are spared the sorting.
    in_line = in_order(candidates, barriers.turns.strays) if budget.open else candidates
    if policy.before_drain and budget.open:
        # What the operator's document prepared is taken before anything else is prepared.
        in_line.sort(key=lambda instance: not prepared(instance, policy, fleet.at))
    for instance in in_line:
        refusal = barriers.against(instance.id, ready[instance.id])
        if refusal is not None:
            draft.verdicts[instance.id] = _ruled_out(refusal, fleet, policy, draft)
            continue
        if instance.zone not in refusals:
            refusals[instance.zone] = budget.refusal(instance.zone)
        refusal = refusals[instance.zone]
        if refusal is not None:
            draft.verdicts[instance.id] = Verdict(hold=refusal)
            waiting.append(instance)
            continue
        refusal = barriers.turns.no_room(instance)
        if refusal is not None:
            draft.verdicts[instance.id] = Verdict(hold=refusal)
            roomless.append(instance)
            continue
        budget = budget.take(instance)
        refusals.clear()
        barriers.turns.leave(instance)
        barriers.turns.take(ready[instance.id].target)
        picks.append(instance)
    if picks and not _ask_again_if_old(picks, ready, fleet, policy, draft):
        _begin_picks(picks, ready, fleet, policy, draft)
    if roomless and not picks and not _work_goes_on(fleet) and not _fleet_is_fresh(fleet, policy):
        # Before the run ends for want of room, it looks once more what room there is.
        _look_for_room(roomless, fleet, draft)
    if waiting and not picks and passed(fleet.full_at, FLAP_POLLS * policy.poll_interval, fleet.at):
        # What fills the budget is not always ours, and may be gone since: a run that goes on anyway looks again.
        draft.wants_full_look = not _work_goes_on(fleet) or draft.wants_full_look
    if _work_goes_on(fleet):
        _renew_aging(waiting, budget.limit, barriers.turns, fleet, policy, draft)


def _leave_own_host(
    fleet: Fleet,
    policy: Policy,
    standings: Mapping[InstanceId, Standing],
    barriers: Barriers,
    draft: _Draft,
) -> None:
    """Last of all, and where nothing keeps it from being drained, have our own host taken by another run."""
    own = [instance for instance in fleet.instances.values() if is_own_host(instance, fleet)]
    if not own:
        return
    others = [(fleet.instances[id_], verdict) for id_, verdict in draft.verdicts.items()]
    awaited = [one.id for one, verdict in others if one not in own and _due(one, verdict, fleet, policy) is not None]
    for instance in own:
        standing = standings.get(instance.id)
        if not isinstance(standing, Ready):
            continue
        refusal = barriers.against(instance.id, standing)
        no_place = count_budget(fleet, policy).refusal(instance.zone) or barriers.turns.no_room(instance)
        if refusal is not None:
            draft.verdicts[instance.id] = _ruled_out(refusal, fleet, policy, draft)
        elif no_place is not None:
            draft.verdicts[instance.id] = Verdict(hold=no_place)
        else:
            done = not awaited and not fleet.slots
            verdict = hand_over(instance, fleet, policy, others_done=done)
            calls = any(isinstance(command, CallSuccessor) for command in verdict.commands)
            # Nobody is called for what a fresh look would hold.
            if not calls or _looked_at([instance], fleet, policy, draft):
                draft.verdicts[instance.id] = verdict


def _look_for_room(roomless: list[Instance], fleet: Fleet, draft: _Draft) -> None:
    draft.wants_full_look = True
    for instance in roomless:
        hold_ = draft.verdicts[instance.id].hold
        draft.verdicts[instance.id] = Verdict(hold=hold_, look_at=fleet.at, wants_tasks=True)


def _ruled_out(why: Hold, fleet: Fleet, policy: Policy, draft: _Draft) -> Verdict:
    """Held by a rule. What may pass in a moment is waited for, as settling is; everything else is for another run."""
    since = _passing_since(why, fleet)
    if since is None or passed(since, policy.settle_timeout, fleet.at):
        return Verdict(hold=why)
    draft.services_at = fleet.at + UNSTEADY_POLLS * policy.poll_interval
    return Verdict(hold=why, look_at=draft.services_at)


def _passing_since(why: Hold, fleet: Fleet) -> datetime | None:
    """Since when a deployment, or something that is not well, holds the next drain; None for every other reason."""
    match why.reason:
        case Reason.SERVICE_DEPLOYING:
            return fleet.services.deploying_since if fleet.services is not None else None
        case Reason.UNWELL:
            return fleet.health.since if fleet.health is not None else None
        case _:
            return None


def _work_goes_on(fleet: Fleet) -> bool:
    """Whether a slot of ours will be free again in this run."""
    return bool(fleet.slots) or any(
        instance.claim is not None and instance.claim.phase is not ClaimPhase.QUARANTINED
        for instance in fleet.instances.values()
    )


def _renew_aging(
    waiting: list[Instance], next_in_line: int, turns: Turns, fleet: Fleet, policy: Policy, draft: _Draft
) -> None:
    """Ask those that wait in line again, all in one go, before the next of them would have to be asked for its turn."""

    def aging(instance: Instance) -> bool:
        return instance.told is None or passed(instance.told.asked_at, policy.report_aging, fleet.at)

    if any(map(aging, waiting)) and any(map(aging, in_order(waiting, turns.strays)[:next_in_line])):
        for instance in waiting:
            if instance.told is None or passed(instance.told.asked_at, policy.report_aging / 2, fleet.at):
                hold_ = draft.verdicts[instance.id].hold
                again = Verdict((Check(instance.id),), hold=hold_, look_at=fleet.at + policy.poll_interval)
                draft.verdicts[instance.id] = again


def _ask_again_if_old(
    picks: list[Instance], ready: Mapping[InstanceId, Ready], fleet: Fleet, policy: Policy, draft: _Draft
) -> bool:
    """Ask all ready hosts again in one go where what a pick said has grown old; True when that is done first."""

    def old(instance: Instance) -> bool:
        return instance.told is None or passed(instance.told.asked_at, policy.report_max_age, fleet.at)

    if not any(old(pick) for pick in picks):
        return False
    for id_ in ready:
        if old(fleet.instances[id_]):
            draft.verdicts[id_] = Verdict((Check(id_),), look_at=fleet.at + policy.poll_interval)
    for pick in picks:
        if not old(pick):
            draft.verdicts[pick.id] = Verdict(look_at=fleet.at + policy.poll_interval)
    return True


def _begin_picks(
    picks: list[Instance], ready: Mapping[InstanceId, Ready], fleet: Fleet, policy: Policy, draft: _Draft
) -> None:
    if not _looked_at(picks, fleet, policy, draft):
        return
    for pick in picks:
        if not prepared(pick, policy, fleet.at):
            soon = fleet.at + policy.poll_interval
            draft.verdicts[pick.id] = Verdict((RunBeforeDrain(pick.id),), look_at=soon)
            continue
        mark = Mark(pick.id, claim_of(ready[pick.id], fleet))
        due = next_look(fleet.at, fleet.at, policy.poll_interval, fleet.durations.drain)
        draft.verdicts[pick.id] = Verdict((mark, Drain(pick.id)), look_at=due)


def _looked_at(picks: list[Instance], fleet: Fleet, policy: Policy, draft: _Draft) -> bool:
    """Whether all that a drain of these stands on was looked at just now; if not, have it looked at."""
    if not _fleet_is_fresh(fleet, policy):
        # All in one look, and so of one moment: where looks take longer than a poll, what was looked at
        # one after the other would never be fresh together, and nothing would ever begin.
        draft.wants_full_look = True
        for pick in picks:
            draft.verdicts[pick.id] = Verdict(wants_tasks=True, look_at=fleet.at)
        return False
    unseen = [
        pick
        for pick in picks
        if pick.tasks is None
        or passed(pick.tasks.at, policy.poll_interval, fleet.at)
        or unsurveyed(pick, fleet, policy.poll_interval)
    ]
    if unseen:
        unseen_ids = {pick.id for pick in unseen}
        for pick in picks:
            draft.verdicts[pick.id] = Verdict(wants_tasks=pick.id in unseen_ids, look_at=fleet.at)
    return not unseen


def _fleet_is_fresh(fleet: Fleet, policy: Policy) -> bool:
    """Whether all that is unavailable, and the services' baseline, were looked at within the last poll."""
    if passed(fleet.full_at, policy.poll_interval, fleet.at) or fleet.services is None:
        return False
    return not passed(fleet.services.at, policy.poll_interval, fleet.at)


def claim_of(standing: Ready, fleet: Fleet) -> Claim:
    """The claim that is written before an instance is drained."""
    report = standing.report
    return Claim(
        ClaimPhase.DRAINING,
        fleet.run,
        report.running,
        standing.target,
        report.boot,
        fleet.at.replace(microsecond=0),
        store=fleet.store,
    )


def _close(fleet: Fleet, policy: Policy, halt: Halt | None, draft: _Draft) -> Decision:
    due = (_due(fleet.instances[id_], verdict, fleet, policy) for id_, verdict in draft.verdicts.items())
    looks = [look_at for look_at in due if look_at is not None]
    waited_for = (next_settle_look(fleet, policy), draft.services_at)
    services_at = min((look for look in waited_for if look is not None), default=None)
    if services_at is not None:
        looks.append(services_at)
    if not looks and nothing_begins(fleet, policy, halt) is None and some_may_be_back(fleet, policy):
        # It would be passed over, and others for the place that it takes.
        draft.wants_full_look = True
        looks.append(fleet.at + 2 * policy.poll_interval)
    return Decision(
        draft.verdicts,
        halt,
        min(looks, default=None),
        wants_full_look=draft.wants_full_look,
        wants_listing=any(verdict.wants_listing for verdict in draft.verdicts.values()),
        services_at=_services_for_begin(fleet, policy) if draft.wants_full_look else services_at,
    )


def _due(instance: Instance, verdict: Verdict, fleet: Fleet, policy: Policy) -> datetime | None:
    """When to look because of one instance: who acts looks again, and a run does not end under its own command."""
    if verdict.look_at is None and verdict.commands:
        return fleet.at
    if verdict.look_at is None and instance.flight is not None and instance.registered:
        return fleet.at + policy.poll_interval
    return verdict.look_at


def _services_for_begin(fleet: Fleet, policy: Policy) -> datetime | None:
    services = fleet.services
    fresh = services is not None and not passed(services.at, policy.poll_interval, fleet.at)
    return None if fresh else fleet.at
