"""Trimmed ECS responses: the values that the updater reads stay the same."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.parsers import create_parser
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st
from tests.aws.fakes import START, arn, instance
from tests.support.simulated import instance_id, row

from bottlerocket_ecs_updater.aws.ecs_shapes import registration, service
from bottlerocket_ecs_updater.aws.ecs_tasks import _end
from bottlerocket_ecs_updater.aws.transport.trimming import KEPT, trimmed
from bottlerocket_ecs_updater.core.model.capacity_provider import LaunchType
from bottlerocket_ecs_updater.simulator.ecs import Controller, Rollout, ServiceSpec

MODEL: Any = Session().get_service_model("ecs")
EPOCH = START.timestamp()
CAPABILITIES = [{"name": f"com.amazonaws.ecs.capability.{number}"} for number in range(40)]


def parsed(operation: str, body: bytes) -> Any:
    shape = MODEL.operation_model(operation).output_shape
    return create_parser("json").parse({"body": body, "headers": {}, "status_code": 200}, shape)


@pytest.mark.parametrize("provider", ["hosts", "spot"])
def test_a_trimmed_container_instance_is_read_the_same(provider: str) -> None:
    resources = [{"name": name, "type": "INTEGER", "integerValue": 1, "longValue": 0} for name in ("CPU", "MEMORY")]
    full = instance(
        1,
        registeredAt=EPOCH,
        remainingResources=resources,
        registeredResources=resources,
        capacityProviderName=provider,
        version=3,
        versionInfo={"agentVersion": "1.89.2", "agentHash": "*00000000", "dockerVersion": "25.0.8"},
    )
    full["attributes"] += CAPABILITIES
    body = json.dumps({"containerInstances": [full], "failures": [{"arn": arn(2), "reason": "MISSING"}]}).encode()
    less = trimmed(body, *KEPT["DescribeContainerInstances"])
    whole, cut = (parsed("DescribeContainerInstances", one) for one in (body, less))
    assert registration(cut["containerInstances"][0], START) == registration(whole["containerInstances"][0], START)
    assert cut["failures"] == whole["failures"]
    assert len(json.loads(less)["containerInstances"][0]["attributes"]) < 10
    seen = registration(cut["containerInstances"][0], START)
    assert seen.agent_version == "1.89.2"
    assert seen.capabilities is not None
    assert {one["name"] for one in CAPABILITIES} < seen.capabilities
    assert seen.registered is not None
    assert seen.capacity_provider == provider


@pytest.mark.parametrize(
    ("placed", "launch", "providers"),
    [
        ({"launchType": "EXTERNAL"}, LaunchType.EXTERNAL, ()),
        ({"capacityProviderStrategy": [{"capacityProvider": "hosts", "weight": 1}]}, LaunchType.EC2, ("hosts",)),
    ],
)
def test_a_trimmed_service_is_read_the_same(
    placed: dict[str, Any], launch: LaunchType, providers: tuple[str, ...]
) -> None:
    full = {
        "serviceArn": "arn:aws:ecs:eu-west-1:111122223333:service/web/s",
        "serviceName": "s",
        "status": "ACTIVE",
        "desiredCount": 3,
        "runningCount": 2,
        "schedulingStrategy": "DAEMON",
        "taskDefinition": "agent:1",
        "deploymentConfiguration": {"minimumHealthyPercent": 0, "maximumPercent": 100},
        **placed,
        "events": [{"id": str(number), "message": "steady", "createdAt": EPOCH} for number in range(100)],
    }
    body = json.dumps({"services": [full], "failures": []}).encode()
    less = trimmed(body, *KEPT["DescribeServices"])
    whole, cut = (parsed("DescribeServices", one)["services"][0] for one in (body, less))
    assert service(cut, START) == service(whole, START)
    assert b"steady" not in less
    seen = service(cut, START)
    assert seen is not None
    assert seen.deployment is not None
    assert (seen.deployment.launch, seen.deployment.providers) == (launch, providers)


def test_the_launch_type_deployments_and_events_of_a_service_are_not_trimmed() -> None:
    started = "(service s) has started 2 tasks: (task 1) (task 2)."
    full = {
        "serviceArn": "arn:aws:ecs:eu-west-1:111122223333:service/web/s",
        "status": "ACTIVE",
        "launchType": "FARGATE",
        "deployments": [{"status": "PRIMARY", "rolloutState": "IN_PROGRESS", "createdAt": EPOCH, "failedTasks": 2}],
        "events": [{"id": str(number), "message": started, "createdAt": EPOCH} for number in range(3)],
    }
    body = json.dumps({"services": [full], "failures": []}).encode()
    less = trimmed(body, *KEPT["DescribeServices"])
    whole, cut = (parsed("DescribeServices", one)["services"][0] for one in (body, less))
    found = service(cut, START)
    assert found == service(whole, START)
    assert found is not None
    assert (found.elsewhere, found.deploying_since, found.flaps_by) == (True, START, 2)


def test_events_about_tasks_without_room_are_not_trimmed() -> None:
    said = "(service s) was unable to place a task because no container instance met all of its requirements."
    full = {
        "serviceArn": "arn:aws:ecs:eu-west-1:111122223333:service/web/s",
        "status": "ACTIVE",
        "desiredCount": 3,
        "runningCount": 2,
        "events": [{"id": "1", "message": said, "createdAt": EPOCH}],
    }
    less = trimmed(json.dumps({"services": [full]}).encode(), *KEPT["DescribeServices"])
    shape = parsed("DescribeServices", less)["services"][0]
    others: list[Any] = [{**shape, "pendingCount": 1}, {**shape, "events": []}]
    seen = [service(one, START) for one in (shape, *others)]
    assert [one.unplaced for one in seen if one is not None] == [True, False, False]


@pytest.mark.parametrize("controller", Controller)
@pytest.mark.parametrize("providers", [(), ("hosts",)])
def test_a_trimmed_service_of_any_controller_is_read_the_same(
    controller: Controller, providers: tuple[str, ...]
) -> None:
    """With an external controller, only the task sets name a task definition. Without it, no room is checked."""
    world = row(1, services=0)
    rollout = Rollout(controller=controller, spare_task_set=True)
    on = {"execute_command": True, "service_connect": True}
    world.add_service(ServiceSpec("web", 1, providers=providers, rollout=rollout, **on))  # type: ignore[arg-type]
    answer = world.call("ecs", "DescribeServices", {"cluster": "demo", "services": ["web"]})
    body = json.dumps(answer, default=datetime.timestamp).encode()
    whole, cut = (
        service(parsed("DescribeServices", one)["services"][0], START)
        for one in (body, trimmed(body, *KEPT["DescribeServices"]))
    )
    assert whole is not None
    assert whole.deployment is not None
    assert cut == whole


def test_a_trimmed_task_is_read_the_same() -> None:
    world = row(2, services=1)
    world.operator_drain(instance_id(0))
    world.clock.sleep(timedelta(minutes=2))
    stopped = world.call("ecs", "ListTasks", {"cluster": "demo", "desiredStatus": "STOPPED"})["taskArns"]
    answer = world.call("ecs", "DescribeTasks", {"cluster": "demo", "tasks": stopped})
    body = json.dumps(answer, default=datetime.timestamp).encode()
    whole, cut = (parsed("DescribeTasks", one)["tasks"] for one in (body, trimmed(body, *KEPT["DescribeTasks"])))
    assert whole
    assert [_end(one) for one in cut] == [_end(one) for one in whole]


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b'{"__type": "ServerException"}', b'{"tasks": null}', b'{"tasks": [1]}']
)
def test_a_reply_that_is_not_as_expected_stays_as_it_is(body: bytes) -> None:
    assert trimmed(body, *KEPT["DescribeTasks"]) == body


@given(st.binary(max_size=40))
def test_no_reply_makes_trimming_fail(body: bytes) -> None:
    trimmed(body, *KEPT["DescribeTasks"])


@pytest.mark.parametrize("operation", KEPT)
def test_the_kept_members_exist_in_the_services_model(operation: str) -> None:
    items, kept = KEPT[operation]
    members = MODEL.operation_model(operation).output_shape.members[items].member.members
    assert kept <= set(members)
