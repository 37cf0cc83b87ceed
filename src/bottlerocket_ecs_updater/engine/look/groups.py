"""Reads what Auto Scaling and EC2 say about instances: their group, and whether they still exist."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from bottlerocket_ecs_updater.core.decision.not_counted import is_kept_warm, set_aside
from bottlerocket_ecs_updater.core.model.auto_scaling import InGroup, Membership, is_warm, taken_away
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import PingStatus, Status
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.model.instance import Instance, Machine
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.engine.look.context import LookContext
from bottlerocket_ecs_updater.engine.look.rule_calls import GROUPS, MACHINES, REFRESHES, Missed, NotNow, RuleCalls
from bottlerocket_ecs_updater.engine.ports import Survey

DRAINED_EVERY = timedelta(minutes=1)
"""How often to read the Auto Scaling group of instances that somebody else drained, or that may leave a warm pool."""

AWAY_FOR = timedelta(minutes=3)
"""After this time a rebooting host is usually back; for one that is not, EC2 shows whether it still exists."""

ONE_GROUP_CALL = 50
"""Instances per DescribeAutoScalingInstances call."""

Refreshes = Mapping[str, datetime | None] | NotNow | None
"""The groups with an active refresh and since when; or they were not read now; or None if the rule is off."""


class GroupLooks:
    """Reads the Auto Scaling state of instances, and describes in EC2 those that are out of reach."""

    def __init__(self, context: LookContext, survey: Survey | None, rules: RuleCalls) -> None:
        self._known = context.known
        self._survey = survey
        self._rules = rules
        self._machines_asked: dict[InstanceId, datetime] = {}
        """When EC2 was last asked about each instance."""
        self._moving_since: dict[InstanceId, datetime] = {}
        """Since when the group of each unclaimed instance may explain the instance's state."""

    def look_at_all(self) -> None:
        """Read the Auto Scaling state of Bottlerocket instances, with every listing of the cluster.

        Skips instances that are done in this run.
        """
        ours = [one for one in self._known.instances.values() if one.bottlerocket and one.registration is not None]
        self.look_at([one.id for one in ours if one.progress.outcome is None])

    def look_at_machines(self) -> None:
        """Describe in EC2 the instances that ECS or Systems Manager cannot reach, or that someone else drained."""
        self._ask_ec2([one.id for one in self._known.instances.values() if self._is_odd(one)])

    def look_at_gone(self) -> None:
        """Describe in EC2 the instances whose agent is disconnected, if EC2 was not asked about them since.

        The same for those that came back on their old version: somebody may have stopped them during their boot.
        """
        ours = self._known.instances.values()
        self._ask_ec2([one.id for one in ours if self._has_gone(one) or self._has_rolled_back(one)])

    def look_at_stopped(self) -> None:
        """Describe again the instances that do not count because they are stopped. One may have been started since.

        It counts from then on, as one whose agent is disconnected.
        """
        self._ask_ec2([one.id for one in self._known.instances.values() if one.registered and _is_stopped(one)])

    def _is_odd(self, instance: Instance) -> bool:
        return _odd(instance, self._known.fleet.run, self._known.now)

    def _has_rolled_back(self, instance: Instance) -> bool:
        claim, report, new_boot = instance.claim, instance.report, instance.progress.new_boot
        if claim is None or report is None or new_boot is None or report.running != claim.source:
            return False
        asked_at = self._machines_asked.get(instance.id)
        return asked_at is None or asked_at < new_boot.answered_at

    def _has_gone(self, instance: Instance) -> bool:
        since, asked_at = instance.progress.disconnected_since, self._machines_asked.get(instance.id)
        if since is None or not self._is_odd(instance):
            return False
        unknown = instance.around is None or instance.around.machine is None
        return asked_at is None or asked_at < since or (unknown and asked_at < self._known.now)

    def _ask_ec2(self, asked: Sequence[InstanceId]) -> None:
        survey = self._survey
        if survey is None or not asked:
            return
        found = self._rules.ask(MACHINES, lambda: survey.machines(asked))
        if found is None or isinstance(found, NotNow):
            return
        for id_ in asked:
            self._machines_asked[id_] = self._known.now
            around = self._known.around(id_)
            machine = _after(around.machine, found.get(id_), self._known.now)
            self._known.learn_around(id_, replace(around, machine=machine))

    def look_at_claimed(self, wanted: Collection[InstanceId]) -> None:
        """Read the Auto Scaling state of claimed instances. One call covers all of them."""
        if wanted:
            self.look_at(self._claimed(), refreshes=False)

    def look_at_moving(self) -> None:
        """Read the groups of instances that these may have drained, stopped or put into service meanwhile."""
        now = self._known.now
        moving = [one for one in self._known.instances.values() if _may_be_moved(one)]
        first_seen = {one.id: self._moving_since.get(one.id, now) for one in moving}
        self._moving_since = first_seen
        due = [one.id for one in moving if _group_due(one, first_seen[one.id], now)]
        self.look_at(due)

    def sharing_a_call(self, candidates: Sequence[InstanceId]) -> Sequence[InstanceId]:
        """The candidates, and as many others as fit in the same call: claimed ones, and ones in warm pools.

        One that its group has put into service counts as unavailable until its agent connects.
        """
        warm = (one.id for one in self._known.instances.values() if one.registered and is_kept_warm(one))
        others = (id_ for id_ in dict.fromkeys((*self._claimed(), *warm)) if id_ not in candidates)
        return [*candidates, *islice(others, max(0, ONE_GROUP_CALL - len(candidates)))]

    def _claimed(self) -> list[InstanceId]:
        return [one.id for one in self._known.instances.values() if one.claim is not None and one.registered]

    def look_at(self, ids: Sequence[InstanceId], *, refreshes: bool = True) -> Iterable[Missed]:
        """Read each instance's group. If AWS does not answer, keep the old data and record that it is outdated."""
        now = self._known.now
        survey = self._survey
        if survey is None or not ids:
            return ()
        found = self._rules.ask(GROUPS, lambda: survey.memberships(ids))
        if isinstance(found, NotNow):
            for id_ in ids:
                before = self._known.around(id_)
                self._known.learn_around(id_, replace(before, group_missed_since=before.group_missed_since or now))
            return [(id_, f"its Auto Scaling group: {found.why}") for id_ in ids]
        active = self._refreshing(survey, found or {}) if refreshes else NotNow("")
        for id_ in ids:
            before = self._known.around(id_)
            membership = _with_refresh(found.get(id_) if found is not None else None, before.membership, active)
            group = membership.group if isinstance(membership, InGroup) else before.group
            # Its group has started it since: that EC2 reported it as stopped is true no more.
            left_pool = is_warm(before.membership) and not is_warm(membership)
            after = replace(
                before,
                at=now,
                machine=None if left_pool else before.machine,
                membership=membership,
                group=group,
                group_at=now,
                group_missed_since=None,
                warm_at=now if is_warm(membership) else before.warm_at,
                leaving_since=(before.leaving_since or now) if taken_away(membership) is not None else None,
            )
            self._known.learn_around(id_, after)
        if refreshes and isinstance(active, NotNow):
            return [(id_, f"the instance refreshes of its Auto Scaling group: {active.why}") for id_ in ids]
        return ()

    def _refreshing(self, survey: Survey, found: Mapping[InstanceId, Membership]) -> Refreshes:
        """The active refreshes of these groups. Without them, what is known of the groups still counts."""
        groups = sorted({one.group for one in found.values() if isinstance(one, InGroup)})
        return self._rules.ask(REFRESHES, lambda: survey.refreshing(groups)) if groups else {}


def _with_refresh(found: Membership | None, before: Membership | None, active: Refreshes) -> Membership | None:
    """The membership with its group's instance refresh; if that was not read now, as it was known before."""
    if not isinstance(found, InGroup):
        return found
    if not isinstance(active, NotNow):
        return replace(
            found, refreshing=found.group in (active or {}), refreshing_since=(active or {}).get(found.group)
        )
    if isinstance(before, InGroup) and found.group == before.group:
        return replace(found, refreshing=before.refreshing, refreshing_since=before.refreshing_since)
    return found


def _may_be_moved(instance: Instance) -> bool:
    """Whether its group explains why an unclaimed instance is DRAINING, or why its agent came or went.

    A claimed instance is read while its group keeps it in its warm pool: its update continues afterwards.
    """
    registration = instance.registration
    if instance.claim is not None:
        return is_kept_warm(instance)
    if registration is None or not instance.bottlerocket:
        return False
    return registration.status is Status.DRAINING or not registration.connected or is_kept_warm(instance)


def _group_due(instance: Instance, moving_since: datetime, now: datetime) -> bool:
    """Whether its group has not answered since then, or may have moved it again.

    An instance whose agent only disconnected is read once: a group stops it as the last step.
    """
    answered_at = instance.around.group_at if instance.around is not None else None
    if answered_at is None or answered_at < moving_since:
        return True
    registration = instance.registration
    up = registration is not None and (registration.connected or registration.status is Status.DRAINING)
    return up and has_passed(answered_at, DRAINED_EVERY, now)


def _after(before: Machine | None, found: Machine | None, now: datetime) -> Machine | None:
    """The machine after one more look."""
    if found is None:
        return None
    if found.state:
        known = before.stopped_at if before is not None else None
        return replace(found, stopped_at=known or (now if found.stopped else None))
    return replace(found, unknown_looks=before.unknown_looks + 1 if before is not None else 1)


def _is_stopped(instance: Instance) -> bool:
    aside = set_aside(instance)
    return aside is not None and aside.reason is Reason.INSTANCE_STOPPED


def _odd(instance: Instance, run: RunId, now: datetime) -> bool:
    """Whether EC2 may explain why the instance is unreachable: it is stopped, terminated, AWS-managed, …

    A host that we reboot is down for a while, so the updater asks EC2 about it only if it stays away. One that is still
    being drained should not be down.
    """
    registration = instance.registration
    if not instance.bottlerocket or registration is None or not instance.registered or registration.external:
        return False
    if instance.claim is not None:
        since = instance.progress.disconnected_since
        own = instance.claim.run == run and instance.claim.phase is ClaimPhase.REBOOTING
        return since is not None and (not own or has_passed(since, AWAY_FOR, now))
    unreachable = not registration.connected or instance.reach is PingStatus.UNKNOWN
    return unreachable or registration.status is not Status.ACTIVE
