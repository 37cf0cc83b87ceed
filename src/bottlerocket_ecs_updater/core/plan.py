"""What a run would do now: the same standings that it decides by, put in order and forecast."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bottlerocket_ecs_updater.core.budget import count_budget, in_quarantine
from bottlerocket_ecs_updater.core.candidate import Asking, Done, Held, Ready, Stageable, Standing, Waiting, stand
from bottlerocket_ecs_updater.core.claim import Claim
from bottlerocket_ecs_updater.core.fleet import Fleet, Instance, UpToDate
from bottlerocket_ecs_updater.core.forecast import STATED, Forecast, Limits, Pace, Pending, Rolls, forecast
from bottlerocket_ecs_updater.core.ids import InstanceId, Zone
from bottlerocket_ecs_updater.core.order import in_order
from bottlerocket_ecs_updater.core.phase import Phase, phase_of
from bottlerocket_ecs_updater.core.policy import Policy
from bottlerocket_ecs_updater.core.reasons import Failed, Hold, Reason, hold
from bottlerocket_ecs_updater.core.version import Version


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Begun by an earlier run: a run finishes it first."""

    instance: InstanceId
    phase: Phase
    claim: Claim


@dataclass(frozen=True, slots=True)
class Update:
    """An instance that a run would update."""

    instance: InstanceId
    zone: Zone
    source: Version
    target: Version
    staged: bool
    """Whether the host would boot into the target already."""
    tasks: int
    """Tasks on it that would have to move."""

    @property
    def downgrade(self) -> bool:
        """Whether its repository has withdrawn the release that it runs."""
        return self.target < self.source


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do now, and what it would leave alone, and why; every instance is in exactly one place."""

    at: datetime
    unfinished: tuple[Unfinished, ...]
    updates: tuple[Update, ...]
    """In the order in which they would be taken."""
    forecast: Forecast
    held: tuple[tuple[InstanceId, Hold], ...]
    failing: tuple[tuple[InstanceId, Failed], ...]
    current: tuple[tuple[InstanceId, Version], ...]


def plan(fleet: Fleet, policy: Policy, pace: Pace = STATED) -> Plan:
    """Plan a run over the fleet as it is now. Pure: the same fleet gives the same plan."""
    instances = sorted(fleet.instances.values(), key=lambda instance: instance.id)
    standings = {instance.id: stand(instance, fleet, policy) for instance in instances if instance.claim is None}
    able = [fleet.instances[id_] for id_, standing in standings.items() if isinstance(standing, Stageable | Ready)]
    updates = tuple(_update(instance, standings[instance.id]) for instance in in_order(able))
    forecast_ = _forecast(updates, fleet, policy, pace)
    blocked = {id_: _blocked(fleet.instances[id_], fleet, policy) for id_ in forecast_.left}
    held = {id_: why for id_, standing in standings.items() if (why := _held(standing)) is not None}
    return Plan(
        at=fleet.at,
        unfinished=tuple(
            Unfinished(instance.id, phase_of(instance), instance.claim)
            for instance in instances
            if instance.claim is not None
        ),
        updates=tuple(update for update in updates if update.instance not in blocked),
        forecast=forecast_,
        held=tuple(sorted((held | blocked).items())),
        failing=tuple(
            (id_, standing.outcome)
            for id_, standing in standings.items()
            if isinstance(standing, Done) and isinstance(standing.outcome, Failed)
        ),
        current=tuple(
            (id_, standing.outcome.version)
            for id_, standing in standings.items()
            if isinstance(standing, Done) and isinstance(standing.outcome, UpToDate)
        ),
    )


def _blocked(instance: Instance, fleet: Fleet, policy: Policy) -> Hold:
    """Why an instance can never begin as things stand: what is out of service for good leaves it no place."""
    refusal = count_budget(fleet, policy).refusal(instance.zone)
    return refusal if refusal is not None else hold(Reason.NO_PLACE)


def _held(standing: Standing) -> Hold | None:
    match standing:
        case Held(hold=why):
            return why
        case Done(outcome=Hold() as why):
            return why
        case Asking() | Waiting():
            return hold(Reason.NOT_ANSWERED)
        case _:
            return None


def _update(instance: Instance, standing: Standing) -> Update:
    report = instance.told.report if instance.told is not None else None
    if report is None or not isinstance(standing, Stageable | Ready):
        raise ValueError(f"{instance.id} has nothing to be updated to")
    registration = instance.registration
    tasks = registration.running_tasks + registration.pending_tasks if registration is not None else 0
    ready = isinstance(standing, Ready)
    return Update(instance.id, instance.zone, report.running, standing.target, ready, tasks)


def _forecast(updates: tuple[Update, ...], fleet: Fleet, policy: Policy, pace: Pace) -> Forecast:
    budget = count_budget(fleet, policy)
    lasting = set(in_quarantine(fleet))
    taken = tuple(zone for id_, zone in budget.taken if id_ in lasting or fleet.instances[id_].claim is None)
    limits = Limits(budget.limit, budget.limit_per_zone, taken)
    pending = [Pending(update.instance, update.zone, update.target, staged=update.staged) for update in updates]
    return forecast(pending, pace, limits, Rolls(), fleet.at)
