"""A scenario: one cluster, what goes wrong in it, and the runs that come and go, played in virtual time.

Runs behave as in `run`: they acquire the lease, look, decide, act and release the lease, or die at any call. The main
runs follow each other until nothing changes any more; second runs start in between.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from typing import Any, cast

from tests.support.overheard import overheard
from tests.support.simulated import DOCUMENTS, EngineClock, Tape, Updater
from tests.support.stage import Stage

from bottlerocket_ecs_updater.aws.identity import running_tasks_of_family
from bottlerocket_ecs_updater.aws.s3_store import S3Store
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.core.decision.claimed.let_go import LEFT_AFTER_ANSWER
from bottlerocket_ecs_updater.core.model.document_steps import PLAIN_REBOOT
from bottlerocket_ecs_updater.core.model.event import (
    Claimed,
    Event,
    InstanceUpdated,
    Returned,
    RunFinished,
    RunStopping,
)
from bottlerocket_ecs_updater.core.model.ids import OwnTask, RunId, TaskArn
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.rules.policy import OwnHost, Policy
from bottlerocket_ecs_updater.engine.lease.run_lease import HeldBy, RunLease, lease_guard
from bottlerocket_ecs_updater.engine.lease.store_lease import StoreLease, lease_key
from bottlerocket_ecs_updater.engine.lease.task_lease import NoLease, RunningTask, TaskLease
from bottlerocket_ecs_updater.engine.stop import Stop
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger, UnkeptLedger, ledger_key
from bottlerocket_ecs_updater.engine.store.shared_state import ACTS_KEY
from bottlerocket_ecs_updater.errors import UpdaterError
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.ecs import ContainerInstance, Task, Workload
from bottlerocket_ecs_updater.simulator.ecs.model import Desired, Last
from bottlerocket_ecs_updater.simulator.faults import PartialFailures, SecondUpdater
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.scenarios import NEW, Scenario
from bottlerocket_ecs_updater.simulator.services.documents import REBOOT, shell_document
from bottlerocket_ecs_updater.simulator.world.api_faults import KilledError
from bottlerocket_ecs_updater.simulator.world.findings import Findings, UpdaterLimits
from bottlerocket_ecs_updater.simulator.world.world import World

BUCKET, PREFIX, FAMILY = "state", "updater", "updater"
SMALL = Workload(cpu=16, memory=32)
STARTING = timedelta(seconds=6)
"""From the request of an updater to its task, and from its task to its first call."""
CLUSTER = "demo"

PLACE = Location("123456789012", "us-east-1", CLUSTER)
"""The cluster's location, for what its stack shares with others."""


@dataclass(frozen=True, slots=True)
class Nap:
    """The process is suspended for that long, after that many of its sleeps; its monotonic clock may stop too."""

    run: int
    after_sleeps: int
    lasts: timedelta
    monotonic_stops: bool = False


@dataclass(frozen=True, slots=True)
class Interruption:
    """Somebody sends SIGTERM to a run, that long after its start."""

    run: int
    after: timedelta


PATIENCE = timedelta(minutes=1)
"""The wait before the next run after one that did not get the lease: an earlier one would find the same holder."""

WARM_POOL_PATIENCE = timedelta(minutes=10)
"""The same after one that found a host in its warm pool: there it waits much longer than runs are apart."""

RUNS_STARTED_PER_ACTED = 10
"""The number of runs after which a scenario ends if the store rejects every lease."""

BEFORE_DRAIN, AFTER_REBOOT = "before-drain", "after-reboot"
WITH_OWN = {**DOCUMENTS, DocumentKind.BEFORE_DRAIN: BEFORE_DRAIN, DocumentKind.AFTER_REBOOT: AFTER_REBOOT}
ALARM = "errors"
"""The names of the operator's documents and alarm."""


@dataclass(frozen=True, slots=True)
class Ringing:
    """The alarm is on for that long, from that time after the start."""

    at: timedelta
    lasts: timedelta


class Harmed(Enum):
    """An object of the state store, by its key."""

    LEASE = lease_key(CLUSTER)
    LEDGER = ledger_key(CLUSTER)
    SIGHTING = f"first-seen/{NEW}.json"
    ACTS = ACTS_KEY


@dataclass(frozen=True, slots=True)
class Harm:
    """An object of the state store has other content for a while; then somebody restores it."""

    what: Harmed
    data: bytes
    at: timedelta
    lasts: timedelta


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that determines how a scenario plays out."""

    scenario: Scenario
    policy: Policy = field(default_factory=Policy)
    right: str = "store"
    """The kind of lease: "store" (the store then also keeps the ledger), "task", or "none"."""
    latency: timedelta = timedelta()
    """How long a call takes until its effect, and from there to its reply."""
    lease: timedelta = timedelta(seconds=60)
    lead: timedelta = timedelta(minutes=1)
    """How long the world exists before the first run starts."""
    spacing: timedelta = timedelta(seconds=70)
    """From the end or death of one run to the start of the next."""
    naps: tuple[Nap, ...] = ()
    interruptions: tuple[Interruption, ...] = ()
    ahead: tuple[tuple[int, timedelta], ...] = ()
    """How far the clock of a run is ahead of the world's, by the number of the run."""
    rivals_have_own_stores: bool = False
    """Whether second updaters belong to another stack: they share only the cluster with the main runs."""
    harms: tuple[Harm, ...] = ()
    store_forgets_claims: bool = False
    """Whether the store's copies of claims are lost after each death, so that only the instances have them."""
    runs_max: int = 20
    documents: Mapping[str, str] = field(default_factory=dict)
    """The operator's documents by name, with their results."""
    plain_reboots: bool = False
    """Whether the reboot document is of an earlier version, which checks nothing."""
    alarms: tuple[Ringing, ...] = ()
    on_instances: bool = False
    """Whether each updater runs on an instance of the cluster, and requests another run for that instance."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one run ended."""

    run: RunId
    rival: bool
    began: datetime
    ended: datetime
    finished: RunFinished | None
    """None if it died, or never had the lease."""
    exit_code: int | None
    """None if it died."""
    events: tuple[Event, ...]
    left_out: tuple[str, ...] = ()
    """Instances that updaters had drained, and that were neither returned nor quarantined when it ended."""

    @property
    def by_itself(self) -> bool:
        """Whether it ended by itself, not by a signal or an error."""
        told_to_stop = any(isinstance(event, RunStopping) for event in self.events)
        if self.finished is None or told_to_stop or self.saw_nothing:
            return False
        # A denial lasts, so this is an end too.
        return self.finished.outcome is not RunOutcome.ERROR or "ssm:SendCommand" in self.finished.why

    @property
    def saw_nothing(self) -> bool:
        """Whether ECS listed instances but described none of them."""
        outcomes = self.finished.outcomes.values() if self.finished is not None else ()
        return bool(outcomes) and all(isinstance(one, Hold) and one.reason is Reason.NOT_DESCRIBED for one in outcomes)

    @property
    def never_acted(self) -> bool:
        """Whether another run had the lease, or the lease could not be acquired."""
        return self.finished is None and self.exit_code is not None

    @property
    def homeless(self) -> bool:
        """Whether its task could not be placed, so that it never started."""
        return self.exit_code is None and self.began == self.ended

    @property
    def changed_something(self) -> bool:
        """Whether it drained or returned an instance."""
        return any(isinstance(event, Claimed | Returned) for event in self.events)

    @property
    def waits_for_others(self) -> bool:
        """Whether its holds may have passed by the next run."""
        outcomes = self.finished.outcomes.values() if self.finished is not None else ()
        return any(isinstance(outcome, Hold) and outcome.reason in _PASSING for outcome in outcomes)

    def says_the_same_as(self, other: Ending) -> bool:
        """Whether both have the same outcome for every instance, apart from the texts."""
        return _outcomes(self) == _outcomes(other)


_PASSING = frozenset(
    {
        Reason.BUDGET,
        Reason.ZONE_BUDGET,
        Reason.AGENT_DISCONNECTED,
        Reason.NO_ANSWER,
        Reason.NOT_DESCRIBED,
        Reason.GONE,
        Reason.FACTS_MISSING,
        Reason.SURVEY_FAILED,
        Reason.SERVICE_UNKNOWN,
        Reason.HANDED_OVER,
        Reason.OWN_HOST,
        Reason.CHECKPOINT_WAIT,
        Reason.PAUSED,
        Reason.BLOCKED,
        Reason.WARM_POOL_DRAINED,
    }
)


def _patience(ending: Ending) -> timedelta:
    outcomes = ending.finished.outcomes.values() if ending.finished is not None else ()
    if any(isinstance(one, Hold) and one.reason is Reason.WARM_POOL_DRAINED for one in outcomes):
        return WARM_POOL_PATIENCE
    return PATIENCE if ending.never_acted else timedelta()


def _last_trouble(story: Story) -> timedelta:
    """How long after the start of the world the last of its troubles ends that make runs say what is true no more."""
    faults = (placed.fault for placed in story.scenario.faults.faults)
    ends = [one.at + (one.lasts or timedelta()) for one in faults if isinstance(one, PartialFailures)]
    return max((*ends, *(harm.at + harm.lasts for harm in story.harms)), default=timedelta())


def _outcomes(ending: Ending) -> dict[str, object] | None:
    if ending.finished is None:
        return None
    outcomes = ending.finished.outcomes.items()
    return {id_: outcome.reason if isinstance(outcome, Hold) else type(outcome) for id_, outcome in outcomes}


@dataclass(frozen=True, slots=True)
class Played:
    """A scenario and its result."""

    story: Story
    endings: tuple[Ending, ...]
    findings: Findings
    lies: tuple[str, ...]
    """False statements of updaters, each checked at the time it was made."""
    odd_decisions: tuple[str, ...]
    """Problems of decisions by themselves."""
    world: World
    quiet: bool
    """Whether it was played until a run ended by itself and changed nothing."""

    @property
    def last(self) -> Ending:
        """The last of the main runs."""
        return [ending for ending in self.endings if not ending.rival][-1]


def play(story: Story, watch: Callable[[World], None] = lambda _: None) -> Played:
    """Play a scenario to its end. `watch` gets the world before anything happens."""
    said: list[str] = []
    with overheard(said):
        return _Play(story, watch, said).perform()


def world_of(story: Story) -> World:
    """The world of a scenario at its start, which checks its updaters' budget."""
    scenario, policy = story.scenario, story.policy
    ours = [member for member in scenario.members if member.bottlerocket]
    zones = [sum(one.zone == member.zone for one in ours) for member in ours]
    per_zone = policy.max_unavailable_per_zone
    # Groups may add hosts, which makes a percentage a larger number.
    names = [member.provider for member in scenario.members]
    more = sum(max(0, (one.most or 0) - names.count(one.name)) for one in scenario.providers)
    budget = UpdaterLimits(
        policy.max_unavailable.of(len(ours) + more),
        per_zone.of(max(zones, default=1) + more) if per_zone is not None else None,
        denied_versions=frozenset(str(rule) for rule in policy.rules.versions.deny),
        published_only=policy.rules.versions.published_only,
        drain_timeout=policy.drain_timeout,
    )
    return scenario.build(VirtualClock(), budget=budget)


def object_in(world: World, what: Harmed) -> bytes | None:
    """The current content of an object of the state store; None if it does not exist."""
    with suppress(AwsError):
        body: bytes = world.s3.get({"Bucket": BUCKET, "Key": f"{PREFIX}/{what.value}"})["Body"]
        return body
    return None


def _forget_claims(world: World) -> None:
    where = {"Bucket": BUCKET, "Key": f"{PREFIX}/{ledger_key(CLUSTER)}"}
    with suppress(AwsError):
        ledger = json.loads(world.s3.get(where)["Body"])
        world.s3.put({**where, "Body": json.dumps({**ledger, "claims": {}}).encode()})


def _just_back(world: World, name: str) -> bool:
    """Whether its group put it into service so late that the run may not have seen it."""
    back_since = world.autoscaling.back_since(name)
    return back_since is not None and world.clock.now() - back_since < LEFT_AFTER_ANSWER


@dataclass
class _Clock(EngineClock):
    """The world's clock, which others use too; a sleep may take longer than requested."""

    stage: Stage
    stop: Stop
    naps: tuple[Nap, ...] = ()
    ahead: timedelta = timedelta()
    sleeps: int = 0
    stood_still: timedelta = timedelta()

    def now(self) -> datetime:
        return self.world.clock.now() + self.ahead

    def monotonic(self) -> float:
        return self.world.clock.now().timestamp() - self.stood_still.total_seconds()

    def sleep(self, span: timedelta) -> bool:
        self.sleeps += 1
        self.stage.wait(span)
        for nap in self.naps:
            if nap.after_sleeps == self.sleeps:
                self.stage.wait(nap.lasts)
                self.stood_still += nap.lasts if nap.monotonic_stops else timedelta()
        return not self.stop.why


@dataclass
class _Calls:
    """Starts another updater a moment later, on an instance without one."""

    begin: Callable[[_Calls], None]
    task: Task | None = None

    def call(self) -> None:
        self.begin(self)

    def placed(self) -> TaskArn | None:
        return TaskArn(self.task.arn) if self.task is not None else None


class _Witness(Tape):
    """Keeps every event, and compares it with the world at that moment."""

    def __init__(self, world: World, lies: list[str]) -> None:
        super().__init__()
        self._world = world
        self._lies = lies

    def record(self, event: Event) -> None:
        super().record(event)
        if not isinstance(event, InstanceUpdated):
            return
        host = self._world.hosts[event.instance]
        if host.boots < 2 or host.running != str(event.target):
            said = f"{event.instance} is called updated to {event.target}"
            self._lies.append(f"{said}, and runs {host.running} after {host.boots - 1} boots")


class _Play:
    def __init__(self, story: Story, watch: Callable[[World], None], said: list[str]) -> None:
        self._said = said
        self._story = story
        self._world = world_of(story)
        clock = self._world.clock
        assert isinstance(clock, VirtualClock)
        self._stage = Stage(clock)
        self._endings: list[Ending] = []
        self._lies: list[str] = []
        self._rivals_left = 0
        self._quiet = False
        self._world.s3.create_bucket({"Bucket": BUCKET})
        for name, content in story.documents.items():
            self._world.documents.add(name, content)
        if story.plain_reboots:
            self._world.documents.add(REBOOT, shell_document("Reboot", PLAIN_REBOOT, 60))
        self._ring()
        for harm in story.harms:
            self._world.clock.after(harm.at, partial(self._harm, harm))
        self._calm_at = self._world.clock.now() + _last_trouble(story)
        watch(self._world)

    def _ring(self) -> None:
        world = self._world
        world.cloudwatch.set_alarm(ALARM, "OK")
        for ringing in self._story.alarms:
            world.clock.after(ringing.at, lambda: world.cloudwatch.set_alarm(ALARM, "ALARM"))
            world.clock.after(ringing.at + ringing.lasts, lambda: world.cloudwatch.set_alarm(ALARM, "OK"))

    def _harm(self, harm: Harm) -> None:
        where = {"Bucket": BUCKET, "Key": f"{PREFIX}/{harm.what.value}"}
        before = object_in(self._world, harm.what)
        forbidden = self._world.watch.forbidden
        self._world.s3.put({**where, "Body": harm.data})
        forbidden.stored(where["Key"], harm.data)

        def put_back() -> None:
            if object_in(self._world, harm.what) != harm.data:
                return  # somebody wrote over it
            if before is None:
                self._world.s3.delete(where)
                forbidden.deleted(where["Key"])
            else:
                self._world.s3.put({**where, "Body": before})
                forbidden.stored(where["Key"], before)

        self._world.clock.after(harm.lasts, put_back)

    def perform(self) -> Played:
        rivals = [fault for fault in self._story.scenario.faults.world if isinstance(fault, SecondUpdater)]
        self._rivals_left = len(rivals)
        self._stage.enter(self._story.lead, self._line)
        for number, rival in enumerate(rivals):
            self._stage.enter(self._story.lead + rival.at, lambda number=number: self._rival(number))  # type: ignore[misc]
        self._stage.play()
        findings = self._world.findings()
        return Played(
            self._story,
            tuple(self._endings),
            findings,
            tuple(self._lies),
            tuple(self._said),
            self._world,
            self._quiet,
        )

    def _line(self) -> None:
        """One run after the other, until nothing is left to do, or enough of them had the lease."""
        before: list[Ending] = []
        for number in range(RUNS_STARTED_PER_ACTED * self._story.runs_max):
            if sum(not ending.never_acted for ending in before) >= self._story.runs_max:
                return
            ending = self._live(f"run-{number}", number, rival=False)
            if ending.homeless and before and before[-1].homeless:
                self._quiet = True
                return
            nothing_new = ending.by_itself and self._nothing_new(ending, before)
            trouble = max(timedelta(), self._calm_at - ending.began)
            if nothing_new and self._rivals_left == 0 and not trouble:
                self._quiet = True
                return
            before.append(ending)
            self._stage.wait(max(self._story.spacing, _patience(ending), trouble if nothing_new else timedelta()))
            while nothing_new and self._rivals_left:
                self._stage.wait(self._story.spacing)

    def _nothing_new(self, ending: Ending, before: list[Ending]) -> bool:
        """Whether one more run would change nothing.

        Without a store, failures are forgotten and tried again, so two failing instances may alternate forever.
        """
        if _patience(ending) == WARM_POOL_PATIENCE:
            return False
        if not ending.changed_something and not ending.waits_for_others:
            return True
        remembers = self._story.right == "store"
        passed = not (remembers and ending.changed_something)
        return passed and any(ending.says_the_same_as(earlier) for earlier in before)

    def _rival(self, number: int) -> None:
        self._live(f"rival-{number}", -1 - number, rival=True)
        self._rivals_left -= 1

    def _called(self, name: str, calls: _Calls) -> None:
        """A run that another run requested."""
        calls.task = self._place(apart=True)
        if calls.task is not None:
            self._stage.wait(STARTING)
            self._live(name, -1, rival=True, task=calls.task)

    def _place(self, *, apart: bool) -> Task | None:
        """The task of another updater, if there is room for it; the instances take turns."""
        world = self._world

        def suits(instance: ContainerInstance) -> bool:
            running = (task for task in instance.tasks.values() if task.desired is Desired.RUNNING)
            return not apart or all(task.definition.family != FAMILY for task in running)

        able = sorted(world.cluster.placement.able(SMALL, suits), key=lambda instance: instance.number)
        if not able:
            return None
        chosen = able[len(self._endings) % len(able)]
        return world.run_standalone_task(chosen.ec2_instance_id, SMALL, FAMILY)

    def _live(self, name: str, number: int, *, rival: bool, task: Task | None = None) -> Ending:
        """One run from start to end, like the process of `run`."""
        world = self._world
        began = world.clock.now()
        stop = Stop()
        naps = tuple(nap for nap in self._story.naps if nap.run == number)
        clock = _Clock(world, self._stage, stop, naps, dict(self._story.ahead).get(number, timedelta()))
        tape = _Witness(world, self._lies)
        called = task is not None
        if self._story.on_instances and task is None:
            task = self._place(apart=False)
            if task is None:
                self._endings.append(Ending(RunId(name), rival, began, began, None, None, ()))
                return self._endings[-1]
        elif self._story.right == "task":
            task = world.run_fargate_task(FAMILY)
        updater = Updater(world, self._story.policy, name, tape=tape, clock=clock, stop=stop)
        if rival and self._story.rivals_have_own_stores:
            updater.store_name = f"{abs(number):x}"
        updater.documents = WITH_OWN if self._story.documents else DOCUMENTS
        if self._story.on_instances and task is not None:
            updater.own = OwnTask(TaskArn(task.arn), FAMILY)
            updater.policy = replace(updater.policy, own_host=OwnHost.HOLD if called else OwnHost.HAND_OVER)
            begin = lambda calls: self._stage.enter(STARTING, lambda: self._called(f"{name}-called", calls))  # noqa: E731
            updater.successors = _Calls(begin)
        for one in (one for one in self._story.interruptions if one.run == number):
            world.clock.after(one.after, lambda: stop.request("SIGTERM was received"))
        finished, exit_code = None, None
        with suppress(KilledError):
            finished, exit_code = self._run(updater, clock, task)
        if task is not None:
            world.ecs.lifecycle.stop(task, "EssentialContainerExited", "it ended")
        if exit_code is None and self._story.store_forgets_claims:
            _forget_claims(world)
        left_out = tuple(name for name in world.findings().stranded if not _just_back(world, name))
        ending = Ending(RunId(name), rival, began, world.clock.now(), finished, exit_code, tuple(tape.events), left_out)
        self._endings.append(ending)
        return ending

    def _run(self, updater: Updater, clock: _Clock, task: Task | None) -> tuple[RunFinished | None, int]:
        story, wait = self._story, self._stage.wait

        def under_way(_service: str, _operation: str, _params: dict[str, Any]) -> None:
            wait(story.latency)
            if task is not None and (task.containers_dead or task.last is Last.STOPPED):
                raise KilledError("its host went down")

        clients = InProcessClients(self._world, updater.name, before_call=under_way, after_call=under_way)
        updater.clients, updater.wake = clients, story.lease / 4
        updater.lease = right = self._right(updater, clients, clock, TaskArn(task.arn) if task is not None else None)

        try:
            answer = right.acquire()
        except UpdaterError:
            return None, 1
        if isinstance(answer, HeldBy):
            return None, 0
        updater.before_call = lease_guard(right)
        finished = updater.run()
        right.release()
        return finished, finished.exit_code

    def _right(self, updater: Updater, clients: InProcessClients, clock: _Clock, task: TaskArn | None) -> RunLease:
        api = Api(clock, CallPace(clock), Calls())
        run = RunId(updater.name)
        if self._story.right == "store":
            prefix = f"{PREFIX}{updater.store_name}"
            store = S3Store(cast("Any", Pair.of(clients.s3)), api, BUCKET, prefix)
            updater.ledger = KeptLedger(store, CLUSTER, run)
            updater.store = store if self._story.harms else None
            updater.place = PLACE if self._story.harms else None
            key = lease_key(CLUSTER)
            return StoreLease(store, key, updater.name, run, self._story.lease, clock, clock.monotonic)
        updater.ledger = UnkeptLedger()
        if task is None:
            return NoLease()
        pair = cast("Any", Pair.of(clients.ecs))

        def running() -> list[RunningTask]:
            found = running_tasks_of_family(pair, api, CLUSTER, FAMILY)
            return [RunningTask(one.arn, one.created_at) for one in found]

        return TaskLease(task, running, self._story.lease, clock, clock.monotonic)
