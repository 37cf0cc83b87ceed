"""One entry point for all calls: counts, faults, rates, permissions, models; and the same seed gives the same world."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from tests.simulator.world_bench import Bench, bench, daemon, instance_id, replica
from tests.support.scenarios import thirteen_broken

from bottlerocket_ecs_updater.simulator.aws_basics.calls import TokenBucket
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.ecs.model import Last
from bottlerocket_ecs_updater.simulator.faults import (
    ApiFails,
    Fault,
    FaultPlan,
    InstanceTerminated,
    Placed,
    RepliesLost,
    SetStatus,
    SomebodySets,
    StaleReads,
    Step,
    TaskArrives,
    UpdaterDies,
)
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.scenarios import Fate, row, showcase_cluster
from bottlerocket_ecs_updater.simulator.services.documents import APPLY, CHECK, REBOOT
from bottlerocket_ecs_updater.simulator.world.api_faults import KilledError, denying
from bottlerocket_ecs_updater.simulator.world.world import World

READS = TokenBucket("ecs reads", 100, 20, frozenset({"ecs:DescribeContainerInstances", "ecs:ListTasks"}))
"""As the developer guide of ECS gives it, per account and Region."""

SENDS = TokenBucket("ssm send", 10, 3, frozenset({"ssm:SendCommand"}))
"""Low on purpose: AWS publishes no rate limits for Systems Manager."""


def world_faults(*faults: Fault) -> FaultPlan:
    return FaultPlan(tuple(Placed(fault) for fault in faults))


def test_every_call_is_counted_by_action_caller_and_second() -> None:
    b = bench(1)
    b.show(0)
    b.wait(1.5)
    b.show(0)
    calls = b.world.calls
    assert calls.by_action["ecs:DescribeContainerInstances"] == 2
    assert calls.by_caller["updater"] == 2
    assert list(calls.by_second.values()) == [1, 1]


def test_a_refused_call_is_counted_with_its_code() -> None:
    b = bench(1)
    with pytest.raises(ClientError):
        b.ecs.list_tasks(cluster="nowhere")
    assert b.world.calls.errors == {"ClusterNotFoundException": 1}


def test_an_operation_that_is_not_simulated_is_named_in_its_refusal() -> None:
    with pytest.raises(ClientError, match="ecs:CreateCapacityProvider is not simulated"):
        bench(1).ecs.create_capacity_provider(name="more")


def test_a_request_that_the_model_does_not_allow_is_refused() -> None:
    b = bench(1)
    with pytest.raises(ClientError, match="Unknown parameter"):
        b.ecs.list_tasks(cluster="demo", colour="blue")
    with pytest.raises(ClientError, match="Missing required parameter"):
        b.ecs.describe_tasks(cluster="demo")


def test_errors_are_botocores_own_classes() -> None:
    b = bench(1)
    with pytest.raises(b.ecs.exceptions.ClusterNotFoundException) as caught:
        b.ecs.list_tasks(cluster="nowhere")
    metadata = caught.value.response["ResponseMetadata"]
    assert (metadata["HTTPStatusCode"], bool(metadata["RequestId"])) == (400, True)


def test_every_third_call_is_throttled() -> None:
    b = bench(1, faults=world_faults(ApiFails(every=3)))
    codes = [_code(b) for _ in range(7)]
    assert codes == ["", "", "ThrottlingException", "", "", "ThrottlingException", ""]


def test_a_server_error_affects_one_operation_as_often_as_it_is_reported() -> None:
    b = bench(1, faults=world_faults(ApiFails("InternalServerError", 500, "ListTasks", every=1, times=1)))
    b.show(0)
    with pytest.raises(ClientError) as caught:
        b.ecs.list_tasks(cluster="demo")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    b.ecs.list_tasks(cluster="demo")


def test_an_outage_starts_and_ends() -> None:
    outage = ApiFails("ServerException", 500, at=timedelta(seconds=10), lasts=timedelta(seconds=10))
    b = bench(1, faults=world_faults(outage))
    codes = []
    for _ in range(5):
        codes.append(_code(b))
        b.wait(6)
    assert codes == ["", "", "ServerException", "ServerException", ""]


def test_a_lost_reply_has_had_its_effect() -> None:
    b = bench(1, faults=world_faults(RepliesLost("UpdateContainerInstancesState", every=1, times=1)))
    with pytest.raises(ConnectionClosedError):
        b.drain(0)
    assert b.show(0)["status"] == "DRAINING"


@pytest.mark.parametrize(("after", "status"), [(False, "ACTIVE"), (True, "DRAINING")])
def test_a_caller_dies_before_or_after_its_call(after: bool, status: str) -> None:
    b = bench(1, faults=world_faults(UpdaterDies(1, after)))
    with pytest.raises(KilledError):
        b.drain(0)
    assert b.show(0)["status"] == status


def test_reads_may_show_the_world_as_it_was() -> None:
    b = bench(2, services=(replica(desired=2),), faults=world_faults(StaleReads(timedelta(seconds=5))))
    b.drain(0)
    assert b.show(0)["status"] == "ACTIVE"
    b.wait(6)
    assert b.show(0)["status"] == "DRAINING"


def test_lists_of_tasks_may_be_old_too() -> None:
    b = bench(1, faults=world_faults(StaleReads(timedelta(seconds=5))))
    task = b.world.run_standalone_task(instance_id(0))
    b.wait(10)
    b.ecs.stop_task(cluster="demo", task=task.arn)
    assert b.ecs.list_tasks(cluster="demo")["taskArns"] == [task.arn]
    b.wait(6)
    assert b.ecs.list_tasks(cluster="demo")["taskArns"] == []


def test_rates_are_shared_by_all_operations_of_a_category() -> None:
    b = bench(1, rates=(READS,))
    for _ in range(50):
        b.show(0)
        b.ecs.list_tasks(cluster="demo")
    assert _code(b) == "ThrottlingException"
    b.wait(1)
    assert [_code(b) for _ in range(21)] == [""] * 20 + ["ThrottlingException"]


def test_systems_manager_can_be_made_to_throttle() -> None:
    b = bench(1, rates=(SENDS,))
    for _ in range(10):
        b.send(CHECK, 0)
    with pytest.raises(ClientError, match="ThrottlingException"):
        b.send(CHECK, 0)


def test_chosen_actions_are_denied() -> None:
    b = bench(1)
    b.world.authorize = denying("ecs:PutAttributes")
    b.show(0)
    with pytest.raises(b.ecs.exceptions.AccessDeniedException, match="ecs:PutAttributes"):
        b.claim(0)


def test_a_call_takes_its_time_in_the_world() -> None:
    b = bench(1)
    before = b.clock.now()
    InProcessClients(b.world, latency=timedelta(milliseconds=80)).client("ecs").list_clusters()
    assert b.clock.now() - before == timedelta(milliseconds=80)


def test_hooks_run_before_and_after_calls() -> None:
    b = bench(1)
    heard: list[str] = []

    def before(service: str, operation: str, _: Any) -> None:
        heard.append(f"before {service}:{operation}")

    def after(service: str, operation: str, _: Any) -> None:
        heard.append(f"after {service}:{operation}")

    InProcessClients(b.world, before_call=before, after_call=after).client("ecs").list_clusters()
    assert heard == ["before ecs:ListClusters", "after ecs:ListClusters"]


def test_a_task_arrives_on_an_active_instance_just_before_its_reboot() -> None:
    b = bench(1, host_faults={0: (TaskArrives(),)})
    b.send(REBOOT, 0)
    b.wait(20)
    assert [killed.group for killed in b.world.findings().tasks_killed] == ["family:arrived"]


def test_no_task_arrives_on_a_draining_instance() -> None:
    b = bench(1, host_faults={0: (TaskArrives(),)})
    b.claim(0)
    b.drain(0)
    b.send(REBOOT, 0)
    b.wait(20)
    assert b.world.findings().tasks_killed == ()


@pytest.mark.parametrize("step", list(Step))
def test_an_instance_can_be_terminated_at_any_step(step: Step) -> None:
    b = bench(1, host_faults={0: (InstanceTerminated(step=step),)})
    b.send(CHECK, 0)
    b.wait(5)
    if step is not Step.CHECK:
        b.send(APPLY, 0)
        b.wait(40)
    if step not in (Step.CHECK, Step.APPLY):
        b.drain(0)
        b.wait(10)
    if step in (Step.REBOOT, Step.BOOT):
        b.send(REBOOT, 0)
        b.wait(60)
    if step is Step.RETURN:
        b.activate(0)
    b.wait(90)
    assert b.show(0)["status"] == "INACTIVE"


def test_somebody_returns_an_instance_after_it_was_drained() -> None:
    b = bench(1, host_faults={0: (SomebodySets(SetStatus.ACTIVE, timedelta(seconds=5), Step.DRAIN),)})
    b.drain(0)
    b.wait(4)
    assert b.show(0)["status"] == "DRAINING"
    b.wait(2)
    assert b.show(0)["status"] == "ACTIVE"


def test_a_plan_of_faults_affects_the_host_that_it_names() -> None:
    plan = FaultPlan((Placed(SomebodySets(SetStatus.DRAINING, timedelta(minutes=1)), instance_id(1)),))
    b = bench(2, faults=plan)
    b.wait(61)
    assert (b.show(0)["status"], b.show(1)["status"]) == ("ACTIVE", "DRAINING")


def test_the_same_seed_gives_the_same_world() -> None:
    assert _history(3) == _history(3)


def test_another_seed_gives_another_world() -> None:
    assert _history(3) != _history(4)


def test_another_linux_has_neither_the_attribute_nor_systems_manager() -> None:
    world = showcase_cluster().build(VirtualClock())
    foreign = next(each for each in showcase_cluster().members if each.fate is Fate.FOREIGN)
    clients = InProcessClients(world)
    known = clients.client("ssm").get_paginator("describe_instance_information").paginate().build_full_result()
    assert foreign.host.instance_id not in {each["InstanceId"] for each in known["InstanceInformationList"]}
    assert "bottlerocket.variant" not in world.instance(foreign.host.instance_id).custom


@pytest.mark.parametrize("scenario", [row(5), showcase_cluster(8), showcase_cluster(20, 3), thirteen_broken()])
def test_a_scenario_starts_in_its_steady_state(scenario: Any) -> None:
    clock = VirtualClock()
    world: World = scenario.build(clock)
    before = {arn: task.last for arn, task in world.cluster.tasks.items()}
    clock.advance(timedelta(minutes=10))
    assert {arn: task.last for arn, task in world.cluster.tasks.items()} == before
    assert all(last is Last.RUNNING for last in before.values())


def test_the_demo_cluster_has_every_outcome_except_quarantine() -> None:
    assert set(showcase_cluster(8).fates.values()) == set(Fate) - {Fate.QUARANTINED}


def test_five_thousand_instances_are_drained_a_hundred_at_a_time_without_a_search() -> None:
    scenario = row(5000)
    clock = VirtualClock()
    world = scenario.build(clock)
    b = Bench(world, clock, InProcessClients(world))
    arns = list(world.cluster.instances)[:100]
    for at in range(0, 100, 10):
        b.ecs.update_container_instances_state(cluster="demo", containerInstances=arns[at : at + 10], status="DRAINING")
    clock.advance(timedelta(minutes=3))
    assert all(not world.cluster.instances[arn].tasks for arn in arns)


def _code(b: Bench) -> str:
    try:
        b.show(0)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def _history(seed: int) -> list[Any]:
    b = bench(3, services=(replica(desired=5), daemon()), seed=seed)
    history: list[Any] = []
    b.drain(1)
    for _ in range(12):
        b.wait(2)
        history += [b.show(1), b.service("web")]
    b.send(CHECK, 0)
    b.wait(5)
    history.append(b.ssm.list_commands())
    return history


def test_a_wrong_call_in_process_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no operation"):
        bench(1).ecs.do_what_i_mean()


def test_the_world_itself_raises_its_own_errors() -> None:
    with pytest.raises(AwsError) as caught:
        bench(1).world.call("ecs", "ListTasks", {"cluster": "nowhere"})
    assert caught.value.code == "ClusterNotFoundException"


def test_a_cluster_is_deleted_only_when_it_is_empty() -> None:
    ecs = bench(1).ecs
    ecs.create_cluster(clusterName="runner")
    with pytest.raises(ClientError, match="ClusterContainsContainerInstances"):
        ecs.delete_cluster(cluster="demo")
    assert ecs.delete_cluster(cluster="runner")["cluster"]["status"] == "INACTIVE"
    assert [arn.rsplit("/", 1)[-1] for arn in ecs.list_clusters()["clusterArns"]] == ["demo"]
    with pytest.raises(ClientError, match="ClusterNotFound"):
        ecs.delete_cluster(cluster="runner")
