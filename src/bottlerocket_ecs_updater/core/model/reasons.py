"""Why an instance was passed over, or failed: each reason once, with its sentence and what would change it.

The code is what logs, plans, status and reports carry; the sentence and the remedy are what people read.
`{…}` in a sentence is filled from the facts that come with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class _Words:
    code: str
    sentence: str
    remedy: str


class Reason(Enum):
    """Why an instance is held: nothing is wrong with our work, but it may not, or cannot, be done now."""

    NOT_BOTTLEROCKET = _Words(
        "not-bottlerocket",
        "it is not a Bottlerocket host: it has no attribute bottlerocket.variant",
        "nothing: the updater leaves other operating systems alone",
    )
    NOT_DESCRIBED = _Words(
        "not-described",
        "ECS could not describe it: {why}",
        "deregister it if it stays: most often it is gone at the next look",
    )
    NOT_ACTIVE = _Words("not-active", "its status in ECS is {status}", "wait until it is ACTIVE, or deregister it")
    DRAINED_BY_OTHERS = _Words(
        "drained-by-others",
        "somebody else set it to DRAINING",
        "set it to ACTIVE when the other work is done; the updater never returns what it did not drain",
    )
    ANOTHER_RUN = _Words(
        "another-run",
        "run {run}, which has another state store, acts on this cluster: {instance} is {phase} since {since}",
        "let one updater look after a cluster, or give all of them one state store",
    )
    AGENT_DISCONNECTED = _Words(
        "agent-disconnected",
        "its ECS agent is disconnected",
        "look at the ECS agent on the host, or replace the instance",
    )
    UNKNOWN_TO_SSM = _Words(
        "unknown-to-ssm",
        "Systems Manager does not know it",
        "enable the control container and give the instance role AmazonSSMManagedInstanceCore",
    )
    HYBRID_ACTIVATION = _Words(
        "hybrid-activation",
        "Systems Manager does not know it by its EC2 id: {known}",
        "take the activation out of the control container's user data, give the instance role "
        "AmazonSSMManagedInstanceCore, replace the instance, and deregister that node in Systems Manager",
    )
    MANAGED_INSTANCE = _Words(
        "managed-instance",
        "{service} looks after it",
        "nothing: AWS patches and replaces Managed Instances itself, and it counts as no part of the fleet",
    )
    INSTANCE_STOPPED = _Words(
        "instance-stopped",
        "its EC2 instance is {state}",
        "start it, and the next run looks at it; or deregister it. Until then it counts as no part of the fleet",
    )
    SSM_CONNECTION_LOST = _Words(
        "ssm-connection-lost",
        "Systems Manager has lost the connection to it",
        "look at the control container and the host's route to Systems Manager",
    )
    SEND_REFUSED = _Words(
        "send-refused",
        "Systems Manager refused to send it a command: {why}",
        "read the message, and correct what it names; the next run tries again",
    )
    SEND_DENIED = _Words(
        "send-denied",
        "AWS does not allow commands to it: {why}",
        "name its Auto Scaling group in the stack's AutoScalingGroups, or give it the tag that InstanceTag asks for: "
        "the task role needs ssm:SendCommand for each instance",
    )
    TOO_OLD = _Words(
        "too-old",
        "it runs a Bottlerocket older than 1.0.5, whose apiclient cannot update",
        "replace the instance with a current AMI, once",
    )
    UPDATE_LOCK_HELD = _Words(
        "update-lock-held",
        "another update command holds its update lock: {detail}",
        "reboot the host to free the lock if it stays; the next run tries again",
    )
    CHECK_FAILED = _Words(
        "check-failed",
        "its update check failed: {detail}",
        "check the host's network settings and settings.updates: most often it cannot reach its update repository",
    )
    NO_BOOT_ID = _Words(
        "no-boot-id",
        "its check printed no boot id, so a reboot could not be proven",
        "use the check document of this updater's own stack",
    )
    UNREADABLE = _Words(
        "unreadable",
        "its check printed something that is no update status: {detail}",
        "run the check document by hand and look",
    )
    UNKNOWN_STATE = _Words(
        "unknown-state", "it reported an unknown state: {detail}", "run a newer updater, which may know this state"
    )
    NO_ANSWER = _Words(
        "no-answer",
        "it did not answer the update check: {detail}",
        "look at the control container and its log",
    )
    END_OF_LIFE_VARIANT = _Words(
        "end-of-life-variant",
        "its variant {variant} gets no more releases; it runs {version}",
        "replace the instance with a current variant: there is no update in place between variants",
    )
    NOTHING_CHOSEN = _Words(
        "nothing-chosen",
        "an update is staged on it, but its repository offers none now",
        "wait until a release is offered, or reboot the host to clear the staged one",
    )
    WITHDRAWN = _Words("withdrawn", "the update to {version} was withdrawn before it was applied", "nothing")
    STANDALONE_TASK = _Words(
        "standalone-task",
        "it runs a task that belongs to no service: {task}",
        "end or stop the task, or run it as a service",
    )
    OWN_HOST = _Words(
        "own-host",
        "this run is on it itself, {why}",
        "start a run on another host; with `--own-host hand-over` this one has such a run started",
    )
    OWN_HOST_LAST = _Words(
        "own-host-last",
        "this run is on it itself, and takes all others first",
        "wait: it is handed over to another run when those are done",
    )
    HANDED_OVER = _Words(
        "handed-over",
        "this run is on it itself; another one, on another host, takes it: {task}",
        "nothing: the other run tells what became of it",
    )
    BACKING_OFF = _Words(
        "backing-off",
        "it rests until {until} after {attempts} failed attempt(s) at {version}: {why}",
        "{then}",
    )
    RELEASE_SUSPECT = _Words(
        "release-suspect",
        "{version} failed on {count} instances of this cluster, so no further one takes it",
        "`release {version}` when it is known to be good, or wait for another release",
    )
    VERSION_BREAKS_TASKS = _Words(
        "version-breaks-tasks",
        "tasks fail on {version}, so no further instance takes it; on {hosts}: {what}",
        "look at these tasks; `release {version}` when it is known to be good, or wait for another release",
    )
    BUDGET = _Words(
        "budget",
        "{unavailable} of at most {limit} instances are unavailable: {who}",
        "wait until one of them is back, or raise --max-unavailable",
    )
    ZONE_BUDGET = _Words(
        "zone-budget",
        "{unavailable} of at most {limit} instances of {zone} are unavailable: {who}",
        "wait until one of them is back, or raise --max-unavailable-per-zone",
    )
    SETTLING = _Words("settling", "the cluster is settling after {instance}", "wait until services are steady")
    HALTED = _Words("halted", "the run halted: {why}", "look at the halt's reason")
    STOPPING = _Words("stopping", "the run was told to stop: {why}", "wait for the next run, or start one")
    STAGING_AHEAD = _Words("staging-ahead", "enough other instances are staged", "wait until those are being rebooted")
    CLAIM_REMOVED = _Words(
        "claim-removed",
        "somebody removed our claim while it was draining, so it was left to them, {status}",
        "set it to ACTIVE when it may serve again",
    )
    CLAIM_LOST = _Words(
        "claim-lost",
        "run {run} claimed it at {since}, and it does not carry that claim any more: it was left as it is, {status}",
        "set it to ACTIVE when it may serve again, unless somebody drained it on purpose",
    )
    RETURNED_BY_OTHERS = _Words(
        "returned-by-others",
        "somebody else set it to ACTIVE before we did",
        "wait for the next run, which looks at it again",
    )
    DRAIN_TIMED_OUT = _Words(
        "drain-timed-out",
        "it was not empty after {limit}, and was given back; left were {tasks}",
        "look at why these tasks stay: stop time-outs, minimumHealthyPercent with no room elsewhere, task protection",
    )
    DRAIN_BLOCKED = _Words(
        "drain-blocked",
        "it runs tasks of {what}, which kept a drain from its end {times}, since {since}, last on {instance}; "
        "no further host with them is drained {when}",
        "its owner sees why these tasks do not stop; where they need hours, let drains wait with "
        "`--task '{what} wait 8h'`",
    )
    CHANGED_WHILE_DRAINING = _Words(
        "changed-while-draining",
        "it was given back before the reboot: {why}",
        "wait for the next run, which checks it again",
    )
    NO_ROOM_FOR_CLAIM = _Words(
        "no-room-for-claim",
        "it cannot hold our claim: {why}",
        "remove one of its custom ECS attributes (ECS allows ten)",
    )
    UNCLAIMABLE = _Words(
        "unclaimable",
        "its claim could not be written: {why}",
        "update it by hand, or replace it: its releases have names that an ECS attribute cannot hold",
    )
    CLAIM_UNREADABLE = _Words(
        "claim-unreadable",
        "it carries a claim that this version of the updater cannot read: {why}",
        "run the version that wrote it; or set it to ACTIVE and delete its attribute bottlerocket-ecs-updater.claim",
    )
    GONE = _Words("gone", "it left the cluster while we worked on it: {why}", "nothing")
    NO_PLACE = _Words(
        "no-place",
        "no place in the budget, or in a maintenance window, will ever be free for it as things stand",
        "return what is out of service, raise the budget, or make a window longer",
    )
    NOT_ANSWERED = _Words(
        "not-answered", "it had not answered its update check when the plan was made", "plan again in a moment"
    )
    IN_PROGRESS = _Words(
        "in-progress", "the run ended while it was {phase}", "wait for the next run, which finishes it, or start one"
    )
    NOT_REACHED = _Words(
        "not-reached", "the run ended before it was its turn; it was {phase}", "wait for the next run, or start one"
    )
    UNCLEAR = _Words("unclear", "AWS did not say whether {what} took effect: {why}", "wait for the next look")

    # What the operator's rules hold back.
    PAUSED = _Words("paused", "updates are paused: {why}", "call `resume` when its reason is over")
    WINDOW_CLOSED = _Words(
        "window-closed",
        "no maintenance window is open; the next one opens {opens}",
        "wait until then, or change --window",
    )
    CUTOFF = _Words(
        "cutoff",
        "the maintenance window closes {closes}, and it is expected to take {needed}",
        "wait for a window that stays open for that long, or make one longer",
    )
    FROZEN = _Words(
        "frozen",
        "updates are frozen ({freeze}); the next one may begin {opens}",
        "wait until then, or change --freeze",
    )
    CALENDAR_CLOSED = _Words(
        "calendar-closed",
        "the change calendar {calendar} is closed until {opens}",
        "wait until then, or change --change-calendar",
    )
    CALENDAR_CUTOFF = _Words(
        "calendar-cutoff",
        "the change calendar {calendar} closes {closes}, and the update is expected to take {needed}",
        "wait until it has opened again",
    )
    CALENDAR_UNKNOWN = _Words(
        "calendar-unknown",
        "nobody can tell when the change calendar {calendar} is open: {why}",
        "look at the calendar in Systems Manager, allow ssm:GetCalendarState on it, or change --change-calendar",
    )
    VERSION_DENIED = _Words(
        "version-denied", "{version} is denied by {rule}", "wait for another release, or change --deny"
    )
    VERSION_NOT_PINNED = _Words(
        "version-not-pinned",
        "it is offered {version}, and updates are pinned to {rule}",
        "change --pin, or set settings.updates.version-lock on the host",
    )
    VERSION_NOT_ALLOWED = _Words(
        "version-not-allowed", "{version} is not among the allowed versions: {rule}", "change --allow"
    )
    DOWNGRADE_HELD = _Words(
        "downgrade-held",
        "it is offered {version}, which is older than the {running} that it runs",
        "allow it with --downgrades follow, or wait for a newer release",
    )
    VERSION_TOO_YOUNG = _Words(
        "version-too-young",
        "{version} was first seen {first_seen}, and must be known for {minimum_age}",
        "wait until {until}, or lower --minimum-age",
    )
    VERSION_NEW = _Words(
        "version-new",
        "nothing tells since when {version} is known, and it must be known for {minimum_age}",
        "wait that long after it was first noted, or lower --minimum-age",
    )
    OPTED_OUT = _Words(
        "opted-out",
        "it opted out by its attribute {attribute}",
        "delete the attribute in ECS, and take it out of the host's user data",
    )
    EXCLUDED = _Words("excluded", "the policy leaves it out: {rule}", "change --exclude")
    NOT_INCLUDED = _Words("not-included", "the policy takes only {rule}", "change --include")
    MEMBERSHIP_UNKNOWN = _Words(
        "membership-unknown",
        "a rule asks for its {what}, which could not be read: {rule}",
        "look at why Auto Scaling did not answer; most often a permission is missing",
    )
    NOT_PROMOTED = _Words(
        "not-promoted",
        "{version} waits for other stages, until {until} at the earliest: {waits}",
        "look at the clusters that it names; `promote {version}` lets it through now",
    )
    BLOCKED = _Words(
        "blocked",
        "{version} is blocked {who}",
        "`unblock {version}` when it is known to be good, or wait for another version",
    )
    CHECKPOINT_WAIT = _Words(
        "checkpoint-wait",
        "{version} is done on {done} of {total} instances; at this checkpoint the roll waits until {until}",
        "wait until then, or change --checkpoint-wait",
    )
    CHECKPOINT_FULL = _Words(
        "checkpoint-full",
        "up to this checkpoint {limit} of {total} instances may go to {version}: {done} done, {failed} failed, "
        "{under_way} in progress, {next} next in line",
        "wait until those are done and the wait is over",
    )
    CHECKPOINT_FAILED = _Words(
        "checkpoint-failed",
        "{failed} of the first {limit} instances failed at {version}",
        "look at them; `release {version}` when it is known to be good, or wait for another release",
    )
    DAILY_LIMIT = _Words(
        "daily-limit",
        "all {limit} places for 24 hours are taken: {begun} begun, {next} next in line",
        "wait until {until}, or raise --max-per-day",
    )
    TASK_HELD = _Words(
        "task-held",
        "it runs the task {task}, and a rule holds it for that: {rule}",
        "wait until the task is gone, or change --task",
    )
    TASK_PROTECTED = _Words(
        "task-protected",
        "its task {task} is protected until {until}",
        "wait until the task's own code gives its protection up",
    )
    SURVEY_FAILED = _Words(
        "survey-failed",
        "AWS did not say what is asked before a drain: {what}",
        "look at why AWS did not answer if it stays; the next run asks again",
    )
    SERVICE_DEPLOYING = _Words(
        "service-deploying",
        "a deployment is in progress: {services}",
        "wait until the deployment is done; have its owner end one that hangs",
    )
    BEFORE_DRAIN_FAILED = _Words(
        "before-drain-failed",
        "the document that must end well before its drain did not: {detail}",
        "look at the command in Run Command's history; the next run tries again",
    )
    UNWELL = _Words(
        "unwell",
        "not healthy enough to go on: {why}",
        "wait until all alarms are OK and all probes answer, or change --alarm and --probe",
    )
    SERVICE_UNKNOWN = _Words(
        "service-unknown",
        "it runs tasks of {service}, which ECS lists and does not describe: {why}",
        "wait until ECS describes the service again; look at the service if that lasts",
    )
    NO_ROOM = _Words("no-room", "the tasks of {service} could not leave it: {missing}", "{advice}")
    FACTS_MISSING = _Words(
        "facts-missing",
        "what must be known before it is drained could not be read within {limit}",
        "look in the log for what AWS did not answer",
    )
    LEAVING_GROUP = _Words(
        "leaving-group",
        "its Auto Scaling group {group} has it in the state {state}",
        "wait until it is InService again, or gone",
    )
    WARM_POOL = _Words(
        "warm-pool",
        "its Auto Scaling group {group} keeps it in its warm pool",
        "nothing: it counts as no part of the fleet, and is updated once the group puts it into service",
    )
    GROUP_REFRESHING = _Words(
        "group-refreshing",
        "an instance refresh of its Auto Scaling group {group} is in progress",
        "wait until the refresh is over, or cancel it",
    )

    @property
    def code(self) -> str:
        """The stable word for logs, JSON and metrics."""
        return self.value.code


class Failure(Enum):
    """What went wrong with an instance whose update had begun."""

    APPLY_FAILED = _Words(
        "apply-failed",
        "the update could not be staged: {detail}",
        "read the host's message, and correct what it names; it is tried again after a rest",
    )
    ROLLED_BACK = _Words(
        "rolled-back",
        "it came back on {version}: {target} did not boot, and the host fell back",
        "look at the release before `release` allows it again; the instance serves on its old one",
    )
    WRONG_VERSION = _Words(
        "wrong-version",
        "it came back on {version}, though {target} was staged",
        "look at its version lock: somebody changed it, or a release appeared between check and apply",
    )
    NOT_BACK = _Words(
        "not-back",
        "it did not come back within {limit} after the reboot: {detail}",
        "look at its console output; reboot it in EC2, which lets it fall back, or replace it",
    )
    UNHEALTHY = _Words(
        "unhealthy",
        "it runs {version}, and the document that must end well after its reboot did not: {detail}",
        "look at the command in Run Command's history; repair or replace the host: once the document ends well, the "
        "next run returns it",
    )
    NEVER_REBOOTED = _Words(
        "never-rebooted",
        "it was asked to reboot {times}, and did not",
        "look for what inhibits the shutdown; the instance serves on its old release",
    )
    REBOOT_STALLED = _Words(
        "reboot-stalled",
        "it accepted the reboot and did not go down within {limit}: the reboot may still come",
        "look at its console for what holds up the shutdown; reboot it in EC2, and the next run returns it",
    )
    STILL_QUARANTINED = _Words(
        "still-quarantined",
        "an earlier run left it out of service at {since}: {why}",
        "look at that run's report; repair or replace the host, or return it with `release`",
    )
    REBOOT_REFUSED = _Words(
        "reboot-refused",
        "it refused to reboot: {detail}",
        "look for what inhibits the shutdown; the instance serves on its old release",
    )

    @property
    def code(self) -> str:
        """The stable word for logs, JSON and metrics."""
        return self.value.code


Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """A decision not to act now, with its reason: the same in plan, log, status and report."""

    reason: Reason
    facts: Facts = ()

    def __str__(self) -> str:
        return self.reason.value.sentence.format_map(dict(self.facts))

    @property
    def remedy(self) -> str:
        """What would free the instance."""
        return self.reason.value.remedy.format_map(dict(self.facts))


@dataclass(frozen=True, slots=True)
class Failed:
    """An update that had begun and did not come to its end."""

    failure: Failure
    facts: Facts = ()

    def __str__(self) -> str:
        return self.failure.value.sentence.format_map(dict(self.facts))

    @property
    def remedy(self) -> str:
        """What a person can do about it."""
        return self.failure.value.remedy.format_map(dict(self.facts))


def hold(reason: Reason, **facts: object) -> Hold:
    """A hold whose facts are given by name."""
    return Hold(reason, tuple((name, str(value)) for name, value in facts.items()))


def failed(failure: Failure, **facts: object) -> Failed:
    """A failure whose facts are given by name."""
    return Failed(failure, tuple((name, str(value)) for name, value in facts.items()))


class Passing(Enum):
    """Whether a hold can pass without anybody's doing, in the words of the documentation."""

    BY_ITSELF = "by itself"
    CHOSEN = "chosen"
    """The operator's rules, or a person's deed, say so: no failure, however long it lasts."""
    NEVER = "not by itself"


CHOSEN = frozenset(
    {
        Reason.NOT_BOTTLEROCKET,
        Reason.MANAGED_INSTANCE,
        Reason.INSTANCE_STOPPED,
        Reason.WARM_POOL,
        Reason.BLOCKED,
        Reason.DRAINED_BY_OTHERS,
        Reason.OWN_HOST,
        Reason.CLAIM_REMOVED,
        Reason.RETURNED_BY_OTHERS,
        Reason.PAUSED,
        Reason.VERSION_DENIED,
        Reason.VERSION_NOT_PINNED,
        Reason.VERSION_NOT_ALLOWED,
        Reason.DOWNGRADE_HELD,
        Reason.OPTED_OUT,
        Reason.EXCLUDED,
        Reason.NOT_INCLUDED,
        Reason.TASK_HELD,
    }
)

NEVER_PASSES = frozenset(
    {
        Reason.AGENT_DISCONNECTED,
        Reason.UNKNOWN_TO_SSM,
        Reason.HYBRID_ACTIVATION,
        Reason.SSM_CONNECTION_LOST,
        Reason.SEND_DENIED,
        Reason.TOO_OLD,
        Reason.CHECK_FAILED,
        Reason.NO_BOOT_ID,
        Reason.UNREADABLE,
        Reason.UNKNOWN_STATE,
        Reason.NO_ANSWER,
        Reason.END_OF_LIFE_VARIANT,
        Reason.RELEASE_SUSPECT,
        Reason.VERSION_BREAKS_TASKS,
        Reason.NO_PLACE,
        Reason.NO_ROOM,
        Reason.NO_ROOM_FOR_CLAIM,
        Reason.UNCLAIMABLE,
        Reason.CLAIM_UNREADABLE,
        Reason.CLAIM_LOST,
        Reason.CHECKPOINT_FAILED,
        Reason.MEMBERSHIP_UNKNOWN,
        Reason.BEFORE_DRAIN_FAILED,
    }
)
"""Holds that stay until somebody does something."""


def passing(reason: Reason) -> Passing:
    """Whether a hold for that reason can pass without anybody's doing."""
    if reason in CHOSEN:
        return Passing.CHOSEN
    return Passing.NEVER if reason in NEVER_PASSES else Passing.BY_ITSELF
