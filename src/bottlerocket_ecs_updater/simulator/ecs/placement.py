"""Task placement: spread over zones, then on the instance with the fewest tasks that has room."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bottlerocket_ecs_updater.simulator.ecs.model import ContainerInstance
    from bottlerocket_ecs_updater.simulator.ecs.specs import Workload


class Placement:
    """The instances of one cluster that accept tasks, by zone and number of tasks.

    Updated one instance at a time, so that neither changes nor choices scan all instances.
    """

    def __init__(self) -> None:
        self._zones: dict[str, dict[int, dict[str, ContainerInstance]]] = {}
        self._loads: dict[str, int] = {}

    def update(self, instance: ContainerInstance) -> None:
        """Update an instance's position."""
        self._remove(instance)
        if instance.accepts_tasks:
            load = len(instance.tasks)
            self._loads[instance.arn] = load
            self._zones.setdefault(instance.zone, {}).setdefault(load, {})[instance.arn] = instance

    def choose(
        self,
        work: Workload,
        taken: Mapping[str, int] | None = None,
        suits: Callable[[ContainerInstance], bool] = lambda _: True,
    ) -> ContainerInstance | None:
        """An instance for another task; None if there is no room. `taken` is the number of such tasks per zone.

        Without `taken`, zones are ordered by their least loaded instance.
        """
        if taken is None:
            taken = {zone: min(loads, default=0) for zone, loads in self._zones.items()}
        for zone in sorted(self._zones, key=lambda zone: (taken.get(zone, 0), zone)):
            for instance in self._by_load(zone):
                if instance.has_room_for(work) and suits(instance):
                    return instance
        return None

    def pack(self, work: Workload, suits: Callable[[ContainerInstance], bool]) -> ContainerInstance | None:
        """The instance with the least memory left that has room for another task."""
        able = self.able(work, suits)
        return min(able, key=lambda instance: (instance.free_memory, instance.number)) if able else None

    def able(self, work: Workload, suits: Callable[[ContainerInstance], bool]) -> list[ContainerInstance]:
        """All instances with room for another task."""
        return [instance for instance in self if instance.has_room_for(work) and suits(instance)]

    def __len__(self) -> int:
        return len(self._loads)

    def __iter__(self) -> Iterator[ContainerInstance]:
        for zone in self._zones:
            yield from self._by_load(zone)

    def _by_load(self, zone: str) -> Iterator[ContainerInstance]:
        loads = self._zones[zone]
        for load in sorted(loads):
            yield from loads[load].values()

    def _remove(self, instance: ContainerInstance) -> None:
        load = self._loads.pop(instance.arn, None)
        if load is None:
            return
        loads = self._zones[instance.zone]
        del loads[load][instance.arn]
        if not loads[load]:
            del loads[load]
