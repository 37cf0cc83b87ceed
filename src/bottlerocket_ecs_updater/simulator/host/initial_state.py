"""Hosts that start with a half-done update: its status and partition flags."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.faults import Leftover, SingleBank, StartsWith
from bottlerocket_ecs_updater.simulator.host.status import (
    Staged,
    UpdateCommand,
    UpdateCommandResult,
    UpdateState,
    UpdateStatus,
    rfc3339,
)

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.host.machine import HostMachine

EARLIER = timedelta(hours=3)
"""How long before the start of the simulation that update was attempted."""


def prepare_disk(machine: HostMachine) -> UpdateStatus | None:
    """Prepare the disk as planned. Returns the matching status, or None if no update was started."""
    start = machine.active_faults.active(StartsWith)
    if start is None or machine.active_faults.active(SingleBank) is not None:
        return None  # with only one partition set, nothing can be staged
    _write(machine, start)
    ready = start.leftover is Leftover.READY
    nothing_chosen = start.leftover is Leftover.STAGED_NOTHING_CHOSEN
    image = machine.image(start.version)
    return UpdateStatus(
        active_partition=Staged(machine.image(machine.running), next_to_boot=not ready),
        update_state=UpdateState.READY if ready else UpdateState.STAGED,
        available_updates=(start.version, machine.running),
        chosen_update=None if nothing_chosen else image,
        staging_partition=Staged(image, next_to_boot=ready),
        most_recent_command=UpdateCommandResult(
            UpdateCommand.ACTIVATE if ready else UpdateCommand.PREPARE,
            "Success",
            rfc3339(machine.clock.now() - EARLIER),
            0,
            "",
        ),
    )


def _write(machine: HostMachine, start: StartsWith) -> None:
    machine.partitions.clear_inactive()
    if start.leftover is not Leftover.STAGED_INVALID:
        machine.partitions.write_inactive(start.version)
    if start.leftover is Leftover.READY:
        machine.partitions.upgrade_to_inactive()
