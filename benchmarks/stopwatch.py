"""The world's own times of each host's update, and the ideal schedule that follows from them.

The ideal updater knows everything immediately and makes no calls: it sends the reboot the moment the last task has
stopped, returns the host the moment its agents are connected, and drains the next one the moment a slot has settled. It
still has to wait for hosts and ECS, and for the settle time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.ecs.model import ContainerInstance, InstanceStatus, Last, Task

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.host import Host
    from bottlerocket_ecs_updater.simulator.world.world import World

NOTHING = timedelta()


@dataclass(slots=True)
class Lap:
    """One host's update in the world. A time is None until it has come."""

    drained: datetime | None = None
    emptied: datetime | None = None
    """The last task stopped, the daemon's included."""
    went: datetime | None = None
    """Docker and the agents stopped: the reboot had reached the host about a second before."""
    back: datetime | None = None
    """ECS shows the agent connected, and Systems Manager reaches its own."""
    returned: datetime | None = None
    steady: datetime | None = None
    """The daemon task runs again."""

    @property
    def drain(self) -> timedelta:
        """The duration of the drain."""
        return _between(self.drained, self.emptied)

    @property
    def reboot(self) -> timedelta:
        """The duration of the reboot."""
        return _between(self.went, self.back)

    @property
    def restart(self) -> timedelta:
        """How long daemon tasks took to run again after the return."""
        return _between(self.returned, self.steady)

    @property
    def done(self) -> bool:
        """Whether the update is complete."""
        return self.steady is not None


def _between(begin: datetime | None, end: datetime | None) -> timedelta:
    return max(NOTHING, end - begin) if begin is not None and end is not None else NOTHING


class Stopwatch:
    """Listens to one world, from before the run."""

    def __init__(self, world: World) -> None:
        self.laps: dict[str, Lap] = {}
        self._world = world
        world.ecs.registry.on_instance.append(self._instance_changed)
        world.ecs.registry.on_task.append(self._task_changed)
        for host in world.hosts.values():
            host.on_containers_die.append(self._went)
            host.on_ssm_agent.append(self._ssm_changed)

    def _now(self) -> datetime:
        return self._world.clock.now()

    def _instance_changed(self, instance: ContainerInstance) -> None:
        name = instance.ec2_instance_id
        lap = self.laps.get(name)
        if lap is None:
            if instance.status is InstanceStatus.DRAINING:
                lap = self.laps[name] = Lap(drained=self._now())
                if not instance.tasks:
                    lap.emptied = self._now()
            return
        self._note_back(name, lap)
        if instance.status is InstanceStatus.ACTIVE and lap.returned is None:
            lap.returned = self._now()

    def _ssm_changed(self, host: Host, _up: bool) -> None:  # noqa: FBT001 - the shape of Host's listeners
        lap = self.laps.get(host.instance_id)
        if lap is not None:
            self._note_back(host.instance_id, lap)

    def _note_back(self, name: str, lap: Lap) -> None:
        host, instance = self._world.hosts[name], self._world.instance(name)
        there = instance.agent_connected and instance.agent_up and host.ssm_agent_up
        if lap.went is not None and lap.back is None and there:
            lap.back = self._now()

    def _went(self, host: Host, _why: str) -> None:
        lap = self.laps.get(host.instance_id)
        if lap is not None and lap.went is None:
            lap.went = self._now()

    def _task_changed(self, task: Task) -> None:
        if task.instance is None:
            return
        lap = self.laps.get(task.instance.ec2_instance_id)
        if lap is None:
            return
        if task.last is Last.STOPPED and lap.emptied is None and not task.instance.tasks:
            lap.emptied = self._now()
        if task.last is Last.RUNNING and task.is_daemon and lap.returned is not None and lap.steady is None:
            lap.steady = self._now()


def ideal(laps: Sequence[Lap], slots: int, settle: timedelta) -> timedelta:
    """How long the same hosts would take in the same order with every slot always full."""
    return max(free for _, free in _ideally(laps, slots, settle))


def ideal_timeline(laps: Sequence[Lap], slots: int, settle: timedelta) -> list[tuple[timedelta, int]]:
    """How many hosts would run the new version over time, with every slot always full."""
    backs = sorted(back for back, _ in _ideally(laps, slots, settle))
    return [(back, number) for number, back in enumerate(backs, 1)]


def _ideally(laps: Sequence[Lap], slots: int, settle: timedelta) -> Iterator[tuple[timedelta, timedelta]]:
    """When each host is back, and when its slot is free again."""
    free = [NOTHING] * slots
    for lap in laps:
        back = heapq.heappop(free) + lap.drain + lap.reboot
        after = back + lap.restart + settle
        heapq.heappush(free, after)
        yield back, after


def out_of_service(laps: Sequence[Lap]) -> tuple[timedelta, timedelta]:
    """The mean time between DRAINING and ACTIVE, and the part of it that drains and reboots took."""
    shown = sum((_between(lap.drained, lap.returned) for lap in laps), NOTHING)
    needed = sum((lap.drain + lap.reboot for lap in laps), NOTHING)
    return shown / len(laps), needed / len(laps)


def lost(laps: Sequence[Lap]) -> dict[str, float]:
    """The mean seconds beyond the times of hosts and ECS, by place."""
    sums = {
        "empty to reboot": sum((_between(lap.emptied, lap.went) for lap in laps), NOTHING),
        "back to return": sum((_between(lap.back, lap.returned) for lap in laps), NOTHING),
    }
    return {where: total.total_seconds() / len(laps) for where, total in sums.items()}
