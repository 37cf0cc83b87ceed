"""Whether an instance is eligible: applies the operator's rules to the fleet.

`plan`, `run` and `explain` all evaluate the rules through this module, so that they always agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache

from bottlerocket_ecs_updater.core.capacity.cluster_room import ClusterRoom
from bottlerocket_ecs_updater.core.capacity.will_it_fit import Fits, NoRoom, room_hold
from bottlerocket_ecs_updater.core.decision.admission import OfferedUpdate, not_published, rules_for
from bottlerocket_ecs_updater.core.decision.affected import deploying_on, hold_for_deployments
from bottlerocket_ecs_updater.core.decision.blockers import blocked, names_on
from bottlerocket_ecs_updater.core.decision.instance_health import impaired_on_trial
from bottlerocket_ecs_updater.core.decision.not_counted import is_there, not_selected, set_aside
from bottlerocket_ecs_updater.core.decision.tasks_on_host import tasks_on
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.group_takes import groups_that_take, last_known_group
from bottlerocket_ecs_updater.core.decision.unclaimed.order import in_order
from bottlerocket_ecs_updater.core.decision.unclaimed.rule_answers import Case, RuleAnswer, before_drain, before_staging
from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import RecordedDurations
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.checkpoints import Allowance, RolloutState, allow, allow_today
from bottlerocket_ecs_updater.core.rules.health import hold_for_health
from bottlerocket_ecs_updater.core.rules.pace import Pace, needed, pace_from
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.tasks import TaskOnHost, longest_wait, may_leave

CUTOFF_SHARE = 0.9
"""Before a window closes, an update is expected to take as long as this share of the recorded updates did."""


def answers_before_staging(offered: OfferedUpdate, this_pass: Pass) -> tuple[RuleAnswer, ...]:
    """Whether the update may be staged, or a staged one kept for a drain, rule by rule."""
    rules = rules_for(offered.target, this_pass)
    case = _case(offered, this_pass, _needed(offered.instance, this_pass, staged=False))
    return (_pause(this_pass.fleet), *before_staging(case, rules, this_pass.at)) if case is not None else ()


def tasks_hold(instance: Instance, this_pass: Pass) -> Hold | None:
    """Why its tasks do not allow a drain; None if they do."""
    rules = this_pass.policy.rules.tasks
    nothing_special = not rules.rules and (instance.around is None or not instance.around.protected)
    if nothing_special and all(task.of_service for task in instance.tasks_left):
        return None
    return may_leave(tasks_on(instance, this_pass.fleet), rules, this_pass.at)


class RolloutLimits:
    """What the rules still allow in one pass: checkpoints, the daily limit and room, counted down with each pick."""

    def __init__(self, this_pass: Pass) -> None:
        self._pass = this_pass
        self._today = allow_today(this_pass.policy.rules.checkpoints, started_lately(this_pass.fleet), this_pass.at)
        self._rooms = ClusterRoom(this_pass.fleet)
        self._allowances: dict[Version, Allowance] = {}
        self._taking = groups_that_take(this_pass.fleet)
        self._picked: frozenset[str] = frozenset()
        """The groups and families of the tasks on the instances picked in this pass."""

    def in_order(self, instances: Iterable[Instance]) -> list[Instance]:
        """The instances in the order in which they are updated."""
        return in_order(instances, self.tasks_moved_again, self._pass.fleet.past.broken)

    def answers(self, offered: OfferedUpdate, *, room: bool = False) -> tuple[RuleAnswer, ...]:
        """Whether the instance may be drained, rule by rule; with `room`, also whether its tasks fit elsewhere."""
        fleet, instance, target = self._pass.fleet, offered.instance, offered.target
        case = _case(
            offered,
            self._pass,
            _needed(instance, self._pass, staged=True),
            left=tasks_on(instance, fleet),
            allowances=self._left(target),
            room=self.room(instance) if room else None,
        )
        case = replace(case, deployments=self._deploying(instance)) if case is not None else None
        tasks = (
            RuleAnswer("services", self._unknown(instance)),
            RuleAnswer("drains", self._earlier_drains(instance)),
        )
        rules = rules_for(target, self._pass)
        return (_pause(fleet), *tasks, *before_drain(case, rules, fleet.at)) if case is not None else ()

    def blocked(self, target: Version) -> Hold | None:
        """Why no instance ready for that version may be drained now: a rollout limit or health; None if one may.

        All other rules were checked for each instance when it was found ready.
        """
        return self.spent(target) or self.unready()

    def unready(self) -> Hold | None:
        """Why no instance at all may be drained now: the cluster is not healthy. None if one may."""
        fleet, rules = self._pass.fleet, self._pass.policy.rules
        unwell = hold_for_health(fleet.health) if rules.health and fleet.health is not None else None
        impaired = impaired_on_trial(self._pass)
        return unwell or (hold(Reason.SETTLING, instance=impaired[0].id) if impaired else None)

    def unmovable(self, instance: Instance) -> Hold | None:
        """Why an instance must not be drained now: a deployment, or the results of earlier drains; None if it may."""
        return self._deploying(instance) or self._earlier_drains(instance)

    def _earlier_drains(self, instance: Instance) -> Hold | None:
        return blocked(instance, self._pass, self._picked) or self._taking.get(last_known_group(instance))

    def _deploying(self, instance: Instance) -> Hold | None:
        return hold_for_deployments(deploying_on(instance, self._pass.fleet), self._pass.policy.rules.tasks)

    def room(self, instance: Instance) -> Fits | NoRoom | None:
        """Whether its tasks would fit elsewhere; None if room is not checked, or if too little is known."""
        return self._rooms.for_drain_of(instance) if self._pass.policy.rules.check_room else None

    def no_room(self, instance: Instance) -> Hold | None:
        """Why its tasks have no room elsewhere, or why that is not known; None if they have room."""
        unknown = self._unknown(instance)
        room = self.room(instance) if unknown is None else None
        return room_hold(room) if room is not None else unknown

    def _unknown(self, instance: Instance) -> Hold | None:
        service = self._rooms.unknown_on(instance)
        return hold(Reason.SERVICE_UNKNOWN, service=service.name, why=service.unknown) if service is not None else None

    def tasks_moved_again(self, instance: Instance) -> int:
        """How many of its tasks would have to be moved again later in the rollout."""
        return self._rooms.tasks_moved_again(instance)

    def leave(self, instance: Instance) -> None:
        """Count its tasks among those that have to move."""
        self._rooms.take(instance)
        self._picked |= names_on(instance)

    def spent(self, target: Version) -> Hold | None:
        """Why no other instance may start an update to that version; None if one may."""
        return next((why for one in self._left(target) if (why := one.refusal()) is not None), None)

    def take(self, target: Version) -> None:
        """Count one more instance that is updated to that version."""
        self._allowances[target] = self._of(target).take()
        self._today = self._today.take()

    def take_reported(self, instance: Instance) -> None:
        """Count an instance for the version that its host reported as its target, if it reported one."""
        report = instance.report
        if report is not None and report.target is not None:
            self.take(report.target)

    def _left(self, target: Version) -> tuple[Allowance, ...]:
        return self._of(target), self._today

    def _of(self, target: Version) -> Allowance:
        if target not in self._allowances:
            checkpoints = rules_for(target, self._pass).checkpoints
            rollout = rollout_of(target, self._pass) if checkpoints.steps else RolloutState(target, 0)
            self._allowances[target] = allow(checkpoints, rollout, self._pass.at)
        return self._allowances[target]


def rollout_of(version: Version, this_pass: Pass) -> RolloutState:
    """How far the rollout of a version is in the cluster: which instances are done, failed or in progress.

    Instances that the updater manages count. One that left the cluster keeps its result, because a terminated canary
    was still a test of the version. One that failed counts even if it is not selected now.
    """
    fleet = this_pass.fleet
    there = [instance for instance in fleet.instances.values() if instance.bottlerocket and is_there(instance)]
    selected = [one for one in there if (not_selected(one, this_pass.policy) or set_aside(one)) is None]
    claims = [(one.id, one.claim) for one in there if one.claim is not None and one.claim.target == version]
    in_progress = {id_ for id_, claim in claims if claim.phase is not ClaimPhase.QUARANTINED}
    failed = {*_failed_at(version, fleet), *(id_ for id_, claim in claims if _is_failed(claim, fleet))} - in_progress
    done = {one.id: at for one in selected if (at := _on_since(one, version, fleet)) is not None}
    done |= _done_and_gone(version, fleet, {instance.id for instance in there})
    done = {id_: at for id_, at in done.items() if id_ not in failed | in_progress}
    left = {*done, *failed} - {instance.id for instance in there}
    # A fleet file saved by an older updater has only the number of failures.
    nameless = max(0, fleet.suspects.get(version, 0) - len(_failed_at(version, fleet)))
    return RolloutState(
        version, len(selected) + len(left), tuple(done.values()), len(failed) + nameless, len(in_progress)
    )


def _failed_at(version: Version, fleet: Fleet) -> frozenset[InstanceId]:
    return fleet.past.failed_on.get(version, frozenset())


def _is_failed(claim: Claim, fleet: Fleet) -> bool:
    """Whether it was quarantined, and nobody has marked the version as good since."""
    released = fleet.past.released.get(claim.target)
    return claim.phase is ClaimPhase.QUARANTINED and (released is None or released < claim.since)


def _on_since(instance: Instance, version: Version, fleet: Fleet) -> datetime | None:
    """Since when an instance is known to run a version; None if it does not, or if that is not known.

    If it runs the version without an update of ours, it counts from when it was first found on it: it may have been
    launched with the version days ago, or updated by hand a minute ago.
    """
    report = instance.report
    if report is not None and report.running != version:
        return None
    known = fleet.past.came_to(instance.id, version)
    return fleet.at if known is None and report is not None and _in_service(instance) else known


def _done_and_gone(version: Version, fleet: Fleet, there: Collection[InstanceId]) -> Mapping[InstanceId, datetime]:
    gone = {*fleet.past.updated, *fleet.past.found_on} - {*there}
    return {id_: at for id_ in sorted(gone) if (at := fleet.past.came_to(id_, version)) is not None}


def _in_service(instance: Instance) -> bool:
    registration = instance.registration
    return registration is not None and registration.in_service


def newly_found(fleet: Fleet, policy: Policy) -> Mapping[InstanceId, Version]:
    """Instances in service on a version that others are offered, with no record of since when they run it."""
    if not policy.rules.checkpoints.steps:
        return {}
    reports = {one.id: one.check_answer.report for one in fleet.instances.values() if one.check_answer is not None}
    offered = {report.target for report in reports.values() if report is not None}
    found: dict[InstanceId, Version] = {}
    for id_, report in reports.items():
        instance = fleet.instances[id_]
        if report is None or report.running not in offered or instance.claim is not None:
            continue
        if instance.bottlerocket and _in_service(instance) and fleet.past.came_to(id_, report.running) is None:
            found[id_] = report.running
    return found


def started_lately(fleet: Fleet) -> tuple[datetime, ...]:
    """When updates started in the last day, once for each instance: those drained, and those claimed for a drain.

    A claimed instance that was not drained yet counts only while it has its claim, so a refused or repeated claim does
    not count twice.
    """
    claims = ((one.id, one.claim) for one in fleet.instances.values())
    marked = {id_: claim.since for id_, claim in claims if claim is not None and claim.phase is ClaimPhase.DRAINING}
    each = {id_: max(marked.get(id_, at), at) for id_, at in fleet.past.started.items()}
    return (*fleet.past.started_nameless, *(marked | each).values())


def expected_pace(this_pass: Pass, share: float = 0.5) -> Pace:
    """How long updates are expected to take in this cluster, from recorded durations."""
    return _pace(this_pass.fleet.past.recorded, this_pass.policy.settle, share)


def expected_wait(instance: Instance, fleet: Fleet, rules: Rules) -> timedelta:
    """How long its drain may wait for tasks, by the task rules."""
    return longest_wait(tasks_on(instance, fleet), rules.tasks)


def _case(
    offered: OfferedUpdate,
    this_pass: Pass,
    time: timedelta,
    *,
    left: tuple[TaskOnHost, ...] | None = None,
    allowances: Iterable[Allowance] = (),
    room: Fits | NoRoom | None = None,
) -> Case | None:
    fleet, instance = this_pass.fleet, offered.instance
    registration = instance.registration
    if registration is None:
        return None
    return Case(
        registration=registration,
        running=offered.report.running,
        target=offered.target,
        first_seen=fleet.past.first_seen,
        capacity_provider=registration.capacity_provider,
        membership=instance.membership,
        needed=time,
        allowances=tuple(allowances),
        left=left,
        room=room,
        health=fleet.health,
        shared=fleet.shared,
        calendars=fleet.calendars,
        published=not_published(instance, offered.target, this_pass),
    )


def _needed(instance: Instance, this_pass: Pass, *, staged: bool) -> timedelta:
    """How long it is expected to take until it is back in service; 0 without windows, freezes and calendars."""
    rules = this_pass.policy.rules
    if not rules.schedule.windows and not rules.schedule.freezes and not rules.calendars:
        return timedelta()
    pace = expected_pace(this_pass, CUTOFF_SHARE)
    return needed(pace, expected_wait(instance, this_pass.fleet, rules)) + (timedelta() if staged else pace.stage)


def _pause(fleet: Fleet) -> RuleAnswer:
    return RuleAnswer("pause", hold(Reason.PAUSED, why=fleet.paused) if fleet.paused else None)


@lru_cache(maxsize=8)
def _pace(recorded: RecordedDurations, settle: timedelta, share: float) -> Pace:
    return pace_from(recorded, settle, share=share)
