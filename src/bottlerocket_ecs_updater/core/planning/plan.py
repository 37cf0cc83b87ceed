"""The plan: what a run would do now, from the same candidate states that a run decides by, with a forecast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from bottlerocket_ecs_updater.core.decision.admission import OfferedUpdate, offered_update, rules_for
from bottlerocket_ecs_updater.core.decision.claimed.let_go import left_in_warm_pool
from bottlerocket_ecs_updater.core.decision.claimed.quarantine import still_quarantined
from bottlerocket_ecs_updater.core.decision.halting import in_quarantine
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.assess import (
    Asking,
    CandidateState,
    Deferred,
    Finished,
    Held,
    Ready,
    Stageable,
    answers_about,
    assess,
)
from bottlerocket_ecs_updater.core.decision.unclaimed.budget import count_budget
from bottlerocket_ecs_updater.core.decision.unclaimed.eligibility import (
    RolloutLimits,
    expected_pace,
    expected_wait,
    rollout_of,
    started_lately,
)
from bottlerocket_ecs_updater.core.decision.unclaimed.order import tasks_to_move
from bottlerocket_ecs_updater.core.decision.unclaimed.own_host import own_last
from bottlerocket_ecs_updater.core.decision.unclaimed.rule_answers import first_hold
from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.host_report import UpdateState
from bottlerocket_ecs_updater.core.model.ids import InstanceId, Zone
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import UpToDate
from bottlerocket_ecs_updater.core.model.phase import Phase, phase_of
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.unchecked import unchecked_rules
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.planning.behind import behind, instance_behind
from bottlerocket_ecs_updater.core.planning.forecast import (
    FORECAST_HORIZON,
    Forecast,
    ForecastLimits,
    Pending,
    RolloutRules,
    forecast,
)
from bottlerocket_ecs_updater.core.planning.launch_advice import Advice, advise
from bottlerocket_ecs_updater.core.planning.rollout_advice import RolloutAdvice, advise_on_rollout
from bottlerocket_ecs_updater.core.planning.room_advice import RoomNote, Unchecked
from bottlerocket_ecs_updater.core.rules.calendars import closes_at, hold_for_calendars, opens_at
from bottlerocket_ecs_updater.core.rules.pace import Pace
from bottlerocket_ecs_updater.core.rules.policy import Policy

HELD_BY_TIME = frozenset(
    {
        Reason.WINDOW_CLOSED,
        Reason.CUTOFF,
        Reason.FROZEN,
        Reason.CALENDAR_CLOSED,
        Reason.CHECKPOINT_FULL,
        Reason.CHECKPOINT_WAIT,
        Reason.DAILY_LIMIT,
    }
)
"""Holds that pass by themselves with time or when others are done. The forecast counts with them."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An instance with an unfinished update of an earlier run. A run finishes it first."""

    instance: InstanceId
    phase: Phase
    claim: Claim
    quarantined: Failed | None = None
    """Why it is quarantined; None if it is not. A run leaves it out of service until it is healthy."""


@dataclass(frozen=True, slots=True)
class Update:
    """An instance that a run would update."""

    instance: InstanceId
    zone: Zone
    source: Version
    target: Version
    staged: bool
    """Whether the target is already staged on the host."""
    tasks: int
    """How many tasks on it would have to move."""
    days_behind: int = 0
    """Whole days since a newer version than its own was first seen."""

    @property
    def downgrade(self) -> bool:
        """Whether the target is older than the version it runs, as after a withdrawn version."""
        return self.target < self.source


@dataclass(frozen=True, slots=True)
class ForecastBasis:
    """The durations that a forecast is based on."""

    pace: Pace
    stages: int = 0
    """How many recorded updates of this cluster the durations come from; 0 for the built-in defaults."""
    drains: int = 0
    reboots: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do now, what it would hold, and why. Every instance appears in exactly one group."""

    at: datetime
    unfinished: tuple[Unfinished, ...]
    updates: tuple[Update, ...]
    """In the order in which they would be updated."""
    later: tuple[Update, ...]
    """Held only for now, by a window, a freeze or a checkpoint: part of the forecast, and of `held`."""
    forecast: Forecast
    held: tuple[tuple[InstanceId, Hold], ...]
    failing: tuple[tuple[InstanceId, Failed], ...]
    current: tuple[tuple[InstanceId, Version], ...]
    basis: ForecastBasis
    windowed: bool
    """Whether maintenance windows are set."""
    advice: tuple[Advice | RoomNote | Unchecked | RolloutAdvice, ...] = ()
    """What a person could improve, apart from the rollout."""
    behind: Mapping[InstanceId, Hold] = field(default_factory=dict)
    """For instances that are held only for now: the hold that will still apply after that, if there is one."""
    days_behind: Mapping[InstanceId, int] = field(default_factory=dict)
    """Whole days since a newer version was first seen, for each instance whose host is offered one."""


def make_plan(fleet: Fleet, policy: Policy) -> Plan:
    """Plan a run on the fleet as it is now. Pure: the same fleet gives the same plan.

    The forecast uses this cluster's recorded durations, or the built-in defaults.
    """
    this_pass = Pass(fleet, policy)
    instances = sorted(fleet.instances.values(), key=lambda instance: instance.id)
    candidates = {instance.id: assess(instance, this_pass) for instance in instances if instance.claim is None}
    able = [fleet.instances[id_] for id_, candidate in candidates.items() if isinstance(candidate, Stageable | Ready)]
    refused, notes = _refused(able, candidates, this_pass)
    held = {id_: why for id_, candidate in candidates.items() if (why := _held(candidate)) is not None} | refused
    pooled = {one.id: why for one in instances if (why := left_in_warm_pool(one)) is not None}
    limits = RolloutLimits(this_pass)
    passing = [fleet.instances[id_] for id_, why in held.items() if why.reason in HELD_BY_TIME]
    still_held = {one.id: why for one in passing if (why := _behind(one, limits, this_pass)) is not None}
    waiting = [one for one in passing if one.id not in still_held and offered_update(one, this_pass) is not None]
    in_line = own_last(limits.in_order(able), fleet)
    updates = tuple(_update(one, candidates[one.id]) for one in in_line if one.id not in refused)
    later = tuple(
        update for one in limits.in_order(waiting) if (update := _later(one, candidates[one.id], this_pass)) is not None
    )
    recorded = fleet.past.recorded
    counts = (len(recorded.stages), len(recorded.drains), len(recorded.reboots))
    basis = ForecastBasis(expected_pace(this_pass), *counts)
    forecast_ = _forecast((*updates, *later), this_pass, basis.pace)
    blocked = {one.instance: _blocked(one, this_pass) for one in updates if one.instance in forecast_.left}
    return Plan(
        at=fleet.at,
        unfinished=tuple(
            _unfinished(one, one.claim) for one in instances if one.claim is not None and one.id not in pooled
        ),
        updates=tuple(_dated(update, fleet) for update in updates if update.instance not in blocked),
        later=tuple(_dated(update, fleet) for update in later),
        forecast=forecast_,
        held=tuple(sorted((held | blocked | pooled).items())),
        failing=tuple(
            (id_, candidate.outcome)
            for id_, candidate in candidates.items()
            if isinstance(candidate, Finished) and isinstance(candidate.outcome, Failed)
        ),
        current=tuple(
            (id_, candidate.outcome.version)
            for id_, candidate in candidates.items()
            if isinstance(candidate, Finished) and isinstance(candidate.outcome, UpToDate)
        ),
        basis=basis,
        windowed=bool(policy.rules.schedule.windows),
        advice=(
            *advise(fleet, {update.instance: update.target for update in (*updates, *later)}),
            *map(RoomNote, notes),
            *(Unchecked(why) for _, why in unchecked_rules(fleet.rules_off)),
            *advise_on_rollout(this_pass),
        ),
        behind=still_held,
        days_behind=_days_behind(instances, fleet),
    )


def _unfinished(instance: Instance, claim: Claim) -> Unfinished:
    phase = phase_of(instance)
    why = still_quarantined(instance, claim) if phase is Phase.QUARANTINED else None
    return Unfinished(instance.id, phase, claim, why)


def _refused(
    able: Iterable[Instance], candidates: Mapping[InstanceId, CandidateState], this_pass: Pass
) -> tuple[dict[InstanceId, Hold], tuple[str, ...]]:
    """The holds of candidates that may be staged but not drained, and notes about room for the others, each once."""
    limits = RolloutLimits(this_pass)
    refused: dict[InstanceId, Hold] = {}
    notes: dict[str, None] = {}
    for instance in limits.in_order(able):
        update = _update(instance, candidates[instance.id])
        report = instance.report
        offered = OfferedUpdate(instance, report, update.target) if report is not None else None
        answers = limits.answers(offered, room=True) if offered is not None else ()
        why = first_hold(answers)
        if why is not None:
            refused[instance.id] = why
        else:
            limits.take(update.target)
            notes |= dict.fromkeys(note for answer in answers for note in answer.notes)
    return refused, tuple(notes)


def _behind(instance: Instance, limits: RolloutLimits, this_pass: Pass) -> Hold | None:
    """The first hold that does not pass by itself, after those that do; None if there is none."""
    offered = offered_update(instance, this_pass)
    if offered is None:
        return None
    answers = (*answers_about(offered, this_pass), *limits.answers(offered, room=True))
    return first_hold([one for one in answers if one.hold is not None and one.hold.reason not in HELD_BY_TIME])


def _blocked(update: Update, this_pass: Pass) -> Hold:
    """Why an instance cannot be scheduled: instances that stay out of service fill the budget."""
    refusal = count_budget(this_pass).refusal(update.zone)
    calendars = hold_for_calendars(
        this_pass.policy.rules.calendars, this_pass.fleet.calendars, this_pass.at, FORECAST_HORIZON
    )
    return refusal or calendars or hold(Reason.NO_PLACE)


def _held(candidate: CandidateState) -> Hold | None:
    match candidate:
        case Held(hold=why):
            return why
        case Finished(outcome=Hold() as why):
            return why
        case Asking() | Deferred():
            return hold(Reason.NOT_ANSWERED)
        case _:
            return None


def _later(instance: Instance, candidate: CandidateState, this_pass: Pass) -> Update | None:
    """The update of an instance that is held for now; None if there is none."""
    offered = offered_update(instance, this_pass)
    if offered is None:
        return None
    report, target = offered.report, offered.target
    staged = isinstance(candidate, Ready) or (report.state is UpdateState.READY and report.staged == target)
    return Update(instance.id, instance.zone, report.running, target, staged, tasks_to_move(instance))


def _update(instance: Instance, candidate: CandidateState) -> Update:
    report = instance.report
    if report is None or not isinstance(candidate, Stageable | Ready):
        raise ValueError(f"{instance.id} has no update")
    ready = isinstance(candidate, Ready)
    return Update(instance.id, instance.zone, report.running, candidate.target, ready, tasks_to_move(instance))


def _dated(update: Update, fleet: Fleet) -> Update:
    late = behind(update.source, update.target, fleet.past.first_seen)
    return replace(update, days_behind=late.days(fleet.at)) if late is not None else update


def _days_behind(instances: Iterable[Instance], fleet: Fleet) -> Mapping[InstanceId, int]:
    late = ((one.id, instance_behind(one, fleet.past.first_seen)) for one in instances)
    return {id_: one.days(fleet.at) for id_, one in late if one is not None}


def _forecast(updates: tuple[Update, ...], this_pass: Pass, pace: Pace) -> Forecast:
    fleet = this_pass.fleet
    targets = {update.target for update in updates}
    # With several versions, waits that one of them may skip are not taken into account.
    rules = rules_for(next(iter(targets)), this_pass) if len(targets) == 1 else this_pass.policy.rules
    budget = count_budget(this_pass)
    lasting = set(in_quarantine(fleet))
    taken = tuple(zone for id_, zone in budget.taken if id_ in lasting or fleet.instances[id_].claim is None)
    limits = ForecastLimits(budget.limit, budget.limit_per_zone, taken)
    pending = [
        Pending(
            one.instance, one.zone, one.target, expected_wait(fleet.instances[one.instance], fleet, rules), one.staged
        )
        for one in updates
    ]
    rollouts = {version: rollout_of(version, this_pass) for version in targets} if rules.checkpoints.steps else {}
    lately = started_lately(fleet)
    opens, closes = (at(rules.calendars, fleet.calendars) for at in (opens_at, closes_at))
    rollout_rules = RolloutRules(rules.schedule, rules.checkpoints, rollouts, lately, opens, closes)
    return forecast(pending, pace, limits, rollout_rules, this_pass.at)
