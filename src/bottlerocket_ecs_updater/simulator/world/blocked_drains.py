"""Invariant 15: the services that blocked the drain of a host. The run must not drain another one with their tasks.

If the tasks were stopping, their family blocks too: other services may have the same task definition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.ecs.model import Desired

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.ecs.model import ContainerInstance, Task


class BlockedDrains:
    """The task groups and families that kept a host from becoming empty until a run gave up its drain."""

    def __init__(self) -> None:
        self._blocked: dict[str, dict[str, str]] = {}
        """By caller and task group or family: the instance on which its tasks blocked a drain."""

    def note(self, instance: ContainerInstance, caller: str) -> None:
        """Record the tasks that are left on an instance whose drain a caller gives up."""
        for task in instance.tasks.values():
            if not task.is_daemon:
                for name in _names(task) if task.desired is Desired.STOPPED else (task.group,):
                    self._blocked.setdefault(caller, {}).setdefault(name, instance.ec2_instance_id)

    def why_not(self, instance: ContainerInstance, caller: str) -> str:
        """Why a caller must not drain an instance: one of its tasks blocked a drain before; empty if it may."""
        blocked = self._blocked.get(caller, {})
        found = sorted({name for task in instance.tasks.values() for name in _names(task) if name in blocked})
        return f"{caller} drains it for {found[0]}, which kept {blocked[found[0]]} from becoming empty" if found else ""


def _names(task: Task) -> tuple[str, str]:
    return task.group, f"family:{task.definition.family}"
