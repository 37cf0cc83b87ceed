"""Runs that could start no update: success only if the reason passes by itself or was chosen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.rules import parse_task_rules, parse_windows
from tests.support.simulated import Updater, instance_id, row

from bottlerocket_ecs_updater.core.model.event import RunFinished
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.core.model.passing import BY_ITSELF, CHOSEN, HAS_A_PERSON, NEEDS_A_PERSON, NEVER_PASSES
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoint, Checkpoints
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.selection import Selection, parse_selector
from bottlerocket_ecs_updater.core.rules.tasks import TaskRules
from bottlerocket_ecs_updater.core.rules.windows import Schedule
from bottlerocket_ecs_updater.engine.store.ledger_store import UnkeptLedger
from bottlerocket_ecs_updater.report.analysis.ending import Ending
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.report.outputs.markdown import markdown
from bottlerocket_ecs_updater.report.outputs.messages import finish_text
from bottlerocket_ecs_updater.report.outputs.summary_text import summary_text
from bottlerocket_ecs_updater.simulator.ecs import Rollout, ServiceSpec, Way, Workload
from bottlerocket_ecs_updater.simulator.faults import FaultPlan, PartialFailures, Placed
from bottlerocket_ecs_updater.simulator.world.world import World

SMALL = Workload(cpu=16, memory=32)
HALF_A_DAY = timedelta(hours=12)
FOR_DAYS = Rollout(Way.BLUE_GREEN, bake=timedelta(days=3))


def deploying() -> World:
    world = row(3)
    world.add_service(ServiceSpec("web", desired=3, rollout=FOR_DAYS))
    service = world.cluster.services["web"]
    world.ecs.scheduler.new_deployment(service, service.deployments[0].definition)
    world.clock.sleep(timedelta(minutes=1))
    return world


def ends(world: World, policy: Policy | None = None, runs: int = 3) -> list[tuple[RunOutcome, int]]:
    """How consecutive runs end, half a day apart, with one ledger."""
    ledger, found = UnkeptLedger(), []
    for number in range(runs):
        finished = Updater(world, policy or Policy(), f"run-{number}", ledger=ledger).run()
        found.append((finished.outcome, finished.exit_code))
        world.clock.sleep(HALF_A_DAY)
    return found


def test_a_deployment_that_outlasts_two_runs_is_said_to_be_stuck() -> None:
    assert ends(deploying()) == [(RunOutcome.OK, 0), (RunOutcome.STUCK, 3), (RunOutcome.STUCK, 3)]


def test_the_reason_is_the_first_word_of_the_run_with_since_when() -> None:
    world, ledger = deploying(), UnkeptLedger()
    Updater(world, ledger=ledger).run()
    world.clock.sleep(HALF_A_DAY)
    finished = Updater(world, name="run-2", ledger=ledger).run()
    assert finished.why.startswith("no update could start: a deployment is in progress: web (since ")
    assert "in 2 runs in a row" in finished.why


def test_a_deployment_that_ends_is_forgotten() -> None:
    world, ledger = deploying(), UnkeptLedger()
    Updater(world, ledger=ledger).run()
    assert ledger.value.waiting
    world.clock.sleep(timedelta(days=4))
    finished = Updater(world, name="run-2", ledger=ledger).run()
    assert (finished.counts["updated"], finished.exit_code) == (3, 0)
    assert not ledger.value.waiting


def test_a_rule_that_is_turned_off_holds_nothing() -> None:
    policy = Policy(rules=Rules(tasks=TaskRules(hold_while_deploying=False)))
    assert ends(deploying(), policy, 1) == [(RunOutcome.OK, 0)]


def test_a_service_that_can_never_move_is_said_at_once() -> None:
    world = row(3)
    world.add_service(ServiceSpec("fixed", desired=3, minimum_healthy_percent=100, maximum_percent=100))
    finished = Updater(world).run()
    assert (finished.outcome, finished.exit_code) == (RunOutcome.STUCK, 3)
    assert "fixed" in finished.why


def test_a_run_without_records_of_others_goes_by_the_age_of_the_deployment() -> None:
    world = deploying()
    assert [Updater(world).run().exit_code for _ in range(2)] == [0, 0]
    world.clock.sleep(timedelta(days=1))
    finished = Updater(world).run()
    assert (finished.outcome, finished.exit_code) == (RunOutcome.STUCK, 3)


def test_a_cluster_without_reachable_hosts_is_reported_at_once() -> None:
    world = row(3)
    for host in world.hosts.values():
        world.ssm.forget(host.instance_id)
    assert ends(world, runs=1) == [(RunOutcome.STUCK, 3)]


def test_a_chosen_hold_is_never_a_failure_even_if_it_lasts_long() -> None:
    rules = Rules(selection=Selection(exclude=(parse_selector("attribute:ecs.os-type == linux"),)))
    assert ends(row(3), Policy(rules=rules)) == [(RunOutcome.OK, 0)] * 3


def test_a_budget_that_others_fill_is_said() -> None:
    world = row(4)
    ids = sorted(world.hosts)
    world.ecs.agents.went_down(world.instance(ids[0]))
    world.clock.sleep(timedelta(minutes=2))
    assert ends(world) == [(RunOutcome.OK, 0), (RunOutcome.STUCK, 3), (RunOutcome.STUCK, 3)]


def test_a_cluster_that_people_have_drained_is_no_success() -> None:
    """No run can start an update until somebody sets an instance ACTIVE. It was reported as a success for good."""
    world = row(3)
    world.operator_drain(*world.hosts)
    updater = Updater(world)
    finished = updater.run()
    assert (finished.outcome, finished.exit_code) == (RunOutcome.STUCK, 3)
    assert finished.why == "no update could start: somebody else set it to DRAINING"
    assert run_report(updater.tape.events).headline.startswith("No update could start: somebody else set it")


def test_hosts_that_people_have_drained_are_no_failure_beside_hosts_that_are_up_to_date() -> None:
    world = row(3)
    Updater(world).run()
    world.operator_drain(instance_id(0))
    assert ends(world) == [(RunOutcome.OK, 0)] * 3


def test_windows_that_are_all_too_short_are_said_at_once() -> None:
    """Each run in a window reported a success, and no update ever started."""
    world = row(2)
    rules = Rules(schedule=Schedule(parse_windows("Mon 09:00 1h UTC; Tue 09:00 1h UTC")))
    waiting = replace(rules, tasks=TaskRules(parse_task_rules("service:web-* wait 8h")))
    assert ends(world, Policy(rules=waiting), runs=1) == [(RunOutcome.STUCK, 3)]
    longer = replace(waiting, schedule=Schedule(parse_windows("Mon 09:00 1h UTC; Sun 09:00 20h UTC")))
    assert ends(row(2), Policy(rules=longer), runs=4) == [(RunOutcome.OK, 0)] * 4


def test_a_standalone_task_has_a_day() -> None:
    world = row(2)
    for id_ in world.hosts:
        world.run_standalone_task(id_, replace(Workload(), runs_for=timedelta(days=10)))
    assert ends(world, runs=4) == [(RunOutcome.OK, 0), (RunOutcome.OK, 0), (RunOutcome.STUCK, 3), (RunOutcome.STUCK, 3)]


def test_runs_between_maintenance_windows_do_not_start_the_count_again() -> None:
    """Every night a deployment was in progress while the window was open. No run ever reported it."""
    world = row(2)
    world.add_service(ServiceSpec("web", desired=2, rollout=Rollout(Way.BLUE_GREEN, bake=timedelta(hours=1))))
    service = world.cluster.services["web"]

    def deploy() -> None:
        world.ecs.scheduler.new_deployment(service, service.deployments[0].definition)
        world.clock.after(timedelta(days=1), deploy)

    deploy()
    world.clock.sleep(timedelta(minutes=1))
    policy = Policy(rules=Rules(schedule=Schedule(parse_windows("daily 09:00 1h UTC"))))
    assert [code for _, code in ends(world, policy, runs=5)] == [0, 0, 3, 0, 3]


def test_a_deadline_does_not_hide_why_a_run_could_start_nothing() -> None:
    """The hold was that the run is stopping, for a day."""
    policy = Policy(deadline=timedelta(minutes=5))
    assert ends(deploying(), policy, runs=2) == [(RunOutcome.OK, 0), (RunOutcome.STUCK, 3)]


def test_one_hold_after_another_has_a_day_too() -> None:
    """Each run found another reason, so none lasted, and no update ever started."""
    world, ledger, found = row(1), UnkeptLedger(), []
    world.add_service(ServiceSpec("web", rollout=Rollout(Way.BLUE_GREEN, bake=timedelta(hours=1))))
    service = world.cluster.services["web"]
    for number in range(6):
        if number % 2:
            world.run_standalone_task(instance_id(0), replace(Workload(), runs_for=timedelta(hours=2)))
        else:
            world.ecs.scheduler.new_deployment(service, service.deployments[0].definition)
        found.append(Updater(world, name=f"run-{number}", ledger=ledger).run())
        world.clock.sleep(HALF_A_DAY)
    assert [finished.exit_code for finished in found] == [0, 0, 3, 3, 3, 3]
    assert "in 6 runs in a row, for this and other reasons" in found[-1].why


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_classified_once(reason: Reason) -> None:
    assert sum(reason in each for each in (BY_ITSELF, CHOSEN, NEVER_PASSES)) == 1


def test_a_hold_that_never_passes_needs_a_person() -> None:
    assert NEVER_PASSES - HAS_A_PERSON < NEEDS_A_PERSON


def test_a_run_to_which_ecs_describes_no_instance_is_no_success() -> None:
    """It knows nothing about the cluster, even without a record of earlier runs."""
    world = row(3, plan=FaultPlan((Placed(PartialFailures(every=1)),)))
    finished = Updater(world).run()
    assert (finished.outcome, finished.exit_code) == (RunOutcome.STUCK, 3)
    assert finished.why.startswith("no update could start: ECS lists 3 container instances and described none of them")


def test_one_instance_that_ecs_does_not_describe_stops_no_run() -> None:
    world = row(3, plan=FaultPlan((Placed(PartialFailures(every=4, at=timedelta(minutes=4))),)))
    finished = Updater(world).run()
    assert finished.exit_code == 0
    assert finished.counts["updated"] > 0


UNMOVABLE = ServiceSpec(
    "fixed", desired=3, minimum_healthy_percent=100, maximum_percent=100, distinct_instances=True, workload=SMALL
)


def unmovable_on_three(hosts: int) -> World:
    """Three hosts whose drain would never finish. The others have more tasks, so these three come first."""
    world = row(hosts, services=0)
    world.add_service(UNMOVABLE)
    world.add_service(ServiceSpec("web", desired=3 * hosts, workload=SMALL))
    world.clock.sleep(timedelta(minutes=2))
    return world


def test_hosts_without_room_keep_no_others_from_being_staged() -> None:
    """They were staged first, stayed READY, and so took the places of all others that could have been staged."""
    finished = Updater(unmovable_on_three(20)).run()
    assert finished.counts["updated"] == 17
    assert {one.reason for one in finished.outcomes.values() if isinstance(one, Hold)} == {Reason.NO_ROOM}


def test_a_run_is_stuck_where_all_others_wait_for_the_ones_that_never_start() -> None:
    """The first three cannot be drained, and no others may be updated before the first checkpoint, or on this day."""
    for pace in (Checkpoints((Checkpoint(1),)), Checkpoints(per_day=1)):
        world = row(3, services=0)
        world.add_service(UNMOVABLE)
        world.clock.sleep(timedelta(minutes=2))
        finished = Updater(world, Policy(rules=Rules(checkpoints=pace)), ledger=UnkeptLedger()).run()
        assert (finished.outcome, finished.exit_code) == (RunOutcome.STUCK, 3)
        assert "its tasks of fixed cannot move" in finished.why


def test_holds_that_need_a_person_are_marked_apart_from_those_that_pass_by_themselves() -> None:
    """The run is not stuck: the standalone task may end. But two instances stay as they are until a person acts."""
    world = row(3, services=0)
    world.add_service(replace(UNMOVABLE, desired=2))
    world.clock.sleep(timedelta(minutes=2))
    free = next(id_ for id_ in world.hosts if "service:fixed" not in groups_on(world, id_))
    world.run_standalone_task(free, replace(SMALL, runs_for=timedelta(days=10)))
    updater = Updater(world, ledger=UnkeptLedger())
    assert updater.run().exit_code == 0
    report = run_report(updater.tape.events)
    assert report.ending is Ending.NEEDS_A_PERSON
    assert report.headline == "2 instances need a person (no-room); nothing was updated"
    assert "3 held (2 need a person)" in summary_text(report.summary)
    for text in (summary_text(report.summary), markdown(report), finish_text(report, "")):
        assert "no-room, needs a person: " in text
        assert "standalone-task: " in text


def groups_on(world: World, id_: str) -> set[str]:
    return {task.group for task in world.instance(id_).tasks.values()}


def test_a_headline_ends_at_a_whole_word() -> None:
    world = row(3)
    world.add_service(ServiceSpec("a-service-with-a-long-name", desired=3, maximum_percent=100))
    updater = Updater(world)
    updater.run()
    report = run_report(updater.tape.events)
    assert report.headline.endswith(" …")
    assert f"{updater.tape.of(RunFinished)[0].why} ".startswith(report.headline[1:-1].strip(), 1)
