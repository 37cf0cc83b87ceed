"""The lifecycle of tasks, their placement, and what services do by themselves."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.simulator.world_bench import Bench, bench, daemon, instance_id, replica, running

from bottlerocket_ecs_updater.simulator.ecs import Workload
from bottlerocket_ecs_updater.simulator.ecs.model import Last
from bottlerocket_ecs_updater.simulator.host import HostSpec


def shown(b: Bench, arn: str) -> tuple[str, str]:
    task = b.ecs.describe_tasks(cluster="demo", tasks=[arn])["tasks"][0]
    return task["desiredStatus"], task["lastStatus"]


def test_a_task_takes_seconds_to_run() -> None:
    b = bench(1)
    task = b.start("job", 0)
    seen = [shown(b, task.arn)]
    for _ in range(12):
        b.wait(1)
        seen.append(shown(b, task.arn))
    assert [last for _, last in dict.fromkeys(seen)] == ["PROVISIONING", "PENDING", "RUNNING"]


def test_a_task_that_is_stopped_passes_through_its_states() -> None:
    b = bench(1)
    task = b.world.run_standalone_task(instance_id(0))
    b.ecs.stop_task(cluster="demo", task=task.arn)
    seen = [shown(b, task.arn)]
    for _ in range(10):
        b.wait(0.5)
        seen.append(shown(b, task.arn))
    assert list(dict.fromkeys(seen)) == [
        ("STOPPED", "STOPPING"),
        ("STOPPED", "DEPROVISIONING"),
        ("STOPPED", "STOPPED"),
    ]


def test_a_stopped_task_is_shown_for_an_hour() -> None:
    b = bench(1)
    task = b.world.run_standalone_task(instance_id(0))
    b.ecs.stop_task(cluster="demo", task=task.arn)
    b.wait(3500)
    assert shown(b, task.arn) == ("STOPPED", "STOPPED")
    b.wait(200)
    assert b.ecs.describe_tasks(cluster="demo", tasks=[task.arn])["failures"][0]["reason"] == "MISSING"


def test_a_job_ends_by_itself() -> None:
    b = bench(1)
    task = b.world.run_standalone_task(instance_id(0), Workload(runs_for=timedelta(minutes=5)))
    b.wait(310)
    assert (task.last, task.exit_code, task.stop_code) == (Last.STOPPED, 0, "EssentialContainerExited")


def test_what_does_not_fit_is_refused_with_the_resource() -> None:
    b = bench(1)
    b.world.ecs.registry.define("big", Workload(cpu=4096))
    answer = b.ecs.run_task(cluster="demo", taskDefinition="big")
    assert [each["reason"] for each in answer["failures"]] == ["RESOURCE:CPU"]


def test_two_tasks_with_one_host_port_are_on_two_instances() -> None:
    b = bench(2, services=(replica(desired=3, workload=Workload(host_ports=(8080,))),))
    b.wait(60)
    assert (len(b.live(0)), len(b.live(1)), b.service("web")["runningCount"]) == (1, 1, 2)


def test_tasks_of_a_service_can_be_kept_on_distinct_instances() -> None:
    b = bench(2, services=(replica(desired=3, distinct_instances=True),))
    b.wait(60)
    assert (len(b.live(0)), len(b.live(1)), b.service("web")["runningCount"]) == (1, 1, 2)


def test_a_service_can_be_kept_to_some_instances() -> None:
    zone = "attribute:ecs.availability-zone == us-east-1b"
    b = bench(3, services=(replica(desired=4, member_of=zone),))
    assert [len(b.live(number)) for number in range(3)] == [0, 4, 0]
    assert b.service("web")["placementConstraints"] == [{"type": "memberOf", "expression": zone}]


def test_a_drain_waits_where_constraints_leave_no_other_place() -> None:
    b = bench(3, services=(replica(desired=1, member_of="attribute:ecs.availability-zone == us-east-1b"),))
    b.drain(1)
    b.wait(600)
    assert len(b.live(1)) == 1


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (Workload(gpus=1), "RESOURCE:GPU"),
        (Workload(memory=8000), "RESOURCE:MEMORY"),
        (Workload(required_attributes=("has.something",)), "ATTRIBUTE"),
    ],
)
def test_what_is_missing_is_named(work: Workload, reason: str) -> None:
    b = bench(1)
    b.world.ecs.registry.define("job", work)
    assert b.ecs.run_task(cluster="demo", taskDefinition="job")["failures"][0]["reason"] == reason


def test_a_service_is_spread_over_the_zones() -> None:
    b = bench(6, services=(replica(desired=9),))
    zones = Counter(task.instance.zone for number in range(6) for task in b.live(number) if task.instance)
    assert set(zones.values()) == {3}


def test_a_service_is_replaced_task_by_task_in_a_new_deployment() -> None:
    b = bench(3, services=(replica(desired=3),))
    old = b.service("web")["deployments"][0]["id"]
    b.ecs.update_service(cluster="demo", service="web", forceNewDeployment=True)
    assert len(b.service("web")["deployments"]) == 2
    b.wait(90)
    deployments = b.service("web")["deployments"]
    assert [(each["runningCount"], each["rolloutState"]) for each in deployments] == [(3, "COMPLETED")]
    assert deployments[0]["id"] != old


def test_a_daemon_service_is_replaced_in_a_new_deployment() -> None:
    b = bench(2, services=(daemon(),))
    before = {task.arn for number in range(2) for task in b.live(number)}
    b.ecs.update_service(cluster="demo", service="agent", forceNewDeployment=True)
    b.wait(90)
    after = {task.arn for number in range(2) for task in b.live(number)}
    assert (len(after), before & after) == (2, set())


def test_a_new_instance_gets_a_daemon_task() -> None:
    b = bench(1, services=(daemon(),))
    b.world.add_instance(HostSpec(instance_id(1)), "us-east-1b")
    b.wait(30)
    assert [task.last for task in b.live(1)] == [Last.RUNNING]


def test_a_service_that_is_deleted_stops_its_tasks() -> None:
    b = bench(2, services=(replica(desired=2),))
    b.ecs.delete_service(cluster="demo", service="web", force=True)
    b.wait(60)
    assert (b.live(0), b.live(1), b.service("web")["status"]) == ([], [], "INACTIVE")


def test_a_fargate_task_is_on_no_instance_and_found_by_its_family() -> None:
    b = bench(1)
    task = b.world.run_fargate_task("updater")
    assert b.ecs.list_tasks(cluster="demo", family="updater")["taskArns"] == [task.arn]
    assert "containerInstanceArn" not in b.ecs.describe_tasks(cluster="demo", tasks=[task.arn])["tasks"][0]


def test_a_standalone_task_cannot_be_protected() -> None:
    b = bench(1)
    task = b.world.run_standalone_task(instance_id(0))
    answer = b.ecs.update_task_protection(cluster="demo", tasks=[task.arn], protectionEnabled=True)
    assert [each["reason"] for each in answer["failures"]] == ["TASK_NOT_VALID"]


@pytest.mark.parametrize("count", [0, 11])
def test_run_task_starts_one_to_ten_tasks(count: int) -> None:
    b = bench(1)
    b.world.ecs.registry.define("job", Workload())
    with pytest.raises(b.ecs.exceptions.InvalidParameterException):
        b.ecs.run_task(cluster="demo", taskDefinition="job", count=count)


PERCENTS = st.sampled_from([(100, 200), (50, 200), (0, 100), (50, 100), (100, 150)])
STEPS = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(1, 40)), max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(desired=st.integers(1, 10), percents=PERCENTS, steps=STEPS)
def test_no_drain_takes_a_service_past_its_limits(
    desired: int, percents: tuple[int, int], steps: list[tuple[int, bool, int]]
) -> None:
    minimum, maximum = percents
    b = bench(5, services=(replica(desired=desired, minimum_healthy_percent=minimum, maximum_percent=maximum),))
    service = b.world.cluster.services["web"]
    for number, out, seconds in steps:
        b.set_status("DRAINING" if out else "ACTIVE", number)
        for _ in range(seconds):
            b.wait(1)
            assert running(service) >= -(-desired * minimum // 100)
            assert len(service.live_tasks()) <= max(desired * maximum // 100, desired)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(desired=st.integers(0, 30), cpu=st.sampled_from([128, 700, 2048]), out=st.sets(st.integers(0, 4)))
def test_no_instance_holds_more_than_it_has(desired: int, cpu: int, out: set[int]) -> None:
    b = bench(5, services=(replica(desired=desired, workload=Workload(cpu=cpu, memory=64)),))
    if out:
        b.drain(*out)
    b.wait(120)
    for instance in b.world.cluster.instances.values():
        used = sum(task.workload.cpu for task in instance.tasks.values())
        assert instance.free_cpu == instance.spec.cpu - used >= 0
