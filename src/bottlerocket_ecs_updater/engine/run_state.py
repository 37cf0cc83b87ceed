"""What the run knows: the latest result from every source, updated with each look.

Mutable, and used only by the engine. Decisions get a frozen `Fleet`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TypeVar

from bottlerocket_ecs_updater.core.decision.affected import worst_of
from bottlerocket_ecs_updater.core.decision.not_counted import is_kept_warm
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.fleet import DAEMONS, NO_SERVICE, Durations, Fleet
from bottlerocket_ecs_updater.core.model.history import RecordedDurations
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, InstanceId, ServiceArn, TaskArn
from bottlerocket_ecs_updater.core.model.instance import Instance, SurveyedFacts
from bottlerocket_ecs_updater.core.model.outcome import Backoff
from bottlerocket_ecs_updater.core.model.resources import Definition
from bottlerocket_ecs_updater.core.model.services import Service, Slot
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.ledger import Ledger, OpenClaim
from bottlerocket_ecs_updater.engine.document_denials import DocumentDenials
from bottlerocket_ecs_updater.engine.usual_duration import UsualDuration, UsualReboots, UsualStops
from bottlerocket_ecs_updater.errors import UpdaterError

V = TypeVar("V")

SEEN_TO_BEGIN, OVER_UNSEEN, VERIFIED_TWICE = "seen_to_begin", "over_unseen", "proven_twice"
"""How a reboot was verified: the agent was seen disconnected, or it was back before a look; and by a later check too.
"""


@dataclass(frozen=True, slots=True)
class Baseline:
    """How services behave by themselves: before this run's first drain, and where they flap without a cause."""

    worst: Mapping[ServiceArn, int] = field(default_factory=dict)
    """The most tasks that each service lacked, or lost at once."""
    starts: Mapping[ServiceArn, int] = field(default_factory=dict)
    """How many tasks each service started by itself in the last hour."""
    flapping: frozenset[str] = frozenset()
    """Services that lost tasks by themselves."""
    losing: frozenset[str] = frozenset()
    """Services that started a task by themselves in the last hour, even if only one. They may have been scaled up."""
    looks: int = 0
    """How many looks at services were taken."""

    def after(self, found: Collection[Service]) -> Baseline:
        """The baseline after one more look at the services."""
        return replace(
            self.with_worst(found),
            starts={one.arn: one.extra_starts for one in found},
            flapping=self.flapping | {one.name for one in found if one.flaps_by},
            losing=self.losing | {one.name for one in found if one.extra_starts},
            looks=self.looks + 1,
        )

    def with_worst(self, found: Iterable[Service]) -> Baseline:
        """The baseline in which what these services lack now counts as usual."""
        return replace(self, worst=worst_of(self.worst, found))


@dataclass(slots=True)
class RunState:
    """Everything that the run has learned so far."""

    fleet: Fleet
    """The state of the cluster, as decisions see it. Its instances are a view of `instances`."""
    instances: dict[InstanceId, Instance] = field(default_factory=dict)
    arns: dict[ContainerInstanceArn, InstanceId] = field(default_factory=dict)
    baseline: Baseline = Baseline()
    drained: bool = False
    """Whether this run has drained an instance: tasks that services lack since then may be its effect."""
    stopped: dict[InstanceId, dict[str, datetime]] = field(default_factory=dict)
    """When the last task of each service, and of all daemon services, stopped on an instance that is being drained."""
    returned: tuple[Slot, ...] = ()
    """Slots of the instances that returned within `daemon_start`, as they were then, even if settled since."""
    daemon_start: timedelta = timedelta()
    drains: UsualDuration = field(default_factory=lambda: UsualDuration(timedelta(seconds=5), timedelta(minutes=2)))
    stops: UsualStops = field(default_factory=lambda: UsualStops(timedelta(minutes=2)))
    reboots: UsualReboots = field(default_factory=lambda: UsualReboots(timedelta(seconds=5), timedelta(minutes=2)))
    verifications: Mapping[str, int] = field(default_factory=dict)
    """How this run's reboots were verified: see `RunFinished.reboots`."""
    listed_whole: bool = False
    """Whether the last listing described every instance."""
    documents: DocumentDenials = field(default_factory=DocumentDenials)
    first_run: bool = False
    """Whether no run of this cluster kept anything before."""
    backoffs: Mapping[InstanceId, Backoff] = field(default_factory=dict)
    """Backoffs from earlier runs, also of instances that may have left the cluster since."""
    left: Mapping[InstanceId, OpenClaim] = field(default_factory=dict)
    """Dropped claims of instances that earlier runs left DRAINING to their groups, and that may be gone since."""
    learned: Ledger | None = None
    """The last ledger that was learned: most looks find it unchanged."""
    touched: set[InstanceId] = field(default_factory=set)
    """Instances that changed since the last decision."""

    def __post_init__(self) -> None:
        self.fleet = replace(self.fleet, instances=MappingProxyType(self.instances))

    def instance(self, id_: InstanceId) -> Instance:
        """What is known about an instance; an empty one if nothing is known."""
        return self.instances.get(id_) or self._new(id_)

    def _new(self, id_: InstanceId) -> Instance:
        instance, left = Instance(id_, backoff=self.backoffs.get(id_)), self.left.get(id_)
        return instance if left is None else replace(instance, left_claim=left.claim, claimed_arn=left.arn)

    def learn(self, instance: Instance) -> None:
        """Replace what is known about an instance."""
        self.instances[instance.id] = instance
        self.touched.add(instance.id)
        if instance.registration is not None:
            self.arns[instance.registration.arn] = instance.id

    @property
    def now(self) -> datetime:
        """When the current look began: all that it reads counts as read then."""
        return self.fleet.at

    def around(self, id_: InstanceId) -> SurveyedFacts:
        """What was surveyed about an instance; empty facts of now if nothing was."""
        return self.instance(id_).around or SurveyedFacts(self.now)

    def learn_around(self, id_: InstanceId, around: SurveyedFacts) -> None:
        """Replace what was surveyed about an instance."""
        self.learn(replace(self.instance(id_), around=around))

    def arn_of(self, id_: InstanceId) -> ContainerInstanceArn | None:
        """The ARN under which the instance was last described; None if it is not registered."""
        registration = self.instance(id_).registration
        return registration.arn if registration is not None else None

    def by_instance(self, results: Mapping[ContainerInstanceArn, V]) -> dict[InstanceId, V]:
        """Convert results by container instance ARN to results by instance id."""
        return {self.arns[arn]: result for arn, result in results.items() if arn in self.arns}

    @property
    def in_progress(self) -> bool:
        """Whether any instance is claimed and its update not finished."""
        claims = (one.claim for one in self.instances.values() if not is_kept_warm(one))
        return any(claim is not None and claim.phase is not ClaimPhase.QUARANTINED for claim in claims)

    def block_denied(self, problem: UpdaterError, *, hosts_denied: bool = False) -> None:
        """Start no more updates, because AWS denies a needed call. Claimed instances are finished without it."""
        self.block(str(problem))
        self.fleet = replace(self.fleet, hosts_denied=self.fleet.hosts_denied or hosts_denied)

    def block(self, why: str) -> None:
        """Start no more updates, unless `why` is empty. The first reason counts."""
        if why and not self.fleet.blocked:
            self.fleet = replace(self.fleet, blocked=why)

    def learn_ledger(self, ledger: Ledger) -> None:
        """Know what the ledger has about earlier updates, including those of this run."""
        if ledger is not self.learned:
            self.learned = ledger
            self.fleet = replace(self.fleet, past=ledger.past, suspects=ledger.suspects)

    def learn_definition(self, arn: str, definition: Definition) -> None:
        """Add a task definition, unless they cannot be read in this run."""
        if self.fleet.definitions is not None:
            self.fleet = replace(self.fleet, definitions={**self.fleet.definitions, arn: definition})

    def reported_versions(self) -> set[Version]:
        """The versions that hosts reported since the last decision: those that they run or are offered."""
        reports = (
            check_answer.report for id_ in self.touched if (check_answer := self.instance(id_).check_answer) is not None
        )
        named = ((report.running, report.target, report.chosen) for report in reports if report is not None)
        return {version for each in named for version in each if version is not None}

    def reported_offers(self) -> dict[InstanceId, Version | None]:
        """The newer versions that hosts reported since the last decision that they are offered; None for none."""
        answers = ((id_, self.instance(id_).check_answer) for id_ in self.touched)
        reports = {id_: answer.report for id_, answer in answers if answer is not None and answer.report is not None}
        return {
            id_: report.target if report.target is not None and report.target > report.running else None
            for id_, report in reports.items()
        }

    def note_verification(self, instance: Instance) -> None:
        """Count how the reboot of a returning instance was verified."""
        progress, check_answer = instance.progress, instance.check_answer
        if progress.new_boot is None or check_answer is None:
            return
        ways = {
            SEEN_TO_BEGIN: progress.away_at is not None,
            OVER_UNSEEN: progress.away_at is None,
            VERIFIED_TWICE: check_answer.asked_at > progress.new_boot.asked_at,
        }
        self.verifications = {way: self.verifications.get(way, 0) + int(taken) for way, taken in ways.items()}

    def take_slot(self, slot: Slot) -> None:
        """Occupy a slot for a returned instance until the services have settled."""
        self.fleet = replace(self.fleet, slots=(*self.fleet.slots, slot))
        self.returned = (*self._lately(slot.returned_at), slot)

    def _lately(self, now: datetime) -> tuple[Slot, ...]:
        return tuple(slot for slot in self.returned if now - slot.returned_at < self.daemon_start)

    def trim_slots(self, keep: Callable[[Slot], bool]) -> tuple[Slot, ...]:
        """Remove the slots that have settled, and return them."""
        slots = self.fleet.slots
        freed = tuple(slot for slot in slots if not keep(slot))
        self.fleet = replace(self.fleet, slots=tuple(slot for slot in slots if keep(slot)))
        return freed

    def note_stopped(self, instance: Instance, ended: Mapping[TaskArn, datetime | None]) -> None:
        """Learn which of its tasks have stopped, and when."""
        stops = self.stopped.setdefault(instance.id, {})
        for task in instance.tasks_left:
            at, name = ended.get(task.arn), DAEMONS if task.daemon else task.service
            if at is not None and name:
                stops[name] = max(at, stops.get(name, at))
        drain = instance.progress.drain
        if drain is not None and any(task.arn not in ended for task in instance.tasks_left):
            self.drains.note_not_over(instance.id, drain.at, self.fleet.at)

    def note_reboot_early(self, instance: Instance) -> None:
        """A look found it disconnected."""
        sent = instance.progress.reboot_sent_at
        if sent is not None:
            self.reboots.of(instance.type).note_not_over(instance.id, sent, self.fleet.at)

    def learn_drain(self, instance: Instance) -> None:
        """Learn from how long the tasks took to stop. ECS has another clock, so none counts for more than the drain."""
        drain, stops = instance.progress.drain, self.stopped.pop(instance.id, {})
        if drain is None:
            return
        took = {name: min(max(at - drain.at, timedelta()), self.fleet.at - drain.at) for name, at in stops.items()}
        daemons = took.pop(DAEMONS, None)
        for name, one in took.items():
            self.stops.note(name, one)
        if daemons is not None:
            after = max(daemons - max(took.values(), default=timedelta()), timedelta())
            self.stops.note(DAEMONS if drain.moving else NO_SERVICE, after)
        answer = instance.check_answer
        checked = answer.at - answer.asked_at if answer is not None and answer.asked_at > drain.at else timedelta()
        self.drains.note_over(instance.id, drain.at, self.fleet.at - drain.at - checked / 2)
        self._learned()

    def learn_reboot(self, instance: Instance) -> None:
        """Learn from how long the reboot took."""
        sent, new_boot = instance.progress.reboot_sent_at, instance.progress.new_boot
        if sent is not None and new_boot is not None:
            self.reboots.of(instance.type).note_over(instance.id, sent, new_boot.asked_at - sent)
            self._learned()

    def expect(self, recorded: RecordedDurations) -> None:
        """Expect reboots to take as long as in earlier runs."""
        self.reboots.begin_with(recorded.reboots)
        self._learned()

    def _learned(self) -> None:
        durations = Durations(self.drains.usual, self.stops.usual, self.reboots.usual, self.reboots.earlier)
        self.fleet = replace(self.fleet, durations=durations)
