"""Looks: updates what the run knows, with batched calls, and only for what is due."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.evidence import TASK_PENDING_FOR
from bottlerocket_ecs_updater.core.decision.trials import on_trial
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.event import ClusterLooked
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.state.acts import see_successor
from bottlerocket_ecs_updater.engine.look.command_answers import CommandAnswers
from bottlerocket_ecs_updater.engine.look.command_results import CommandResults
from bottlerocket_ecs_updater.engine.look.conditions import ConditionLooks
from bottlerocket_ecs_updater.engine.look.context import LookContext
from bottlerocket_ecs_updater.engine.look.denials import DeniableCalls
from bottlerocket_ecs_updater.engine.look.groups import GroupLooks
from bottlerocket_ecs_updater.engine.look.managed_nodes import ManagedNodeLooks
from bottlerocket_ecs_updater.engine.look.reboot_results import RebootResults
from bottlerocket_ecs_updater.engine.look.registrations import RegistrationLooks
from bottlerocket_ecs_updater.engine.look.rule_calls import RuleCalls
from bottlerocket_ecs_updater.engine.look.services import ServiceLooks
from bottlerocket_ecs_updater.engine.look.surveyor import Surveyor
from bottlerocket_ecs_updater.engine.look.tasks import TaskLooks
from bottlerocket_ecs_updater.engine.look.wants import Wants
from bottlerocket_ecs_updater.engine.run_ports import Ports
from bottlerocket_ecs_updater.engine.run_state import RunState

DESCRIBED_AT_ONCE = 100
"""What one call of DescribeContainerInstances takes."""

JUST_NOW_SHARE = 4
"""If only its group is needed, an instance is not described again within the poll interval divided by this."""


SLOW_DRAIN = TASK_PENDING_FOR / 2
"""After this long, a drain may wait for replacements that do not start. Hosts on trial are described this often then.
"""


class Looker:
    """Takes looks. Create one per run."""

    def __init__(self, known: RunState, ports: Ports, policy: Policy) -> None:
        self._known = known
        self._clock = ports.clock
        self._policy = policy
        self._recorder = ports.recorder
        self._successors = ports.successors
        self._calls = DeniableCalls(known)
        cluster, hosts, survey = ports.cluster, ports.hosts, ports.survey
        context = LookContext(known, policy, ports.recorder, self._calls)
        answers = CommandAnswers(hosts, self._calls)
        rules = RuleCalls(known, ports.recorder)
        self._groups = GroupLooks(context, survey, rules)
        self.conditions = ConditionLooks(context, survey)
        self.surveyor = Surveyor(context, survey, rules, self._groups)
        self._registrations = RegistrationLooks(context, cluster)
        self._nodes = ManagedNodeLooks(context, hosts)
        self._tasks = TaskLooks(context, cluster)
        self._services = ServiceLooks(context, cluster, self.surveyor, self.conditions)
        self._reboots = RebootResults(context, hosts)
        self._results = CommandResults(context, hosts, answers, self._reboots)

    def look(self, wants: Wants) -> None:
        """Take one look. Raises what the ports raise, and keeps what it learned until then.

        A call that AWS denies is not repeated in this run. While instances are claimed, a denial raises nothing: they
        are finished without that call if possible.
        """
        now = self._clock.now()
        known = self._known
        known.fleet = replace(known.fleet, at=now)
        first = known.fleet.services is None
        if first:
            # Services come first, so that daemon tasks can be recognized.
            self._services.look()
        self._look_at_instances(wants)
        if self._calls.first_denial is not None and not known.in_progress:
            raise self._calls.first_denial
        if self._registrations.newcomers:
            # Another updater may be staging an update there: send no command to a host while an apply may run.
            self._registrations.newcomers = False
            self.adopt_commands()
        self._results.read(wants.reboot_ends)
        self._tasks.look_at({*self._tasks.unlisted(wants.tasks), *self._tasks.before_reboot(wants.due)})
        self._tasks.look_at_stopping(wants.tasks)
        self.surveyor.look_around(wants.tasks)
        self._groups.look_at_claimed(wants.groups)
        self.conditions.look_at_published()
        self._look_for_successor()
        if wants.services and not first:
            self._services.look()
        self._registrations.report_lost()

    def _look_at_instances(self, wants: Wants) -> None:
        """List the cluster if that is due; otherwise describe the instances that are."""
        listed_at, spacing = self._registrations.listed_at, self._policy.full_look_spacing
        listing_due = listed_at is None or has_passed(listed_at, spacing, self._known.now)
        if wants.listing or listing_due or (wants.full and self._registrations.some_are_unknown()):
            self._list_all()
            return
        if wants.full:
            self._describe_all()
        else:
            self._look_at_due(wants)
        self._groups.look_at_gone()

    def _look_at_due(self, wants: Wants) -> None:
        asked = self._tasks.look_at_known(wants.due)
        others = [id_ for id_ in wants.due if id_ not in asked and not self._described_just_now(id_, wants)]
        others += [id_ for id_ in self._services.long_unsteady() if id_ not in others] if wants.services else []
        others += [id_ for id_ in self._tried_beside_long_drains(wants.due) if id_ not in others]
        self._describe_with_others(self._registrations.arns(others))
        self._tasks.look_at_known(others)

    def _describe_all(self) -> None:
        self._registrations.describe(self._registrations.arns())
        self._known.fleet = replace(self._known.fleet, full_at=self._known.now)
        self._groups.look_at_moving()

    def _describe_with_others(self, arns: Sequence[ContainerInstanceArn]) -> None:
        """Describe these, and in the same call as many others: all of them in a cluster of one call."""
        few = len(self._registrations.arns()) <= DESCRIBED_AT_ONCE
        if arns and few and not self._registrations.some_are_unknown():
            self._describe_all()
        else:
            self._registrations.describe([*arns, *self._on_trial(len(arns))])

    def _on_trial(self, described: int) -> Sequence[ContainerInstanceArn]:
        """Hosts that got their version in this rollout, if a call that is made anyway has room for them."""
        if not described or described >= DESCRIBED_AT_ONCE:
            return []
        return self._registrations.arns(on_trial(self._known.fleet))[: DESCRIBED_AT_ONCE - described]

    def _tried_beside_long_drains(self, due: Collection[InstanceId]) -> Sequence[InstanceId]:
        """Hosts on trial to describe again, because a drain takes long: its tasks may stay PENDING there.

        Looks at a drain read only its tasks, and without these the drain would time out before the next look at all.
        """
        known = self._known
        if not any(_drains_for_long(known.instance(id_), known.now) for id_ in due):
            return []
        old = [id_ for id_ in on_trial(known.fleet) if _is_older(known.instance(id_), SLOW_DRAIN, known.now)]
        return old[:DESCRIBED_AT_ONCE]

    def _described_just_now(self, id_: InstanceId, wants: Wants) -> bool:
        """Whether the instance was just described, and only its group is needed."""
        registration = self._known.instance(id_).registration
        recent = registration is not None and not has_passed(
            registration.at, self._policy.poll_interval / JUST_NOW_SHARE, self._known.now
        )
        return recent and id_ in wants.groups

    def adopt_commands(self) -> None:
        """Adopt Run Command commands for our documents that are still in progress, from any sender."""
        self._results.adopt_applies()
        self._reboots.find_left_behind()

    def _list_all(self) -> None:
        """List the cluster, and read what depends on which instances it has."""
        known = self._known
        first = self._registrations.listed_at is None
        self._registrations.list_all()
        self._nodes.reach()
        self._groups.look_at_machines()
        self.surveyor.look_at_managed()
        self._nodes.find_activated()
        if first or any(instance.tasks is None for instance in known.instances.values()):
            self._tasks.list_all()
        self._tasks.look_at_changed()
        self._groups.look_at_all()
        self._groups.look_at_moving()
        ours = sum(1 for instance in known.instances.values() if instance.bottlerocket)
        services = len(known.fleet.services.all) if known.fleet.services else 0
        self._recorder.record(ClusterLooked(known.now, len(known.instances), ours, services))

    def _look_for_successor(self) -> None:
        """Look for the requested successor, only while one is awaited."""
        for instance in list(self._known.instances.values()):
            progress = instance.progress
            asked = progress.hand_over
            waits = asked is not None and asked.task is None and progress.outcome is None
            task = self._successors.placed() if waits and self._successors is not None else None
            if task is not None:
                self._known.learn(see_successor(instance, task))


def _drains_for_long(instance: Instance, now: datetime) -> bool:
    drains = instance.claim is not None and instance.claim.phase is ClaimPhase.DRAINING
    return drains and has_passed(instance.phase_began, SLOW_DRAIN, now)


def _is_older(instance: Instance, age: timedelta, now: datetime) -> bool:
    """Whether it was described longer ago than that, or not yet."""
    return instance.registration is None or has_passed(instance.registration.at, age, now)
