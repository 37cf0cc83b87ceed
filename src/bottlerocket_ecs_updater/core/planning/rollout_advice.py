"""Advice about problems that stop a rollout from ever reaching every host, and that no run can fix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bottlerocket_ecs_updater.core.capacity.will_it_fit import limits_advice
from bottlerocket_ecs_updater.core.decision.not_counted import members
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.container_instance import SERVICE_GROUP
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance


@dataclass(frozen=True, slots=True)
class TakesDrained:
    """Managed termination protection leaves a drained host unprotected."""

    provider: str
    group: str

    def __str__(self) -> str:
        return (
            f"capacity provider {self.provider} has managed termination protection, which an instance loses when it is "
            f"drained for its update: it is the first that Auto Scaling group {self.group} terminates when it scales in"
        )

    @property
    def remedy(self) -> str:
        """What a person can do."""
        return f"keep the image in the launch template of {self.group} current, so that a replacement needs no update"


@dataclass(frozen=True, slots=True)
class NeverMoves:
    """The deployment limits of a service let none of its tasks leave a draining host."""

    service: str
    minimum: int
    maximum: int
    hosts: int
    """How many hosts have tasks of it."""
    remedy: str = field(default="", compare=False)
    """What a person can do, in the words of the hold."""

    def __str__(self) -> str:
        which = "the host with such a task stays" if self.hosts == 1 else f"the {self.hosts} hosts with such tasks stay"
        return (
            f"no task of {self.service} can ever move, with minimumHealthyPercent {self.minimum} and maximumPercent "
            f"{self.maximum}: {which} on the current version"
        )


RolloutAdvice = TakesDrained | NeverMoves


def advise_on_rollout(this_pass: Pass) -> tuple[RolloutAdvice, ...]:
    """Advice before a rollout; none if it can reach every host."""
    ours = members(this_pass)
    return (*_protections(ours, this_pass.fleet), *_rigid(ours, this_pass.fleet))


def _protections(ours: Iterable[Instance], fleet: Fleet) -> Iterator[TakesDrained]:
    known = fleet.providers or {}
    names = {one.registration.capacity_provider for one in ours if one.registration is not None}
    for provider in (known[name] for name in sorted(names) if name in known):
        if provider.protects_busy:
            yield TakesDrained(provider.name, provider.group)


def _rigid(ours: Iterable[Instance], fleet: Fleet) -> Iterator[NeverMoves]:
    hosts: dict[str, int] = {}
    for instance in ours:
        for group in {task.group for task in instance.tasks_left if task.of_service}:
            hosts[group] = hosts.get(group, 0) + 1
    for service in fleet.all_services:
        on = hosts.get(f"{SERVICE_GROUP}{service.name}", 0)
        deployment = service.deployment
        if not on or deployment is None or service.daemon or service.desired == 0:
            continue
        floor, ceiling = deployment.floor(service.desired), deployment.ceiling(service.desired)
        # No task may stop before another is healthy, and none may start before another stops.
        if floor >= service.desired and ceiling <= service.desired:
            remedy = limits_advice(service.name, service.desired, floor, ceiling)
            minimum, maximum = deployment.minimum_healthy_percent, deployment.maximum_percent
            yield NeverMoves(service.name, minimum, maximum, on, remedy)
