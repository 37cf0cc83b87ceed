"""Reads, right before updates start, whether the tasks of instances may leave them and fit elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from bottlerocket_ecs_updater.core.capacity.unread_facts import capacity_providers, instance_types, unread_definitions
from bottlerocket_ecs_updater.core.model.capacity_provider import CapacityProvider, ProviderKind
from bottlerocket_ecs_updater.core.model.ids import InstanceId, TaskArn
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.resources import Definition
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.engine.look.context import LookContext
from bottlerocket_ecs_updater.engine.look.groups import GroupLooks
from bottlerocket_ecs_updater.engine.look.rule_calls import (
    INTERFACES,
    PROTECTION,
    PROVIDERS,
    ROOM,
    Missed,
    NotNow,
    RuleCalls,
)
from bottlerocket_ecs_updater.engine.ports import Survey

ONE_CALL = 100
"""Tasks per GetTaskProtection call. In a cluster with no more tasks than this, one call covers all of them."""

PROVIDERS_EVERY = timedelta(minutes=15)
"""How often capacity providers are read again: their limits change with settings and scaling."""

GROWING_EVERY = timedelta(seconds=20)
"""How often, if one of them may still launch instances. Room that it no longer has makes a drain time out."""


class Surveyor:
    """Reads survey data for one run. `survey` is None to read nothing."""

    def __init__(self, context: LookContext, survey: Survey | None, rules: RuleCalls, groups: GroupLooks) -> None:
        self._known = known = context.known
        self._survey = survey
        self._rules = rules
        self._groups = groups
        self._providers_at: datetime | None = None
        self._provided: frozenset[InstanceId] = frozenset()
        self._untyped: set[str] = set()
        """Instance types that were looked up: EC2 may not return all of them."""
        known.fleet = replace(known.fleet, surveyed=survey is not None)
        if survey is not None and context.policy.rules.check_room:
            known.fleet = replace(known.fleet, definitions={})

    def look_around(self, ids: Collection[InstanceId]) -> None:
        """Read everything that rules need right before instances start their update. Reuses no earlier survey."""
        now = self._known.now
        chosen = [self._known.instance(id_) for id_ in sorted(ids)]
        candidates = [one.id for one in chosen if one.claim is None or one.progress.drain is None]
        if self._survey is None or not candidates:
            return
        self._groups.look_at_stopped()
        missed = (
            *self._read_definitions(candidates),
            *self._read_providers(candidates),
            *self._read_interfaces(candidates),
            *self._look_at_protections(candidates),
            *self._groups.look_at(self._groups.sharing_a_call(candidates)),
        )
        for id_ in candidates:
            unanswered = "; ".join(why for one, why in missed if one == id_)
            before = self._known.around(id_)
            since = (before.unanswered_since or now) if unanswered else None
            self._known.learn_around(
                id_, replace(before, at=now, asked_at=now, unanswered=unanswered, unanswered_since=since)
            )

    def look_at_definitions(self, arns: Iterable[str]) -> None:
        """Read task definitions whose constraints may show that a service never runs on our hosts."""
        survey = self._survey
        for arn in arns if survey is not None else ():
            assert survey is not None
            found = self._rules.ask(ROOM, partial(survey.definition, arn), arn)
            if isinstance(found, Definition):
                self._known.learn_definition(arn, found)

    def look_at_managed(self) -> None:
        """Note Managed Instances, which do not count in the budget.

        Their capacity providers are read for this only if one of them is out of service, and EC2 does not say why.
        """
        known = self._known.fleet.providers or {}
        if any(_provider_of(one) not in {"", *known} for one in self._known.instances.values() if _is_out(one)):
            self._ask_providers(capacity_providers(self._known.fleet))
        else:
            self._note_managed()

    def _read_definitions(self, ids: Sequence[InstanceId]) -> Iterable[Missed]:
        """Read new task definitions. If one cannot be read, the instances with its tasks are held."""
        survey, known = self._survey, self._known
        if survey is None or known.fleet.definitions is None:
            return ()
        fleet = known.fleet
        wanted = {id_: list(unread_definitions(known.instance(id_), fleet)) for id_ in ids}
        missed: dict[str, str] = {}
        for arn in sorted({arn for arns in wanted.values() for arn in arns}):
            found: Definition | NotNow | None = self._rules.ask(ROOM, partial(survey.definition, arn), arn)
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
        found = self._rules.ask(INTERFACES, lambda: survey.type_limits(sorted(unread)))
        if isinstance(found, NotNow):
            return [(id_, f"the network interfaces of its type: {found.why}") for id_ in ids]
        most = {name: one.interfaces for name, one in (found or {}).items() if one.interfaces is not None}
        volumes = {name: one.volumes for name, one in (found or {}).items() if one.volumes is not None}
        interfaces = {**(known.fleet.interfaces or {}), **most} if found is not None else None
        attachable = {**(known.fleet.volumes or {}), **volumes} if found is not None else None
        known.fleet = replace(known.fleet, interfaces=interfaces, volumes=attachable)
        self._untyped |= unread
        return ()

    def _read_providers(self, ids: Sequence[InstanceId]) -> Iterable[Missed]:
        """Read the capacity providers of instances and services, if there are any and room for tasks is checked."""
        names = capacity_providers(self._known.fleet)
        if self._known.fleet.definitions is None or not names or self._knows_providers(names):
            return ()
        missed = self._ask_providers(names)
        return [(id_, f"the capacity providers: {missed.why}") for id_ in ids] if missed is not None else ()

    def _ask_providers(self, names: frozenset[str]) -> NotNow | None:
        survey, known = self._survey, self._known
        found = self._rules.ask(PROVIDERS, lambda: survey.providers(sorted(names))) if survey is not None else None
        if isinstance(found, NotNow):
            return found
        self._providers_at, self._provided = known.now, self._in_providers()
        # Do not look up a provider again immediately if AWS did not return it.
        unsaid = {name: CapacityProvider(name, ProviderKind.OTHER) for name in names}
        known.fleet = replace(known.fleet, providers={**unsaid, **found} if found is not None else None)
        self._note_managed()
        return None

    def _note_managed(self) -> None:
        providers = (self._known.fleet.providers or {}).values()
        managed = {one.name for one in providers if one.kind is ProviderKind.MANAGED_INSTANCES}
        for one in list(self._known.instances.values()):
            if _provider_of(one) in managed and not one.managed:
                self._known.learn_around(one.id, replace(self._known.around(one.id), managed=True))

    def _knows_providers(self, names: frozenset[str]) -> bool:
        """Whether what was last read of these providers still counts: not if instances of any came or went since."""
        known = self._known.fleet.providers or {}
        grows = any(one.more and one.scales for one in known.values())
        if self._providers_at is None or not names <= known.keys():
            return False
        lasts = GROWING_EVERY if grows else PROVIDERS_EVERY
        return not has_passed(self._providers_at, lasts, self._known.now) and self._provided == self._in_providers()

    def _in_providers(self) -> frozenset[InstanceId]:
        """The registered instances that belong to a capacity provider."""
        ours = self._known.instances.values()
        return frozenset(one.id for one in ours if one.registration is not None and one.registration.capacity_provider)

    def _look_at_protections(self, ids: Sequence[InstanceId]) -> Iterable[Missed]:
        survey = self._survey
        movable = {one.id: tasks for one in self._known.instances.values() if (tasks := _movable(one))}
        few = sum(map(len, movable.values())) <= ONE_CALL
        asked = movable if few else {id_: movable[id_] for id_ in ids if id_ in movable}
        wanted = any(id_ in asked for id_ in ids)
        tasks = [task for tasks in asked.values() for task in tasks] if wanted else []
        found = self._rules.ask(PROTECTION, lambda: survey.protections(tasks)) if survey is not None and tasks else {}
        if isinstance(found, NotNow):
            return [(id_, f"the protection of its tasks: {found.why}") for id_ in ids if id_ in asked]
        check_answer = found or {}
        for id_ in {*asked, *ids} if wanted else ids:
            protected = {task: check_answer[task] for task in asked.get(id_, ()) if task in check_answer}
            self._known.learn_around(id_, replace(self._known.around(id_), protected=protected))
        return ()


def _is_out(instance: Instance) -> bool:
    """Whether an unclaimed host is out of service and, as far as EC2 said, not managed by AWS."""
    registration = instance.registration
    if registration is None or instance.claim is not None or not instance.bottlerocket:
        return False
    return not registration.in_service and not instance.managed


def _provider_of(instance: Instance) -> str:
    return instance.registration.capacity_provider if instance.registration is not None else ""


def _movable(instance: Instance) -> list[TaskArn]:
    """The tasks of services on it, without daemon services. Only these can be protected."""
    return [task.arn for task in instance.tasks_left if task.of_service and not task.daemon]
