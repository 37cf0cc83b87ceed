"""The update status of a host, as thar-be-updates keeps it and as apiclient prints it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


class UpdateState(StrEnum):
    """The host's update state."""

    IDLE = "Idle"
    AVAILABLE = "Available"
    STAGED = "Staged"
    READY = "Ready"


class UpdateCommand(StrEnum):
    """The commands of thar-be-updates."""

    REFRESH = "refresh"
    PREPARE = "prepare"
    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"


@dataclass(frozen=True, slots=True)
class Image:
    """One version for one variant and architecture."""

    arch: str
    version: str
    variant: str

    def to_json(self) -> dict[str, Any]:
        return {"arch": self.arch, "version": self.version, "variant": self.variant}


@dataclass(frozen=True, slots=True)
class Staged:
    """An image on a partition set, and whether that set boots next."""

    image: Image
    next_to_boot: bool

    def to_json(self) -> dict[str, Any]:
        return {"image": self.image.to_json(), "next_to_boot": self.next_to_boot}


@dataclass(frozen=True, slots=True)
class UpdateCommandResult:
    """The result of the last command that did any work."""

    command: UpdateCommand
    status: str
    timestamp: str
    exit_status: int
    stderr: str

    def to_json(self) -> dict[str, Any]:
        return {
            "cmd_type": self.command.value,
            "cmd_status": self.status,
            "timestamp": self.timestamp,
            "exit_status": self.exit_status,
            "stderr": self.stderr,
        }


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """The whole status file. It is on tmpfs, so every reboot deletes it."""

    active_partition: Staged
    update_state: UpdateState = UpdateState.IDLE
    available_updates: tuple[str, ...] = field(default=())
    chosen_update: Image | None = None
    staging_partition: Staged | None = None
    most_recent_command: UpdateCommandResult | None = None

    def to_json(self) -> dict[str, Any]:
        """The status with its keys in the order of the source's struct, as in the API's raw body."""
        return {
            "update_state": self.update_state.value,
            "available_updates": list(self.available_updates),
            "chosen_update": self.chosen_update.to_json() if self.chosen_update else None,
            "active_partition": self.active_partition.to_json(),
            "staging_partition": self.staging_partition.to_json() if self.staging_partition else None,
            "most_recent_command": self.most_recent_command.to_json() if self.most_recent_command else None,
        }


def pretty(value: object) -> str:
    """JSON as apiclient prints it: sorted keys, indented by two."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def compact(value: object) -> str:
    """JSON as the API sends it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def rfc3339(moment: datetime, nanoseconds: int = 0) -> str:
    """A time as chrono writes it: UTC, with 0, 3, 6 or 9 decimal places, as few as needed."""
    fraction = f"{moment.microsecond * 1000 + nanoseconds:09d}"
    while fraction.endswith("000"):
        fraction = fraction[:-3]
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{fraction}" if fraction else "") + "Z"
