"""Builders for the values of core: each gives a plain, healthy value, which a test can vary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import (
    PingStatus,
    Registration,
    Status,
    Task,
    Tasks,
    TaskStatus,
)
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.host_report import HostAnswer, HostProblem, HostReport, Problem, UpdateState
from bottlerocket_ecs_updater.core.model.ids import (
    BootId,
    CommandId,
    ContainerInstanceArn,
    InstanceId,
    RunId,
    ServiceArn,
    TaskArn,
    Zone,
)
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Updated
from bottlerocket_ecs_updater.core.model.reboots import Acceptance, RebootEnd, SentReboot
from bottlerocket_ecs_updater.core.model.run_command import (
    CheckAnswer,
    CommandResult,
    CommandStatus,
    DocumentKind,
    PendingCommand,
)
from bottlerocket_ecs_updater.core.model.run_progress import NewBoot, RunProgress, SentDrain, SentReturn
from bottlerocket_ecs_updater.core.model.services import Service, Services
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

RUN = RunId("this-run")
DEAD_RUN = RunId("dead-run")
OLD, NEW, NEWER = Version(1, 20, 0), Version(1, 21, 0), Version(1, 22, 0)
BOOT = BootId("0123456789abcdef0123456789abcdef")
NEXT_BOOT = BootId("fedcba9876543210fedcba9876543210")

POLICY = Policy()
POLL = POLICY.poll_interval


def is_soon(look: datetime | None) -> bool:
    """Whether the look is in the future, and at most one poll away."""
    return look is not None and NOW < look <= NOW + POLL


def policy(max_unavailable: int = 1, per_zone: int | None = None, **changes: Any) -> Policy:
    """The default policy, with budgets as numbers."""
    limit = None if per_zone is None else Limit(number=per_zone)
    return replace(POLICY, max_unavailable=Limit(number=max_unavailable), max_unavailable_per_zone=limit, **changes)


# Hosts


def idle(running: Version = OLD, **changes: Any) -> HostReport:
    """An idle host without an update."""
    return replace(HostReport(BOOT, UpdateState.IDLE, running, None, None), **changes)


def available(chosen: Version | None = NEW, **changes: Any) -> HostReport:
    """A host with an available update."""
    return replace(HostReport(BOOT, UpdateState.AVAILABLE, OLD, chosen, None), **changes)


def staged(version: Version | None = NEW, **changes: Any) -> HostReport:
    """A host with an update that is staged but not activated."""
    return replace(HostReport(BOOT, UpdateState.STAGED, OLD, version, version), **changes)


def ready(version: Version | None = NEW, **changes: Any) -> HostReport:
    """A host that boots into its staged update next."""
    return replace(HostReport(BOOT, UpdateState.READY, OLD, version, version), **changes)


def rebooted(running: Version = NEW, **changes: Any) -> HostReport:
    """A host after its next boot."""
    return idle(running, boot=NEXT_BOOT, **changes)


def problem(which: Problem, detail: str = "its own words") -> HostProblem:
    """A check that gave no report."""
    return HostProblem(which, detail)


def check_answer(answer: HostAnswer, asked: datetime = NOW, at: datetime | None = None) -> CheckAnswer:
    """The answer of a host to a check."""
    return CheckAnswer(answer, asked, at or asked)


def pending(kind: DocumentKind, sent: datetime = NOW) -> PendingCommand:
    """A pending command."""
    return PendingCommand(kind, CommandId(f"{kind.value}-command"), sent)


def ended(
    kind: DocumentKind, end: CommandStatus = CommandStatus.SUCCESS, at: datetime = NOW, **changes: Any
) -> CommandResult:
    """A command that ended."""
    code = 0 if end is CommandStatus.SUCCESS else 1
    return replace(
        CommandResult(kind, CommandId(f"{kind.value}-command"), at - 5 * SECOND, at, end, code, "a line"), **changes
    )


def sent_reboot(sent: datetime = NOW, end: RebootEnd | None = None, **changes: Any) -> SentReboot:
    """A reboot command that this run sent; pending, unless an end is given."""
    return replace(SentReboot(CommandId(f"reboot-{sent:%H%M%S}"), sent, end=end), **changes)


def acceptance(heard: datetime = NOW, **changes: Any) -> RebootEnd:
    """The host accepted the reboot, and the command ended in its first run."""
    return replace(RebootEnd(Acceptance.ACCEPTED, heard, True, "Rebooting, goodbye...", True), **changes)


def refusal(heard: datetime = NOW) -> RebootEnd:
    """apiclient refused the command."""
    return RebootEnd(Acceptance.REFUSED, heard, True, "Status 500 when POSTing /actions/reboot")


def unknown_end(heard: datetime = NOW) -> RebootEnd:
    """Systems Manager says that it ended, but not whether the host accepted it."""
    return RebootEnd(Acceptance.UNKNOWN, heard, False, "Undeliverable")


# ECS


def task(service: str = "web", last_status: str = "RUNNING", **changes: Any) -> Task:
    """A task of a service."""
    plain = Task(TaskArn(f"arn:task/{service}"), TaskStatus(last_status), "ecs-svc/1234567890", f"service:{service}")
    return replace(plain, **changes)


STANDALONE = Task(TaskArn("arn:task/batch"), TaskStatus.RUNNING, "somebody", "family:batch")


def arn_of(name: str) -> ContainerInstanceArn:
    """The container instance ARN that the builders give an instance."""
    return ContainerInstanceArn(f"arn:aws:ecs:eu-west-1:123456789012:container-instance/{name}")


def registration(name: str = "i-a", **changes: Any) -> Registration:
    """An ACTIVE, connected, empty Bottlerocket container instance."""
    plain = Registration(
        arn=arn_of(name),
        id=InstanceId(name),
        status=Status.ACTIVE,
        connected=True,
        zone=Zone("eu-west-1a"),
        variant="aws-ecs-2",
        running_tasks=0,
        pending_tasks=0,
        attributes={},
        registered_at=NOW - 24 * HOUR,
        at=NOW,
    )
    return replace(plain, **changes)


def marked(claim: Claim) -> Mapping[str, str]:
    """The attributes of an instance that carries a claim."""
    return {CLAIM_ATTRIBUTE: claim.encode()}


def service(name: str = "web", desired: int = 3, running: int | None = None, **changes: Any) -> Service:
    """A service at its desired count."""
    return replace(
        Service(ServiceArn(f"arn:service/{name}"), name, desired, desired if running is None else running), **changes
    )


# Instances and the fleet


def instance(
    name: str = "i-a",
    says: HostAnswer | None = None,
    *,
    asked: datetime = NOW,
    tasks: tuple[Task, ...] | None = (),
    progress: RunProgress | None = None,
    registered: Registration | None = None,
    **changes: Any,
) -> Instance:
    """An unclaimed instance in service, connected to Systems Manager; `says` is its last answer to a check."""
    plain = Instance(
        InstanceId(name),
        registration=registered or registration(name, running_tasks=len(tasks or ())),
        reach=PingStatus.ONLINE,
        check_answer=None if says is None else check_answer(says, asked),
        tasks=None if tasks is None else Tasks(tasks, NOW, with_stopping=True),
        progress=progress or RunProgress(),
    )
    return replace(plain, **changes)


def a_claim(phase: ClaimPhase = ClaimPhase.DRAINING, *, run: RunId = RUN, **changes: Any) -> Claim:
    """A claim that was entered a minute ago."""
    reboots = 0 if phase is ClaimPhase.DRAINING else 1
    return replace(Claim(phase, run, OLD, NEW, BOOT, NOW - MINUTE, reboots), **changes)


def claimed(
    name: str = "i-a",
    claim: Claim | None = None,
    says: HostAnswer | None = None,
    *,
    status: Status = Status.DRAINING,
    connected: bool = True,
    tasks: tuple[Task, ...] | None = (),
    asked: datetime = NOW - 5 * SECOND,
    progress: RunProgress | None = None,
    **changes: Any,
) -> Instance:
    """An instance that this run drained a minute ago, and that is empty."""
    mine = claim or a_claim()
    seen = registration(name, status=status, connected=connected, running_tasks=len(tasks or ()))
    plain = instance(
        name,
        ready() if says is None else says,
        asked=asked,
        tasks=tasks,
        registered=replace(seen, attributes=marked(mine)),
        claim=mine,
        claim_on_instance=True,
        progress=progress or drained_by_us(mine),
    )
    return replace(plain, **changes)


def drained_by_us(claim: Claim, **changes: Any) -> RunProgress:
    """This run's record of an instance with that claim.

    If another run started the update, nothing is known about its drain.
    """
    if claim.run != RUN:
        found = changes.get("claimed_at", NOW)
        dead = RunProgress(claimed_at=found, phase_seen_at=found, claim_seen=True, drain_seen=True, connected_looks=1)
        return replace(dead, **changes)
    plain = RunProgress(
        claimed_at=claim.since,
        claim_seen=True,
        drain=SentDrain(claim.since),
        drain_seen=True,
        connected_looks=5,
    )
    return replace(plain, **changes)


def a_new_boot(asked: datetime, answered: datetime | None = None) -> NewBoot:
    """The first check that showed a new boot; answered immediately by default."""
    return NewBoot(asked, answered or asked, NEXT_BOOT)


def a_return(at: datetime, outcome: Outcome | None = None, *, confirmed: bool = False) -> SentReturn:
    """A return to service that this run sent, by default of an updated instance."""
    return SentReturn(at, outcome or Updated(OLD, NEW), confirmed)


def fleet(*instances: Instance, **changes: Any) -> Fleet:
    """A cluster that was just read completely, with one steady service."""
    plain = Fleet(
        run=RUN,
        started_at=NOW - 5 * MINUTE,
        at=NOW,
        full_at=NOW,
        instances={one.id: one for one in instances},
        services=Services((service(),), NOW),
    )
    return replace(plain, **changes)


# Output of hosts

BOOT_LINE = "01234567-89ab-cdef-0123-456789abcdef\n"

IDLE_STATUS: dict[str, Any] = {
    "active_partition": {
        "image": {"arch": "x86_64", "variant": "aws-ecs-2", "version": "1.15.0"},
        "next_to_boot": True,
    },
    "available_updates": ["1.15.0"],
    "chosen_update": None,
    "most_recent_command": {
        "cmd_status": "Success",
        "cmd_type": "refresh",
        "exit_status": 0,
        "stderr": "",
        "timestamp": "2023-10-13T21:10:58.126609177Z",
    },
    "staging_partition": None,
    "update_state": "Idle",
}


def printed(status: Mapping[str, Any], boot: str = BOOT_LINE) -> str:
    """The output of the check document: the boot id, then the status as apiclient prints it."""
    return boot + json.dumps(status, indent=2) + "\n"
