"""The responses of AWS that the updater relies on, from both interfaces or from AWS.

`CONTRACT_ENDPOINT=aws` tests AWS, see doors.py. Nothing is changed: the tests read, and make calls that are rejected.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.contract.doors import Door

NOWHERE = "0" * 32
NO_INSTANCE = "i-00000000000000000"
NO_COMMAND = "00000000-0000-0000-0000-000000000000"
NO_DOCUMENT = "bottlerocket-ecs-updater-no-such-document"

INVALID = "InvalidParameterException"
REFUSALS: list[tuple[str, str, dict[str, Any], str]] = [
    ("ecs", "list_container_instances", {"maxResults": 101}, INVALID),
    ("ecs", "list_container_instances", {"nextToken": "not a token"}, INVALID),
    ("ecs", "describe_container_instances", {"containerInstances": [NOWHERE] * 101}, INVALID),
    ("ecs", "describe_tasks", {"tasks": [NOWHERE] * 101}, INVALID),
    ("ecs", "describe_services", {"services": ["nothing"] * 11}, INVALID),
    (
        "ecs",
        "update_container_instances_state",
        {"containerInstances": [NOWHERE] * 11, "status": "DRAINING"},
        INVALID,
    ),
    ("ecs", "update_container_instances_state", {"containerInstances": [NOWHERE], "status": "INACTIVE"}, INVALID),
    ("ecs", "put_attributes", {"attributes": [{"name": "a", "value": "b", "targetId": "x"}]}, INVALID),
    ("ssm", "send_command", {"DocumentName": NO_DOCUMENT, "InstanceIds": [NO_INSTANCE]}, "InvalidDocument"),
    (
        "ssm",
        "send_command",
        {"DocumentName": "AWS-RunShellScript", "InstanceIds": [NO_INSTANCE], "Parameters": {"commands": ["true"]}},
        "InvalidInstanceId",
    ),
    (
        "ssm",
        "get_command_invocation",
        {"CommandId": NO_COMMAND, "InstanceId": NO_INSTANCE},
        "InvocationDoesNotExist",
    ),
    ("ssm", "cancel_command", {"CommandId": NO_COMMAND}, "InvalidCommandId"),
    ("ec2", "describe_instance_status", {"InstanceIds": [NO_INSTANCE]}, "InvalidInstanceID.NotFound"),
]


def of(door: Door, service: str, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters, with the cluster for ECS."""
    return {"cluster": door.cluster, **params} if service == "ecs" else params


def listed(door: Door, **how: Any) -> Any:
    """The container instances of the cluster."""
    return door.ask("ecs", "list_container_instances", cluster=door.cluster, **how)


@pytest.mark.parametrize(("service", "method", "params", "code"), REFUSALS, ids=lambda value: str(value)[:50])
def test_an_impossible_operation_is_refused_with_its_error_code(
    door: Door, service: str, method: str, params: dict[str, Any], code: str
) -> None:
    answer = door.ask(service, method, **of(door, service, params))
    assert isinstance(answer, tuple), answer
    assert (answer[1], answer[3]) == (code, 400)


def test_a_missing_cluster_has_its_own_exit_code(door: Door) -> None:
    answer = door.ask("ecs", "list_container_instances", cluster="no-such-cluster")
    assert answer[1:4:2] == ("ClusterNotFoundException", 400)


def test_a_cluster_that_is_not_there_is_a_failure_when_it_is_described(door: Door) -> None:
    answer = door.ask("ecs", "describe_clusters", clusters=["no-such-cluster"])
    assert (answer["clusters"], [one["reason"] for one in answer["failures"]]) == ([], ["MISSING"])


@pytest.mark.parametrize(
    ("method", "asked", "found"),
    [
        ("describe_container_instances", {"containerInstances": [NOWHERE]}, "containerInstances"),
        ("describe_tasks", {"tasks": [NOWHERE]}, "tasks"),
        ("describe_services", {"services": ["no-such-service"]}, "services"),
    ],
)
def test_a_missing_resource_is_a_failure_and_not_an_error(
    door: Door, method: str, asked: dict[str, Any], found: str
) -> None:
    answer = door.ask("ecs", method, cluster=door.cluster, **asked)
    assert (answer[found], [one["reason"] for one in answer["failures"]]) == ([], ["MISSING"])


def test_all_states_but_inactive_are_listed_without_a_filter(door: Door) -> None:
    one_by_one = [listed(door, status=status)["containerInstanceArns"] for status in ("ACTIVE", "DRAINING")]
    assert sorted(listed(door)["containerInstanceArns"]) == sorted(arn for arns in one_by_one for arn in arns)


def test_pages_have_the_requested_size_and_contain_everything(door: Door) -> None:
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = listed(door, maxResults=1, **token)
        assert len(page["containerInstanceArns"]) <= 1
        found += page["containerInstanceArns"]
        if not page.get("nextToken"):
            break
        token = {"nextToken": page["nextToken"]}
    assert sorted(found) == sorted(listed(door)["containerInstanceArns"])


def test_an_instance_says_what_the_updater_reads(door: Door) -> None:
    arns = door.ask("ecs", "list_container_instances", cluster=door.cluster)["containerInstanceArns"]
    if not arns:
        pytest.skip("the cluster has no container instances")
    answer = door.ask("ecs", "describe_container_instances", cluster=door.cluster, containerInstances=arns[:100])
    read = {"ec2InstanceId", "status", "agentConnected", "attributes", "runningTasksCount", "version"}
    for shape in answer["containerInstances"]:
        assert read <= shape.keys()


def test_the_newest_commands_come_first(door: Door) -> None:
    sent = [one["RequestedDateTime"] for one in door.ask("ssm", "list_commands")["Commands"]]
    assert sent == sorted(sent, reverse=True)
