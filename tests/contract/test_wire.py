"""The HTTP interface: which service answers, which requests are allowed, and how errors look."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from moto.ecs.models import ecs_backends
from tests.contract.doors import SMALL, Door, wire_door

from bottlerocket_ecs_updater.simulator.aws_basics.names import Names
from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.ecs import EcsTiming
from bottlerocket_ecs_updater.simulator.faults import ApiFails, FaultPlan, Placed, RepliesLost
from bottlerocket_ecs_updater.simulator.scenarios import row
from bottlerocket_ecs_updater.simulator.services.documents import CHECK, shell_document
from bottlerocket_ecs_updater.simulator.wire import OPERATOR_KEY, Wire

ONE_TRY = Config(retries={"total_max_attempts": 1})


@pytest.fixture(scope="module")
def wired() -> Iterator[Door]:
    with wire_door(SMALL) as door:
        yield door


def test_the_swap_took_effect_so_that_moto_itself_has_no_instances(wired: Door) -> None:
    answer = wired.ask("ecs", "list_container_instances", cluster="demo")
    backend = ecs_backends[SMALL.names.account][SMALL.names.region]
    assert len(answer["containerInstanceArns"]) == len(SMALL.members)
    assert backend.container_instances == {}


def test_calls_are_counted_under_the_key_that_signed_them(wired: Door) -> None:
    before = wired.world.calls.by_caller["AKIASIMULATEDUPDATER"]
    wired.ask("ecs", "list_clusters")
    assert wired.world.calls.by_caller["AKIASIMULATEDUPDATER"] == before + 1


@pytest.mark.parametrize(
    ("service", "method", "params", "action"),
    [
        ("s3", "put_object", {"Bucket": "counted", "Key": "a/b", "Body": b""}, "s3:PutObject"),
        ("s3", "list_objects_v2", {"Bucket": "counted"}, "s3:ListObjectsV2"),
        ("sts", "get_caller_identity", {}, "sts:GetCallerIdentity"),
        ("events", "list_rules", {}, "events:ListRules"),
    ],
)
def test_calls_that_moto_serves_are_counted_too(
    wired: Door, service: str, method: str, params: dict[str, Any], action: str
) -> None:
    before = wired.world.calls.by_action[action]
    wired.ask(service, method, **params)
    assert wired.world.calls.by_action[action] == before + 1


def test_the_public_parameters_of_bottlerocket_are_the_worlds_and_others_are_motos(wired: Door) -> None:
    public = "/aws/service/bottlerocket/aws-ecs-2/x86_64/latest/image_version"
    wired.ask("ssm", "put_parameter", Name="/ours", Value="a", Type="String")
    both = wired.ask("ssm", "get_parameters", Names=["/ours"])["Parameters"]
    assert [one["Value"] for one in both] == ["a"]
    newest = wired.ask("ssm", "get_parameter", Name=public)["Parameter"]["Value"]
    assert newest.startswith("1.53.1-")
    wired.ask("ssm", "put_parameter", Name=public, Value="1.52.0-d93bb1b1", Overwrite=True)
    [found] = wired.ask("ssm", "get_parameters", Names=[public])["Parameters"]
    assert found["Value"] == "1.52.0-d93bb1b1"
    wired.ask("ssm", "delete_parameter", Name=public)
    assert wired.ask("ssm", "get_parameters", Names=[public])["InvalidParameters"] == [public]


def test_only_loopback_is_listened_on() -> None:
    with Wire(SMALL.build(VirtualClock())) as wire:
        assert wire.endpoint.startswith("http://127.0.0.1:")
        assert wire._server is not None
        assert wire._server.server_address[0] == "127.0.0.1"


def test_a_server_that_was_stopped_can_be_started_again() -> None:
    wire = Wire(SMALL.build(VirtualClock()))
    first = wire.start()
    wire.stop()
    second = wire.start()
    wire.stop()
    assert first.startswith("http://")
    assert second.startswith("http://")


@pytest.mark.parametrize(
    ("service", "method", "params"),
    [
        ("ecs", "create_capacity_provider", {"name": "more"}),
        ("ssm", "describe_activations", {}),
        ("cloudwatch", "put_anomaly_detector", {"SingleMetricAnomalyDetector": {}}),
        ("braket", "search_jobs", {"filters": []}),
        ("appconfig", "list_applications", {}),
    ],
)
def test_an_operation_that_is_not_simulated_gets_an_aws_error_at_once(
    wired: Door, service: str, method: str, params: dict[str, Any]
) -> None:
    _, code, message, status = wired.ask(service, method, **params)
    assert (code, status) in {("UnsupportedOperation", 400), ("NotImplemented", 501)}
    assert "not simulated" in message.lower()


def test_documents_that_were_made_through_the_api_are_the_ones_that_run(wired: Door) -> None:
    content = shell_document("Say hello", ("echo hello",), 60)
    wired.ask("ssm", "create_document", Content=content, Name="say-hello", DocumentType="Command")
    instance = SMALL.members[0].host.instance_id
    sent = wired.ask("ssm", "send_command", DocumentName="say-hello", InstanceIds=[instance])
    wired.wait(10)
    command_id = sent["Command"]["CommandId"]
    answer = wired.ask("ssm", "get_command_invocation", CommandId=command_id, InstanceId=instance)
    assert answer["StandardOutputContent"] == "hello\n"


def test_the_worlds_own_documents_are_described_by_moto(wired: Door) -> None:
    assert wired.ask("ssm", "describe_document", Name=CHECK)["Document"]["Status"] == "Active"


def test_a_task_definition_that_was_registered_over_the_wire_can_be_run(wired: Door) -> None:
    container = {"name": "job", "image": "job", "cpu": 128, "memory": 128}
    wired.ask("ecs", "register_task_definition", family="my-job", containerDefinitions=[container])
    answer = wired.ask("ecs", "run_task", cluster="demo", taskDefinition="my-job")
    assert [task["taskDefinitionArn"].rsplit("/", 1)[1] for task in answer["tasks"]] == ["my-job:1"]


def test_another_region_has_no_such_cluster(wired: Door) -> None:
    endpoint = wired.clients._endpoint
    other = boto3.client(
        "ecs",
        region_name="eu-central-1",
        endpoint_url=endpoint,
        aws_access_key_id="AKIASIMULATEDUPDATER",
        aws_secret_access_key="x",
        config=ONE_TRY,
    )
    with pytest.raises(ClientError, match="ClusterNotFoundException"):
        other.list_container_instances(cluster="demo")
    assert other.list_clusters()["clusterArns"] == []
    assert other.describe_clusters(clusters=["demo"])["failures"][0]["reason"] == "MISSING"


def test_other_partitions_have_arns_of_their_own() -> None:
    scenario = row(1)
    names = Names(partition="aws-cn", region="cn-north-1")
    elsewhere = replace(scenario, names=names)
    with wire_door(elsewhere) as door:
        arns = door.ask("ecs", "list_container_instances", cluster="demo")["containerInstanceArns"]
    assert arns[0].startswith("arn:aws-cn:ecs:cn-north-1:123456789012:container-instance/demo/")


def test_a_server_error_is_recognized_and_retried() -> None:
    plan = FaultPlan((Placed(ApiFails("InternalServerError", 500, "ListClusters", every=1, times=2)),))
    with wire_door(row(1, faults=plan)) as door:
        client = boto3.client(
            "ecs",
            region_name="us-east-1",
            endpoint_url=door.clients._endpoint,
            aws_access_key_id="AKIASIMULATEDUPDATER",
            aws_secret_access_key="x",
            config=Config(retries={"mode": "standard", "total_max_attempts": 3}),
        )
        answer = client.list_clusters()
    assert answer["ResponseMetadata"]["RetryAttempts"] == 2


def test_a_lost_reply_is_a_connection_that_closes_after_the_effect() -> None:
    plan = FaultPlan((Placed(RepliesLost("UpdateContainerInstancesState", every=1)),))
    with wire_door(row(1, faults=plan)) as door:
        arns = door.ask("ecs", "list_container_instances", cluster="demo")["containerInstanceArns"]
        ecs = door.clients.client("ecs")
        with pytest.raises(ConnectionClosedError):
            ecs.update_container_instances_state(cluster="demo", containerInstances=arns, status="DRAINING")
        shown = door.ask("ecs", "describe_container_instances", cluster="demo", containerInstances=arns)
    assert shown["containerInstances"][0]["status"] == "DRAINING"


def test_calls_that_moto_serves_get_the_same_faults() -> None:
    faults = (
        ApiFails("SlowDown", 503, "s3:CreateBucket", every=1, times=1),
        RepliesLost("s3:PutObject", every=1, times=1),
    )
    with wire_door(row(1, faults=FaultPlan(tuple(Placed(fault) for fault in faults)))) as door:
        assert door.ask("s3", "create_bucket", Bucket="faulty")[1:4:2] == ("SlowDown", 503)
        door.ask("s3", "create_bucket", Bucket="faulty")
        with pytest.raises(ConnectionClosedError):
            door.clients.client("s3").put_object(Bucket="faulty", Key="a", Body=b"written")
        assert door.ask("s3", "get_object", Bucket="faulty", Key="a")["Body"] == b"written"


def test_another_account_is_the_one_of_all_arns() -> None:
    scenario = row(1)
    elsewhere = replace(scenario, names=Names(account="999999999999"))
    with wire_door(elsewhere) as door:
        arns = door.ask("ecs", "list_container_instances", cluster="demo")["containerInstanceArns"]
        who = door.ask("sts", "get_caller_identity")
        assert door.ask("ssm", "describe_document", Name=CHECK)["Document"]["Owner"] == "999999999999"
    assert (arns[0].split(":")[4], who["Account"]) == ("999999999999", "999999999999")


def test_a_persons_drain_over_http_does_not_count_against_the_updater() -> None:
    scenario = row(2)
    world = scenario.build(VirtualClock())
    with Wire(world) as wire:
        aws(wire, OPERATOR_KEY, "update-container-instances-state", "--status", "DRAINING", "--container-instances", *(
            world.instance(member.host.instance_id).arn for member in scenario.members
        ))  # fmt: skip
    assert world.findings().stranded == ()


def test_awscli_reads_pages_and_describes(wired: Door) -> None:
    with Wire(SMALL.build(VirtualClock())) as wire:
        arns = aws(wire, "AKIASIMULATEDUPDATER", "list-container-instances", "--page-size", "3")[
            "containerInstanceArns"
        ]
        shown = aws(wire, "AKIASIMULATEDUPDATER", "describe-container-instances", "--container-instances", *arns)
    assert [each["status"] for each in shown["containerInstances"]] == ["ACTIVE"] * 4


def test_an_instance_that_comes_back_by_itself_is_seen_active_over_the_wire() -> None:
    scenario = row(1)
    forgetful = replace(scenario, ecs_timing=EcsTiming(draining_survives=False))
    instance = forgetful.members[0].host.instance_id
    with wire_door(forgetful) as door:
        arn = door.world.instance(instance).arn
        door.ask("ecs", "update_container_instances_state", cluster="demo", containerInstances=[arn], status="DRAINING")
        door.world.hosts[instance].reboot("somebody")
        door.wait(120)
        shown = door.ask("ecs", "describe_container_instances", cluster="demo", containerInstances=[arn])
    assert shown["containerInstances"][0]["status"] == "ACTIVE"


def aws(wire: Wire, key: str, operation: str, *arguments: str) -> Any:
    """The output of awscli, as a separate process."""
    program = Path(sys.executable).with_name("aws")
    done = subprocess.run(
        [program, "ecs", operation, "--cluster", "demo", *arguments],
        env={**os.environ, **wire.environment(key)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)
