"""Managed scaling: capacity providers launch instances for tasks without room, up to their group's maximum.

Only scale-out is simulated: a waiting task causes a launch a few minutes later, from the group's warm pool first.
Nothing scales in.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.ecs import CapacityProvider
from bottlerocket_ecs_updater.simulator.host import HostSpec, Power
from bottlerocket_ecs_updater.simulator.services.autoscaling import IN_SERVICE

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.ecs import Cluster
    from bottlerocket_ecs_updater.simulator.world.world import World

SCALE_OUT = timedelta(minutes=3)
"""From a task without room until the new instance accepts it."""

MANAGED_BY_ECS = "ecs.amazonaws.com"
"""Who manages a Managed Instance, according to EC2. It is not registered in Systems Manager."""


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    most: int
    like: str
    """The template for new instances."""


class ManagedScaling:
    """The capacity providers of one world with an Auto Scaling group."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._groups: dict[str, _Group] = {}
        self._on_their_way: Counter[str] = Counter()
        self._started = 0
        world.ecs.scheduler.on_shortage.append(self._short)

    def add(self, name: str, *instance_ids: str, most: int | None = None, scaling: bool = True) -> CapacityProvider:
        """Add a capacity provider for these instances, with an Auto Scaling group of that name and maximum."""
        world = self._world
        most = len(instance_ids) if most is None else most
        world.autoscaling.add_group(name, *instance_ids, max_size=most)
        provider = CapacityProvider(name, world.autoscaling.arn_of(name), scaling=scaling)
        world.cluster.providers[name] = provider
        self._groups[name] = _Group(name, most, instance_ids[0])
        for instance_id in instance_ids:
            self._belong(instance_id, name)
        return provider

    def add_managed_instances(self, name: str, *instance_ids: str) -> CapacityProvider:
        """Add a capacity provider of ECS Managed Instances for these instances, without an Auto Scaling group."""
        provider = CapacityProvider(name)
        self._world.cluster.providers[name] = provider
        for instance_id in instance_ids:
            self._belong(instance_id, name)
            host = self._world.hosts[instance_id]
            host.spec = replace(host.spec, managed_by=MANAGED_BY_ECS)
        return provider

    def _belong(self, instance_id: str, provider: str) -> None:
        instance = self._world.instance(instance_id)
        instance.spec = replace(instance.spec, capacity_provider=provider)
        self._world.ecs.registry.instance_changed(instance)

    def _short(self, cluster: Cluster, provider: str) -> None:
        group, known = self._groups.get(provider), cluster.providers.get(provider)
        if group is None or known is None or not known.scaling or self._on_their_way[provider]:
            return
        if self._size(group) < group.most:
            self._on_their_way[provider] += 1
            self._world.clock.after(SCALE_OUT, lambda: self._start(group))

    def _size(self, group: _Group) -> int:
        """How many instances count towards its maximum: not those in its warm pool."""
        world = self._world
        members = (name for name in world.autoscaling.members_of(group.name) if not world.autoscaling.is_warm(name))
        return sum(world.hosts[name].power is not Power.TERMINATED for name in members)

    def _start(self, group: _Group) -> None:
        world = self._world
        self._on_their_way[group.name] -= 1
        warm = next(filter(world.autoscaling.is_warm, world.autoscaling.members_of(group.name)), None)
        if warm is not None:
            world.autoscaling.set_lifecycle(warm, IN_SERVICE)
            world.hosts[warm].start()
            return
        self._started += 1
        like, zones = world.instance(group.like).spec, sorted({one.zone for one in world.cluster.instances.values()})
        host = world.hosts[group.like].spec
        instance_id = f"i-{0xADD:03x}{self._started:014x}"
        spec = replace(like, ec2_instance_id=instance_id, zone=zones[self._started % len(zones)])
        new = HostSpec(instance_id, host.variant, version=host.version, seed=self._started)
        world.add_instance(new, spec.zone, spec=spec)
        world.autoscaling.join(group.name, instance_id)
