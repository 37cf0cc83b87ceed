"""What the next look must read, in addition to what it always reads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bottlerocket_ecs_updater.core.model.ids import InstanceId


@dataclass(frozen=True, slots=True)
class Wants:
    """What the next look must read, in addition to what it always reads."""

    full: bool = False
    listing: bool = False
    services: bool = False
    due: Collection[InstanceId] = ()
    """Claimed instances to describe."""
    results_only: Collection[InstanceId] = ()
    """Claimed instances that only wait for a command's result: read nothing else about them."""
    tasks: Collection[InstanceId] = ()
    """Instances whose tasks to list."""
    groups: Collection[InstanceId] = ()
    """Claimed instances whose Auto Scaling state to read."""
    reboot_ends: Collection[InstanceId] = ()
    """Instances whose reboot command's result to read."""
