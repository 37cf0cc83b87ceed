"""`doctor`: check everything that a run needs. It changes nothing but one test object in the state store."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Annotated

from cyclopts import Parameter

from bottlerocket_ecs_updater import __version__
from bottlerocket_ecs_updater.aws.checkup import AwsCheckup, ClusterFacts, Question
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.translate import CallRefused
from bottlerocket_ecs_updater.cli.commands.plan import look
from bottlerocket_ecs_updater.cli.outputs import colour_of
from bottlerocket_ecs_updater.cli.settings import parameters
from bottlerocket_ecs_updater.cli.settings.parameters import StoreBucket
from bottlerocket_ecs_updater.cli.settings.policy_settings import RuleSettings
from bottlerocket_ecs_updater.cli.settings.settings import (
    ConfigFile,
    Documents,
    Limits,
    Messages,
    Output,
    OutputFormat,
    RunSettings,
    Target,
)
from bottlerocket_ecs_updater.cli.wiring import Wired, wire
from bottlerocket_ecs_updater.core.model.finding import Finding, Grade, fail, fine, warn
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.planning import checkup
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.engine.clock import SystemClock
from bottlerocket_ecs_updater.engine.lease.run_lease import Taken
from bottlerocket_ecs_updater.engine.lease.store_lease import StoreLease
from bottlerocket_ecs_updater.engine.ports import Store, Unconditional
from bottlerocket_ecs_updater.errors import (
    Denied,
    Interrupted,
    LeaseLost,
    NotFound,
    Throttled,
    Unreachable,
    UpdaterError,
    UsageError,
)
from bottlerocket_ecs_updater.report.views.checkup import checkup_json, checkup_text
from bottlerocket_ecs_updater.report.words.colours import Paint

LEASE_TRIED_FOR = timedelta(seconds=1)
"""The term of the lease that tests the store: how long it is held if doctor dies."""

_DEFINITION = r"[A-Za-z0-9_-]{1,255}(:[0-9]+)?|arn:aws[a-z0-9-]*:ecs:[a-z0-9-]+:[0-9]{12}:task-definition/[^ ]+"


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorSettings:
    """The settings of `run`, and the other resources to check."""

    target: Target
    documents: Documents
    limits: Limits = field(default_factory=Limits)
    rules: RuleSettings = field(default_factory=RuleSettings)
    output: Output = field(default_factory=Output)
    messages: Messages = field(default_factory=Messages)
    config: ConfigFile = None
    task_definition: Annotated[
        str | None,
        parameters.text(
            "The updater's task definition (stack output UpdaterTaskDefinitionArn): check its image and log group too.",
            _DEFINITION,
            "the ARN or name of a task definition",
            "DEFINITION",
        ),
    ] = None
    form: OutputFormat = "text"

    def of_run(self) -> RunSettings:
        """The settings of the run. Raises SettingsConflict if they contradict each other."""
        return RunSettings(
            target=self.target,
            documents=self.documents,
            limits=self.limits,
            rules=self.rules,
            output=self.output,
            messages=self.messages,
        )


def doctor(*, settings: DoctorSettings) -> int:
    """Check credentials, cluster, documents, state store, permissions and hosts, and report what to fix."""
    run = settings.of_run()
    findings = list(_examine(settings, run))
    if settings.form == "json":
        text = json.dumps(checkup_json(findings, run.target.cluster), indent=1) + "\n"
    else:
        text = checkup_text(findings, Paint(colour=colour_of(os.environ) is None and sys.stdout.isatty()))
    print(text, end="")
    return int(any(finding.grade is Grade.FAIL for finding in findings))


def _examine(settings: DoctorSettings, run: RunSettings) -> Iterator[Finding]:
    bare = wire(run, os.environ, ask=False)
    asked = AwsCheckup(bare.clients, bare.own_api, run.target.cluster, run.target.region_named)
    yield fine("program", f"bottlerocket-ecs-updater {__version__}", f"Python {platform.python_version()}")
    identity = list(_identity(asked))
    yield from identity
    if any(finding.grade is Grade.FAIL for finding in identity):
        # Nothing else can be checked if AWS does not accept the credentials.
        return
    facts, found = _cluster(asked, run.target.cluster)
    yield from found
    yield from _documents(asked, settings.documents)
    if facts is not None:
        # Its ARN names its place, so the store and the hosts do not depend on another call.
        run = replace(run, target=replace(run.target, cluster=facts.arn))
        yield from _permissions(asked, facts, settings, run.policy)
    else:
        yield warn("permission", "unchecked", "the permissions of a run were not checked", "Correct the cluster first")
    yield from _messages(asked, settings)
    yield from _task(asked, settings.task_definition)
    if any(finding.grade is Grade.FAIL for finding in found):
        said = "the state store and the instances were not checked"
        yield warn("store", "unchecked", said, "Correct the cluster first")
        return
    yield from _of_the_cluster(asked, run)


ROUTE = "Check the route to AWS (proxy, NAT gateway, VPC endpoints, security group, AWS_ENDPOINT_URL)"


def _asked(check: str, about: str, ask: Callable[[], Iterator[Finding]], *, vital: bool) -> Iterator[Finding]:
    """The result of one check, or the error from AWS as a finding. `vital` marks what a run cannot do without."""
    grade = fail if vital else warn
    try:
        yield from list(ask())
    except (LeaseLost, Interrupted):
        raise
    except Denied as error:
        who = "the task role" if vital else "the identity that runs `doctor`"
        yield grade(check, about, str(error), f"Allow {error.action} on {error.resource or 'it'} to {who}")
    except (NotFound, CallRefused) as error:
        yield fail(check, about, str(error), "Correct its name, its Region or the credentials, or create it")
    except UsageError as error:
        yield fail(check, about, str(error), "Correct the setting")
    except Throttled as error:
        yield grade(check, about, str(error), "Run `doctor` again in a minute")
    except UpdaterError as error:
        yield grade(check, about, str(error), f"{ROUTE}, and run `doctor` again")


def _identity(asked: AwsCheckup) -> Iterator[Finding]:
    def ask() -> Iterator[Finding]:
        # The time of this machine, even if the world is simulated.
        caller = asked.caller(SystemClock().now)
        yield fine("credentials", caller.arn, "AWS accepts them")
        if caller.skew is not None:
            yield checkup.judge_clock(caller.skew)

    try:
        yield from list(ask())
    except UpdaterError as error:
        signed_in = isinstance(error, Throttled | Unreachable)
        remedy = ROUTE if signed_in else "Sign in (aws sso login, AWS_PROFILE or a task role)"
        about = Operation.GET_CALLER_IDENTITY.title
        yield fail("credentials", about, str(error).removeprefix(f"{about}: "), f"{remedy}, and run `doctor` again")


def _cluster(asked: AwsCheckup, name: str) -> tuple[ClusterFacts | None, list[Finding]]:
    kept: list[ClusterFacts] = []

    def ask() -> Iterator[Finding]:
        facts = asked.cluster()
        kept.append(facts)
        if facts.active:
            yield fine("cluster", facts.arn, f"it is {facts.status} and has {facts.instances} container instances")
        else:
            yield fail("cluster", facts.arn, f"it is {facts.status}", "Use a cluster that is ACTIVE")

    found = list(_asked("cluster", name, ask, vital=False))
    return (kept[0] if kept else None), found


def _documents(asked: AwsCheckup, documents: Documents) -> Iterator[Finding]:
    for kind, name in documents.by_kind.items():

        def ask(kind: DocumentKind = kind, name: str = name) -> Iterator[Finding]:
            yield checkup.judge_document(kind, name, asked.document(name))

        yield from _asked("document", name, ask, vital=False)


def _permissions(
    asked: AwsCheckup, cluster: ClusterFacts, settings: DoctorSettings, policy: Policy
) -> Iterator[Finding]:
    for question in (*asked.questions(cluster.arn), *_of_rules(asked, policy)):
        yield from _permission(question, question.action)
    for kind, name in settings.documents.by_kind.items():
        if kind is DocumentKind.CHECK:
            # It is sent to the hosts, which shows more.
            continue
        for finding in _permission(asked.sending(name), f"ssm:SendCommand ({name})"):
            # If the stack names groups or a tag, IAM denies commands to an instance that does not exist.
            if finding.grade is Grade.OK or ":instance/" not in finding.said:
                yield finding


def _of_rules(asked: AwsCheckup, policy: Policy) -> Iterator[Question]:
    """What only runs with these settings use."""
    names = [rule.name for rule in policy.rules.health.alarms if not rule.prefix]
    if policy.rules.health.alarms:
        yield asked.alarms(names[:100] or ["bottlerocket-ecs-updater-doctor"])
    for arn in policy.rules.calendars:
        yield asked.calendar(arn)
    if policy.rules.versions.published_only:
        yield asked.published()


def _permission(question: Question, about: str) -> Iterator[Finding]:
    def ask() -> Iterator[Finding]:
        question.ask()
        yield fine("permission", about, "allowed")

    for finding in _asked("permission", about, ask, vital=True):
        if finding.grade is Grade.FAIL and question.without:
            said = f"{finding.said}. Without it, {question.without}"
            yield warn(finding.check, finding.about, said, finding.remedy)
        else:
            yield finding


def _messages(asked: AwsCheckup, settings: DoctorSettings) -> Iterator[Finding]:
    topic, bus = settings.messages.notify_topic, settings.messages.event_bus
    if topic is not None:
        yield from _asked("topic", topic, lambda: _there("topic", topic, asked.topic), vital=False)
    if bus is not None:
        yield from _asked("event-bus", bus, lambda: _there("event-bus", bus, asked.bus), vital=False)
        yield from _permission(asked.putting(bus), f"events:PutEvents ({bus})")


def _there(check: str, name: str, see: Callable[[str], None]) -> Iterator[Finding]:
    see(name)
    yield fine(check, name, "it exists")


def _task(asked: AwsCheckup, definition: str | None) -> Iterator[Finding]:
    if definition is None:
        return

    def ask() -> Iterator[Finding]:
        task = asked.task(definition)
        yield from checkup.judge_image(task.image, task.architecture)
        yield from _asked("image", task.image, lambda: _platforms(asked, task.image, task.architecture), vital=False)
        group = task.log_group
        if group:
            groups = lambda: iter([checkup.judge_log_group(group, asked.log_groups(group))])  # noqa: E731
            yield from _asked("log-group", group, groups, vital=False)

    yield from _asked("task-definition", definition, ask, vital=False)


def _platforms(asked: AwsCheckup, image: str, wants: str) -> Iterator[Finding]:
    yield checkup.judge_platforms(image, wants, asked.platforms(image))


def _of_the_cluster(asked: AwsCheckup, run: RunSettings) -> Iterator[Finding]:
    """The store, and what a run would see at its first look."""
    where = str(run.target.state or "none")
    found = list(_asked("store", where, lambda: _store(run, wire(run, os.environ)), vital=True))
    yield from found
    if any(finding.grade is Grade.FAIL for finding in found):
        # The hosts can be checked all the same.
        run = replace(run, target=replace(run.target, state=None))

    def ask_hosts() -> Iterator[Finding]:
        fleet = look(wire(run, os.environ), run.policy)
        yield from checkup.judge_fleet(fleet)
        yield from checkup.judge_published(fleet, run.policy)
        providers = checkup.providers_of(fleet)
        protection = lambda: checkup.judge_protection(asked.protected(providers), providers)  # noqa: E731
        yield from _asked("capacity-provider", ", ".join(providers), protection, vital=False)

    yield from _asked("instance", "all", ask_hosts, vital=True)


def _try_a_lease(wired: Wired, store: Store) -> None:
    """Take a lease of doctor's own, and release it. Raises Unconditional, and what the store raises."""
    key, clock = f"clusters/{wired.state}/doctor.json", wired.clock
    lease = StoreLease(store, key, "doctor", wired.run, LEASE_TRIED_FOR, clock, clock.monotonic)
    try:
        if isinstance(lease.acquire(), Taken):
            lease.check_store()
    finally:
        lease.release()


def _store(run: RunSettings, wired: Wired) -> Iterator[Finding]:
    state = run.target.state
    if wired.store is None or state is None:
        remedy = "Give --state s3://BUCKET/PREFIX (stack output StateLocation)"
        yield warn("store", "none", "runs have no lease, no history and no record", remedy)
        return
    try:
        _try_a_lease(wired, wired.store)
    except Unconditional as error:
        yield fail("store", str(state), str(error), "Keep the state in Amazon S3, or in a folder of one machine")
        return
    with suppress(StopIteration):
        next(iter(wired.store.keys(f"runs/{wired.state}/")))
    kind = "a bucket" if isinstance(state, StoreBucket) else "a folder"
    yield fine("store", str(state), f"{kind} that can be read, written and listed, and supports conditional writes")
