"""Surveys: what the operator's rules ask beside the state of the cluster, asked in batches and as rarely as will do.

What cannot be had turns its rule off for the run, with one word about it: a permission that is missing, or an
operation that is not offered, must not keep a cluster from being updated. A rule that the operator set himself
holds then, since what it asks for is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from bottlerocket_ecs_updater.core.errors import Interrupted, LeaseLost, Throttled, Unreachable, UpdaterError
from bottlerocket_ecs_updater.core.event import HealthChanged, RuleOff
from bottlerocket_ecs_updater.core.fit import Definition
from bottlerocket_ecs_updater.core.fleet import Around, Instance
from bottlerocket_ecs_updater.core.health import AlarmRule, judge_alarms, see_health
from bottlerocket_ecs_updater.core.ids import InstanceId, TaskArn
from bottlerocket_ecs_updater.core.lifecycle import Membership
from bottlerocket_ecs_updater.core.policy import Policy
from bottlerocket_ecs_updater.core.room import unread_definitions
from bottlerocket_ecs_updater.core.waiting import passed
from bottlerocket_ecs_updater.engine.knowledge import Knowledge
from bottlerocket_ecs_updater.engine.ports import Recorder, Survey

T = TypeVar("T")

GROUPS, ROOM, PROTECTION = "auto-scaling", "room", "task-protection"

ONE_CALL = 100
"""Tasks whose protection one call tells."""

PROTECTION_SPACING_POLLS = 120
"""In a cluster whose tasks fit into one call, protections are asked for no more often than this."""


class Surveying:
    """Surveys for one run. `survey` is None where nothing is to be asked at all."""

    def __init__(self, known: Knowledge, survey: Survey | None, policy: Policy, recorder: Recorder) -> None:
        self._known = known
        self._survey = survey
        self._policy = policy
        self._recorder = recorder
        self._off: set[str] = set()
        self._answered: set[str] = set()
        self._protected: Mapping[TaskArn, datetime] = {}
        self._protected_at: datetime | None = None
        known.surveyed = survey is not None
        if survey is not None and policy.rules.check_room:
            known.definitions = {}

    def look_at_groups(self, now: datetime) -> None:
        """What Auto Scaling is doing with every instance of ours: taken with every listing of the cluster."""
        ours = [one for one in self._known.instances.values() if one.bottlerocket and one.registration is not None]
        self._learn_groups(ours, now)

    def look_at_health(self, now: datetime) -> None:
        """What the operator watches beside the services: taken with every look at them. What is not known is unwell."""
        rules = self._policy.rules.health
        if rules:
            unwell = (*self._unwell_alarms(rules.alarms), *self._unwell_probes(rules.probes))
            before = self._known.health.unwell if self._known.health is not None else ()
            self._known.health = see_health(self._known.health, unwell, now)
            if unwell != before:
                self._recorder.record(HealthChanged(now, "; ".join(unwell)))

    def _unwell_alarms(self, rules: Sequence[AlarmRule]) -> tuple[str, ...]:
        if not rules or self._survey is None:
            return ("nobody can read the alarms",) if rules else ()
        try:
            return judge_alarms(rules, self._survey.alarms(rules))
        except (LeaseLost, Interrupted):
            raise
        except UpdaterError as error:
            return (f"the alarms could not be read: {error}",)

    def _unwell_probes(self, urls: Sequence[str]) -> tuple[str, ...]:
        survey = self._survey
        if survey is None:
            return tuple(f"nobody can ask {url}" for url in urls)
        return tuple(f"{url} {why}" for url, why in survey.probes(urls).items() if why)

    def look_around(self, ids: Collection[InstanceId], now: datetime) -> None:
        """All that is asked of instances right before they begin."""
        chosen = [self._known.instance(id_) for id_ in sorted(ids)]
        candidates = [one for one in chosen if one.claim is None]
        if self._survey is None or not candidates:
            return
        self._read_definitions(candidates)
        self._look_at_protections(candidates, now)
        self._learn_groups(candidates, now)

    def _learn_groups(self, instances: Collection[Instance], now: datetime) -> None:
        survey = self._survey
        if survey is None or not instances:
            return
        found = self._ask(GROUPS, lambda: survey.memberships([one.id for one in instances]))
        for one in instances:
            known = self._known.instance(one.id)
            membership = found.get(one.id) if found is not None else self._last_membership(known)
            tasks = known.tasks.left if known.tasks is not None else ()
            protected = {task.arn: self._protected[task.arn] for task in tasks if task.arn in self._protected}
            self._known.learn(replace(known, around=Around(now, membership, protected)))

    def _last_membership(self, instance: Instance) -> Membership | None:
        return instance.around.membership if instance.around is not None and GROUPS not in self._off else None

    def _read_definitions(self, instances: Collection[Instance]) -> None:
        survey, known = self._survey, self._known
        if survey is None or known.definitions is None:
            return
        fleet = known.fleet()
        for arn in sorted({arn for one in instances for arn in unread_definitions(one, fleet)}):
            found: Definition | None = self._ask(ROOM, lambda wanted=arn: survey.definition(wanted))  # type: ignore[misc]
            if found is not None:
                known.definitions = {**(known.definitions or {}), arn: found}
            elif ROOM in self._off:
                known.definitions = None
                return

    def _look_at_protections(self, candidates: Collection[Instance], now: datetime) -> None:
        survey = self._survey
        all_tasks = [task for one in self._known.instances.values() for task in _movable(one)]
        few = len(all_tasks) <= ONE_CALL
        spacing = PROTECTION_SPACING_POLLS * self._policy.poll_interval
        if survey is None or (few and self._protected_at is not None and not passed(self._protected_at, spacing, now)):
            return
        asked = all_tasks if few else [task for one in candidates for task in _movable(one)]
        found = self._ask(PROTECTION, lambda: survey.protections(asked)) if asked else {}
        if found is not None:
            self._protected, self._protected_at = found, now

    def _ask(self, rule: str, call: Callable[[], T]) -> T | None:
        if rule in self._off:
            return None
        try:
            answer = call()
        except (LeaseLost, Interrupted):
            raise
        except (Throttled, Unreachable) as error:
            # One that answered before has a bad moment; one that never did may not be there at all.
            if rule not in self._answered:
                self._turn_off(rule, error)
            return None
        except UpdaterError as error:
            self._turn_off(rule, error)
            return None
        self._answered.add(rule)
        return answer

    def _turn_off(self, rule: str, error: UpdaterError) -> None:
        self._off.add(rule)
        self._recorder.record(RuleOff(self._known.at, rule, str(error)))


def _movable(instance: Instance) -> list[TaskArn]:
    """Tasks of services on it: no other can be protected, and those of daemon services never hold."""
    tasks = instance.tasks.left if instance.tasks is not None else ()
    return [task.arn for task in tasks if task.of_service and not task.daemon]
