"""The state machine on the local interpreter, with tasks that only pretend: what each end of a task leads to.

What the interpreter does not cover is said in `simulator/waves/interpreter.py`: payload sizes, the number of events as
Step Functions counts them, permissions, and JSONata.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bottlerocket_ecs_updater.core.planning.waves import Wave, waves_json
from bottlerocket_ecs_updater.simulator.waves.definition import definition
from bottlerocket_ecs_updater.simulator.waves.fleet import filled
from bottlerocket_ecs_updater.simulator.waves.interpreter import Interpreter, interpreter

ACCOUNT, REGION = "123456789012", "us-east-1"
ENDS_WITHIN_SECONDS = 60


@dataclass
class Pretended:
    """Tasks that end at once, with the codes of a test."""

    waves: Mapping[str, Any]
    codes: Mapping[str, int | None]
    sidecars: Mapping[str, int] = field(default_factory=dict)
    states: Interpreter | None = None
    ran: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, request: Mapping[str, Any]) -> str:
        [override] = request["overrides"]["containerOverrides"]
        told = {one["name"]: one["value"] for one in override["environment"]}
        with self.lock:
            arn = f"arn:aws:ecs:us-east-1:123456789012:task/runner/{len(self.tasks):032x}"
            self.tasks[arn] = {"taskArn": arn, "clusterArn": "arn:cluster", "lastStatus": "RUNNING", "containers": []}
        threading.Thread(target=self._live, args=(arn, told), daemon=True).start()
        return arn

    def look(self, arn: str) -> Mapping[str, Any]:
        return dict(self.tasks[arn])

    def _live(self, arn: str, told: Mapping[str, str]) -> None:
        containers: list[dict[str, Any]] = [{"name": "updater", "exitCode": 0}]
        if "WAVES_TASK_TOKEN" in told:
            assert self.states is not None
            self.states.succeed(told["WAVES_TASK_TOKEN"], self.waves)
        else:
            name = told["BOTTLEROCKET_ECS_UPDATER_CLUSTER"]
            with self.lock:
                self.ran.append(name)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
            threading.Event().wait(0.2)
            with self.lock:
                self.at_once -= 1
            code = self.codes.get(name, 0)
            containers = [{"name": "updater"} if code is None else {"name": "updater", "exitCode": code}]
            if name in self.sidecars:
                containers.insert(0, {"name": "sidecar", "exitCode": self.sidecars[name]})
        self.tasks[arn] = {**self.tasks[arn], "lastStatus": "STOPPED", "containers": containers}


@contextmanager
def gone_through(
    waves: list[Wave], codes: Mapping[str, int | None] | None = None, sidecars: Mapping[str, int] | None = None
) -> Iterator[tuple[Pretended, Interpreter, str]]:
    tasks = Pretended(waves_json(waves), codes or {}, sidecars or {})
    with interpreter(ACCOUNT, REGION, tasks, speed=60) as states:
        tasks.states = states
        execution = states.start(json.loads(filled(json.dumps(definition()), Path("/state"))))
        yield tasks, states, execution


def ended(states: Interpreter, execution: str) -> str:
    ends = time.monotonic() + ENDS_WITHIN_SECONDS
    while states.status(execution) == "RUNNING":
        assert time.monotonic() < ends, "it never ended"
        threading.Event().wait(0.05)
    return states.status(execution)


def wave(number: int, *clusters: str, stop_after: int = 1, approve: bool = False, concurrency: int = 2) -> Wave:
    return Wave(number, clusters, concurrency, stop_after, timedelta(seconds=30), approve)


def digest(states: Interpreter) -> str:
    return str(states.messages.sent[-1]["Message"])


def test_waves_come_one_after_the_other_and_no_more_clusters_at_once_than_allowed() -> None:
    with gone_through([wave(1, "a"), wave(2, "b", "c", "d", "e"), wave(3, "f")]) as (tasks, states, execution):
        assert ended(states, execution) == "SUCCEEDED"
    assert tasks.ran[0] == "a"
    assert sorted(tasks.ran[1:5]) == ["b", "c", "d", "e"]
    assert tasks.ran[5] == "f"
    assert tasks.most_at_once == 2
    assert digest(states).startswith("6 clusters were run, 0 of them failed.")


@pytest.mark.parametrize("code", [1, 2, 3, 4, None])
def test_a_wave_in_which_a_cluster_failed_stops_those_after_it_and_not_what_is_in_progress(code: int | None) -> None:
    with gone_through([wave(1, "a", "b", "c"), wave(2, "d")], {"a": code}) as (tasks, states, execution):
        assert ended(states, execution) == "FAILED"
    assert sorted(tasks.ran) == ["a", "b", "c"]
    assert "3 clusters were run, 1 of them failed. Wave 1 failed" in digest(states)
    assert '"cluster":"a"' in digest(states)


def test_so_many_may_fail_as_the_wave_tolerates_and_the_end_still_says_so() -> None:
    waves = [wave(1, "a", "b", "c", stop_after=2), wave(2, "d")]
    with gone_through(waves, {"a": 3}) as (tasks, states, execution):
        assert ended(states, execution) == "FAILED"
    assert sorted(tasks.ran) == ["a", "b", "c", "d"]
    assert "4 clusters were run, 1 of them failed." in digest(states)


def test_failures_of_all_waves_are_told_together() -> None:
    waves = [wave(1, "a", "b", stop_after=2), wave(2, "c", "d", stop_after=2)]
    with gone_through(waves, {"a": 3, "d": 4}) as (_, states, execution):
        assert ended(states, execution) == "FAILED"
    assert "exit code 3" in digest(states)
    assert "exit code 4" in digest(states)


def test_the_code_of_a_sidecar_is_not_the_updaters() -> None:
    with gone_through([wave(1, "a"), wave(2, "b")], sidecars={"a": 137}) as (tasks, states, execution):
        assert ended(states, execution) == "SUCCEEDED"
    assert tasks.ran == ["a", "b"]


def test_a_wave_that_needs_a_person_waits_for_one() -> None:
    with gone_through([wave(1, "a"), wave(2, "b", approve=True)]) as (tasks, states, execution):
        ends = time.monotonic() + ENDS_WITHIN_SECONDS
        while not states.messages.sent:
            assert time.monotonic() < ends
            threading.Event().wait(0.05)
        assert states.status(execution) == "RUNNING"
        assert tasks.ran == ["a"]
        asked = str(states.messages.sent[0]["Message"])
        assert '["b"]' in asked
        states.approve(asked.partition("--task-token ")[2])
        assert ended(states, execution) == "SUCCEEDED"
    assert tasks.ran == ["a", "b"]


def test_a_fleet_without_clusters_ends_well() -> None:
    with gone_through([]) as (_, states, execution):
        assert ended(states, execution) == "SUCCEEDED"
    assert digest(states).startswith("0 clusters were run")


def test_three_hundred_clusters_are_far_below_the_limits_of_step_functions() -> None:
    """25,000 events an execution, and 256 KiB a payload: reckoned from what 20 clusters in 2 waves make here."""

    def events(clusters: int) -> int:
        names = [f"cluster-{number:03}" for number in range(clusters)]
        half = clusters // 2
        waves = [wave(1, *names[:half], concurrency=40), wave(2, *names[half:], concurrency=40)]
        with gone_through(waves) as (_, states, execution):
            assert ended(states, execution) == "SUCCEEDED"
            return len(states.events(execution))

    few, more = events(4), events(20)
    each = (more - few) / 16
    assert more + 280 * each < 25_000 / 2
    longest = [f"{number:0255}" for number in range(300)]
    assert len(json.dumps(waves_json([wave(1, *longest)]))) < 256 * 1024 / 2
