"""Why an instance is held or failed. Each reason has a code, a sentence and a remedy.

Logs, plans, status and reports carry the code. People read the sentence and the remedy.
`{…}` in a sentence is filled from the facts of the reason.
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
    """Why an instance is held: nothing failed, but its update may not or cannot be done now."""

    NOT_BOTTLEROCKET = _Words(
        "not-bottlerocket",
        "it is not a Bottlerocket host: it has no attribute bottlerocket.variant",
        "do nothing: the updater leaves other operating systems alone",
    )
    NOT_DESCRIBED = _Words(
        "not-described",
        "ECS could not describe it: {why}",
        "deregister it if it is still listed after a few minutes",
    )
    NOT_ACTIVE = _Words("not-active", "its status in ECS is {status}", "wait until it is ACTIVE, or deregister it")
    DRAINED_BY_OTHERS = _Words(
        "drained-by-others",
        "somebody else set it to DRAINING",
        "set it to ACTIVE when that work is done; the updater returns only instances that it drained itself",
    )
    ANOTHER_RUN = _Words(
        "another-run",
        "run {run}, which uses another state store, is working on this cluster: {instance} has been {phase} since "
        "{since}",
        "run only one updater for each cluster, or give all of them the same state store",
    )
    AGENT_DISCONNECTED = _Words(
        "agent-disconnected",
        "its ECS agent is disconnected",
        "check the ECS agent on the host, or replace the instance",
    )
    UNKNOWN_TO_SSM = _Words(
        "unknown-to-ssm",
        "it is not registered in Systems Manager",
        "enable the control container (settings.host-containers.control), give the instance role "
        "AmazonSSMManagedInstanceCore, and let the host reach the ssm and ssmmessages endpoints",
    )
    HYBRID_ACTIVATION = _Words(
        "hybrid-activation",
        "it is not registered in Systems Manager under its EC2 instance id: {known}",
        "remove the activation from the control container's user data, give the instance role "
        "AmazonSSMManagedInstanceCore, replace the instance, and deregister that node in Systems Manager",
    )
    MANAGED_INSTANCE = _Words(
        "managed-instance",
        "it is an ECS Managed Instance",
        "do nothing: AWS patches and replaces Managed Instances itself, and the updater does not count them",
    )
    INSTANCE_STOPPED = _Words(
        "instance-stopped",
        "its EC2 instance is {state}",
        "start it so that the next run can check it, or deregister it; a stopped instance does not count towards the "
        "budget",
    )
    INSTANCE_TERMINATED = _Words(
        "instance-terminated",
        "its EC2 instance is terminated, but it is still registered in ECS",
        "deregister it with `aws ecs deregister-container-instance --force`; ECS keeps an instance whose agent was "
        "disconnected when it was terminated",
    )
    SSM_CONNECTION_LOST = _Words(
        "ssm-connection-lost",
        "Systems Manager has lost the connection to it",
        "check the control container and the host's route to Systems Manager",
    )
    SSM_STATUS_UNKNOWN = _Words(
        "ssm-status-unknown",
        "Systems Manager reports its ping status as {status}, which this version of the updater does not know",
        "check the control container; if it works, upgrade the updater",
    )
    SEND_REFUSED = _Words(
        "send-refused",
        "Systems Manager refused to send it a command: {why}",
        "fix the cause that the message names; the next run tries again",
    )
    SEND_DENIED = _Words(
        "send-denied",
        "AWS denied permission to send it a command: {why}",
        "add its Auto Scaling group to the stack's AutoScalingGroups, or give it the tag in InstanceTag: "
        "the task role needs ssm:SendCommand for each instance",
    )
    TOO_OLD = _Words(
        "too-old",
        "it runs a Bottlerocket version older than 1.0.5, whose apiclient cannot update the host",
        "replace the instance with one from a current AMI; later updates work in place",
    )
    UPDATE_LOCK_HELD = _Words(
        "update-lock-held",
        "another update command holds its update lock: {detail}",
        "wait for the next run, which tries again; if the lock stays held, reboot the host",
    )
    CHECK_FAILED = _Words(
        "check-failed",
        "its update check failed: {detail}",
        "check the host's network and settings.updates; the usual cause is that it cannot reach its update repository",
    )
    NO_BOOT_ID = _Words(
        "no-boot-id",
        "its update check printed no boot id, so the updater could not verify a reboot",
        "use the check document of this updater's own stack",
    )
    UNREADABLE = _Words(
        "unreadable",
        "its update check printed no valid update status: {detail}",
        "run the check document on it by hand and read the output",
    )
    UNKNOWN_STATE = _Words(
        "unknown-state",
        "it reported an unknown update state: {detail}",
        "upgrade the updater: a newer version may know this state",
    )
    NO_ANSWER = _Words(
        "no-answer",
        "it did not answer the update check: {detail}",
        "check the control container and its log",
    )
    END_OF_LIFE_VARIANT = _Words(
        "end-of-life-variant",
        "its variant {variant} no longer gets new versions; it runs {version}",
        "replace the instance with one of a current variant: a variant cannot be changed in place",
    )
    NOTHING_CHOSEN = _Words(
        "nothing-chosen",
        "an update is staged on it, but its update repository now offers none",
        "wait until a version is offered, or reboot the host to clear the staged one",
    )
    WITHDRAWN = _Words(
        "withdrawn",
        "the update to {version} was withdrawn before it was applied",
        "do nothing: it is updated when another version is offered",
    )
    STAGED_WITHDRAWN = _Words(
        "staged-withdrawn",
        "{version} is staged on it, but its update repository no longer offers that version",
        "do nothing: the next version that is offered takes its place; reboot the host only after "
        "`apiclient update cancel`, or it boots {version}",
    )
    STAGED_STAYS = _Words(
        "staged-stays",
        "{staged} is staged on it and must not be booted: {why}; the apply document did not replace it with {version}: "
        "{detail}",
        "use the apply document of this updater's own stack, which cancels such an update first; or run "
        "`apiclient update cancel` on the host",
    )
    STANDALONE_TASK = _Words(
        "standalone-task",
        "it runs a standalone task: {task}",
        "stop the task, wait until it ends, or run it as a service",
    )
    OWN_HOST = _Words(
        "own-host",
        "the updater's own task runs on it, {why}",
        "start a run on another host, or use `--own-host hand-over`, which does that for you",
    )
    OWN_HOST_LAST = _Words(
        "own-host-last",
        "the updater's own task runs on it, so it is updated last",
        "wait: another run takes it over when the other instances are done",
    )
    HANDED_OVER = _Words(
        "handed-over",
        "the updater's own task runs on it; a run on another host updates it: {task}",
        "read the report of that run for the result",
    )
    BACKING_OFF = _Words(
        "backing-off",
        "it is backing off until {until}; failed attempts at {version}: {attempts} (last: {why})",
        "{then}",
    )
    VERSION_SUSPECT = _Words(
        "version-suspect",
        "{version} failed on {count} instances of this cluster, so no other instance is updated to it",
        "run `release {version}` once you know that it is good, or wait for another version",
    )
    VERSION_BREAKS_TASKS = _Words(
        "version-breaks-tasks",
        "{version} does not work on {hosts}, so no other instance is updated to it: {what}",
        "check these hosts and tasks; run `release {version}` once you know that it is good, or wait for another "
        "version, which also replaces this one on hosts where it is staged",
    )
    BUDGET = _Words(
        "budget",
        "the budget is full: {unavailable} unavailable, limit {limit}: {who}",
        "wait until one of them is back in service or has left the cluster, or raise --max-unavailable",
    )
    ZONE_BUDGET = _Words(
        "zone-budget",
        "the budget of {zone} is full: {unavailable} unavailable, limit {limit}: {who}",
        "wait until one of them is back in service or has left the cluster, or raise --max-unavailable-per-zone",
    )
    SETTLING = _Words(
        "settling", "the cluster is settling after {instance} returned", "wait until its services are steady"
    )
    HALTED = _Words("halted", "the run halted: {why}", "fix the cause of the halt; the next run continues")
    STOPPING = _Words("stopping", "the run is stopping: {why}", "wait for the next run, or start one")
    STAGING_AHEAD = _Words(
        "staging-ahead", "enough other instances are already staged", "wait until those are rebooted"
    )
    CLAIM_REMOVED = _Words(
        "claim-removed",
        "somebody removed the updater's claim while it was draining, so it was left {status}",
        "set it to ACTIVE when it may run tasks again",
    )
    CLAIM_LOST = _Words(
        "claim-lost",
        "run {run} claimed it at {since}, but that claim is no longer on it, so it was left {status}",
        "set it to ACTIVE when it may run tasks again, unless somebody drained it on purpose",
    )
    RETURNED_BY_OTHERS = _Words(
        "returned-by-others",
        "somebody else set it to ACTIVE before the updater did",
        "wait for the next run, which checks it again",
    )
    DRAIN_TIMED_OUT = _Words(
        "drain-timed-out",
        "its drain timed out after {limit}, so it was returned to service; tasks left: {tasks}",
        "find out why these tasks do not stop: stop timeouts, replacements that do not start, minimumHealthyPercent "
        "with no room elsewhere, or task protection",
    )
    DRAIN_BLOCKED = _Words(
        "drain-blocked",
        "it runs tasks of {what}{like}, which made a drain time out {times}, since {since}, last on {instance}; "
        "no other host with them is drained {when}",
        "ask their owner why these tasks do not stop; if they need hours, let drains wait for them with "
        "`--task '{what} wait 8h'`; run `release '{blocker}'` once they can move",
    )
    TASKS_UNLISTED = _Words(
        "tasks-unlisted",
        "ECS counts more tasks on it than it lists, which made a drain time out {times}, since {since}, last on "
        "{instance}; no other such instance is drained {when}",
        "restart its ECS agent, or replace the instance: its task counts in ECS are wrong; run `release {blocker}` "
        "afterwards",
    )
    CHANGED_WHILE_DRAINING = _Words(
        "changed-while-draining",
        "it was returned to service before the reboot: {why}",
        "wait for the next run, which checks it again",
    )
    STOPPED_DURING_REBOOT = _Words(
        "stopped-during-reboot",
        "it was stopped in EC2 during its reboot, and booted {running} again",
        "wait for a later run, which updates it again",
    )
    NO_ROOM_FOR_CLAIM = _Words(
        "no-room-for-claim",
        "the updater's claim does not fit on it: {why}",
        "remove one of its custom ECS attributes (ECS allows ten)",
    )
    UNCLAIMABLE = _Words(
        "unclaimable",
        "its claim could not be written: {why}",
        "update it by hand, or replace it: an ECS attribute cannot hold the names of its versions",
    )
    CLAIM_UNREADABLE = _Words(
        "claim-unreadable",
        "it carries a claim that this version of the updater cannot read: {why}",
        "run the updater version that wrote it; or set the instance to ACTIVE and delete its attribute "
        "bottlerocket-ecs-updater.claim",
    )
    GONE = _Words("gone", "it left the cluster during the run: {why}", "do nothing: there is nothing left to update")
    NO_PLACE = _Words(
        "no-place",
        "it cannot be scheduled: the budget and the maintenance windows never leave room for it",
        "return instances that are out of service, raise the budget, or make a window longer",
    )
    NOT_ANSWERED = _Words(
        "not-answered", "it had not answered its update check when the plan was made", "run `plan` again in a minute"
    )
    IN_PROGRESS = _Words(
        "in-progress",
        "the run ended while it was {phase}",
        "wait for the next run, which finishes it, or start one now",
    )
    NOT_REACHED = _Words(
        "not-reached", "the run ended before its turn came; it was {phase}", "wait for the next run, or start one"
    )
    UNCLEAR = _Words(
        "unclear", "AWS did not say whether {what} took effect: {why}", "wait until the updater checks again"
    )

    # Holds from the operator's rules.
    PAUSED = _Words("paused", "updates are paused {why}", "run `resume` when the reason for the pause is gone")
    FINISH_ONLY = _Words(
        "finish-only",
        "this run only finishes updates that were started earlier",
        "wait for a run without `finish-only`; if waves of clusters need approval, the next execution asks for it",
    )
    WINDOW_CLOSED = _Words(
        "window-closed",
        "no maintenance window is open; the next one opens at {opens}",
        "wait until then, or change --window",
    )
    CUTOFF = _Words(
        "cutoff",
        "its update is expected to take {needed}, and the maintenance window closes at {closes}",
        "wait for a window that stays open long enough; if there is none, make one longer",
    )
    FROZEN = _Words(
        "frozen",
        "updates are frozen ({freeze}); the next one may start at {opens}",
        "wait until then, or change --freeze",
    )
    CALENDAR_CLOSED = _Words(
        "calendar-closed",
        "the change calendar {calendar} is closed until {opens}",
        "wait until then, or change --change-calendar",
    )
    CALENDAR_CUTOFF = _Words(
        "calendar-cutoff",
        "its update is expected to take {needed}, and the change calendar {calendar} closes at {closes}",
        "wait until the calendar opens again",
    )
    CALENDAR_UNKNOWN = _Words(
        "calendar-unknown",
        "the state of the change calendar {calendar} is not known: {why}",
        "check the calendar in Systems Manager, allow ssm:GetCalendarState on it, or change --change-calendar",
    )
    NOT_PUBLISHED = _Words(
        "not-published",
        "{version} is not published for {build}: the newest published version is {latest}",
        "wait until AWS publishes it, or change --published-only",
    )
    VERSION_WITHDRAWN = _Words(
        "version-withdrawn",
        "{version} was published for {build}, then withdrawn: since {since}, the newest published version is {latest}",
        "wait for another version; read why it was withdrawn in Bottlerocket's release notes",
    )
    PUBLISHED_UNKNOWN = _Words(
        "published-unknown",
        "it is not known whether {version} is published for {build}: {why}",
        "allow ssm:GetParameters on the public parameters of Bottlerocket, or change --published-only",
    )
    VERSION_DENIED = _Words(
        "version-denied", "the policy denies {version}: {rule}", "wait for another version, or change --deny"
    )
    VERSION_NOT_PINNED = _Words(
        "version-not-pinned",
        "it is offered {version}, but updates are pinned to {rule}",
        "change --pin, or set settings.updates.version-lock on the host",
    )
    VERSION_NOT_ALLOWED = _Words(
        "version-not-allowed", "{version} is not among the allowed versions: {rule}", "change --allow"
    )
    DOWNGRADE_HELD = _Words(
        "downgrade-held",
        "it is offered {version}, which is older than {running}, the version that it runs",
        "allow it with --downgrades follow, or wait for a newer version",
    )
    VERSION_TOO_YOUNG = _Words(
        "version-too-young",
        "{version} was first seen {first_seen}; it is held until it is {minimum_age} old",
        "wait until {until}, or lower --minimum-age",
    )
    VERSION_NEW = _Words(
        "version-new",
        "{version} is held until it is {minimum_age} old, and there is no record of when it was first seen",
        "wait: the version's age counts from the first run that records it; or lower --minimum-age",
    )
    OPTED_OUT = _Words(
        "opted-out",
        "it opted out with its attribute {attribute}",
        "delete the attribute in ECS, and remove it from the host's user data",
    )
    EXCLUDED = _Words("excluded", "the policy excludes it: {rule}", "change --exclude")
    NOT_INCLUDED = _Words("not-included", "the policy includes only {rule}", "change --include")
    MEMBERSHIP_UNKNOWN = _Words(
        "membership-unknown",
        "a rule needs its {what}, which could not be read: {rule}",
        "find out why AWS did not answer; usually a permission is missing",
    )
    NOT_PROMOTED = _Words(
        "not-promoted",
        "{version} waits for other stages, until {until} at the earliest: {waits}",
        "check the clusters named here, or run `promote {version}` to skip the wait",
    )
    BLOCKED = _Words(
        "blocked",
        "{version} is blocked {who}",
        "run `unblock {version}` once you know that it is good, or wait for another version",
    )
    CHECKPOINT_WAIT = _Words(
        "checkpoint-wait",
        "{version} is done on {done} of {total} instances; the rollout waits at this checkpoint until {until}",
        "wait until then, or change --checkpoint-wait",
    )
    CHECKPOINT_FULL = _Words(
        "checkpoint-full",
        "at most {limit} of {total} instances may be updated to {version} before the next checkpoint: {done} done, "
        "{failed} failed, {under_way} in progress, {next} next in line",
        "wait until those are done and the wait at the checkpoint is over",
    )
    CHECKPOINT_FAILED = _Words(
        "checkpoint-failed",
        "{version} failed on {failed} of the first {limit} instances",
        "check them; run `release {version}` once you know that it is good, or wait for another version",
    )
    DAILY_LIMIT = _Words(
        "daily-limit",
        "the limit of {limit} in 24 hours is reached: {begun} started, {next} next in line",
        "wait until {until}, or raise --max-per-day",
    )
    TASK_HELD = _Words(
        "task-held",
        "a rule holds it while it runs the task {task}: {rule}",
        "wait until the task has stopped, or change --task",
    )
    TASK_PROTECTED = _Words(
        "task-protected",
        "its task {task} is protected until {until}",
        "wait until the protection ends, or have the task's owner remove it",
    )
    SURVEY_FAILED = _Words(
        "survey-failed",
        "facts that a drain needs could not be read: {what}",
        "wait for the next run, which tries again; if it fails again, find out why these calls fail",
    )
    SERVICE_DEPLOYING = _Words(
        "service-deploying",
        "a deployment is in progress: {services}",
        "wait until the deployment is done; if it hangs or waits for a person, ask its owner to finish or stop it; if "
        'tasks may be moved during deployments, set `deployments = "ignore"`',
    )
    DEPLOYMENT_FAILED = _Words(
        "deployment-failed",
        "the last deployment of {services} failed, so ECS would not replace its tasks on this host",
        "ask its owner to deploy it again or roll it back",
    )
    BEFORE_DRAIN_FAILED = _Words(
        "before-drain-failed",
        "its before-drain document failed: {detail}",
        "check the command in Run Command's history; the next run tries again",
    )
    UNWELL = _Words(
        "unwell",
        "the cluster is not healthy: {why}",
        "wait until all alarms are OK and all probes answer, or change --alarm and --probe",
    )
    SERVICE_UNKNOWN = _Words(
        "service-unknown",
        "it runs tasks of {service}, which ECS lists but does not describe: {why}",
        "wait until ECS describes the service again; if it does not, check the service",
    )
    NO_ROOM = _Words("no-room", "its tasks of {service} cannot move: {missing}", "{advice}")
    FACTS_MISSING = _Words(
        "facts-missing",
        "facts that a drain needs did not arrive from AWS within {limit}",
        "check the log for the calls that AWS did not answer",
    )
    LEAVING_GROUP = _Words(
        "leaving-group",
        "its lifecycle state in Auto Scaling group {group} is {state}",
        "do nothing: its group terminates it, or the next run updates it when it is InService again",
    )
    WARM_POOL = _Words(
        "warm-pool",
        "its Auto Scaling group {group} keeps it in its warm pool",
        "do nothing: it is updated after the group puts it into service, and is not counted before",
    )
    WARM_POOL_DRAINED = _Words(
        "warm-pool-drained",
        "its Auto Scaling group {group} put it into its warm pool while the updater had drained it, so it is still "
        "DRAINING",
        "start a run after the group puts it into service again: that run finishes its update and returns it; until "
        "then it is not counted",
    )
    GROUP_TAKES_DRAINED = _Words(
        "group-takes-drained",
        "its Auto Scaling group {group} took away {count} instances that this run had drained: {who}",
        "keep Auto Scaling group {group} from scaling in during updates, and keep its launch template's image current; "
        "the next run tries again",
    )
    GROUP_REFRESHING = _Words(
        "group-refreshing",
        "an instance refresh of its Auto Scaling group {group} is in progress",
        "wait until the refresh ends, or cancel it",
    )

    @property
    def code(self) -> str:
        """The stable word for logs, JSON and metrics."""
        return self.value.code


class Failure(Enum):
    """What went wrong with an update that had started."""

    APPLY_FAILED = _Words(
        "apply-failed",
        "the update could not be staged: {detail}",
        "fix the cause that the host's message names; a later run tries again after a backoff",
    )
    ROLLED_BACK = _Words(
        "rolled-back",
        "it came back on {version}: {target} did not boot, and the host rolled back",
        "find out why {target} did not boot before you allow it again with `release`; the instance is in service on "
        "its old version",
    )
    WRONG_VERSION = _Words(
        "wrong-version",
        "it came back on {version}, but {target} was staged",
        "check its version-lock setting: it was changed, or a new version appeared between check and apply",
    )
    NOT_BACK = _Words(
        "not-back",
        "it did not come back within {limit} after the reboot: {detail}",
        "check its console output; reboot it in EC2, which lets it roll back, or replace it",
    )
    UNHEALTHY = _Words(
        "unhealthy",
        "it runs {version}, but its after-reboot document failed: {detail}",
        "check the command in Run Command's history, then repair or replace the host; when the document succeeds, the "
        "next run returns it to service",
    )
    NEVER_REBOOTED = _Words(
        "never-rebooted",
        "it did not reboot, although the command was sent {times}",
        "find out what blocks the shutdown; the instance is in service on its old version",
    )
    REBOOT_STALLED = _Words(
        "reboot-stalled",
        "it accepted the reboot but did not go down within {limit}, and may still reboot",
        "check its console for what blocks the shutdown; reboot it in EC2, and the next run returns it to service",
    )
    STOPPED_IN_EC2 = _Words(
        "stopped-in-ec2",
        "its EC2 instance is {state}, so it did not come back within {limit} after the reboot",
        "start it, and the next run verifies it and returns it to service; or terminate it",
    )
    STILL_QUARANTINED = _Words(
        "still-quarantined",
        "an earlier run quarantined it at {since}: {why}",
        "read that run's report; repair or replace the host, or return it to service with `release`",
    )
    REBOOT_REFUSED = _Words(
        "reboot-refused",
        "it rejected the reboot command: {detail}",
        "find out what blocks the shutdown; the instance is in service on its old version",
    )

    @property
    def code(self) -> str:
        """The stable word for logs, JSON and metrics."""
        return self.value.code


Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """A decision not to act now, with its reason. It reads the same in plan, log, status and report.

    If one of its facts is `since`, and the sentence does not mention it, the text ends with it.
    """

    reason: Reason
    facts: Facts = ()

    def __str__(self) -> str:
        facts, sentence = dict(self.facts), self.reason.value.sentence
        since = f" (since {facts['since']})" if "since" in facts and "{since}" not in sentence else ""
        return sentence.format_map(facts) + since

    @property
    def remedy(self) -> str:
        """What a person can do to end the hold, or that there is nothing to do."""
        return self.reason.value.remedy.format_map(dict(self.facts))


@dataclass(frozen=True, slots=True)
class Failed:
    """An update that started and failed."""

    failure: Failure
    facts: Facts = ()

    def __str__(self) -> str:
        return self.failure.value.sentence.format_map(dict(self.facts))

    @property
    def remedy(self) -> str:
        """What a person can do about it."""
        return self.failure.value.remedy.format_map(dict(self.facts))


def hold(reason: Reason, **facts: object) -> Hold:
    """Make a hold; each keyword is a fact that its sentence names."""
    return Hold(reason, tuple((name, str(value)) for name, value in facts.items()))


def failed(failure: Failure, **facts: object) -> Failed:
    """Make a failure; each keyword is a fact that its sentence names."""
    return Failed(failure, tuple((name, str(value)) for name, value in facts.items()))
