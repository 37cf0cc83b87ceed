"""The acceptance run: its texts, its page, and one check on the simulated account. CI runs all of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from acceptance.__main__ import main
from acceptance.account import TAG, Account, denied_calls
from acceptance.checks import CHECKS
from acceptance.ground import GROUP, IMAGES, SETTINGS, STACK
from acceptance.page import page
from acceptance.result import Result, Verdict, Wrong
from acceptance.simulated import new_site
from botocore.exceptions import ClientError
from tests.account.schedule import SimulatedAccount
from tests.support.forked import quick_starts

__all__ = ["quick_starts"]


def test_there_are_fifteen_checks_each_with_its_limit() -> None:
    assert [check.number for check in CHECKS] == list(range(1, 16))
    assert all(check.at_most > timedelta(0) for check in CHECKS)


@pytest.mark.parametrize(
    "words",
    [[], ["--region", "eu-central-1"], ["--region", "x", "--subnets", "y", "--image", "updater:1"], ["--clean"]],
)
def test_missing_arguments_are_reported_before_anything_is_created(words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2


def test_the_page_says_what_was_seen_and_of_what() -> None:
    requests = tuple(("RunTask", f"request-{number}") for number in range(22))
    result = Result(CHECKS[3], Verdict.RECORDED, timedelta(seconds=3), "", ("seen | so (request 1)",), requests)
    text = page([result], where="eu-central-1", image="updater@sha256:0", denials=["ecs:StopTask: not allowed"])
    assert "in eu-central-1." in text
    assert "1 RECORDED" in text
    assert "seen \\| so (request 1)" in text
    assert "RunTask `request-0`" in text
    assert "and 2 more." in text
    assert "- ecs:StopTask: not allowed" in text
    assert "CloudTrail was not asked" in page([], where="", image="", denials=None)
    assert "- none" in page([], where="", image="", denials=[])


def test_a_check_is_made_on_the_simulated_account_and_skips_say_why(tmp_path: Path) -> None:
    written = tmp_path / "verified.md"
    assert main(["--simulated", "--only", "3,8", "--page", str(written)]) == 0
    text = written.read_text()
    assert "1 PASS" in text
    assert "blocking Systems Manager on a host takes its network" in text


# Resources that are left behind

PATIENCE_SECONDS = 90


@pytest.fixture
def site() -> Iterator[SimulatedAccount]:
    made, _ = new_site(("web-a", "web-b"))
    yield made
    made.__exit__(None, None, None)


def environment(site: SimulatedAccount) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**mine, **site.environment()}


def in_the_middle(site: SimulatedAccount, page: Path) -> subprocess.Popen[str]:
    """An acceptance run with a running updater task."""
    command = [sys.executable, "-m", "tests.acceptance_driver", "--only", "4", "--page", str(page)]
    process = subprocess.Popen(command, env=environment(site), stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + PATIENCE_SECONDS
    while not site.operator("ecs", "ListTasks", {"cluster": "demo", "launchType": "FARGATE"})["taskArns"]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.2)  # noqa: TID251 - a process is waited for
    return process


def left(site: SimulatedAccount) -> list[str]:
    """All resources of the acceptance run that still exist."""
    stacks = site.operator("cloudformation", "DescribeStacks", {})["Stacks"]
    groups = site.operator("logs", "DescribeLogGroups", {"logGroupNamePrefix": GROUP})["logGroups"]
    buckets = site.operator("s3", "ListBuckets", {})["Buckets"]
    return [
        *(one["StackName"] for one in stacks),
        *(one["logGroupName"] for one in groups),
        *(b["Name"] for b in buckets),
    ]


def clean(site: SimulatedAccount) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "acceptance", "--clean", "--region", "us-east-1"]
    return subprocess.run(command, env=environment(site), capture_output=True, text=True, check=False)


def test_after_ctrl_c_nothing_is_left(site: SimulatedAccount, tmp_path: Path) -> None:
    process = in_the_middle(site, tmp_path / "verified.md")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, "All resources are deleted" in said) == (130, True), said
    assert left(site) == []


def test_leftovers_of_a_killed_run_are_found_and_deleted(site: SimulatedAccount, tmp_path: Path) -> None:
    process = in_the_middle(site, tmp_path / "verified.md")
    process.kill()
    process.communicate()
    assert STACK in left(site)
    done = clean(site)
    assert (done.returncode, f"stack {STACK}" in done.stdout) == (0, True), done.stderr
    assert left(site) == []
    assert "nothing was left" in clean(site).stdout


def test_leftovers_without_a_stack_are_found_too(site: SimulatedAccount) -> None:
    def ask(service: str, operation: str, **request: Any) -> None:
        site.operator(service, operation, request)

    ask("s3", "CreateBucket", Bucket="left-behind")
    ask("s3", "PutObject", Bucket="left-behind", Key="updater/lease.json", Body=b"{}")
    ask("s3", "PutBucketTagging", Bucket="left-behind", Tagging={"TagSet": [{"Key": TAG, "Value": "yes"}]})
    ask("s3", "CreateBucket", Bucket="somebody-elses")
    ask("ssm", "PutParameter", Name=SETTINGS, Value="settle = '30s'", Type="String")
    ask("logs", "CreateLogGroup", logGroupName=GROUP)
    said = clean(site).stdout
    assert all(one in said for one in ("bucket left-behind", f"parameter {SETTINGS}", f"log group {GROUP}"))
    assert left(site) == ["somebody-elses"]


def test_a_role_without_a_policy_of_its_stack_does_not_keep_the_stack(site: SimulatedAccount, tmp_path: Path) -> None:
    process = in_the_middle(site, tmp_path / "verified.md")
    process.kill()
    process.communicate()
    [role] = [
        one["PhysicalResourceId"]
        for one in site.operator("cloudformation", "DescribeStackResources", {"StackName": STACK})["StackResources"]
        if one["LogicalResourceId"] == "ExecutionRole"
    ]
    site.operator("iam", "DeleteRolePolicy", {"RoleName": role, "PolicyName": "StartTheTask"})
    done = clean(site)
    assert (done.returncode, left(site)) == (0, []), done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_job_and_a_closed_terminal_delete_all_created_resources(
    site: SimulatedAccount, tmp_path: Path, number: signal.Signals
) -> None:
    process = in_the_middle(site, tmp_path / "verified.md")
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, left(site)) == (128 + number, [])


def test_a_stack_counts_as_gone_only_when_aws_says_so() -> None:
    account = Account("us-east-1", "http://127.0.0.1:9", {"aws_access_key_id": "x", "aws_secret_access_key": "x"})
    refused = ClientError({"Error": {"Code": "ExpiredToken", "Message": "The security token has expired"}}, "x")
    account._made["cloudformation"] = Refusing(refused)
    with pytest.raises(ClientError):
        account.gone(STACK)
    missing = ClientError(
        {"Error": {"Code": "ValidationError", "Message": f"Stack with id {STACK} does not exist"}}, "x"
    )
    account._made["cloudformation"] = Refusing(missing)
    assert account.gone(STACK)


@dataclass
class Refusing:
    error: ClientError

    def describe_stacks(self, **_: str) -> None:
        raise self.error


def test_waits_end_with_the_time_of_their_check() -> None:
    account = Account("us-east-1")
    account.limit(timedelta(0))
    with pytest.raises(Wrong, match="time limit"):
        account.wait("nothing", lambda: False, timedelta(hours=1))


def test_denied_calls_of_a_stack_are_counted_by_action_and_others_are_not() -> None:
    def event(name: str, code: str = "", role: str = f"role/{STACK}/task", message: str = "not allowed") -> str:
        caller = {"sessionContext": {"sessionIssuer": {"arn": f"arn:aws:iam::123456789012:{role}"}}}
        shape = {"eventSource": "ecs.amazonaws.com", "eventName": name, "userIdentity": caller}
        return json.dumps({**shape, **({"errorCode": code, "errorMessage": message} if code else {})})

    events = [
        event("StopTask", "AccessDenied"),
        event("StopTask", "AccessDenied"),
        event("DescribeInstances", "Client.UnauthorizedOperation"),
        event("DescribeTasks"),
        event("PutAttributes", "AccessDeniedException", role="role/somebody-else"),
        event("RunTask", "ClusterNotFoundException"),
    ]
    assert denied_calls(events, f"/{STACK}") == [
        "ecs:DescribeInstances: not allowed",
        "ecs:StopTask: not allowed (2 times)",
    ]


def test_hosts_start_two_versions_back() -> None:
    names = ["1.9.0", "1.10.0", "1.10.0-0123abcd", "1.8.1", "1.10.1", "latest"]
    account = Account("us-east-1")
    account._made["ssm"] = Parameters([f"{IMAGES}/{name}/image_id" for name in names])
    assert account.third_newest(IMAGES) == "1.9.0"
    account._made["ssm"] = Parameters([])
    with pytest.raises(Wrong, match="--version"):
        account.third_newest(IMAGES)


@dataclass
class Parameters:
    names: list[str]

    def get_paginator(self, _: str) -> Parameters:
        return self

    def paginate(self, **_: object) -> list[dict[str, list[dict[str, str]]]]:
        return [{"Parameters": [{"Name": name}]} for name in self.names]
