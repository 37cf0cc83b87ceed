"""Reads the services of the cluster, and with them whether returned instances have settled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from bottlerocket_ecs_updater.core.decision.affected import services_on_hosts, unread_of
from bottlerocket_ecs_updater.core.decision.instance_health import impaired_by_update
from bottlerocket_ecs_updater.core.decision.settling import (
    flapping,
    moving_tasks,
    see_services,
    settled,
    starting_daemons,
    taken_tasks,
)
from bottlerocket_ecs_updater.core.model.event import Settled
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.services import Services, Slot
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.engine.look.conditions import ConditionLooks
from bottlerocket_ecs_updater.engine.look.context import LookContext
from bottlerocket_ecs_updater.engine.look.surveyor import Surveyor
from bottlerocket_ecs_updater.engine.ports import Cluster

LATE_TO_SETTLE = timedelta(seconds=60)
"""After a return, services are usually steady sooner than this."""


class ServiceLooks:
    """Describes services, and frees the slots of instances whose services are steady."""

    def __init__(self, context: LookContext, cluster: Cluster, surveyor: Surveyor, conditions: ConditionLooks) -> None:
        self._known = context.known
        self._policy = context.policy
        self._recorder = context.recorder
        self._calls = context.calls
        self._cluster = cluster
        self._surveyor = surveyor
        self._conditions = conditions

    def look(self) -> None:
        """Describe all services, read the health rules and calendars, and free the slots that have settled."""
        known, now = self._known, self._known.now
        before = known.fleet.services.seen_deploying if known.fleet.services is not None else {}
        listed = self._calls.ask("ecs:DescribeServices", self._cluster.services)
        if listed is None:
            # Without services no slot can settle, and no update starts: do not wait for slots.
            known.fleet = replace(known.fleet, slots=())
            return
        found = services_on_hosts(listed, known.instances.values(), known.fleet.definitions)
        deploying = {one.arn: before.get(one.arn, now) for one in found if one.deploying}
        services = Services(found, now, deploying)
        known.fleet = replace(known.fleet, services=services)
        if not known.drained:
            known.baseline = known.baseline.after(found)
        self._conditions.look_at_health()
        self._conditions.look_at_calendars()
        moving = {
            **moving_tasks(known.fleet),
            **starting_daemons(services, known.returned, self._policy.daemon_start),
        }
        slots = tuple(
            see_services(
                slot,
                services,
                moving,
                known.fleet.health,
                self._policy,
                self._impaired(slot),
                taken_tasks(known.fleet, slot),
            )
            for slot in known.fleet.slots
        )
        known.fleet = replace(known.fleet, slots=slots)
        below = {arn for slot in known.fleet.slots for arn in slot.below}
        blamed = [one for one in found if one.arn in below or (one.daemon and one.deficit)] if known.fleet.slots else ()
        self._surveyor.look_at_definitions(unread_of(blamed, known.instances.values(), known.fleet.definitions or {}))
        # A service that flaps by itself after one return does not count as worse after the next.
        flaps = {arn for slot in known.fleet.slots for arn in flapping(slot)}
        known.baseline = known.baseline.with_worst(one for one in found if one.arn in flaps)
        for slot in known.trim_slots(lambda slot: not settled(slot, now, self._policy)):
            self._recorder.record(Settled(now, slot.instance, now - slot.returned_at))

    def long_unsteady(self) -> Iterable[InstanceId]:
        """Hosts that were returned a while ago but whose slot is not steady: tasks may not start there.

        Those that ECS reports as IMPAIRED are among them from the first look on.
        """
        late = [
            slot
            for slot in self._known.fleet.slots
            if slot.unsteady and (self._impaired(slot) or has_passed(slot.returned_at, LATE_TO_SETTLE, self._known.now))
        ]
        return [slot.instance for slot in late if slot.instance in self._known.instances]

    def _impaired(self, slot: Slot) -> str:
        instance = self._known.instances.get(slot.instance)
        return impaired_by_update(instance) if instance is not None else ""
