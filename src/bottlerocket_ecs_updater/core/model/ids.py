"""Identifiers. Each has its own type, so that an EC2 instance id is never passed for a container instance ARN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

InstanceId = NewType("InstanceId", str)
"""The EC2 instance id, `i-…` (or `mi-…`). It survives re-registration, so all records use it as the key."""

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
    """The ECS task that this run runs in."""

    task: TaskArn
    family: str
    """The family of its task definition. Other tasks of this family are also runs of the updater."""


def boot_id(text: str) -> BootId:
    """Normalize a boot id as the kernel prints it, so that boot ids can be compared."""
    return BootId(text.strip().replace("-", "").lower())
