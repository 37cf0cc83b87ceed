"""The settings, each defined once: its flag, its environment variable and its key in a file follow from its field.

`max_unavailable` is `--max-unavailable`, `BOTTLEROCKET_ECS_UPDATER_MAX_UNAVAILABLE` and `max-unavailable = …`. To add a
setting, add a field; its meaning for the rest of the program is in the properties below.
"""

# No `from __future__ import annotations`: cyclopts would evaluate each annotation again whenever it parses, and every
# command would start some milliseconds later.

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, cast

from cyclopts import App, Parameter

from bottlerocket_ecs_updater.cli.settings import parameters
from bottlerocket_ecs_updater.cli.settings.parameters import Place
from bottlerocket_ecs_updater.cli.settings.parsing import SettingsConflict, configure, parse
from bottlerocket_ecs_updater.cli.settings.policy_settings import RuleSettings
from bottlerocket_ecs_updater.core.model.history import SUSPECT_AFTER
from bottlerocket_ecs_updater.core.model.reboots import COMMAND_LIFE, INHIBITED_FOR
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.time_text import duration_text
from bottlerocket_ecs_updater.core.rules.policy import ONE_INSTANCE, Limit, Policy
from bottlerocket_ecs_updater.engine.lease.lease_note import LONGEST_TERM

INSTANT = timedelta(0)
POLL_MIN = timedelta(seconds=1)
"""In real time. More frequent looks would exceed the request rates that AWS allows an account."""

LogFormat = Literal["auto", "json", "text"]
OnOff = Literal["auto", "on", "off"]
LogLevel = Literal["error", "warning", "info", "debug"]

_CLUSTER = r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}|arn:aws[a-z0-9-]*:ecs:([a-z0-9-]+):[0-9]{12}:cluster/[A-Za-z0-9_-]{1,255}"
# The pattern of DocumentName in ssm:SendCommand, which takes names and ARNs.
_DOCUMENT = r"[A-Za-z0-9_.:/-]{3,128}"
_DOCUMENT_ALLOWED = "the name or ARN of a Systems Manager document"


def _document(meaning: str) -> Parameter:
    return parameters.text(meaning, _DOCUMENT, _DOCUMENT_ALLOWED, "DOCUMENT")


ConfigFile = Annotated[Path | None, parameters.file("TOML file with any of these settings.")]
"""Every command has it. One file can serve all commands, because each ignores settings that it does not take."""

OutputFormat = Annotated[Literal["text", "json"], parameters.choice("Output format.", "text", "json", name="--format")]
"""The format of what a command prints."""


@Parameter(name="*", group="Cluster")
@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The cluster, its state store and the clock. Every command has these settings."""

    cluster: Annotated[
        str,
        parameters.text("Name or ARN of the ECS cluster.", _CLUSTER, "the name or ARN of an ECS cluster", "CLUSTER"),
    ]
    region: Annotated[
        str | None,
        parameters.text(
            "Region of the cluster. Default: the Region in the cluster's ARN, or the AWS configuration.",
            r"[a-z]{2,}(-[a-z0-9]+)+",
            "the name of a region, such as eu-central-1",
            "REGION",
        ),
    ] = None
    state: Annotated[
        Place | None,
        parameters.place("Where to keep claims, the lease and the record of runs: s3://BUCKET/PREFIX or a folder."),
    ] = None

    time_scale: Annotated[
        float, parameters.factor("For simulators: seconds of simulated time for each second of real time.", show=False)
    ] = 1.0
    time_origin: Annotated[
        datetime | None,
        parameters.instant("For simulators: the time at which simulated time and real time were the same."),
    ] = None

    def __post_init__(self) -> None:
        in_arn = self._region_in_arn()
        if in_arn and self.region and in_arn != self.region:
            raise SettingsConflict(f"the cluster is in {in_arn}, but region is {self.region}", ("cluster", "region"))

    @property
    def region_named(self) -> str | None:
        """The Region from the settings; None to use the standard AWS configuration."""
        return self.region or self._region_in_arn()

    def _region_in_arn(self) -> str | None:
        match = re.fullmatch(_CLUSTER, self.cluster)
        return match[1] if match else None


@Parameter(name="*", group="Documents")
@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The three Run Command documents, and two of the operator's."""

    check_document: Annotated[str, _document("Document that checks for an update.")]
    apply_document: Annotated[str, _document("Document that stages an update.")]
    reboot_document: Annotated[str, _document("Document that reboots the host.")]
    before_drain_document: Annotated[
        str | None, _document("Your document that must succeed on a host before it is drained.")
    ] = None
    after_reboot_document: Annotated[
        str | None, _document("Your document that must succeed on a rebooted host before it returns to service.")
    ] = None

    @property
    def by_kind(self) -> Mapping[DocumentKind, str]:
        """The documents by kind."""
        names = {
            DocumentKind.CHECK: self.check_document,
            DocumentKind.APPLY: self.apply_document,
            DocumentKind.REBOOT: self.reboot_document,
            DocumentKind.BEFORE_DRAIN: self.before_drain_document,
            DocumentKind.AFTER_REBOOT: self.after_reboot_document,
        }
        return {kind: name for kind, name in names.items() if name is not None}


@Parameter(name="*", group="Limits")
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on numbers and durations, and when to stop."""

    max_unavailable: Annotated[
        Limit, parameters.limit("How many instances may be unavailable at once, whatever the cause; at least 1.")
    ] = ONE_INSTANCE
    max_unavailable_per_zone: Annotated[
        Limit | None, parameters.limit("How many instances of one Availability Zone may be unavailable at once.")
    ] = None
    poll_interval: Annotated[
        timedelta,
        parameters.duration(
            "Time between looks at the cluster; below 1s only in a simulator.", most=timedelta(minutes=5)
        ),
    ] = timedelta(seconds=5)
    apply_timeout: Annotated[timedelta, parameters.duration("Time limit for staging an update on a host.")] = timedelta(
        minutes=15
    )
    drain_timeout: Annotated[
        timedelta, parameters.duration("Time limit for a drain. After it, the instance is returned to service.")
    ] = timedelta(minutes=25)
    reboot_timeout: Annotated[
        timedelta,
        parameters.duration(
            "Time limit from the reboot until the host is verified. After it, the instance is quarantined.",
            least=COMMAND_LIFE + INHIBITED_FOR,
            why_least="a command can be delivered minutes later, and the host may then delay its shutdown for 5m",
        ),
    ] = timedelta(minutes=20)
    hook_timeout: Annotated[
        timedelta, parameters.duration("Time limit for each of your documents, before a drain and after a reboot.")
    ] = timedelta(minutes=10)
    settle: Annotated[
        timedelta, parameters.duration("How long services must be steady before the next drain.", INSTANT)
    ] = timedelta(seconds=60)
    settle_timeout: Annotated[
        timedelta, parameters.duration("Time limit for services to settle. After it, no new update starts.")
    ] = timedelta(minutes=10)
    max_failures: Annotated[
        int, parameters.integer("The run halts when this many instances fail during or after their drain.")
    ] = 2
    suspect_after: Annotated[
        int,
        parameters.integer(
            "A version that failed on this many instances, over all runs, goes to no others until you `release` it."
        ),
    ] = SUSPECT_AFTER
    lease: Annotated[
        timedelta, parameters.duration("A run that does not renew its lease for this long loses it.", most=LONGEST_TERM)
    ] = timedelta(minutes=3)
    lease_wait: Annotated[
        timedelta | None,
        parameters.duration(
            "How long to wait if another run holds the lease. Default: leave at once, with exit code 0.",
            most=timedelta(days=1),
        ),
    ] = None
    deadline: Annotated[
        timedelta | None,
        parameters.duration(
            "Start no new updates once the run has lasted this long; updates in progress are finished."
        ),
    ] = None

    def __post_init__(self) -> None:
        self._at_least("settle_timeout", "settle")
        self._at_least("lease", "poll_interval", 2)
        for limit in ("apply_timeout", "drain_timeout", "reboot_timeout", "hook_timeout", "settle_timeout"):
            self._at_least(limit, "poll_interval")

    def _at_least(self, long: str, short: str, times: int = 1) -> None:
        """Check that one setting is at least so many times another."""
        if getattr(self, long) >= times * getattr(self, short):
            return
        names = (long.replace("_", "-"), short.replace("_", "-"))
        spans = (duration_text(getattr(self, long)), duration_text(getattr(self, short)))
        least = f"{'twice ' if times == 2 else ''}{names[1]} ({spans[1]})"
        raise SettingsConflict(f"{names[0]} ({spans[0]}) must not be shorter than {least}", names)


@Parameter(name="*", group="Output")
@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a run logs, and how."""

    log_format: Annotated[
        LogFormat, parameters.choice("Log format; auto is text on a terminal, otherwise JSON.", "auto", "json", "text")
    ] = "auto"
    log_level: Annotated[LogLevel, parameters.choice("Lowest level to log.", "error", "warning", "info", "debug")] = (
        "info"
    )
    quiet: Annotated[bool, parameters.switch("Log warnings, errors and the summary only.", "q")] = False
    verbose: Annotated[
        bool, parameters.switch("Also log looks, checks and commands; print tracebacks of errors.", "v")
    ] = False

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise SettingsConflict("quiet and verbose cannot be used together", ("quiet", "verbose"))

    @property
    def level(self) -> LogLevel:
        """The least severe level to log, from `quiet` and `verbose`."""
        if self.quiet:
            return "warning"
        return "debug" if self.verbose else self.log_level


# Source: the patterns of TopicArn, of EventBusName, and of SecretId and Name in the services' models.
_TOPIC = r"arn:aws[a-z0-9-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}"
_BUS = r"(arn:aws[a-z0-9-]*:events:[a-z0-9-]+:[0-9]{12}:event-bus/)?[A-Za-z0-9_./-]{1,256}"
_PLACE = (
    r"arn:aws[a-z0-9-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]{1,512}"
    r"|(arn:aws[a-z0-9-]*:ssm:[a-z0-9-]+:[0-9]{12}:parameter)?/[A-Za-z0-9_./-]{1,1000}"
)
_PLACE_ALLOWED = "the ARN of a secret of Secrets Manager, or the ARN or /name of a parameter of Systems Manager"


@Parameter(name="*", group="Messages")
@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """Who is notified, and how."""

    notify_topic: Annotated[
        str | None, parameters.text("SNS topic for notifications.", _TOPIC, "the ARN of an SNS topic", "ARN")
    ] = None
    event_bus: Annotated[
        str | None,
        parameters.text("EventBridge event bus for events.", _BUS, "the name or ARN of an event bus", "BUS"),
    ] = None
    webhook_secret: Annotated[
        str | None,
        parameters.text(
            "Secret or parameter that holds the URL of a Slack or other webhook.", _PLACE, _PLACE_ALLOWED, "SECRET"
        ),
    ] = None
    metrics: Annotated[
        OnOff, parameters.choice("Write metrics to the log; auto writes them if the log is JSON.", "auto", "on", "off")
    ] = "auto"


# A part with a required field has no default here.
@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """All settings of `run`, merged and validated."""

    target: Target
    documents: Documents
    limits: Limits = Limits()
    rules: RuleSettings = field(default_factory=RuleSettings)
    output: Output = Output()
    messages: Messages = Messages()
    config: ConfigFile = None

    def __post_init__(self) -> None:
        if self.limits.poll_interval < POLL_MIN and self.target.time_scale <= 1:
            short, least = duration_text(self.limits.poll_interval), duration_text(POLL_MIN)
            reason = (
                "a shorter interval makes more calls than AWS allows; only a simulator allows it, with --time-scale"
            )
            raise SettingsConflict(
                f"poll-interval ({short}) must not be shorter than {least}: {reason}", ("poll-interval",)
            )
        waits = ("lease-wait",) if self.limits.lease_wait is not None else ()
        lacking = (*self.rules.rules.needs_memory, *waits) if self.target.state is None else ()
        if lacking:
            what = " and ".join(lacking)
            raise SettingsConflict(f"{what} needs a state store: give --state", (*lacking, "state"))

    @property
    def policy(self) -> Policy:
        """The limits and rules for decisions."""
        return policy_of(self.limits, self.rules, self.documents)


def policy_of(limits: Limits, rules: RuleSettings, documents: Documents | None = None) -> Policy:
    """The limits and rules for decisions, from the settings."""
    return Policy(
        before_drain=documents is not None and documents.before_drain_document is not None,
        after_reboot=documents is not None and documents.after_reboot_document is not None,
        hook_timeout=limits.hook_timeout,
        max_unavailable=limits.max_unavailable,
        max_unavailable_per_zone=limits.max_unavailable_per_zone,
        poll_interval=limits.poll_interval,
        apply_timeout=limits.apply_timeout,
        drain_timeout=limits.drain_timeout,
        reboot_timeout=limits.reboot_timeout,
        settle=limits.settle,
        settle_timeout=limits.settle_timeout,
        max_failures=limits.max_failures,
        suspect_after=limits.suspect_after,
        deadline=limits.deadline,
        rules=rules.rules,
        own_host=rules.own_host,
    )


def load(
    tokens: Sequence[str], environ: Mapping[str, str], elsewhere: Callable[[], Iterable[str]] = tuple
) -> RunSettings:
    """Merge and validate the settings of `run` from flags, environment and file.

    Raises UsageError with the setting, its value, what is allowed, and where the value came from.
    """

    def settings_of_run(*, settings: RunSettings) -> RunSettings:
        return settings

    app = configure(App(name="run"), environ, elsewhere=elsewhere)
    app.default(settings_of_run)
    return cast(RunSettings, parse(app, tokens)())
