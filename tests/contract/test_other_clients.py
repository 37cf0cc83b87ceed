"""Other AWS clients against a served world: deploy tools, consoles, scripts that stop and reboot instances."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from tests.contract.doors import Door, wire_door

from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.scenarios import row

WEB = ServiceSpec("web", 2, Workload(cpu=256, memory=256))


@pytest.fixture
def wired() -> Iterator[Door]:
    with wire_door(row(4, seed=3, services=(WEB,))) as door:
        yield door


def container(image: str) -> dict[str, Any]:
    return {"name": "web", "image": image, "cpu": 128, "memory": 128, "essential": True}


def ids(door: Door) -> list[str]:
    shown = door.ask("ec2", "describe_instances")["Reservations"]
    return [one["InstanceId"] for each in shown for one in each["Instances"]]


# Deployments


def test_a_new_revision_of_a_served_family_is_the_next_one_and_a_service_deploys_it(wired: Door) -> None:
    """The steps of `ecs deploy --image`: look, register, update, wait, deregister the old revision."""
    service = wired.ask("ecs", "describe_services", cluster="demo", services=["web"])["services"][0]
    before = wired.ask("ecs", "describe_task_definition", taskDefinition=service["taskDefinition"])["taskDefinition"]
    registered = wired.ask(
        "ecs", "register_task_definition", family=before["family"], containerDefinitions=[container("web:2")]
    )["taskDefinition"]
    assert registered["revision"] == before["revision"] + 1
    wired.ask("ecs", "update_service", cluster="demo", service="web", taskDefinition=registered["taskDefinitionArn"])
    wired.wait(600)
    after = wired.ask("ecs", "describe_services", cluster="demo", services=["web"])["services"][0]
    assert [one["taskDefinition"] for one in after["deployments"]] == [registered["taskDefinitionArn"]]
    assert after["runningCount"] == 2
    tasks = wired.ask("ecs", "list_tasks", cluster="demo", serviceName="web")["taskArns"]
    shown = wired.ask("ecs", "describe_tasks", cluster="demo", tasks=tasks)["tasks"]
    assert {task["taskDefinitionArn"] for task in shown} == {registered["taskDefinitionArn"]}
    old = wired.ask("ecs", "deregister_task_definition", taskDefinition=before["taskDefinitionArn"])
    assert old["taskDefinition"]["status"] == "INACTIVE"
    assert wired.ask("ecs", "list_task_definitions", familyPrefix="web")["taskDefinitionArns"] == [
        registered["taskDefinitionArn"]
    ]


def test_definitions_of_the_world_and_of_others_are_listed_together(wired: Door) -> None:
    wired.ask("ecs", "register_task_definition", family="job", containerDefinitions=[container("job:1")])
    families = wired.ask("ecs", "list_task_definition_families")["families"]
    assert {"web", "job"} <= set(families)
    arns = wired.ask("ecs", "list_task_definitions")["taskDefinitionArns"]
    assert {arn.rsplit("/", 1)[1] for arn in arns} >= {"web:1", "job:1"}


def test_the_deployments_of_a_service_are_listed_and_described(wired: Door) -> None:
    [brief] = wired.ask("ecs", "list_service_deployments", cluster="demo", service="web")["serviceDeployments"]
    arns = [brief["serviceDeploymentArn"], brief["serviceDeploymentArn"] + "x"]
    answer = wired.ask("ecs", "describe_service_deployments", serviceDeploymentArns=arns)
    assert [one["status"] for one in answer["serviceDeployments"]] == [brief["status"]]
    assert [one["reason"] for one in answer["failures"]] == ["MISSING"]
    assert wired.ask("ecs", "describe_task_sets", cluster="demo", service="web")["taskSets"] == []


# Instances


def test_an_instance_can_be_rebooted_stopped_started_and_terminated(wired: Door) -> None:
    first, second = ids(wired)[:2]
    boots = wired.world.hosts[first].boots
    wired.ask("ec2", "reboot_instances", InstanceIds=[first])
    wired.wait(300)
    assert wired.world.hosts[first].boots == boots + 1
    [stopped] = wired.ask("ec2", "stop_instances", InstanceIds=[first])["StoppingInstances"]
    assert (stopped["PreviousState"]["Name"], stopped["CurrentState"]["Name"]) == ("running", "stopped")
    wired.wait(300)
    arn = wired.world.instance(first).arn
    shown = wired.ask("ecs", "describe_container_instances", cluster="demo", containerInstances=[arn])
    assert (shown["containerInstances"][0]["status"], shown["containerInstances"][0]["agentConnected"]) == (
        "ACTIVE",
        False,
    )
    wired.ask("ec2", "start_instances", InstanceIds=[first])
    wired.wait(300)
    assert wired.world.instance(first).agent_connected
    wired.ask("ec2", "terminate_instances", InstanceIds=[second])
    refused = wired.ask("ec2", "stop_instances", InstanceIds=[second])
    assert refused[1] == "IncorrectInstanceState"


def test_a_console_shows_the_running_version(wired: Door) -> None:
    output = wired.ask("ec2", "get_console_output", InstanceId=ids(wired)[0])["Output"]
    assert output.startswith("Bottlerocket OS 1.52.0")


def test_an_instance_that_is_not_there_is_named(wired: Door) -> None:
    refused = wired.ask("ec2", "reboot_instances", InstanceIds=["i-00000000000000bad"])
    assert refused[1] == "InvalidInstanceID.NotFound"


def test_a_container_instance_with_tasks_is_deregistered_by_force_only(wired: Door) -> None:
    busy = next(one for one in wired.world.cluster.instances.values() if one.tasks)
    refused = wired.ask("ecs", "deregister_container_instance", cluster="demo", containerInstance=busy.arn)
    assert "running tasks" in refused[2]
    gone = wired.ask("ecs", "deregister_container_instance", cluster="demo", containerInstance=busy.arn, force=True)
    assert gone["containerInstance"]["status"] == "INACTIVE"
    assert busy.arn not in wired.ask("ecs", "list_container_instances", cluster="demo")["containerInstanceArns"]
    wired.wait(600)
    service = wired.ask("ecs", "describe_services", cluster="demo", services=["web"])["services"][0]
    assert service["runningCount"] == 2


# Commands


@pytest.mark.parametrize(
    ("targets", "count"),
    [
        ([{"Key": "tag:Name", "Values": ["{0}", "{1}"]}], 2),
        ([{"Key": "tag-key", "Values": ["Name"]}], 4),
        ([{"Key": "tag:ring", "Values": ["canary"]}], 0),
        ([{"Key": "tag:Name", "Values": ["{0}"]}, {"Key": "tag:ring", "Values": ["canary"]}], 0),
    ],
)
def test_a_command_goes_to_instances_with_a_tag(wired: Door, targets: list[dict[str, Any]], count: int) -> None:
    named = ids(wired)
    filled = [{**one, "Values": [value.format(*named) for value in one["Values"]]} for one in targets]
    sent = wired.ask(
        "ssm",
        "send_command",
        DocumentName="AWS-RunShellScript",
        Targets=filled,
        Parameters={"commands": ["true"]},
    )["Command"]
    wired.wait(60)
    found = wired.ask("ssm", "list_command_invocations", CommandId=sent["CommandId"])["CommandInvocations"]
    assert len(found) == count


# Other Regions, and operations that are not simulated


def test_another_region_is_empty(wired: Door) -> None:
    elsewhere: Any = boto3.Session("AKIASIMULATEDUPDATER", "x", region_name="eu-central-1")
    endpoint = wired.clients._endpoint
    ecs, ssm, ec2 = (elsewhere.client(name, endpoint_url=endpoint) for name in ("ecs", "ssm", "ec2"))
    assert ecs.list_clusters()["clusterArns"] == []
    assert ssm.describe_instance_information()["InstanceInformationList"] == []
    assert ssm.list_commands()["Commands"] == []
    assert ec2.describe_instances()["Reservations"] == []


@pytest.mark.parametrize(
    ("service", "method", "params", "name"),
    [
        (
            "ecs",
            "update_task_set",
            {"cluster": "demo", "service": "web", "taskSet": "a", "scale": {"value": 50, "unit": "PERCENT"}},
            "ecs:UpdateTaskSet",
        ),
        ("ssm", "list_associations", {}, "ssm:ListAssociations"),
        ("ecs", "submit_task_state_change", {}, "ecs:SubmitTaskStateChange"),
        ("braket", "search_jobs", {"filters": []}, "braket"),
    ],
)
def test_an_operation_that_is_not_simulated_names_itself(
    wired: Door, service: str, method: str, params: dict[str, Any], name: str
) -> None:
    with pytest.raises(ClientError, match=f"{name}.*is not simulated"):
        getattr(wired.clients.client(service), method)(**params)
