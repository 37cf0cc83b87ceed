"""Looks for evidence that a version breaks tasks, if the regular looks give a reason to.

A healthy rollout makes no extra calls: task counts, events and health come with looks that are needed anyway. Only if a
service loses tasks without a drain of ours does the run read how those tasks ended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from bottlerocket_ecs_updater.core.decision.contrast import TasksAlike, Trial, waiting_for_version
from bottlerocket_ecs_updater.core.decision.evidence import (
    EVIDENCE_FRESH,
    TASK_PENDING_FOR,
    broken_by_ends,
    broken_by_health,
    broken_by_loss,
    broken_by_pending,
    long_pending,
    losing_on_trial,
    lost_gpus,
    suspicious,
)
from bottlerocket_ecs_updater.core.decision.instance_health import impaired_in_turn, long_impaired
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.trials import LaunchedHosts, launched_hosts, on_trial
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import SERVICE_GROUP, LiveTask, TaskEnd
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import BrokenVersion
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.state.ledger import with_broken
from bottlerocket_ecs_updater.engine.ports import Cluster
from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.engine.store.ledger_store import LedgerKeeping
from bottlerocket_ecs_updater.errors import Interrupted, LeaseLost, Throttled, Unreachable, UpdaterError

READ_AGAIN, READ_AGAIN_MAX = timedelta(seconds=30), timedelta(minutes=10)
"""The shortest and longest time between reads of how a service's tasks ended. It doubles with each read."""

SERVICES_READ = 10
"""The most services whose tasks one look reads. Each takes at least four calls."""

HOSTS_READ = 5
"""The most hosts with PENDING tasks whose tasks are read before the first drain."""

UNSTEADY_FOR = timedelta(minutes=3)
"""If a slot is not steady after this time, read how its services' tasks ended."""

T = TypeVar("T")
OnTrial = Mapping[InstanceId, tuple[Version, datetime]]
"""The hosts on trial: the version to which each was updated, and when."""


class Evidence:
    """Looks for evidence against versions. Create one per run."""

    def __init__(self, known: RunState, cluster: Cluster, ledger: LedgerKeeping, policy: Policy) -> None:
        self._known = known
        self._policy = policy
        self._cluster = cluster
        self._ledger = ledger
        self._asked: dict[str, tuple[datetime, timedelta]] = {}
        """When the tasks of each service or host were last read, and how long to wait before the next read."""
        self._before: dict[str, Sequence[TaskEnd]] = {}
        """How the tasks of each service that lost tasks by itself had ended before the first drain."""

    def look(self) -> None:
        """Record each version that breaks tasks, or whose hosts ECS reports as IMPAIRED. Raises what looks raise."""
        known = self._known
        known.learn_ledger(self._ledger.value)
        fleet = known.fleet
        self._note_trouble_before()
        trial = {id_: one for id_, one in on_trial(fleet).items() if one[0] not in fleet.past.broken}
        for version in sorted({version for version, _ in trial.values()}):
            hosts = [fleet.instances[id_] for id_, (to, _) in trial.items() if to == version]
            found = self._by_counts(version, hosts, trial, fleet)
            if found is not None:
                self._note(version, found)
                return
        launched = launched_hosts(Pass(fleet, self._policy))
        if self._pending_where_launched(launched, fleet):
            return
        self._impaired_on_the_way(fleet)
        if (trial or launched) and fleet.services is not None and fleet.services.at == fleet.at:
            self._ask(sorted(self._in_doubt(trial, launched, fleet)), trial, launched, fleet)

    def _note_trouble_before(self) -> None:
        """Read once how tasks end of the services that lose tasks by themselves, for comparison later."""
        if not self._known.drained:
            for name in sorted(self._known.baseline.flapping - self._before.keys())[:SERVICES_READ]:
                self._before[name] = self._read(partial(self._cluster.ended_of, name))

    def _by_counts(
        self, version: Version, hosts: Collection[Instance], trial: OnTrial, fleet: Fleet
    ) -> BrokenVersion | None:
        mine = self._names(_since(version, trial))
        pending = self._pending(hosts)
        waiting = self._waiting(self._trial(version, trial, fleet), pending, fleet) if pending else ()
        if waiting:
            return broken_by_pending(waiting, mine, fleet.at)
        impaired = [one for one in hosts if long_impaired(one, fleet)] or impaired_in_turn(hosts, fleet)
        return broken_by_health(impaired, fleet.at) if impaired else None

    def _pending_where_launched(self, launched: Sequence[LaunchedHosts], fleet: Fleet) -> bool:
        """Record the versions on which tasks stay PENDING on hosts that were launched with them."""
        for one in launched:
            pending = self._pending(fleet.instances[id_] for id_ in one.since)
            here = self._trial_of(one, fleet)
            waiting = self._waiting(here, pending, fleet, one) if pending else ()
            if waiting:
                self._note(one.version, broken_by_pending(waiting, self._names(one.since), fleet.at))
                return True
        return False

    def _pending(self, hosts: Iterable[Instance]) -> Sequence[Instance]:
        """The hosts whose tasks have been PENDING for long, or may have been since before the run started."""
        waiting = [one for one in hosts if one.progress.pending_since is not None]
        return [one for one in waiting if long_pending(one)] if self._known.drained else waiting[:HOSTS_READ]

    def _waiting(
        self, trial: Trial, hosts: Collection[Instance], fleet: Fleet, like: LaunchedHosts | None = None
    ) -> Sequence[LiveTask]:
        """The tasks on these hosts that do not start because of the version."""
        due = [one for one in hosts if self._due(one.id)]
        arns = self._connected([one.registration.arn for one in due if one.registration is not None])
        here = [task for arn in arns for task in self._read(partial(self._cluster.alive_on, arn))]
        long = [
            one for one in here if one.started_at is None and has_passed(one.launched_at, TASK_PENDING_FOR, fleet.at)
        ]
        names = sorted({one.group.removeprefix(SERVICE_GROUP) for one in long if one.group.startswith(SERVICE_GROUP)})
        tasks = self._tasks_of(names) if names else TasksAlike()
        alike = like.alike(tasks) if like is not None else tasks
        return waiting_for_version(trial, here, alike, fleet.at, TASK_PENDING_FOR)

    def _connected(self, arns: Sequence[ContainerInstanceArn]) -> Sequence[ContainerInstanceArn]:
        """Those whose agents are connected now: on a host that is down, no task starts whatever its version."""
        seen = self._cluster.describe(arns).registrations if arns else ()
        return [one.arn for one in seen if one.in_service]

    def _impaired_on_the_way(self, fleet: Fleet) -> None:
        """Record the version that claimed hosts have booted and on which they are IMPAIRED, or lack GPUs."""
        for one in fleet.instances.values():
            if one.claim is not None and one.progress.new_boot is not None and long_impaired(one, fleet):
                self._note(one.claim.target, broken_by_health([one], fleet.at))
            elif one.claim is not None and lost_gpus(one) and one.claim.target not in fleet.past.broken:
                self._note(one.claim.target, broken_by_loss(one, fleet.at))

    def _in_doubt(self, trial: OnTrial, launched: Sequence[LaunchedHosts], fleet: Fleet) -> Iterable[str]:
        """The services whose ended tasks to read."""
        known = self._known
        if not known.drained:
            # Hosts that an earlier run updated, or that were launched, may have broken tasks since then.
            hosts = {*trial, *(id_ for one in launched for id_ in one.since)}
            return known.baseline.flapping | losing_on_trial(hosts, fleet)
        unsteady = {
            name
            for slot in fleet.slots
            if has_passed(slot.returned_at, UNSTEADY_FOR, fleet.at)
            for name in slot.unsteady
        }
        suspects = {one.name for one in suspicious(fleet, known.baseline.starts)}
        return suspects | unsteady | known.baseline.flapping

    def _ask(self, names: Collection[str], trial: OnTrial, launched: Sequence[LaunchedHosts], fleet: Fleet) -> None:
        known_names = {one.name for one in fleet.services.all} if fleet.services is not None else set()
        versions = {version for version, _ in trial.values()}
        longest_ago = sorted((name for name in names if name in known_names), key=self._read_at)[:SERVICES_READ]
        soon = _reboots_soon(fleet)
        due = [name for name in longest_ago if self._due(name, soon=soon)]
        self._note_unread(longest_ago)
        ended = [end for name in due for end in self._ended_of(name)]
        if not any(end.failed or end.finished for end in ended):
            return
        tasks = TasksAlike(ended, self._alive_of(due))
        for version in sorted(versions):
            hosts = self._names(_since(version, trial))
            found = broken_by_ends(self._trial(version, trial, fleet), hosts, tasks, fleet.at)
            if found is not None:
                self._note(version, found)
        for one in launched:
            there = broken_by_ends(self._trial_of(one, fleet), self._names(one.since), one.alike(tasks), fleet.at)
            if there is not None:
                self._note(one.version, there)

    def _names(self, ids: Iterable[InstanceId]) -> Mapping[ContainerInstanceArn, InstanceId]:
        return {arn: id_ for id_ in ids if (arn := self._known.arn_of(id_)) is not None}

    def _trial(self, version: Version, trial: OnTrial, fleet: Fleet) -> Trial:
        troubled = frozenset(f"{SERVICE_GROUP}{name}" for name in fleet.past.troubled.get(version, ()))
        return self._trial_on(version, _since(version, trial), fleet, troubled)

    def _trial_of(self, hosts: LaunchedHosts, fleet: Fleet) -> Trial:
        """The trial of hosts that were launched with a version.

        That all their services fail is no evidence: nobody knows whether these services ran before.
        """
        return self._trial_on(hosts.version, hosts.since, fleet, _groups_on(hosts.since, fleet))

    def _trial_on(
        self, version: Version, since: Mapping[InstanceId, datetime], fleet: Fleet, troubled: frozenset[str]
    ) -> Trial:
        in_trouble = frozenset(f"{SERVICE_GROUP}{name}" for name in self._known.baseline.flapping)
        here = {arn: since[id_] for arn, id_ in self._names(since).items()}
        return Trial(here, _groups_on(since, fleet), in_trouble, troubled, _others_on(version, here, fleet))

    def _note_unread(self, names: Iterable[str]) -> None:
        """Note whether any of these services must be read again before a host is rebooted: see `evidence_is_old`.

        While a host is being drained, none must: those that were read that long ago have just been read.
        """
        known = self._known
        unread = any(has_passed(self._asked[name][0], EVIDENCE_FRESH, known.now) for name in names)
        if unread and known.fleet.services is not None:
            known.fleet = replace(known.fleet, services=replace(known.fleet.services, ends_unread=True))

    def _read_at(self, name: str) -> tuple[float, str]:
        return (self._asked[name][0].timestamp() if name in self._asked else 0.0), name

    def _due(self, what: str, *, soon: bool = False) -> bool:
        """Whether to read tasks of a service, or of a host, again; notes that they are read now."""
        now = self._known.now
        last = self._asked.get(what)
        if last is not None and not has_passed(last[0], min(last[1], EVIDENCE_FRESH) if soon else last[1], now):
            return False
        self._asked[what] = now, min(last[1] * 2, READ_AGAIN_MAX) if last is not None else READ_AGAIN
        return True

    def _tasks_of(self, services: Iterable[str]) -> TasksAlike:
        names = list(services)
        return TasksAlike([end for name in names for end in self._ended_of(name)], self._alive_of(names))

    def _ended_of(self, service: str) -> Collection[TaskEnd]:
        return {*self._read(partial(self._cluster.ended_of, service)), *self._before.get(service, ())}

    def _alive_of(self, services: Iterable[str]) -> Sequence[LiveTask]:
        return [task for name in services for task in self._read(partial(self._cluster.alive_of, name))]

    def _read(self, question: Callable[[], Sequence[T]]) -> Sequence[T]:
        try:
            return question()
        except (Throttled, Unreachable, LeaseLost, Interrupted):
            raise
        except UpdaterError:
            # Without the permission, skip this: the cluster's own state is better evidence.
            return ()

    def _note(self, version: Version, found: BrokenVersion) -> None:
        self._ledger.change(partial(with_broken, version=version, found=found))
        self._known.learn_ledger(self._ledger.value)


def _reboots_soon(fleet: Fleet) -> bool:
    """Whether a host is being drained: the evidence is read again before its reboot."""
    return any(one.claim is not None and one.claim.phase is ClaimPhase.DRAINING for one in fleet.instances.values())


def _since(version: Version, trial: OnTrial) -> Mapping[InstanceId, datetime]:
    """The hosts on trial that were updated to a version, and since when."""
    return {id_: at for id_, (to, at) in trial.items() if to == version}


def _groups_on(hosts: Iterable[InstanceId], fleet: Fleet) -> frozenset[str]:
    """The groups of all tasks on these hosts."""
    return frozenset(task.group for id_ in hosts for task in fleet.instances[id_].tasks_left)


def _others_on(
    version: Version, trial: Collection[ContainerInstanceArn], fleet: Fleet
) -> frozenset[ContainerInstanceArn]:
    """The hosts that run the version and are not on trial for it."""
    running = (
        one.registration.arn
        for one in fleet.instances.values()
        if one.registration is not None and one.check_answer is not None
        if one.check_answer.report is not None and one.check_answer.report.running == version
    )
    return frozenset(running) - frozenset(trial)
