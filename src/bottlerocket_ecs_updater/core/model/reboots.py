"""The reboots that were requested from a host, and until when each one may still happen.

A reboot command can take effect long after it was sent, no matter what Systems Manager reports. The agent may start it
until the command expires. The host may then delay the shutdown for as long as inhibitors are allowed to. After the boot
the agent may run the same command a second time. So an instance returns to service only when none of its reboots can
happen any more:

    what is known about a command                   the latest time at which it may reboot the host
    apiclient refused it                            none: it never will
    pending, undeliverable, timed out, reply lost   until it expires, and then as long as an inhibitor may delay it
    accepted, and the host did not reboot since     a day: the shutdown is pending, and what delays it is not known
    accepted by an agent that ran it a second time  as long as an inhibitor may delay it
    bound to the boot that the claim names          none, once the host runs on another boot: the document refuses
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from bottlerocket_ecs_updater.core.model.ids import BootId, CommandId
from bottlerocket_ecs_updater.core.model.version import Version

COMMAND_LIFE = timedelta(seconds=150)
"""The time from sending a reboot command to its expiry, if not known: 30 s to deliver it, 120 s to run it."""

INHIBITED_FOR = timedelta(seconds=300)
"""How long an inhibitor may delay a shutdown. Source: InhibitDelayMaxSec in Bottlerocket's logind configuration."""

COMMAND_PENDING_FOR = timedelta(days=1)
"""How long a reboot that was accepted but did not happen counts as pending."""

FIRST_RUN = timedelta(seconds=20)
"""No host shuts down and boots faster. A command that ended this soon after it was sent did not run a second time."""

BOUND_EXITS: Mapping[int, str] = {
    71: "the host had already rebooted when the command ran",
    72: "the host would no longer boot into the claimed version",
    73: "the host's update repository no longer offers the claimed version",
}
"""The exit codes of our reboot document, and why the host did not reboot."""

_REFUSED = re.compile(r"\bStatus \d{3} when POSTing /actions/reboot", re.IGNORECASE)
_TOO_OLD = re.compile(r"usage: apiclient|unknown argument 'reboot'", re.IGNORECASE)
_UNDER_WAY = re.compile(r"already in progress|worker timed out|process failed unexpectedly", re.IGNORECASE)
_FIRST_SIGNAL = 128
"""A shell reports the end of a process by signal N as exit code 128 + N."""


class Acceptance(Enum):
    """Whether the host accepted a reboot command."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class BoundTo:
    """What the hosts check themselves before they reboot, given to the reboot document as its parameters."""

    boots: tuple[BootId, ...]
    """A host reboots only if it still runs on one of these boots."""
    version: Version
    """A host reboots only into this version, and only while its update repository offers it."""


def judge_acceptance(*, succeeded: bool, failed: bool, exit_code: int, text: str, bound: bool = False) -> Acceptance:
    """Judge from its result whether the host accepted a reboot command.

    Only apiclient's own refusal counts as one, and that of the document if the command is `bound` to a boot and a
    version. A command that was ended by a signal, or whose worker died, was most likely ended by the shutdown that it
    requested.
    """
    if succeeded:
        return Acceptance.ACCEPTED
    if not failed:
        return Acceptance.UNKNOWN
    if bound and exit_code in BOUND_EXITS:
        return Acceptance.REFUSED
    if exit_code > _FIRST_SIGNAL or _UNDER_WAY.search(text):
        return Acceptance.ACCEPTED
    refused = (exit_code == 1 and _REFUSED.search(text)) or (exit_code == 2 and _TOO_OLD.search(text))
    return Acceptance.REFUSED if refused else Acceptance.UNKNOWN


@dataclass(frozen=True, slots=True)
class RebootEnd:
    """The result of a reboot command on a host, as Systems Manager reports it."""

    acceptance: Acceptance
    heard_at: datetime
    first_run: bool
    """Whether it certainly ended in its first run, and so before any boot."""
    detail: str
    """The most informative line of the host's output."""
    succeeded: bool = False
    by_document: bool = False
    """Whether our reboot document refused it, and not apiclient."""


@dataclass(frozen=True, slots=True)
class SentReboot:
    """A reboot command that may have been sent to the host since its claim entered the reboot phase."""

    command: CommandId
    """Empty if the reply was lost, or if a dead run may have sent a command that was never found."""
    sent_at: datetime
    """By our own clock; never earlier than the real time."""
    life: timedelta = COMMAND_LIFE
    sent_by_us: bool = True
    """Whether this run sent it. Only then is `sent_at` the time of the request."""
    end: RebootEnd | None = None
    """None until the result is known."""
    end_asked_at: datetime | None = None
    bound: bool = False
    """Whether it can take effect only on the boot that the claim names, and only into the claimed version."""
    cancelled: bool = False
    """Whether its cancellation was requested from Systems Manager."""

    @property
    def open(self) -> bool:
        """Whether it is pending: Systems Manager may still deliver it, or the agent may still run it."""
        return self.end is None

    @property
    def accepted(self) -> bool:
        """Whether the host accepted it."""
        return self.end is not None and self.end.acceptance is Acceptance.ACCEPTED

    @property
    def refused(self) -> bool:
        """Whether apiclient or the reboot document refused it."""
        return self.end is not None and self.end.acceptance is Acceptance.REFUSED

    @property
    def refused_by_document(self) -> bool:
        """Whether the host did not find what the command was bound to."""
        return self.end is not None and self.end.by_document

    @property
    def expires_at(self) -> datetime:
        """The latest time at which the agent may run it."""
        return self.sent_at + self.life

    def not_asked_since(self, moment: datetime) -> bool:
        """Whether it is pending and its result was not read since that time."""
        return self.open and (self.end_asked_at is None or self.end_asked_at < moment)

    @property
    def may_have_run_again(self) -> bool:
        """Whether its success may come from a second run after the boot, so that another reboot may follow."""
        return not self.bound and self.end is not None and self.end.succeeded and not self.end.first_run


def quiet_from(reboots: Iterable[SentReboot]) -> datetime | None:
    """The time after which none of these can reboot a host that is still on its old boot; None if none ever could."""
    return max((moment for one in reboots if (moment := _quiet_from(one)) is not None), default=None)


def _quiet_from(reboot: SentReboot) -> datetime | None:
    if reboot.refused:
        return None
    if reboot.end is not None and reboot.accepted:
        return reboot.end.heard_at + COMMAND_PENDING_FOR
    return reboot.expires_at + INHIBITED_FOR


def quiet_unverified(reboots: Iterable[SentReboot]) -> datetime | None:
    """The time after which none of these can reboot a host that left, came back, and cannot be checked."""
    taken = (one.expires_at + INHIBITED_FOR for one in reboots if not one.refused)
    return max(taken, default=None)


def quiet_after_boot(reboots: Iterable[SentReboot], new_boot_at: datetime) -> datetime | None:
    """The time after which no command that ran a second time can reboot the host again; None if none did.

    A boot that is verified after that time has ended everything that was pending before.
    """
    again = (one.end.heard_at for one in reboots if one.end is not None and one.may_have_run_again)
    return max((heard_at + INHIBITED_FOR for heard_at in again if heard_at >= new_boot_at), default=None)


def bound_to_old_boot(reboots: tuple[SentReboot, ...]) -> bool:
    """Whether reboots were sent, and none of them can take effect on another boot than the one that the claim names."""
    return bool(reboots) and all(one.bound for one in reboots)


def surely_over(reboots: tuple[SentReboot, ...], new_boot_at: datetime) -> bool:
    """Whether exactly one reboot was sent, and its result shows that the agent will not run it again."""
    if len(reboots) != 1 or reboots[0].end is None:
        return False
    only = reboots[0].end
    ran_once = only.first_run or not only.succeeded or only.heard_at < new_boot_at
    return only.acceptance is not Acceptance.UNKNOWN and ran_once
