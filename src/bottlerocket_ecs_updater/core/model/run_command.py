"""Run Command commands on hosts, and their results."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from bottlerocket_ecs_updater.core.model.host_report import HostAnswer, HostReport
from bottlerocket_ecs_updater.core.model.ids import (
    CommandId,
)


class DocumentKind(Enum):
    """The updater's three documents, and the two that an operator may add."""

    CHECK = "check"
    APPLY = "apply"
    REBOOT = "reboot"
    BEFORE_DRAIN = "before-drain"
    AFTER_REBOOT = "after-reboot"


@dataclass(frozen=True, slots=True)
class PendingCommand:
    """A Run Command command that was sent to an instance and that has no known result yet."""

    kind: DocumentKind
    command: CommandId
    sent_at: datetime


class CommandStatus(Enum):
    """The status that Systems Manager reports for a command on an instance. Across a reboot it shows nothing."""

    SUCCESS = "Success"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    NOT_DELIVERED = "NotDelivered"
    CANCELLED = "Cancelled"
    ABANDONED = "Abandoned"
    """No result arrived within our own time limit."""


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
    """The most informative line of the host's output."""
    busy: bool = False
    """Whether the host refused because another update command holds its update lock."""
    cancelled: bool = False
    """Whether its cancellation was requested from Systems Manager."""

    @property
    def given_up(self) -> bool:
        """Whether it was sent and gave no result in time. It may be running, or be delivered later."""
        return self.end is CommandStatus.ABANDONED and bool(self.command)


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """The host's answer to an update check. A check that was sent before a command cannot show its effect."""

    answer: HostAnswer
    asked_at: datetime
    at: datetime

    @property
    def report(self) -> HostReport | None:
        """The report; None if the check failed."""
        return self.answer if isinstance(self.answer, HostReport) else None
