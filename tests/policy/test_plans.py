"""A plan names every instance, agrees in all its forms, and changes nothing, in generated worlds too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from botocore.exceptions import ClientError
from tests.policy.test_stories import Story
from tests.support.invented import Dice, story_of_faults
from tests.support.rules import parse_checkpoints, parse_windows
from tests.support.simulated import NEW, OLD, Updater, instance_id, row
from tests.support.story import world_of

from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.planning.launch_advice import StartsOld, StartsUnknown
from bottlerocket_ecs_updater.core.planning.plan import Plan
from bottlerocket_ecs_updater.core.planning.plan import make_plan as plan_of
from bottlerocket_ecs_updater.core.planning.rollout_advice import NeverMoves, TakesDrained
from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoints
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.versions import VersionRange, VersionRules
from bottlerocket_ecs_updater.core.rules.windows import Schedule
from bottlerocket_ecs_updater.engine.store.fleet_file import read_fleet, write_fleet
from bottlerocket_ecs_updater.report.views.plan import plan_json, plan_text
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.faults import RepositoryDown
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.services.documents import CHECK
from bottlerocket_ecs_updater.simulator.world.api_faults import KilledError
from bottlerocket_ecs_updater.simulator.world.world import World

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "operate" / "plan.schema.json").read_text(encoding="utf-8"))
LOOKS = ("Describe", "List", "Get")

OLD_IMAGE = "ami-0123456789abcdef0"


class Calls:
    """The calls that a plan made."""

    def __init__(self) -> None:
        self.changes: list[str] = []

    def note(self, service: str, operation: str, params: Mapping[str, Any]) -> None:
        """Keep calls that are neither reads nor update checks."""
        check = operation == "SendCommand" and params["DocumentName"] == CHECK
        if not operation.startswith(LOOKS) and not check:
            self.changes.append(f"{service}:{operation}")


def story_in(
    world: World, folder: Path, rules: Rules | None = None, policy: Policy | None = None
) -> tuple[Story, Calls]:
    calls = Calls()
    return Story(world, rules or Rules(), folder, policy or Policy(), before_call=calls.note), calls


def left_by_a_dead_run(world: World, policy: Policy, calls: int) -> None:
    """A run that dies in the middle."""
    left = calls

    def die(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KilledError("dead")

    updater = Updater(world, policy)
    updater.clients = InProcessClients(world, "run-0", before_call=die)
    with pytest.raises(KilledError):
        updater.run()
    world.clock.sleep(timedelta(minutes=1))


def places(plan: Plan) -> list[str]:
    """Every instance, once for each place that lists it; each place must list an instance at most once."""
    outcomes = (plan.held, plan.failing, plan.current)
    return [
        *(each.instance for each in plan.unfinished),
        *(each.instance for each in plan.updates),
        *(id_ for one in outcomes for id_, _ in one),
    ]


def assert_well_told(plan: Plan, instances: list[str]) -> None:
    assert sorted(places(plan)) == sorted(instances)
    jsonschema.validate(json.loads(json.dumps(plan_json(plan, "demo"))), SCHEMA)  # type: ignore[no-untyped-call]  # it has no types
    text = plan_text(plan, "demo")
    assert [each for each in instances if each not in text] == []


@pytest.mark.parametrize("seed", range(24))
def test_in_an_invented_world_a_plan_names_every_instance_and_changes_nothing(seed: int, tmp_path: Path) -> None:
    drawn = story_of_faults(Dice(seed))
    world = world_of(drawn)
    world.clock.sleep(drawn.lead)
    story, calls = story_in(world, tmp_path, policy=drawn.policy)
    fleet = story.picture()
    assert_well_told(plan_of(fleet, drawn.policy), list(fleet.instances))
    assert len(fleet.instances) == len(world.hosts)
    assert calls.changes == []
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("calls_made", [40, 60, 80, 95, 110])
def test_a_plan_shows_what_a_dead_run_left_and_does_not_touch_it(calls_made: int, tmp_path: Path) -> None:
    world = row(6, budget=2)
    policy = Policy(max_unavailable=Limit(number=2))
    left_by_a_dead_run(world, policy, calls_made)
    before = {each.ec2_instance_id: (each.status, dict(each.custom)) for each in world.cluster.instances.values()}
    story, calls = story_in(world, tmp_path, policy=policy)
    plan = story.plan()
    assert_well_told(plan, list(world.hosts))
    after = {each.ec2_instance_id: (each.status, dict(each.custom)) for each in world.cluster.instances.values()}
    assert (calls.changes, after) == ([], before)


def test_a_saved_fleet_is_planned_with_its_advice_too(tmp_path: Path) -> None:
    world = row(3)
    put_in_group(world, "bottlerocket-aws-ecs-2-x86_64-v1.19.0-0123abcd")
    story, _ = story_in(world, tmp_path)
    fleet = story.picture()
    again, _ = read_fleet(write_fleet(fleet, "demo"), "fleet.json")
    assert again == fleet
    assert len(plan_of(again, Policy()).advice) == 1


def test_three_hundred_that_are_alike_are_not_three_hundred_paragraphs(tmp_path: Path) -> None:
    story, _ = story_in(row(300), tmp_path, policy=Policy(max_unavailable=Limit(percent=10)))
    plan = story.plan()
    text = plan_text(plan, "demo")
    assert_well_told(plan, list(story.world.hosts))
    assert len(text.splitlines()) < 150
    assert max(map(len, text.splitlines())) < 120


def test_a_host_whose_check_fails_is_asked_again_as_a_run_does_and_held_for_what_it_said(tmp_path: Path) -> None:
    story, _ = story_in(row(2, faults={0: (RepositoryDown(),)}), tmp_path)
    [(id_, why)] = story.plan().held
    assert (id_, why.reason) == (instance_id(0), Reason.CHECK_FAILED)
    assert "Failed to check for updates" in str(why)


def test_a_plan_says_how_many_windows_it_needs_and_what_it_is_based_on(tmp_path: Path) -> None:
    rules = Rules(schedule=Schedule(parse_windows("Sat 02:00 1h Europe/Berlin")))
    story, _ = story_in(row(8), tmp_path, rules)
    text = plan_text(story.plan(), "demo")
    assert "maintenance window" in text
    assert "all of these are defaults" in text
    plan = story.plan()
    assert f"{plan.forecast.windows} maintenance window" in text


def test_recorded_updates_take_the_place_of_stated_defaults(tmp_path: Path) -> None:
    world = row(2)
    story, _ = story_in(
        world, tmp_path, Rules(checkpoints=Checkpoints(parse_checkpoints("1,100%"), timedelta(hours=1)))
    )
    story.run()
    plan = story.plan()
    assert (plan.basis.drains, plan.basis.reboots) == (1, 1)
    assert "medians of this cluster's recorded updates" in plan_text(plan, "demo")


def test_a_plan_says_for_how_many_days_each_host_is_behind(tmp_path: Path) -> None:
    world = row(2)
    story, _ = story_in(world, tmp_path, Rules(schedule=Schedule(parse_windows("Sat 02:00 4h Europe/Berlin"))))
    story.run()
    world.clock.sleep(timedelta(days=3, hours=1))
    plan = story.plan()
    assert {each.days_behind for each in (*plan.updates, *plan.later)} == {3}
    assert f"{OLD} → {NEW}, 3 days behind" in plan_text(plan, "demo")
    assert {each["days_behind"] for each in plan_json(plan, "demo")["later"]} == {3}


def test_a_plan_says_for_how_many_days_held_hosts_are_behind(tmp_path: Path) -> None:
    world = row(2)
    rules = Rules(versions=VersionRules(deny=(VersionRange.parse(NEW),)))
    story, _ = story_in(world, tmp_path, rules)
    story.run()
    assert "Behind" not in plan_text(story.plan(), "demo")
    world.clock.sleep(timedelta(days=3, hours=1))
    plan = story.plan()
    said = plan_text(plan, "demo").partition("\nBehind and not in the forecast: 2\n")[2]
    assert said.startswith(f"  3 days  {instance_id(0)}  {instance_id(1)}")
    assert {each["days_behind"] for each in plan_json(plan, "demo")["held"]} == {3}


def test_an_instance_that_a_task_holds_is_not_planned_for_the_next_window(tmp_path: Path) -> None:
    world = row(2)
    world.run_standalone_task(instance_id(0), Workload(), "nightly")
    rules = Rules(schedule=Schedule(parse_windows("Sat 02:00 4h Europe/Berlin")))
    story, _ = story_in(world, tmp_path, rules)
    plan = story.plan()
    assert [each.instance for each in plan.later] == [instance_id(1)]
    assert {why.reason for _, why in plan.held} == {Reason.WINDOW_CLOSED}
    assert {id_: why.reason for id_, why in plan.behind.items()} == {instance_id(0): Reason.STANDALONE_TASK}
    assert_well_told(plan, list(world.hosts))
    text = plan_text(plan, "demo")
    assert "\nHeld for now: 1\n" in text
    assert "\nWould be left alone: 1\n" in text
    assert "      then still held: standalone-task: it runs a standalone task: " in text
    assert {one["then"] for one in plan_json(plan, "demo")["held"]} == {None, "standalone-task"}


def test_the_plan_of_a_saved_fleet_shows_holds_after_the_window_too(tmp_path: Path) -> None:
    world = row(2)
    world.run_standalone_task(instance_id(0), Workload(), "nightly")
    rules = Rules(schedule=Schedule(parse_windows("Sat 02:00 4h Europe/Berlin")))
    story, _ = story_in(world, tmp_path, rules)
    again, _ = read_fleet(write_fleet(story.picture(), "demo"), "fleet.json")
    assert plan_text(plan_of(again, replace(story.policy, rules=rules)), "demo").count("then still held") == 1


# Advice


def put_in_group(world: World, name: str) -> None:
    """All instances are in one group whose template names an image with that name."""
    world.launch_templates.add_image(OLD_IMAGE, name)
    world.launch_templates.add_template("hosts", OLD_IMAGE)
    world.autoscaling.add_group("web", *world.hosts, launch_template="hosts", version="$Latest")


def test_a_group_whose_new_instances_start_old_is_reported(tmp_path: Path) -> None:
    world = row(3, version=NEW)
    put_in_group(world, f"bottlerocket-aws-ecs-2-x86_64-v{OLD}-0123abcd")
    story, calls = story_in(world, tmp_path)
    [advice] = story.plan().advice
    assert isinstance(advice, StartsOld)
    assert (str(advice.starts_with), str(advice.runs)) == (OLD, NEW)
    assert "launch template hosts, version $Latest" in advice.remedy
    assert calls.changes == []


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("DescribeAutoScalingGroups", "AccessDenied"),
        ("DescribeLaunchTemplateVersions", "UnauthorizedOperation"),
        ("DescribeImages", "UnauthorizedOperation"),
        ("DescribeImages", "UnknownOperationException"),
        ("DescribeAutoScalingInstances", "AccessDenied"),
    ],
)
def test_advice_that_may_not_be_had_is_one_line_and_no_error(tmp_path: Path, operation: str, code: str) -> None:
    world = row(3)
    put_in_group(world, f"bottlerocket-aws-ecs-2-x86_64-v{OLD}-0123abcd")
    story, _ = story_in(world, tmp_path)

    def refuse(_service: str, asked: str, _params: object) -> None:
        if asked == operation:
            message = f"User: ann is not authorized to perform: ec2:{operation} because no identity-based policy does"
            raise ClientError({"Error": {"Code": code, "Message": message}}, operation)

    story.before_call = refuse
    plan = story.plan()
    [_] = (one for one in plan.advice if isinstance(one, StartsUnknown))
    assert len(plan.updates) == 3
    text = plan_text(replace(plan, updates=()), "demo")
    assert text.count("It is not known whether new instances") == 1
    denied = code != "UnknownOperationException"
    assert (f"allow the updater to call ec2:{operation}\n" in text, "identity-based policy" in text) == (
        denied,
        not denied,
    )


def test_managed_termination_protection_is_warned_of_before_the_rollout(tmp_path: Path) -> None:
    world = row(3)
    provider = world.scaling.add("web", *world.hosts)
    provider.termination_protection = True
    story, _ = story_in(world, tmp_path)
    assert [advice for advice in story.plan().advice if isinstance(advice, TakesDrained)] == [
        TakesDrained("web", "web")
    ]
    provider.termination_protection = False
    assert not [advice for advice in story.plan().advice if isinstance(advice, TakesDrained)]


@pytest.mark.parametrize(
    ("minimum", "maximum", "rigid"), [(100, 100, True), (100, 133, True), (100, 134, False), (50, 100, False)]
)
def test_a_service_whose_tasks_can_never_move_is_warned_of(
    tmp_path: Path, minimum: int, maximum: int, rigid: bool
) -> None:
    world = row(3, services=0)
    world.add_service(ServiceSpec("rigid", desired=3, minimum_healthy_percent=minimum, maximum_percent=maximum))
    world.clock.sleep(timedelta(minutes=2))
    story, _ = story_in(world, tmp_path)
    warned = [advice for advice in story.plan().advice if isinstance(advice, NeverMoves)]
    assert warned == ([NeverMoves("rigid", minimum, maximum, 3)] if rigid else [])
    held = [why for _, why in story.plan().held if why.reason is Reason.NO_ROOM]
    assert {advice.remedy for advice in warned} == {why.remedy for why in held}
    assert all("maximumPercent of rigid" in advice.remedy for advice in warned)
