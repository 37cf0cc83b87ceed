"""`simulate --serve` prints a script that points every command at the simulated cluster and its clock."""

from __future__ import annotations

import socket
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from bottlerocket_ecs_updater.cli.app import build_app, run_program
from bottlerocket_ecs_updater.cli.commands.simulate import serving
from bottlerocket_ecs_updater.cli.settings.parsing import parse
from bottlerocket_ecs_updater.cli.settings.settings import Target
from bottlerocket_ecs_updater.cli.wiring import wire_read_only
from bottlerocket_ecs_updater.simulator.scenarios import Fate, demo_cluster

ORIGIN = datetime(2026, 1, 5, tzinfo=UTC)
AWS = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_SECRET_ACCESS_KEY": "it's a; secret"}
VALUES = {
    "cluster": "demo",
    "state": "s3://simulated-state/updater",
    "check-document": "check",
    "apply-document": "apply",
    "reboot-document": "reboot",
    "time-scale": "60",
    "time-origin": ORIGIN.isoformat(),
}


def sourced() -> dict[str, str]:
    """The environment of a shell that has run the script."""
    script = "\n".join([*serving(AWS, VALUES), "env -0"])
    said = subprocess.run(["/bin/sh", "-eu"], input=script, env={}, capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in said.stdout.split("\0") if line)


def test_a_shell_accepts_all_of_it_unchanged() -> None:
    assert sourced().items() >= AWS.items()


@pytest.mark.parametrize("command", ["run", "plan", "status", "history", "pause", "resume", "report"])
def test_every_command_then_needs_no_flag(command: str) -> None:
    parse(build_app(sourced()), [command])


def test_a_command_that_only_looks_is_on_the_clock_of_the_world() -> None:
    target = Target(cluster="demo", time_scale=60.0, time_origin=ORIGIN)
    clock = wire_read_only(target, {}).clock
    assert (clock.scale, clock.origin) == (60.0, ORIGIN)
    before, now, after = _of_the_world(), clock.now(), _of_the_world()
    assert before - timedelta(seconds=1) <= now <= after + timedelta(seconds=1)


def _of_the_world() -> datetime:
    real = datetime.now(UTC)  # noqa: TID251 - the machine's clock is what the world's is compared with
    return ORIGIN + (real - ORIGIN) * 60


@pytest.mark.parametrize("instances", [1, 2, 7, 8, 9, 12])
def test_a_demo_may_have_any_number_of_instances_and_shows_a_quarantine_where_there_is_room(instances: int) -> None:
    fates = list(demo_cluster(instances).fates.values())
    assert len(fates) == instances
    assert Fate.UPDATED in fates
    assert (Fate.QUARANTINED in fates) == (instances > 8)


@pytest.mark.parametrize("extra", [(), ("--serve",)])
def test_a_port_that_is_in_use_is_refused(extra: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert run_program(["simulate", "--port", str(port), *extra]) == 2
    assert f"port {port}: " in capsys.readouterr().err


def test_the_services_of_a_cluster_of_one_may_stop_while_it_reboots() -> None:
    scenario = demo_cluster(1, 0)
    assert set(scenario.fates.values()) == {Fate.UPDATED}
    assert all(one.minimum_healthy_percent == 0 for one in scenario.services if one.name != "log-router")
