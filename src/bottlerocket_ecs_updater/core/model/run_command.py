"""Commands that Run Command carries out on hosts, and how they ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from bottlerocket_ecs_updater.core.model.host_report import HostAnswer, HostReport
from bottlerocket_ecs_updater.core.model.ids import (
    CommandId,
)


class DocumentKind(Enum):
    """The three documents, and the two that an operator may add."""

    CHECK = "check"
    APPLY = "apply"
    REBOOT = "reboot"
    BEFORE_DRAIN = "before-drain"
    AFTER_REBOOT = "after-reboot"


@dataclass(frozen=True, slots=True)
class PendingCommand:
    """A Run Command command that was sent to an instance and has not ended as far as we know."""

    kind: DocumentKind
    command: CommandId
    sent_at: datetime


class CommandStatus(Enum):
    """How Systems Manager says that a command ended on an instance. Across a reboot it is no proof of anything."""

    SUCCESS = "Success"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    NOT_DELIVERED = "NotDelivered"
    CANCELLED = "Cancelled"
    ABANDONED = "Abandoned"
    """Nothing was heard within our own limit."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """A command that has ended."""

    kind: DocumentKind
    command: CommandId
    sent_at: datetime
    ended_at: datetime
    end: CommandStatus
    exit_code: int
    detail: str
    """The host's telling line."""
    busy: bool = False
    """Whether the host refused because another update command held its lock."""


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """What the host answered to a check, and when it was asked: facts older than an act say nothing about it."""

    answer: HostAnswer
    asked_at: datetime
    at: datetime

    @property
    def report(self) -> HostReport | None:
        """The report, None where the check gave a problem."""
        return self.answer if isinstance(self.answer, HostReport) else None
