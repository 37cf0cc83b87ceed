"""`doctor` over HTTP: everything well, and each thing that it checks broken in turn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from moto.core.responses import ActionResult
from moto.ecr.responses import ECRResponse
from moto.s3.responses import S3Response
from moto.sts.exceptions import STSClientError
from moto.sts.responses import TokenResponse
from tests.e2e.town import SPEED, Town, town

from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.scenarios import showcase_cluster
from bottlerocket_ecs_updater.simulator.services.documents import REBOOT, shell_document
from bottlerocket_ecs_updater.simulator.world.api_faults import denying

HARMLESS = (
    "Describe",
    "List",
    "Get",
    # Called with targets that do not exist.
    "UpdateContainerInstancesState",
    "PutAttributes",
    "DeleteAttributes",
    "CancelCommand",
    "SendCommand",
)
"""Prefixes of operations that change nothing, or that are called with targets that do not exist."""
BUCKET = "s3://examined/updater"


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Town]:
    with town(showcase_cluster(8), tmp_path / "state", speed=SPEED) as made:
        made.client("s3").create_bucket(Bucket="examined")
        yield made


def examine(
    built: Town, *words: str, state: str = BUCKET, without: Collection[str] = (), **changed: str
) -> tuple[int, str]:
    """The exit code and the output, with these environment variables removed or changed."""
    clock = ("--time-scale", str(SPEED), "--time-origin", built.origin)
    given = built.arguments()
    place = given.index("--state")
    given[place : place + 2] = ["--state", state] if state else []
    command = [sys.executable, "-m", "bottlerocket_ecs_updater", "doctor", *given, *clock, *words]
    environment = {name: value for name, value in built.environment().items() if name not in without} | changed
    done = subprocess.run(command, env=environment, capture_output=True, check=False, text=True)
    # It reports what it waits for.
    assert done.stderr == "" or "waiting for AWS" in done.stderr
    return done.returncode, done.stdout


def graded(said: str, grade: str) -> list[str]:
    """The lines with a grade, each with its remedy."""
    lines = said.splitlines()
    return [f"{line}\n{after}" for line, after in zip(lines, [*lines[1:], ""], strict=True) if line.startswith(grade)]


def test_doctor_says_that_all_is_well_and_changes_nothing(built: Town) -> None:
    before = {id_: host.boot_id for id_, host in built.world.hosts.items()}
    code, said = examine(built)
    assert (code, graded(said, "FAIL")) == (0, []), said
    assert f"OK    store {BUCKET}/: a bucket that can be read, written and listed" in said
    assert all(id_ in said for id_ in built.world.hosts)
    assert {id_: host.boot_id for id_, host in built.world.hosts.items()} == before
    operations = {action.split(":")[1] for action in built.world.calls.by_action if action.startswith(("ecs", "ssm"))}
    assert [operation for operation in operations if not operation.startswith(HARMLESS)] == []
    attributes = built.client("ecs").list_attributes(cluster="demo", targetType="container-instance")["attributes"]
    assert "doctor" not in json.dumps(attributes)


def test_programs_get_the_same_events(built: Town) -> None:
    code, said = examine(built, "--format", "json")
    output = json.loads(said)
    assert (code, output["ok"], output["schema"]) == (0, True, 1)
    assert {"credentials", "clock", "cluster", "document", "permission", "store", "instance"} <= {
        finding["check"] for finding in output["findings"]
    }
    assert all(bool(finding["remedy"]) == (finding["grade"] != "OK") for finding in output["findings"])


def test_a_document_with_other_steps_is_reported(built: Town) -> None:
    content = shell_document("Stage", ("apiclient update apply --reboot",), 60)
    built.client("ssm").create_document(Name="older", DocumentType="Command", Content=content)
    code, said = examine(built, "--apply-document", "older")
    [line] = graded(said, "FAIL")
    assert code == 1
    assert "document older: it runs `apiclient update apply --reboot` instead of `test -n '{{replace}}' && " in line
    assert "Deploy the stack" in line


def test_an_apply_document_that_cannot_replace_a_staged_update_is_reported_but_will_do(built: Town) -> None:
    content = shell_document("Stage", ("apiclient update apply",), 60)
    built.client("ssm").create_document(Name="plain", DocumentType="Command", Content=content)
    code, said = examine(built, "--apply-document", "plain")
    assert code == 0
    assert any(
        "document plain: it runs `apiclient update apply`: it cannot replace" in one for one in graded(said, "WARN")
    )


def test_a_document_that_is_not_there_is_reported(built: Town) -> None:
    code, said = examine(built, "--reboot-document", "no-such-document")
    assert code == 1
    assert any("document no-such-document" in line for line in graded(said, "FAIL"))


def test_a_cluster_that_is_not_there_is_reported(built: Town) -> None:
    code, said = examine(built, "--cluster", "elsewhere")
    assert code == 1
    assert any("there is no cluster elsewhere" in line for line in graded(said, "FAIL"))


@pytest.mark.parametrize(
    "action",
    [
        "ecs:UpdateContainerInstancesState",
        "ecs:PutAttributes",
        "ecs:DeleteAttributes",
        "ecs:ListTasks",
        "ssm:ListCommandInvocations",
        "ssm:GetCommandInvocation",
    ],
)
def test_a_permission_that_is_missing_is_reported_by_its_action(built: Town, action: str) -> None:
    built.world.authorize = denying(action)
    code, said = examine(built)
    lines = [line for line in graded(said, "FAIL") if f"permission {action}" in line]
    assert (code, len(lines)) == (1, 1), said
    assert f"Allow {action}" in lines[0]


def test_missing_optional_permissions_are_warnings_that_say_what_is_lost(built: Town) -> None:
    actions = {
        "ecs:GetTaskProtection": "protected",
        "ecs:DescribeCapacityProviders": "fit elsewhere",
        "autoscaling:DescribeAutoScalingInstances": "replacing",
        "autoscaling:DescribeAutoScalingGroups": "may add instances",
        "autoscaling:DescribeInstanceRefreshes": "replacing",
        "ec2:DescribeInstances": "stopped",
        "ec2:DescribeInstanceTypes": "network interfaces",
        "ssm:CancelCommand": "not cancelled",
    }
    built.world.autoscaling.add_group("hosts", next(iter(built.world.hosts)))
    built.world.authorize = denying(*actions)
    code, said = examine(built)
    assert (code, graded(said, "FAIL")) == (0, []), said
    warned = graded(said, "WARN")
    for action, lost in actions.items():
        [line] = [line for line in warned if f"permission {action}: " in line]
        assert lost in line
        assert f"Allow {action}" in line
    assert "A run would work." in said


def test_permissions_for_settings_are_tested_only_with_these_settings(built: Town) -> None:
    calendar = "arn:aws:ssm:us-east-1:123456789012:document/changes"
    actions = ("cloudwatch:DescribeAlarms", "ssm:GetCalendarState", "ssm:GetParameters")
    built.world.cloudwatch.set_alarm("errors", "OK")
    built.world.authorize = denying(*actions)
    _, said = examine(built)
    assert not any(action in said for action in actions)
    code, said = examine(built, "--alarm", "errors", "--change-calendar", calendar, "--published-only")
    assert code == 1
    failed = graded(said, "FAIL")
    assert all(any(f"permission {action}" in line for line in failed) for action in actions), said


def test_a_denied_call_is_blamed_on_nothing_else(built: Town) -> None:
    built.world.authorize = denying("ecs:ListContainerInstances")
    _, said = examine(built)
    assert f"OK    store {BUCKET}/" in said
    built.world.authorize = denying("ecs:DescribeClusters")
    _, said = examine(built)
    assert any("the permissions of a run were not checked" in line for line in graded(said, "WARN")), said


def test_a_document_that_may_not_be_sent_is_reported(built: Town) -> None:
    def deny(call: Call) -> None:
        if call.operation == "SendCommand" and call.params["DocumentName"] == REBOOT:
            arn = f"arn:aws:ssm:us-east-1:123456789012:document/{REBOOT}"
            raise AwsError(
                "AccessDeniedException", f"x is not authorized to perform: ssm:SendCommand on resource: {arn}"
            )

    built.world.authorize = deny
    code, said = examine(built)
    assert code == 1
    assert any(f"ssm:SendCommand ({REBOOT})" in line for line in graded(said, "FAIL")), said


@pytest.mark.parametrize("header", ["If-None-Match", "If-Match"])
def test_a_bucket_that_ignores_conditions_is_reported_and_no_run_trusts_it(
    built: Town, header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = S3Response.put_object

    def forgetful(response: Any) -> Any:
        response.headers = {name: value for name, value in response.headers.items() if name.lower() != header.lower()}
        return write(response)

    monkeypatch.setattr(S3Response, "put_object", forgetful)
    before = {host.boot_id for host in built.world.hosts.values()}
    code, said = examine(built)
    assert code == 1
    assert any(f"ignores {header}" in line for line in graded(said, "FAIL")), said
    output = built.run("--state", BUCKET)
    assert output.exit_code == 1
    assert f"ignores {header}" in json.dumps(output.lines[-1])
    assert {host.boot_id for host in built.world.hosts.values()} == before


def test_a_bucket_that_is_not_there_is_reported(built: Town) -> None:
    code, said = examine(built, state="s3://no-such-bucket/updater")
    assert code == 1
    assert any("no-such-bucket" in line for line in graded(said, "FAIL")), said


def test_without_a_store_it_says_what_is_lost(built: Town) -> None:
    _, said = examine(built, state="")
    assert any("runs have no lease" in line for line in graded(said, "WARN")), said


def test_without_credentials_it_says_to_sign_in_and_asks_nothing_else(built: Town) -> None:
    code, said = examine(built, without=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    [line] = graded(said, "FAIL")
    assert (code, "credentials" in line, "Sign in" in line) == (1, True, True)
    assert "cluster demo" not in said


@pytest.mark.filterwarnings("ignore:Exception")
@pytest.mark.parametrize("error", ["InvalidClientTokenId", "ExpiredToken", "SignatureDoesNotMatch"])
def test_credentials_that_aws_does_not_take_are_reported(
    built: Town, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Any) -> None:
        raise STSClientError(error, "The security token included in the request is invalid")

    monkeypatch.setattr(TokenResponse, "get_caller_identity", refuse)
    code, said = examine(built)
    [line] = graded(said, "FAIL")
    assert (code, "AWS does not accept the credentials" in line, "Sign in" in line) == (1, True, True), said


def test_without_any_answer_the_error_says_to_check_the_route(built: Town) -> None:
    code, said = examine(built, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    [line] = graded(said, "FAIL")
    assert (code, "Check the route to AWS" in line) == (1, True), said


def test_another_region_is_named(built: Town) -> None:
    code, said = examine(built, "--region", "us-west-2")
    [line] = [line for line in graded(said, "FAIL") if "cluster demo" in line]
    assert (code, "there is no cluster demo in us-west-2" in line, "its Region" in line) == (1, True, True)
    assert any("they were not checked" in line or "were not checked" in line for line in graded(said, "WARN"))


def test_a_topic_a_bus_and_a_task_definition_that_are_not_there_are_reported(built: Town) -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:nobody"
    code, said = examine(built, "--notify-topic", topic, "--event-bus", "nobody", "--task-definition", "nobody")
    assert code == 1
    failed = graded(said, "FAIL")
    for check in (f"topic {topic}", "event-bus nobody", "task-definition nobody"):
        assert any(f"  {check}" in line and "Correct its name" in line for line in failed), said


def test_each_host_that_cannot_be_updated_is_reported_and_the_others_are_checked(built: Town) -> None:
    world = built.world
    well = [member.host.instance_id for member in built.scenario.members if member.story == "has an update available"]
    gone, unreachable = well
    with built.clock.lock:
        world.hosts[gone]._set_ecs(up=False)
        world.hosts[unreachable]._lose_ssm()
    built.clock.skip(timedelta(minutes=15))
    code, said = examine(built)
    failed = graded(said, "FAIL")
    assert any(f"instance {gone}: its ECS agent is disconnected" in line for line in failed), said
    assert any(f"instance {unreachable}: Systems Manager has lost the connection" in line for line in failed), said
    assert any("variant aws-ecs-1" in line and "Replace the instance" in line for line in graded(said, "WARN"))
    assert (code, "A run would work, but not update 2 instances." in said) == (1, True)


def test_with_a_bucket_that_is_not_there_the_hosts_are_checked_anyway(built: Town) -> None:
    _, said = examine(built, state="s3://no-such-bucket/updater")
    assert len(graded(said, "FAIL")) == 1
    assert all(f"instance {id_}" in said for id_ in built.world.hosts)


def test_an_old_image_and_a_group_that_takes_drained_hosts_are_reported(built: Town) -> None:
    world, hosts = built.world, list(built.world.hosts)
    world.launch_templates.add_image("ami-old", "bottlerocket-aws-ecs-2-x86_64-v1.20.0-0123abcd")
    world.launch_templates.add_template("hosts", "ami-old")
    world.autoscaling.add_group("hosts", *hosts)
    world.scaling.add("protecting", *hosts[1:3]).termination_protection = True
    code, said = examine(built)
    warned = graded(said, "WARN")
    assert any(
        "launch hosts: " in line and "start with 1.20.0" in line and "Replace launch template" in line
        for line in warned
    ), said
    assert any("capacity-provider protecting: " in line and "launch template" in line for line in warned), said
    assert code == 0


def test_published_versions_are_looked_at_where_only_they_are_admitted(built: Town) -> None:
    _, without = examine(built)
    assert " published " not in without
    _, said = examine(built, "--published-only")
    assert "OK    published /aws/service/bottlerocket/aws-ecs-2/x86_64/latest/image_version: the newest" in said
    assert "WARN  published /aws/service/bottlerocket/aws-ecs-1/" in said
    built.world.authorize = denying("ssm:GetParameters")
    code, denied = examine(built, "--published-only")
    assert code == 1
    assert "FAIL  published /aws/service/bottlerocket/aws-ecs-2/x86_64/latest/image_version: not allowed" in denied


INDEX = "application/vnd.oci.image.index.v1+json"
ALONE = "application/vnd.oci.image.manifest.v1+json"


def pushed(built: Town, media: str, **manifest: Any) -> str:
    """An image in ECR, by its tag. Repositories outlive a test, so each test has its own."""
    text = json.dumps({"schemaVersion": 2, "mediaType": media, **manifest})
    name, ecr = f"updater-{uuid4()}", built.client("ecr")
    ecr.create_repository(repositoryName=name)
    ecr.put_image(repositoryName=name, imageTag="1", imageManifest=text)
    return f"{built.world.names.account}.dkr.ecr.{built.world.names.region}.amazonaws.com/{name}:1"


def defined(built: Town, image: str, architecture: str) -> None:
    """A task definition "updater" of the image."""
    container = {
        "name": "updater",
        "memory": 64,
        "image": image,
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/updater"}},
    }
    built.client("ecs").register_task_definition(
        family="updater", containerDefinitions=[container], runtimePlatform={"cpuArchitecture": architecture}
    )


class Configuration(BaseHTTPRequestHandler):
    """The URL that ECR gives for an image's configuration."""

    says = b""

    def do_GET(self) -> None:
        self.send_response(200 if self.says else 403)
        self.end_headers()
        self.wfile.write(self.says)

    def log_message(self, *_: object) -> None:
        """Write nothing to stderr."""


@pytest.mark.parametrize(
    ("says", "graded_as", "expected"),
    [
        (b'{"architecture": "arm64", "os": "linux"}', "OK", "it is for ARM64"),
        (b'{"architecture": "amd64", "os": "linux"}', "FAIL", "the task needs ARM64, but the image is for X86_64"),
        (b'{"architecture": "s390x", "os": "linux"}', "FAIL", "the image is for s390x"),
        (b"no JSON", "WARN", "the architecture was not checked"),
        (b"", "WARN", "the architecture was not checked: the image's configuration ended in 403"),
    ],
)
def test_the_architecture_of_an_image_for_one_is_read_from_its_configuration(
    built: Town, monkeypatch: pytest.MonkeyPatch, says: bytes, graded_as: str, expected: str
) -> None:
    monkeypatch.setattr(Configuration, "says", says)
    layer = f"sha256:{'2' * 64}"
    asked: list[str] = []
    with HTTPServer(("127.0.0.1", 0), Configuration) as server:
        Thread(target=server.serve_forever, daemon=True).start()

        def where(response: Any) -> ActionResult:
            asked.append(response._get_param("layerDigest"))
            return ActionResult({"downloadUrl": f"http://127.0.0.1:{server.server_port}/", "layerDigest": asked[-1]})

        monkeypatch.setattr(ECRResponse, "get_download_url_for_layer", where)
        defined(built, pushed(built, ALONE, config={"digest": layer}, layers=[]), "ARM64")
        _, said = examine(built, "--task-definition", "updater")
        server.shutdown()
    assert asked == [layer]
    assert any(expected in line for line in graded(said, graded_as)), said


def test_an_image_in_another_registry_is_reported_as_not_checked(built: Town) -> None:
    image = f"registry.example/updater@sha256:{'1' * 64}"
    defined(built, image, "X86_64")
    code, said = examine(built, "--task-definition", "updater")
    [line] = [line for line in graded(said, "WARN") if "was not checked" in line]
    assert (code, f"imagetools inspect {image}" in line) == (0, True), said


def test_an_image_for_another_architecture_and_a_log_group_that_is_not_there_are_reported(built: Town) -> None:
    platform = {"architecture": "amd64", "os": "linux"}
    attested = {"architecture": "unknown", "os": "unknown"}
    listed = [{"digest": f"sha256:{'1' * 64}", "platform": each} for each in (platform, attested)]
    defined(built, pushed(built, INDEX, manifests=listed), "ARM64")
    code, said = examine(built, "--task-definition", "updater")
    [line] = graded(said, "FAIL")
    assert (code, "the task needs ARM64, but the image is for X86_64" in line) == (1, True), said
    warned = graded(said, "WARN")
    assert any("log-group /updater: it does not exist yet" in line for line in warned), said
    assert any("named by a tag" in line for line in warned)
