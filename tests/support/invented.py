"""Randomly generated scenarios: fleets, services, policies, faults, crashes, rival runs, slow and wrong answers.

One generator serves the properties (hypothesis chooses, and shrinks) and the soak (a seed chooses). The first option of
every choice is the simplest, so that shrinking makes a scenario simpler.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol, TypeVar

from hypothesis import strategies as st
from tests.support.rules import parse_checkpoints, parse_ranges
from tests.support.scenarios import anywhere
from tests.support.story import AFTER_REBOOT, ALARM, BEFORE_DRAIN, Interruption, Nap, Ringing, Story

from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoints
from bottlerocket_ecs_updater.core.rules.health import AlarmRule, HealthRules
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.versions import VersionRules
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.ecs import (
    Controller,
    EcsTiming,
    Order,
    Rollout,
    ServiceSpec,
    Spreading,
    Strategy,
    TaskLaunch,
    Way,
    Workload,
)
from bottlerocket_ecs_updater.simulator.faults import Fault, FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.repository import Release
from bottlerocket_ecs_updater.simulator.scenarios import (
    NEW,
    OLD,
    TOO_OLD,
    TOO_OLD_VARIANT,
    VARIANT,
    ZONES,
    Fate,
    Member,
    Provider,
    Scenario,
)
from bottlerocket_ecs_updater.simulator.services.documents import APPLY, REBOOT, shell_document
from bottlerocket_ecs_updater.simulator.ssm import SsmTiming

BY_HAND = "1.53.0"
"""A version that somebody stages by hand. No policy admits it."""

NEXT = "1.54.0"
"""A version that may be published at any time."""

T = TypeVar("T")


class Chooser(Protocol):
    """The source of choices."""

    def number(self, least: int, most: int) -> int:
        """A number, both ends included; the smallest is the simplest."""

    def one_of(self, options: Sequence[T]) -> T:
        """One of them; the first is the simplest."""

    def happens(self, percent: int) -> bool:
        """Whether it happens; False is the simplest."""


class Dice:
    """Chooses by a seed."""

    def __init__(self, seed: int) -> None:
        self._chances = random.Random(f"{seed}/story")

    def number(self, least: int, most: int) -> int:
        return self._chances.randint(least, most)

    def one_of(self, options: Sequence[T]) -> T:
        return self._chances.choice(options)

    def happens(self, percent: int) -> bool:
        return self._chances.randrange(100) < percent


class Drawn:
    """Chooses as hypothesis draws."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def number(self, least: int, most: int) -> int:
        return self._draw(st.integers(least, most))

    def one_of(self, options: Sequence[T]) -> T:
        return options[self._draw(st.integers(0, len(options) - 1))]

    def happens(self, percent: int) -> bool:
        return self._draw(st.integers(0, 99)) >= 100 - percent


@st.composite
def stories(draw: st.DrawFn, tell: Callable[[Chooser], Story]) -> Story:
    """Scenarios of one kind, chosen by hypothesis."""
    return tell(Drawn(draw))


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


# What goes wrong on one instance


def host_fault(choose: Chooser) -> Fault:
    """Any fault of the catalogue that affects a host or its container instance."""
    return choose.one_of(_HOST_FAULTS)(choose)


def _once_or_always(choose: Chooser) -> int | None:
    return choose.one_of((1, 2, None))


def _moment(choose: Chooser) -> f.Moment:
    return choose.one_of([moment for moment in f.Moment if moment is not f.Moment.AT])


def _passing(choose: Chooser) -> dict[str, timedelta | None]:
    lasts = choose.one_of((seconds(choose.number(30, 1200)), None))
    return {"at": seconds(choose.number(0, 300)), "lasts": lasts}


_STEPS_BETWEEN = (f.Step.CHECK, f.Step.APPLY, f.Step.DRAIN, f.Step.RETURN)
"""When somebody may return an instance without killing its tasks by a reboot that is on its way."""

_HOST_FAULTS: tuple[Callable[[Chooser], Fault], ...] = (
    lambda c: f.RepositoryDown(**_passing(c)),  # type: ignore[arg-type]
    lambda c: f.RepositoryBlackHole(**_passing(c)),  # type: ignore[arg-type]
    lambda c: f.RepositoryNotFound(**_passing(c)),  # type: ignore[arg-type]
    lambda c: f.MetadataExpired(clock_stepped_back=c.happens(50), **_passing(c)),  # type: ignore[arg-type]
    lambda c: f.MetadataRegressed(**_passing(c)),  # type: ignore[arg-type]
    lambda c: f.HashMismatch(_once_or_always(c)),
    lambda c: f.SlowDownload(seconds(c.number(60, 1200)), _once_or_always(c)),
    lambda c: f.DataVolumeFull(_once_or_always(c)),
    lambda c: f.ActivateFails(_once_or_always(c), c.one_of(list(f.ActivateError))),
    lambda _: f.SingleBank(),
    lambda c: f.LockBusy(**_passing(c)),  # type: ignore[arg-type]
    lambda c: f.OutOfBand(c.one_of(list(f.Deed)), moment=_moment(c), version=c.one_of((OLD, NEW))),
    lambda c: f.ReleaseAppears(NEXT, _moment(c)),
    lambda c: f.ReleaseRetracted(NEW, _moment(c)),
    lambda c: f.StartsWith(c.one_of(list(f.Leftover)), NEW),
    lambda c: f.ApplyKilled(_moment(c), c.happens(50), _once_or_always(c)),
    lambda c: f.RebootEnds(c.one_of(list(f.RebootEnding)), _once_or_always(c)),
    lambda c: f.RebootRefused(_once_or_always(c)),
    lambda c: f.RebootDelayed(seconds(c.number(10, 300)), _once_or_always(c)),
    lambda c: f.RebootIgnored(_once_or_always(c)),
    lambda c: f.GrubFails(times=_once_or_always(c)),
    lambda c: f.BootHangs(times=_once_or_always(c)),
    lambda _: f.DockerDead(),
    lambda c: f.ControlContainerMissing(returns_after=c.one_of((seconds(c.number(20, 1500)), None))),
    lambda c: f.EcsAgentLate(seconds(c.number(0, 600) + c.one_of((0, 0, 1500))), c.number(0, 3)),
    lambda _: f.EcsAgentTerminal(),
    lambda _: f.RollsBack(),
    lambda _: f.ThirdVersion(NEXT),
    lambda c: f.CheckStuckAfterBoot(times=_once_or_always(c)),
    lambda c: f.SsmUnreachable(f.OutOfReach.CONNECTION_LOST, **_passing(c)),  # type: ignore[arg-type]
    lambda _: f.SsmUnreachable(f.OutOfReach.NEVER_REGISTERED),
    lambda c: f.ReportedUndeliverable(_once_or_always(c)),
    lambda c: f.OddOutput(c.one_of(list(f.Oddity)), _once_or_always(c)),
    lambda c: f.InstanceTerminated(step=c.one_of(list(f.Step))),
    lambda c: f.InstanceTerminated(at=seconds(c.number(10, 1500))),
    lambda c: f.NewContainerInstance(_once_or_always(c)),
    lambda c: f.SomebodySets(f.SetStatus.DRAINING, seconds(c.number(0, 10)), c.one_of(_STEPS_BETWEEN)),
    lambda c: f.SomebodySets(f.SetStatus.ACTIVE, seconds(c.number(0, 10)), c.one_of(_STEPS_BETWEEN)),
    lambda c: f.SomebodySets(c.one_of(list(f.SetStatus)), at=seconds(c.number(10, 1500))),
    lambda _: f.WaveLate(),
    lambda _: f.VariantEnded(),
    lambda c: f.VersionLocked(c.one_of((OLD, NEW))),
    lambda _: f.DowngradeOffered("1.51.0"),
    lambda c: f.TaskArrives(_once_or_always(c)),
    lambda c: f.SomebodyStages(BY_HAND, seconds(c.number(0, 60)), f.Step.DRAIN),
    lambda c: f.InBetween(c.one_of(list(f.Between)), seconds(c.number(0, 1500))),
)

# What goes wrong around them


def api_fault(choose: Chooser) -> Fault:
    """A fault of AWS itself: it throttles, fails, returns old state, or loses replies."""
    return choose.one_of(_API_FAULTS)(choose)


_ACTS = ("SendCommand", "UpdateContainerInstancesState", "PutAttributes", "DeleteAttributes", "PutObject")

_BATCHES = ("DescribeContainerInstances", "DescribeTasks", "DescribeServices", "UpdateContainerInstancesState")
_STORE = ("PutObject", "GetObject")
_DENIABLE = (
    "ListContainerInstances",
    "ListTasks",
    "DescribeTasks",
    "ListServices",
    "DescribeServices",
    "DescribeInstanceInformation",
    "SendCommand",
    "CancelCommand",
    "ListCommands",
    "ListCommandInvocations",
    "GetCommandInvocation",
    "UpdateContainerInstancesState",
    "PutAttributes",
    "DeleteAttributes",
    "DescribeContainerInstances",
)
"""Operations whose permission may be missing for a while."""


def _outage(choose: Chooser, code: str, status: int, operations: Sequence[str]) -> f.ApiFails:
    """All calls of one operation fail for seconds or minutes, somewhere in the first runs."""
    at, lasts = seconds(choose.number(0, 900)), seconds(choose.number(5, 300))
    return f.ApiFails(code, status, operation=choose.one_of(operations), at=at, lasts=lasts)


_OPTIONAL = (
    "DescribeAutoScalingInstances",
    "DescribeInstanceRefreshes",
    "DescribeInstances",
    "DescribeInstanceTypes",
    "DescribeTaskDefinition",
    "DescribeCapacityProviders",
    "GetTaskProtection",
    "DescribeDocument",
)
"""Operations that only rules and checks need."""

_REFUSALS = (
    ("ThrottlingException", 400),
    ("ServerException", 500),
    ("AccessDeniedException", 400),
    ("InvalidParameterException", 400),
)

OPTIONAL_FAILS_EVERY = 4
"""In one of so many stories AWS refuses one of these operations for a while, or until the end."""


def optional_outage(seed: int) -> tuple[Placed, ...]:
    """An outage of one optional operation, by the seed alone, so that the other choices of a story stay the same."""
    if seed % OPTIONAL_FAILS_EVERY:
        return ()
    chances = random.Random(f"{seed}/optional")
    code, status = chances.choice(_REFUSALS)
    lasts = chances.choice((None, seconds(chances.randint(20, 1500))))
    return (
        Placed(f.ApiFails(code, status, chances.choice(_OPTIONAL), at=seconds(chances.randint(0, 600)), lasts=lasts)),
    )


def _partial(choose: Chooser) -> f.PartialFailures:
    at, lasts = seconds(choose.number(0, 900)), seconds(choose.number(5, 300))
    return f.PartialFailures(choose.one_of(_BATCHES), choose.number(1, 5), at, lasts)


_API_FAULTS: tuple[Callable[[Chooser], Fault], ...] = (
    lambda c: f.ApiFails(every=c.one_of((7, 5, 3))),
    lambda c: f.ApiFails("InternalServerError", 500, every=c.one_of((7, 5))),
    lambda c: f.ApiFails("ServerException", 500, at=seconds(c.number(0, 600)), lasts=seconds(c.number(20, 500))),
    lambda c: f.ApiFails("ServiceUnavailable", 503, operation="PutObject", every=c.number(2, 5)),
    lambda c: f.StaleReads(seconds(c.number(1, 8))),
    lambda c: f.RepliesLost(every=c.number(3, 11)),
    lambda c: f.RepliesLost(c.one_of(_ACTS), every=c.number(1, 3), times=c.number(1, 5)),
    _partial,
    lambda c: _outage(c, "ServiceUnavailable", 503, _STORE),
    lambda c: _outage(c, "AccessDeniedException", 400, _DENIABLE),
)


def deaths(choose: Chooser, most: int) -> tuple[Placed, ...]:
    """The updater is killed at some of the calls of a run, before or after it."""
    numbers = [choose.number(1, 600) for _ in range(choose.number(0, most))]
    return tuple(Placed(f.UpdaterDies(number, choose.happens(50))) for number in numbers)


def rivals(choose: Chooser) -> tuple[Placed, ...]:
    """Second updaters that start while the first one may still be active."""
    starts = [seconds(choose.number(0, 1500)) for _ in range(choose.one_of((0, 0, 1, 2)))]
    return tuple(Placed(f.SecondUpdater(start)) for start in starts)


# Fleets, services, policies


def members(choose: Chooser, least: int, most: int) -> tuple[Member, ...]:
    """Some instances in up to three zones, most of them with an update available."""
    zones = choose.number(1, len(ZONES))
    return tuple(_member(choose, place, zones) for place in range(choose.number(least, most)))


def _member(choose: Chooser, place: int, zones: int) -> Member:
    host = HostSpec(f"i-{place:017x}", VARIANT, version=OLD, seed=choose.number(0, 2047))
    member = Member(host, ZONES[place % zones])
    if choose.happens(80):
        return member
    kind = choose.one_of(("current", "foreign", "standalone", "drained", "too old"))
    match kind:
        case "current":
            return replace(member, host=replace(host, version=NEW), fate=Fate.UP_TO_DATE)
        case "foreign":
            return replace(member, bottlerocket=False, fate=Fate.FOREIGN)
        case "standalone":
            return replace(member, standalone=Workload(cpu=128, memory=256), fate=Fate.HELD)
        case "drained":
            return replace(member, drained_by_operator=True, fate=Fate.HELD)
        case _:
            return replace(member, host=replace(host, version=TOO_OLD, variant=TOO_OLD_VARIANT), fate=Fate.HELD)


def services(choose: Chooser, instances: int) -> tuple[ServiceSpec, ...]:
    """Some services that leave room to move, and perhaps one on every instance."""
    several = tuple(_service(choose, number, instances) for number in range(choose.number(0, 3)))
    daemon = ServiceSpec("agent", workload=Workload(cpu=64, memory=128), strategy=Strategy.DAEMON)
    return (*several, daemon) if choose.happens(60) else several


def _service(choose: Chooser, number: int, instances: int) -> ServiceSpec:
    work = Workload(
        cpu=choose.one_of((64, 128, 256)),
        memory=choose.one_of((128, 256)),
        shutdown=seconds(choose.number(0, 40)),
        healthy_after=seconds(choose.one_of((0, 5, 20))),
        deregistration_delay=seconds(choose.one_of((0, 0, 10, 30))),
    )
    healthy, most = choose.one_of(((100, 200), (50, 150), (0, 100), (50, 100)))
    # With a single task and 50 per cent, no task may ever leave: that is worth a scenario now and then.
    least = 1 if healthy in (0, 100) or choose.happens(10) else 2
    return ServiceSpec(
        f"web-{number}",
        choose.number(least, max(2, instances)),
        work,
        minimum_healthy_percent=healthy,
        maximum_percent=most,
        load_balanced=work.deregistration_delay > timedelta(),
    )


def policies(choose: Chooser, instances: int) -> Policy:
    """Budgets as numbers and percentages, in total and per zone; short and long looks and limits."""
    share = (Limit(number=choose.number(1, max(1, instances // 2))), Limit(percent=choose.number(1, 60)))
    zone = (None, None, Limit(number=choose.number(1, 2)), Limit(percent=choose.number(1, 60)))
    return Policy(
        max_unavailable=choose.one_of(share),
        max_unavailable_per_zone=choose.one_of(zone),
        poll_interval=seconds(choose.one_of((5, 5, 2, 10, 1))),
        settle=seconds(choose.one_of((60, 0, 10, 120))),
        max_failures=(failures := choose.one_of((2, 1, 20))),
        suspect_after=max(2, failures),
        rules=Rules(versions=VersionRules(deny=parse_ranges(BY_HAND))),
        deadline=seconds(choose.number(60, 3000)) if choose.happens(5) else None,
    )


# Scenarios


PLAIN_REBOOTS_EVERY = 3
"""In one of so many stories the reboot document is of an earlier version."""


def quiet_story(choose: Chooser) -> Story:
    """Nothing goes wrong."""
    there = members(choose, 1, 7)
    scenario = Scenario(
        "invented",
        "nothing goes wrong",
        there,
        services(choose, len(there)),
        releases=_releases(),
        seed=choose.number(0, 999),
    )
    latency = seconds(choose.one_of((0, 0.05, 0.5)))
    plain = scenario.seed % PLAIN_REBOOTS_EVERY == 0
    orders = list(Order)
    timing = EcsTiming(order=orders[scenario.seed % len(orders)])
    scenario = replace(scenario, ecs_timing=timing)
    return Story(scenario, policies(choose, len(there)), latency=latency, plain_reboots=plain)


def story_of_faults(choose: Chooser) -> Story:
    """Faults of hosts, people and the environment; the updater itself is not killed."""
    story = quiet_story(choose)
    ids = [member.host.instance_id for member in story.scenario.members if member.bottlerocket]
    placed = [Placed(host_fault(choose), id_) for id_ in ids if choose.happens(40)]
    placed += [Placed(host_fault(choose), id_) for id_ in ids if choose.happens(10)]
    placed += optional_outage(story.scenario.seed)
    right = choose.one_of(("store", "store", "none"))
    scenario = replace(
        story.scenario,
        story="hosts and people misbehave",
        faults=FaultPlan(tuple(placed), story.scenario.seed),
        # If attributes do not survive a boot, only the store's copy of a claim is left.
        ecs_timing=_ecs_timing(choose, story.scenario.ecs_timing) if right == "store" else story.scenario.ecs_timing,
        ssm_timing=_ssm_timing(choose),
    )
    return replace(story, scenario=scenario, right=right)


def story_of_reboots(choose: Chooser) -> Story:
    """Shutdowns, agents and deliveries are slow, and reboot commands end in every possible way."""
    story = quiet_story(choose)
    placed = [
        Placed(fault, member.host.instance_id)
        for member in story.scenario.members
        if member.bottlerocket and choose.happens(70)
        for fault in _reboot_faults(choose)
    ]
    lost = (Placed(f.RepliesLost("SendCommand", every=choose.number(2, 5), times=choose.number(1, 6))),)
    faults = (*placed, *(lost if choose.happens(40) else ()), *deaths(choose, 2))
    timing = SsmTiming(delivery=seconds(choose.one_of((0.5, 5, 20))), report=seconds(choose.one_of((0.3, 5, 20))))
    scenario = replace(
        story.scenario,
        story="reboots end in every way",
        faults=FaultPlan(faults, story.scenario.seed),
        ssm_timing=timing,
    )
    return replace(story, scenario=scenario, spacing=seconds(choose.one_of((70, 5, 600))))


def _reboot_faults(choose: Chooser) -> list[Fault]:
    """What may go wrong in one reboot, several things at once."""
    found: list[Fault] = [f.RebootEnds(choose.one_of(list(f.RebootEnding)), _once_or_always(choose))]
    if choose.happens(60):
        found.append(f.RebootDelayed(seconds(choose.number(10, 300)), _once_or_always(choose)))
    if choose.happens(30):
        found.append(f.ReportedUndeliverable(_once_or_always(choose)))
    if choose.happens(30):
        found.append(f.EcsAgentLate(seconds(choose.number(0, 300)), choose.number(0, 2)))
    if choose.happens(20):
        found.append(f.RebootRefused(_once_or_always(choose)))
    if choose.happens(20):
        found.append(f.CheckStuckAfterBoot(times=_once_or_always(choose)))
    return found


def story_of_own_ground(choose: Chooser) -> Story:
    """Updaters run on the instances that they update, and some of them, or of their hosts, die."""
    story = quiet_story(choose)
    faults = [
        Placed(f.OutOfBand(f.Deed.REBOOT, moment=_moment(choose)), member.host.instance_id)
        for member in story.scenario.members
        if member.bottlerocket and choose.happens(10)
    ]
    return replace(
        story,
        scenario=replace(
            story.scenario,
            story="the updater is on their own instances",
            faults=FaultPlan((*faults, *deaths(choose, 2)), story.scenario.seed),
        ),
        on_instances=True,
    )


def story_of_departures(choose: Chooser) -> Story:
    """All faults of hosts, while Auto Scaling terminates some of them and somebody stops others."""
    story = story_of_faults(choose)
    faults = story.scenario.faults
    taken = tuple(
        Placed(_departure(choose), member.host.instance_id)
        for member in story.scenario.members
        if member.bottlerocket and choose.happens(30)
    )
    scenario = replace(story.scenario, faults=FaultPlan((*faults.faults, *taken), faults.seed))
    troubled = _with_trouble(choose, replace(story, scenario=scenario), ())
    timing = replace(scenario.ecs_timing, describes_deregistered=not choose.happens(40))
    return replace(troubled, scenario=replace(troubled.scenario, ecs_timing=timing))


def _departure(choose: Chooser) -> Fault:
    step = choose.one_of((None, *f.Step))
    at = seconds(choose.number(0, 1500) if step is None else choose.number(0, 10))
    if choose.happens(30):
        return f.InstanceStopped(at, step, seconds(choose.number(30, 4000)) if choose.happens(70) else None)
    if choose.happens(30):
        hook, lasts = seconds(choose.one_of((60, 5, 600))), seconds(choose.one_of((1800, 20, 300, 8000)))
        return f.GroupKeepsWarm(at, step, hook, lasts)
    return f.GroupTakes(at, step, seconds(choose.one_of((600, 60, 172800))), choose.happens(60))


PLACED_BY = (
    "",
    "task:group == service:agent",
    "not(task:group == service:web-0)",
    "runningTasksCount < 9",
    "agentVersion >= 1.9.0",
    "attribute:com.amazonaws.ecs.capability.ecr-auth exists",
    "attribute:ecs.os-type == linux and (task:group == service:web-0 or agentConnected == true)",
)
"""Placement constraints."""


def story_of_mixed_ground(choose: Chooser) -> Story:
    """Not every instance can run every task: capacity providers, ECS Anywhere, Managed Instances, constraints."""
    story = story_of_faults(choose)
    scenario = story.scenario
    names = choose.one_of((("hosts",), ("hosts", "batch"), ("hosts", "batch", "managed")))
    there = tuple(
        replace(one, provider=choose.one_of(names)) if choose.happens(70) else one for one in scenario.members
    )
    used = [name for name in names if any(one.provider == name for one in there)]
    counts = {name: sum(one.provider == name for one in there) for name in used}
    providers = tuple(
        Provider(name, counts[name] + choose.number(0, 1), not choose.happens(20), managed=name == "managed")
        for name in used
    )
    strange = (anywhere(),) if choose.happens(50) else ()
    placed = tuple(_placed_somewhere(choose, one, used) for one in scenario.services)
    edge = (ServiceSpec("edge", 1, launch=TaskLaunch.EXTERNAL),) if strange else ()
    mixed = replace(
        scenario,
        story="not every instance takes every task",
        members=(*there, *strange),
        services=(*placed, *edge),
        providers=providers,
    )
    return replace(story, scenario=mixed)


def story_of_the_platform(choose: Chooser) -> Story:
    """What ECS and Auto Scaling do by themselves, and tasks with ports, interfaces, volumes and slow shutdowns."""
    story = quiet_story(choose)
    scenario = story.scenario
    there = tuple(
        replace(one, warm_pool="hosts", fate=Fate.HELD) if one.bottlerocket and choose.happens(15) else one
        for one in scenario.members
    )
    joined = tuple(replace(one, provider="hosts") if not one.warm_pool and choose.happens(60) else one for one in there)
    count = sum(one.provider == "hosts" for one in joined)
    refresh = seconds(choose.number(60, 1500)) if choose.happens(30) else None
    hosts = (Provider("hosts", count + choose.number(0, 1), refreshes_at=refresh),) if count else ()
    joined = joined if count else tuple(replace(one, warm_pool="") for one in joined)
    taken = tuple(
        Placed(_departure(choose), one.host.instance_id)
        for one in joined
        if one.bottlerocket and not one.warm_pool and choose.happens(10)
    )
    platform = replace(
        scenario,
        story="ECS and Auto Scaling are at work",
        members=joined,
        providers=hosts,
        services=tuple(_on_platform(choose, one) for one in scenario.services),
        faults=FaultPlan(taken, scenario.seed),
    )
    return replace(story, scenario=platform)


def _on_platform(choose: Chooser, service: ServiceSpec) -> ServiceSpec:
    if service.strategy is Strategy.DAEMON:
        return service
    long = seconds(choose.one_of((20, 20, 20, 900, 20_000)))
    work = replace(
        service.workload,
        host_ports=(choose.number(8000, 8001),) if choose.happens(20) else (),
        awsvpc=choose.happens(20),
        ebs=choose.happens(20),
        shutdown=min(service.workload.shutdown, long) if long < seconds(100) else long,
        stop_timeout=max(service.workload.stop_timeout, long),
    )
    rollouts = (
        Rollout(),
        Rollout(choose.one_of(list(Way)), bake=seconds(choose.number(0, 900)), circuit_breaker=choose.happens(50)),
        Rollout(controller=choose.one_of((Controller.EXTERNAL, Controller.CODE_DEPLOY))),
    )
    every = seconds(choose.number(60, 900)) if choose.happens(30) else None
    return replace(service, workload=work, rollout=choose.one_of(rollouts), rebalanced_every=every)


def _placed_somewhere(choose: Chooser, service: ServiceSpec, providers: Sequence[str]) -> ServiceSpec:
    if service.strategy is Strategy.DAEMON:
        return service
    return replace(
        service,
        workload=replace(service.workload, cpu=choose.one_of((service.workload.cpu, 900))),
        providers=(choose.one_of(providers),) if providers and choose.happens(50) else (),
        member_of=choose.one_of(PLACED_BY),
        distinct_instances=choose.happens(20),
        spreading=choose.one_of(list(Spreading)),
    )


def story_of_pinned_tasks(choose: Chooser) -> Story:
    """A service whose limits let no task leave, on more hosts than are staged at once, which answer one by one."""
    story = quiet_story(choose)
    there = members(choose, 3, 16)
    pinned = ServiceSpec(
        "pinned",
        desired=choose.number(2, 4),
        workload=Workload(cpu=32, memory=64),
        minimum_healthy_percent=100,
        maximum_percent=100,
        distinct_instances=choose.happens(70),
    )
    # Hosts with the fewest tasks come first: the ones with the immovable service, if all others have more tasks.
    many = ServiceSpec("many", desired=choose.number(1, 3) * len(there), workload=Workload(cpu=16, memory=32))
    scenario = replace(
        story.scenario,
        story="a service lets no task go",
        members=there,
        services=(pinned, many, *services(choose, len(there))),
        ssm_timing=SsmTiming(spread=seconds(choose.one_of((0, 10, 25)))),
    )
    policy = replace(policies(choose, len(there)), max_unavailable=Limit(number=choose.number(1, 2)))
    return replace(story, scenario=scenario, policy=policy)


LAUNCHED_BAD_EVERY = 3
"""In one of so many of these stories, a host was launched with the version that breaks tasks."""


def _launched(place: int) -> Member:
    host = HostSpec(f"i-{place:017x}", VARIANT, version=NEW, seed=place)
    return Member(host, ZONES[0], fate=Fate.UP_TO_DATE)


def _on_new(fault: Fault) -> Fault:
    """The fault on every host of the new version, also if it was launched with it."""
    return replace(fault, version=NEW) if isinstance(fault, f.TasksBreak) else fault


def story_of_the_field(choose: Chooser) -> Story:
    """Services with failing tasks share the cluster, and some versions break tasks although they boot."""
    story = quiet_story(choose)
    scenario = story.scenario
    troubled = (_service_elsewhere(choose), *((_troubled_service(choose),) if choose.happens(60) else ()))
    broken: tuple[Fault, ...] = (
        f.TasksBreak(choose.one_of(list(f.Breaking)), seconds(choose.number(2, 90))),
        f.HealthImpaired(after=seconds(choose.number(0, 120))),
    )
    plan = FaultPlan((Placed(choose.one_of(broken)),) if choose.happens(40) else (), scenario.seed)
    if scenario.seed % LAUNCHED_BAD_EVERY == 0:
        scenario = replace(scenario, members=(*scenario.members, _launched(len(scenario.members))))
        plan = replace(plan, faults=tuple(replace(one, fault=_on_new(one.fault)) for one in plan.faults))
    field = replace(
        scenario,
        story="services in trouble, and versions that break tasks",
        services=(*scenario.services, *troubled),
        faults=plan,
    )
    # Its tasks have failed for a while before the first run.
    drawn = replace(story, scenario=field, lead=seconds(choose.one_of((3000, 60, 600))))
    return _with_odd_health(choose, drawn) if choose.happens(30) else drawn


_ODD_HEALTH: tuple[Callable[[Chooser], Fault], ...] = (
    lambda c: f.HealthUnknown(c.one_of(list(f.Unknown)), c.one_of((seconds(40), seconds(90), None)), c.happens(30)),
    lambda c: f.HealthImpaired(after=seconds(0), version=OLD),
    lambda c: f.HealthImpaired(after=seconds(c.number(0, 120)), version=NEW, ends_after=seconds(c.number(5, 300))),
    lambda c: f.HealthImpaired(
        after=seconds(c.number(0, 60)),
        version=NEW,
        ends_after=seconds(c.number(5, 30)),
        every=seconds(c.number(40, 200)),
    ),
)
"""The results of ECS health checks of a host, besides OK."""


def _with_odd_health(choose: Chooser, story: Story) -> Story:
    ids = [member.host.instance_id for member in story.scenario.members if member.bottlerocket]
    odd = tuple(Placed(choose.one_of(_ODD_HEALTH)(choose), id_) for id_ in ids if choose.happens(40))
    faults = story.scenario.faults
    return replace(story, scenario=replace(story.scenario, faults=replace(faults, faults=(*faults.faults, *odd))))


def _service_elsewhere(choose: Chooser) -> ServiceSpec:
    return ServiceSpec(
        "elsewhere",
        choose.number(1, 3),
        choose.one_of((Workload(), Workload(runs_for=seconds(40), exit_code=1), Workload(fails_to_start="no image"))),
        launch=choose.one_of((TaskLaunch.FARGATE, TaskLaunch.EXTERNAL)),
        rollout=choose.one_of((Rollout(), Rollout(never_ends=True), Rollout(Way.BLUE_GREEN, bake=seconds(40_000)))),
    )


def _troubled_service(choose: Chooser) -> ServiceSpec:
    """A service on the hosts that loses tasks by itself, on every version."""
    work = choose.one_of(
        (
            Workload(64, 64, runs_for=seconds(choose.number(3, 900)), exit_code=1),
            Workload(64, 64, runs_for=seconds(choose.number(20, 900))),
            Workload(64, 64, fails_to_start="CannotPullContainerError: no image"),
            Workload(64, 64, stays_pending=True),
        )
    )
    return ServiceSpec("troubled", choose.number(1, 6), work, minimum_healthy_percent=choose.one_of((0, 50, 100)))


def story_of_deaths(choose: Chooser) -> Story:
    """Updaters are killed at any call, suspended, stopped, and run beside each other; the cluster is healthy."""
    return _paced(choose, _with_trouble(choose, quiet_story(choose), ()))


def story_of_everything(choose: Chooser) -> Story:
    """All faults, and AWS throttles, fails, answers late, or returns old state."""
    return _paced(choose, _everything(choose))


def _everything(choose: Chooser) -> Story:
    story = story_of_faults(choose)
    api = tuple(Placed(api_fault(choose)) for _ in range(choose.one_of((0, 1, 2))))
    return _with_trouble(choose, story, api)


def story_of_stale_reads(choose: Chooser) -> Story:
    """ECS shows old state for up to a minute, now and then; updaters die, and people drain and return instances."""
    story = quiet_story(choose)
    ids = [member.host.instance_id for member in story.scenario.members if member.bottlerocket]
    stale = tuple(Placed(_stale(choose)) for _ in range(choose.number(1, 3)))
    people = tuple(Placed(_somebody_sets(choose), id_) for id_ in ids if choose.happens(15))
    lost = (Placed(f.RepliesLost(choose.one_of(_ACTS), every=choose.number(1, 4), times=choose.number(1, 4))),)
    faults = (*stale, *people, *(lost if choose.happens(30) else ()), *deaths(choose, 3))
    scenario = replace(story.scenario, story="ECS answers from the past", faults=FaultPlan(faults, story.scenario.seed))
    return replace(story, scenario=scenario, spacing=seconds(choose.one_of((70, 5, 30, 600))))


def _stale(choose: Chooser) -> f.StaleReads:
    """Stale from the start, or suddenly: then a read may be older than one before it."""
    lag = seconds(choose.one_of((20, 30, 45, 60)))
    lasts = choose.one_of((None, seconds(choose.number(5, 600))))
    return f.StaleReads(lag, seconds(choose.one_of((0, choose.number(60, 1200)))), lasts)


def _somebody_sets(choose: Chooser) -> f.SomebodySets:
    if choose.happens(50):
        return f.SomebodySets(
            choose.one_of(list(f.SetStatus)), seconds(choose.number(0, 10)), choose.one_of(_STEPS_BETWEEN)
        )
    return f.SomebodySets(choose.one_of(list(f.SetStatus)), at=seconds(choose.number(10, 1500)))


def story_of_operators(choose: Chooser) -> Story:
    """All faults, and the operator has documents and an alarm, which fail now and then."""
    story = _everything(choose)
    before, after = choose.happens(70), choose.happens(70)
    ringing = [Ringing(seconds(choose.number(0, 3000)), seconds(choose.number(10, 2000))) for _ in range(2)]
    health = HealthRules((AlarmRule(ALARM),)) if choose.happens(70) else HealthRules()
    policy = replace(
        story.policy,
        before_drain=before,
        after_reboot=after,
        hook_timeout=seconds(choose.one_of((600, 30))),
        rules=replace(story.policy.rules, health=health),
    )
    own = {name: shell_document("The operator's own", _own_lines(choose), 900) for name in (BEFORE_DRAIN, AFTER_REBOOT)}
    alarms = tuple(ringing) if health else ()
    drawn = replace(_describing_documents(story), policy=policy, documents=own, alarms=alarms)
    return _published_only(choose, drawn) if choose.happens(40) else drawn


def _describing_documents(story: Story) -> Story:
    """Without refusals of DescribeDocument until the end: runs with the operator's documents end with that error."""
    scenario = story.scenario
    kept = tuple(placed for placed in scenario.faults.faults if not _never_describes(placed.fault))
    return replace(story, scenario=replace(scenario, faults=replace(scenario.faults, faults=kept)))


def _never_describes(fault: Fault) -> bool:
    return isinstance(fault, f.ApiFails) and fault.operation == "DescribeDocument" and fault.lasts is None


def _published_only(choose: Chooser, story: Story) -> Story:
    """Only published versions, while AWS publishes late, withdraws, or does not answer."""
    moves = [
        Placed(f.PublicationMoves(choose.one_of((NEW, OLD, NEXT, None)), seconds(choose.number(0, 3000))))
        for _ in range(choose.number(0, 3))
    ]
    throttled = [Placed(_outage(choose, "ThrottlingException", 400, ("GetParameters",)))] if choose.happens(30) else []
    scenario, rules = story.scenario, story.policy.rules
    faults = FaultPlan((*scenario.faults.faults, *moves, *throttled), scenario.faults.seed)
    versions = replace(rules.versions, published_only=True)
    policy = replace(story.policy, rules=replace(rules, versions=versions))
    return replace(story, scenario=replace(scenario, faults=faults), policy=policy)


def _own_lines(choose: Chooser) -> tuple[str, ...]:
    return choose.one_of((("true",), ("sleep 20", "true"), ("sleep 400", "true"), ("echo no room", "exit 4")))


def _paced(choose: Chooser, story: Story) -> Story:
    """Now and then the operator has checkpoints or a daily limit."""
    if story.right != "store" or not choose.happens(30):
        return story
    steps = choose.one_of(("", "1,100%", "1,50%", "2,100%"))
    per_day = choose.one_of((choose.number(1, 4), None))
    checkpoints = Checkpoints(parse_checkpoints(steps), seconds(choose.one_of((60, 300))), per_day)
    return replace(story, policy=replace(story.policy, rules=replace(story.policy.rules, checkpoints=checkpoints)))


def denials(choose: Chooser, story: Story) -> tuple[Placed, ...]:
    """IAM denies some or all commands to some of the hosts, always or for a while."""
    ids = [member.host.instance_id for member in story.scenario.members if member.bottlerocket and choose.happens(25)]
    return tuple(Placed(_denial(choose), id_) for id_ in ids)


def _denial(choose: Chooser) -> f.CommandsDenied:
    at = seconds(choose.one_of((0, choose.number(1, 1500))))
    lasts = seconds(choose.number(10, 3000)) if choose.happens(50) else None
    return f.CommandsDenied(choose.one_of(("", "", APPLY, REBOOT)), choose.happens(70), at, lasts)


def _with_trouble(choose: Chooser, story: Story, api: tuple[Placed, ...]) -> Story:
    others = rivals(choose) if story.right != "none" else ()
    denied = denials(choose, story) if choose.happens(10) else ()
    placed = (*story.scenario.faults.faults, *api, *deaths(choose, 4), *others, *denied)
    naps = [Nap(choose.number(0, 3), choose.number(1, 60), seconds(choose.number(1, 1200)), choose.happens(50))]
    signals = [Interruption(choose.number(0, 3), seconds(choose.number(1, 900)))]
    ahead = ((choose.number(0, 2), timedelta(hours=choose.number(1, 48))),) if choose.happens(10) else ()
    return replace(
        story,
        scenario=replace(story.scenario, faults=FaultPlan(placed, story.scenario.seed)),
        # Only the store's lease protects against a run that was suspended.
        ahead=ahead,
        naps=tuple(naps) if story.right == "store" and choose.happens(30) else (),
        interruptions=tuple(signals) if choose.happens(20) else (),
        right=_right_to_act(choose, story),
        spacing=max(seconds(choose.one_of((70, 5, 600, 4000))), _out_of_the_way(api)),
    )


def _out_of_the_way(api: tuple[Placed, ...]) -> timedelta:
    """How far apart runs must be to see the end of a temporary denial: each one ends immediately with the error."""
    denied = any(isinstance(one.fault, f.ApiFails) and one.fault.code.startswith("AccessDenied") for one in api)
    return seconds(120 if denied else 0)


def _right_to_act(choose: Chooser, story: Story) -> str:
    """If attributes do not survive a boot and there is no store, a claim may be lost everywhere."""
    if story.right != "store":
        return story.right
    chosen = choose.one_of(("store", "store", "store", "task"))
    return chosen if story.scenario.ecs_timing.attributes_survive else "store"


def _releases() -> tuple[Release, ...]:
    return (Release(NEW, VARIANT), Release(OLD, VARIANT))


def _ecs_timing(choose: Chooser, usual: EcsTiming) -> EcsTiming:
    return replace(
        usual,
        attributes_survive=not choose.happens(15),
        draining_survives=not choose.happens(15),
        flap_every=seconds(choose.number(300, 3000)) if choose.happens(10) else None,
    )


def _ssm_timing(choose: Chooser) -> SsmTiming:
    """The same delay, however often it is called."""
    return SsmTiming(
        visible=seconds(choose.one_of((1, 0, 5))),
        delivery=seconds(choose.one_of((0.5, 5, 20))),
        report=seconds(choose.one_of((0.3, 5, 10))),
    )


def story_of_interruptions(choose: Chooser) -> Story:
    """Spot interruptions, container instances deregistered by hand, and claims deleted by hand, at any moment."""
    story = quiet_story(choose)
    struck = [
        Placed(_interruption(choose), member.host.instance_id)
        for member in story.scenario.members
        if member.bottlerocket and choose.happens(50)
    ]
    faults = (*struck, *deaths(choose, choose.one_of((0, 2))))
    scenario = replace(
        story.scenario, story="hosts are interrupted", faults=FaultPlan(tuple(faults), story.scenario.seed)
    )
    return replace(story, scenario=scenario)


def _interruption(choose: Chooser) -> Fault:
    step = choose.one_of((None, *f.Step))
    at = seconds(choose.number(0, 1500) if step is None else choose.number(0, 60))
    if choose.happens(50):
        return f.SpotInterrupted(at, step, drains=not choose.happens(20))
    return f.Deregistered(at, step) if choose.happens(50) else f.ClaimDeleted(at, step)
