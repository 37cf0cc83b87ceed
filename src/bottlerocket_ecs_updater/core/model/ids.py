"""Identifiers, as types of their own: an EC2 instance id is never passed for a container instance ARN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

InstanceId = NewType("InstanceId", str)
"""The EC2 instance id, `i-…` (or `mi-…`): survives re-registration, so everything that is remembered hangs on it."""

ContainerInstanceArn = NewType("ContainerInstanceArn", str)
TaskArn = NewType("TaskArn", str)
ServiceArn = NewType("ServiceArn", str)
CommandId = NewType("CommandId", str)
Zone = NewType("Zone", str)
RunId = NewType("RunId", str)

BootId = NewType("BootId", str)
"""`/proc/sys/kernel/random/boot_id`, 32 lower-case hexadecimal digits without hyphens."""


@dataclass(frozen=True, slots=True)
class OwnTask:
    """The ECS task that a run is."""

    task: TaskArn
    family: str
    """Of its task definition: whoever else is of it is a run of the updater, too."""


def boot_id(text: str) -> BootId:
    """Bring a boot id as the kernel prints it into the one form that is compared."""
    return BootId(text.strip().replace("-", "").lower())
