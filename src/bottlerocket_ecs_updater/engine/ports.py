"""The world as the engine knows it: protocols, and the values that cross them.

Every method that looks raises `Throttled` or `Unreachable` when AWS does not answer (the pass is taken again later),
`Denied` when a permission is missing and `NotFound` when what was named does not exist (the run ends).
Methods that act answer per instance: one bad instance never costs the others their turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from bottlerocket_ecs_updater.core.model.auto_scaling import Launch, Membership
from bottlerocket_ecs_updater.core.model.calendars import CalendarState
from bottlerocket_ecs_updater.core.model.capacity_provider import CapacityProvider
from bottlerocket_ecs_updater.core.model.container_instance import (
    NAMELESS,
    ManagedNode,
    Registration,
    Status,
    Task,
    TaskEnd,
)
from bottlerocket_ecs_updater.core.model.event import Event
from bottlerocket_ecs_updater.core.model.ids import CommandId, ContainerInstanceArn, InstanceId, TaskArn
from bottlerocket_ecs_updater.core.model.instance import Machine, Node
from bottlerocket_ecs_updater.core.model.resources import Definition
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus, DocumentKind, PendingCommand
from bottlerocket_ecs_updater.core.model.services import Service
from bottlerocket_ecs_updater.core.rules.health import AlarmRule


@dataclass(frozen=True, slots=True)
class Listing:
    """Container instances as described, and those that ECS lists but would not describe, with its reason."""

    registrations: tuple[Registration, ...]
    undescribed: Mapping[ContainerInstanceArn, str]

    @property
    def dark(self) -> Mapping[ContainerInstanceArn, str]:
        """Those of which nobody knows how they stand. What is no EC2 instance is left alone, and not one of them."""
        return {arn: why for arn, why in self.undescribed.items() if why != NAMELESS}


@dataclass(frozen=True, slots=True)
class Done:
    """AWS confirmed the act."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The instance is not there to act on (MISSING, INACTIVE, TargetNotFound)."""

    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """AWS refused this instance for good: the act took no effect, and will not when repeated."""

    why: str


@dataclass(frozen=True, slots=True)
class Later:
    """AWS refused for its rate, or for a passing fault that came before any effect: repeat it."""

    why: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """The reply was lost or was an error of the server: the act may have taken effect. Look before repeating."""

    why: str


Result = Done | Gone | Refused | Later | Unclear


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of sending a document to instances; every instance is in exactly one of these."""

    commands: Mapping[InstanceId, CommandId]
    refused: Mapping[InstanceId, str]
    """Systems Manager will not send to these (InvalidInstanceId, …), found by narrowing the batch down."""
    unclear: Mapping[InstanceId, str]
    """The reply was lost: the command may have been sent."""
    later: Mapping[InstanceId, str]
    """Throttled: it was not sent."""
    denied: Mapping[InstanceId, str] = field(default_factory=dict)
    """AWS allows no commands to these, though perhaps to others: which action, on which resource, in AWS's words."""
    lives: Mapping[CommandId, timedelta] = field(default_factory=dict)
    """How long after it was sent each command expires, where Systems Manager said so."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What Systems Manager says of one command on one instance."""

    end: CommandStatus | None
    """None while it is pending, delayed or under way."""
    exit_code: int
    stdout: str
    stderr: str
    detail: str
    """StatusDetails, as Systems Manager writes them."""
    took: timedelta | None = None
    """From the request to the end of its script, by the times that Systems Manager shows. None where it shows none."""


@dataclass(frozen=True, slots=True)
class FoundCommand:
    """A command that Systems Manager lists for an instance, whoever sent it."""

    command: CommandId
    sent_at: datetime
    """By our clock, as far as the two clocks could be compared."""
    life: timedelta | None
    """How long after it was sent it expires, None where that is not shown."""
    answer: Answer | None
    """None where it was only just sent, and nothing is shown of the instance yet."""


class Cluster(Protocol):
    """One ECS cluster."""

    def list_all(self) -> Listing:
        """All container instances in all pages, whatever their state, described."""

    def describe(self, arns: Sequence[ContainerInstanceArn]) -> Listing:
        """These container instances, described, 100 a call."""

    def all_tasks(self) -> Mapping[ContainerInstanceArn, tuple[Task, ...]]:
        """Every task whose desired status is RUNNING, by container instance; Fargate ones are left out."""

    def tasks_of(self, arns: Sequence[ContainerInstanceArn]) -> Mapping[ContainerInstanceArn, tuple[Task, ...]]:
        """The tasks on each of these container instances whose desired status is RUNNING, in all pages.

        Those of other instances may come along, where all of the cluster took fewer calls.
        """

    def stopping_on(self, arns: Sequence[ContainerInstanceArn]) -> Mapping[ContainerInstanceArn, tuple[Task, ...]]:
        """The tasks on each that ECS told to stop, and whose last status is not STOPPED yet.

        They are in no count of the instance, and their containers may still run.
        """

    def not_stopped(self, tasks: Sequence[TaskArn]) -> frozenset[TaskArn]:
        """Those of these tasks, on whatever instances, that have not stopped: one call for a hundred of them."""

    def ended_of(self, service: str) -> Sequence[TaskEnd]:
        """How tasks of a service ended that have stopped in the last hour, wherever they were."""

    def services(self) -> tuple[Service, ...]:
        """All services of the cluster."""

    def set_status(self, arns: Sequence[ContainerInstanceArn], status: Status) -> Mapping[ContainerInstanceArn, Result]:
        """Set ACTIVE or DRAINING, ten a call."""

    def stop_tasks(self, tasks: Sequence[TaskArn]) -> None:
        """Ask each to stop; the next look shows which did. Raises Denied where that is not permitted."""

    def put_attribute(
        self, name: str, values: Mapping[ContainerInstanceArn, str]
    ) -> Mapping[ContainerInstanceArn, Result]:
        """Write one custom attribute on each, ten a call; a refused batch is narrowed down."""

    def delete_attribute(
        self, name: str, arns: Sequence[ContainerInstanceArn]
    ) -> Mapping[ContainerInstanceArn, Result]:
        """Remove one custom attribute from each, ten a call."""


class Hosts(Protocol):
    """The hosts, behind Systems Manager."""

    def activated(self) -> Sequence[Node]:
        """Nodes that Systems Manager knows by hybrid activations, as far as a few pages tell."""

    def reach(self, instances: Sequence[InstanceId]) -> Mapping[InstanceId, ManagedNode]:
        """What Systems Manager knows of these instances; those that it does not know are left out."""

    def prove_document(self, kind: DocumentKind) -> None:
        """See that there is a document of that kind, where the settings name one. Raises NotFound and Denied."""

    def send(self, kind: DocumentKind, instances: Sequence[InstanceId]) -> Sent:
        """Send one of the documents, fifty a call. Never repeated by the transport: a reply may be lost.

        Raises Denied where AWS says that the document itself may not be sent.
        """

    def answers(self, command: CommandId, kind: DocumentKind) -> Mapping[InstanceId, Answer]:
        """What is known of a command; an instance that Systems Manager does not show yet is left out."""

    def answers_to(
        self, commands: Sequence[CommandId], kind: DocumentKind
    ) -> Mapping[CommandId, Mapping[InstanceId, Answer]]:
        """The same of several commands of one document, in fewer calls than there are commands where that can be."""

    def under_way(self, kind: DocumentKind, since: datetime | None = None) -> Mapping[InstanceId, PendingCommand]:
        """Commands of one of our documents, whoever sent them since then or ever, that have not ended."""

    def listed(self, kind: DocumentKind, since: datetime) -> Mapping[InstanceId, Sequence[FoundCommand]]:
        """Commands of one of our documents that were sent since then, ended or not, the oldest first."""

    def cancel(self, command: CommandId, instances: Sequence[InstanceId]) -> None:
        """Call a command back; best effort, never raises for an instance. Raises Denied."""


class Survey(Protocol):
    """What rules ask of AWS beside the state of the cluster; everything here may be denied, or not be offered."""

    def memberships(
        self, instances: Sequence[InstanceId], *, refreshes: bool = True
    ) -> Mapping[InstanceId, Membership]:
        """The Auto Scaling group of each, and its state there; with `refreshes`, whether that group is refreshed."""

    def machines(self, instances: Sequence[InstanceId]) -> Mapping[InstanceId, Machine]:
        """What EC2 shows of these instances; those that it does not show are left out."""

    def definition(self, arn: str) -> Definition:
        """What a task of this definition asks of an instance; a revision never changes."""

    def providers(self, names: Sequence[str]) -> Mapping[str, CapacityProvider]:
        """These capacity providers by name, and what each may still add; one of which AWS says nothing is left out."""

    def interfaces(self, types: Sequence[str]) -> Mapping[str, int]:
        """How many network interfaces an instance of each of these types has; unknown types are left out."""

    def alarms(self, rules: Sequence[AlarmRule]) -> Mapping[str, str]:
        """The state of every alarm that a rule names, as CloudWatch writes it, by name; composite alarms too."""

    def calendar(self, arn: str) -> CalendarState:
        """Whether a change calendar is open now, and when that changes."""

    def probes(self, urls: Sequence[str]) -> Mapping[str, str]:
        """Ask URLs, all within seconds, and say why each is not well; empty where its answer has a status of success.

        Raises nothing but what keeping the right to act raises.
        """

    def protections(self, tasks: Sequence[TaskArn]) -> Mapping[TaskArn, datetime]:
        """Until when each of these tasks is protected; those that are not are left out."""


class Successors(Protocol):
    """Other runs of the updater, for the host that this one runs on."""

    def call(self) -> None:
        """Ask that another run be started on another host. Raises UpdaterError where nobody could be asked."""

    def placed(self) -> TaskArn | None:
        """The task of a run that was placed on another host since `call`, None while there is none."""


class LaunchReader(Protocol):
    """How instances are started, for advice alone: whoever may not ask, or is not offered it, does without."""

    def launches(self, groups: Sequence[str]) -> Mapping[str, tuple[Launch, ...]]:
        """The ways in which each of these Auto Scaling groups starts instances."""


class Clock(Protocol):
    """Time. The engine never asks the machine."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""

    def sleep(self, span: timedelta) -> bool:
        """Wait, interruptibly. True when the whole span passed, False when a signal cut it short."""


class Lease(Protocol):
    """The right to act on the cluster, while a run lives."""

    def keep(self) -> timedelta | None:
        """Renew it when that is due, and say when to come again; None for whenever.

        Raises LeaseLapsed where it lapsed and was not regained since, and LeaseLost when it is gone.
        """

    def check_before_act(self) -> None:
        """Raises LeaseLapsed, or LeaseLost, unless it is certain that nobody else can have it yet."""

    def regain(self) -> None:
        """Ask again for one that lapsed. Raises LeaseLapsed while it cannot be had, and LeaseLost when it is gone."""


class Counted(Protocol):
    """How often each operation of AWS was asked for, by its name."""

    @property
    def throttled(self) -> int:
        """How many of them all AWS refused for their rate."""

    def keys(self) -> Iterable[str]: ...
    def __getitem__(self, operation: str, /) -> int: ...


class Recorder(Protocol):
    """Whoever wants to know what happened."""

    def record(self, event: Event) -> None:
        """Take note of one event; called in order, on the engine's own thread."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object of the state store, and the tag that a conditional write must match."""

    data: bytes
    tag: str


ABSENT = ""
"""The tag that expects that there is no such object."""


class Conflict(Exception):
    """The object is not as the writer expects. Read it, then decide: it may be its own write, whose reply was lost."""


class Store(Protocol):
    """Objects that outlast a run, with conditional writes: an S3 prefix, or a folder with the same semantics."""

    def get(self, key: str) -> Stored | None:
        """Read an object, None when there is none."""

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        """Write an object and give its new tag; `expect` is the tag it must have, `ABSENT`, or None for any.

        Raises Conflict when the object is not as expected.
        """

    def delete(self, key: str, expect: str | None) -> None:
        """Remove an object, under the same condition."""

    def keys(self, prefix: str, after: str = "") -> Iterable[str]:
        """The keys under a prefix that come after that one, in order."""
