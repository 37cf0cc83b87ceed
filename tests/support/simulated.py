"""A run of the real engine and AWS code over a simulated world, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from bottlerocket_ecs_updater.aws.ecs import EcsCluster
from bottlerocket_ecs_updater.aws.ssm import SsmHosts
from bottlerocket_ecs_updater.aws.survey import AwsSurvey
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.core.model.event import Event, RunFinished
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import OwnTask, RunId
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.engine.lease.run_lease import RunLease
from bottlerocket_ecs_updater.engine.lease.task_lease import NoLease
from bottlerocket_ecs_updater.engine.ports import Store, Successors
from bottlerocket_ecs_updater.engine.run import Run
from bottlerocket_ecs_updater.engine.run_ports import Ports
from bottlerocket_ecs_updater.engine.safe_recorder import DiscardEvents
from bottlerocket_ecs_updater.engine.snapshot import take_snapshot
from bottlerocket_ecs_updater.engine.stop import Stop
from bottlerocket_ecs_updater.engine.store.ledger_store import LedgerKeeping, UnkeptLedger
from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Strategy
from bottlerocket_ecs_updater.simulator.faults import Fault, FaultPlan
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.services.documents import APPLY, CHECK, REBOOT
from bottlerocket_ecs_updater.simulator.world.findings import UpdaterLimits
from bottlerocket_ecs_updater.simulator.world.world import World

E = TypeVar("E", bound=Event)

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
OLD, NEW = "1.20.0", "1.21.0"
DOCUMENTS: Mapping[DocumentKind, str] = {
    DocumentKind.CHECK: CHECK,
    DocumentKind.APPLY: APPLY,
    DocumentKind.REBOOT: REBOOT,
}


@dataclass
class EngineClock:
    """The world's clock, as the engine sees it."""

    world: World

    def now(self) -> datetime:
        return self.world.clock.now()

    def monotonic(self) -> float:
        return self.world.clock.now().timestamp()

    def sleep(self, span: timedelta) -> bool:
        self.world.clock.sleep(span)
        return True


@dataclass
class Tape:
    """Keeps every event."""

    events: list[Event] = field(default_factory=list)

    def record(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


def instance_id(number: int) -> str:
    return f"i-{number:017x}"


def row(
    count: int,
    *,
    seed: int = 0,
    services: int = 2,
    tasks: int = 2,
    version: str = OLD,
    releases: tuple[str, ...] = (OLD, NEW),
    faults: Mapping[int, tuple[Fault, ...]] | None = None,
    plan: FaultPlan | None = None,
    budget: int | None = 1,
    **world_options: Any,
) -> World:
    """A healthy cluster of that many Bottlerocket hosts in three zones, with services and a daemon service."""
    repository = Repository()
    for release in releases:
        repository.publish(Release(release, "aws-ecs-2"))
    world = World(
        VirtualClock(),
        seed,
        repository=repository,
        faults=plan,
        budget=UpdaterLimits(budget) if budget is not None else None,
        validate_answers=True,
        **world_options,
    )
    for number in range(count):
        host = HostSpec(instance_id(number), version=version, faults=(faults or {}).get(number, ()))
        world.add_instance(host, ZONES[number % len(ZONES)])
    for number in range(services):
        world.add_service(ServiceSpec(f"web-{number}", desired=max(1, count * tasks // max(1, services))))
    world.add_service(ServiceSpec("agent", strategy=Strategy.DAEMON))
    world.clock.sleep(timedelta(minutes=2))
    return world


def survey_of(clients: InProcessClients, api: Api) -> AwsSurvey:
    """Surveys of one caller's clients."""
    return AwsSurvey(cast("Any", paired(clients)), api, "demo")


def paired(clients: InProcessClients) -> SimpleNamespace:
    """The clients that a survey uses, each for both looks and acts."""
    services = ("ecs", "autoscaling", "cloudwatch", "ec2", "ssm")
    return SimpleNamespace(**{service: Pair.of(clients.client(service)) for service in services})


@dataclass
class Updater:
    """One updater process in one world."""

    world: World
    policy: Policy = field(default_factory=Policy)
    name: str = "run-1"
    ledger: LedgerKeeping = field(default_factory=UnkeptLedger)
    lease: RunLease = field(default_factory=NoLease)
    tape: Tape = field(default_factory=Tape)
    calls: Calls = field(default_factory=Calls)
    stop: Stop = field(default_factory=Stop)
    clients: InProcessClients | None = None
    before_call: Callable[[bool], None] | None = None
    clock: EngineClock | None = None
    wake: timedelta = timedelta(seconds=15)
    store: Store | None = None
    documents: Mapping[DocumentKind, str] = field(default_factory=lambda: DOCUMENTS)
    own: OwnTask | None = None
    successors: Successors | None = None
    store_name: str = ""
    state: str = ""
    place: Location | None = None

    def run(self) -> RunFinished:
        clock = self.clock or EngineClock(self.world)
        clients = self.clients or InProcessClients(self.world, caller=self.name)
        api = Api(clock, CallPace(clock), self.calls)
        if self.before_call is not None:
            api.before_call = self.before_call
        ecs = EcsCluster(cast("Any", Pair.of(clients.ecs)), api, clock, "demo")
        ssm = SsmHosts(cast("Any", Pair.of(clients.ssm)), api, self.documents, "test")
        survey = survey_of(clients, api)
        talked_to = Ports(
            ecs,
            ssm,
            clock,
            self.ledger,
            self.lease,
            self.tape,
            self.store,
            survey,
            self.own,
            self.successors,
            self.store_name,
            self.state,
            self.place,
        )
        run = Run(
            RunId(self.name),
            "demo",
            talked_to,
            self.policy,
            stop=self.stop,
            wake=self.wake,
            version="test",
            calls=self.calls,
        )
        return run.execute()


def at_most(number: int) -> Policy:
    """The default policy with another budget."""
    return Policy(max_unavailable=Limit(number=number))


def snapshot_of(world: World, policy: Policy | None = None) -> Fleet:
    """The fleet of a world, as somebody who only looks sees it."""
    clients = InProcessClients(world, caller="ann")
    clock = EngineClock(world)
    api = Api(clock, CallPace(clock), Calls())
    ecs = EcsCluster(cast("Any", Pair.of(clients.ecs)), api, clock, "demo")
    ssm = SsmHosts(cast("Any", Pair.of(clients.ssm)), api, DOCUMENTS, "test")
    survey = survey_of(clients, api)
    ports = Ports(ecs, ssm, clock, UnkeptLedger(), NoLease(), DiscardEvents(), survey=survey)
    return take_snapshot(ports, policy or Policy())
