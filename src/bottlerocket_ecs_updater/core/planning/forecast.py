"""Forecast of a rollout: which instances are updated together, when each batch starts and ends, in how many windows.

The forecast simulates the rollout with the rules themselves, using this cluster's recorded durations or the defaults.
The engine frees slots one at a time, so batches are an approximation. The forecast is late rather than early.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.ids import InstanceId, Zone
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.checkpoints import Allowance, Checkpoints, RolloutState, allow, allow_today
from bottlerocket_ecs_updater.core.rules.pace import Pace, needed
from bottlerocket_ecs_updater.core.rules.windows import Closed, Open, Schedule, open_at

FORECAST_HORIZON = timedelta(days=366)
"""A forecast ends after a year."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An instance to update."""

    id: InstanceId
    zone: Zone
    target: Version
    waits: timedelta = timedelta()
    """How long its drain may wait for tasks, by the task rules."""
    staged: bool = False


@dataclass(frozen=True, slots=True)
class ForecastLimits:
    """How many instances may be out of service at once."""

    total: int = 1
    per_zone: Mapping[Zone, int] = field(default_factory=dict)
    taken: tuple[Zone, ...] = ()
    """The zone of each instance that stays out of service, such as quarantined ones."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Instances that are out of service at the same time."""

    instances: tuple[InstanceId, ...]
    begins: datetime
    ends: datetime
    """When the cluster has settled after them."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The course of a rollout in which nothing fails."""

    batches: tuple[Batch, ...]
    ends: datetime | None
    """When the last batch has settled; None if some updates can never start."""
    windows: int
    """How many maintenance windows it needs; 1 if none are set."""
    left: tuple[InstanceId, ...] = ()
    """Instances that cannot be scheduled: no window is long enough, or the budget never has a free slot."""


@dataclass(frozen=True, slots=True)
class RolloutRules:
    """The operator's rules for a rollout, and its history."""

    schedule: Schedule = field(default_factory=Schedule)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    rollouts: Mapping[Version, RolloutState] = field(default_factory=dict)
    """How far the rollout of each version is. Updates in progress are assumed to succeed in the expected time."""
    started: tuple[datetime, ...] = ()
    """When updates started in the last day."""
    calendars_open: datetime | None = None
    """When change calendars open that are closed now; what they do after that is not known."""
    calendars_close: datetime | None = None
    """When the first change calendar closes that is open now: no update starts that would not end before."""


def forecast(
    pending: Sequence[Pending], pace: Pace, limits: ForecastLimits, rules: RolloutRules, now: datetime
) -> Forecast:
    """Simulate the rollout, in the order of `pending`."""
    state = _State(max(now, rules.calendars_open or now), list(pending), rules, now + pace.out_of_service)
    if any(not each.staged for each in pending):
        state.at += pace.stage
    while state.waiting and state.at <= now + FORECAST_HORIZON:
        opened = open_at(rules.schedule.windows, rules.schedule.freezes, state.at)
        if isinstance(opened, Closed):
            state.at = opened.next_opens
            continue
        if rules.calendars_close is not None:
            opened = Open(min(opened.until or rules.calendars_close, rules.calendars_close))
        batch, later = _next_batch(state, opened, pace, limits)
        if batch:
            state.begin(batch, opened, pace)
        elif later is None or later == rules.calendars_close:
            break
        else:
            state.at = later
    ends = state.batches[-1].ends if state.batches else now
    left = tuple(each.id for each in state.waiting)
    return Forecast(tuple(state.batches), None if left else ends, max(1, len(state.closings)), left)


class _State:
    """The state of the simulation; used only in this module."""

    def __init__(self, now: datetime, waiting: list[Pending], rules: RolloutRules, back: datetime) -> None:
        self.at = now
        self.waiting = waiting
        self.rollouts = {version: _all_done(rollout, back) for version, rollout in rules.rollouts.items()}
        self.checkpoints = rules.checkpoints
        self.started = list(rules.started)
        self.batches: list[Batch] = []
        self.closings: set[datetime | None] = set()
        """The windows in which an update started, by when they close."""

    def allowance(self, version: Version) -> Allowance:
        rollout = self.rollouts.get(version) or RolloutState(
            version, len(self.waiting) + sum(len(b.instances) for b in self.batches)
        )
        self.rollouts[version] = rollout
        return allow(self.checkpoints, rollout, self.at)

    def today(self) -> Allowance:
        return allow_today(self.checkpoints, self.started, self.at)

    def begin(self, batch: list[Pending], opened: Open, pace: Pace) -> None:
        back = self.at + needed(pace, max(each.waits for each in batch))
        self.batches.append(Batch(tuple(each.id for each in batch), self.at, back + pace.settle))
        self.closings.add(opened.until)
        self.started += [self.at] * len(batch)
        for each in batch:
            rollout = self.rollouts[each.target]
            self.rollouts[each.target] = replace(rollout, done=(*rollout.done, back))
        taken = {each.id for each in batch}
        self.waiting = [each for each in self.waiting if each.id not in taken]
        self.at = back + pace.settle


def _next_batch(
    state: _State, opened: Open, pace: Pace, limits: ForecastLimits
) -> tuple[list[Pending], datetime | None]:
    """The instances that start now; if there are none, when to try again, or None if time alone changes nothing."""
    today = state.today()
    allowances: dict[Version, Allowance] = {}
    zones = list(limits.taken)
    batch: list[Pending] = []
    later: list[datetime] = []
    for each in state.waiting:
        if len(zones) >= limits.total:
            break
        allowance = allowances.get(each.target) or state.allowance(each.target)
        blocked = next((one for one in (allowance, today) if one.refusal() is not None), None)
        if blocked is not None:
            later += [blocked.until] if blocked.until is not None else []
            continue
        if opened.until is not None and state.at + needed(pace, each.waits) > opened.until:
            later.append(opened.until)
            continue
        if zones.count(each.zone) >= limits.per_zone.get(each.zone, limits.total):
            continue
        batch.append(each)
        zones.append(each.zone)
        today, allowances[each.target] = today.take(), allowance.take()
    return batch, min(later, default=None)


def _all_done(rollout: RolloutState, back: datetime) -> RolloutState:
    return replace(rollout, done=(*rollout.done, *[back] * rollout.in_progress), in_progress=0)
