"""Random clusters like those in the field: invariants 14, 15 and 16, and that good rollouts succeed.

The world checks 15 and 16 itself. Whether a run that could start no update says so is checked from its result.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.simulated import NEW, Updater, at_most, row

from bottlerocket_ecs_updater.core.model.event import Claimed, ClaimFound, RunFinished
from bottlerocket_ecs_updater.core.model.outcome import Updated, UpToDate
from bottlerocket_ecs_updater.core.model.passing import Passing, passing
from bottlerocket_ecs_updater.core.model.reasons import Hold
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.ledger import with_release
from bottlerocket_ecs_updater.engine.store.ledger_store import UnkeptLedger
from bottlerocket_ecs_updater.simulator.ecs import Controller, Rollout, ServiceSpec, TaskLaunch, Way, Workload
from bottlerocket_ecs_updater.simulator.faults import Breaking, Fault, FaultPlan, HealthImpaired, Placed, TasksBreak
from bottlerocket_ecs_updater.simulator.world.world import World

HOSTS = 4
RUNS = 3


@dataclass(frozen=True)
class Case:
    """A cluster like those in the field."""

    fault: Fault | None
    workload: Workload
    rollout: Rollout
    launch: TaskLaunch
    minimum: int
    budget: int
    seed: int
    apart: timedelta


def spans(least: int, most: int) -> st.SearchStrategy[timedelta]:
    return st.integers(least, most).map(lambda seconds: timedelta(seconds=seconds))


faults = st.one_of(
    st.none(),
    st.builds(TasksBreak, st.sampled_from(Breaking), spans(2, 240), gpus_only=st.booleans()),
    st.builds(HealthImpaired, st.sampled_from(["CONTAINER_RUNTIME", "DAEMON"]), spans(0, 200)),
)
workloads = st.one_of(
    st.just(Workload()),
    st.builds(Workload, gpus=st.just(0), shutdown=spans(1, 20000), stop_timeout=spans(1, 20000)),
    st.builds(Workload, runs_for=spans(20, 400), exit_code=st.sampled_from([0, 1])),
    st.just(Workload(never_stops=True)),
    st.just(Workload(fails_to_start="CannotPullContainerError: not found")),
)
rollouts = st.one_of(
    st.just(Rollout()),
    st.builds(
        Rollout,
        st.sampled_from(Way),
        st.sampled_from(Controller),
        bake=spans(0, 100_000),
        steps=st.integers(1, 3),
        circuit_breaker=st.booleans(),
    ),
    st.just(Rollout(never_ends=True)),
)
cases = st.builds(
    Case,
    faults,
    workloads,
    rollouts,
    st.sampled_from(TaskLaunch),
    st.sampled_from([0, 50, 100]),
    st.integers(1, 3),
    st.integers(0, 1000),
    spans(600, 50_000),
)


def world_of(case: Case) -> World:
    plan = FaultPlan((Placed(case.fault),)) if case.fault is not None else None
    world = row(HOSTS, seed=case.seed, plan=plan, budget=case.budget, services=1)
    spec = ServiceSpec(
        "odd",
        desired=HOSTS,
        workload=case.workload,
        rollout=case.rollout,
        launch=case.launch,
        minimum_healthy_percent=case.minimum,
    )
    service = world.add_service(spec)
    world.clock.sleep(timedelta(minutes=20))
    world.ecs.scheduler.new_deployment(service, service.deployments[0].definition)
    world.clock.sleep(timedelta(minutes=5))
    return world


def says_so(updater: Updater, finished: RunFinished) -> bool:
    """Checks that a run that took no host does not report success if the holds do not pass by themselves."""
    took = any(isinstance(event, Claimed | ClaimFound) for event in updater.tape.events)
    if took or finished.exit_code:
        return True
    holds = [one for one in finished.outcomes.values() if isinstance(one, Hold)]
    counted = [one for one in holds if passing(one.reason) is not Passing.CHOSEN]
    well = any(isinstance(one, Updated | UpToDate) for one in finished.outcomes.values())
    return well or not counted or not all(passing(one.reason) is Passing.NEVER for one in counted)


def still_stopping(apart: timedelta) -> Case:
    """Drains that timed out leave tasks that are still stopping, and a list of running tasks does not include them."""
    workload = Workload(
        cpu=256, memory=256, never_stops=True, shutdown=timedelta(seconds=2), stop_timeout=timedelta(seconds=30)
    )
    rollout = Rollout(Way.ROLLING, Controller.ECS)
    return Case(None, workload, rollout, TaskLaunch.EC2, minimum=0, budget=1, seed=0, apart=apart)


@settings(max_examples=25, deadline=None)
@given(cases)
@example(still_stopping(apart=timedelta(seconds=38788)))
def test_no_invariant_breaks_in_any_mixed_cluster(case: Case) -> None:
    world, ledger = world_of(case), UnkeptLedger()
    for number in range(RUNS):
        updater = Updater(world, at_most(case.budget), f"run-{number}", ledger=ledger)
        finished = updater.run()
        assert says_so(updater, finished), finished.outcomes
        findings = world.findings()
        assert findings.clean, (findings.violations, findings.tasks_killed, findings.stranded)
        world.clock.sleep(case.apart)


@settings(max_examples=10, deadline=None)
@given(st.builds(TasksBreak, st.sampled_from(Breaking), spans(2, 40)), st.integers(1, 2), st.integers(0, 1000))
def test_no_other_host_gets_a_version_that_breaks_tasks_until_a_person_releases_it(
    fault: TasksBreak, budget: int, seed: int
) -> None:
    world, ledger = row(6, seed=seed, plan=FaultPlan((Placed(fault),)), budget=budget, tasks=3), UnkeptLedger()
    first = Updater(world, at_most(budget), ledger=ledger).run()
    assert first.exit_code == 4
    before = world.findings().versions
    world.clock.sleep(timedelta(hours=12))
    second = Updater(world, at_most(budget), "run-2", ledger=ledger).run()
    assert (second.exit_code, world.findings().versions) == (3, before)
    ledger.change(lambda one: with_release(one, Version.parse(NEW), world.clock.now()))
    assert not ledger.value.past.broken
