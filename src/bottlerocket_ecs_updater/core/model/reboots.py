"""The reboots that we asked a host for, and until when each may still happen.

A reboot command can take effect long after it was sent, whatever Systems Manager says about it. The agent may accept it
until the command expires. The host then may hold up the shutdown for as long as inhibitors are allowed to. After the
boot the agent may run the same command a second time. So an instance is given back only when none of its reboots can
happen any more:

    what is known of a command                      the last moment at which it may reboot the host
    apiclient refused it                            none: it never will
    open, undeliverable, timed out, reply lost      until it expires, and then as long as an inhibitor may delay it
    accepted, and the host did not reboot since     a day: the shutdown is pending, and nobody knows what holds it
    accepted by an agent that ran it a second time  as long as an inhibitor may delay it
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from bottlerocket_ecs_updater.core.model.ids import CommandId

COMMAND_LIFE = timedelta(seconds=150)
"""From sending a reboot command to its expiry, where that is not known: 30 s to deliver it, 120 s to run it."""

INHIBITED_FOR = timedelta(seconds=300)
"""How long an inhibitor may delay a shutdown. Source: InhibitDelayMaxSec in Bottlerocket's logind configuration."""

PENDING_FOR = timedelta(days=1)
"""How long a reboot that was accepted, and did not happen, counts as pending."""

FIRST_RUN = timedelta(seconds=20)
"""No host shuts down and boots faster. A command that ended so soon after it was sent did not run a second time."""

_REFUSED = re.compile(r"\bStatus \d{3} when POSTing /actions/reboot", re.IGNORECASE)
_TOO_OLD = re.compile(r"usage: apiclient|unknown argument 'reboot'", re.IGNORECASE)
_UNDER_WAY = re.compile(r"already in progress|worker timed out|process failed unexpectedly", re.IGNORECASE)
_FIRST_SIGNAL = 128
"""A shell reports the end of a process by signal N as exit code 128 + N."""


class Acceptance(Enum):
    """Whether the host took a reboot command."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


def judge_acceptance(*, succeeded: bool, failed: bool, exit_code: int, text: str) -> Acceptance:
    """Whether the host took a reboot command that ended so, by its output. Only apiclient's own refusal counts as one.

    A command that a signal ended, or whose worker died, was most likely ended by the shutdown that it asked for.
    """
    if succeeded:
        return Acceptance.ACCEPTED
    if not failed:
        return Acceptance.UNKNOWN
    if exit_code > _FIRST_SIGNAL or _UNDER_WAY.search(text):
        return Acceptance.ACCEPTED
    refused = (exit_code == 1 and _REFUSED.search(text)) or (exit_code == 2 and _TOO_OLD.search(text))
    return Acceptance.REFUSED if refused else Acceptance.UNKNOWN


@dataclass(frozen=True, slots=True)
class RebootEnd:
    """How Systems Manager says that a reboot command ended on a host."""

    acceptance: Acceptance
    heard_at: datetime
    first_run: bool
    """Whether it surely ended in its first run, and so before any boot."""
    detail: str
    """The host's telling line."""
    succeeded: bool = False


@dataclass(frozen=True, slots=True)
class SentReboot:
    """A reboot command that may have been sent to the host since it was marked."""

    command: CommandId
    """Empty where the reply was lost, or where a run that died may have sent one that nobody found."""
    sent_at: datetime
    """By our own clock, and never too early."""
    life: timedelta = COMMAND_LIFE
    sent_by_us: bool = True
    """Whether this run sent it: only then is its time that of the request."""
    end: RebootEnd | None = None
    """None while it is open, as far as we know."""
    end_asked_at: datetime | None = None
    cancelled: bool = False
    """Whether Systems Manager was asked to cancel it."""

    @property
    def open(self) -> bool:
        """Whether Systems Manager may still deliver it, or the agent run it."""
        return self.end is None

    @property
    def accepted(self) -> bool:
        """Whether the host took it."""
        return self.end is not None and self.end.acceptance is Acceptance.ACCEPTED

    @property
    def refused(self) -> bool:
        """Whether apiclient refused it."""
        return self.end is not None and self.end.acceptance is Acceptance.REFUSED

    @property
    def expires_at(self) -> datetime:
        """The last moment at which the agent may run it."""
        return self.sent_at + self.life

    def not_asked_since(self, moment: datetime) -> bool:
        """Whether it is open, as far as was known before that moment."""
        return self.open and (self.end_asked_at is None or self.end_asked_at < moment)

    @property
    def may_have_run_again(self) -> bool:
        """Whether its success may be that of a second run, after the boot: one more reboot may come."""
        return self.end is not None and self.end.succeeded and not self.end.first_run


def quiet_from(reboots: Iterable[SentReboot]) -> datetime | None:
    """From when on none of these can reboot a host that is still on its old boot. None where none ever could."""
    return max((moment for one in reboots if (moment := _quiet_from(one)) is not None), default=None)


def _quiet_from(reboot: SentReboot) -> datetime | None:
    if reboot.refused:
        return None
    if reboot.end is not None and reboot.accepted:
        return reboot.end.heard_at + PENDING_FOR
    return reboot.expires_at + INHIBITED_FOR


def quiet_unproven(reboots: Iterable[SentReboot]) -> datetime | None:
    """From when on none of these can reboot a host that went away and came back, and that cannot be asked."""
    taken = (one.expires_at + INHIBITED_FOR for one in reboots if not one.refused)
    return max(taken, default=None)


def quiet_after_boot(reboots: Iterable[SentReboot], proof_at: datetime) -> datetime | None:
    """From when on no command that ran a second time can reboot the host once more. None where none did.

    A boot that was proven since ended whatever was pending before.
    """
    again = (one.end.heard_at for one in reboots if one.end is not None and one.may_have_run_again)
    return max((heard_at + INHIBITED_FOR for heard_at in again if heard_at >= proof_at), default=None)


def surely_over(reboots: tuple[SentReboot, ...], proof_at: datetime) -> bool:
    """Whether exactly one reboot was sent, and its end says that no agent will run it again."""
    if len(reboots) != 1 or reboots[0].end is None:
        return False
    only = reboots[0].end
    ran_once = only.first_run or not only.succeeded or only.heard_at < proof_at
    return only.acceptance is not Acceptance.UNKNOWN and ran_once
