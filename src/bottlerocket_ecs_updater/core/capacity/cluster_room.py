"""The room in a cluster: what the instances have left, and what the tasks that must move require."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace

from bottlerocket_ecs_updater.core.capacity.crowding import StayingTasks
from bottlerocket_ecs_updater.core.capacity.daemon_share import DaemonShare, daemon_share
from bottlerocket_ecs_updater.core.capacity.fleet_capacity import (
    accepts_tasks,
    capacity_of,
    coming_instances,
    is_drained_by_us,
    limited_to,
    rules_of,
    with_doubts,
    zones_of_subnets,
)
from bottlerocket_ecs_updater.core.capacity.host_room import Capacity, ServiceRules, asks_for_tasks
from bottlerocket_ecs_updater.core.capacity.incremental import IncrementalPlacement
from bottlerocket_ecs_updater.core.capacity.will_it_fit import (
    Coming,
    Fits,
    Leaving,
    NoRoom,
    PlannedDrain,
    blocked_by_limits,
    crowded_out,
    must_place,
    takes,
    will_drain,
    will_place,
)
from bottlerocket_ecs_updater.core.model.container_instance import SERVICE_GROUP, Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.host_report import UpdateState
from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.services import Service

REFUGES_LOOKED_AT = 50
"""How many updated instances are tried, starting with the most free memory. Few tasks fit only on others."""


class ClusterRoom:
    """The room in a cluster at one time, less what the instances picked in this pass need."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        services = fleet.all_services
        self._by_name = {service.name: service for service in services}
        replicas = {f"{SERVICE_GROUP}{service.name}": service for service in services if not service.daemon}
        self._arns = {group: service.arn for group, service in replicas.items() if _is_placed(service)}
        self._unplaced = {group: service for group, service in replicas.items() if not _is_placed(service)}
        """Services for which ECS did not say how it places their tasks."""
        self._leaving: list[Leaving] | None = None
        self._leaving_counts: Counter[ServiceArn] = Counter()
        self._capacity: Mapping[InstanceId, Capacity] | None = None
        self._refuges: Sequence[tuple[InstanceId, Capacity]] | None = None
        self._settles: dict[str, bool] = {}
        self._rules: dict[ServiceArn, ServiceRules | None] = {}
        self._short: Mapping[ServiceArn, ServiceRules] | None = None
        self._open: dict[ServiceArn, bool] = {}
        """Whether any instance has room for another task of a service. Within a pass, room only shrinks."""
        self._refusals: dict[str, NoRoom] = {}
        """The result for each service that has no room anywhere, by service name."""
        self._subnets: Mapping[str, str] | None = None
        """The zone of each subnet with an instance in it."""
        self._coming: Sequence[Coming] | None = None
        self._staying: StayingTasks | None = None
        self._daemons: DaemonShare | None = None
        self._picked: set[InstanceId] = set()
        """The instances that were picked in this pass."""
        self._able: dict[ServiceArn, tuple[list[InstanceId], Iterator[InstanceId]]] = {}
        """The instances found so far with room for a task of a service, and those that were not tried yet."""
        self._placing: IncrementalPlacement | None = None
        self._placed: InstanceId | None = None
        """The instance whose tasks were last placed incrementally."""

    def for_drain_of(self, instance: Instance) -> Fits | NoRoom | None:
        """Whether its tasks have room elsewhere; None if too little is known."""
        answer = self._for_known_tasks_on(instance)
        doubts = tuple(self._doubts_about(instance)) if isinstance(answer, Fits) else ()
        return replace(answer, provisos=(*answer.provisos, *doubts)) if isinstance(answer, Fits) and doubts else answer

    def _doubts_about(self, instance: Instance) -> Iterator[str]:
        groups = dict.fromkeys(task.group for task in instance.tasks_left)
        for service in (self._unplaced[group] for group in groups if group in self._unplaced):
            yield f"whether tasks of {service.name} fit elsewhere is not checked: ECS does not say how it places them"

    def _for_known_tasks_on(self, instance: Instance) -> Fits | NoRoom | None:
        fleet = self._fleet
        if fleet.definitions is None or instance.tasks is None:
            return None
        others = self._of_others()
        here = [task.service for task in self._tasks_on(instance)]
        leaving = self._leaving_counts + Counter(here)
        rules = self._rules_of_all(leaving)
        rules = {**self._short_of_tasks(), **rules} if rules is not None else None
        capacity = self._all_capacity()
        if rules is None or capacity is None:
            return None
        self._placed = None
        full = self._full_provider(instance.id, rules, here, leaving)
        if full is not None:
            return full
        nowhere = {rules[arn].name for arn in here if self._has_room_nowhere(rules[arn], leaving[arn])}
        for name in nowhere & self._refusals.keys():
            if f" {instance.id}, the nearest" not in self._refusals[name].missing:
                return self._refusals[name]
        if self._placing is None:
            self._placing = IncrementalPlacement(capacity, {task.instance for task in others} | self._picked)
        tasks = [*others, *self._tasks_on(instance)]
        drain = PlannedDrain(instance.id, capacity, rules, tasks, self._all_coming(), picked=frozenset(self._picked))
        if self._placing.fits(instance.id, rules, here, leaving):
            crowded = None if self._is_spacious(drain) else crowded_out(self._with_staying(drain))
            if crowded is not None:
                return crowded
            self._placed = instance.id
            return Fits(provisos=tuple(doubt for arn in dict.fromkeys(here) for doubt in rules[arn].doubts))
        answer = will_drain(self._with_staying(drain))
        if isinstance(answer, NoRoom) and answer.service in nowhere:
            self._refusals[answer.service] = answer
        return answer

    def _is_spacious(self, drain: PlannedDrain) -> bool:
        """Whether each service has room on as many instances as tasks will be placed, so that the order is irrelevant.

        Each task that ECS places first can take away the room of another one on one instance at most.
        """
        leaving, emptied, rules = drain.leaving(), drain.emptied(), drain.services.items()
        placed = sum(will_place(service, leaving[arn]) for arn, service in rules)
        moving = [service for arn, service in rules if leaving[arn] and must_place(service, leaving[arn])]
        return all(self._has_room_on(service, placed, emptied) for service in moving)

    def _has_room_on(self, service: ServiceRules, wanted: int, emptied: Set[InstanceId]) -> bool:
        """Whether so many instances, apart from those that are emptied, have room for a task of the service."""
        if service.arn not in self._able:
            capacity = (self._all_capacity() or {}).items()
            self._able[service.arn] = [], (id_ for id_, left in capacity if left.accepts and takes(id_, left, service))
        found, more = self._able[service.arn]
        short = wanted - sum(id_ not in emptied for id_ in found)
        for id_ in more if short > 0 else ():
            found.append(id_)
            short -= id_ not in emptied
            if short <= 0:
                break
        return short <= 0

    def _with_staying(self, drain: PlannedDrain) -> PlannedDrain:
        """The drain, with how many tasks of each service are on each instance."""
        if self._staying is None:
            found: dict[ServiceArn, Counter[InstanceId]] = {}
            for instance in self._fleet.instances.values():
                for task in self._tasks_on(instance):
                    found.setdefault(task.service, Counter())[instance.id] += 1
            self._staying = found
        return replace(drain, staying=self._staying)

    def _full_provider(
        self,
        instance: InstanceId,
        rules: Mapping[ServiceArn, ServiceRules],
        here: Iterable[ServiceArn],
        leaving: Mapping[ServiceArn, int],
    ) -> NoRoom | None:
        """The refusal if one of several capacity providers of a service has no room for its share of the tasks.

        ECS chooses the provider of the next task by base and weight, and does not use another one if that is full.
        """
        registration = self._fleet.instances[instance].registration
        own = registration.capacity_provider if registration is not None else ""
        for arn in dict.fromkeys(here):
            service = rules[arn]
            moving = must_place(service, leaving[arn]) if len(service.providers) > 1 else 0
            for provider in service.providers if moving else ():
                share = service.share_of(provider, moving, own)
                if not share:
                    continue
                alone = limited_to(service, provider, share, self._fleet)
                moved = [Leaving(instance, arn)] * share
                capacity, picked = self._all_capacity() or {}, frozenset(self._picked)
                drain = PlannedDrain(instance, capacity, {arn: alone}, moved, self._all_coming(), picked=picked)
                answer = will_drain(drain)
                if isinstance(answer, NoRoom):
                    return answer
        return None

    def _has_room_nowhere(self, service: ServiceRules, leaving: int) -> bool:
        """Whether a task of the service must move and no instance at all has room for it.

        This saves repeating the full placement, with the same result, for each instance of a large, full cluster.
        """
        may_come = service.grows or any(one.provider in service.providers for one in self._all_coming())
        if may_come or asks_for_tasks(service) or not must_place(service, leaving):
            return False
        if blocked_by_limits(service.arn, service, leaving):
            return False
        return not self._is_open(service)

    def take(self, instance: Instance) -> None:
        """Count that instance among those that are drained."""
        self._picked.add(instance.id)
        tasks = list(self._tasks_on(instance))
        self._of_others().extend(tasks)
        self._leaving_counts.update(task.service for task in tasks)
        if self._placing is not None and self._placed == instance.id:
            self._placing.keep()
        else:
            self._placing = None

    def tasks_moved_again(self, instance: Instance) -> int:
        """How many of its tasks would have to be moved again later, because no updated instance has room for them.

        It is only used for the order: each task is tried alone, and unknown facts do not count.
        """
        tasks = instance.tasks_left
        if not tasks or not self._done():
            return 0
        return sum(1 for task in tasks if task.of_service and not task.daemon and not self._settles_down(task.group))

    def _settles_down(self, group: str) -> bool:
        """Whether a task of that service fits on an instance that is not drained again in this rollout."""
        if group not in self._settles:
            service = self._by_name.get(group.removeprefix(SERVICE_GROUP))
            rules = self._rules_of(service) if service is not None else None
            known = rules is not None and rules.demand is not None
            self._settles[group] = not known or any(takes(id_, left, rules) for id_, left in self._done() if rules)
        return self._settles[group]

    def _done(self) -> Sequence[tuple[InstanceId, Capacity]]:
        if self._refuges is None:
            found = ((one.id, self._capacity_of(one)) for one in self._fleet.instances.values() if _is_done(one))
            known = [(id_, left) for id_, left in found if left is not None and left.accepts]
            known.sort(key=lambda pair: (-pair[1].memory, pair[0]))
            self._refuges = known[:REFUGES_LOOKED_AT]
        return self._refuges

    def services_on(self, instance: Instance) -> Iterable[Service]:
        """The services whose tasks on it a drain would have to move."""
        names = {
            task.group.removeprefix(SERVICE_GROUP)
            for task in instance.tasks_left
            if task.of_service and not task.daemon
        }
        found = (self._by_name.get(name) for name in sorted(names))
        return [service for service in found if service is not None and not service.daemon]

    def unknown_on(self, instance: Instance) -> Service | None:
        """A service with tasks on it that ECS did not describe; None if it described all."""
        return next((service for service in self.services_on(instance) if service.unknown), None)

    def _tasks_on(self, instance: Instance) -> Iterable[Leaving]:
        for task in instance.tasks_left:
            arn = self._arns.get(task.group)
            if arn is not None and task.of_service:
                yield Leaving(instance.id, arn)

    def _of_others(self) -> list[Leaving]:
        """Tasks still on instances that are draining. Tasks that have moved already need no more room."""
        if self._leaving is None:
            draining = (one for one in self._fleet.instances.values() if _drains(one))
            self._leaving = [leaving for one in draining for leaving in self._tasks_on(one)]
            self._leaving_counts = Counter(task.service for task in self._leaving)
        return self._leaving

    def _rules_of(self, service: Service) -> ServiceRules | None:
        if self._subnets is None:
            self._subnets = zones_of_subnets(self._fleet)
        return rules_of(service, self._fleet, self._subnets)

    def _rules_of_all(self, arns: Iterable[ServiceArn]) -> Mapping[ServiceArn, ServiceRules] | None:
        if not self._rules:
            capacity = self._all_capacity() or {}
            self._rules = {
                service.arn: with_doubts(self._rules_of(service), capacity) for service in self._by_name.values()
            }
        found: dict[ServiceArn, ServiceRules] = {}
        for arn in arns:
            rules = self._rules[arn]
            if rules is None:
                return None
            found[arn] = rules
        return found

    def _short_of_tasks(self) -> Mapping[ServiceArn, ServiceRules]:
        """The services that lack tasks now, on any instance, and whose tasks ECS may place now.

        A service that fits nowhere takes no room from others.
        """
        if self._short is None:
            lacking = [one.arn for one in self._by_name.values() if lacks_tasks(one)]
            known = ((arn, self._rules_of_all([arn])) for arn in lacking)
            self._short = {arn: rules[arn] for arn, rules in known if rules is not None and self._may_start(rules[arn])}
        return self._short

    def _may_start(self, service: ServiceRules) -> bool:
        """Whether ECS may start another task of the service: on an instance, or on one that is added for others."""
        added = (one.when_added() for one in self._all_coming())
        return self._is_open(service) or any(takes(InstanceId(one.provider), one.like, service) for one in added)

    def _is_open(self, service: ServiceRules) -> bool:
        if service.arn not in self._open:
            capacity = (self._all_capacity() or {}).items()
            self._open[service.arn] = any(left.accepts and takes(id_, left, service) for id_, left in capacity)
        return self._open[service.arn]

    def _all_capacity(self) -> Mapping[InstanceId, Capacity] | None:
        if self._capacity is None:
            found = {id_: self._capacity_of(one) for id_, one in self._fleet.instances.items() if one.registration}
            if any(left is None and accepts_tasks(self._fleet.instances[id_]) for id_, left in found.items()):
                return None
            self._capacity = {id_: capacity for id_, capacity in found.items() if capacity is not None}
        return self._capacity

    def _capacity_of(self, instance: Instance) -> Capacity | None:
        return capacity_of(instance, self._fleet, self._arns, self._daemon_share())

    def _daemon_share(self) -> DaemonShare:
        if self._daemons is None:
            self._daemons = daemon_share(self._fleet)
        return self._daemons

    def _all_coming(self) -> Sequence[Coming]:
        if self._coming is None:
            self._coming = coming_instances(self._fleet, self._daemon_share())
        return self._coming


def lacks_tasks(service: Service) -> bool:
    """Whether ECS has to start tasks of a service that have no place yet."""
    return not service.daemon and not service.failed and service.desired > service.running + service.pending


def _is_placed(service: Service) -> bool:
    return service.deployment is not None or bool(service.unknown)


def _drains(instance: Instance) -> bool:
    registration = instance.registration
    drains = registration is not None and registration.status in (Status.DRAINING, Status.DEREGISTERING)
    return drains or is_drained_by_us(instance)


def _is_done(instance: Instance) -> bool:
    report = instance.report
    return instance.claim is None and report is not None and report.state is UpdateState.IDLE
