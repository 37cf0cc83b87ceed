"""`simulate`: the real `run`, as a separate process, against a simulated cluster on this machine."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli.commands.report import check_place, form_of
from bottlerocket_ecs_updater.cli.printing import print_line
from bottlerocket_ecs_updater.cli.settings import parameters
from bottlerocket_ecs_updater.cli.settings.parsing import PREFIX, SettingsConflict
from bottlerocket_ecs_updater.core.rules.policy import Limit
from bottlerocket_ecs_updater.engine.clock import SystemClock
from bottlerocket_ecs_updater.errors import UsageError

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.scenarios import Scenario
    from bottlerocket_ecs_updater.simulator.wire import Wire
    from bottlerocket_ecs_updater.simulator.world.findings import Findings
    from bottlerocket_ecs_updater.simulator.world.world import World

STATE_BUCKET = "simulated-state"
STATE_PREFIX = "updater"
LEAD = timedelta(minutes=1)
"""How long the world runs before the updater starts, so that services can place their tasks."""

SERVED_WITHOUT_LEAD = timedelta(hours=8)
"""For this long, no time in a served world is ahead of this machine's clock, at any speed."""

_RUN_ENDED = (0, 3, 4)
"""Exit codes of a run that finished. Broken hosts are part of the simulated scenario."""

SIMULATION_LEAVES_WITHIN_SECONDS = 15
"""How long the run may take to exit when the simulation is interrupted."""


@Parameter(name="*", group="Simulation")
@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateSettings:
    """The simulated cluster, and the settings of the run."""

    instances: Annotated[int, parameters.integer("Container instances in the cluster.", least=1, most=5000)] = 12
    speed: Annotated[float, parameters.factor("Seconds of simulated time for each second of real time.")] = 60.0
    seed: Annotated[int, parameters.integer("Seed of the simulation's random numbers.", least=0)] = 0
    max_unavailable: Annotated[
        Limit | None,
        parameters.limit("As in `run`. Default: 2 if an instance ends in quarantine, otherwise 1."),
    ] = None
    max_failures: Annotated[
        int | None, parameters.integer("As in `run`. Default: 3 if an instance ends in quarantine, otherwise 2.")
    ] = None
    serve: Annotated[
        bool, parameters.switch("Start only the simulator, and print what an AWS client needs to connect.", "s")
    ] = False
    fleet: Annotated[
        bool, parameters.switch("Simulate six clusters in three stages, updated in waves by the real state machine.")
    ] = False
    report: Annotated[Path | None, parameters.file("Write the report of the run to this .html, .md or .json file.")] = (
        None
    )
    port: Annotated[
        int, parameters.integer("Port on the loopback address; 0 picks a free one.", least=0, most=65535)
    ] = 0

    def __post_init__(self) -> None:
        """Refuse a flag that would be ignored. The settings of the run may be meant for other commands."""
        ignored = {"fleet": ("instances", "serve", "report", "port"), "serve": ("report",)}
        fresh = {field.name: field.default for field in fields(self)}
        for flag, others in ignored.items():
            for other in others:
                if getattr(self, flag) and getattr(self, other) != fresh[other]:
                    raise SettingsConflict(f"{other} and {flag} cannot be used together", (other, flag))

    @property
    def budget(self) -> Limit:
        """How many instances may be out of service at once."""
        return self.max_unavailable or Limit(number=1)

    def suited_to(self, scenario: Scenario) -> SimulateSettings:
        """The same settings, with defaults that suit the scenario."""
        return replace(
            self,
            max_unavailable=self.max_unavailable or Limit(number=int(scenario.hints.get("max-unavailable", "1"))),
            max_failures=self.max_failures or int(scenario.hints.get("max-failures", "2")),
        )


def simulate(settings: SimulateSettings = SimulateSettings()) -> int:
    """Run against a simulated cluster on this machine."""
    try:
        from bottlerocket_ecs_updater.simulator.clock import ScaledClock  # noqa: PLC0415 - an extra, and slow to import
        from bottlerocket_ecs_updater.simulator.scenarios import demo_cluster  # noqa: PLC0415
        from bottlerocket_ecs_updater.simulator.wire import Wire  # noqa: PLC0415
        from bottlerocket_ecs_updater.simulator.world.findings import UpdaterLimits  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            f"the simulator is not installed: install bottlerocket-ecs-updater[simulate] ({error})"
        ) from error
    if settings.fleet:
        from bottlerocket_ecs_updater.cli.commands.simulate_fleet import simulate_fleet  # noqa: PLC0415 - the same

        return simulate_fleet(settings.speed, settings.seed)
    if settings.report is not None:
        form_of(settings.report)
        check_place(settings.report)
    _check_port(settings.port)
    scenario = demo_cluster(settings.instances, settings.seed)
    settings = settings.suited_to(scenario)
    origin = _origin(settings)
    clock = ScaledClock(settings.speed, SystemClock(settings.speed, origin).now())
    hosts = sum(1 for member in scenario.members if member.bottlerocket)
    world = scenario.build(clock, budget=UpdaterLimits(settings.budget.of(hosts)))
    clock.start()
    try:
        with Wire(world, settings.port) as wire:
            _make_bucket(wire)
            _introduce(scenario, settings, wire)
            if settings.serve:
                _serve(wire, scenario, settings, origin.isoformat())
                return 0 if _conclude_served(scenario, world) else 1
            clock.sleep(LEAD)
            code = _run(settings, wire, scenario, origin.isoformat())
            reported = settings.report is None or _report(settings.report, wire, scenario.cluster)
            return 0 if _conclude(scenario, world) and code in _RUN_ENDED and reported else 1
    finally:
        clock.stop()


def _check_port(port: int) -> None:
    """Raise UsageError if the simulator cannot listen there. The server itself would end the process."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            why = error.strerror or str(error)
            raise UsageError(f"port {port}: {why}; choose another one, or leave it out for a free one") from error


def _origin(settings: SimulateSettings) -> datetime:
    """When the world's clock and this machine's clock agree: now, or hours from now if the world is served.

    A world with a sped-up clock that began now would soon be ahead of every client's clock, so it begins in the past.
    """
    now = SystemClock().now()
    return now + SERVED_WITHOUT_LEAD if settings.serve else now


def _make_bucket(wire: Wire) -> None:
    """Create the state bucket of the simulated account."""
    from urllib.request import Request, urlopen  # noqa: PLC0415

    # A plain PUT creates a bucket, so no client library is needed.
    with urlopen(Request(f"{wire.endpoint}/{STATE_BUCKET}", method="PUT"), timeout=10):  # noqa: S310 - loopback
        pass


def _arguments(settings: SimulateSettings, scenario: Scenario, region: str, origin: str) -> list[str]:
    """The command line of the run, with the names and the clock of the simulated world."""
    values = _values(settings, scenario, region, origin)
    return [part for name, value in values.items() for part in (f"--{name}", value)]


def _values(settings: SimulateSettings, scenario: Scenario, region: str, origin: str) -> dict[str, str]:
    """The settings of the run, by flag name."""
    from bottlerocket_ecs_updater.simulator.services.documents import APPLY, CHECK, REBOOT  # noqa: PLC0415

    values = {
        "cluster": scenario.cluster,
        "region": region,
        "check-document": CHECK,
        "apply-document": APPLY,
        "reboot-document": REBOOT,
        "state": f"s3://{STATE_BUCKET}/{STATE_PREFIX}",
        "max-unavailable": str(settings.budget),
        "max-failures": str(settings.max_failures),
        "time-scale": str(settings.speed),
        "time-origin": origin,
    }
    return {name: value for name, value in values.items() if value}


def _environment(wire: Wire) -> dict[str, str]:
    """The environment of the run: that of this machine without AWS configuration, plus that of the simulated world."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BOTTLEROCKET_", "ECS_"))}
    return {**mine, **wire.environment()}


def _introduce(scenario: Scenario, settings: SimulateSettings, wire: Wire) -> None:
    # `--serve` prints a shell script, so everything before it must be a comment.
    mark = "# " if settings.serve else ""
    print_line(f"{mark}A simulated cluster: {scenario.story}.")
    for member in scenario.members:
        print_line(f"{mark}  {member.host.instance_id}  zone {member.zone}  {member.host.version:<8}  {member.story}")
    print_line(f"{mark}Served on {wire.endpoint}, at {settings.speed:g} times the speed of real time.")


def _run(settings: SimulateSettings, wire: Wire, scenario: Scenario, origin: str) -> int:
    """Start the run as a process with the same output streams, and forward signals to it."""
    region = wire.environment()["AWS_REGION"]
    command = [sys.executable, "-m", "bottlerocket_ecs_updater", "run", *_arguments(settings, scenario, region, origin)]
    print_line("\nThe run (times are simulated):\n")
    began = time.monotonic()
    process = subprocess.Popen([*command, "--log-format", "text"], env=_environment(wire))  # noqa: S603 - our own
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=SIMULATION_LEAVES_WITHIN_SECONDS)
    print_line(f"\nThe run ended with exit code {code} after {time.monotonic() - began:.0f} s of real time.")
    return code


def _report(path: Path, wire: Wire, cluster: str) -> bool:
    """Make the report of the run that just ended, from its record. Returns whether that worked."""
    state, region = f"s3://{STATE_BUCKET}/{STATE_PREFIX}", wire.environment()["AWS_REGION"]
    where = ["--cluster", cluster, "--region", region, "--state", state, "--to", str(path.absolute())]
    command = [sys.executable, "-m", "bottlerocket_ecs_updater", "report", "latest", *where]
    done = subprocess.run(command, env=_environment(wire), check=False)  # noqa: S603 - our own
    if done.returncode == 0:
        print_line(f"Its report is in {path}.")
    return done.returncode == 0


def _conclude(scenario: Scenario, world: World) -> bool:
    """Print what the simulator saw. Returns whether everything went as expected."""
    seen = world.findings()
    wrong = _unexpected_outcomes(scenario, seen)
    print_line("\nWhat the simulator saw:")
    for line in _what_was_seen(scenario, seen):
        print_line(f"  {line}")
    print_line(f"  unexpected outcomes          {'; '.join(wrong) or 'none'}")
    return not wrong and _is_clean(seen)


def _conclude_served(scenario: Scenario, world: World) -> bool:
    """The same for a served world, as comments. No outcome is unexpected, because its clients may do anything."""
    seen = world.findings()
    print_line("#\n# What the simulator saw:")
    for line in _what_was_seen(scenario, seen):
        print_line(f"#   {line}")
    return _is_clean(seen)


def _is_clean(seen: Findings) -> bool:
    return not (any(task.by_updater for task in seen.tasks_killed) or seen.stranded or seen.violations)


def _what_was_seen(scenario: Scenario, seen: Findings) -> Iterator[str]:
    killed = [task for task in seen.tasks_killed if task.by_updater]
    yield f"tasks killed by a reboot     {len(killed) or 'none'}"
    yield f"most unavailable at once     {seen.most_out_at_once}"
    yield f"tasks moved                  {seen.task_moves}"
    yield f"stranded instances           {', '.join(seen.stranded) or 'none'}"
    yield f"broken invariants            {len(seen.violations) or 'none'}"
    for violation in seen.violations:
        yield f"  {violation.invariant}: {violation.subject} {violation.facts}"
    total = sum(seen.calls.values())
    yield f"calls by operation           {total} in total, {total / max(1, len(scenario.members)):.1f} per instance"
    for operation, count in sorted(seen.calls.items(), key=lambda item: -item[1]):
        yield f"  {count:6}  {operation}"


def _unexpected_outcomes(scenario: Scenario, seen: Findings) -> list[str]:
    """Instances that should have been updated and were not, or were updated although they should not have been."""
    from bottlerocket_ecs_updater.simulator.scenarios import Fate  # noqa: PLC0415

    newest = scenario.releases[0].version
    wrong = []
    for name, fate in scenario.fates.items():
        if fate is Fate.UPDATED and seen.versions[name] != newest:
            wrong.append(f"{name} runs {seen.versions[name]}")
        if fate in (Fate.UP_TO_DATE, Fate.HELD, Fate.FOREIGN) and seen.boots[name] != 0:
            wrong.append(f"{name} was rebooted")
    return wrong


def _serve(wire: Wire, scenario: Scenario, settings: SimulateSettings, origin: str) -> None:
    """Serve the world until it is interrupted.

    What is printed is a shell script; everything else in it is a comment, so it can be redirected to a file and
    sourced, or copied as a whole.
    """
    region = wire.environment()["AWS_REGION"]
    for line in serving(wire.environment(), _values(settings, scenario, region, origin)):
        print_line(line)
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


def serving(aws: Mapping[str, str], values: Mapping[str, str]) -> Iterator[str]:
    """The lines that point AWS clients and the commands of this program at the world and its clock."""
    yield "#"
    yield "# Paste this into a shell, or write it to a file (simulate --serve > world.sh) and source it (. ./world.sh)."
    for name, value in aws.items():
        yield f"export {name}={shlex.quote(value)}"
    for name, value in values.items():
        yield f"export {PREFIX}{name.upper().replace('-', '_')}={shlex.quote(value)}"
    yield "#"
    yield "# Then, for example, without any flag:"
    yield f"#   aws ecs list-container-instances --cluster {values['cluster']}"
    yield "#   bottlerocket-ecs-updater plan      (also run, status, explain, pause, history, report …)"
    yield "#"
    yield "# Press Ctrl-C to stop the simulator."
