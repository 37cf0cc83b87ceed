"""Invariant 15: the services that blocked the drain of a host. The run must not drain another one with their tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.ecs.model import ContainerInstance


class BlockedDrains:
    """The task groups that kept a host from becoming empty until a run gave up its drain."""

    def __init__(self) -> None:
        self._blocked: dict[str, dict[str, str]] = {}
        """By caller and task group: the instance on which its tasks blocked a drain."""

    def note(self, instance: ContainerInstance, caller: str) -> None:
        """Record the tasks that are left on an instance whose drain a caller gives up."""
        for task in instance.tasks.values():
            if not task.is_daemon:
                self._blocked.setdefault(caller, {}).setdefault(task.group, instance.ec2_instance_id)

    def why_not(self, instance: ContainerInstance, caller: str) -> str:
        """Why a caller must not drain an instance: one of its tasks blocked a drain before; empty if it may."""
        blocked = self._blocked.get(caller, {})
        found = sorted({task.group for task in instance.tasks.values() if task.group in blocked})
        return f"{caller} drains it for {found[0]}, which kept {blocked[found[0]]} from becoming empty" if found else ""
