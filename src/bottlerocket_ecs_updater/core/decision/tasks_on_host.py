"""Which tasks run on a host, and whether they belong to the updater."""

from __future__ import annotations

from bottlerocket_ecs_updater.core.model.container_instance import Task
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.rules.tasks import TaskOnHost

GIVEN_BACK = "so it was returned to service: an earlier run had started to drain it"


def is_own_host(instance: Instance, fleet: Fleet) -> bool:
    """Whether this run's own task was listed on it."""
    return fleet.own is not None and any(task.arn == fleet.own.task for task in instance.tasks_left)


def is_updaters(task: Task, fleet: Fleet) -> bool:
    """Whether a task is this run or another run of the updater. It does not hold an instance, and is never stopped."""
    return fleet.own is not None and (task.arn == fleet.own.task or task.family == fleet.own.family)


def tasks_on(instance: Instance, fleet: Fleet) -> tuple[TaskOnHost, ...]:
    """The tasks that are not STOPPED, as the rules see them."""
    protected = instance.around.protected if instance.around is not None else {}
    return tuple(
        TaskOnHost(task, task.family, protected.get(task.arn), is_updaters(task, fleet)) for task in instance.tasks_left
    )
