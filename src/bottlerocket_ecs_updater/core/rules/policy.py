"""What the operator allows: the limits that decisions keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

from bottlerocket_ecs_updater.core.model.history import SUSPECT_AFTER
from bottlerocket_ecs_updater.core.model.reboots import COMMAND_LIFE, INHIBITED_FOR
from bottlerocket_ecs_updater.core.rules.ruleset import Rules

# What AWS and hosts need, in seconds of the world. Looking more often makes neither of them faster, so none of these
# gets shorter with the poll interval; where looks are far apart, each lasts for some looks at least.

ECS_LAG = timedelta(seconds=15)
"""How long ECS may go on showing what was before a change: its reads agree with its writes in the end only."""

STAGED_REPORT_MAX_AGE = timedelta(seconds=15)
"""Somebody may stage another version while a host drains. That much time is left in which it would not be noticed."""

LAG_POLLS = 3
"""A state change that looks still do not show after so many polls is asked for again."""

ANSWER_TIME = timedelta(seconds=60)
"""A check is delivered within 30 s, apiclient gives up after 10 s, and Systems Manager shows that seconds later.

An apply is delivered within 60 s, and one whose sending got no reply must be found in the list of commands by then.
"""

LOCK_TIME = timedelta(seconds=15)
"""A host's own update command holds its lock for some seconds, and answers no other meanwhile."""

REPORT_BELIEVED = timedelta(minutes=20)
"""What a host said of its updates: a person or another program may stage or withdraw something at any time."""

REPORT_AGING = timedelta(minutes=13, seconds=20)
"""Early enough that all who wait in line are asked again in one go before the first answer is too old."""

LISTING_TIME = timedelta(minutes=10)
"""Instances come and go with scaling, which takes minutes; a listing of thousands is a hundred calls."""

LISTED_AGAIN = timedelta(seconds=10)
"""Three listings in a row must miss an instance before it counts as gone: together they outlast the lag of ECS."""

LOOKS_APART = timedelta(seconds=2.5)
"""Two looks that follow each other more closely may be of one reader that lags: that both agree says no more."""

FLAP_TIME = timedelta(seconds=60)
"""An agent that only flaps is connected again within that time. Source: it reconnects with a backoff of seconds."""

FLAP_APART = timedelta(seconds=2.5)
"""Looks at the connection of an agent that comes up: three of them span five seconds; closer ones show nothing new."""

SHUTDOWN_TIME = timedelta(seconds=20)
"""No host shuts down and boots faster; before, there is nothing to see."""

NEW_REGISTRATION_TIME = timedelta(minutes=2)
"""A host that is away for so long may come back under a new registration, which only a listing shows."""

REGISTERING_TIME = timedelta(minutes=3)
"""How long a rebooting host may be missing from the cluster: its agent may be registering anew."""

REBOOT_AGAIN_TIME = timedelta(seconds=30)
"""Between two reboots asked of one host: what the first one set going takes its time to show."""

TAKEOVER_TIME = timedelta(seconds=30)
"""The looks before and after a run asks the host of a claim that it takes over."""

SECOND_BOOT_TIME = timedelta(seconds=60)
"""Between two proofs where several commands were sent, or AWS took one that nobody found: any of them may come late."""

RUN_AGAIN_TIME = timedelta(seconds=30)
"""Between two proofs where one command was sent: an agent that runs it again after the boot does so as it starts."""

ANSWERING_TIME = timedelta(seconds=25)
"""…and so long after the first answer was heard: the agent was up then, whenever the check was sent to it."""

DOCUMENT_AGAIN_TIME = timedelta(seconds=30)
"""Between two runs of the operator's document on a host that was not well: it needs time to become so."""

DAEMON_START = timedelta(seconds=15)
"""The task of a daemon service may take that long to start on a host that is back: meanwhile it is not missing."""

PLACING_TIME = timedelta(minutes=5)
"""EventBridge tries again after minutes, and the rule of the stack goes on trying for five."""

LONG_STEP = timedelta(minutes=2)
"""A drain or a reboot that took longer was held up: it does not say when to look at others."""

OUTAGE_FIRST_WAIT = timedelta(seconds=5)
OUTAGE_WAITS_MAX = 12
"""While AWS does not answer, looks are up to so many first waits apart: more calls only keep it from recovering."""


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
    """One run's limits. `poll_interval` is how often it looks; every wait for AWS or for a host is named here."""

    max_unavailable: Limit = Limit(number=1)
    max_unavailable_per_zone: Limit | None = None
    poll_interval: timedelta = timedelta(seconds=5)
    apply_timeout: timedelta = timedelta(minutes=15)
    drain_timeout: timedelta = timedelta(minutes=25)
    reboot_timeout: timedelta = timedelta(minutes=20)
    settle: timedelta = timedelta(seconds=60)
    settle_timeout: timedelta = timedelta(minutes=10)
    max_failures: int = 2
    suspect_after: int = SUSPECT_AFTER
    """On so many instances a version must have failed until no further one takes it, in this run and later ones."""
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

    # What follows is not set by operators. Each is what the world needs, and some looks at least.

    def _time(self, world: timedelta, polls: float) -> timedelta:
        """What the world needs, and not less than so many looks."""
        return max(world, polls * self.poll_interval)

    @property
    def reader_lag(self) -> timedelta:
        """How long ECS may show what was before a change; a claim that is dropped sooner leaves a drain to nobody."""
        return self._time(ECS_LAG, LAG_POLLS)

    @property
    def looks_apart(self) -> timedelta:
        """How far apart two looks must be that find our claim gone, or another's in its place, to count as two."""
        return LOOKS_APART

    @property
    def flap_spacing(self) -> timedelta:
        """How far apart two looks at the connection of an agent must be that shall both count."""
        return self._time(FLAP_APART, 0.5)

    @property
    def flap_time(self) -> timedelta:
        """How long an agent that only flaps may be away; a run does not end meanwhile."""
        return self._time(FLAP_TIME, 12)

    @property
    def answer_timeout(self) -> timedelta:
        """How long a check may take before we stop listening, and a command whose sending got no reply to be listed."""
        return self._time(ANSWER_TIME, 12)

    @property
    def takeover_grace(self) -> timedelta:
        """What a run has for a claim that it found past its limit: time to hear the host once."""
        return self.answer_timeout + self._time(TAKEOVER_TIME, 6)

    @property
    def stall_timeout(self) -> timedelta:
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
        return self._time(LOCK_TIME, 3)

    @property
    def report_max_age(self) -> timedelta:
        """A host's report older than this is asked for again before the host is drained on its strength."""
        return REPORT_BELIEVED

    @property
    def staged_report_max_age(self) -> timedelta:
        """What a host said of its staged version may be so old when it is rebooted. Asked while its last tasks stop."""
        return STAGED_REPORT_MAX_AGE

    @property
    def report_aging(self) -> timedelta:
        """A report older than this is renewed while its host waits in line, so that no slot has to wait for it."""
        return REPORT_AGING

    @property
    def full_look_spacing(self) -> timedelta:
        """How often the whole cluster is listed while something is in flight."""
        return LISTING_TIME

    @property
    def listing_spacing(self) -> timedelta:
        """Between two listings for an instance that was not listed, or may be back under a new registration."""
        return self._time(LISTED_AGAIN, 2)

    @property
    def gone_after(self) -> timedelta:
        """How long a rebooting host may be missing from the cluster."""
        return self._time(REGISTERING_TIME, 36)

    @property
    def quiet_after_reboot(self) -> timedelta:
        """How long nothing is to be seen of a host that reboots."""
        return self._time(SHUTDOWN_TIME, 4)

    @property
    def late_after_reboot(self) -> timedelta:
        """After how long the cluster is listed for a host that reboots."""
        return self._time(NEW_REGISTRATION_TIME, 24)

    @property
    def reboot_spacing(self) -> timedelta:
        """Between two reboots asked of one host."""
        return self._time(REBOOT_AGAIN_TIME, 6)

    @property
    def second_proof_spacing(self) -> timedelta:
        """How far apart two proofs of one boot must be where several reboots were asked for."""
        return self._time(SECOND_BOOT_TIME, 12)

    @property
    def run_again_spacing(self) -> timedelta:
        """How far apart two proofs of one boot must be where its only reboot command never ended in its first run."""
        return self._time(RUN_AGAIN_TIME, 6)

    @property
    def answering_spacing(self) -> timedelta:
        """How long an agent must have been up at the second proof, counted from its first answer."""
        return self._time(ANSWERING_TIME, 5)

    @property
    def hook_spacing(self) -> timedelta:
        """Between two runs of the document after a reboot on one host."""
        return self._time(DOCUMENT_AGAIN_TIME, 6)

    @property
    def daemon_start(self) -> timedelta:
        """How long the tasks of daemon services may take to start on a host that is back."""
        return self._time(DAEMON_START, 3)

    @property
    def successor_timeout(self) -> timedelta:
        """How long another run that was asked for may take to be placed: EventBridge tries again after minutes."""
        return self._time(PLACING_TIME, 60)

    @property
    def long_step(self) -> timedelta:
        """A drain or a reboot that took longer does not say when to look at others."""
        return self._time(LONG_STEP, 24)

    def outage_wait(self, before: int) -> timedelta:
        """How long to wait for AWS to answer again, after so many waits before: longer each time, within a limit."""
        waits: int = min(2**before, OUTAGE_WAITS_MAX)
        return waits * self._time(OUTAGE_FIRST_WAIT, 1)

    @property
    def longest_outage_wait(self) -> timedelta:
        """What `outage_wait` comes to, in a long outage."""
        return self.outage_wait(OUTAGE_WAITS_MAX)


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
