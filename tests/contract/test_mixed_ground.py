"""A cluster in which not every instance can run every task, through both interfaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.contract.doors import Door, inprocess_door, wire_door
from tests.support.scenarios import mixed_cluster

MIXED = mixed_cluster()
NAMES = ["full", "growing", "managed", "FARGATE", "nothing"]


@pytest.fixture(scope="module")
def doors() -> Iterator[tuple[Door, Door]]:
    with wire_door(MIXED) as wire:
        yield wire, inprocess_door(MIXED)


READS: list[tuple[str, str, dict[str, Any]]] = [
    ("ecs", "describe_capacity_providers", {"cluster": "demo", "capacityProviders": NAMES}),
    ("ecs", "describe_capacity_providers", {"capacityProviders": NAMES}),
    ("ecs", "describe_capacity_providers", {"cluster": "demo", "maxResults": 2}),
    ("ecs", "describe_services", {"cluster": "demo", "services": ["api", "web", "edge", "beside"]}),
    ("ecs", "describe_clusters", {"clusters": ["demo"]}),
    ("ecs", "list_services", {"cluster": "demo", "launchType": "EXTERNAL"}),
    (
        "ecs",
        "list_container_instances",
        {"cluster": "demo", "filter": "task:group =~ 'service:.*' and agentVersion > 1.9.0"},
    ),
    ("autoscaling", "describe_auto_scaling_groups", {"AutoScalingGroupNames": ["full", "growing"]}),
]


@pytest.mark.parametrize(("service", "method", "params"), READS)
def test_both_interfaces_give_the_same_answer(
    doors: tuple[Door, Door], service: str, method: str, params: dict[str, Any]
) -> None:
    wire, inside = doors
    assert wire.ask(service, method, **params) == inside.ask(service, method, **params)


def test_the_capacity_that_a_provider_may_add_is_read_over_http(doors: tuple[Door, Door]) -> None:
    wire, _ = doors
    reply = wire.ask("ecs", "describe_capacity_providers", cluster="demo", capacityProviders=NAMES)
    by_name = {each["name"]: each for each in reply["capacityProviders"]}
    assert by_name["growing"]["autoScalingGroupProvider"]["managedScaling"]["status"] == "ENABLED"
    assert by_name["managed"]["type"] == "MANAGED_INSTANCES"
    assert [failure["reason"] for failure in reply["failures"]] == ["MISSING"]
    groups = wire.ask("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=["growing"])
    [group] = groups["AutoScalingGroups"]
    assert by_name["growing"]["autoScalingGroupProvider"]["autoScalingGroupArn"] == group["AutoScalingGroupARN"]
    assert (group["MaxSize"], group["DesiredCapacity"]) == (4, 3)


def test_a_service_is_created_by_a_strategy_and_its_tasks_say_by_which_provider_they_run(
    doors: tuple[Door, Door],
) -> None:
    wire, _ = doors
    strategy = [{"capacityProvider": "growing", "weight": 1}]
    asked = {"cluster": "demo", "taskDefinition": "beside", "desiredCount": 1}
    made = wire.ask("ecs", "create_service", serviceName="new", capacityProviderStrategy=strategy, **asked)
    assert made["service"]["capacityProviderStrategy"] == [{"capacityProvider": "growing", "weight": 1, "base": 0}]
    assert "launchType" not in made["service"]
    wire.wait(60)
    arns = wire.ask("ecs", "list_tasks", cluster="demo", serviceName="new")["taskArns"]
    [task] = wire.ask("ecs", "describe_tasks", cluster="demo", tasks=arns)["tasks"]
    assert (task["capacityProviderName"], task["lastStatus"]) == ("growing", "RUNNING")
    unknown = [{"capacityProvider": "nothing", "weight": 1}]
    refused = wire.ask("ecs", "create_service", serviceName="bad", capacityProviderStrategy=unknown, **asked)
    assert refused[1] == "InvalidParameterException"
