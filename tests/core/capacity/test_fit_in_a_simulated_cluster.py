"""What `will_drain` foretells, tried: the drain ends in the simulated cluster exactly where it was said to fit."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulator.world_bench import Bench, bench, daemon, instance_id, replica

from bottlerocket_ecs_updater.core.capacity.host_room import Capacity, ServiceRules
from bottlerocket_ecs_updater.core.capacity.will_it_fit import Fits, Leaving, NoRoom, PlannedDrain, will_drain
from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn
from bottlerocket_ecs_updater.core.model.resources import Port, TaskRequirements
from bottlerocket_ecs_updater.simulator.ecs import Workload


def predicted(cluster: Bench, instances: int, work: Workload) -> Fits | NoRoom:
    """The result of `will_drain`, from what ECS reports about the cluster alone."""
    capacity = {InstanceId(instance_id(number)): _capacity(cluster.show(number)) for number in range(instances)}
    services = [_rules(cluster.service(name), work) for name in ("web", "agent")]
    tasks = [
        Leaving(InstanceId(instance_id(0)), ServiceArn(task.service.arn)) for task in cluster.live(0) if task.service
    ]
    return will_drain(PlannedDrain(InstanceId(instance_id(0)), capacity, {each.arn: each for each in services}, tasks))


def _capacity(shown: dict[str, Any]) -> Capacity:
    left = {each["name"]: each for each in shown["remainingResources"]}
    return Capacity(
        cpu=left["CPU"]["integerValue"],
        memory=left["MEMORY"]["integerValue"],
        ports_taken=frozenset(Port(int(port)) for port in left["PORTS"]["stringSetValue"]),
        attributes={each["name"]: each.get("value", "") for each in shown["attributes"]},
        accepts=shown["status"] == "ACTIVE" and shown["agentConnected"],
    )


def _rules(shown: dict[str, Any], work: Workload) -> ServiceRules:
    limits = shown["deploymentConfiguration"]
    return ServiceRules(
        arn=ServiceArn(shown["serviceArn"]),
        name=shown["serviceName"],
        desired=shown["desiredCount"],
        running=shown["runningCount"],
        minimum_healthy_percent=limits["minimumHealthyPercent"],
        maximum_percent=limits["maximumPercent"],
        daemon=shown["schedulingStrategy"] == "DAEMON",
        demand=TaskRequirements(work.cpu, work.memory, ports=frozenset(Port(number) for number in work.host_ports)),
    )


@settings(max_examples=40, deadline=None)
@given(
    instances=st.integers(1, 4),
    desired=st.integers(1, 6),
    cpu=st.sampled_from([256, 800, 1200, 1500]),
    ports=st.sampled_from([(), (80,)]),
    minimum=st.sampled_from([0, 50, 75, 100, 100]),
    maximum=st.sampled_from([100, 100, 125, 150, 200]),
)
def test_a_drain_ends_exactly_where_it_was_predicted_to_end(
    instances: int, desired: int, cpu: int, ports: tuple[int, ...], minimum: int, maximum: int
) -> None:
    work = Workload(cpu=cpu, host_ports=ports)
    web = replica(desired=desired, workload=work, minimum_healthy_percent=minimum, maximum_percent=maximum)
    cluster = bench(instances, services=(web, daemon()))
    cluster.wait(120)
    answer = predicted(cluster, instances, work)
    cluster.drain(0)
    cluster.wait(3600)
    assert isinstance(answer, Fits) == (cluster.live(0) == [])
