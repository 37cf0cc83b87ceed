"""What the operator allows: the limits that decisions keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

from bottlerocket_ecs_updater.core.reboots import COMMAND_LIFE, INHIBITED_FOR
from bottlerocket_ecs_updater.core.rules import Rules

USUAL_POLL = timedelta(seconds=5)
REAL_POLL_MIN = timedelta(seconds=1)
"""A shorter poll interval is a world that runs faster than ours, where all else is shorter by as much."""

STAGED_REPORT_MAX_AGE = timedelta(seconds=15)
"""Somebody may stage another version while a host drains. That much time is left in which it would not be noticed."""

LAG_POLLS = 3
"""A state change that looks still do not show after so many usual polls is asked for again."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many instances, as a number or as a percentage."""

    number: int | None = None
    percent: int | None = None

    def of(self, total: int) -> int:
        """The limit for that many instances: a percentage is rounded down, and is never less than one."""
        if self.percent is not None:
            return max(1, total * self.percent // 100)
        return self.number if self.number is not None else 1

    def __str__(self) -> str:
        return f"{self.percent}%" if self.percent is not None else str(self.number)


class OwnHost(Enum):
    """What a run does about the host that it runs on itself, when that one has an update."""

    HOLD = "hold"
    """It leaves it to a run on another host."""
    HAND_OVER = "hand-over"
    """It stages the update there, and last of all has a run started on another host."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One run's limits. Every wait of the updater is named here or follows from `poll_interval`."""

    max_unavailable: Limit = Limit(number=1)
    max_unavailable_per_zone: Limit | None = None
    poll_interval: timedelta = timedelta(seconds=5)
    apply_timeout: timedelta = timedelta(minutes=15)
    drain_timeout: timedelta = timedelta(minutes=25)
    reboot_timeout: timedelta = timedelta(minutes=20)
    settle: timedelta = timedelta(seconds=60)
    settle_timeout: timedelta = timedelta(minutes=10)
    max_failures: int = 2
    before_drain: bool = False
    """Whether a document of the operator's must end well on a host before it is drained."""
    after_reboot: bool = False
    """Whether one must end well on a host that is back before it returns to service."""
    hook_timeout: timedelta = timedelta(minutes=10)
    """Limit of either."""
    deadline: timedelta | None = None
    """Nothing is begun after this long; what is in flight finishes."""
    rules: Rules = field(default_factory=Rules)
    """When, what, where and how fast, as the operator says."""
    own_host: OwnHost = OwnHost.HOLD

    # What follows is not set by operators: each is a number of looks, so that it scales with the poll interval.

    @property
    def reader_lag(self) -> timedelta:
        """How long ECS may show what was before a change; a claim that is dropped sooner leaves a drain to nobody."""
        usual = self.poll_interval if self.poll_interval < REAL_POLL_MIN else max(self.poll_interval, USUAL_POLL)
        return LAG_POLLS * usual

    @property
    def answer_timeout(self) -> timedelta:
        """How long a check may take before we stop listening: apiclient gives up after 10 s, delivery after 30 s."""
        return 12 * self.poll_interval

    @property
    def takeover_grace(self) -> timedelta:
        """What a run has for a claim that it found past its limit: time to hear the host once."""
        return self.answer_timeout + 6 * self.poll_interval

    @property
    def vain_timeout(self) -> timedelta:
        """How long one act may be asked for again and again: nothing else that is in hand waits longer."""
        return max(self.drain_timeout, self.reboot_timeout)

    @property
    def longest_phase(self) -> timedelta:
        """No phase of a claim lasts longer, as long as its run lives."""
        draining = self.drain_timeout + self.rules.tasks.longest
        # A reboot that is sent only at the end of its limit has that time once more, and its document comes after that.
        rebooting = 2 * self.reboot_timeout + self.second_proof_spacing + COMMAND_LIFE + INHIBITED_FOR
        rebooting += self.hook_timeout if self.after_reboot else timedelta()
        return max(draining, rebooting) + self.answer_timeout

    @property
    def retry_spacing(self) -> timedelta:
        """Between two checks of one host that gave no report: its own lock needs time to be free."""
        return 3 * self.poll_interval

    @property
    def report_max_age(self) -> timedelta:
        """A host's report older than this is asked for again before the host is drained on its strength."""
        return 240 * self.poll_interval

    @property
    def staged_report_max_age(self) -> timedelta:
        """What a host said of its staged version may be so old when it is rebooted. Asked while its last tasks stop."""
        return STAGED_REPORT_MAX_AGE

    @property
    def report_aging(self) -> timedelta:
        """A report older than this is renewed while its host waits in line, so that no slot has to wait for it."""
        return 160 * self.poll_interval

    @property
    def full_look_spacing(self) -> timedelta:
        """How often the whole cluster is listed while something is in flight."""
        return 120 * self.poll_interval

    @property
    def second_proof_spacing(self) -> timedelta:
        """How far apart two proofs of one boot must be where the reboot command itself never ended."""
        return 12 * self.poll_interval

    @property
    def successor_timeout(self) -> timedelta:
        """How long another run that was asked for may take to be placed: EventBridge tries again after minutes."""
        return 60 * self.poll_interval


CHECK_TRIES = 3
"""Checks without a report before an instance is held for this run."""

APPLY_TRIES = 2
"""Applies per instance and run: a second one picks up what an interrupted first one left staged."""

UNHEARD_APPLIES = 6
"""Applies per instance and run of which nobody knows whether they were sent: those say nothing of the host."""

REBOOT_TRIES = 3
"""Reboots asked for per claim: refused and undelivered ones count."""

REBOOT_MARKS = 40
"""Reboots marked per claim where run after run died: each may have died between its mark and its reboot."""

CONNECTED_LOOKS = 3
"""Looks in a row that must see the ECS agent connected: it flaps while it comes up."""

MISSING_LOOKS = 3
"""Full looks in a row that must miss an instance before it counts as gone."""

STAGE_AHEAD_MIN = 10
"""Instances staged at once at least: few enough to bound what a bad release sits on, enough to share calls."""

STAGE_AHEAD_FACTOR = 4
"""…or this many times the budget."""

SUSPECT_AFTER = 2
"""Instances on which a release must fail after the reboot before no further one takes it: one may be hardware."""
