"""Which instances of a simulated world are out of service, since when, and which of them count against a budget."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.core.model.container_instance import VARIANT_ATTRIBUTE
from bottlerocket_ecs_updater.simulator.ecs.model import Desired, InstanceStatus
from bottlerocket_ecs_updater.simulator.ecs.specs import TaskLaunch
from bottlerocket_ecs_updater.simulator.host import Power

if TYPE_CHECKING:
    from collections.abc import Collection

    from bottlerocket_ecs_updater.simulator.world.world import World

NOTICEABLE = timedelta(seconds=30)
"""How long an outage caused by others must last before an updater must have seen it."""


@dataclass(slots=True)
class _Outage:
    since: datetime
    by_updater: bool
    shown_since: datetime | None = None
    """None while ECS shows the instance ACTIVE and connected, although its agent is not."""


@dataclass(slots=True)
class _Service:
    """Whether one instance is in service."""

    zone: str
    bottlerocket: bool
    outage: _Outage | None = None
    seconds_out: float = 0.0
    """In all its outages that have ended."""


class Outages:
    """The outages of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._each: dict[str, _Service] = {}
        self._out: dict[str, _Service] = {}
        """Instances that are out of service now."""
        self._out_by_zone: Counter[str] = Counter()
        self.most_at_once = 0
        self.most_by_zone: Counter[str] = Counter()

    def look_at(self, name: str, *, by_updater: bool) -> None:
        """Note whether an instance is in service, after a change that an updater caused or did not."""
        instance = self._world.cluster.by_ec2.get(name)
        if instance is None:
            return
        one = self._each.setdefault(name, _Service(instance.zone, VARIANT_ATTRIBUTE in instance.custom))
        # A terminated instance is not an outage: an Auto Scaling group replaces it.
        gone = instance.status is InstanceStatus.INACTIVE
        # As its host says: changes are noted here before they reach ECS.
        connected = self._world.hosts[name].ecs_agent_up
        out = not gone and (instance.status is not InstanceStatus.ACTIVE or not connected)
        if out and one.outage is None:
            self._goes_out(name, one, by_updater=by_updater)
        elif not out and one.outage is not None:
            self._comes_back(name, one, one.outage)
        if one.outage is not None:
            self._note_shown(one.outage, shown=not instance.accepts_tasks)

    def _note_shown(self, outage: _Outage, *, shown: bool) -> None:
        """Note since when ECS shows an outage. What ECS hides, even if an updater began it, no updater knows."""
        if not shown:
            outage.shown_since, outage.by_updater = None, False
        elif outage.shown_since is None:
            outage.shown_since = self._world.clock.now()

    def _goes_out(self, name: str, one: _Service, *, by_updater: bool) -> None:
        one.outage = _Outage(self._world.clock.now(), by_updater)
        self._out[name] = one
        self._out_by_zone[one.zone] += 1
        self.most_at_once = max(self.most_at_once, self._out_by_zone.total())
        self.most_by_zone[one.zone] = max(self.most_by_zone[one.zone], self._out_by_zone[one.zone])

    def _comes_back(self, name: str, one: _Service, outage: _Outage) -> None:
        one.seconds_out += (self._world.clock.now() - outage.since).total_seconds()
        one.outage = None
        del self._out[name]
        self._out_by_zone[one.zone] -= 1

    def seconds_out(self) -> dict[str, float]:
        """How long each instance was out of service in total."""
        now = self._world.clock.now()
        return {
            name: one.seconds_out + ((now - one.outage.since).total_seconds() if one.outage is not None else 0.0)
            for name, one in self._each.items()
        }

    def zone_of(self, name: str) -> str:
        """The zone of an instance."""
        return self._each[name].zone

    def zones(self, *, besides: str, together: Collection[str], not_counted: Collection[str]) -> list[str]:
        """The zones of the outages that count, without that of one instance, with those that one call begins."""
        out = [one.zone for name, one in self._out.items() if name != besides and self._counts(name, one, not_counted)]
        return out + [self.zone_of(name) for name in together if name not in self._out]

    def _counts(self, name: str, one: _Service, not_counted: Collection[str]) -> bool:
        """Whether an outage counts: not for instances that are stopped, in a warm pool, excluded, or managed by AWS.

        Neither does one that its group is terminating or keeps in standby, once its tasks have moved, or one whose
        registration failed before it had any task.
        """
        host, instance = self._world.hosts[name], self._world.instance(name)
        # ECS counts no task that is still stopping: it has been replaced, as far as its service requires.
        moved = all(task.desired is Desired.STOPPED for task in instance.tasks.values())
        emptied = instance.status is InstanceStatus.DRAINING and moved
        if emptied and self._world.autoscaling.sets_aside(name):
            return False
        if instance.status is InstanceStatus.REGISTRATION_FAILED and not instance.tasks:
            return False
        if host.power in (Power.STOPPED, Power.TERMINATED) or host.spec.managed_by or name in not_counted:
            return False
        outage = one.outage
        if outage is not None and not outage.by_updater and self._world.autoscaling.is_warm(name):
            return False
        managed = instance.launch is TaskLaunch.MANAGED_INSTANCES
        if managed and outage is not None and not outage.by_updater:
            return False
        if outage is None or outage.shown_since is None or not one.bottlerocket:
            return False
        # While it was stopped it did not count, so an updater must notice that it was started.
        since = max(outage.shown_since, host.started_at)
        known = outage.by_updater and since == outage.shown_since
        now = self._world.clock.now()
        return known or now - since >= NOTICEABLE + (self._world.api_faults.lag(now) or timedelta())
