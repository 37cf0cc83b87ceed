"""Reads which tasks are on instances: on all of them once, then only where a decision needs it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from bottlerocket_ecs_updater.core.capacity.fleet_capacity import tasks_changed
from bottlerocket_ecs_updater.core.capacity.unread_facts import constraints_ask_for_tasks
from bottlerocket_ecs_updater.core.decision.claimed.drain import is_checked_first, is_likely_empty
from bottlerocket_ecs_updater.core.decision.claimed.give_back import staged_report
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import Status, Task, Tasks
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.engine.look.context import LookContext
from bottlerocket_ecs_updater.engine.ports import Cluster

TASKS = "ecs:ListTasks"
"""The permission that these calls share."""


class TaskLooks:
    """Lists the tasks of instances, in as few calls as possible."""

    def __init__(self, context: LookContext, cluster: Cluster) -> None:
        self._known = context.known
        self._policy = context.policy
        self._calls = context.calls
        self._cluster = cluster

    def list_all(self) -> None:
        """List the tasks of all instances."""
        by_arn = self._calls.ask(TASKS, self._cluster.all_tasks)
        if by_arn is None:
            return
        for instance in list(self._known.instances.values()):
            if instance.registration is not None:
                left = by_arn.get(instance.registration.arn, ())
                self._known.learn(replace(instance, tasks=Tasks(left, self._known.now)))
        self.look_at_stopping(self._known.instances.keys())

    def look_at_stopping(self, ids: Collection[InstanceId]) -> None:
        """While blockers are known, list the tasks that are stopping on hosts that we do not drain.

        An earlier drain that timed out leaves such tasks behind, and a list of running tasks does not include them.
        """
        if not self._known.fleet.past.blockers:
            return
        instances = [one for id_ in sorted(ids) if not _drains_for_us(one := self._known.instance(id_))]
        arns = {one.registration.arn: one for one in instances if one.registration is not None}
        listed = self._calls.ask(TASKS, lambda: self._cluster.stopping_on(list(arns))) if arns else {}
        for arn, tasks in (listed or {}).items():
            self._known.learn(replace(arns[arn], stopping=Tasks(tasks, self._known.now)))

    def look_at_known(self, due: Collection[InstanceId]) -> set[InstanceId]:
        """Check the known tasks on instances that may be empty: their task counts are 0, or others took as long.

        Returns those instances.

        Unknown tasks are listed right before the reboot, after all the known ones have stopped.
        """
        this_pass = Pass(self._known.fleet, self._policy)
        candidates = [one for id_ in due if _drains_with_tasks(one := self._known.instance(id_))]
        # While the host is checked, its tasks have time to stop.
        stopping = [
            one
            for one in candidates
            if _counts_none(one) or _may_be_empty(one, this_pass)
            if not is_checked_first(one, this_pass)
        ]
        known = [task.arn for instance in stopping if instance.tasks is not None for task in instance.tasks.left]
        ended = self._calls.ask(TASKS, lambda: self._cluster.stopped(known)) if known else {}
        if ended is None:
            return set()
        for instance in stopping:
            if instance.tasks is not None:
                still = tuple(task for task in instance.tasks.left if task.arn not in ended)
                self._known.note_stopped(instance, ended)
                self._known.learn(replace(instance, tasks=Tasks(still, self._known.now)))
        return {instance.id for instance in stopping}

    def before_reboot(self, due: Collection[InstanceId]) -> set[InstanceId]:
        """Instances that are about to be rebooted: all their tasks are listed right before."""
        this_pass = Pass(self._known.fleet, self._policy)
        instances = [self._known.instance(id_) for id_ in due]
        return {one.id for one in instances if _marked_for_reboot(one) or _nearly_marked(one, this_pass)}

    def look_at(self, ids: Collection[InstanceId]) -> None:
        """List the tasks of these instances: on those that we drain, the stopping tasks too."""
        instances = [self._known.instance(id_) for id_ in sorted(ids)]
        arns = {instance.registration.arn: instance for instance in instances if instance.registration is not None}
        # If an instance should be empty, its running tasks are in the counts that were just read.
        draining = [arn for arn, instance in arns.items() if _drains_for_us(instance)]
        running = [arn for arn, instance in arns.items() if not _counts_none(instance)]
        left = self._calls.ask(TASKS, lambda: self._cluster.stopping_on(draining)) if draining else {}
        others = self._calls.ask(TASKS, lambda: self._cluster.tasks_of(running)) if running else {}
        if left is None or others is None:
            return
        for arn, instance in arns.items():
            # Tasks that are stopping come first: they keep the drain from finishing.
            tasks = (*left.get(arn, ()), *(others[arn] if arn in running else ()))
            self._known.learn(replace(instance, tasks=Tasks(tasks, self._known.now, with_stopping=arn in left)))
        self._learn_what_came_along(others.keys() - arns.keys(), others)

    def _learn_what_came_along(
        self,
        arns: Collection[ContainerInstanceArn],
        listed: Mapping[ContainerInstanceArn, tuple[Task, ...]],
    ) -> None:
        """Store the tasks of other instances in the reply, so that later looks need not list them.

        Skips draining instances: their stopping tasks are missing in a list of running tasks.
        """
        for arn in arns:
            instance = self._known.instance(self._known.arns.get(arn, InstanceId("")))
            if instance.claim is None and instance.registration is not None and instance.registration.arn == arn:
                self._known.learn(replace(instance, tasks=Tasks(listed[arn], self._known.now)))

    def look_at_changed(self) -> None:
        """List the tasks of instances whose tasks have changed, if the placement of other tasks depends on them."""
        known = self._known
        changed = [
            one.id
            for one in known.instances.values()
            if one.claim is None and one.registration is not None and one.registration.status is Status.ACTIVE
            if tasks_changed(one)
        ]
        if changed and constraints_ask_for_tasks(known.fleet):
            self.look_at(changed)

    def unlisted(self, ids: Collection[InstanceId]) -> Iterable[InstanceId]:
        """Instances whose tasks must be listed: claimed ones always, others unless done within the poll interval."""
        poll = self._policy.poll_interval
        for id_ in ids:
            instance = self._known.instance(id_)
            if (
                instance.claim is not None
                or instance.tasks is None
                or has_passed(instance.tasks.at, poll, self._known.now)
            ):
                yield id_


def _drains_for_us(instance: Instance) -> bool:
    registration = instance.registration
    return instance.claim is not None and registration is not None and registration.status is Status.DRAINING


def _counts_none(instance: Instance) -> bool:
    registration = instance.registration
    counted = registration.counted_tasks if registration is not None else 0
    return _drains_for_us(instance) and counted == 0


def _drains_with_tasks(instance: Instance) -> bool:
    """Whether we are draining the instance, and tasks are known that may be left on it."""
    claim = instance.claim
    if instance.registration is None or claim is None or instance.tasks is None or not instance.tasks.left:
        return False
    return claim.phase is ClaimPhase.DRAINING and instance.progress.sent_return is None


def _may_be_empty(instance: Instance, this_pass: Pass) -> bool:
    """Whether this run drained it, and others were empty after that time."""
    return instance.progress.drain is not None and is_likely_empty(instance, this_pass)


def _marked_for_reboot(instance: Instance) -> bool:
    claim, progress = instance.claim, instance.progress
    unsent = progress.reboot_sent_at is None and progress.sent_return is None
    return claim is not None and claim.phase is ClaimPhase.REBOOTING and unsent


def _nearly_marked(instance: Instance, this_pass: Pass) -> bool:
    """Whether this look may find it empty, and its report is recent enough to mark and reboot it at once."""
    registration, claim = instance.registration, instance.claim
    if registration is None or claim is None or claim.phase is not ClaimPhase.DRAINING:
        return False
    counted_now = registration.at == this_pass.at and _counts_none(instance) and instance.pending is None
    none_known = instance.tasks is not None and not instance.tasks.left
    return counted_now and none_known and staged_report(instance, this_pass) is not None
