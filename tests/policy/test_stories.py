"""What operators want, tested with whole runs in virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from tests.support.people import pause, resume
from tests.support.rules import parse_checkpoints, parse_freezes, parse_task_rules, parse_windows
from tests.support.simulated import DOCUMENTS, NEW, EngineClock, Tape, Updater, instance_id, row, survey_of

from bottlerocket_ecs_updater.aws.ecs import EcsCluster
from bottlerocket_ecs_updater.aws.launches import AwsLaunches
from bottlerocket_ecs_updater.aws.ssm import SsmHosts
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.core.decision.unclaimed.rule_answers import first_hold
from bottlerocket_ecs_updater.core.model.event import (
    Claimed,
    Event,
    RuleOff,
    RunFinished,
    UpdatesPaused,
    UpdatesResumed,
)
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.planning.explain import explain_instance
from bottlerocket_ecs_updater.core.planning.plan import Plan, make_plan
from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoints
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.selection import Selection, parse_selector
from bottlerocket_ecs_updater.core.rules.tasks import TaskRules
from bottlerocket_ecs_updater.core.rules.versions import VersionRange, VersionRules
from bottlerocket_ecs_updater.core.rules.windows import Schedule
from bottlerocket_ecs_updater.engine.lease.task_lease import NoLease
from bottlerocket_ecs_updater.engine.run_ports import Ports
from bottlerocket_ecs_updater.engine.safe_recorder import DiscardEvents
from bottlerocket_ecs_updater.engine.snapshot import take_snapshot
from bottlerocket_ecs_updater.engine.store.fleet_file import read_fleet, write_fleet
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.faults import RebootDelayed, RollsBack
from bottlerocket_ecs_updater.simulator.inprocess import Hook, InProcessClients
from bottlerocket_ecs_updater.simulator.repository import Release
from bottlerocket_ecs_updater.simulator.world.world import World

DAY = timedelta(days=1)


@dataclass
class Story:
    """A cluster and a state store, with several runs one after the other."""

    world: World
    rules: Rules
    folder: Path
    policy: Policy = field(default_factory=Policy)
    cluster: str = "demo"
    """Its name in the state store."""
    runs: int = 0
    before_call: Hook = field(default=lambda _service, _operation, _params: None)
    """Before each call of a plan."""

    @property
    def store(self) -> FolderStore:
        return FolderStore(self.folder)

    def updater(self) -> Updater:
        self.runs += 1
        name = f"run-{self.runs}"
        ledger = KeptLedger(self.store, self.cluster, RunId(name))
        return Updater(self.world, replace(self.policy, rules=self.rules), name, ledger, store=self.store)

    def run(self) -> RunFinished:
        return self.updater().run()

    def reasons(self) -> set[Reason]:
        return {why.reason for why in self.run().outcomes.values() if isinstance(why, Hold)}

    def picture(self) -> Fleet:
        clock, clients = EngineClock(self.world), InProcessClients(self.world, "plan", before_call=self.before_call)
        api = Api(clock, CallPace(clock), Calls())
        ecs, groups = cast("Any", Pair.of(clients.ecs)), cast("Any", Pair.of(clients.autoscaling))
        launches = AwsLaunches(groups, cast("Any", Pair.of(clients.ec2)), api)
        ports = Ports(
            EcsCluster(ecs, api, clock, "demo"),
            SsmHosts(cast("Any", Pair.of(clients.ssm)), api, DOCUMENTS, "test"),
            clock,
            KeptLedger(self.store, self.cluster, RunId("plan")),
            NoLease(),
            DiscardEvents(),
            store=self.store,
            survey=survey_of(clients, api),
            state="demo",
        )
        return take_snapshot(ports, replace(self.policy, rules=self.rules), launches=launches)

    def plan(self) -> Plan:
        return make_plan(self.picture(), replace(self.policy, rules=self.rules))


def updated(finished: RunFinished) -> int:
    return finished.counts["updated"]


def test_over_a_holiday_in_a_zone_whose_clocks_change_nothing_is_started_until_the_local_day_after(
    tmp_path: Path,
) -> None:
    world = row(2)
    # Clocks in Berlin go forward on 29 March 2026: the freeze ends at 22:00 UTC, not at 23:00.
    story = Story(world, Rules(schedule=Schedule((), parse_freezes("2026-01-05..2026-03-29 Europe/Berlin"))), tmp_path)
    assert story.reasons() == {Reason.FROZEN}
    held = dict(story.plan().held)[InstanceId(instance_id(0))]
    assert dict(held.facts)["opens"] == "2026-03-29 22:00 UTC"
    ends = datetime(2026, 3, 29, 22, 0, tzinfo=UTC)
    world.clock.sleep(ends - timedelta(minutes=1) - world.clock.now())
    assert story.reasons() == {Reason.FROZEN}
    world.clock.sleep(ends - world.clock.now())
    assert updated(story.run()) == 2


def test_a_rollout_that_does_not_fit_into_one_window_is_ended_in_the_next(tmp_path: Path) -> None:
    world = row(8)
    story = Story(world, Rules(schedule=Schedule(parse_windows("daily 09:00 15m UTC"))), tmp_path)
    first = story.run()
    held = {why.reason for why in first.outcomes.values() if isinstance(why, Hold)}
    assert 0 < updated(first) < 8
    assert held <= {Reason.CUTOFF, Reason.WINDOW_CLOSED}
    while story.plan().later:
        world.clock.sleep(DAY - timedelta(hours=world.clock.now().hour - 9, minutes=world.clock.now().minute))
        story.run()
        assert story.runs < 10
    assert {str(version) for _, version in story.plan().current} == {NEW}
    assert len(story.plan().current) == 8


def test_a_version_that_fails_on_two_canaries_takes_no_third_instance(tmp_path: Path) -> None:
    world = row(8, faults={number: (RollsBack(),) for number in range(8)})
    rules = Rules(checkpoints=Checkpoints(parse_checkpoints("2,50%,100%"), timedelta(hours=1)))
    story = Story(world, rules, tmp_path, Policy(max_failures=5, suspect_after=5))
    tried = sum(updated_or_failed(story.run()) for _ in range(3))
    assert tried == 2
    assert Reason.CHECKPOINT_FAILED in {why.reason for _, why in story.plan().held}


def test_when_1_26_0_turns_out_bad_the_canaries_keep_serving_and_the_next_version_goes_on(tmp_path: Path) -> None:
    bad, good = "1.26.0", "1.26.1"
    faults = {number: (RollsBack(bad),) for number in range(6)}
    world = row(6, faults=faults, version="1.25.0", releases=("1.25.0", bad))
    rules = Rules(checkpoints=Checkpoints(parse_checkpoints("2,100%"), timedelta(hours=1)))
    story = Story(world, rules, tmp_path, Policy(max_failures=5, suspect_after=5))
    assert sum(updated_or_failed(story.run()) for _ in range(2)) == 2
    assert {str(instance.status) for instance in world.cluster.instances.values()} == {"ACTIVE"}
    assert story.reasons() == {Reason.BACKING_OFF, Reason.CHECKPOINT_FAILED}
    world.repository.publish(Release(good, "aws-ecs-2"))
    assert updated(story.run()) == 2
    world.clock.sleep(timedelta(hours=1))
    assert updated(story.run()) == 4
    assert set(world.findings().versions.values()) == {good}


def test_one_line_of_the_policy_stops_a_version_from_the_next_run_on(tmp_path: Path) -> None:
    world = row(2, version="1.25.0", releases=("1.25.0", "1.26.0"))
    denied = Rules(versions=VersionRules(deny=(VersionRange.parse("1.26.0"),)))
    assert Story(world, denied, tmp_path).reasons() == {Reason.VERSION_DENIED}
    world.repository.publish(Release("1.26.1", "aws-ecs-2"))
    assert updated(Story(world, denied, tmp_path, runs=1).run()) == 2


def updated_or_failed(finished: RunFinished) -> int:
    return finished.counts["updated"] + finished.counts["failed"]


def test_canaries_go_first_and_the_others_after_the_wait(tmp_path: Path) -> None:
    rules = Rules(checkpoints=Checkpoints(parse_checkpoints("1,100%"), timedelta(hours=1)))
    story = Story(row(3), rules, tmp_path)
    assert updated(story.run()) == 1
    assert story.reasons() == {Reason.CHECKPOINT_WAIT}
    story.world.clock.sleep(timedelta(hours=1))
    assert updated(story.run()) == 2


def test_production_takes_a_release_a_week_after_it_was_first_seen_in_staging(tmp_path: Path) -> None:
    rules = Rules(versions=VersionRules(minimum_age=7 * DAY))
    staging = Story(row(2), Rules(), tmp_path, cluster="staging")
    assert updated(staging.run()) == 2
    production = Story(row(2), rules, tmp_path, cluster="production")
    production.world.clock.sleep(3 * DAY)
    assert production.reasons() == {Reason.VERSION_TOO_YOUNG}
    production.world.clock.sleep(4 * DAY)
    assert updated(production.run()) == 2


def test_a_day_has_no_more_instances_than_the_limit(tmp_path: Path) -> None:
    story = Story(row(3), Rules(checkpoints=Checkpoints(per_day=2)), tmp_path)
    assert updated(story.run()) == 2
    assert story.reasons() == {Reason.DAILY_LIMIT}
    story.world.clock.sleep(DAY)
    assert updated(story.run()) == 1


def test_a_batch_that_needs_four_hours_is_waited_for(tmp_path: Path) -> None:
    world = row(1, services=0)
    task = world.run_standalone_task(instance_id(0), Workload(runs_for=timedelta(hours=3)), "nightly")
    story = Story(world, Rules(tasks=TaskRules(parse_task_rules("nightly wait 4h"))), tmp_path)
    finished = story.run()
    assert updated(finished) == 1
    assert finished.took > timedelta(hours=2)
    assert task.arn not in {killed.task for killed in world.findings().tasks_killed}


def test_a_batch_that_needs_longer_than_its_rule_waits_is_left_to_end_and_its_instance_returned_to_service(
    tmp_path: Path,
) -> None:
    world = row(1, services=0)
    task = world.run_standalone_task(instance_id(0), Workload(runs_for=timedelta(hours=6)), "nightly")
    story = Story(world, Rules(tasks=TaskRules(parse_task_rules("nightly wait 4h"))), tmp_path)
    finished = story.run()
    assert {cast("Hold", why).reason for why in finished.outcomes.values()} == {Reason.DRAIN_TIMED_OUT}
    assert finished.took > timedelta(hours=4)
    assert world.instance(instance_id(0)).status.value == "ACTIVE"
    assert task.last.value == "RUNNING"


def test_without_a_rule_a_batch_holds_its_instance(tmp_path: Path) -> None:
    world = row(1)
    world.run_standalone_task(instance_id(0), Workload(), "nightly")
    assert Story(world, Rules(), tmp_path).reasons() == {Reason.STANDALONE_TASK}


def test_a_service_that_may_neither_shrink_nor_grow_is_not_drained(tmp_path: Path) -> None:
    world = row(3)
    world.add_service(ServiceSpec("rigid", desired=3, minimum_healthy_percent=100, maximum_percent=100))
    world.clock.sleep(timedelta(minutes=2))
    story = Story(world, Rules(), tmp_path)
    finished = story.run()
    held = [why for why in finished.outcomes.values() if isinstance(why, Hold)]
    assert {why.reason for why in held} == {Reason.NO_ROOM}
    assert "maximumPercent" in held[0].remedy
    assert {why.reason for _, why in story.plan().held} == {Reason.NO_ROOM}


def test_a_pause_lets_nothing_new_start_until_somebody_resumes(tmp_path: Path) -> None:
    story = Story(row(2), Rules(), tmp_path)
    pause(story.store, story.world.clock.now())
    finished = story.run()
    assert {str(why) for why in finished.outcomes.values()} == {
        "updates are paused by ann since 2026-01-05 09:02 UTC: a holiday"
    }
    resume(story.store)
    assert updated(story.run()) == 2


def test_a_run_says_that_it_was_paused_by_whom_and_that_updates_go_on(tmp_path: Path) -> None:
    slow = RebootDelayed(timedelta(minutes=3))
    story = Story(row(3, faults={0: (slow,)}), Rules(), tmp_path)
    now = story.world.clock.now()
    acts = iter(
        (
            lambda: pause(story.store, now),
            lambda: pause(story.store, now, "bob", "a deployment"),
            lambda: resume(story.store),
        )
    )

    class People(Tape):
        """They pause, pause for another reason, and resume."""

        def record(self, event: Event) -> None:
            super().record(event)
            if isinstance(event, Claimed | UpdatesPaused):
                next(acts, lambda: None)()

    updater = story.updater()
    updater.tape = People()
    assert updated(updater.run()) == 3
    said = [event for event in updater.tape.events if isinstance(event, UpdatesPaused | UpdatesResumed)]
    assert [getattr(event, "why", "resumed") for event in said] == [
        "by ann since 2026-01-05 09:02 UTC: a holiday",
        "by bob since 2026-01-05 09:02 UTC: a deployment",
        "resumed",
    ]


def test_an_excluded_host_is_not_even_checked(tmp_path: Path) -> None:
    world = row(2)
    rules = Rules(selection=Selection(exclude=(parse_selector(instance_id(0)),)))
    finished = Story(world, rules, tmp_path).run()
    assert updated(finished) == 1
    assert cast("Hold", finished.outcomes[InstanceId(instance_id(0))]).reason is Reason.EXCLUDED


def test_an_instance_in_standby_or_of_a_refreshing_group_is_left_to_its_group(tmp_path: Path) -> None:
    world = row(3)
    world.autoscaling.add_group("web", instance_id(0), instance_id(1))
    world.autoscaling.add_group("api", instance_id(2))
    world.autoscaling.set_lifecycle(instance_id(0), "Standby")
    world.autoscaling.start_refresh("api")
    finished = Story(world, Rules(), tmp_path).run()
    held = {id_: why.reason for id_, why in finished.outcomes.items() if isinstance(why, Hold)}
    assert held == {instance_id(0): Reason.LEAVING_GROUP, instance_id(2): Reason.GROUP_REFRESHING}
    assert str(finished.outcomes[InstanceId(instance_id(2))]).endswith("is in progress (since 2026-01-05 09:02 UTC)")
    assert updated(finished) == 1


def test_why_a_host_was_not_updated_is_reported_rule_by_rule(tmp_path: Path) -> None:
    story = Story(row(2), Rules(schedule=Schedule(parse_windows("Sat 02:00 4h Europe/Berlin"))), tmp_path)
    fleet = story.picture()
    explained = explain_instance(
        fleet.instances[InstanceId(instance_id(0))], fleet, replace(story.policy, rules=story.rules)
    )
    rules = [answer.rule for answer in explained.answers]
    assert {"selection", "version", "window", "tasks", "pace", "room", "budget"} <= set(rules)
    held = first_hold(explained.answers)
    assert held is not None
    assert held == dict(story.plan().held)[InstanceId(instance_id(0))]


def test_a_plan_from_a_saved_fleet_is_the_plan_of_the_fleet(tmp_path: Path) -> None:
    story = Story(row(4), Rules(), tmp_path, Policy(max_unavailable=Limit(number=2)))
    fleet = story.picture()
    again, cluster = read_fleet(write_fleet(fleet, "demo"), "fleet.json")
    assert (again, cluster) == (fleet, "demo")
    assert make_plan(again, story.policy) == make_plan(fleet, story.policy)


def test_without_auto_scaling_its_rule_is_ignored_and_reported_once(tmp_path: Path) -> None:
    story = Story(row(2), Rules(), tmp_path)
    updater = story.updater()
    updater.clients = InProcessClients(story.world, caller=updater.name, before_call=_no_auto_scaling)
    assert updated(updater.run()) == 2
    assert [event.rule for event in updater.tape.of(RuleOff)] == ["auto-scaling"]


def test_without_instance_refreshes_an_instance_that_its_group_terminates_is_still_left_to_the_group(
    tmp_path: Path,
) -> None:
    """AWS answered the call that shows it, but the answer was dropped with the one that was denied."""
    story = Story(row(4), Rules(), tmp_path)
    story.world.autoscaling.add_group("hosts", *map(instance_id, range(4)))
    story.world.autoscaling.take_away(instance_id(0))
    updater = story.updater()
    updater.clients = InProcessClients(story.world, caller=updater.name, before_call=_no_refreshes)
    finished = updater.run()
    assert updated(finished) == 3
    left = finished.outcomes[InstanceId(instance_id(0))]
    assert isinstance(left, Hold)
    assert left.reason is Reason.LEAVING_GROUP
    assert [event.rule for event in updater.tape.of(RuleOff)] == ["instance-refreshes"]


def _no_refreshes(service: str, operation: str, params: object) -> None:
    if "Refreshes" in operation or "refreshes" in operation:
        _no_auto_scaling(service, operation, params)


def _no_auto_scaling(service: str, operation: str, _params: object) -> None:
    from botocore.exceptions import ClientError  # noqa: PLC0415 - what the client would raise

    if service == "autoscaling":
        raise ClientError({"Error": {"Code": "UnknownOperationException", "Message": "no such thing"}}, operation)
