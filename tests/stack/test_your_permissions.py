"""The page of permissions lists what each command calls with its caller's permissions, no more and no less."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.session import Session
from tests.account.iam import asks_of
from tests.account.schedule.site import world_time
from tests.stack.conftest import LEASE, Ground

from bottlerocket_ecs_updater.aws.s3_store import S3Store
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.cli.app import COMMANDS, OPPOSITES
from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.ids import BootId, InstanceId, RunId
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.ledger import with_failure
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients

PAGE = (Path(__file__).parents[2] / "docs/operate/permissions.md").read_text()
PERSON = "person"
PLACE = "123456789012/us-east-1/demo"
QUARANTINED, STOPPED, OLD = (f"i-{number:017x}" for number in range(3))
CALENDAR = "arn:aws:ssm:us-east-1:999999999999:document/changes"
BAD = Version.parse("1.22.0")
WHERE = ("--cluster", "demo", "--region", "us-east-1")
RULES = ("--exclude", "attribute:none exists", "--alarm", "errors", "--published-only", "--change-calendar", CALENDAR)

CALLED: dict[str, list[tuple[str, ...]]] = {
    "status": [("status", *WHERE)],
    "plan": [("plan", *RULES, *WHERE)],
    "explain": [("explain", OLD, *RULES, *WHERE)],
    "doctor": [("doctor", *RULES, *WHERE)],
    "history": [("history", *WHERE)],
    "report": [("report", *WHERE)],
    "pause": [("pause", *WHERE)],
    "resume": [("resume", *WHERE)],
    "release": [("release", QUARANTINED, "--yes", *WHERE), ("release", str(BAD), "--yes", *WHERE)],
    "promote": [("promote", str(BAD)), ("unpromote", str(BAD))],
    "block": [("block", str(BAD)), ("unblock", str(BAD))],
    "expedite": [("expedite", str(BAD)), ("unexpedite", str(BAD))],
    "fleet status": [("fleet", "status")],
    "fleet plan": [("fleet", "plan")],
    "fleet page": [("fleet", "page")],
    "fleet forget": [("fleet", "forget", PLACE)],
}
"""Without --cluster, the state store is named. `fleet waves` is for the state machine."""

NOT_IN_THIS_WORLD = {
    "autoscaling:DescribeLaunchConfigurations",
    "ec2:DescribeInstanceTypes",
    "ecs:DescribeCapacityProviders",
    "ssm:GetCommandInvocation",
}
ENDS_WELL = {"doctor": 1}
"""Exit codes. The world has a stopped host, which `doctor` reports."""


@dataclass
class Seen:
    """What IAM was asked for."""

    actions: set[str] = field(default_factory=set)
    objects: dict[str, set[str]] = field(default_factory=dict)
    """By action of S3: keys or prefixes below that of the store, as the page writes them."""
    said: str = ""
    """What the command printed."""


def rows(after: str) -> list[list[str]]:
    """The cells of the first table after a text."""
    lines = PAGE[PAGE.index(after) :].splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("|"))
    table = lines[first : first + next(i for i, line in enumerate(lines[first:]) if not line.startswith("|"))]
    return [[cell.strip() for cell in re.split(r" ?\|", line)[1:-1]] for line in table[2:]]


def words(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def actions(text: str) -> set[str]:
    return set(re.findall(r"\b[a-z0-9]+:[A-Z][A-Za-z]+", text))


ALWAYS = rows("The commands about one cluster need these")
SOMETIMES = {action for row in rows("call these only if") for action in actions(row[0])}
OBJECTS = rows("In the state store, `C`")
DOCTORS = actions(PAGE[PAGE.index("`doctor` also calls") : PAGE.index("In the state store")])


def as_the_page_writes(key: str) -> str:
    key = key.removeprefix("updater/").replace(PLACE, "C")
    key = re.sub(r"^(runs/C/).+", r"\1*" if not key.endswith("/events-") else r"\1", key)
    return re.sub(r"^(first-seen/|fleet/clusters/).+", r"\1*", key)


def seen_in(ground: Ground, arguments: tuple[str, ...], expected: int) -> Seen:
    seen = Seen()

    def authorize(call: Call) -> None:
        if call.caller != PERSON:
            return
        for ask in asks_of(call.service, call.operation, call.params, ground.site.facts):
            if not ask.action.startswith("s3:"):
                seen.actions.add(ask.action)
            elif ask.action == "s3:ListBucket":
                for prefix in ask.context.get("s3:prefix", ()):
                    seen.objects.setdefault(ask.action, set()).add(as_the_page_writes(prefix))
            else:
                key = ask.resource.partition(":::")[2].partition("/")[2]
                seen.objects.setdefault(ask.action, set()).add(as_the_page_writes(key))

    ground.site.gate.authorize = authorize  # type: ignore[method-assign]
    ground.site.world.authorize = authorize
    command = [sys.executable, "-m", "bottlerocket_ecs_updater", *arguments]
    mine = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {**mine, **world_time(ground.clock), **ground.site.environment(), "AWS_ACCESS_KEY_ID": PERSON}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stdout + done.stderr
    seen.said = done.stdout
    return seen


def prepare(ground: Ground) -> None:
    """A run that left one host old, and then a quarantined host, a stopped one, and a version that failed."""
    world = ground.site.world
    world.launch_templates.add_image("ami-1", "bottlerocket-aws-ecs-2-x86_64-v1.20.0-0123abcd")
    world.launch_templates.add_template("hosts", "ami-1")
    world.autoscaling.add_group("web", *world.hosts, launch_template="hosts", version="$Latest")
    world.cloudwatch.set_alarm("errors", "OK")
    world.calendars.set_calendar(CALENDAR, "OPEN")
    ground.create(Settings=f"{LEASE}\nexclude = '{OLD}'", ScheduleExpression="rate(5 minutes)")
    start = ground.next_start()
    assert start.task is not None, start.error
    assert ground.ended(start.task).exit_code == 0
    world.stop_instance(STOPPED)
    ground.clock.sleep(timedelta(minutes=3))
    old, new, now = Version.parse("1.20.0"), Version.parse("1.21.0"), world.clock.now()
    claim = Claim(ClaimPhase.QUARANTINED, RunId("run-0"), old, new, BootId("0b" * 16), now, 1)
    arn, ecs = world.instance(QUARANTINED).arn, InProcessClients(world, "run-0").client("ecs")
    ecs.update_container_instances_state(cluster="demo", containerInstances=[arn], status="DRAINING")
    attribute = {"name": CLAIM_ATTRIBUTE, "value": claim.encode(), "targetId": arn}
    ecs.put_attributes(cluster="demo", attributes=[attribute])
    ledger = KeptLedger(store(ground), PLACE, RunId("run-0"))
    ledger.load()
    ledger.change(partial(with_failure, version=BAD, instance=InstanceId(STOPPED)))
    ledger.flush()


def store(ground: Ground) -> S3Store:
    environment = ground.site.environment()
    client = Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key="simulated",
    )
    clock = cast("Any", ground.clock)
    return S3Store(cast("Any", Pair.of(client)), Api(clock, CallPace(clock), Calls()), bucket(ground), "updater")


def bucket(ground: Ground) -> str:
    return ground.resource("StateBucket")


@pytest.fixture
def seen(ground: Ground) -> dict[str, Seen]:
    """What each command asks for, one after the other in one world."""
    prepare(ground)
    place = ("--state", f"s3://{bucket(ground)}/updater", "--region", "us-east-1")
    return {
        name: merged(
            seen_in(ground, line if "--cluster" in line else (*line, *place), ENDS_WELL.get(name, 0)) for line in lines
        )
        for name, lines in CALLED.items()
    }


def merged(several: Iterable[Seen]) -> Seen:
    whole = Seen()
    for one in several:
        whole.actions |= one.actions
        whole.said += one.said
        for action, keys in one.objects.items():
            whole.objects.setdefault(action, set()).update(keys)
    return whole


def test_the_page_lists_what_each_command_calls(seen: dict[str, Seen]) -> None:
    tried = {operation.action for operation in Operation}
    for name, one in seen.items():
        listed = {action for row in ALWAYS if name in words(row[0]) for action in actions(row[1])}
        if name == "fleet plan":
            listed = actions(PAGE[PAGE.index("`fleet plan` also needs") :].partition("\n")[0])
        assert listed <= one.actions, name
        more = {"doctor": tried, **dict.fromkeys(("status", "plan", "explain"), SOMETIMES)}.get(name, set())
        assert one.actions - listed <= more | {"sts:GetCallerIdentity"}, name
        [row] = [row for row in OBJECTS if name in words(row[0])]
        titles = ("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject")
        written = {title: words(cell.partition(";")[0]) for title, cell in zip(titles, row[1:], strict=True)}
        assert {title: keys for title, keys in written.items() if keys} == one.objects, name
    assert {action for one in seen.values() for action in one.actions} >= SOMETIMES - NOT_IN_THIS_WORLD
    # The page of all clusters names its place as S3 does, without an empty part.
    assert re.search(r"^Written: s3://[^/]+/updater/fleet/index\.html$", seen["fleet page"].said, re.MULTILINE)
    people = {operation.action for operation in Operation if operation.by_people}
    assert people - SOMETIMES - actions(PAGE[PAGE.index("`fleet plan` also") :].partition("\n")[0]) - DOCTORS == {
        "states:SendTaskSuccess",
        "states:SendTaskFailure",
    }


def test_the_page_is_about_every_command() -> None:
    listed = {word for row in OBJECTS for word in words(row[0])}
    assert listed == CALLED.keys()
    others = {"run", "simulate", "completion", *OPPOSITES}
    assert {name.partition(" ")[0] for name in listed} == COMMANDS.keys() - others
