"""Whatever happens in whatever order, the indices of the control plane agree with its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.simulator.world_bench import Bench, bench, daemon, instance_id, replica

from bottlerocket_ecs_updater.simulator.ecs import Cluster, ContainerInstance, Service, Workload
from bottlerocket_ecs_updater.simulator.ecs.lifecycle import _bucket
from bottlerocket_ecs_updater.simulator.ecs.model import Bucket, Last

COUNT = 4
Deed = Callable[[Bench, int], object]


def stop_some_task(b: Bench, number: int) -> None:
    live = b.live(number)
    if live:
        b.ecs.stop_task(cluster="demo", task=live[0].arn)


def protect_some_task(b: Bench, number: int) -> None:
    live = [task for task in b.live(number) if task.service is not None]
    if live:
        b.ecs.update_task_protection(cluster="demo", tasks=[live[0].arn], protectionEnabled=True, expiresInMinutes=1)


def scale(b: Bench, number: int) -> None:
    with suppress(ClientError):  # it may have been deleted
        b.ecs.update_service(cluster="demo", service="web", desiredCount=3 * number)


def redeploy(b: Bench, _: int) -> None:
    b.ecs.update_service(cluster="demo", service="api", forceNewDeployment=True)


DEEDS: dict[str, Deed] = {
    "drain": lambda b, number: b.drain(number),
    "activate": lambda b, number: b.activate(number),
    "somebody drains": lambda b, number: b.world.operator_drain(instance_id(number)),
    "reboot": lambda b, number: b.world.hosts[instance_id(number)].reboot("somebody"),
    "terminate": lambda b, number: b.world.terminate_instance(instance_id(number)),
    "flap": lambda b, number: b.world.ecs.agents.flap(b.world.instance(instance_id(number))),
    "start": lambda b, _: b.ecs.run_task(cluster="demo", taskDefinition="job", count=2),
    "stop": stop_some_task,
    "protect": protect_some_task,
    "scale": scale,
    "redeploy": redeploy,
    "delete": lambda b, _: b.ecs.delete_service(cluster="demo", service="web", force=True),
}

STORIES = st.lists(
    st.tuples(st.sampled_from(sorted(DEEDS)), st.integers(0, COUNT - 1), st.integers(0, 60)), max_size=20
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STORIES)
def test_the_indices_agree_with_the_records(story: list[tuple[str, int, int]]) -> None:
    b = bench(COUNT, services=(replica(desired=5), replica("api", 3, load_balanced=True), daemon()))
    b.world.ecs.registry.define("job", Workload(cpu=300, host_ports=(9000,)))
    for deed, number, seconds in story:
        DEEDS[deed](b, number)
        b.wait(seconds)
        check_cluster(b.world.cluster)
    b.wait(900)
    check_cluster(b.world.cluster)


def check_cluster(cluster: Cluster) -> None:
    for instance in cluster.instances.values():
        check_instance(cluster, instance)
    for service in cluster.services.values():
        check_service(cluster, service)
    assert {each.arn for each in cluster.placement} == {
        each.arn for each in cluster.instances.values() if each.accepts_tasks
    }


def check_instance(cluster: Cluster, instance: ContainerInstance) -> None:
    live = [task for task in cluster.tasks.values() if task.instance is instance and task.last is not Last.STOPPED]
    assert list(instance.tasks.values()) == live
    assert instance.free_cpu == instance.spec.cpu - sum(task.workload.cpu for task in live)
    assert instance.ports == {port for task in live for port in task.workload.host_ports}
    assert instance.free_cpu >= 0


def check_service(cluster: Cluster, service: Service) -> None:
    live = [task for task in cluster.tasks.values() if task.service is service and task.last is not Last.STOPPED]
    assert service.live_tasks() == live
    for task in live:
        assert task.bucket is _bucket(task, service)
    staying = (Bucket.STARTING, Bucket.UNHEALTHY, Bucket.HEALTHY)
    zones = Counter(task.instance.zone for task in live if task.instance is not None and task.bucket in staying)
    assert +service.zones == zones
