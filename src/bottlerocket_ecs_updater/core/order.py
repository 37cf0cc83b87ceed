"""Who goes first: never failed before failed, furthest behind first, fewest tasks to move first, zones in turn."""

from __future__ import annotations

from collections.abc import Iterable

from bottlerocket_ecs_updater.core.fleet import Instance
from bottlerocket_ecs_updater.core.ids import InstanceId, Zone
from bottlerocket_ecs_updater.core.version import Version

_UNKNOWN = Version(0, 0, 0)


def in_order(instances: Iterable[Instance]) -> list[Instance]:
    """The instances in the order in which they are taken; the same for the same fleet."""
    ranked = sorted(instances, key=lambda instance: (_merit(instance), instance.id))
    turns: dict[tuple[int, Version, Zone], int] = {}
    places: dict[InstanceId, tuple[int, Version, int, int, Zone]] = {}
    for instance in ranked:
        failures, version, tasks = _merit(instance)
        turn = turns.get((failures, version, instance.zone), 0)
        turns[failures, version, instance.zone] = turn + 1
        places[instance.id] = (failures, version, turn, tasks, instance.zone)
    return sorted(ranked, key=lambda instance: (places[instance.id], instance.id))


def _merit(instance: Instance) -> tuple[int, Version, int]:
    failures = instance.rest.attempts if instance.rest is not None else 0
    report = instance.told.report if instance.told is not None else None
    tasks = instance.registration.running_tasks if instance.registration is not None else 0
    return failures, report.running if report else _UNKNOWN, tasks
