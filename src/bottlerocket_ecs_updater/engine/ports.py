"""The engine's interfaces to AWS, time and storage: protocols, and the values that they exchange.

Methods that look raise `Throttled` or `Unreachable` if AWS does not answer (the pass is retried later), `Denied` if a
permission is missing and `NotFound` if a resource does not exist (the run ends).
Methods that act return a result per instance, so one bad instance never fails the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from bottlerocket_ecs_updater.core.model.auto_scaling import Launch, Membership
from bottlerocket_ecs_updater.core.model.calendars import CalendarState
from bottlerocket_ecs_updater.core.model.capacity_provider import CapacityProvider
from bottlerocket_ecs_updater.core.model.container_instance import (
    NAMELESS,
    LiveTask,
    ManagedNode,
    Registration,
    Status,
    Task,
    TaskEnd,
)
from bottlerocket_ecs_updater.core.model.event import Event
from bottlerocket_ecs_updater.core.model.host_report import cause_line
from bottlerocket_ecs_updater.core.model.ids import BootId, CommandId, ContainerInstanceArn, InstanceId, TaskArn
from bottlerocket_ecs_updater.core.model.instance import Machine, Node
from bottlerocket_ecs_updater.core.model.reboots import BoundTo
from bottlerocket_ecs_updater.core.model.resources import Definition, TypeLimits
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus, DocumentKind, PendingCommand
from bottlerocket_ecs_updater.core.model.services import Service
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.health import AlarmRule
from bottlerocket_ecs_updater.errors import UpdaterError


@dataclass(frozen=True, slots=True)
class Listing:
    """Container instances that ECS described, and those that it listed but did not describe, with the reason."""

    registrations: tuple[Registration, ...]
    undescribed: Mapping[ContainerInstanceArn, str]

    @property
    def dark(self) -> Mapping[ContainerInstanceArn, str]:
        """Instances in an unknown state. Container instances that are not EC2 instances are not among them."""
        return {arn: why for arn, why in self.undescribed.items() if why != NAMELESS}


@dataclass(frozen=True, slots=True)
class Done:
    """AWS confirmed the act."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The instance does not exist any more (MISSING, INACTIVE, TargetNotFound)."""

    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """AWS rejected the act for this instance. It took no effect, and a retry would not either."""

    why: str


@dataclass(frozen=True, slots=True)
class Later:
    """AWS throttled the call, or a transient fault came before any effect: retry it."""

    why: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """The reply was lost or was a server error: the act may have taken effect. Look before a retry."""

    why: str


Result = Done | Gone | Refused | Later | Unclear


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of sending a document. Every instance is in exactly one of the first six mappings."""

    commands: Mapping[InstanceId, CommandId]
    refused: Mapping[InstanceId, str]
    """Systems Manager rejects these instances (InvalidInstanceId, …); found by splitting the batch."""
    unclear: Mapping[InstanceId, str]
    """The reply was lost: the command may have been sent."""
    later: Mapping[InstanceId, str]
    """Throttled: it was not sent."""
    denied: Mapping[InstanceId, str] = field(default_factory=dict)
    """AWS denies the command for these instances, perhaps not for others. The value is AWS's message."""
    not_bound: Mapping[InstanceId, str] = field(default_factory=dict)
    """The reboot document takes no parameters, so it was not sent to these. The value says why."""
    lives: Mapping[CommandId, timedelta] = field(default_factory=dict)
    """Time from sending to expiry of each command, if Systems Manager reports it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A command's state on one instance, as Systems Manager reports it."""

    end: CommandStatus | None
    """None while it is pending, delayed or in progress."""
    exit_code: int
    stdout: str
    stderr: str
    detail: str
    """StatusDetails from Systems Manager."""
    took: timedelta | None = None
    """Time from the request to the end of its script, from Systems Manager; None if not reported."""

    @property
    def cause(self) -> str:
        """What the output says about the cause, in one line; without output, what Systems Manager says."""
        return cause_line(self.stdout, self.stderr) if self.stdout or self.stderr else self.detail


@dataclass(frozen=True, slots=True)
class FoundCommand:
    """A command that Systems Manager lists for an instance, from any sender."""

    command: CommandId
    sent_at: datetime
    """On our clock, corrected for the difference between the clocks if it is known."""
    life: timedelta | None
    """Time from sending to expiry; None if not reported."""
    answer: Answer | None
    """None if the command was just sent and nothing is reported yet."""
    boots: frozenset[BootId] = frozenset()
    """The boots that a reboot command is bound to; none if it is bound to none."""


class Cluster(Protocol):
    """One ECS cluster."""

    def list_all(self) -> Listing:
        """Describe all container instances, in any state except INACTIVE."""

    def describe(self, arns: Sequence[ContainerInstanceArn]) -> Listing:
        """Describe these container instances, 100 a call."""

    def all_tasks(self) -> Mapping[ContainerInstanceArn, tuple[Task, ...]]:
        """All tasks with desired status RUNNING, by container instance, without Fargate tasks."""

    def tasks_of(self, arns: Sequence[ContainerInstanceArn]) -> Mapping[ContainerInstanceArn, tuple[Task, ...]]:
        """The tasks with desired status RUNNING on each of these container instances.

        May include other instances, if listing the whole cluster took fewer calls.
        """

    def stopping_on(self, arns: Sequence[ContainerInstanceArn]) -> Mapping[ContainerInstanceArn, tuple[Task, ...]]:
        """The tasks on each whose desired status is STOPPED, and whose last status is not STOPPED yet.

        The instance's task counts do not include them, and their containers may still run.
        """

    def stopped(self, tasks: Sequence[TaskArn]) -> Mapping[TaskArn, datetime | None]:
        """The tasks among these that have stopped, on any instances, and when, if ECS says so. 100 a call."""

    def ended_of(self, service: str) -> Sequence[TaskEnd]:
        """How a service's tasks ended, for those that stopped within the last hour."""

    def alive_of(self, service: str) -> Sequence[LiveTask]:
        """The tasks of a service that should run, with their times, described now."""

    def alive_on(self, arn: ContainerInstanceArn) -> Sequence[LiveTask]:
        """The tasks on a container instance that should run, with their times, described now."""

    def services(self) -> tuple[Service, ...]:
        """All services of the cluster."""

    def set_status(self, arns: Sequence[ContainerInstanceArn], status: Status) -> Mapping[ContainerInstanceArn, Result]:
        """Set ACTIVE or DRAINING, ten a call."""

    def stop_tasks(self, tasks: Sequence[TaskArn]) -> None:
        """Stop these tasks; the next look shows which did. Raises Denied."""

    def put_attribute(
        self, name: str, values: Mapping[ContainerInstanceArn, str]
    ) -> Mapping[ContainerInstanceArn, Result]:
        """Write one custom attribute on each, ten a call. A rejected batch is split."""

    def delete_attribute(
        self, name: str, arns: Sequence[ContainerInstanceArn]
    ) -> Mapping[ContainerInstanceArn, Result]:
        """Remove one custom attribute from each, ten a call."""


class Hosts(Protocol):
    """The hosts, behind Systems Manager."""

    def activated(self) -> Sequence[Node]:
        """Nodes of hybrid activations in Systems Manager, from the first few pages."""

    def reach(self, instances: Sequence[InstanceId]) -> Mapping[InstanceId, ManagedNode]:
        """Ping status and version of these instances; those that Systems Manager does not know are left out."""

    def check_document_exists(self, kind: DocumentKind) -> None:
        """Check that the document of that kind exists, if the settings name one. Raises NotFound and Denied."""

    def send(
        self,
        kind: DocumentKind,
        instances: Sequence[InstanceId],
        replaces: Version | None = None,
        bound_to: BoundTo | None = None,
    ) -> Sent:
        """Send one of the documents, 50 instances a call. Not retried, because a reply may be lost.

        `replaces` is the staged version that an apply has to cancel first; None if there is none. `bound_to` is what
        hosts check before a reboot; if the document cannot check that, it is sent to none.

        Raises Denied if AWS denies the document itself.
        """

    def answers(self, command: CommandId, kind: DocumentKind) -> Mapping[InstanceId, Answer]:
        """A command's results; instances that Systems Manager does not list yet are left out."""

    def answers_to(
        self, commands: Mapping[CommandId, DocumentKind], along: Mapping[CommandId, DocumentKind]
    ) -> Mapping[CommandId, Mapping[InstanceId, Answer]]:
        """The same for several commands of any documents, if possible in fewer calls than commands.

        The results of the commands in `along` are included only if they come with the others.
        """

    def answers_on(
        self, instance: InstanceId, commands: Mapping[CommandId, DocumentKind]
    ) -> Mapping[CommandId, Mapping[InstanceId, Answer]]:
        """The same for several commands of any documents on one instance, if possible in one call."""

    def commands_in_progress(
        self, kind: DocumentKind, since: datetime | None = None
    ) -> Mapping[InstanceId, PendingCommand]:
        """Commands in progress for one of our documents, from any sender, optionally only those since a time."""

    def listed(
        self, kind: DocumentKind, since: datetime, instances: Collection[InstanceId]
    ) -> Mapping[InstanceId, Sequence[FoundCommand]]:
        """Commands for one of our documents that were sent to these instances since then, ended or not, oldest first.

        Other instances that the same commands were sent to may be included.
        """

    def cancel(self, command: CommandId, instances: Sequence[InstanceId]) -> None:
        """Cancel a command. Best effort: raises only Denied."""


class Survey(Protocol):
    """The extra AWS data that rules need. Every call may be denied, or not offered."""

    def memberships(self, instances: Sequence[InstanceId]) -> Mapping[InstanceId, Membership]:
        """Each instance's Auto Scaling group and lifecycle state, without refreshes."""

    def refreshing(self, groups: Sequence[str]) -> Mapping[str, datetime | None]:
        """Those of the groups with an active instance refresh, with when it started, if Auto Scaling says so."""

    def machines(self, instances: Sequence[InstanceId]) -> Mapping[InstanceId, Machine]:
        """These instances in EC2; those that EC2 does not return are left out."""

    def definition(self, arn: str) -> Definition:
        """What a task of this definition requires of an instance. A revision never changes."""

    def providers(self, names: Sequence[str]) -> Mapping[str, CapacityProvider]:
        """These capacity providers by name, with how many instances each may add; unknown ones are left out."""

    def type_limits(self, types: Sequence[str]) -> Mapping[str, TypeLimits]:
        """How many network interfaces and EBS volumes each instance type can have; unknown types are left out."""

    def alarms(self, rules: Sequence[AlarmRule]) -> Mapping[str, str]:
        """CloudWatch's state of every alarm that a rule names, by name, including composite alarms."""

    def calendar(self, arn: str) -> CalendarState:
        """Whether a change calendar is open now, and when that changes."""

    def published(self, parameters: Sequence[str]) -> Mapping[str, str]:
        """The values of these public parameters, by name; those that do not exist are left out."""

    def probes(self, urls: Sequence[str]) -> Mapping[str, str]:
        """Probe URLs, all within seconds. Returns why each is not healthy; empty for a 2xx status.

        Raises only what renewing the lease raises.
        """

    def protections(self, tasks: Sequence[TaskArn]) -> Mapping[TaskArn, datetime]:
        """The end of each task's protection; unprotected tasks are left out."""


class Successors(Protocol):
    """Other runs of the updater, for the host that this one runs on."""

    def call(self) -> None:
        """Request another run on another host. Raises UpdaterError if the request fails."""

    def placed(self) -> TaskArn | None:
        """The task of a run that was placed on another host since `call`; None if there is none yet."""


class LaunchReader(Protocol):
    """How instances are launched. Used only for advice, so a missing permission does no harm."""

    def launches(self, groups: Sequence[str]) -> Mapping[str, tuple[Launch, ...]]:
        """How each of these Auto Scaling groups launches instances."""


class Clock(Protocol):
    """Time. The engine never reads the system clock directly."""

    def now(self) -> datetime:
        """The current time in UTC, timezone-aware."""

    def sleep(self, span: timedelta) -> bool:
        """Sleep. Returns True after the whole time, False if a signal interrupted it."""


class Lease(Protocol):
    """The lease on the cluster, while a run holds it."""

    def keep(self) -> timedelta | None:
        """Renew the lease if due. Returns when to call again; None for any time.

        Raises LeaseLapsed if it lapsed and was not regained since, and LeaseLost if another run took it.
        """

    def check_before_act(self) -> None:
        """Raise LeaseLapsed or LeaseLost unless it is certain that no other run can hold the lease yet."""

    def regain(self) -> None:
        """Renew a lapsed lease. Raises LeaseLapsed if that fails for now, and LeaseLost if another run took it.

        Everything known before is stale: the run must look at everything again before it acts.
        """


class Counted(Protocol):
    """Calls per AWS operation, by name."""

    @property
    def throttled(self) -> int:
        """How many calls AWS throttled."""

    def keys(self) -> Iterable[str]: ...
    def __getitem__(self, operation: str, /) -> int: ...


class Recorder(Protocol):
    """Receives events."""

    def record(self, event: Event) -> None:
        """Receive one event. Called in order, on the engine's thread."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in the state store, and the tag that a conditional write must match."""

    data: bytes
    tag: str


ABSENT = ""
"""The expected tag of an object that must not exist."""


class Conflict(Exception):
    """The object is not as expected. Read it, then decide: it may be the writer's own write whose reply was lost."""


@dataclass
class Unconditional(UpdaterError):
    """The store writes although the condition of the write fails: the lease does not work there."""


class Store(Protocol):
    """Objects that outlast a run, with conditional writes: an S3 prefix, or a folder with the same semantics."""

    def get(self, key: str) -> Stored | None:
        """Read an object; None if it does not exist."""

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        """Write an object and return its new tag. `expect` is the tag it must have, `ABSENT`, or None for any.

        Raises Conflict if the object is not as expected.
        """

    def delete(self, key: str, expect: str | None) -> None:
        """Delete an object under the same condition."""

    def keys(self, prefix: str, after: str = "") -> Iterable[str]:
        """The keys under a prefix that sort after `after`, in order."""
