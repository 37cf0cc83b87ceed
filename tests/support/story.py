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
from bottlerocket_ecs_updater.engine.lease.store_lease import (
    HeldBy,
    NoLease,
    Right,
    RunningTask,
    StoreLease,
    TaskLease,
    lease_guard,
    lease_key,
)
from bottlerocket_ecs_updater.engine.stop import Stop
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger, UnkeptLedger, ledger_key
from bottlerocket_ecs_updater.engine.store.pause_switch import pause_key
from bottlerocket_ecs_updater.engine.store.shared_state import ACTS_KEY
from bottlerocket_ecs_updater.errors import UpdaterError
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.ecs import ContainerInstance, Task, Workload
from bottlerocket_ecs_updater.simulator.ecs.model import Desired, Last
from bottlerocket_ecs_updater.simulator.faults import SecondUpdater
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.scenarios import NEW, Scenario
from bottlerocket_ecs_updater.simulator.world.api_faults import KilledError
from bottlerocket_ecs_updater.simulator.world.findings import Findings, UpdaterLimits
from bottlerocket_ecs_updater.simulator.world.world import World

BUCKET, PREFIX, FAMILY = "state", "updater", "updater"
SMALL = Workload(cpu=16, memory=32)
STARTING = timedelta(seconds=6)
"""From the call of an updater to its task, and from its task to its first request."""
CLUSTER = "demo"

PLACE = Location("123456789012", "us-east-1", CLUSTER)
"""Where the cluster is, for what its stack shares with others."""


@dataclass(frozen=True, slots=True)
class Nap:
    """The process stands still, asleep, for so long, after so many of its sleeps; its monotonic clock may, too."""

    run: int
    after_sleeps: int
    lasts: timedelta
    monotonic_stops: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody sends SIGTERM to a run, so long after its start."""

    run: int
    after: timedelta


PATIENCE = timedelta(minutes=1)
"""Nobody starts the next run sooner after one that had no right to act: it would meet the same, or its shadow."""

RUNS_STARTED_PER_ACTED = 10
"""Where the store refuses every lease, no run ever acts: a line of them comes to its end all the same."""

BEFORE_DRAIN, AFTER_REBOOT = "before-drain", "after-reboot"
WITH_OWN = {**DOCUMENTS, DocumentKind.BEFORE_DRAIN: BEFORE_DRAIN, DocumentKind.AFTER_REBOOT: AFTER_REBOOT}
ALARM = "errors"
"""The names under which an operator has documents, and an alarm."""


@dataclass(frozen=True, slots=True)
class Ringing:
    """The alarm is on, from so long after the beginning, for so long."""

    at: timedelta
    lasts: timedelta


class Harmed(Enum):
    """An object of the state store, by its key."""

    PAUSE = pause_key(CLUSTER)
    LEASE = lease_key(CLUSTER)
    LEDGER = ledger_key(CLUSTER)
    SIGHTING = f"first-seen/{NEW}.json"
    ACTS = ACTS_KEY


@dataclass(frozen=True, slots=True)
class Harm:
    """An object of the state store holds something else for a while; then somebody puts it back as it was."""

    what: Harmed
    data: bytes
    at: timedelta
    lasts: timedelta


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that decides how a play goes."""

    scenario: Scenario
    policy: Policy = field(default_factory=Policy)
    right: str = "store"
    """What gives the right to act: "store" (and the store keeps the ledger), "task", or "none"."""
    latency: timedelta = timedelta()
    """How long a call is under way until it takes effect, and its reply until it is there."""
    lease: timedelta = timedelta(seconds=60)
    lead: timedelta = timedelta(minutes=1)
    """How long the world lives before the first run begins."""
    spacing: timedelta = timedelta(seconds=70)
    """From the end, or the death, of one run to the next."""
    naps: tuple[Nap, ...] = ()
    told: tuple[Told, ...] = ()
    ahead: tuple[tuple[int, timedelta], ...] = ()
    """By how much the clock of a run is ahead of the world's, by the number of the run."""
    rivals_have_own_stores: bool = False
    """Whether second updaters are of another stack: they share nothing with the line of runs but the cluster."""
    harms: tuple[Harm, ...] = ()
    store_forgets_claims: bool = False
    """Whether the store's copies of claims are gone after each death: only the instances tell of them."""
    runs_max: int = 20
    documents: Mapping[str, str] = field(default_factory=dict)
    """Documents of the operator's own, by name, with what they say."""
    alarms: tuple[Ringing, ...] = ()
    on_instances: bool = False
    """Whether each updater runs on an instance of the cluster, and calls another for the one that it is on."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one updater's life ended."""

    run: RunId
    rival: bool
    began: datetime
    ended: datetime
    finished: RunFinished | None
    """None where it died, or never had the right to act."""
    exit_code: int | None
    """None where it died."""
    events: tuple[Event, ...]
    left_out: tuple[str, ...] = ()
    """Instances that updaters drained, and that were neither returned nor quarantined when it ended."""

    @property
    def by_itself(self) -> bool:
        """Whether it came to its own end, and not to one that somebody, or an error, put to it."""
        told_to_stop = any(isinstance(event, RunStopping) for event in self.events)
        if self.finished is None or told_to_stop or self.saw_nothing:
            return False
        # What is denied is denied for ever: that is an end, too.
        return self.finished.outcome is not RunOutcome.ERROR or "ssm:SendCommand" in self.finished.why

    @property
    def saw_nothing(self) -> bool:
        """Whether ECS listed instances and described none of them."""
        outcomes = self.finished.outcomes.values() if self.finished is not None else ()
        return bool(outcomes) and all(isinstance(one, Hold) and one.reason is Reason.NOT_DESCRIBED for one in outcomes)

    @property
    def never_acted(self) -> bool:
        """Whether somebody else had the right to act, or none could be had."""
        return self.finished is None and self.exit_code is not None

    @property
    def homeless(self) -> bool:
        """Whether no instance took its task, so that it never began."""
        return self.exit_code is None and self.began == self.ended

    @property
    def changed_something(self) -> bool:
        """Whether it took an instance, or gave one back."""
        return any(isinstance(event, Claimed | Returned) for event in self.events)

    @property
    def waits_for_others(self) -> bool:
        """Whether it was held back by what may have passed when the next one looks."""
        outcomes = self.finished.outcomes.values() if self.finished is not None else ()
        return any(isinstance(outcome, Hold) and outcome.reason in _PASSING for outcome in outcomes)

    def says_the_same_as(self, other: Ending) -> bool:
        """Whether both came to the same end with every instance, whatever the words."""
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
    }
)


def _outcomes(ending: Ending) -> dict[str, object] | None:
    if ending.finished is None:
        return None
    outcomes = ending.finished.outcomes.items()
    return {id_: outcome.reason if isinstance(outcome, Hold) else type(outcome) for id_, outcome in outcomes}


@dataclass(frozen=True, slots=True)
class Played:
    """A story, and what came of it."""

    story: Story
    endings: tuple[Ending, ...]
    verdict: Findings
    lies: tuple[str, ...]
    """What an updater said that was not so when it said it."""
    odd_decisions: tuple[str, ...]
    """What was wrong with decisions in themselves."""
    world: World
    quiet: bool
    """Whether it was played until a run changed nothing and ended by itself."""

    @property
    def last(self) -> Ending:
        """The last run of the line."""
        return [ending for ending in self.endings if not ending.rival][-1]


def play(story: Story, watch: Callable[[World], None] = lambda _: None) -> Played:
    """Play a story to its end. `watch` sees the world before anything happens."""
    said: list[str] = []
    with overheard(said):
        return _Play(story, watch, said).perform()


def world_of(story: Story) -> World:
    """The world of a story at its beginning, which holds its updaters to their budget."""
    scenario, policy = story.scenario, story.policy
    ours = [member for member in scenario.members if member.bottlerocket]
    zones = [sum(one.zone == member.zone for one in ours) for member in ours]
    per_zone = policy.max_unavailable_per_zone
    # Groups may add hosts, of which a share is larger.
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
    """What an object of the state store holds now; None where there is none."""
    with suppress(AwsError):
        body: bytes = world.s3.get({"Bucket": BUCKET, "Key": f"{PREFIX}/{what.value}"})["Body"]
        return body
    return None


def _forget_claims(world: World) -> None:
    where = {"Bucket": BUCKET, "Key": f"{PREFIX}/{ledger_key(CLUSTER)}"}
    with suppress(AwsError):
        ledger = json.loads(world.s3.get(where)["Body"])
        world.s3.put({**where, "Body": json.dumps({**ledger, "claims": {}}).encode()})


@dataclass
class _Clock(EngineClock):
    """The world's clock, on which others live too; sleeping may take longer than was asked."""

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
    """Has another updater begin a moment later, on an instance on which none is."""

    begin: Callable[[_Calls], None]
    task: Task | None = None

    def call(self) -> None:
        self.begin(self)

    def placed(self) -> TaskArn | None:
        return TaskArn(self.task.arn) if self.task is not None else None


class _Witness(Tape):
    """Keeps every event, and holds what is said against the world at that moment."""

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
        self._ring()
        for harm in story.harms:
            self._world.clock.after(harm.at, partial(self._harm, harm))
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
        verdict = self._world.findings()
        return Played(
            self._story,
            tuple(self._endings),
            verdict,
            tuple(self._lies),
            tuple(self._said),
            self._world,
            self._quiet,
        )

    def _line(self) -> None:
        """One run after the other, until nothing is left to do, or enough of them had the right to act."""
        before: list[Ending] = []
        for number in range(RUNS_STARTED_PER_ACTED * self._story.runs_max):
            if sum(not ending.never_acted for ending in before) >= self._story.runs_max:
                return
            ending = self._live(f"run-{number}", number, rival=False)
            if ending.homeless and before and before[-1].homeless:
                self._quiet = True
                return
            nothing_new = ending.by_itself and self._nothing_new(ending, before)
            if nothing_new and self._rivals_left == 0:
                self._quiet = True
                return
            before.append(ending)
            self._stage.wait(max(self._story.spacing, PATIENCE) if ending.never_acted else self._story.spacing)
            while nothing_new and self._rivals_left:
                self._stage.wait(self._story.spacing)

    def _nothing_new(self, ending: Ending, before: list[Ending]) -> bool:
        """Whether one more run would change nothing.

        Without a store none remembers what failed, and tries again: two that fail may take turns for ever.
        """
        if not ending.changed_something and not ending.waits_for_others:
            return True
        remembers = self._story.right == "store"
        passed = not (remembers and ending.changed_something)
        return passed and any(ending.says_the_same_as(earlier) for earlier in before)

    def _rival(self, number: int) -> None:
        self._live(f"rival-{number}", -1 - number, rival=True)
        self._rivals_left -= 1

    def _called(self, name: str, calls: _Calls) -> None:
        """The life of an updater that another one called."""
        calls.task = self._place(apart=True)
        if calls.task is not None:
            self._stage.wait(STARTING)
            self._live(name, -1, rival=True, task=calls.task)

    def _place(self, *, apart: bool) -> Task | None:
        """The task of one more updater, where there is room for it; the instances are taken in turn."""
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
        """One updater from its start to its end, as the process of `run` lives it."""
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
        for told in (one for one in self._story.told if one.run == number):
            world.clock.after(told.after, lambda: stop.request("SIGTERM was received"))
        finished, exit_code = None, None
        with suppress(KilledError):
            finished, exit_code = self._run(updater, clock, task)
        if task is not None:
            world.ecs.lifecycle.stop(task, "EssentialContainerExited", "it ended")
        if exit_code is None and self._story.store_forgets_claims:
            _forget_claims(world)
        left_out = world.findings().stranded
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

    def _right(self, updater: Updater, clients: InProcessClients, clock: _Clock, task: TaskArn | None) -> Right:
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
