"""Looks for evidence that a version breaks tasks, if the regular looks give a reason to.

A healthy rollout makes no extra calls: task counts, events and health come with looks that are needed anyway. Only if a
service loses tasks without a drain of ours does the run read how those tasks ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from bottlerocket_ecs_updater.core.decision.evidence import (
    broken_by_ends,
    broken_by_health,
    broken_by_pending,
    long_impaired,
    long_pending,
    on_trial,
    suspicious,
)
from bottlerocket_ecs_updater.core.model.container_instance import TaskEnd, Tasks
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import BrokenVersion
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.ledger import with_broken
from bottlerocket_ecs_updater.engine.ports import Cluster
from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.engine.store.ledger_store import LedgerKeeping
from bottlerocket_ecs_updater.errors import Interrupted, LeaseLost, Throttled, Unreachable, UpdaterError

ASKED_AGAIN, ASKED_AGAIN_MAX = timedelta(seconds=30), timedelta(minutes=10)
"""The shortest and longest time between reads of how a service's tasks ended. It doubles with each read."""

UNSTEADY_FOR = timedelta(minutes=3)
"""If a slot is not steady after this time, read how its services' tasks ended."""

Trial = Mapping[InstanceId, tuple[Version, datetime]]


class Evidence:
    """Looks for evidence against versions. Create one per run."""

    def __init__(self, known: RunState, cluster: Cluster, ledger: LedgerKeeping) -> None:
        self._known = known
        self._cluster = cluster
        self._ledger = ledger
        self._asked: dict[str, tuple[datetime, timedelta]] = {}
        """When each service's ended tasks were last read, and how long to wait before the next read."""

    def look(self) -> None:
        """Record each version that breaks tasks, or whose hosts ECS reports as IMPAIRED. Raises what looks raise."""
        known = self._known
        known.past = self._ledger.value.past
        fleet = known.fleet()
        trial = {id_: one for id_, one in on_trial(fleet).items() if one[0] not in fleet.past.broken}
        for version in sorted({version for version, _ in trial.values()}):
            hosts = [fleet.instances[id_] for id_, (to, _) in trial.items() if to == version]
            found = self._by_counts(hosts, fleet)
            if found is not None:
                self._note(version, found)
                return
        self._impaired_on_the_way(fleet)
        if trial and fleet.services is not None and fleet.services.at == fleet.at:
            self._ask(sorted(self._in_doubt(fleet)), trial, fleet)

    def _by_counts(self, hosts: Collection[Instance], fleet: Fleet) -> BrokenVersion | None:
        pending = [one for one in hosts if long_pending(one, fleet.at)]
        if pending:
            return broken_by_pending(self._with_tasks(pending, fleet.at), fleet.at)
        impaired = [one for one in hosts if long_impaired(one, fleet.at)]
        return broken_by_health(impaired, fleet.at) if impaired else None

    def _with_tasks(self, hosts: Collection[Instance], now: datetime) -> Collection[Instance]:
        """The same hosts with their current tasks, so that the report names those that do not start."""
        arns = {one.registration.arn: one for one in hosts if one.registration is not None}
        for arn, tasks in self._cluster.tasks_of(list(arns)).items():
            if arn in arns:
                self._known.learn(replace(arns[arn], tasks=Tasks(tasks, now)))
        return [self._known.instance(one.id) for one in hosts]

    def _impaired_on_the_way(self, fleet: Fleet) -> None:
        """Record the target version of claimed hosts that booted it and are IMPAIRED, before they return to service."""
        for one in fleet.instances.values():
            if one.claim is not None and one.progress.proof_at is not None and long_impaired(one, fleet.at):
                self._note(one.claim.target, broken_by_health([one], fleet.at))

    def _in_doubt(self, fleet: Fleet) -> Iterable[str]:
        """The services whose ended tasks to read."""
        known = self._known
        if not known.drained:
            # Hosts that an earlier run updated may have broken tasks since then.
            return {one.name for one in fleet.services.all if one.restless} if fleet.services is not None else ()
        unsteady = {
            name
            for slot in fleet.slots
            if has_passed(slot.returned_at, UNSTEADY_FOR, fleet.at)
            for name in slot.unsteady
        }
        return {*(one.name for one in suspicious(fleet, known.starts_before)), *unsteady} - known.restless_before

    def _ask(self, names: Collection[str], trial: Trial, fleet: Fleet) -> None:
        known_names = {one.name for one in fleet.services.all} if fleet.services is not None else set()
        ends = [end for name in names if name in known_names for end in self._ends(name, fleet.at)]
        for version in sorted({version for version, _ in trial.values()}) if ends else ():
            mine = {id_: since for id_, (to, since) in trial.items() if to == version}
            arns = {arn: id_ for id_ in mine if (arn := self._known.arn_of(id_)) is not None}
            found = broken_by_ends(arns, mine, ends, fleet.at)
            if found is not None:
                self._note(version, found)

    def _ends(self, name: str, now: datetime) -> Iterable[TaskEnd]:
        last = self._asked.get(name)
        if last is not None and not has_passed(*last, now):
            return ()
        self._asked[name] = now, min(last[1] * 2, ASKED_AGAIN_MAX) if last is not None else ASKED_AGAIN
        try:
            return self._cluster.ended_of(name)
        except (Throttled, Unreachable, LeaseLost, Interrupted):
            raise
        except UpdaterError:
            # Without the permission, skip this: the cluster's own state is better evidence.
            return ()

    def _note(self, version: Version, found: BrokenVersion) -> None:
        self._ledger.change(partial(with_broken, version=version, found=found))
        self._known.past = self._ledger.value.past
        self._known.suspects = self._ledger.value.suspects
