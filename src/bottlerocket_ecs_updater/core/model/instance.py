"""One instance: everything that is known about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bottlerocket_ecs_updater.core.model.auto_scaling import Membership
from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.container_instance import (
    NAMELESS,
    PingStatus,
    Registration,
    Status,
    Task,
    Tasks,
)
from bottlerocket_ecs_updater.core.model.history import UNLISTED
from bottlerocket_ecs_updater.core.model.host_report import HostReport
from bottlerocket_ecs_updater.core.model.ids import (
    ContainerInstanceArn,
    InstanceId,
    TaskArn,
    Zone,
)
from bottlerocket_ecs_updater.core.model.outcome import Backoff
from bottlerocket_ecs_updater.core.model.reboots import SentReboot
from bottlerocket_ecs_updater.core.model.run_command import CheckAnswer, CommandResult, PendingCommand
from bottlerocket_ecs_updater.core.model.run_progress import RunProgress
from bottlerocket_ecs_updater.core.model.version import Version


@dataclass(frozen=True, slots=True)
class Machine:
    """The instance as EC2 describes it. Read only for instances that ECS or Systems Manager cannot reach."""

    state: str
    """As EC2 writes it: `running`, `stopped`, …; empty if EC2 does not know the instance."""
    managed: bool = False
    """Whether an AWS service operates it. In an ECS cluster, these are the Managed Instances.

    EC2 names the service, but AWS does not document the name.
    """
    address: str = ""
    """Its private IPv4 address."""
    unknown_looks: int = 0
    """How many looks in a row found that EC2 does not know the instance."""
    started_at: datetime | None = None
    """When it was last launched, or started after a stop; None if EC2 does not say. A reboot does not count."""
    stopped_at: datetime | None = None
    """When this run first saw that it was stopped; None if it did not."""

    @property
    def stopped(self) -> bool:
        """Whether it is stopped. It comes back only if somebody starts it."""
        return self.state in ("stopping", "stopped")

    @property
    def terminated(self) -> bool:
        """Whether it is terminated. EC2 forgets a terminated instance after about an hour."""
        return self.ended or not self.state

    @property
    def ended(self) -> bool:
        """Whether EC2 shows its end. Nothing undoes that, whatever ECS still shows of its agent."""
        return self.state in ("shutting-down", "terminated")

    @property
    def certainly_terminated(self) -> bool:
        """The same, but EC2 must have missed it in more than one look, because EC2's answers may lag."""
        return self.terminated and (bool(self.state) or self.unknown_looks > 1)


@dataclass(frozen=True, slots=True)
class Node:
    """A node that registered with Systems Manager through a hybrid activation, under its own id."""

    id: str
    """`mi-…`."""
    address: str = ""
    bottlerocket: bool = False
    """Whether its agent reports Bottlerocket as its platform. Versions before 1.7.0 never report it."""


@dataclass(frozen=True, slots=True)
class SurveyedFacts:
    """What a survey found around one instance: Auto Scaling, EC2 and task protection."""

    at: datetime
    membership: Membership | None = None
    """None if Auto Scaling was not asked or did not answer."""
    group: str = ""
    """The last group that it was seen in. Auto Scaling forgets an instance when it is terminated."""
    group_at: datetime | None = None
    """When its group last answered, or turned out not to be readable at all; None if neither happened yet."""
    group_missed_since: datetime | None = None
    """Since when no read of its group has been answered; None if the last one was."""
    warm_at: datetime | None = None
    """When its group last said that it keeps the instance in its warm pool; None if it never did in this run."""
    leaving_since: datetime | None = None
    """Since when every answer of its group has said that it terminates the instance; None if the last one did not."""
    machine: Machine | None = None
    """None if EC2 was not asked about it or did not answer."""
    managed: bool = False
    """Whether its capacity provider is one of ECS Managed Instances, as far as providers were read."""
    protected: Mapping[TaskArn, datetime] = field(default_factory=dict)
    """Until when tasks on it are protected."""
    asked_at: datetime | None = None
    """When all of it was last read together, as is done before a drain; None if never."""
    unanswered: str = ""
    """What a rule needs that AWS did not answer then, and why; empty if it answered everything."""
    unanswered_since: datetime | None = None
    """Since when every survey has missed something."""


@dataclass(frozen=True, slots=True)
class Instance:
    """Everything we know about one EC2 instance of the cluster."""

    id: InstanceId
    registration: Registration | None = None
    """None if ECS did not list or describe it at the last full look."""
    undescribed: str = ""
    """ECS's reason for not describing it."""
    reach: PingStatus = PingStatus.UNKNOWN
    ping: str = ""
    """Its ping status as Systems Manager writes it; empty if Systems Manager does not know it."""
    node: str = ""
    """The other id under which Systems Manager knows it, or may know it; empty if there is none."""
    shown_version: Version | None = None
    """The version that Systems Manager shows. For people to read; decisions never use it."""
    check_answer: CheckAnswer | None = None
    pending: PendingCommand | None = None
    applied: CommandResult | None = None
    """The last apply that ended."""
    reboots: tuple[SentReboot, ...] = ()
    """The reboots that may have been sent under its claim. A pending one does not stop checks."""
    before_drain_result: CommandResult | None = None
    """The last result of the before-drain document."""
    after_reboot_result: CommandResult | None = None
    """The last result of the after-reboot document since the reboot was requested."""
    send_refused: str = ""
    send_denied: str = ""
    """The error of AWS when it denied the last command to it; empty if it did not."""
    check_denied: bool = False
    """Whether AWS denied the last check of it."""
    claim: Claim | None = None
    """Our claim, from the instance itself or from the copy in the state store."""
    claimed_arn: ContainerInstanceArn | None = None
    """The container instance ARN under which it was claimed, by this run or according to the state store."""
    left_claim: Claim | None = None
    """The claim that an earlier run dropped because its group was terminating it; `claimed_arn` belongs to it."""
    claim_on_instance: bool = False
    claim_unreadable: str = ""
    backoff: Backoff | None = None
    tasks: Tasks | None = None
    stopping: Tasks | None = None
    """The tasks with desired status STOPPED that had not stopped, which `tasks` lacks unless we drain the instance.

    Read only while the history names blockers; None if they were not read.
    """
    around: SurveyedFacts | None = None
    """None if it was not surveyed."""
    progress: RunProgress = field(default_factory=RunProgress)

    @property
    def bottlerocket(self) -> bool:
        """Whether it is a Bottlerocket host; true also for a claimed one that is not registered now."""
        if self.registration is None:
            return self.claim is not None
        return self.registration.variant is not None

    @property
    def registered(self) -> bool:
        """Whether it is registered in the cluster. ECS shows a terminated or deregistered one as INACTIVE."""
        return self.registration is not None and self.registration.status is not Status.INACTIVE

    @property
    def report(self) -> HostReport | None:
        """The report of its host; None if the last check gave none."""
        return self.check_answer.report if self.check_answer is not None else None

    @property
    def type(self) -> str:
        """Its EC2 instance type; empty if that is not known."""
        return self.registration.type if self.registration is not None else ""

    @property
    def tasks_left(self) -> tuple[Task, ...]:
        """The tasks on it that are not STOPPED; empty also if they were not read."""
        return self.tasks.left if self.tasks is not None else ()

    @property
    def services_to_move(self) -> Mapping[str, int]:
        """How many tasks of each service a drain has to move, by service name: none of daemon services."""
        return Counter(task.service for task in self.tasks_left if task.service and not task.daemon)

    @property
    def tasks_stopping(self) -> tuple[Task, ...]:
        """The tasks on it that were being stopped at the last list of those; empty also if they were not listed."""
        return self.stopping.left if self.stopping is not None else ()

    @property
    def lists_too_few(self) -> bool:
        """Whether ECS counts more tasks on it than it lists, with those that are stopping. The list is as new."""
        registration, tasks = self.registration, self.tasks
        if registration is None or tasks is None or tasks.at < registration.at:
            return False
        return registration.counted_tasks > len(tasks.left) + len(self.tasks_stopping)

    def names_of(self, tasks: Iterable[Task]) -> frozenset[str]:
        """The groups and families of these tasks of it, and `UNLISTED` if ECS counts more tasks than it lists."""
        unlisted = [UNLISTED] if self.lists_too_few else []
        return frozenset([*(name for task in tasks for name in task.names), *unlisted])

    @property
    def membership(self) -> Membership | None:
        """Its Auto Scaling group; None if that was not read."""
        return self.around.membership if self.around is not None else None

    @property
    def machine(self) -> Machine | None:
        """The instance as EC2 describes it; None if that was not read."""
        return self.around.machine if self.around is not None else None

    @property
    def managed(self) -> bool:
        """Whether it is an ECS Managed Instance, according to EC2 or its capacity provider."""
        return (self.machine is not None and self.machine.managed) or (self.around is not None and self.around.managed)

    @property
    def phase_began(self) -> datetime:
        """When the phase of its claim began, from which its limits count. Only for claimed instances.

        A wrong clock may have written a time in the future. Then the time when this run first saw it counts. The time
        in a warm pool does not count: nothing can be done there.
        """
        assert self.claim is not None
        began = min(self.claim.since, self.progress.phase_seen_at or self.claim.since)
        warm_at = self.around.warm_at if self.around is not None else None
        return began if warm_at is None else max(began, warm_at)

    @property
    def unknown(self) -> bool:
        """Whether ECS listed it but did not describe it at the last look, so that its state is not known."""
        return self.undescribed not in ("", NAMELESS)

    @property
    def zone(self) -> Zone:
        """Its availability zone; empty if unknown."""
        return self.registration.zone if self.registration else Zone("")
