"""One rollout in virtual time: the real engine and AWS code, with its lease, ledger and record in a simulated bucket.

CPU time is split: the time of the simulated world is measured separately and does not count.
"""

from __future__ import annotations

import gc
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from benchmarks.hosts import Size, cluster
from benchmarks.rough import latency, rough_cluster
from benchmarks.stopwatch import Lap, Stopwatch
from bottlerocket_ecs_updater.aws.ecs import EcsCluster
from bottlerocket_ecs_updater.aws.s3_store import S3Store
from bottlerocket_ecs_updater.aws.ssm import SsmHosts
from bottlerocket_ecs_updater.aws.survey import AwsSurvey
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.operation import Operation, ThrottleBucket
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.cli.commands.run import MADE_BEFORE_COLLECTED
from bottlerocket_ecs_updater.core.model.event import Event, LeaseTaken
from bottlerocket_ecs_updater.core.model.history import RecordedDurations
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.engine import run as engine_run
from bottlerocket_ecs_updater.engine.lease.run_lease import RunLease, Taken
from bottlerocket_ecs_updater.engine.lease.store_lease import StoreLease, lease_key
from bottlerocket_ecs_updater.engine.ports import Recorder
from bottlerocket_ecs_updater.engine.run import Run
from bottlerocket_ecs_updater.engine.run_ports import Ports
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger
from bottlerocket_ecs_updater.report.outputs.archive import Archive
from bottlerocket_ecs_updater.report.outputs.fleet_page import FleetPage
from bottlerocket_ecs_updater.report.record.record import Record
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.services.documents import APPLY, CHECK, REBOOT

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.world.findings import Findings
    from bottlerocket_ecs_updater.simulator.world.world import World

RUN, EARLIER_RUN = RunId("benchmark"), RunId("earlier")
STATE = "state"
DOCUMENTS: Mapping[DocumentKind, str] = {
    DocumentKind.CHECK: CHECK,
    DocumentKind.APPLY: APPLY,
    DocumentKind.REBOOT: REBOOT,
}
LEASE = timedelta(minutes=3)
"""The default of `run`."""
PLACE = Location("123456789014", "us-east-1", "demo")
"""With a location, people's acts on versions are read, as in `run`."""
STATE_OF = str(PLACE)
"""The name under which the state of the cluster is stored."""

NO_DURATIONS = RecordedDurations()
"""The first run of a cluster knows none."""

AFTERWARDS = timedelta(minutes=1)
"""Time for what the last host started to end, such as the start of its daemon tasks."""

SERVICES_LISTED_EVERY = timedelta(minutes=10)
"""The defaults of `run`."""

BUCKETS: Mapping[str, ThrottleBucket] = {operation.title: operation.bucket for operation in Operation}
ECS_BUCKETS = (
    ThrottleBucket.CLUSTER_RESOURCE_READ,
    ThrottleBucket.CLUSTER_RESOURCE_MODIFY,
    ThrottleBucket.SERVICE_READ,
)


@dataclass
class Traffic:
    """The calls of one caller, by operation, and by bucket in any second."""

    by_operation: Counter[str] = field(default_factory=Counter)
    moments: dict[ThrottleBucket, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    cancelled: list[tuple[str, str]] = field(default_factory=list)
    """Each command with each instance that it was cancelled for."""
    read: Counter[str] = field(default_factory=Counter)
    """How often each object of the state store was read."""

    def note(self, operation: str, at: datetime, params: Mapping[str, Any]) -> None:
        """Count one call, such as `ecs:ListTasks`."""
        self.by_operation[operation] += 1
        match operation:
            case "ssm:CancelCommand":
                self.cancelled += [(params["CommandId"], id_) for id_ in params.get("InstanceIds", ())]
            case "s3:GetObject":
                self.read[params["Key"]] += 1
            case _:
                pass
        self.moments[BUCKETS.get(operation, ThrottleBucket.MESSAGES)].append(at)

    def of(self, *services: str) -> int:
        """How many calls went to these services."""
        return sum(count for name, count in self.by_operation.items() if name.partition(":")[0] in services)

    def peak(self, bucket: ThrottleBucket) -> int:
        """The most calls to a bucket in any second, wherever the second begins."""
        moments, most, first = self.moments[bucket], 0, 0
        for place, moment in enumerate(moments):
            while moment - moments[first] >= timedelta(seconds=1):
                first += 1
            most = max(most, place - first + 1)
        return most


@dataclass
class Effort:
    """Processor time in seconds, by who took it."""

    world: float = 0.0
    decisions: list[float] = field(default_factory=list)
    total: float = 0.0

    @property
    def updater(self) -> float:
        """The CPU time of the updater itself."""
        return self.total - self.world


@dataclass(frozen=True)
class Rolled:
    """The result of one rollout."""

    size: Size
    settle: timedelta
    took: timedelta
    laps: Sequence[Lap]
    names: Sequence[str]
    traffic: Traffic
    seen: Findings
    moves: int
    events: Sequence[Event]
    effort: Effort
    timeline: Sequence[tuple[timedelta, int]]
    """How many hosts ran the new version, by time since the start."""
    recorded: RecordedDurations
    """What the run left in the ledger for later ones."""


class VirtualTime:
    """The world's clock, as the engine sees it. CPU time of the world does not count as the updater's."""

    def __init__(self, world: World, effort: Effort) -> None:
        self._world = world
        self._effort = effort

    def now(self) -> datetime:
        """The time in the world."""
        return self._world.clock.now()

    def monotonic(self) -> float:
        """The time in the world, in seconds."""
        return self._world.clock.now().timestamp()

    def sleep(self, span: timedelta) -> bool:
        """Let the world's time pass."""
        began = time.process_time()
        self._world.clock.sleep(span)
        self._effort.world += time.process_time() - began
        return True


def roll(
    size: Size,
    *,
    settle: timedelta = timedelta(seconds=60),
    seed: int = 1,
    earlier: RecordedDurations = NO_DURATIONS,
) -> Rolled:
    """Roll out an update in a cluster of that size with the default policy, except the budget and the settle time.

    `earlier` are the durations that earlier runs recorded; none for the first run of a cluster.
    """
    world = rough_cluster(size, seed) if size.rough else cluster(size, seed)
    world.s3.create_bucket({"Bucket": STATE})
    watch, traffic, effort = Stopwatch(world), Traffic(), Effort()
    policy = Policy(max_unavailable=Limit(number=size.budget), settle=settle)
    # The collector would also go through the world's objects, and that time would count as the updater's.
    gc.collect()
    gc.freeze()
    usual = gc.get_threshold()
    gc.set_threshold(MADE_BEFORE_COLLECTED)
    began_at, began = world.clock.now(), time.process_time()
    events, recorded = _run(world, policy, earlier, traffic, effort, latency(seed) if size.rough else None)
    effort.total = time.process_time() - began
    gc.set_threshold(*usual)
    gc.unfreeze()
    took = world.clock.now() - began_at
    world.clock.sleep(AFTERWARDS)
    seen = world.findings()
    assert seen.clean, (seen.violations[:3], seen.stranded[:3])
    timeline = sorted(lap.back - began_at for lap in watch.laps.values() if lap.back is not None)
    return Rolled(
        size=size,
        settle=settle,
        took=took,
        laps=[lap for lap in watch.laps.values() if lap.done],
        names=[name for name, lap in watch.laps.items() if lap.done],
        traffic=traffic,
        seen=seen,
        moves=seen.task_moves,
        events=events,
        effort=effort,
        timeline=[(at, number) for number, at in enumerate(timeline, 1)],
        recorded=recorded,
    )


def _run(
    world: World,
    policy: Policy,
    earlier: RecordedDurations,
    traffic: Traffic,
    effort: Effort,
    latency: Callable[[], timedelta] | None,
) -> tuple[Sequence[Event], RecordedDurations]:
    """Do the same as `run`, wired to the world in process, with calls that take `latency`.

    Returns all events, and the durations in the ledger.
    """
    clock = VirtualTime(world, effort)
    clients = InProcessClients(world, caller=RUN)
    _leave(earlier, S3Store(cast("Any", Pair.of(clients.s3)), Api(clock, CallPace(clock), Calls()), STATE))
    if latency is not None:
        draw = latency

        def late(*_: object) -> None:
            world.clock.sleep(draw())

        clients.before_call = late
    _measure_calls(world, traffic, effort)
    calls, pace = Calls(), CallPace(clock)
    api, own = Api(clock, pace, calls), Api(clock, pace, calls)
    store = S3Store(cast("Any", Pair.of(clients.s3)), own, STATE)
    ledger = KeptLedger(store, STATE_OF, RUN)
    tape = _Tape(store)
    lease = _held_lease(store, clock, tape)

    def before_call(acting: bool) -> None:  # noqa: FBT001 - the hook's form
        lease.keep()
        tape.record_.tick(clock.now())
        if acting:
            tape.record_.secure()
            lease.check_before_act()

    api.before_call = before_call
    name = world.cluster.name
    ecs = EcsCluster(cast("Any", Pair.of(clients.ecs)), api, clock, name, SERVICES_LISTED_EVERY)
    ssm = SsmHosts(cast("Any", Pair.of(clients.ssm)), api, DOCUMENTS, "benchmark")
    services = ("ecs", "autoscaling", "cloudwatch", "ec2", "ssm")
    asked = SimpleNamespace(**{service: Pair.of(clients.client(service)) for service in services})
    survey = AwsSurvey(cast("Any", asked), api, name)
    talked_to = Ports(
        ecs, ssm, clock, ledger, lease, tape, store, survey, state=STATE_OF, place=PLACE, published=tape.page.keep
    )
    with _DecisionsTimed(effort):
        finished = Run(RUN, name, talked_to, policy, wake=LEASE / 4, version="benchmark", calls=calls).execute()
    lease.release()
    assert finished.exit_code == 0, (finished.outcome, finished.why)
    assert finished.counts["updated"] == len(world.hosts), finished.counts
    return tape.events, ledger.value.recorded


def _leave(earlier: RecordedDurations, store: S3Store) -> None:
    """Write the ledger as earlier runs would have left it."""
    if earlier != NO_DURATIONS:
        ledger = KeptLedger(store, STATE_OF, EARLIER_RUN)
        ledger.change(lambda empty: replace(empty, recorded=earlier))
        ledger.flush()


def _held_lease(store: S3Store, clock: VirtualTime, tape: Recorder) -> RunLease:
    """The lease as `run` takes it: it tests the bucket too."""
    lease = StoreLease(store, lease_key(STATE_OF), "benchmark", RUN, LEASE, clock, clock.monotonic)
    answer = lease.acquire()
    assert isinstance(answer, Taken)
    lease.check_store()
    tape.record(LeaseTaken(clock.now(), answer.epoch, answer.from_whom, answer.warning))
    return lease


class _Tape:
    """Keeps the events, and writes the record, the reports and the page of all clusters, as `run` does."""

    def __init__(self, store: S3Store) -> None:
        self.record_ = Record(store, STATE_OF, RUN)
        self.events: list[Event] = []
        self.page = FleetPage(store, _fail)
        archive = Archive(store, STATE_OF, RUN, _fail, fleet=self.page)
        self._readers: Sequence[Recorder] = (self.record_, self.page, archive)

    def record(self, event: Event) -> None:
        self.events.append(event)
        for reader in self._readers:
            reader.record(event)


def _fail(why: str) -> None:
    raise AssertionError(why)


def _measure_calls(world: World, traffic: Traffic, effort: Effort) -> None:
    serve: Callable[..., Any] = world.call

    def call(service: str, operation: str, params: Mapping[str, Any], caller: str | None = None) -> Any:
        traffic.note(f"{service}:{operation}", world.clock.now(), params)
        began = time.process_time()
        try:
            return serve(service, operation, params, caller)
        finally:
            effort.world += time.process_time() - began

    world.call = call  # type: ignore[method-assign]


class _DecisionsTimed:
    """Within the context, every decision of the engine is timed."""

    def __init__(self, effort: Effort) -> None:
        self._effort = effort
        self._decide = vars(engine_run)["decide"]

    def __enter__(self) -> None:
        def timed(*args: Any) -> Any:
            began = time.process_time()
            decision = self._decide(*args)
            self._effort.decisions.append(time.process_time() - began)
            return decision

        vars(engine_run)["decide"] = timed

    def __exit__(self, *_: object) -> None:
        vars(engine_run)["decide"] = self._decide
