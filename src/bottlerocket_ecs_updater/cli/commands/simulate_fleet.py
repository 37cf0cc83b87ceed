"""`simulate --fleet`: six simulated clusters in three stages, updated by the real state machine."""

from __future__ import annotations

import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.cli.printing import print_line
from bottlerocket_ecs_updater.report.outputs.fleet_page import PAGE_KEY

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.scenarios import Scenario
    from bottlerocket_ecs_updater.simulator.waves.fleet import SimulatedFleet

SETTINGS = """\
max-unavailable = 1
settle = "30s"

[fleet]
concurrency = 3
bake = "2m"

[cluster."canary"]
wave = 1
stage = "canary"

[cluster."staging-*"]
wave = 2
stage = "staging"
promoted-by = ["canary for 1m"]

[cluster."shop-*"]
wave = 3
stage = "production"
promoted-by = ["staging for 1m"]
"""

CLUSTERS = {"canary": 2, "staging-a": 3, "staging-b": 2, "shop-eu": 4, "shop-us": 3, "shop-asia": 2}
"""Six clusters, and how many instances each has."""

LOOK_EVERY_SECONDS = 0.5
ENDS_WITHIN_SECONDS = 900


def simulate_fleet(speed: float, seed: int) -> int:
    """Update six clusters in three waves with live progress, and print where the page of all clusters is."""
    from bottlerocket_ecs_updater.simulator.clock import ScaledClock  # noqa: PLC0415 - an extra, and slow to import
    from bottlerocket_ecs_updater.simulator.waves.fleet import simulated_fleet  # noqa: PLC0415

    state = Path(tempfile.mkdtemp(prefix="simulated-fleet-"))
    print_line(f"Six simulated clusters in three stages, at {speed:g} times the speed of real time. Their settings:\n")
    print_line(SETTINGS)
    scenarios = {name: _scenario(hosts, seed + number) for number, (name, hosts) in enumerate(CLUSTERS.items())}
    with simulated_fleet(scenarios, ScaledClock(speed), SETTINGS, state) as fleet:
        execution = fleet.start()
        _watch(fleet, execution)
        return _conclude(fleet, execution, state)


def _scenario(hosts: int, seed: int) -> Scenario:
    from bottlerocket_ecs_updater.simulator.scenarios import row  # noqa: PLC0415 - an extra, and slow to import

    # All clusters are in one account. Otherwise each seed would have a different account.
    return replace(row(hosts, seed=seed), names=row(hosts).names)


def _watch(fleet: SimulatedFleet, execution: str) -> None:
    """Print a line whenever something changes: which clusters run, and how many hosts are updated."""
    said, ends = "", time.monotonic() + ENDS_WITHIN_SECONDS
    wake = threading.Event()
    while fleet.states.status(execution) == "RUNNING" and time.monotonic() < ends:
        line = _progress(fleet)
        if line != said:
            print_line(f"{fleet.clock.now():%H:%M:%S}  {line}")
            said = line
        wake.wait(LOOK_EVERY_SECONDS)


def _progress(fleet: SimulatedFleet) -> str:
    from bottlerocket_ecs_updater.simulator.scenarios import NEW  # noqa: PLC0415 - an extra, and slow to import

    parts = []
    for name in CLUSTERS:  # in the order of the waves
        hosts = fleet.worlds[name].hosts.values()
        parts.append(f"{name} {sum(host.running == NEW for host in hosts)}/{len(hosts)} {_state(fleet, name)}")
    return " | ".join(parts)


def _state(fleet: SimulatedFleet, cluster: str) -> str:
    tasks = fleet.processes.of(cluster)
    if not tasks:
        return "waiting"
    code = tasks[-1].exit_code
    return "running" if code is None else "done" if code == 0 else f"failed, exit code {code}"


def _conclude(fleet: SimulatedFleet, execution: str, state: Path) -> int:
    print_line(f"{fleet.clock.now():%H:%M:%S}  {_progress(fleet)}\n")
    status = fleet.states.status(execution)
    print_line(f"The state machine ended: {status}. Its message:\n")
    print_line(f"  {fleet.states.messages.sent[-1]['Message']}\n" if fleet.states.messages.sent else "  none\n")
    broken = 0
    for name, world in fleet.worlds.items():
        seen = world.findings()
        broken += len(seen.violations) + len(seen.stranded)
        for violation in seen.violations:
            print_line(f"  {name}: {violation.invariant}: {violation.subject}")
    print_line(f"Broken invariants and stranded instances: {broken or 'none'}")
    print_line(f"All clusters on one page: {state / PAGE_KEY}")
    print_line(f"The same as text: bottlerocket-ecs-updater fleet status --state {state}")
    return 0 if status == "SUCCEEDED" and not broken else 1
