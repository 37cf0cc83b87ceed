"""The acceptance run: its words, its page, and one check on the simulated account; CI makes all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from acceptance.__main__ import main
from acceptance.account import TAG
from acceptance.checks import CHECKS
from acceptance.ground import GROUP, SETTINGS, STACK
from acceptance.page import page
from acceptance.result import Result, Verdict
from acceptance.simulated import new_site
from tests.account.schedule import SimulatedAccount


def test_there_are_fifteen_checks_each_with_its_limit() -> None:
    assert [check.number for check in CHECKS] == list(range(1, 16))
    assert all(check.at_most > timedelta(0) for check in CHECKS)


@pytest.mark.parametrize(
    "words",
    [[], ["--region", "eu-central-1"], ["--region", "x", "--subnets", "y", "--image", "updater:1"], ["--clean"]],
)
def test_what_is_missing_is_told_before_anything_is_made(words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2


def test_the_page_says_what_was_seen_and_of_what() -> None:
    result = Result(CHECKS[3], Verdict.RECORDED, timedelta(seconds=3), "", ("seen | so (request 1)",))
    text = page([result], simulated=True, region="simulated", image="updater@sha256:0")
    assert "1 RECORDED" in text
    assert "seen \\| so (request 1)" in text
    assert "nothing about AWS" in text


def test_a_check_is_made_on_the_simulated_account_and_skips_say_why(tmp_path: Path) -> None:
    written = tmp_path / "verified.md"
    assert main(["--simulated", "--only", "3,8", "--page", str(written)]) == 0
    text = written.read_text()
    assert "1 PASS" in text
    assert "blocking Systems Manager on a host takes its network" in text


# What is left behind

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
    """An acceptance run whose updater's task runs now."""
    command = [sys.executable, "-m", "tests.acceptance_driver", "--only", "4", "--page", str(page)]
    process = subprocess.Popen(command, env=environment(site), stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + PATIENCE_SECONDS
    while not site.operator("ecs", "ListTasks", {"cluster": "demo", "launchType": "FARGATE"})["taskArns"]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.2)  # noqa: TID251 - a process is waited for
    return process


def left(site: SimulatedAccount) -> list[str]:
    """Everything of the acceptance that is still there."""
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
    assert (process.returncode, "What was made is deleted" in said) == (130, True), said
    assert left(site) == []


def test_what_a_killed_run_leaves_is_found_and_deleted(site: SimulatedAccount, tmp_path: Path) -> None:
    process = in_the_middle(site, tmp_path / "verified.md")
    process.kill()
    process.communicate()
    assert STACK in left(site)
    done = clean(site)
    assert (done.returncode, f"stack {STACK}" in done.stdout) == (0, True), done.stderr
    assert left(site) == []
    assert "nothing was left" in clean(site).stdout


def test_what_has_no_stack_any_more_is_found_too(site: SimulatedAccount) -> None:
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
