"""`plan`, `status` and `explain` in a terminal, over HTTP: they change nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.town import SPEED, Town, town

from bottlerocket_ecs_updater.simulator.scenarios import OLD, showcase_cluster

LOOKS = ("Describe", "List", "Get")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(showcase_cluster(8), tmp_path_factory.mktemp("town") / "state", speed=SPEED) as made:
        world = made.world
        world.launch_templates.add_image("ami-0123456789abcdef0", "bottlerocket-aws-ecs-2-x86_64-v1.50.0-0123abcd")
        world.launch_templates.add_template("hosts", "ami-0123456789abcdef0")
        world.autoscaling.add_group("web", *world.hosts, launch_template="hosts", version="$Latest")
        yield made


def ask(built: Town, command: str, *words: str) -> str:
    """The output of a command."""
    arguments = [] if "--from" in words else built.arguments()
    if command == "status":
        arguments = ["--cluster", built.scenario.cluster, "--region", built.scenario.names.region]
    done = subprocess.run(
        [sys.executable, "-m", "bottlerocket_ecs_updater", command, *words, *arguments, *_clock(built, command, words)],
        env=built.environment(),
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout


def _clock(built: Town, command: str, words: tuple[str, ...]) -> tuple[str, ...]:
    if command == "status" or "--from" in words:
        return ()
    return "--time-scale", str(SPEED), "--time-origin", built.origin


def changes(built: Town) -> set[str]:
    """Calls that are not reads, except the update check."""
    calls = {action for action in built.world.calls.by_action if not action.split(":")[1].startswith(LOOKS)}
    return calls - {"ssm:SendCommand"}


def test_after_the_stack_is_installed_the_cluster_is_enough(built: Town) -> None:
    given = dict(zip(built.arguments()[::2], built.arguments()[1::2], strict=True))
    kept = {name: given[f"--{name}"] for name in ("state", "check-document", "apply-document", "reboot-document")}
    written = "\n".join(f"{name} = '{value}'" for name, value in kept.items()) + "\nsettings-parameter = '/ours'"
    ssm = built.client("ssm")
    for name, text in ((f"/bottlerocket-ecs-updater/{built.scenario.cluster}", written), ("/ours", "deny = '>=0.0.1'")):
        ssm.put_parameter(Type="String", Name=name, Value=text)
    where = ("--cluster", built.scenario.cluster, "--region", built.scenario.names.region)
    done = subprocess.run(
        [sys.executable, "-m", "bottlerocket_ecs_updater", "plan", *where, *_clock(built, "plan", ())],
        env=built.environment(),
        capture_output=True,
        check=True,
        text=True,
    )
    assert "version-denied" in done.stdout
    for name in (f"/bottlerocket-ecs-updater/{built.scenario.cluster}", "/ours"):
        ssm.delete_parameter(Name=name)


@pytest.mark.parametrize(("named", "said"), [("/nowhere", "/nowhere does not exist"), (None, "")])
def test_settings_that_the_stack_names_must_exist_and_name_no_others(built: Town, named: str | None, said: str) -> None:
    own = f"/bottlerocket-ecs-updater/{built.scenario.cluster}"
    text = f"state = 's3://simulated-state/x'\nsettings-parameter = '{named or own}'"
    built.client("ssm").put_parameter(Type="String", Name=own, Value=text)
    where = ("--cluster", built.scenario.cluster, "--region", built.scenario.names.region)
    done = subprocess.run(
        [sys.executable, "-m", "bottlerocket_ecs_updater", "plan", *where],
        env=built.environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    built.client("ssm").delete_parameter(Name=own)
    assert done.returncode in (1, 2)
    assert said in done.stderr


def test_a_plan_names_every_instance_and_leaves_no_trace(built: Town, tmp_path: Path) -> None:
    saved = tmp_path / "fleet.json"
    text = ask(built, "plan", "--save", str(saved))
    assert [name for name in built.world.hosts if name not in text] == []
    assert "New instances of Auto Scaling group web start with 1.50.0" in text
    assert ask(built, "plan", "--from", str(saved)) == text
    planned = json.loads(ask(built, "plan", "--from", str(saved), "--format", "json"))
    assert {one["advice"] for one in planned["advice"]} == {"starts-old"}
    assert changes(built) == set()
    assert not built.state.exists() or list(built.state.rglob("*.json*")) == []


def test_a_status_asks_no_host_and_gives_the_same_advice(built: Town) -> None:
    sent = built.world.calls.by_action["ssm:SendCommand"]
    text = ask(built, "status")
    assert "7 Bottlerocket instances of 8" in text
    assert "New instances of Auto Scaling group web start with 1.50.0" in text
    shown = json.loads(ask(built, "status", "--format", "json"))
    assert {each["instance"] for each in shown["instances"]} == set(built.world.hosts)
    assert built.world.calls.by_action["ssm:SendCommand"] == sent


def test_why_a_host_was_not_updated_is_answered_in_one_command(built: Town) -> None:
    busy = next(m.host.instance_id for m in built.scenario.members if m.standalone is not None)
    text = ask(built, "explain", busy)
    assert text.splitlines()[2].startswith("It is held: it runs a standalone task")
    assert "to do: stop the task, wait until it ends" in text
    assert "web, InService" in text


def test_an_instance_without_holds_shows_its_position(built: Town) -> None:
    planned = json.loads(ask(built, "plan", "--format", "json"))
    first = planned["updates"][0]
    assert first["source"] == OLD
    assert "as number 1 of" in ask(built, "explain", first["instance"])
