"""Both interfaces give the same response to the same request, to the last field."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contract.doors import SMALL, Door

from bottlerocket_ecs_updater.simulator.services.documents import APPLY, CHECK, REBOOT

FIRST = SMALL.members[0].host.instance_id
SECOND = SMALL.members[1].host.instance_id
OLD_IMAGE = "ami-0123456789abcdef0"
UNKNOWN_ARN = SMALL.names.ecs("container-instance", "demo", "0" * 32)
NO_COMMAND = "00000000-0000-0000-0000-000000000000"

READS: list[tuple[str, str, dict[str, Any]]] = [
    ("ecs", "list_clusters", {}),
    ("ecs", "describe_clusters", {"clusters": ["demo", "nowhere"]}),
    ("ecs", "list_container_instances", {"cluster": "demo", "maxResults": 3}),
    ("ecs", "list_container_instances", {"cluster": "demo", "status": "DRAINING"}),
    ("ecs", "list_container_instances", {"cluster": "demo", "filter": "attribute:bottlerocket.variant == aws-ecs-2"}),
    ("ecs", "describe_container_instances", {"cluster": "demo", "containerInstances": [UNKNOWN_ARN]}),
    ("ecs", "list_tasks", {"cluster": "demo", "serviceName": "web"}),
    ("ecs", "list_tasks", {"cluster": "demo", "family": "log-router", "maxResults": 2}),
    ("ecs", "list_services", {"cluster": "demo"}),
    ("ecs", "describe_services", {"cluster": "demo", "services": ["web", "log-router", "nothing"]}),
    ("ecs", "list_attributes", {"cluster": "demo", "targetType": "container-instance", "attributeName": "ecs.os-type"}),
    ("ecs", "describe_task_definition", {"taskDefinition": "web"}),
    ("ecs", "describe_capacity_providers", {}),
    ("ssm", "describe_instance_information", {"MaxResults": 5}),
    ("ssm", "list_commands", {}),
    ("ec2", "describe_instance_status", {"InstanceIds": [FIRST]}),
    ("ec2", "describe_instance_status", {"MaxResults": 5}),
    ("ec2", "describe_instances", {"InstanceIds": [SECOND]}),
]

FURTHER_READS: list[tuple[str, str, dict[str, Any]]] = [
    ("autoscaling", "describe_auto_scaling_instances", {"InstanceIds": [FIRST, SECOND, "i-00000000000000000"]}),
    ("autoscaling", "describe_auto_scaling_instances", {"MaxRecords": 1}),
    ("autoscaling", "describe_auto_scaling_groups", {"AutoScalingGroupNames": ["hosts"]}),
    ("ec2", "describe_launch_template_versions", {"LaunchTemplateName": "hosts", "Versions": ["$Latest", "1"]}),
    ("ec2", "describe_launch_template_versions", {"LaunchTemplateName": "hosts", "Versions": ["7"]}),
    ("ec2", "describe_launch_template_versions", {"LaunchTemplateName": "nothing", "Versions": ["1"]}),
    ("ec2", "describe_images", {"Filters": [{"Name": "image-id", "Values": [OLD_IMAGE, "ami-0"]}]}),
    ("ec2", "describe_images", {"ImageIds": ["ami-0"]}),
    ("autoscaling", "describe_instance_refreshes", {"AutoScalingGroupName": "hosts"}),
    ("autoscaling", "describe_instance_refreshes", {"AutoScalingGroupName": "nothing"}),
    ("cloudwatch", "describe_alarms", {"AlarmNames": ["errors"]}),
    ("cloudwatch", "describe_alarms", {"AlarmNamePrefix": "er", "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}),
    ("cloudwatch", "describe_alarms", {"StateValue": "ALARM"}),
    ("cloudwatch", "describe_alarms", {"AlarmNames": ["x"] * 101}),
    ("ec2", "describe_instances", {"Filters": [{"Name": "instance-state-name", "Values": ["running"]}]}),
    ("ec2", "describe_instances", {"Filters": [{"Name": "colour", "Values": ["blue"]}]}),
]

REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("ecs", "list_container_instances", {"cluster": "nowhere"}),
    ("ecs", "list_container_instances", {"cluster": "demo", "filter": "this is no filter"}),
    ("ecs", "list_container_instances", {"cluster": "demo", "maxResults": 101}),
    ("ecs", "list_container_instances", {"cluster": "demo", "nextToken": "not a token"}),
    ("ecs", "describe_container_instances", {"cluster": "demo", "containerInstances": ["x"] * 101}),
    ("ecs", "describe_tasks", {"cluster": "demo", "tasks": ["x"] * 101}),
    ("ecs", "describe_services", {"cluster": "demo", "services": ["x"] * 11}),
    (
        "ecs",
        "update_container_instances_state",
        {"cluster": "demo", "containerInstances": ["x"] * 11, "status": "DRAINING"},
    ),
    (
        "ecs",
        "update_container_instances_state",
        {"cluster": "demo", "containerInstances": ["x"], "status": "INACTIVE"},
    ),
    ("ecs", "put_attributes", {"cluster": "demo", "attributes": [{"name": "a", "value": "b", "targetId": "x"}]}),
    (
        "ecs",
        "put_attributes",
        {"cluster": "demo", "attributes": [{"name": "a", "value": "b", "targetId": UNKNOWN_ARN}]},
    ),
    ("ecs", "run_task", {"cluster": "demo", "taskDefinition": "nothing"}),
    ("ecs", "stop_task", {"cluster": "demo", "task": "nothing"}),
    ("ecs", "create_capacity_provider", {"name": "more"}),
    ("ssm", "send_command", {"DocumentName": "nothing", "InstanceIds": [FIRST]}),
    ("ssm", "send_command", {"DocumentName": CHECK, "InstanceIds": ["i-00000000000000000"]}),
    ("ssm", "send_command", {"DocumentName": CHECK, "InstanceIds": [FIRST] * 51}),
    ("ssm", "get_command_invocation", {"CommandId": NO_COMMAND, "InstanceId": FIRST}),
    ("ec2", "describe_instance_status", {"InstanceIds": ["i-00000000000000000"]}),
    ("ec2", "describe_instance_status", {"InstanceIds": [FIRST], "MaxResults": 5}),
]


@pytest.mark.parametrize(("service", "method", "params"), READS, ids=lambda value: str(value)[:60])
def test_a_read_is_answered_alike(doors: tuple[Door, Door], service: str, method: str, params: dict[str, Any]) -> None:
    over_wire, in_process = (door.ask(service, method, **params) for door in doors)
    assert isinstance(in_process, dict), in_process
    assert over_wire == in_process


@pytest.mark.parametrize(("service", "method", "params"), REFUSED, ids=lambda value: str(value)[:60])
def test_a_refusal_is_worded_alike(doors: tuple[Door, Door], service: str, method: str, params: dict[str, Any]) -> None:
    over_wire, in_process = (door.ask(service, method, **params) for door in doors)
    assert isinstance(in_process, tuple), in_process
    assert over_wire == in_process


def test_groups_and_alarms_are_described_alike(fresh_doors: tuple[Door, Door]) -> None:
    for door in fresh_doors:
        door.world.launch_templates.add_image(OLD_IMAGE, "bottlerocket-aws-ecs-2-x86_64-v1.20.0-0123abcd")
        door.world.launch_templates.add_template("hosts", OLD_IMAGE, "resolve:ssm:/image", default=2)
        door.world.autoscaling.add_group("hosts", FIRST, SECOND)
        door.world.autoscaling.set_lifecycle(SECOND, "Terminating:Wait")
        door.world.autoscaling.start_refresh("hosts")
        door.world.cloudwatch.set_alarm("errors", "ALARM")
        door.world.cloudwatch.set_alarm("error-budget", "OK", rule="ALARM(errors)")
    for service, method, params in FURTHER_READS:
        over_wire, in_process = (door.ask(service, method, **params) for door in fresh_doors)
        assert over_wire == in_process


def test_both_interfaces_update_one_instance_step_by_step_in_the_same_way(fresh_doors: tuple[Door, Door]) -> None:
    over_wire, in_process = (_update(door) for door in fresh_doors)
    for wired, direct in zip(over_wire, in_process, strict=True):
        assert wired == direct


def _update(door: Door) -> list[Any]:
    seen: list[Any] = []

    def ask(service: str, method: str, **params: Any) -> Any:
        # Keep each response, to compare it with the other interface's.
        seen.append(door.ask(service, method, **params))
        return seen[-1]

    def send(document: str) -> None:
        command = ask("ssm", "send_command", DocumentName=document, InstanceIds=[FIRST], TimeoutSeconds=60)
        command_id = command["Command"]["CommandId"]
        ask("ssm", "get_command_invocation", CommandId=command_id, InstanceId=FIRST)
        door.wait(30)
        ask("ssm", "get_command_invocation", CommandId=command_id, InstanceId=FIRST)
        ask("ssm", "list_command_invocations", CommandId=command_id, Details=True)

    arns = ask("ecs", "list_container_instances", cluster="demo")["containerInstanceArns"]
    claim = {"name": "bottlerocket-ecs-updater.claim", "value": "1 draining", "targetId": arns[0]}
    send(CHECK)
    send(APPLY)
    ask("ecs", "put_attributes", cluster="demo", attributes=[claim])
    ask("ecs", "update_container_instances_state", cluster="demo", containerInstances=arns[:1], status="DRAINING")
    for _ in range(6):
        door.wait(5)
        ask("ecs", "describe_container_instances", cluster="demo", containerInstances=arns[:1])
        tasks = ask("ecs", "list_tasks", cluster="demo", containerInstance=arns[0], desiredStatus="STOPPED")
        if tasks["taskArns"]:
            ask("ecs", "describe_tasks", cluster="demo", tasks=tasks["taskArns"])
    send(REBOOT)
    for _ in range(12):
        door.wait(10)
        ask("ecs", "describe_container_instances", cluster="demo", containerInstances=arns[:1])
        ask("ec2", "describe_instance_status", InstanceIds=[FIRST])
        ask("ssm", "describe_instance_information")
    send(CHECK)
    ask("ecs", "update_container_instances_state", cluster="demo", containerInstances=arns[:1], status="ACTIVE")
    ask("ecs", "delete_attributes", cluster="demo", attributes=[{"name": claim["name"], "targetId": arns[0]}])
    door.wait(60)
    ask("ecs", "describe_services", cluster="demo", services=["web", "api", "log-router"])
    return seen
