"""Waves over simulated clusters, with real updater processes and the real definition; and their settings.

`simulator/waves/interpreter.py` lists what the local interpreter does not cover.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bottlerocket_ecs_updater.cli.app import run_program
from bottlerocket_ecs_updater.cli.commands.fleet import check
from bottlerocket_ecs_updater.cli.settings.sections import fleet_rules, read_sections
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.planning.waves import FoundCluster, waves_of
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore
from bottlerocket_ecs_updater.engine.store.shared_state import look_for_acts
from bottlerocket_ecs_updater.errors import UsageError
from bottlerocket_ecs_updater.simulator.clock import ScaledClock
from bottlerocket_ecs_updater.simulator.ecs.model import InstanceStatus
from bottlerocket_ecs_updater.simulator.faults import BootHangs
from bottlerocket_ecs_updater.simulator.scenarios import NEW, OLD, Scenario, row
from bottlerocket_ecs_updater.simulator.waves.fleet import SimulatedFleet, simulated_fleet

ENDS_WITHIN_SECONDS = 150
SETTINGS = """
max-unavailable = 1
settle          = "10s"

[fleet]
concurrency = 3
leave-out   = ["legacy-*"]
approve     = [3]

[cluster."canary-*"]
wave  = 1
stage = "canary"

[cluster."staging-*"]
wave  = 2
stage = "staging"

[cluster."prod-*"]
wave        = 3
stage       = "production"
promoted-by = ["staging for 30d"]
"""
KNOWN = {"stage", "promoted-by", "max-unavailable", "settle", "cluster", "window"}


def hanging(one: Scenario) -> Scenario:
    """None of its hosts comes back from a reboot."""
    members = [replace(member, host=replace(member.host, faults=(BootHangs(),))) for member in one.members]
    return replace(one, members=tuple(members))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def until(fleet: SimulatedFleet, execution: str, *, asked: bool = False) -> None:
    ends = time.monotonic() + ENDS_WITHIN_SECONDS
    while fleet.states.status(execution) == "RUNNING" and not (asked and fleet.states.messages.sent):
        assert time.monotonic() < ends, [task.lines[-3:] for task in fleet.processes.each.values()]
        threading.Event().wait(0.2)


def wait_for(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + ENDS_WITHIN_SECONDS
    while not true():
        assert time.monotonic() < ends
        threading.Event().wait(0.05)


def run_until(fleet: SimulatedFleet, reached: Callable[[Mapping[str, Set[str]]], bool]) -> None:
    """Start executions, each of which must succeed, until the clusters run the wanted versions.

    One is enough on an idle machine. On a busy one, simulated minutes pass while a process waits for the CPU, so a run
    may leave a host to the next run.
    """
    ends = time.monotonic() + ENDS_WITHIN_SECONDS
    while True:
        execution = fleet.start()
        until(fleet, execution)
        assert fleet.states.status(execution) == "SUCCEEDED", fleet.states.messages.sent[-1]
        if reached(fleet.versions()):
            return
        assert time.monotonic() < ends, fleet.states.messages.sent[-1]
        fleet.clock.sleep(timedelta(minutes=3))


def test_three_waves_with_an_approval_and_an_expedited_version(state: Path) -> None:
    names = ["canary-a", "staging-a", "prod-a", "legacy-a"]
    with simulated_fleet({name: row(2) for name in names}, ScaledClock(90), SETTINGS, state) as fleet:
        execution = fleet.start()
        until(fleet, execution, asked=True)
        assert fleet.versions() == {"canary-a": {NEW}, "staging-a": {NEW}, "prod-a": {OLD}, "legacy-a": {OLD}}
        # Production waits 30 days for staging, so only an expedited version reaches it now.
        assert run_program(["expedite", NEW, "--state", str(state), "--why", "CVE"]) == 0
        asked = str(fleet.states.messages.sent[0]["Message"])
        assert '["prod-a"]' in asked
        fleet.states.approve(asked.partition("--task-token ")[2].split()[0])
        until(fleet, execution)
        assert fleet.states.status(execution) == "SUCCEEDED"
        assert fleet.versions() == {"canary-a": {NEW}, "staging-a": {NEW}, "prod-a": {NEW}, "legacy-a": {OLD}}
        for world in fleet.worlds.values():
            assert world.findings().violations == ()


def test_a_failing_cluster_in_the_second_wave_and_a_block_half_way(state: Path) -> None:
    clusters = {"canary-a": row(2), "staging-a": hanging(row(2)), "staging-b": row(5), "prod-a": row(2)}
    settings = SETTINGS.replace("approve     = [3]", "")
    with simulated_fleet(clusters, ScaledClock(90), settings, state) as fleet:
        execution = fleet.start()
        ends = time.monotonic() + ENDS_WITHIN_SECONDS
        while NEW not in fleet.versions()["staging-b"]:
            assert time.monotonic() < ends
            threading.Event().wait(0.1)
        assert run_program(["block", NEW, "--state", str(state), "--why", "breaks things"]) == 0
        until(fleet, execution)
        assert fleet.states.status(execution) == "FAILED"
        message = str(fleet.states.messages.sent[-1]["Message"])
        assert "Clusters run: 3. Failed: 1." in message
        assert "Wave 2 failed, so those after it were not started." in message
        assert '["staging-a: exit code ' in message
        versions = fleet.versions()
        assert versions["prod-a"] == {OLD}
        assert fleet.processes.of("prod-a") == []
        assert versions["staging-b"] == {OLD, NEW}
        assert "blocked" in "\n".join(fleet.processes.of("staging-b")[0].lines)
        assert Version.parse(NEW) in look_for_acts(FolderStore(state)).said.blocked
        for name in ("canary-a", "staging-b", "prod-a"):
            findings = fleet.worlds[name].findings()
            assert findings.violations == ()
            assert findings.stranded == ()


def test_an_updater_that_is_killed_fails_its_wave_and_the_next_execution_finishes_its_updates(state: Path) -> None:
    clusters = {"canary-a": row(2), "staging-a": row(3), "staging-b": row(2), "prod-a": row(2)}
    settings = SETTINGS.replace("approve     = [3]", "").replace("staging for 30d", "staging for 1m")
    with simulated_fleet(clusters, ScaledClock(90), settings, state) as fleet:
        execution = fleet.start()
        world, ends = fleet.worlds["staging-a"], time.monotonic() + ENDS_WITHIN_SECONDS
        while {world.instance(name).status for name in world.hosts} == {InstanceStatus.ACTIVE}:
            assert time.monotonic() < ends
            threading.Event().wait(0.05)
        [task] = fleet.processes.of("staging-a")
        assert task.process is not None
        task.process.kill()
        until(fleet, execution)
        assert fleet.states.status(execution) == "FAILED"
        message = str(fleet.states.messages.sent[-1]["Message"])
        assert '["staging-a: exit code 137"]' in message
        assert fleet.versions()["prod-a"] == {OLD}
        assert fleet.versions()["staging-b"] == {NEW}
        # Its lease expires before another run may act.
        fleet.clock.sleep(timedelta(minutes=3))
        run_until(fleet, lambda versions: all(versions[name] == {NEW} for name in clusters if name != "prod-a"))
        # The next stage waits until the last of these clusters has finished.
        fleet.clock.sleep(timedelta(minutes=3))
        run_until(fleet, lambda versions: versions == {name: {NEW} for name in clusters})
        for one in fleet.worlds.values():
            findings = one.findings()
            assert (findings.violations, findings.stranded) == ((), ())


def test_an_execution_that_a_person_stops_leaves_nothing_stranded_and_the_next_one_finishes(state: Path) -> None:
    clusters = {"staging-a": row(2), "staging-b": row(2), "prod-a": row(2)}
    settings = SETTINGS.replace("approve     = [3]", "")
    with simulated_fleet(clusters, ScaledClock(90), settings, state) as fleet:
        execution = fleet.start()
        world, ends = fleet.worlds["staging-a"], time.monotonic() + ENDS_WITHIN_SECONDS
        while {world.instance(name).status for name in world.hosts} == {InstanceStatus.ACTIVE}:
            assert time.monotonic() < ends
            threading.Event().wait(0.05)
        fleet.stop(execution)
        until(fleet, execution)
        # Step Functions stops it immediately; moto first lets the Map end with the results of its tasks.
        assert fleet.states.status(execution) in ("ABORTED", "FAILED")
        while any(task.exit_code is None for task in fleet.processes.each.values()):
            assert time.monotonic() < ends
            threading.Event().wait(0.05)
        # A stopped run is not a crash: each run returned what it had drained, and released its lease.
        assert all("SIGTERM" in "\n".join(fleet.processes.of(name)[0].lines) for name in ("staging-a", "staging-b"))
        assert fleet.versions()["prod-a"] == {OLD}
        run_until(fleet, lambda versions: versions == {"staging-a": {NEW}, "staging-b": {NEW}, "prod-a": {OLD}})
        for one in fleet.worlds.values():
            findings = one.findings()
            assert (findings.violations, findings.stranded) == ((), ())


# Settings


def test_a_second_execution_starts_no_wave_while_the_first_is_still_in_the_one_before(state: Path) -> None:
    settings = SETTINGS.replace("approve     = [3]\n", "")
    with simulated_fleet({"canary-a": row(4), "staging-a": row(2)}, ScaledClock(60), settings, state) as fleet:
        first = fleet.start()
        store, lease = FolderStore(state), "lease.json"
        wait_for(lambda: any(key.endswith(lease) for key in store.keys("clusters/")))
        second = fleet.start()
        wait_for(lambda: bool(fleet.processes.of("staging-a")))
        assert fleet.processes.of("canary-a")[0].exit_code is not None
        for execution in (first, second):
            until(fleet, execution)
            assert fleet.states.status(execution) == "SUCCEEDED", fleet.states.messages.sent[-1]
        for world in fleet.worlds.values():
            assert world.findings().violations == ()


def test_a_cluster_takes_the_defaults_and_every_section_that_matches_in_the_order_of_the_file() -> None:
    text = 'settle = "1m"\nstage = "x"\n[cluster."web-*"]\nstage = "y"\nwave = 2\n[cluster."web-eu"]\nwave = 4\n'
    sections = read_sections(text, "file", KNOWN)
    assert sections.of("web-eu") == {"settle": "1m", "stage": "y"}
    assert sections.of("api") == {"settle": "1m", "stage": "x"}
    assert [sections.wave_of(name) for name in ("api", "web-us", "web-eu")] == [1, 2, 4]
    assert sections.of("arn:aws:ecs:eu-west-1:111122223333:cluster/web-us")["stage"] == "y"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('[cluster."web-*"]\nstagee = "x"\n', ["stagee", "web-*", "did you mean stage"]),
        ('[cluster."web-*"]\nwave = 0\n', ["web-*", "wave"]),
        ('[cluster."web-*"]\nwave = "two"\n', ["web-*", "wave"]),
        ('[cluster."web *"]\nwave = 1\n', ["web *", "pattern"]),
        ("[fleet]\nconcurency = 3\n", ["concurency", "[fleet]", "concurrency"]),
        ("[fleet]\nwave = true\n", ["[fleet]", "wave"]),
        ("[cluster]\nweb = 3\n", ["web", "table"]),
        ("[cluster", ["file"]),
    ],
)
def test_a_misspelt_setting_in_any_section_is_refused_and_named(text: str, names: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        read_sections(text, "file", KNOWN)
    for name in names:
        assert name in str(refused.value)


@pytest.mark.parametrize(
    "line",
    ["concurrency = 41", "concurrency = 0", 'stop-after = "0"', 'stop-after = "101%"', 'tag = "x"', 'bake = "soon"'],
)
def test_an_invalid_fleet_section_is_rejected(line: str) -> None:
    with pytest.raises(UsageError, match=r"\[fleet\] in file"):
        fleet_rules(read_sections(f"[fleet]\n{line}\n", "file", KNOWN), "file")


def test_clusters_are_found_by_pattern_and_tag_and_some_are_left_out() -> None:
    text = '[fleet]\nclusters = ["web-*", "api"]\nleave-out = ["web-old"]\ntag = "updater=on"\n'
    rules = fleet_rules(read_sections(text, "file", KNOWN), "file")
    on = {"updater": "on"}
    assert rules.takes("web-1", on)
    assert rules.takes("api", on)
    assert not rules.takes("web-old", on)
    assert not rules.takes("web-1", {})
    assert not rules.takes("batch", on)


def test_a_percentage_of_a_wave_is_of_that_wave() -> None:
    rules = fleet_rules(read_sections('[fleet]\nstop-after = "20%"\n', "file", KNOWN), "file")
    found = [FoundCluster(f"a{number}", 1) for number in range(10)] + [FoundCluster("b", 2)]
    assert [wave.stop_after for wave in waves_of(found, rules)] == [2, 1]


def test_the_settings_of_each_cluster_are_read_before_any_wave_starts(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(
        'state = "/tmp/x"\ncheck-document = "check"\napply-document = "apply"\nreboot-document = "reboot"\n'
        '[cluster."web-*"]\nwindow = ["always"]\n'
    )
    assert check("api", file, {}).target.cluster == "api"
    with pytest.raises(UsageError, match="settings of the cluster web-1: window cannot be"):
        check("web-1", file, {})
