"""What the version that a host runs does to its tasks, and what ECS's health checks find on it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bottlerocket_ecs_updater.simulator.faults import GpusGone, HealthImpaired, HealthUnknown, TasksBreak, Unknown

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.host.machine import HostMachine

STALE_BY = timedelta(minutes=10)
"""How old a health status from before a boot is."""


class HostHealth:
    """The health of one host: its faults, by the version that it runs and the time since it booted."""

    def __init__(self, machine: HostMachine) -> None:
        self._machine = machine
        self._faults = machine.active_faults
        self._booted_at = machine.clock.now()
        self._rebooted = False

    def booted(self) -> None:
        """The host has booted: times since the boot start again."""
        self._booted_at = self._machine.clock.now()
        self._rebooted = True

    def breaks_tasks(self, group: str, *, gpus: bool) -> TasksBreak | None:
        """How the version that it runs breaks a task of that group; None if it does not."""

        def suits(fault: TasksBreak) -> bool:
            return self._machine.concerns(fault) and (gpus or not fault.gpus_only) and fault.group in ("", group)

        return self._faults.active(TasksBreak, suits)

    def gpus(self, of: int) -> int:
        """How many of its GPUs the version that it runs finds."""
        gone = self._faults.active(GpusGone, self._machine.concerns)
        return min(of, gone.left) if gone is not None else of

    def impaired(self) -> HealthImpaired | None:
        """What ECS health checks find wrong with it now; None if nothing."""
        since_boot = self._machine.clock.now() - self._booted_at
        return self._faults.active(HealthImpaired, lambda one: self._machine.concerns(one) and one.strikes(since_boot))

    def status(self) -> dict[str, Any]:
        """The `healthStatus` that ECS reports; empty if it reports none."""
        now = self._machine.clock.now()
        unknown = self._faults.active(HealthUnknown, self._is_unknown)
        impaired = self.impaired()
        if unknown is not None and unknown.how is Unknown.ABSENT:
            return {}
        check: dict[str, Any] = {
            "type": "CONTAINER_RUNTIME",
            "status": "OK",
            "lastUpdated": now,
            "lastStatusChange": self._booted_at,
        }
        if unknown is not None and unknown.how is Unknown.STALE:
            check["lastUpdated"] = self._booted_at - STALE_BY
        elif unknown is not None:
            check["status"] = unknown.how.value
        elif impaired is not None:
            check |= {"type": impaired.check, "status": "IMPAIRED", "statusReason": "the check failed repeatedly"}
        return {"healthStatus": {"overallStatus": check["status"], "details": [check]}}

    def _is_unknown(self, fault: HealthUnknown) -> bool:
        booted_here = fault.from_start or self._rebooted
        age = self._machine.clock.now() - self._booted_at
        return booted_here and (fault.ends_after is None or age < fault.ends_after)
