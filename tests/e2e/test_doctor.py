"""`doctor` over the wire: all well, and each thing that it looks at broken in turn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.s3.responses import S3Response
from tests.e2e.town import SPEED, Town, town

from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.scenarios import showcase_cluster
from bottlerocket_ecs_updater.simulator.services.documents import REBOOT, shell_document

HARMLESS = (
    "Describe",
    "List",
    "Get",
    # Asked with targets that do not exist.
    "UpdateContainerInstancesState",
    "PutAttributes",
    "DeleteAttributes",
    "CancelCommand",
    "SendCommand",
)
BUCKET = "s3://examined/updater"


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Town]:
    with town(showcase_cluster(8), tmp_path / "state", speed=SPEED) as made:
        made.aws("s3api", "create-bucket", "--bucket", "examined")
        yield made


def examine(built: Town, *words: str, state: str = BUCKET) -> tuple[int, str]:
    """The exit code, and what was said."""
    clock = ("--time-scale", str(SPEED), "--time-origin", built.origin)
    given = built.arguments()
    place = given.index("--state")
    given[place : place + 2] = ["--state", state] if state else []
    command = [sys.executable, "-m", "bottlerocket_ecs_updater", "doctor", *given, *clock, *words]
    done = subprocess.run(command, env=built.environment(), capture_output=True, check=False, text=True)
    assert done.stderr == ""
    return done.returncode, done.stdout


def graded(said: str, grade: str) -> list[str]:
    """The lines of a grade, each with its remedy."""
    lines = said.splitlines()
    return [f"{line}\n{after}" for line, after in zip(lines, [*lines[1:], ""], strict=True) if line.startswith(grade)]


def test_where_all_is_well_it_says_so_and_changes_nothing(built: Town) -> None:
    before = {id_: host.boot_id for id_, host in built.world.hosts.items()}
    code, said = examine(built)
    assert (code, graded(said, "FAIL")) == (0, []), said
    assert f"OK    store {BUCKET}/: a bucket that can be read, written and listed" in said
    assert all(id_ in said for id_ in built.world.hosts)
    assert {id_: host.boot_id for id_, host in built.world.hosts.items()} == before
    operations = {action.split(":")[1] for action in built.world.calls.by_action if action.startswith(("ecs", "ssm"))}
    assert [operation for operation in operations if not operation.startswith(HARMLESS)] == []
    attributes = built.aws("ecs", "list-attributes", "--cluster", "demo", "--target-type", "container-instance")
    assert "doctor" not in json.dumps(attributes)


def test_programs_are_told_the_same(built: Town) -> None:
    code, said = examine(built, "--format", "json")
    told = json.loads(said)
    assert (code, told["ok"], told["schema"]) == (0, True, 1)
    assert {"credentials", "clock", "cluster", "document", "permission", "store", "instance"} <= {
        finding["check"] for finding in told["findings"]
    }
    assert all(bool(finding["remedy"]) == (finding["grade"] != "OK") for finding in told["findings"])


def test_a_document_with_other_steps_is_told(built: Town) -> None:
    content = shell_document("Stage", ("apiclient update apply --reboot",), 60)
    built.aws("ssm", "create-document", "--name", "older", "--document-type", "Command", "--content", content)
    code, said = examine(built, "--apply-document", "older")
    [line] = graded(said, "FAIL")
    assert code == 1
    assert "document older: it runs `apiclient update apply --reboot` instead of `apiclient update apply`" in line
    assert "Deploy the stack" in line


def test_a_document_that_is_not_there_is_told(built: Town) -> None:
    code, said = examine(built, "--reboot-document", "no-such-document")
    assert code == 1
    assert any("document no-such-document" in line for line in graded(said, "FAIL"))


def test_a_cluster_that_is_not_there_is_told(built: Town) -> None:
    code, said = examine(built, "--cluster", "elsewhere")
    assert code == 1
    assert any("there is no cluster elsewhere" in line for line in graded(said, "FAIL"))


@pytest.mark.parametrize(
    "action",
    [
        "ecs:UpdateContainerInstancesState",
        "ecs:PutAttributes",
        "ecs:DeleteAttributes",
        "ecs:GetTaskProtection",
        "ssm:CancelCommand",
        "ssm:GetCommandInvocation",
    ],
)
def test_a_permission_that_is_missing_is_told_by_its_action(built: Town, action: str) -> None:
    def deny(call: Call) -> None:
        if f"{call.service}:{call.operation}" == action:
            raise AwsError(
                "AccessDeniedException", f"User: x is not authorized to perform: {action} on resource: *", 400
            )

    built.world.authorize = deny
    code, said = examine(built)
    lines = [line for line in graded(said, "FAIL") if f"permission {action}" in line]
    assert (code, len(lines)) == (1, 1), said
    assert f"Allow {action}" in lines[0]


def test_a_document_that_may_not_be_sent_is_told(built: Town) -> None:
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
def test_a_bucket_that_ignores_conditions_is_told_and_no_run_trusts_it(
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
    told = built.run("--state", BUCKET)
    assert told.exit_code == 1
    assert f"ignores {header}" in json.dumps(told.lines[-1])
    assert {host.boot_id for host in built.world.hosts.values()} == before


def test_a_bucket_that_is_not_there_is_told(built: Town) -> None:
    code, said = examine(built, state="s3://no-such-bucket/updater")
    assert code == 1
    assert any("no-such-bucket" in line for line in graded(said, "FAIL")), said


def test_without_a_store_it_says_what_is_lost(built: Town) -> None:
    _, said = examine(built, state="")
    assert any("runs have no lease" in line for line in graded(said, "WARN")), said
