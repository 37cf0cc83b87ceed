"""Versions that boot but break containers (F44, F45): once that is seen, no other host gets them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.support.rules import parse_checkpoints
from tests.support.simulated import NEW, OLD, ZONES, Updater, at_most, instance_id, row

from bottlerocket_ecs_updater.core.model.event import Claimed, RunHalted
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoints
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.state.ledger import with_release
from bottlerocket_ecs_updater.engine.store.ledger_store import UnkeptLedger
from bottlerocket_ecs_updater.simulator.ecs import ContainerInstanceSpec, ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.faults import (
    Breaking,
    Fault,
    FaultPlan,
    GpusGone,
    HealthImpaired,
    Placed,
    TasksBreak,
)
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.repository import Release
from bottlerocket_ecs_updater.simulator.world.api_faults import KilledError
from bottlerocket_ecs_updater.simulator.world.world import World

HOSTS = 6
WORDS = "CannotStartContainerError"
BREAK = {
    "fails to start": TasksBreak(),
    "exits at once": TasksBreak(Breaking.EXITS, timedelta(seconds=4)),
    "exits in a while": TasksBreak(Breaking.EXITS, timedelta(seconds=25)),
    "stays pending": TasksBreak(Breaking.STAYS_PENDING),
}


def world_of(fault: Fault, budget: int = 1, **options: object) -> World:
    plan = FaultPlan((Placed(fault),))
    return row(HOSTS, plan=plan, budget=budget, tasks=3, **options)  # type: ignore[arg-type]


def on_new(world: World) -> int:
    return sum(version == NEW for version in world.findings().versions.values())


@pytest.mark.parametrize("how", BREAK)
@pytest.mark.parametrize("budget", [1, 2])
def test_f44_a_version_that_breaks_tasks_halts_the_run_and_names_them(how: str, budget: int) -> None:
    world = world_of(BREAK[how], budget)
    updater = Updater(world, at_most(budget))
    finished = updater.run()
    halts = updater.tape.of(RunHalted)
    assert (finished.outcome, finished.exit_code, len(halts)) == (RunOutcome.HALTED, 4, 1)
    assert f"{NEW} does not work on" in halts[0].why
    assert "service:" in halts[0].why
    assert on_new(world) <= 2 * budget
    assert world.findings().clean


def test_f44_tasks_that_exit_without_an_error_after_minutes_only_on_the_version_halt_the_run() -> None:
    world = world_of(TasksBreak(Breaking.EXITS, timedelta(minutes=2), exit_code=0))
    finished = Updater(world, at_most(1)).run()
    assert finished.outcome is RunOutcome.HALTED
    assert "exit code 0" in finished.why
    assert world.findings().clean


def test_f44_the_tasks_own_words_are_in_the_halt() -> None:
    finished = Updater(world_of(TasksBreak())).run()
    assert WORDS in finished.why


def test_f44_a_drain_that_waits_for_tasks_pending_on_the_version_does_not_blame_their_service() -> None:
    """Looks at a drain read its tasks only. The hosts on trial were next described after the drain had timed out."""
    plan = FaultPlan((Placed(TasksBreak(Breaking.STAYS_PENDING, group="service:db")),))
    world = row(5, plan=plan, services=1, tasks=1)
    world.add_service(ServiceSpec("db", desired=2, workload=Workload(ebs=True)))
    world.clock.sleep(timedelta(minutes=2))
    finished = Updater(world, replace(Policy(), drain_timeout=timedelta(minutes=10))).run()
    assert finished.exit_code == 4
    assert f"{NEW} does not work on" in finished.why
    assert world.findings().clean


def test_f44_the_next_run_knows_it_and_a_person_ends_it() -> None:
    world, ledger = world_of(TasksBreak()), UnkeptLedger()
    Updater(world, ledger=ledger).run()
    before = on_new(world)
    world.clock.sleep(timedelta(hours=12))
    finished = Updater(world, name="run-2", ledger=ledger).run()
    held = {one.reason for one in finished.outcomes.values() if isinstance(one, Hold)}
    assert held == {Reason.VERSION_BREAKS_TASKS}
    assert on_new(world) == before
    ledger.change(lambda one: with_release(one, Version.parse(NEW), world.clock.now()))
    assert not ledger.value.broken
    assert not ledger.value.failed_on


def test_f44_tasks_that_fail_between_two_runs_count_after_a_run_that_died_at_a_return() -> None:
    """The next run finds the host in service. Its tasks are evidence since the return, not since that run."""
    world, ledger = row(HOSTS), UnkeptLedger()
    returned: list[datetime] = []

    def note_return(_service: str, operation: str, params: Mapping[str, object]) -> None:
        if operation == "UpdateContainerInstancesState" and params["status"] == "ACTIVE":
            returned.append(world.clock.now())
            raise KilledError("the test kills it here")

    first = Updater(world, ledger=ledger, clients=InProcessClients(world, "run-1", after_call=note_return))
    with pytest.raises(KilledError):
        first.run()
    world.clock.sleep(timedelta(minutes=5))
    Updater(world, at_most(1), name="run-2", ledger=ledger).run()
    on_trial_since = min(update.at for update in ledger.value.past.updated.values())
    assert on_trial_since <= returned[0]
    assert world.findings().clean


@pytest.mark.parametrize("minutes", [5, 10, 20])
def test_f44_a_service_that_fails_everywhere_and_at_once_on_the_version_halts_the_run(minutes: int) -> None:
    crashes = Workload(cpu=64, memory=64, runs_for=timedelta(minutes=minutes), exit_code=1)
    world = row(
        HOSTS, plan=FaultPlan((Placed(TasksBreak(Breaking.EXITS, timedelta(seconds=5), group="service:loop")),))
    )
    world.add_service(ServiceSpec("loop", HOSTS, crashes))
    world.clock.sleep(timedelta(minutes=15))
    finished = Updater(world, at_most(1)).run()
    assert finished.outcome is RunOutcome.HALTED
    assert "service:loop" in finished.why
    assert world.findings().clean


def test_f44_the_hosts_of_a_broken_version_go_first_to_the_one_that_mends_it() -> None:
    """Otherwise the tasks of the first host that is drained have no place where they run, and its drain times out."""
    world, ledger = world_of(TasksBreak(version=NEW)), UnkeptLedger()
    assert Updater(world, at_most(1), ledger=ledger).run().outcome is RunOutcome.HALTED
    broken = [name for name, host in world.hosts.items() if host.running == NEW]
    world.clock.sleep(timedelta(hours=1))
    world.repository.publish(Release("1.22.0", "aws-ecs-2"))
    mended = Updater(world, at_most(1), "run-2", ledger=ledger)
    finished = mended.run()
    assert (finished.outcome, finished.counts["updated"]) == (RunOutcome.OK, len(world.hosts))
    assert [event.instance for event in mended.tape.of(Claimed)][: len(broken)] == broken


def test_f44_failures_on_every_host_do_not_count_against_the_version() -> None:
    world = world_of(TasksBreak(version="9.9.9"))
    crashes = Workload(runs_for=timedelta(seconds=40), exit_code=1)
    world.add_service(ServiceSpec("crasher", desired=HOSTS, minimum_healthy_percent=0, workload=crashes))
    world.clock.sleep(timedelta(minutes=30))
    finished = Updater(world).run()
    assert finished.counts["updated"] == HOSTS


def test_f44_tasks_with_gpus_alone_break() -> None:
    world = world_of(TasksBreak(gpus_only=True))
    assert Updater(world).run().counts["updated"] == HOSTS


@pytest.mark.parametrize("after", [0, 40, 150])
def test_f45_an_impaired_container_instance_halts_the_run(after: int) -> None:
    world = world_of(HealthImpaired(after=timedelta(seconds=after)))
    finished = Updater(world).run()
    assert finished.exit_code == 4
    assert "IMPAIRED: CONTAINER_RUNTIME" in finished.why
    assert on_new(world) <= 2
    assert world.findings().clean


def test_f45_a_host_that_is_impaired_after_its_reboot_is_not_returned_to_service() -> None:
    world = world_of(HealthImpaired(after=timedelta()))
    finished = Updater(world).run()
    assert (finished.counts["quarantined"], on_new(world)) == (1, 1)


# The cause: the version, or the service itself


def breaking(**how: object) -> FaultPlan:
    return FaultPlan((Placed(TasksBreak(**how)),))  # type: ignore[arg-type]


@pytest.mark.parametrize("after", [20, 120])
@pytest.mark.parametrize("budget", [1, 2])
def test_f44_tasks_that_ecs_finds_unhealthy_on_a_version_count_against_it(after: int, budget: int) -> None:
    plan = breaking(how=Breaking.UNHEALTHY, after=timedelta(seconds=after))
    world = row(HOSTS, plan=plan, tasks=3, budget=budget)
    finished = Updater(world, at_most(budget)).run()
    assert (finished.outcome, finished.exit_code) == (RunOutcome.HALTED, 4)
    assert "Task failed container health checks" in finished.why
    assert on_new(world) <= 3
    assert world.findings().clean


def test_f44_a_target_group_that_finds_tasks_unhealthy_counts_too() -> None:
    plan = breaking(how=Breaking.UNHEALTHY, after=timedelta(seconds=60), group="service:lb")
    world = row(HOSTS, plan=plan, tasks=1)
    world.add_service(ServiceSpec("lb", desired=HOSTS, load_balanced=True))
    world.clock.sleep(timedelta(minutes=1))
    finished = Updater(world).run()
    assert "service:lb: Task failed ELB health checks" in finished.why
    assert world.findings().clean


@pytest.mark.parametrize("how", [Breaking.FAILS_TO_START, Breaking.EXITS])
def test_f44_a_daemon_that_breaks_alone_counts_against_the_version(how: Breaking) -> None:
    world = row(HOSTS, plan=breaking(how=how, group="service:agent"), tasks=3)
    finished = Updater(world).run()
    assert "service:agent" in finished.why
    assert on_new(world) == 1


def test_f44_tasks_that_exit_at_once_without_an_error_count_too() -> None:
    world = row(HOSTS, plan=breaking(how=Breaking.EXITS, after=timedelta(seconds=5), exit_code=0), tasks=3)
    assert f"{NEW} does not work on" in Updater(world).run().why
    assert on_new(world) == 1


def crashes_from(world: World, when: timedelta, *, lives: int = 20) -> None:
    """Something that all tasks of a service need fails, such as its database: each task exits, wherever it runs."""

    def break_all() -> None:
        service = world.cluster.services["web-0"]
        crashing = Workload(runs_for=timedelta(seconds=lives), exit_code=1)
        service.deployments[0].definition = replace(service.deployments[0].definition, workload=crashing)
        for task in service.live_tasks():
            task.definition = service.deployments[0].definition
            world.ecs.lifecycle.resume(task)

    world.clock.after(when, break_all)


@pytest.mark.parametrize("minutes", [3, 8, 12, 13, 14, 15])
@pytest.mark.parametrize("lives", [5, 40, 90])
def test_f44_a_service_that_crashes_everywhere_from_some_moment_says_nothing_against_the_version(
    minutes: int, lives: int
) -> None:
    world, ledger = row(HOSTS), UnkeptLedger()
    crashes_from(world, timedelta(minutes=minutes), lives=lives)
    Updater(world, ledger=ledger).run()
    world.clock.sleep(timedelta(hours=2))
    Updater(world, name="run-2", ledger=ledger).run()
    assert not ledger.value.broken


@pytest.mark.parametrize("minutes", [1, 8, 60])
def test_f44_a_deployment_that_crashes_says_nothing_against_the_version(minutes: int) -> None:
    """ECS starts the next tasks on the emptiest hosts, which are those that were just updated."""
    world, ledger = row(HOSTS), UnkeptLedger()

    def deploy() -> None:
        definition = world.ecs.registry.define("web-0", Workload(runs_for=timedelta(seconds=15), exit_code=1))
        world.ecs.scheduler.new_deployment(world.cluster.services["web-0"], definition)

    world.clock.after(timedelta(minutes=minutes), deploy)
    Updater(world, ledger=ledger).run()
    world.clock.sleep(timedelta(hours=2))
    finished = Updater(world, name="run-2", ledger=ledger).run()
    assert not ledger.value.broken
    assert finished.outcome is not RunOutcome.HALTED


@pytest.mark.parametrize("minutes", [6, 14])
@pytest.mark.parametrize("desired", [2, HOSTS])
def test_f44_a_large_image_says_nothing_against_the_version(minutes: int, desired: int) -> None:
    world, ledger = row(HOSTS, services=1), UnkeptLedger()
    world.add_service(ServiceSpec("fat", desired=desired, workload=Workload(pull=timedelta(minutes=minutes))))
    world.clock.sleep(timedelta(minutes=2))
    finished = Updater(world, ledger=ledger).run()
    assert not ledger.value.broken
    assert finished.counts["updated"] == HOSTS


def test_f44_hosts_on_which_short_tasks_always_start_are_not_suspected() -> None:
    world, ledger = row(HOSTS, services=1), UnkeptLedger()
    short = Workload(cpu=32, memory=32, pull=timedelta(seconds=25), runs_for=timedelta(seconds=70))
    world.add_service(ServiceSpec("worker", desired=2 * HOSTS, minimum_healthy_percent=0, workload=short))
    world.clock.sleep(timedelta(minutes=20))
    Updater(world, ledger=ledger).run()
    assert not ledger.value.broken


@pytest.mark.parametrize("minutes", [20, 40])
def test_f44_a_version_on_which_all_services_fail_late_is_named_by_the_next_run(minutes: int) -> None:
    world, ledger = (
        row(HOSTS, plan=breaking(how=Breaking.EXITS, after=timedelta(minutes=minutes)), tasks=3),
        UnkeptLedger(),
    )
    Updater(world, ledger=ledger).run()
    world.clock.sleep(timedelta(hours=12))
    finished = Updater(world, name="run-2", ledger=ledger).run()
    assert (finished.outcome, finished.exit_code) == (RunOutcome.HALTED, 4)
    assert f"{NEW} does not work on" in finished.why


IN_TROUBLE = {
    "crashes in a loop": Workload(runs_for=timedelta(seconds=40), exit_code=1),
    "crashes now and then": Workload(runs_for=timedelta(seconds=200), exit_code=1),
    "ends again and again": Workload(runs_for=timedelta(seconds=60)),
}


def world_in_trouble(work: Workload, fault: Fault | None, *, alone: bool) -> World:
    """A cluster with a service that fails on all versions. With `alone`, it has no other tasks."""
    plan = FaultPlan((Placed(fault),)) if fault is not None else None
    world = row(4, plan=plan, services=0 if alone else 1, tasks=2)
    if alone:
        agent = next(one for one in world.cluster.services.values() if one.name == "agent")
        agent.status = "DRAINING"
        world.ecs.scheduler.wake(agent)
    world.add_service(ServiceSpec("looper", desired=4, minimum_healthy_percent=0, workload=work))
    world.clock.sleep(timedelta(minutes=45))
    return world


@pytest.mark.parametrize("work", IN_TROUBLE)
@pytest.mark.parametrize("alone", [False, True])
def test_f44_a_service_that_lost_tasks_before_does_not_count_against_a_good_version(work: str, alone: bool) -> None:
    finished = Updater(world_in_trouble(IN_TROUBLE[work], None, alone=alone)).run()
    assert (finished.exit_code, finished.counts["updated"]) == (0, 4)


@pytest.mark.parametrize("work", IN_TROUBLE)
@pytest.mark.parametrize(
    "fault", [TasksBreak(), TasksBreak(Breaking.EXITS, timedelta(seconds=4))], ids=["start", "exit"]
)
def test_f44_a_service_that_lost_tasks_before_does_not_hide_a_bad_version(work: str, fault: TasksBreak) -> None:
    world = world_in_trouble(IN_TROUBLE[work], fault, alone=True)
    finished = Updater(world).run()
    assert finished.exit_code == 4
    assert f"{NEW} does not work on" in finished.why
    assert not world.findings().violations
    assert on_new(world) <= 3


@pytest.mark.parametrize("seconds", [1, 3, 10, 20])
def test_f44_tasks_that_stay_pending_are_noticed_though_their_service_crashes_in_seconds(seconds: int) -> None:
    """At no look does one of its tasks run elsewhere, but some have started and crashed since."""
    work = Workload(runs_for=timedelta(seconds=seconds), exit_code=1)
    world = world_in_trouble(work, TasksBreak(Breaking.STAYS_PENDING), alone=True)
    finished = Updater(world).run()
    assert finished.exit_code == 4
    assert "service:looper: tasks have been PENDING" in finished.why
    assert not world.findings().violations


def test_f44_a_task_that_waits_on_every_host_says_nothing_against_the_version() -> None:
    world = row(4)
    world.add_service(ServiceSpec("waits", desired=1, minimum_healthy_percent=0, workload=Workload(stays_pending=True)))
    world.clock.sleep(timedelta(minutes=45))
    finished = Updater(world).run()
    assert "tasks fail" not in finished.why
    assert Reason.VERSION_BREAKS_TASKS not in {
        one.reason for one in finished.outcomes.values() if isinstance(one, Hold)
    }


def released_after(world: World, ledger: UnkeptLedger) -> None:
    """A person releases the version, and the world is informed."""
    ledger.change(lambda one: with_release(one, Version.parse(NEW), world.clock.now()))
    body = json.dumps({"released": {NEW: world.clock.now().isoformat()}}).encode()
    world.call("s3", "PutObject", {"Bucket": "state", "Key": "clusters/demo/ledger.json", "Body": body}, "person")


@pytest.mark.parametrize("says", [True, False])
def test_f44_the_rollout_of_a_released_version_continues(*, says: bool) -> None:
    fault = TasksBreak(Breaking.EXITS, timedelta(seconds=5))
    world, ledger = world_of(fault), UnkeptLedger()
    world.s3.create_bucket({"Bucket": "state"})
    assert Updater(world, ledger=ledger).run().exit_code == 4
    world.ecs.registry.breaks = lambda _: None
    world.clock.sleep(timedelta(minutes=2))
    if says:
        released_after(world, ledger)
    else:
        ledger.change(lambda one: with_release(one, Version.parse(NEW), world.clock.now()))
    finished = Updater(world, name="run-2", ledger=ledger).run()
    assert (finished.exit_code, on_new(world)) == (0, HOSTS)
    assert {one.invariant for one in world.findings().violations} == (set() if says else {16})


@pytest.mark.parametrize("minutes", [30, 50])
def test_f44_tasks_that_fail_once_an_hour_on_the_first_host_stop_the_rollout_at_its_checkpoint(minutes: int) -> None:
    """Each service loses one task an hour, on the one host that was updated."""
    plan = breaking(how=Breaking.EXITS, after=timedelta(minutes=minutes))
    world, ledger = row(HOSTS, plan=plan, tasks=3), UnkeptLedger()
    policy = Policy(rules=Rules(checkpoints=Checkpoints(parse_checkpoints("1"), timedelta(hours=6))))
    Updater(world, policy, ledger=ledger).run()
    for name in ("web-0", "web-1"):
        service = world.cluster.services[name]
        world.ecs.scheduler.new_deployment(service, service.deployments[0].definition)
    world.clock.sleep(timedelta(hours=7))
    finished = Updater(world, policy, name="run-2", ledger=ledger).run()
    assert (finished.outcome, on_new(world)) == (RunOutcome.HALTED, 1)
    assert world.findings().clean


# GPUs


@pytest.mark.parametrize("left", [0, 1])
def test_f48_a_version_on_which_gpus_are_missing_is_held_after_the_first_host(left: int) -> None:
    """No task fails, because ECS places none there. Each further host would lose its GPUs too."""
    world = row(0, services=0, plan=FaultPlan((Placed(GpusGone(left)),)))
    attributes = (("bottlerocket.variant", "aws-ecs-2"),)
    for number in range(4):
        spec = ContainerInstanceSpec(instance_id(number), ZONES[0], attributes, gpus=2)
        world.add_instance(HostSpec(instance_id(number), version=OLD), ZONES[0], spec=spec)
    world.add_service(ServiceSpec("ml", desired=3, workload=Workload(gpus=1)))
    world.clock.sleep(timedelta(minutes=1))
    ledger = UnkeptLedger()
    finished = Updater(world, ledger=ledger).run()
    assert (finished.outcome, finished.exit_code, on_new(world)) == (RunOutcome.HALTED, 4, 1)
    assert f"it registered with {left} of its 2 GPUs" in finished.why
    world.clock.sleep(timedelta(hours=12))
    Updater(world, name="run-2", ledger=ledger).run()
    assert on_new(world) == 1
    assert world.findings().clean
