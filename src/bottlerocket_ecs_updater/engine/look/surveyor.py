"""Reads the extra AWS data that the operator's rules need, in batches and as rarely as possible.

If a permission is missing or an operation is not offered, the rule is off for the run and the run reports it: that must
not block all updates. But a rule that the operator set explicitly then holds instances, because its condition is
unknown. If AWS only fails to answer this time, the instance is held and the call is repeated: old data does not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TypeVar

from bottlerocket_ecs_updater.core.capacity.unread_facts import capacity_providers, instance_types, unread_definitions
from bottlerocket_ecs_updater.core.model.auto_scaling import InGroup, Membership
from bottlerocket_ecs_updater.core.model.calendars import CalendarState, CalendarUnread
from bottlerocket_ecs_updater.core.model.capacity_provider import CapacityProvider, ProviderKind
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import PingStatus, Status
from bottlerocket_ecs_updater.core.model.event import HealthChanged, RuleOff, VersionWithdrawn
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId, TaskArn
from bottlerocket_ecs_updater.core.model.instance import Instance, Machine, SurveyedFacts
from bottlerocket_ecs_updater.core.model.published import NewestPublished, Published, PublishedState, PublishedUnread
from bottlerocket_ecs_updater.core.model.resources import Definition
from bottlerocket_ecs_updater.core.model.services import see_health
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.health import AlarmRule, judge_alarms
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.published import build_of, published_parameter, read_published
from bottlerocket_ecs_updater.engine.ports import Recorder, Survey
from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.errors import Interrupted, LeaseLost, Throttled, Unreachable, UpdaterError

T = TypeVar("T")
Missed = tuple[InstanceId, str]
"""An instance, and which data AWS did not return for it and why."""

GROUPS, ROOM, PROVIDERS, PROTECTION = "auto-scaling", "room", "capacity-providers", "task-protection"
MACHINES, INTERFACES = "stopped-hosts", "network-interfaces"

ONE_CALL = 100
"""Tasks per GetTaskProtection call. In a cluster with no more tasks than this, one call covers all of them."""

PROVIDERS_EVERY = timedelta(minutes=15)
"""How often capacity providers are read again: their limits change with settings and scaling."""

GROWING_EVERY = timedelta(minutes=2)
"""How often, if one of them may still launch instances. Room that it no longer has makes a drain time out."""

DRAINED_EVERY = timedelta(minutes=1)
"""How often the Auto Scaling group is read of instances that someone else drained."""

AWAY_FOR = timedelta(minutes=3)
"""After this time a rebooting host is usually back; for one that is not, EC2 shows whether it still exists."""

CALENDARS_EVERY = timedelta(minutes=1)
"""A calendar also changes when people add entries: it is read this often, with a look at the services."""

PUBLISHED_EVERY, PUBLISHED_AGAIN = timedelta(minutes=2), timedelta(minutes=1)
"""How often public parameters are read, and how soon again if that failed: they change every few weeks."""

ONE_GROUP_CALL = 50
"""Instances per DescribeAutoScalingInstances call."""

UNHEARD_ASKS = 3
"""After this many calls without any answer, the rule is off: the service may not exist there."""


@dataclass(frozen=True, slots=True)
class NotNow:
    """AWS did not answer this time, but may answer next time."""

    why: str


class Surveyor:
    """Reads survey data for one run. `survey` is None to read nothing."""

    def __init__(self, known: RunState, survey: Survey | None, policy: Policy, recorder: Recorder) -> None:
        self._known = known
        self._survey = survey
        self._policy = policy
        self._recorder = recorder
        self._providers_at: datetime | None = None
        self._provided: frozenset[InstanceId] = frozenset()
        """The instances of capacity providers when the providers were last read."""
        self._calendars_at: datetime | None = None
        self._published_due: datetime | None = None
        self._withdrawn: set[tuple[str, Version]] = set()
        """Withdrawn versions that this run has reported, by parameter."""
        self._untyped: set[str] = set()
        """Instance types that were looked up: EC2 may not return all of them."""
        self._drained_seen: dict[InstanceId, datetime] = {}
        """When each instance that someone else drained was first seen DRAINING."""
        self._off: set[str] = set()
        self._answered: set[str] = set()
        self._unheard: Counter[str] = Counter()
        """How many calls for each rule got no answer."""
        known.fleet = replace(known.fleet, surveyed=survey is not None)
        if survey is not None and policy.rules.check_room:
            known.fleet = replace(known.fleet, definitions={})

    def look_at_groups(self, now: datetime) -> None:
        """Read the Auto Scaling state of Bottlerocket instances, with every listing of the cluster.

        Skips instances that are done in this run.
        """
        ours = [one for one in self._known.instances.values() if one.bottlerocket and one.registration is not None]
        self._look_at_memberships([one.id for one in ours if one.progress.outcome is None], now)

    def look_at_machines(self, now: datetime) -> None:
        """Describe in EC2 the instances that ECS or Systems Manager cannot reach, or that someone else drained."""
        survey = self._survey
        asked = [one.id for one in self._known.instances.values() if _odd(one, self._known.fleet.run, now)]
        if survey is None or not asked:
            return
        found = self._ask(MACHINES, lambda: survey.machines(asked))
        if found is None or isinstance(found, NotNow):
            return
        for id_ in asked:
            around = self._around(id_, now)
            self._learn(id_, replace(around, machine=_after(around.machine, found.get(id_))))

    def look_at_groups_of_claimed(self, wanted: Collection[InstanceId], now: datetime) -> None:
        """Read the Auto Scaling state of claimed instances. One call covers all of them."""
        if wanted:
            self._look_at_memberships(self._claimed(), now, refreshes=False)

    def look_at_groups_of_drained(self, now: datetime) -> None:
        """Read whether the Auto Scaling group drained the instances that were drained since the last listing."""
        drained = [one for one in self._known.instances.values() if _drained_by_others(one)]
        first_seen = {one.id: self._drained_seen.get(one.id, now) for one in drained}
        self._drained_seen = first_seen
        due = [one.id for one in drained if _group_due(one, first_seen[one.id], now)]
        self._look_at_memberships(due, now)

    def _sharing_a_call(self, candidates: Sequence[InstanceId]) -> Sequence[InstanceId]:
        """The candidates, and as many claimed instances as fit in the same call."""
        claimed = (id_ for id_ in self._claimed() if id_ not in candidates)
        return [*candidates, *islice(claimed, max(0, ONE_GROUP_CALL - len(candidates)))]

    def _claimed(self) -> list[InstanceId]:
        return [one.id for one in self._known.instances.values() if one.claim is not None and one.registered]

    def look_at_health(self, now: datetime) -> None:
        """Check the operator's alarms and probes, with every look at services. Unknown counts as not healthy."""
        rules = self._policy.rules.health
        if rules:
            unwell = (*self._unwell_alarms(rules.alarms), *self._unwell_probes(rules.probes))
            before = self._known.fleet.health.unwell if self._known.fleet.health is not None else ()
            self._known.fleet = replace(self._known.fleet, health=see_health(self._known.fleet.health, unwell, now))
            if unwell != before:
                self._recorder.record(HealthChanged(now, "; ".join(unwell)))

    def look_at_calendars(self, now: datetime) -> None:
        """Whether the operator's change calendars are open."""
        wanted = self._policy.rules.calendars
        due = self._calendars_at is None or has_passed(self._calendars_at, CALENDARS_EVERY, now)
        if wanted and due:
            self._calendars_at = now
            self._known.fleet = replace(self._known.fleet, calendars={arn: self._calendar(arn) for arn in wanted})

    def _calendar(self, arn: str) -> CalendarState:
        if self._survey is None:
            return CalendarUnread("Systems Manager cannot be asked")
        try:
            return self._survey.calendar(arn)
        except (LeaseLost, Interrupted):
            raise
        except UpdaterError as error:
            return CalendarUnread(str(error))

    def look_at_published(self, now: datetime) -> None:
        """Read the newest published versions of the hosts' variants, if only published versions are admitted."""
        if not self._policy.rules.versions.published_only:
            return
        known = self._known
        hosts = (one.registration for one in known.instances.values() if one.bottlerocket)
        wanted = {name for one in hosts if one is not None and (name := published_parameter(one)) is not None}
        due = self._published_due is None or now >= self._published_due or not wanted <= known.fleet.published.keys()
        if not wanted or not due:
            return
        states = self._published(sorted(wanted), now)
        whole = all(isinstance(state, Published) and state.read_at == now for state in states.values())
        self._published_due = now + (PUBLISHED_EVERY if whole else PUBLISHED_AGAIN)
        known.fleet = replace(known.fleet, published=states)

    def _published(self, wanted: Sequence[str], now: datetime) -> Mapping[str, PublishedState]:
        if self._survey is None:
            return dict.fromkeys(wanted, PublishedUnread("Systems Manager cannot be asked"))
        try:
            values = self._survey.published(wanted)
        except (LeaseLost, Interrupted):
            raise
        except (Throttled, Unreachable) as error:
            # The last answer counts for a while: see `core/rules/published.py`.
            before = self._known.fleet.published
            return {name: _kept(before.get(name), str(error)) for name in wanted}
        except UpdaterError as error:
            return dict.fromkeys(wanted, PublishedUnread(str(error)))
        return {name: _published_in(name, values.get(name), now) for name in wanted}

    def tell_withdrawn(self, newest: Mapping[str, NewestPublished]) -> None:
        """Report once each version that a public parameter named earlier but no longer names."""
        for name, one in newest.items():
            state = self._known.fleet.published.get(name)
            if one.back_at is None or not isinstance(state, Published) or (name, one.version) in self._withdrawn:
                continue
            self._withdrawn.add((name, one.version))
            self._recorder.record(
                VersionWithdrawn(self._known.fleet.at, build_of(name), one.version, state.version, one.back_at)
            )

    def _unwell_alarms(self, rules: Sequence[AlarmRule]) -> tuple[str, ...]:
        if not rules or self._survey is None:
            return ("the alarms cannot be read",) if rules else ()
        try:
            return judge_alarms(rules, self._survey.alarms(rules))
        except (LeaseLost, Interrupted):
            raise
        except UpdaterError as error:
            return (f"the alarms could not be read: {error}",)

    def _unwell_probes(self, urls: Sequence[str]) -> tuple[str, ...]:
        survey = self._survey
        if survey is None:
            return tuple(f"{url} cannot be probed" for url in urls)
        return tuple(f"{url} {why}" for url, why in survey.probes(urls).items() if why)

    def look_around(self, ids: Collection[InstanceId], now: datetime) -> None:
        """Read everything that rules need right before instances start their update. Reuses no earlier survey."""
        chosen = [self._known.instance(id_) for id_ in sorted(ids)]
        candidates = [one.id for one in chosen if one.claim is None or one.progress.drain is None]
        if self._survey is None or not candidates:
            return
        missed = (
            *self._read_definitions(candidates),
            *self._read_providers(candidates, now),
            *self._read_interfaces(candidates),
            *self._look_at_protections(candidates, now),
            *self._look_at_memberships(self._sharing_a_call(candidates), now),
        )
        for id_ in candidates:
            unasked = "; ".join(why for one, why in missed if one == id_)
            before = self._around(id_, now)
            since = (before.unasked_since or now) if unasked else None
            self._learn(id_, replace(before, at=now, asked_at=now, unasked=unasked, unasked_since=since))

    def _around(self, id_: InstanceId, now: datetime) -> SurveyedFacts:
        return self._known.instance(id_).around or SurveyedFacts(now)

    def _learn(self, id_: InstanceId, around: SurveyedFacts) -> None:
        self._known.learn(replace(self._known.instance(id_), around=around))

    def _look_at_memberships(
        self, ids: Sequence[InstanceId], now: datetime, *, refreshes: bool = True
    ) -> Iterable[Missed]:
        """Read each instance's group. If AWS does not answer, keep the old data and record that it is outdated."""
        survey = self._survey
        if survey is None or not ids:
            return ()
        found = self._ask(GROUPS, lambda: survey.memberships(ids, refreshes=refreshes))
        if isinstance(found, NotNow):
            for id_ in ids:
                before = self._around(id_, now)
                self._learn(id_, replace(before, group_missed_since=before.group_missed_since or now))
            return [(id_, f"its Auto Scaling group: {found.why}") for id_ in ids]
        for id_ in ids:
            membership = found.get(id_) if found is not None else None
            before = self._around(id_, now)
            if not refreshes:
                membership = _still_refreshing(membership, before.membership)
            group = membership.group if isinstance(membership, InGroup) else before.group
            after = replace(before, at=now, membership=membership, group=group, group_at=now, group_missed_since=None)
            self._learn(id_, after)
        return ()

    def look_at_definitions(self, arns: Iterable[str]) -> None:
        """Read task definitions whose constraints may show that a service never runs on our hosts."""
        survey = self._survey
        for arn in arns if survey is not None else ():
            assert survey is not None
            found = self._ask(ROOM, partial(survey.definition, arn))
            if isinstance(found, Definition):
                self._known.learn_definition(arn, found)

    def _read_definitions(self, ids: Sequence[InstanceId]) -> Iterable[Missed]:
        """Read new task definitions. If one cannot be read, the instances with its tasks are held."""
        survey, known = self._survey, self._known
        if survey is None or known.fleet.definitions is None:
            return ()
        fleet = known.fleet
        wanted = {id_: list(unread_definitions(known.instance(id_), fleet)) for id_ in ids}
        missed: dict[str, str] = {}
        for arn in sorted({arn for arns in wanted.values() for arn in arns}):
            found: Definition | NotNow | None = self._ask(ROOM, partial(survey.definition, arn))
            match found:
                case None:
                    known.fleet = replace(known.fleet, definitions=None)
                    return ()
                case NotNow(why=why):
                    missed[arn] = f"the task definition {arn}: {why}"
                case Definition():
                    known.learn_definition(arn, found)
        return [(id_, missed[arn]) for id_, arns in wanted.items() for arn in arns if arn in missed]

    def _read_interfaces(self, ids: Sequence[InstanceId]) -> Iterable[Missed]:
        """Read the limits of each instance type once, if tasks that move have network interfaces or EBS volumes."""
        survey, known = self._survey, self._known
        demands = [definition.demand for definition in (known.fleet.definitions or {}).values()]
        wanted = any(demand.interfaces or demand.volumes for demand in demands)
        unread = instance_types(known.fleet) - (known.fleet.interfaces or {}).keys() - self._untyped
        if survey is None or not wanted or not unread:
            return ()
        found = self._ask(INTERFACES, lambda: survey.type_limits(sorted(unread)))
        if isinstance(found, NotNow):
            return [(id_, f"the network interfaces of its type: {found.why}") for id_ in ids]
        most = {name: one.interfaces for name, one in (found or {}).items() if one.interfaces is not None}
        volumes = {name: one.volumes for name, one in (found or {}).items() if one.volumes is not None}
        interfaces = {**(known.fleet.interfaces or {}), **most} if found is not None else None
        attachable = {**(known.fleet.volumes or {}), **volumes} if found is not None else None
        known.fleet = replace(known.fleet, interfaces=interfaces, volumes=attachable)
        self._untyped |= unread
        return ()

    def _read_providers(self, ids: Sequence[InstanceId], now: datetime) -> Iterable[Missed]:
        """Read the capacity providers of instances and services, if there are any and room for tasks is checked."""
        survey, known = self._survey, self._known
        names = capacity_providers(known.fleet)
        if survey is None or known.fleet.definitions is None or not names or self._knows_providers(names, now):
            return ()
        found = self._ask(PROVIDERS, lambda: survey.providers(sorted(names)))
        if isinstance(found, NotNow):
            return [(id_, f"the capacity providers: {found.why}") for id_ in ids]
        self._providers_at, self._provided = now, self._in_providers()
        # Do not look up a provider again immediately if AWS did not return it.
        unsaid = {name: CapacityProvider(name, ProviderKind.OTHER) for name in names}
        known.fleet = replace(known.fleet, providers={**unsaid, **found} if found is not None else None)
        return ()

    def _knows_providers(self, names: frozenset[str], now: datetime) -> bool:
        """Whether what was last read of these providers still counts: not if instances of any came or went since."""
        known = self._known.fleet.providers or {}
        grows = any(one.more and one.scales for one in known.values())
        if self._providers_at is None or not names <= known.keys():
            return False
        lasts = GROWING_EVERY if grows else PROVIDERS_EVERY
        return not has_passed(self._providers_at, lasts, now) and self._provided == self._in_providers()

    def _in_providers(self) -> frozenset[InstanceId]:
        """The registered instances that belong to a capacity provider."""
        ours = self._known.instances.values()
        return frozenset(one.id for one in ours if one.registration is not None and one.registration.capacity_provider)

    def _look_at_protections(self, ids: Sequence[InstanceId], now: datetime) -> Iterable[Missed]:
        survey = self._survey
        movable = {one.id: tasks for one in self._known.instances.values() if (tasks := _movable(one))}
        few = sum(map(len, movable.values())) <= ONE_CALL
        asked = movable if few else {id_: movable[id_] for id_ in ids if id_ in movable}
        wanted = any(id_ in asked for id_ in ids)
        tasks = [task for tasks in asked.values() for task in tasks] if wanted else []
        found = self._ask(PROTECTION, lambda: survey.protections(tasks)) if survey is not None and tasks else {}
        if isinstance(found, NotNow):
            return [(id_, f"the protection of its tasks: {found.why}") for id_ in ids if id_ in asked]
        check_answer = found or {}
        for id_ in {*asked, *ids} if wanted else ids:
            protected = {task: check_answer[task] for task in asked.get(id_, ()) if task in check_answer}
            self._learn(id_, replace(self._around(id_, now), protected=protected))
        return ()

    def _ask(self, rule: str, call: Callable[[], T]) -> T | NotNow | None:
        """Make a call. Returns NotNow if AWS does not answer this time, None if the rule is off for the run."""
        if rule in self._off:
            return None
        try:
            answer = call()
        except (LeaseLost, Interrupted):
            raise
        except Throttled as error:
            return NotNow(str(error))
        except Unreachable as error:
            self._unheard[rule] += 1
            if rule in self._answered or self._unheard[rule] < UNHEARD_ASKS:
                return NotNow(str(error))
            self._turn_off(rule, error)
            return None
        except UpdaterError as error:
            self._turn_off(rule, error)
            return None
        self._answered.add(rule)
        return answer

    def _turn_off(self, rule: str, error: UpdaterError) -> None:
        self._off.add(rule)
        self._recorder.record(RuleOff(self._known.fleet.at, rule, str(error)))


def _still_refreshing(found: Membership | None, before: Membership | None) -> Membership | None:
    """Keep the known state of the group's instance refresh, which this call did not read."""
    if isinstance(found, InGroup) and isinstance(before, InGroup) and found.group == before.group:
        return replace(found, refreshing=before.refreshing)
    return found


def _drained_by_others(instance: Instance) -> bool:
    registration = instance.registration
    drained = registration is not None and registration.status is Status.DRAINING and instance.claim is None
    return drained and instance.bottlerocket


def _group_due(instance: Instance, drained_seen: datetime, now: datetime) -> bool:
    """Whether its group has not answered since it was seen DRAINING, or not for a while."""
    answered_at = instance.around.group_at if instance.around is not None else None
    return answered_at is None or answered_at < drained_seen or has_passed(answered_at, DRAINED_EVERY, now)


def _after(before: Machine | None, found: Machine | None) -> Machine | None:
    """The machine after one more look."""
    if found is None or found.state:
        return found
    return replace(found, unknown_looks=before.unknown_looks + 1 if before is not None else 1)


def _odd(instance: Instance, run: RunId, now: datetime) -> bool:
    """Whether EC2 may explain why the instance is unreachable: it is stopped, terminated, AWS-managed, …

    A host that we reboot is down for a while, so the updater asks EC2 about it only if it stays away.
    """
    registration = instance.registration
    if not instance.bottlerocket or registration is None or not instance.registered or registration.external:
        return False
    if instance.claim is not None:
        since = instance.progress.disconnected_since
        own = instance.claim.run == run and instance.claim.phase is not ClaimPhase.QUARANTINED
        return since is not None and (not own or has_passed(since, AWAY_FOR, now))
    unreachable = not registration.connected or instance.reach is PingStatus.UNKNOWN
    return unreachable or registration.status is not Status.ACTIVE


def _movable(instance: Instance) -> list[TaskArn]:
    """The tasks of services on it, without daemon services. Only these can be protected."""
    tasks = instance.tasks.left if instance.tasks is not None else ()
    return [task.arn for task in tasks if task.of_service and not task.daemon]


def _published_in(name: str, value: str | None, now: datetime) -> PublishedState:
    """The state of a parameter that was read."""
    if value is None:
        return PublishedUnread(f"Systems Manager has no parameter {name}")
    try:
        return Published(read_published(value), now)
    except ValueError:
        return PublishedUnread(f"the parameter {name} does not name a version: {value[:40]!r}")


def _kept(before: PublishedState | None, why: str) -> PublishedState:
    return before if isinstance(before, Published) else PublishedUnread(why)
