"""The policy: the limits of a run that the operator sets, and the waits that AWS and hosts need."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

from bottlerocket_ecs_updater.core.model.history import SUSPECT_AFTER
from bottlerocket_ecs_updater.core.model.reboots import COMMAND_LIFE, INHIBITED_FOR
from bottlerocket_ecs_updater.core.rules.ruleset import Rules

# Waits that AWS and hosts need. Polling more often makes neither of them faster, so a short poll interval does not
# shorten these waits. With a long poll interval, each lasts at least a few polls.

ECS_LAG = timedelta(seconds=15)
"""How long ECS usually shows the state before a change, because its reads are eventually consistent."""

STALE_AT_MOST = timedelta(seconds=60)
"""How old a read of ECS may be at most. Nothing that cannot be repeated follows from a read that may be that old. AWS
names no limit; after an incident, reads were a minute old."""

STAGED_REPORT_MAX_AGE = timedelta(seconds=15)
"""Somebody may stage another version while a host drains. For this long it could go unnoticed before the reboot."""

LAG_POLLS = 3
"""A state change that is not visible after this many polls is requested again."""

ANSWER_TIME = timedelta(seconds=60)
"""A check is delivered within 30 s, apiclient gives up after 10 s, and Systems Manager shows the result seconds later.

An apply is delivered within 60 s. If sending it got no reply, it must be in the list of commands by then.
"""

LOCK_TIME = timedelta(seconds=15)
"""A host's own update command holds the update lock for some seconds, and no other command can run during that time."""

REPORT_BELIEVED = timedelta(minutes=20)
"""How long a host's report is trusted: a person or another program may stage or withdraw an update at any time."""

REPORT_AGING = timedelta(minutes=13, seconds=20)
"""Early enough that all waiting hosts can be checked again at once before the first report is too old."""

LISTING_TIME = timedelta(minutes=10)
"""Instances come and go with scaling, which takes minutes. Listing thousands takes about a hundred calls."""

LISTED_AGAIN = timedelta(seconds=10)
"""Three listings in a row must miss an instance before it counts as gone; together they outlast stale reads of ECS."""

TASKS_AGAIN = timedelta(seconds=30)
"""Standalone tasks that end usually run for minutes."""

LEAVING_AGAIN = timedelta(seconds=30)
"""A termination takes minutes."""

LOOKS_APART = timedelta(seconds=2.5)
"""Two looks closer than this may come from the same stale read, so that they count as one."""

FLAP_TIME = timedelta(seconds=60)
"""An agent that only flaps is connected again within this time. Source: it reconnects with a backoff of seconds."""

FLAP_APART, FLAP_APART_POLLS = timedelta(seconds=2.25), 0.45
"""Spacing of looks at the connection of a starting agent: closer ones show nothing new. The looks are due half a poll
apart, and other calls may make one late: so a little less counts, and three looks span about five seconds."""

SHUTDOWN_TIME = timedelta(seconds=20)
"""No host shuts down and boots faster, so looking earlier shows nothing."""

NEW_REGISTRATION_TIME = timedelta(minutes=2)
"""A host that is away this long may come back under a new registration, which only a listing shows."""

REGISTERING_TIME = timedelta(minutes=3)
"""How long a rebooting host may be missing from the cluster: its agent may be registering again."""

REBOOT_AGAIN_TIME = timedelta(seconds=30)
"""The time between two reboot requests to one host, because the effect of the first takes time to show."""

TAKEOVER_TIME = timedelta(seconds=30)
"""Time for the looks before and after the check of a host whose claim a run takes over."""

SECOND_BOOT_TIME = timedelta(seconds=60)
"""Time between two verifications if several reboots were sent, or one was never found: any of them may arrive late."""

RUN_AGAIN_TIME = timedelta(seconds=30)
"""Time between two verifications if one reboot was sent: an agent that runs it again does so when it starts…"""

ANSWERING_TIME = timedelta(seconds=25)
"""…and time since the first answer arrived: the agent was up by then, whenever the check was sent."""

DOCUMENT_AGAIN_TIME = timedelta(seconds=30)
"""Time between two runs of the after-reboot document on one host: it needs time to become healthy."""

DAEMON_START = timedelta(seconds=15)
"""How long the task of a daemon service may take to start on a host that is back before it counts as missing."""

PLACING_TIME = timedelta(minutes=5)
"""EventBridge retries after minutes, and the stack's rule retries for five minutes."""

LONG_STEP = timedelta(minutes=2)
"""A drain or reboot that took longer was delayed, so its duration does not predict others."""

OUTAGE_FIRST_WAIT = timedelta(seconds=5)
OUTAGE_WAITS_MAX = 12
"""While AWS does not answer, looks are up to this many first waits apart: more calls would only slow its recovery."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of instances, as a number or a percentage."""

    number: int | None = None
    percent: int | None = None

    def of(self, total: int) -> int:
        """The limit for `total` instances: a percentage is rounded down, but is at least 1."""
        if self.percent is not None:
            return max(1, total * self.percent // 100)
        return self.number if self.number is not None else 1

    def __str__(self) -> str:
        return f"{self.percent}%" if self.percent is not None else str(self.number)


ONE_INSTANCE = Limit(number=1)


class OwnHost(Enum):
    """What a run does with an update for the host that it runs on itself."""

    HOLD = "hold"
    """Leave it to a run on another host."""
    HAND_OVER = "hand-over"
    """Stage the update, and after all other instances start a run on another host."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits of one run. `poll_interval` is how often it looks. Every wait for AWS or a host is named here."""

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
    """After how many failed instances a version is suspect, so that no other instance is updated to it."""
    before_drain: bool = False
    """Whether the operator's before-drain document must succeed on a host before it is drained."""
    after_reboot: bool = False
    """Whether the operator's after-reboot document must succeed on a host before it returns to service."""
    hook_timeout: timedelta = timedelta(minutes=10)
    """The time limit of either document."""
    deadline: timedelta | None = None
    """No updates start after this time; updates in progress are finished."""
    rules: Rules = field(default_factory=Rules)
    """The operator's rules: when, what, where and how fast."""
    own_host: OwnHost = OwnHost.HOLD

    # Operators do not set the following waits. Each is what AWS or hosts need, but at least some polls.

    def _time(self, world: timedelta, polls: float) -> timedelta:
        """The time that AWS or hosts need, but at least that many polls."""
        return max(world, polls * self.poll_interval)

    @property
    def reader_lag(self) -> timedelta:
        """How long ECS usually shows old state. A call whose effect does not show by then is repeated."""
        return self._time(ECS_LAG, LAG_POLLS)

    @property
    def stale_at_most(self) -> timedelta:
        """How long ECS may show old state. Dropping a claim sooner could leave a drained instance without an owner."""
        return self._time(STALE_AT_MOST, LAG_POLLS)

    @property
    def looks_apart(self) -> timedelta:
        """How far apart two looks that find our claim gone or overwritten must be to count as two."""
        return LOOKS_APART

    @property
    def flap_spacing(self) -> timedelta:
        """How far apart two looks at the connection of an agent must be to count as two."""
        return self._time(FLAP_APART, FLAP_APART_POLLS)

    @property
    def flap_time(self) -> timedelta:
        """How long a flapping agent may be disconnected. A run does not end in that time."""
        return self._time(FLAP_TIME, 12)

    @property
    def answer_timeout(self) -> timedelta:
        """How long to wait for a check, and for a command without a reply to appear in the list of commands."""
        return self._time(ANSWER_TIME, 12)

    @property
    def takeover_grace(self) -> timedelta:
        """The time that a run has for a claim found past its limit: enough to check the host once."""
        return self.answer_timeout + self._time(TAKEOVER_TIME, 6)

    @property
    def stall_timeout(self) -> timedelta:
        """How long one call is retried before it counts as denied. Equals the longer of the drain and reboot limits."""
        return max(self.drain_timeout, self.reboot_timeout)

    @property
    def longest_quiet(self) -> timedelta:
        """The longest wait for the second verification of a boot."""
        return self.second_check_spacing + COMMAND_LIFE + INHIBITED_FOR

    @property
    def longest_phase(self) -> timedelta:
        """The longest that a phase of a claim can last while its run is alive."""
        draining = self.drain_timeout + self.rules.tasks.longest
        # A reboot sent at the end of its limit gets the full limit again, and the after-reboot document follows it.
        rebooting = 2 * self.reboot_timeout + self.longest_quiet
        rebooting += self.hook_timeout if self.after_reboot else timedelta()
        return max(draining, rebooting) + self.answer_timeout

    @property
    def retry_spacing(self) -> timedelta:
        """The time between two failed checks of one host: its update lock may need time to be free."""
        return self._time(LOCK_TIME, 3)

    @property
    def report_max_age(self) -> timedelta:
        """The maximum age of a host's report when the host is drained; an older one is renewed first."""
        return REPORT_BELIEVED

    @property
    def staged_report_max_age(self) -> timedelta:
        """The maximum age of a host's report when the host is rebooted. It is renewed while its last tasks stop."""
        return STAGED_REPORT_MAX_AGE

    @property
    def report_aging(self) -> timedelta:
        """The age at which the report of a waiting host is renewed, so that no slot has to wait for it."""
        return REPORT_AGING

    @property
    def full_look_spacing(self) -> timedelta:
        """How often the whole cluster is listed while updates are in progress."""
        return LISTING_TIME

    @property
    def listing_spacing(self) -> timedelta:
        """The time between two listings for an instance that is missing, or may be back under a new registration."""
        return self._time(LISTED_AGAIN, 2)

    @property
    def leaving_spacing(self) -> timedelta:
        """The time between two looks for an instance that its Auto Scaling group terminates."""
        return LEAVING_AGAIN

    @property
    def tasks_spacing(self) -> timedelta:
        """The time between two looks at tasks that hold every host with an update."""
        return TASKS_AGAIN

    @property
    def gone_after(self) -> timedelta:
        """How long a rebooting host may be missing from the cluster."""
        return self._time(REGISTERING_TIME, 36)

    @property
    def quiet_after_reboot(self) -> timedelta:
        """How long looking at a rebooting host shows nothing."""
        return self._time(SHUTDOWN_TIME, 4)

    @property
    def late_after_reboot(self) -> timedelta:
        """After how long the cluster is listed for a host that reboots."""
        return self._time(NEW_REGISTRATION_TIME, 24)

    @property
    def reboot_spacing(self) -> timedelta:
        """The time between two reboot requests to one host."""
        return self._time(REBOOT_AGAIN_TIME, 6)

    @property
    def second_check_spacing(self) -> timedelta:
        """How far apart two verifications of one boot must be if several reboots were requested."""
        return self._time(SECOND_BOOT_TIME, 12)

    @property
    def run_again_spacing(self) -> timedelta:
        """How far apart two verifications of a boot must be if its only reboot command did not end in its first run."""
        return self._time(RUN_AGAIN_TIME, 6)

    @property
    def answering_spacing(self) -> timedelta:
        """How long an agent must have been up at the second verification, counted from its first answer."""
        return self._time(ANSWERING_TIME, 5)

    @property
    def hook_spacing(self) -> timedelta:
        """The time between two runs of the after-reboot document on one host."""
        return self._time(DOCUMENT_AGAIN_TIME, 6)

    @property
    def daemon_start(self) -> timedelta:
        """How long the tasks of daemon services may take to start on a host that is back."""
        return self._time(DAEMON_START, 3)

    @property
    def successor_timeout(self) -> timedelta:
        """How long another run that was requested may take to start: EventBridge retries after minutes."""
        return self._time(PLACING_TIME, 60)

    @property
    def long_step(self) -> timedelta:
        """A drain or reboot that took longer does not predict the duration of others."""
        return self._time(LONG_STEP, 24)

    def outage_wait(self, before: int) -> timedelta:
        """How long to wait for AWS to answer again, after `before` earlier waits: longer each time, up to a limit."""
        waits: int = min(2**before, OUTAGE_WAITS_MAX)
        return waits * self._time(OUTAGE_FIRST_WAIT, 1)

    @property
    def longest_outage_wait(self) -> timedelta:
        """The longest `outage_wait`."""
        return self.outage_wait(OUTAGE_WAITS_MAX)


CHECK_TRIES = 3
"""How many checks in a row may fail before an instance is held for this run."""

APPLY_TRIES = 2
"""Applies per instance and run. A second apply continues what an interrupted first one staged."""

UNHEARD_APPLIES = 6
"""Applies per instance and run that got no reply, so that it is not known whether they were sent."""

REBOOT_TRIES = 3
"""Reboots requested per claim, including refused and undelivered ones."""

REBOOT_MARKS = 40
"""Reboots claimed per instance if several runs died: each may have died between its claim and its reboot."""

CONNECTED_LOOKS = 3
"""How many looks in a row must see the ECS agent connected: it flaps while it starts."""

MISSING_LOOKS = 3
"""How many full looks in a row must miss an instance before it counts as gone."""

STAGE_AHEAD_MIN = 10
"""How many instances may be staged ahead at least: few enough to limit a bad version, enough to share calls…"""

STAGE_AHEAD_FACTOR = 4
"""…or this many times the budget, if that is more."""
