"""Runs over clusters in which not every instance can run every task, compared with what the simulated ECS places."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.support.scenarios import mixed_cluster
from tests.support.simulated import OLD, ZONES, Updater, at_most, instance_id, row, snapshot_of

from bottlerocket_ecs_updater.core.model.event import RunFinished
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Updated
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.resources import EXECUTE_COMMAND_ATTRIBUTE, SERVICE_CONNECT_ATTRIBUTE
from bottlerocket_ecs_updater.core.planning.explain import explain_instance
from bottlerocket_ecs_updater.core.planning.plan import make_plan
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.report.outputs.markdown import markdown
from bottlerocket_ecs_updater.report.views.explanation import explanation_text
from bottlerocket_ecs_updater.report.views.plan import plan_text
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.ecs import (
    ContainerInstanceSpec,
    Controller,
    ProviderShare,
    Rollout,
    ServiceSpec,
    Spreading,
    Strategy,
    TaskLaunch,
    Workload,
)
from bottlerocket_ecs_updater.simulator.ecs.model import subnet_of
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.scenarios import Fate
from bottlerocket_ecs_updater.simulator.world.findings import UpdaterLimits
from bottlerocket_ecs_updater.simulator.world.world import World

HALF = Workload(cpu=1024, memory=1024)
"""A host has room for one of these and the daemon."""

EDGE = "mi-0a1b2c3d4e5f60718"


def world_of(count: int, *services: ServiceSpec, daemon: bool = True) -> World:
    world = row(count, services=0)
    if not daemon:
        world.call("ecs", "DeleteService", {"cluster": "demo", "service": "agent", "force": True})
    for service in services:
        world.add_service(service)
    world.clock.sleep(timedelta(minutes=2))
    return world


def rolled(world: World) -> RunFinished:
    """The world checks the invariants at every call of the run."""
    finished = Updater(world).run()
    assert world.findings().violations == ()
    return finished


def updated(finished: RunFinished) -> int:
    return sum(isinstance(outcome, Updated) for outcome in finished.outcomes.values())


def no_room(finished: RunFinished) -> list[str]:
    held = (outcome for outcome in finished.outcomes.values() if isinstance(outcome, Hold))
    return [str(outcome) for outcome in held if outcome.reason is Reason.NO_ROOM]


def nothing_was_drained(world: World) -> bool:
    return not any(world.findings().seconds_out.values())


@pytest.mark.parametrize(
    "expression",
    [
        "task:group == service:agent",
        "not(task:group == service:db)",
        "task:group in ['service:agent', 'service:db']",
        "task:group =~ service:ag.*",
        "runningTasksCount < 20",
        "agentConnected == true",
        "agentVersion >= 1.9.0",
        "registeredAt > 2020-01-01",
        "attribute:com.amazonaws.ecs.capability.logging-driver.awslogs exists",
        "attribute:ecs.os-type == linux and (runningTasksCount <= 10 or task:group == service:x)",
    ],
)
def test_tasks_that_ecs_placed_can_be_moved(expression: str) -> None:
    world = world_of(4, ServiceSpec("web", desired=4, member_of=expression))
    assert updated(rolled(world)) == 4


def test_the_constraint_of_a_task_definition_counts_as_that_of_a_service_does() -> None:
    held = Workload(member_of="task:group == service:nowhere")
    assert no_room(rolled(world_of(2, ServiceSpec("web", desired=2)))) == []
    world = world_of(2, ServiceSpec("web", desired=2))
    world.ecs.registry.define("web", held, {"family": "web"})
    service = world.cluster.services["web"]
    service.deployments[0].definition = world.ecs.registry.definition("web")
    assert len(no_room(rolled(world))) == 2
    assert nothing_was_drained(world)


def external(world: World) -> None:
    attributes = (("ecs.capability.external", None), ("ecs.os-type", "linux"))
    spec = ContainerInstanceSpec(EDGE, "", attributes, instance_type="", ami_id="", cpu=8192, memory=32000)
    world.add_instance(HostSpec(EDGE), "", bottlerocket=False, spec=spec)


def managed(world: World) -> None:
    spare = instance_id(90)
    spec = ContainerInstanceSpec(spare, ZONES[0], cpu=8192, memory=32000)
    world.add_instance(HostSpec(spare), ZONES[0], bottlerocket=False, spec=spec)
    world.scaling.add_managed_instances("managed", spare)


@pytest.mark.parametrize("spare", [external, managed])
def test_an_instance_that_ecs_would_not_use_for_a_service_is_no_room(spare: Callable[[World], None]) -> None:
    full = ServiceSpec("web", desired=2, workload=HALF)
    alone, beside = world_of(2, full), world_of(2, full)
    spare(beside)
    reasons = no_room(rolled(alone))
    assert len(reasons) == 2
    assert sorted(no_room(rolled(beside))) == sorted(reasons)
    assert nothing_was_drained(beside)


def free_host(world: World) -> str:
    """A host without a task of web."""
    groups = {id_: {task.group for task in world.instance(id_).tasks.values()} for id_ in world.hosts}
    return next(id_ for id_, there in groups.items() if "service:web" not in there)


@pytest.mark.parametrize("state", ["Terminating:Wait", "Terminating:Proceed", "Warmed:Running"])
def test_a_host_that_its_group_takes_away_is_no_room(state: str) -> None:
    """ECS places tasks there unless it is drained, and they are lost when it terminates."""
    world = world_of(3, ServiceSpec("web", desired=2, workload=HALF))
    world.autoscaling.join("hosts", free_host(world), state)
    assert len(no_room(rolled(world))) == 2
    assert nothing_was_drained(world)


@pytest.mark.parametrize("state", ["InService", "Standby", "Detaching", "Pending:Wait"])
def test_a_host_that_stays_counts_as_room_in_every_state_of_its_group(state: str) -> None:
    world = world_of(3, ServiceSpec("web", desired=2, workload=HALF))
    world.autoscaling.join("hosts", free_host(world), state)
    assert updated(rolled(world)) == 2 + (state == "InService")


def in_providers(world: World, **most: int) -> World:
    """The first two hosts in the provider `hosts`, the others in `batch`, each with its maximum size."""
    ids = [instance_id(number) for number in range(len(world.hosts))]
    world.scaling.add("hosts", *ids[:2], most=most.get("hosts"), scaling=most.get("scaling", 1) > 0)
    world.scaling.add("batch", *ids[2:], most=most.get("batch"))
    return world


def by_hosts(desired: int = 2) -> ServiceSpec:
    return ServiceSpec("web", desired=desired, workload=HALF, providers=("hosts",))


def test_a_service_of_one_capacity_provider_finds_no_room_on_hosts_of_another_one() -> None:
    world = in_providers(row(4, services=0), hosts=2, batch=2)
    world.add_service(by_hosts())
    world.clock.sleep(timedelta(minutes=2))
    finished = rolled(world)
    reasons = no_room(finished)
    assert len(reasons) == 2
    assert all("capacity provider hosts adds no instances" in reason for reason in reasons)
    assert all("reached its maximum of 2" in reason for reason in reasons)
    assert updated(finished) == 2
    assert not any(world.findings().seconds_out[instance_id(number)] for number in range(2))


def test_a_provider_whose_managed_scaling_is_off_adds_no_room() -> None:
    world = in_providers(row(4, services=0), hosts=9, scaling=0)
    world.add_service(by_hosts())
    world.clock.sleep(timedelta(minutes=2))
    reasons = no_room(rolled(world))
    assert len(reasons) == 2
    assert all("its managed scaling is off" in reason for reason in reasons)


def test_a_provider_that_can_grow_by_one_lets_its_hosts_be_updated_one_after_the_other() -> None:
    world = in_providers(row(4, services=0), hosts=3)
    world.add_service(by_hosts())
    world.clock.sleep(timedelta(minutes=2))
    finished = rolled(world)
    assert no_room(finished) == []
    assert updated(finished) >= 4
    assert len(world.autoscaling.members_of("hosts")) == 3


def test_a_service_that_moves_to_fargate_needs_no_room_here() -> None:
    world = world_of(2, ServiceSpec("web", desired=4, workload=HALF))
    world.cluster.services["web"].providers = ("FARGATE",)
    finished = rolled(world)
    assert updated(finished) == 2


@pytest.mark.parametrize("controller", Controller)
def test_a_service_with_any_deployment_controller_needs_room(controller: Controller) -> None:
    """With an external one, ECS says only of the task sets what their tasks require, and where they run."""
    service = ServiceSpec("web", desired=2, workload=HALF, rollout=Rollout(controller=controller))
    full = world_of(2, service)
    assert len(no_room(rolled(full))) == 2
    assert nothing_was_drained(full)
    assert updated(rolled(world_of(3, service))) == 3


def test_services_that_run_elsewhere_hold_no_instance() -> None:
    world = world_of(2, ServiceSpec("api", desired=3, launch=TaskLaunch.FARGATE), ServiceSpec("web", desired=2))
    external(world)
    world.add_service(ServiceSpec("edge", desired=1, launch=TaskLaunch.EXTERNAL))
    world.add_service(ServiceSpec("probe", strategy=Strategy.DAEMON, launch=TaskLaunch.EXTERNAL))
    world.clock.sleep(timedelta(minutes=2))
    on_edge = {task.group for task in world.instance(EDGE).tasks.values()}
    assert on_edge == {"service:edge", "service:probe"}
    assert updated(rolled(world)) == 2


def test_a_mixed_cluster_has_the_fates_that_were_predicted() -> None:
    scenario = mixed_cluster()
    world = scenario.build(VirtualClock(), budget=UpdaterLimits(2), validate_answers=True)
    world.clock.sleep(timedelta(minutes=2))
    finished = rolled(world)
    for id_, fate in scenario.fates.items():
        outcome = finished.outcomes[InstanceId(id_)]
        match fate:
            case Fate.UPDATED:
                assert isinstance(outcome, Updated), (id_, str(outcome))
            case Fate.HELD:
                assert isinstance(outcome, Hold), id_
                assert outcome.reason is Reason.NO_ROOM
            case _:
                assert isinstance(outcome, Hold), id_
                assert outcome.reason is Reason.NOT_BOTTLEROCKET


# Plan and explanation


def planned(world: World) -> tuple[str, str]:
    """The plan of this world, and the explanation of its first instance."""
    fleet = snapshot_of(world)
    first = fleet.instances[InstanceId(instance_id(0))]
    return plan_text(make_plan(fleet, Policy()), "demo"), explanation_text(
        explain_instance(first, fleet, Policy()), fleet, "demo"
    )


def test_room_that_is_not_there_yet_is_said_in_plan_and_explanation() -> None:
    world = in_providers(row(4, services=0), hosts=3)
    world.add_service(by_hosts())
    world.clock.sleep(timedelta(minutes=2))
    said = "oom for web is not there yet: capacity provider hosts must add instances, and may add 1, up to its maximum"
    for text in planned(world):
        assert said in text


def test_no_room_says_the_same_in_plan_explanation_and_run() -> None:
    world = in_providers(row(4, services=0), hosts=2)
    world.add_service(by_hosts())
    world.clock.sleep(timedelta(minutes=2))
    reasons = no_room(rolled(world))
    for text in planned(world):
        assert any(reason in text for reason in reasons)
        assert "to do: raise the maximum of the Auto Scaling group of capacity provider hosts, or lower" in text


def test_a_provider_whose_scaling_is_off_has_its_own_remedy() -> None:
    world = in_providers(row(4, services=0), hosts=4, scaling=0)
    world.add_service(by_hosts())
    world.clock.sleep(timedelta(minutes=2))
    for text in planned(world):
        assert "its managed scaling is off" in text
        assert "to do: let capacity provider hosts add instances, or lower minimumHealthyPercent of web, so" in text


def test_a_permission_that_is_missing_leaves_the_question_out_and_is_named() -> None:
    world = in_providers(row(4, services=0), hosts=2)
    world.add_service(by_hosts())
    world.clock.sleep(timedelta(minutes=2))

    def refuse(call: Call) -> None:
        if call.operation == "DescribeCapacityProviders":
            raise AwsError("AccessDeniedException", "ann is not authorized to perform: ecs:DescribeCapacityProviders")

    world.authorize = refuse
    plan_said, explained = planned(world)
    assert "may add instances; allow the updater to call ecs:DescribeCapacityProviders" in explained
    assert "may add instances; allow the updater to call ecs:DescribeCapacityProviders" in plan_said
    assert "no-room" not in plan_said


def test_a_check_that_aws_does_not_allow_is_named_in_plan_explanation_and_report() -> None:
    world = row(3)

    def refuse(call: Call) -> None:
        if call.operation in ("DescribeTaskDefinition", "DescribeAutoScalingInstances"):
            action = f"{call.service}:{call.operation}"
            raise AwsError("AccessDeniedException", f"ann is not authorized to perform: {action} because of a policy")

    world.authorize = refuse
    plan_said, explained = planned(world)
    updater = Updater(world)
    assert updater.run().exit_code == 0
    reported = markdown(run_report(updater.tape.events))
    for said in (plan_said, explained, reported):
        without = "hether tasks fit elsewhere is not checked before a drain: allow the updater to call "
        assert f"{without}ecs:DescribeTaskDefinition" in said
        assert "may be updated: allow the updater to call autoscaling:DescribeAutoScalingInstances" in said
        assert "because of a policy" not in said
    assert "yes  auto-scaling" not in explained


def test_hosts_without_a_free_network_interface_are_no_room() -> None:
    own = Workload(cpu=64, memory=64, awsvpc=True)
    world = world_of(2, ServiceSpec("web", desired=4, workload=own))
    reasons = no_room(rolled(world))
    assert len(reasons) == 2
    assert all("lacks a network interface" in reason for reason in reasons)
    assert nothing_was_drained(world)
    assert world.calls.by_action["ec2:DescribeInstanceTypes"] == 1
    roomy = world_of(3, ServiceSpec("web", desired=4, workload=own))
    assert updated(rolled(roomy)) == 3


@pytest.mark.parametrize(("tasks", "updates"), [(3, 0), (2, 3)])
def test_a_task_that_gets_all_gpus_of_a_host_needs_one_with_a_free_gpu(tasks: int, updates: int) -> None:
    """Its task definition says `ALL`, which counted as no GPU: each host was drained for 25 minutes."""
    world = row(0, services=0)
    for number in range(3):
        id_, variant = instance_id(number), ("bottlerocket.variant", "aws-ecs-2")
        spec = ContainerInstanceSpec(id_, ZONES[number], (("ecs.cpu-architecture", "x86_64"), variant), gpus=2)
        world.add_instance(HostSpec(id_, version=OLD), ZONES[number], spec=spec)
    everything = Workload(gpus=1, all_gpus=True)
    world.add_service(ServiceSpec("train", desired=tasks, workload=everything))
    world.clock.sleep(timedelta(minutes=1))
    finished = rolled(world)
    assert updated(finished) == updates
    assert all("lacks 1 GPU" in reason for reason in no_room(finished))
    assert len(no_room(finished)) == 3 - updates


@pytest.mark.parametrize("feature", ["execute_command", "service_connect"])
@pytest.mark.parametrize("old", [True, False])
def test_a_host_whose_agent_lacks_what_a_service_has_turned_on_is_no_room(feature: str, *, old: bool) -> None:
    """No task definition names these attributes, but ECS requires them: aws/aws-cli#7548."""
    world = row(2, services=0)
    id_, lacks = instance_id(60), (EXECUTE_COMMAND_ATTRIBUTE, SERVICE_CONNECT_ATTRIBUTE)
    spec = ContainerInstanceSpec(id_, ZONES[2], lacks=lacks if old else ())
    world.add_instance(HostSpec(id_), ZONES[2], bottlerocket=False, spec=spec)
    world.add_service(ServiceSpec("web", desired=2, workload=Workload(cpu=1200), **{feature: True}))  # type: ignore[arg-type]
    world.clock.sleep(timedelta(minutes=1))
    finished = rolled(world)
    assert (updated(finished), len(no_room(finished))) == ((0, 2) if old else (2, 0))


def test_hosts_to_which_no_more_ebs_volume_can_be_attached_are_no_room() -> None:
    """28 attachments, minus the two volumes and the network interface of the host."""
    own = Workload(cpu=32, memory=32, ebs=True)
    world = world_of(2, ServiceSpec("data", desired=50, workload=own))
    reasons = no_room(rolled(world))
    assert len(reasons) == 2
    assert all("lacks an attachment for an EBS volume" in reason for reason in reasons)
    assert nothing_was_drained(world)
    assert world.calls.by_action["ec2:DescribeInstanceTypes"] == 1
    roomy = world_of(3, ServiceSpec("data", desired=50, workload=own))
    assert updated(rolled(roomy)) == 3


def test_network_interfaces_and_volumes_share_the_attachments_of_a_host() -> None:
    both = Workload(cpu=32, memory=32, ebs=True, awsvpc=True)
    volumes = ServiceSpec("data", desired=24, workload=Workload(cpu=32, memory=32, ebs=True))
    world = world_of(2, volumes, ServiceSpec("web", desired=2, workload=both))
    assert updated(rolled(world)) == 0
    assert nothing_was_drained(world)


def test_without_the_limits_of_its_type_volumes_are_left_out_and_a_note_says_so() -> None:
    world = world_of(2, ServiceSpec("data", desired=4, workload=Workload(cpu=32, memory=32, ebs=True)))

    def refuse(call: Call) -> None:
        if call.operation == "DescribeInstanceTypes":
            raise AwsError("AccessDeniedException", "ann is not authorized to perform: ec2:DescribeInstanceTypes")

    world.authorize = refuse
    plan_said, explained = planned(world)
    assert "it is not known everywhere whether EBS volumes can be attached for data" in explained
    assert "no-room" not in plan_said


def test_on_a_host_with_a_trunk_interfaces_are_not_counted() -> None:
    world = world_of(2, ServiceSpec("web", desired=4, workload=Workload(cpu=64, memory=64, awsvpc=True)))
    for number in range(2):
        world.instance(instance_id(number)).built_in["ecs.awsvpc-trunk-id"] = "eni-0"
    _, explained = planned(world)
    assert "it is not known everywhere whether web has network interfaces left" in explained


@pytest.mark.parametrize("operation", ["DescribeInstanceTypes", "DescribeAutoScalingGroups"])
def test_a_denied_read_is_skipped_and_named_in_the_plan(operation: str) -> None:
    world = in_providers(row(3, services=0), hosts=2)
    own = Workload(cpu=64, memory=64, awsvpc=True)
    world.add_service(ServiceSpec("web", desired=3, workload=own, providers=("hosts",)))
    world.clock.sleep(timedelta(minutes=2))

    def refuse(call: Call) -> None:
        if call.operation == operation:
            raise AwsError("AccessDeniedException", f"ann is not authorized to perform: {operation}")

    world.authorize = refuse
    plan_said, _ = planned(world)
    assert operation in plan_said
    assert "no-room" not in plan_said


def test_capacity_providers_are_read_once_where_none_may_grow_and_once_a_drain_where_one_may() -> None:
    full = in_providers(row(4, services=0), hosts=2, batch=2)
    full.add_service(by_hosts())
    rolled(full)
    assert full.calls.by_action["ecs:DescribeCapacityProviders"] == 1
    world = in_providers(row(4, services=0), hosts=4)
    world.add_service(by_hosts())
    drained = updated(rolled(world))
    assert 1 < world.calls.by_action["ecs:DescribeCapacityProviders"] <= drained
    plain = world_of(4, ServiceSpec("web", desired=4))
    rolled(plain)
    assert plain.calls.by_action["ecs:DescribeCapacityProviders"] == 0


def in_two_providers(world: World, *, second: int) -> World:
    """Two providers with two hosts each, the first one full, and a service on both."""
    world.scaling.add("full", instance_id(0), instance_id(1), most=2)
    world.scaling.add("open", instance_id(2), instance_id(3), most=second)
    world.add_service(ServiceSpec("web", desired=4, workload=HALF, providers=("full", "open")))
    world.clock.sleep(timedelta(minutes=2))
    return world


def test_one_full_provider_of_several_causes_no_failed_drain() -> None:
    """ECS chooses the provider of the next task by weight, and waits if that one is full."""
    world = in_two_providers(row(4, services=0), second=4)
    finished = rolled(world)
    held = [one for one in finished.outcomes.values() if isinstance(one, Hold)]
    assert (len(held), {one.reason for one in held}) == (4, {Reason.NO_ROOM})
    assert "full" in str(held[0])
    assert world.findings().task_moves == 0


def test_two_providers_with_room_each_take_their_share() -> None:
    world = in_two_providers(row(4, services=0), second=4)
    world.call("ecs", "UpdateService", {"cluster": "demo", "service": "web", "desiredCount": 2}, "operator")
    world.clock.sleep(timedelta(minutes=5))
    assert updated(rolled(world)) == 4


def test_a_full_provider_whose_base_is_filled_holds_no_host_of_the_other_ones() -> None:
    """One task on demand, all others on Spot. The host on demand is full, and ECS starts no other task there."""
    world = row(4, services=0)
    world.scaling.add("on-demand", instance_id(0), most=1)
    world.scaling.add("spot", *(instance_id(number) for number in range(1, 4)), most=3)
    shares = (ProviderShare("on-demand", weight=0, base=1), ProviderShare("spot"))
    world.add_service(ServiceSpec("web", 4, Workload(cpu=500), providers=("on-demand", "spot"), shares=shares))
    world.add_service(ServiceSpec("ledger", 1, Workload(cpu=1200), providers=("on-demand",)))
    world.clock.sleep(timedelta(minutes=2))
    finished = rolled(world)
    assert len(no_room(finished)) == 1
    assert updated(finished) == 3


@pytest.mark.parametrize(("hosts", "updates"), [(3, 2), (6, 6)])
def test_a_task_with_its_own_network_interface_stays_in_the_zones_of_its_subnets(hosts: int, updates: int) -> None:
    """With one host in each zone it has no other place, although other hosts have room."""
    world = row(hosts, services=0)
    world.add_service(ServiceSpec("db", 1, Workload(awsvpc=True), subnets=(subnet_of(ZONES[0]),)))
    world.clock.sleep(timedelta(minutes=2))
    finished = rolled(world)
    assert updated(finished) == updates
    assert not any("trunking" in one for one in no_room(finished))
    assert all(f"it is in {ZONES[1]}, and db has no subnet there" in one for one in no_room(finished))


def test_a_subnet_without_an_instance_is_named_if_it_may_matter() -> None:
    world = row(3, services=0)
    definition = world.ecs.registry.define("db", Workload(awsvpc=True)).arn
    for name, subnets in (("db", ["subnet-0a"]), ("web", ["subnet-0a", "subnet-0b", "subnet-0c"])):
        network = {"awsvpcConfiguration": {"subnets": subnets}}
        asked = {"cluster": "demo", "serviceName": name, "taskDefinition": definition, "desiredCount": 1}
        world.call("ecs", "CreateService", {**asked, "networkConfiguration": network}, "operator")
    world.clock.sleep(timedelta(minutes=2))
    plan_said, _ = planned(world)
    assert "in which zones tasks of db may have network interfaces: no instance is in its subnet subnet-0a" in plan_said
    assert "zones tasks of web" not in plan_said


def test_tasks_that_moved_during_the_run_count_for_constraints_that_depend_on_them() -> None:
    """Every host of the provider has a task of a service that allows one for each. Others' tasks come and go there.

    The tasks of these hosts were listed at the start. When their number had changed, the constraint was skipped, and
    three hosts were drained until the limit.
    """
    world = row(7, services=0, budget=3)
    ids = [instance_id(number) for number in range(7)]
    world.scaling.add("any", *ids[:2], scaling=False)
    world.scaling.add("one-each", *ids[2:])
    small = Workload(cpu=200, memory=64, deregistration_delay=timedelta(seconds=30))
    world.add_service(ServiceSpec("web", desired=9, workload=small, load_balanced=True, spreading=Spreading.RANDOM))
    world.add_service(ServiceSpec("one", desired=5, providers=("one-each",), distinct_instances=True))
    world.clock.sleep(timedelta(minutes=5))
    finished = Updater(world, at_most(3)).run()
    assert world.findings().violations == ()
    assert len(no_room(finished)) == 5
    assert updated(finished) == 2
