"""Settling: after a return, the slot stays taken until the services have been steady for the settle time.

Looks show whether services are steady. Time without a look, because AWS or the state store did not answer, counts
neither towards the settle time nor towards its limit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import ServiceArn
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Updated
from bottlerocket_ecs_updater.core.model.services import Health, Service, Services, Slot
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.rules.policy import Policy

LOOKS_PER_SETTLE = 2
"""How often a steady cluster is looked at within its settle time."""

DIPS_OF_FLAPPING = 3
"""A service flaps if it lost tasks this many times and recovered in between."""

FLAPS_FOR = timedelta(minutes=4)
"""Until then a service does not count as flapping: its tasks may fail on the host that is back."""

UNSTEADY_POLLS = 1
"""An unsteady cluster is looked at once in this many polls."""

TASKS_COUNTED_FOR = timedelta(minutes=1)
"""ECS may still count the tasks of an instance for so long after it is gone."""

LATE_LOOKS = 3
"""If looks are further apart than this many usual intervals, the time between them does not count."""


def deficits(services: Services | None) -> Mapping[ServiceArn, int]:
    """How many tasks each service lacks now."""
    return {service.arn: service.deficit for service in services.all if service.deficit} if services else {}


def running_now(services: Services | None) -> Mapping[ServiceArn, int] | None:
    """How many tasks each service has now, up to its desired count; None if services were not read."""
    return {one.arn: _kept(one) for one in services.all} if services is not None else None


def starting_daemons(services: Services, returned: Collection[Slot], within: timedelta) -> Mapping[str, int]:
    """Tasks of daemon services, by service name, that still have to start on instances that returned recently."""
    lately = sum(1 for slot in returned if services.at - slot.returned_at < within)
    return {service.name: lately for service in services.all if service.daemon} if lately else {}


def lasting_deficits(
    services: Services | None, returned: Collection[Slot], within: timedelta
) -> Mapping[ServiceArn, int]:
    """How many tasks each service lacks now, not counting daemons that still have to start: the next drain's baseline.

    It may lack as many as before those instances were drained.
    """
    if services is None:
        return {}
    starting = starting_daemons(services, returned, within)

    def lasting(service: Service) -> int:
        before = max((slot.deficits_before.get(service.arn, 0) for slot in returned), default=0)
        return min(service.deficit, max(before, service.deficit - starting.get(service.name, 0)))

    found = {service.arn: lasting(service) for service in services.all}
    return {arn: lacking for arn, lacking in found.items() if lacking}


def see_services(
    slot: Slot,
    services: Services,
    moving: Mapping[str, int],
    health: Health | None = None,
    policy: Policy | None = None,
    impaired: str = "",
    taken: int = 0,
) -> Slot:
    """The slot after one more look; `moving` counts the tasks that other drains move, by service name.

    `impaired` says why ECS reports its instance as IMPAIRED since the update; empty if it does not. `taken` counts the
    tasks that others took away with their instances.
    """
    missed = _missed(slot, services.at, policy) if policy is not None else timedelta()
    slot = replace(slot, looked_at=services.at, unseen=slot.unseen + missed)
    below = frozenset(one.arn for one in services.all if not one.daemon and _lacks(one, slot, moving))
    below -= _without_room(services, slot, moving, taken)
    slot = replace(slot, dips=_dips(slot, below), below=below)
    worse = tuple(_named(one) for one in services.all if one.unknown or _worse(one, slot, below, moving))
    worse += health.unwell if health is not None else ()
    worse += (f"{slot.instance} ({impaired})",) if impaired else ()
    if worse:
        return replace(slot, steady_since=None, unsteady=worse)
    before = slot.steady_since + missed if slot.steady_since is not None else None
    return replace(slot, steady_since=before or max(services.at, slot.returned_at), unsteady=())


def _missed(slot: Slot, now: datetime, policy: Policy) -> timedelta:
    """How much of the time since the last look, or since the return, does not count."""
    apart, usual = now - (slot.looked_at or slot.returned_at), _spacing(policy)
    return apart - usual if apart > LATE_LOOKS * usual else timedelta()


def _spacing(policy: Policy) -> timedelta:
    return max(policy.poll_interval, policy.settle / LOOKS_PER_SETTLE)


def _named(service: Service) -> str:
    """The service as text; one that ECS did not describe counts as not steady."""
    return f"{service.name} (ECS did not describe it: {service.unknown})" if service.unknown else service.name


def _dips(slot: Slot, below: frozenset[ServiceArn]) -> Mapping[ServiceArn, int]:
    """How often each service has lost tasks, after a look that finds `below` with fewer than before.

    A service that recovers and loses tasks again and again does so by itself, not because of our drain. Tasks that fail
    on the host that is back are detected elsewhere, and daemons start late on every host that returns.
    """
    fell = below - slot.below
    return {**slot.dips, **{arn: slot.dips.get(arn, 0) + 1 for arn in fell}} if fell else slot.dips


def flapping(slot: Slot) -> frozenset[ServiceArn]:
    """The services that lose tasks by themselves, as several looks since the return show."""
    if slot.looked_at is None or not has_passed(slot.returned_at, FLAPS_FOR, slot.looked_at):
        return frozenset()
    return frozenset(arn for arn, dips in slot.dips.items() if dips >= DIPS_OF_FLAPPING)


def _without_room(services: Services, slot: Slot, moving: Mapping[str, int], taken: int) -> frozenset[ServiceArn]:
    """The services for which ECS finds no room, if that is not our doing: others have it, or instances are gone.

    Either other services have gained as many tasks as these have lost, or instances with so many tasks were taken away.
    """
    changes = {one.arn: _kept(one) + moving.get(one.name, 0) - _had(one, slot) for one in services.all}
    short = frozenset(one.arn for one in services.all if not one.daemon and one.unplaced)
    lost = -sum(min(0, changes[arn]) for arn in short)
    gained = sum(max(0, change) for change in changes.values())
    return short if lost <= gained + taken else frozenset()


def _had(service: Service, slot: Slot) -> int:
    """How many tasks it had before the drain; its desired count if that is not known."""
    return slot.running_before.get(service.arn, 0) if slot.running_before is not None else service.desired


def _kept(service: Service) -> int:
    """How many tasks it has, up to its desired count."""
    return min(service.running, service.desired)


def _worse(service: Service, slot: Slot, below: Collection[ServiceArn], moving: Mapping[str, int]) -> bool:
    lacks = _lacks(service, slot, moving) if service.daemon else service.arn in below
    return service.arn not in flapping(slot) and lacks


def _lacks(service: Service, slot: Slot, moving: Mapping[str, int]) -> bool:
    """Whether a service lacks more tasks than before the drain, and has fewer than it had then.

    What a deployment of its owner stops, within the limits of the service, is not our drain's doing. If its owner has
    deployed it since the drain, its state before is no measure any more.
    """
    if slot.drained_at is not None and service.deployed_at is not None and service.deployed_at > slot.drained_at:
        return False
    moves = moving.get(service.name, 0)
    expected = max(slot.deficits_before.get(service.arn, 0) + moves, service.may_lack)
    return service.deficit > expected and service.running + moves < _had(service, slot)


def settled(slot: Slot, at: datetime, policy: Policy) -> bool:
    """Whether the slot is free again."""
    return slot.steady_since is not None and at - slot.steady_since >= policy.settle


def next_settle_look(this_pass: Pass) -> datetime | None:
    """When the services must be looked at again; None if no slot can still settle."""
    waited_for = [slot for slot in this_pass.fleet.slots if not never_settled(slot, this_pass)]
    return min((_due(slot, this_pass) for slot in waited_for), default=None)


def never_settled(slot: Slot, this_pass: Pass) -> bool:
    """Whether the services were not steady within the limit, so that the run halts."""
    if slot.steady_since is not None or not slot.unsteady:
        return False
    return has_passed(slot.returned_at + slot.unseen, this_pass.policy.settle_timeout, slot.looked_at or this_pass.at)


def _due(slot: Slot, this_pass: Pass) -> datetime:
    policy = this_pass.policy
    if slot.steady_since is None:
        return _first_steady_look(slot, this_pass)
    return max(this_pass.at, min(slot.steady_since + policy.settle, this_pass.at + _spacing(policy)))


def _first_steady_look(slot: Slot, this_pass: Pass) -> datetime:
    """A new slot is looked at immediately, because its settle time starts with that look."""
    return this_pass.at + UNSTEADY_POLLS * this_pass.policy.poll_interval if slot.unsteady else this_pass.at


def taken_tasks(fleet: Fleet, slot: Slot) -> int:
    """How many tasks ran on instances that others took out of service since the drain, and that are still out.

    An instance that this run updated counts only if it was drained or left the cluster: its version may disconnect it.
    """
    if slot.drained_at is None:
        return 0
    since = slot.drained_at - TASKS_COUNTED_FOR
    out = ((one, one.progress.taken_out) for one in fleet.instances.values())
    lately = ((one, taken) for one, taken in out if taken is not None and taken.at >= since)
    return sum(taken.tasks for one, taken in lately if not _may_be_our_doing(one))


def _may_be_our_doing(instance: Instance) -> bool:
    registration = instance.registration
    updated = isinstance(instance.progress.outcome, Updated)
    return updated and registration is not None and registration.status is Status.ACTIVE


def moving_tasks(fleet: Fleet) -> Mapping[str, int]:
    """How many tasks of each service our drains are moving now. These deficits are expected and will pass."""
    total: dict[str, int] = {}
    for instance in fleet.instances.values():
        if instance.claim is None or instance.progress.sent_return is not None:
            continue
        for name, count in instance.progress.moving.items():
            total[name] = total.get(name, 0) + count
    return total
