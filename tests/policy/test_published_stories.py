"""Published versions only: versions that the public parameter does not name are held, in whole runs in virtual time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.policy.test_stories import Story, updated
from tests.support.simulated import NEW, OLD, instance_id, row

from bottlerocket_ecs_updater.core.model.event import VersionWithdrawn
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.core.model.published import Published, PublishedUnread
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.planning.explain import explain_instance
from bottlerocket_ecs_updater.core.rules.published import read_published
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.versions import VersionRules
from bottlerocket_ecs_updater.engine.store.fleet_file import read_fleet, write_fleet
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.faults import ApiFails, FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.repository import Release
from bottlerocket_ecs_updater.simulator.world.api_faults import denying
from bottlerocket_ecs_updater.simulator.world.world import World

HOUR = timedelta(hours=1)
PUBLISHED = Rules(versions=VersionRules(published_only=True))


def story_of(world: World, folder: Path) -> Story:
    return Story(world, PUBLISHED, folder)


def the_hold(story: Story) -> Hold:
    holds = {why for why in story.run().outcomes.values() if isinstance(why, Hold)}
    assert len(holds) == 1
    return holds.pop()


def test_a_published_version_is_taken(tmp_path: Path) -> None:
    assert updated(story_of(row(3), tmp_path).run()) == 3


def test_a_version_that_is_not_published_yet_is_neither_staged_nor_drained_for(tmp_path: Path) -> None:
    world = row(3)
    world.published.name(OLD)
    story = story_of(world, tmp_path)
    why = the_hold(story)
    assert why.reason is Reason.NOT_PUBLISHED
    assert str(why) == f"{NEW} is not published for aws-ecs-2/x86_64: the newest published version is {OLD}"
    assert world.findings().most_out_at_once == 0
    world.published.name(NEW)
    assert updated(story.run()) == 3


def test_without_the_setting_the_parameter_is_not_read(tmp_path: Path) -> None:
    world = row(1)
    world.published.name(OLD)
    updater = Story(world, Rules(), tmp_path).updater()
    updater.run()
    assert updater.calls["ssm:GetParameters"] == 0


def test_each_architecture_has_its_own_parameter_and_one_call_reads_all(tmp_path: Path) -> None:
    world = row(2)
    for version in (OLD, NEW):
        world.repository.publish(Release(version, "aws-ecs-2", "arm64"))
    world.add_instance(HostSpec(instance_id(7), version=OLD, arch="arm64"), "us-east-1a")
    world.published.name(OLD, arch="arm64")
    updater = story_of(world, tmp_path).updater()
    outcomes = updater.run().outcomes
    held = {id_: why.reason for id_, why in outcomes.items() if isinstance(why, Hold)}
    assert held == {InstanceId(instance_id(7)): Reason.NOT_PUBLISHED}
    lasted = updater.tape.events[-1].at - updater.tape.events[0].at
    assert 1 <= updater.calls["ssm:GetParameters"] <= lasted / timedelta(minutes=2) + 1


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda world: world.published.say(None), "has no parameter /aws/service/bottlerocket/aws-ecs-2/x86_64/latest"),
        (lambda world: world.published.say("latest"), "does not name a version: 'latest'"),
        (lambda world: setattr(world, "authorize", denying("ssm:GetParameters")), "not allowed: ssm:GetParameters"),
    ],
)
def test_an_unreadable_parameter_holds_the_update_and_the_hold_says_why(
    tmp_path: Path, prepare: object, words: str
) -> None:
    world = row(2)
    prepare(world)  # type: ignore[operator]
    story = story_of(world, tmp_path)
    finished = story.run()
    why = next(why for why in finished.outcomes.values() if isinstance(why, Hold))
    assert why.reason is Reason.PUBLISHED_UNKNOWN
    assert words in str(why)
    assert (finished.outcome, finished.exit_code) == (RunOutcome.STUCK, 3)


def throttled(at: timedelta = timedelta(), lasts: timedelta | None = None) -> FaultPlan:
    return FaultPlan((Placed(ApiFails(operation="GetParameters", at=at, lasts=lasts)),))


def test_a_parameter_that_is_throttled_all_the_time_holds(tmp_path: Path) -> None:
    why = the_hold(story_of(row(2, plan=throttled()), tmp_path))
    assert why.reason is Reason.PUBLISHED_UNKNOWN
    assert "ssm:GetParameters" in str(why)


def test_throttling_for_some_minutes_in_a_run_holds_nothing(tmp_path: Path) -> None:
    plan = throttled(at=timedelta(minutes=4), lasts=timedelta(minutes=12))
    assert updated(story_of(row(4, plan=plan), tmp_path).run()) == 4


def test_throttling_for_longer_than_an_answer_counts_holds_the_next_drains(tmp_path: Path) -> None:
    plan = throttled(at=timedelta(minutes=4), lasts=10 * HOUR)
    world = row(12, plan=plan)
    finished = story_of(world, tmp_path).run()
    assert 0 < updated(finished) < 12
    assert {why.reason for why in finished.outcomes.values() if isinstance(why, Hold)} == {Reason.PUBLISHED_UNKNOWN}
    assert world.findings().stranded == ()


def test_a_version_that_is_withdrawn_during_a_run_starts_nowhere_else_and_is_reported_once(tmp_path: Path) -> None:
    world = row(6)
    world.clock.after(timedelta(minutes=6), lambda: world.published.name(OLD))
    updater = story_of(world, tmp_path).updater()
    finished = updater.run()
    assert 0 < updated(finished) < 6
    why = next(why for why in finished.outcomes.values() if isinstance(why, Hold))
    assert why.reason is Reason.VERSION_WITHDRAWN
    [withdrawn] = updater.tape.of(VersionWithdrawn)
    assert (withdrawn.build, str(withdrawn.version), str(withdrawn.latest)) == ("aws-ecs-2/x86_64", NEW, OLD)
    assert world.findings().stranded == ()


def test_a_host_that_is_drained_when_its_version_is_withdrawn_is_returned_without_a_reboot(tmp_path: Path) -> None:
    slow = ServiceSpec("slow", 2, Workload(deregistration_delay=timedelta(minutes=10)), load_balanced=True)
    world = row(2, services=0)
    world.add_service(slow)
    world.clock.sleep(timedelta(minutes=2))
    story = story_of(world, tmp_path)
    drained: list[Call] = []

    def see(call: Call) -> None:
        if call.params.get("status") == "DRAINING" and not drained:
            drained.append(call)
            world.published.name(OLD)

    world.authorize = see
    finished = story.run()
    assert drained
    assert {why.reason for why in finished.outcomes.values() if isinstance(why, Hold)} == {Reason.VERSION_WITHDRAWN}
    assert [host.running for host in world.hosts.values()] == [OLD, OLD]
    assert world.findings().stranded == ()


def test_the_world_reports_an_updater_that_starts_an_unpublished_version(tmp_path: Path) -> None:
    world = row(2)
    world.watch.budget = replace(world.watch.budget, published_only=True)
    world.published.name(OLD)
    world.clock.sleep(HOUR)
    Story(world, Rules(), tmp_path).run()
    said = [violation.facts for violation in world.findings().violations]
    assert [violation.invariant for violation in world.findings().violations] == [8] * 4
    assert said[0] == f"run-1 drains it for {NEW}, which is not published"
    assert said[1] == f"run-1 reboots it for {NEW}, which is not published"


def test_the_next_run_remembers_that_a_version_was_published(tmp_path: Path) -> None:
    world = row(2)
    story = story_of(world, tmp_path)
    story.run()
    late = HostSpec(instance_id(9), version=OLD)
    world.add_instance(late, "us-east-1a")
    world.published.name(OLD)
    world.clock.sleep(HOUR)
    why = story.run().outcomes[InstanceId(instance_id(9))]
    assert isinstance(why, Hold)
    assert why.reason is Reason.VERSION_WITHDRAWN
    planned = dict(story.plan().held)[InstanceId(instance_id(9))]
    assert planned == why


def test_a_withdrawn_version_that_is_published_again_is_taken(tmp_path: Path) -> None:
    world = row(2)
    story = story_of(world, tmp_path)
    world.published.name(NEW)
    story.plan()
    world.published.name(OLD)
    assert the_hold(story).reason is Reason.NOT_PUBLISHED  # a plan writes nothing
    world.published.name(NEW)
    assert updated(story.run()) == 2


def test_plan_and_explain_say_what_a_run_says(tmp_path: Path) -> None:
    world = row(2)
    world.published.name(OLD)
    story = story_of(world, tmp_path)
    planned, fleet = story.plan(), story.picture()
    assert {why.reason for _, why in planned.held} == {Reason.NOT_PUBLISHED}
    explained = explain_instance(
        fleet.instances[InstanceId(instance_id(0))], fleet, replace(story.policy, rules=story.rules)
    )
    assert explained.outcome == planned.held[0][1] == the_hold(story)


def test_a_saved_fleet_keeps_the_published_versions(tmp_path: Path) -> None:
    world = row(1)
    fleet = story_of(world, tmp_path).picture()
    assert [type(state) for state in fleet.published.values()] == [Published]
    assert read_fleet(write_fleet(fleet, "demo"), "here")[0].published == fleet.published
    world.published.say(None)
    fleet = story_of(world, tmp_path).picture()
    assert [type(state) for state in fleet.published.values()] == [PublishedUnread]
    assert read_fleet(write_fleet(fleet, "demo"), "here")[0].published == fleet.published


@pytest.mark.parametrize(
    ("value", "version"),
    [
        ("1.55.0-d93bb1b1", "1.55.0"),
        ("1.5.2-1602f3a8", "1.5.2"),
        ("1.20.1", "1.20.1"),
        ("1.21.0-rc.1-d93bb1b1", "1.21.0-rc.1"),
        (" 1.20.1-d93bb1b1\n", "1.20.1"),
    ],
)
def test_the_value_is_a_version_with_the_commit_that_it_was_built_from(value: str, version: str) -> None:
    assert read_published(value) == Version.parse(version)


@pytest.mark.parametrize("value", ["", "latest", "ami-0123456789abcdef0", "1.20", "d93bb1b1"])
def test_other_values_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="not a version"):
        read_published(value)
