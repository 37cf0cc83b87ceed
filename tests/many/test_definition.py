"""The state machine on the local interpreter, with simulated tasks: the result of each way in which a task can end.

`simulator/waves/interpreter.py` lists what the interpreter does not cover: payload sizes, the number of events as Step
Functions counts them, permissions, and JSONata.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bottlerocket_ecs_updater.core.planning.waves import (
    APPROVE_WITHIN,
    CLUSTERS_MAX,
    STATE_MAX_BYTES,
    Wave,
    state_bytes,
    waves_json,
)
from bottlerocket_ecs_updater.simulator.waves import interpreter as waves_interpreter
from bottlerocket_ecs_updater.simulator.waves.definition import waves_definition
from bottlerocket_ecs_updater.simulator.waves.fleet import filled
from bottlerocket_ecs_updater.simulator.waves.interpreter import Interpreter, NotStartedError, interpreter
from bottlerocket_ecs_updater.simulator.waves.one_cluster import RETRIES_MAX

ACCOUNT, REGION = "123456789012", "us-east-1"
ENDS_WITHIN_SECONDS = 60


@dataclass
class Pretended:
    """Tasks that end immediately, with the exit codes of a test."""

    waves: Mapping[str, Any]
    codes: Mapping[str, int | None]
    sidecars: Mapping[str, int] = field(default_factory=dict)
    lasts_seconds: float = 0.2
    not_started: dict[str, int] = field(default_factory=dict)
    """How often RunTask starts nothing, by cluster."""
    reason: str = ""
    """The stop reasons that ECS reports."""
    states: Interpreter | None = None
    ran: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, request: Mapping[str, Any]) -> str:
        [override] = request["overrides"]["containerOverrides"]
        variables = {one["name"]: one["value"] for one in override["environment"]}
        with self.lock:
            name = variables.get("BOTTLEROCKET_ECS_UPDATER_CLUSTER", "")
            if self.not_started.get(name, 0):
                self.not_started[name] -= 1
                raise NotStartedError("Capacity is unavailable at this time")
            arn = f"arn:aws:ecs:us-east-1:123456789012:task/runner/{len(self.tasks):032x}"
            self.tasks[arn] = {"taskArn": arn, "clusterArn": "arn:cluster", "lastStatus": "RUNNING", "containers": []}
        threading.Thread(target=self._live, args=(arn, variables), daemon=True).start()
        return arn

    def look(self, arn: str) -> Mapping[str, Any]:
        return dict(self.tasks[arn])

    def _live(self, arn: str, variables: Mapping[str, str]) -> None:
        containers: list[dict[str, Any]] = [{"name": "updater", "exitCode": 0}]
        if "WAVES_TASK_TOKEN" in variables:
            assert self.states is not None
            self.states.succeed(variables["WAVES_TASK_TOKEN"], self.waves)
        else:
            name = variables["BOTTLEROCKET_ECS_UPDATER_CLUSTER"]
            with self.lock:
                self.ran.append(name)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
            threading.Event().wait(self.lasts_seconds)
            with self.lock:
                self.at_once -= 1
            code = self.codes.get(name, 0)
            containers = [{"name": "updater"} if code is None else {"name": "updater", "exitCode": code}]
            if name in self.sidecars:
                containers.insert(0, {"name": "sidecar", "exitCode": self.sidecars[name]})
        reason = {"stoppedReason": self.reason} if self.reason else {}
        self.tasks[arn] = {**self.tasks[arn], **reason, "lastStatus": "STOPPED", "containers": containers}


@contextmanager
def gone_through(
    waves: list[Wave], codes: Mapping[str, int | None] | None = None, **more: Any
) -> Iterator[tuple[Pretended, Interpreter, str]]:
    tasks = Pretended(waves_json(waves), codes or {}, **more)
    with interpreter(ACCOUNT, REGION, tasks, speed=60) as states:
        tasks.states = states
        execution = states.start(json.loads(filled(json.dumps(waves_definition()), Path("/state"))))
        yield tasks, states, execution


def ended(states: Interpreter, execution: str) -> str:
    ends = time.monotonic() + ENDS_WITHIN_SECONDS
    while states.status(execution) == "RUNNING":
        assert time.monotonic() < ends, "it never ended"
        threading.Event().wait(0.05)
    return states.status(execution)


def wave(
    number: int,
    *clusters: str,
    stop_after: int = 1,
    approve: bool = False,
    concurrency: int = 2,
    within: timedelta = APPROVE_WITHIN,
) -> Wave:
    return Wave(number, clusters, concurrency, stop_after, timedelta(seconds=30), approve, within)


NO_RESULT = "it gave no result (States.TaskFailed)"


def failures(states: Interpreter) -> dict[str, str]:
    """Why each cluster failed, as the last message says."""
    return dict(one.split(": ", 1) for one in json.loads(re.findall(r"\[.*\]", digest(states))[0]))


def asked(states: Interpreter) -> str:
    """The token in the first message, once it has been sent."""
    ends = time.monotonic() + ENDS_WITHIN_SECONDS
    while not states.messages.sent:
        assert time.monotonic() < ends
        threading.Event().wait(0.05)
    return str(states.messages.sent[0]["Message"]).partition("--task-token ")[2].split()[0]


def digest(states: Interpreter) -> str:
    return str(states.messages.sent[-1]["Message"])


def test_waves_come_one_after_the_other_and_no_more_clusters_at_once_than_allowed() -> None:
    with gone_through([wave(1, "a"), wave(2, "b", "c", "d", "e"), wave(3, "f")]) as (tasks, states, execution):
        assert ended(states, execution) == "SUCCEEDED"
    assert tasks.ran[0] == "a"
    assert sorted(tasks.ran[1:5]) == ["b", "c", "d", "e"]
    assert tasks.ran[5] == "f"
    assert tasks.most_at_once == 2
    assert ". Clusters run: 6. None failed." in digest(states)


@pytest.mark.parametrize("code", [1, 2, 3, 4, None])
def test_a_failed_cluster_stops_later_waves_but_not_runs_in_progress(code: int | None) -> None:
    with gone_through([wave(1, "a", "b", "c"), wave(2, "d")], {"a": code}) as (tasks, states, execution):
        assert ended(states, execution) == "FAILED"
    assert sorted(tasks.ran) == ["a", "b", "c"]
    assert ". Clusters run: 3. Failed: 1. [" in digest(states)
    assert "Wave 1 failed, so those after it were not started." in digest(states)
    assert failures(states) == {"a": f"exit code {code}" if code is not None else NO_RESULT}


def test_failures_within_the_tolerance_of_a_wave_are_still_reported_at_the_end() -> None:
    waves = [wave(1, "a", "b", "c", stop_after=2), wave(2, "d")]
    with gone_through(waves, {"a": 3}) as (tasks, states, execution):
        assert ended(states, execution) == "FAILED"
    assert sorted(tasks.ran) == ["a", "b", "c", "d"]
    assert ". Clusters run: 4. Failed: 1. [" in digest(states)


def test_failures_of_all_waves_are_reported_together() -> None:
    waves = [wave(1, "a", "b", stop_after=2), wave(2, "c", "d", stop_after=2)]
    with gone_through(waves, {"a": 3, "d": 4}) as (_, states, execution):
        assert ended(states, execution) == "FAILED"
    assert "exit code 3" in digest(states)
    assert "exit code 4" in digest(states)


def test_the_exit_code_of_a_sidecar_does_not_count() -> None:
    with gone_through([wave(1, "a"), wave(2, "b")], sidecars={"a": 137}) as (tasks, states, execution):
        assert ended(states, execution) == "SUCCEEDED"
    assert tasks.ran == ["a", "b"]


def test_a_wave_that_needs_a_person_waits_for_one() -> None:
    with gone_through([wave(1, "a"), wave(2, "b", approve=True)]) as (tasks, states, execution):
        token = asked(states)
        assert states.status(execution) == "RUNNING"
        assert tasks.ran == ["a"]
        assert '["b"]' in str(states.messages.sent[0]["Message"])
        states.approve(token)
        assert ended(states, execution) == "SUCCEEDED"
    assert tasks.ran == ["a", "b"]


@pytest.mark.parametrize("answer", ["declined", "none"])
def test_a_wave_that_is_not_approved_does_not_run_and_is_not_a_failure(answer: str) -> None:
    within = APPROVE_WITHIN if answer == "declined" else timedelta(minutes=1)
    waves = [wave(1, "a"), wave(2, "b", approve=True, within=within), wave(3, "c")]
    with gone_through(waves) as (tasks, states, execution):
        token = asked(states)
        if answer == "declined":
            states.decline(token)
        assert ended(states, execution) == "SUCCEEDED"
    assert tasks.ran == ["a"]
    assert "Wave 2 was not approved, so it and those after it were not started." in digest(states)


@pytest.mark.parametrize(
    "cause",
    [
        "",
        "null",
        "{",
        "[]",
        '{"Containers":',
        '{"Containers":{}}',
        '{"Containers":[]}',
        '{"Containers":[{"Name":"updater","ExitCode":"three"}]}',
        '{"Containers":[{"Name":"updater","ExitCode":3}',
        '{"Containers":[{"Name":"upd',
        '{"Containers":[{]}',
        'not {"Containers":[{"Name":"updater","ExitCode":0}]}',
        "a task that cannot be placed",
    ],
)
def test_a_malformed_cause_fails_only_its_own_cluster(cause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waves_interpreter, "cause_of", lambda _: cause)
    with gone_through([wave(1, "a", "b", "c"), wave(2, "d")], {"a": 3}) as (tasks, states, execution):
        assert ended(states, execution) == "FAILED"
    assert sorted(tasks.ran) == ["a", "b", "c"]
    assert failures(states) == {"a": NO_RESULT}
    assert "Clusters run: 3. Failed: 1." in digest(states)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): not found",
            "CannotPullContainerError",
        ),
        ("ResourceInitializationError: " + "unable to pull secrets " * 400, "ResourceInitializationError"),
        ("Essential container in task exited", "Essential container in task exited"),
        (":", " "),
    ],
)
def test_a_task_that_stops_before_its_container_runs_is_reported_with_what_ecs_says_first(
    reason: str, said: str
) -> None:
    with gone_through([wave(1, "a")], {"a": None}, reason=reason) as (_, states, execution):
        assert ended(states, execution) == "FAILED"
    assert failures(states) == {"a": said}


@pytest.mark.parametrize(("times", "ran"), [(2, ["a"]), (9, [])])
def test_a_task_that_is_not_started_is_tried_again_a_few_times(times: int, ran: list[str]) -> None:
    with gone_through([wave(1, "a")], not_started={"a": times}) as (tasks, states, execution):
        assert ended(states, execution) == ("SUCCEEDED" if ran else "FAILED")
    assert tasks.ran == ran
    if not ran:
        assert failures(states) == {"a": "it gave no result (AmazonECS.Unknown)"}


def test_a_fleet_without_clusters_ends_well() -> None:
    with gone_through([]) as (_, states, execution):
        assert ended(states, execution) == "SUCCEEDED"
    assert ". Clusters run: 0. None failed." in digest(states)


EVENTS_MAX = 25_000


def test_three_hundred_clusters_that_all_fail_are_below_the_limits_of_step_functions() -> None:
    """With the longest names that ECS allows, in three waves; the size of each event of the history is measured."""
    names = [f"{number:0255}" for number in range(300)]
    waves = [wave(n + 1, *names[n * 100 : n * 100 + 100], concurrency=40, stop_after=101) for n in range(3)]
    codes = dict.fromkeys(names, 3)
    with gone_through(waves, codes, lasts_seconds=0.01) as (tasks, states, execution):
        assert ended(states, execution) == "FAILED"
        events = states.events(execution)
    assert len(tasks.ran) == 300
    assert len(failures(states)) == 300
    assert len(events) < EVENTS_MAX / 3
    largest = max(len(text) for event in events for text in texts_of(event))
    assert largest < state_bytes(waves) < STATE_MAX_BYTES


def test_the_most_clusters_of_an_execution_fit_into_its_history_at_their_worst() -> None:
    """Each task is started at the last try, and then fails."""
    names = [f"c-{number}" for number in range(20)]
    late = {"not_started": dict.fromkeys(names, RETRIES_MAX)}
    with gone_through([wave(1, *names, concurrency=20)], dict.fromkeys(names, 3), lasts_seconds=0.01, **late) as made:
        tasks, states, execution = made
        assert ended(states, execution) == "FAILED"
        events = len(states.events(execution))
    with gone_through([]) as (_, states, execution):
        ended(states, execution)
        rest = len(states.events(execution))
    assert len(tasks.ran) == len(names)
    # The interpreter writes no TaskSubmitted events. Step Functions writes one for each task that was started.
    each = (events - rest) / len(names) + 1
    assert rest + each * CLUSTERS_MAX < EVENTS_MAX


def texts_of(value: Any) -> Iterator[str]:
    """All texts in an event: inputs and outputs of states are JSON as text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from texts_of(one)


def test_clusters_that_do_not_fit_into_a_state_are_refused_before_the_first_wave() -> None:
    few, many = ([f"{number:0255}" for number in range(count)] for count in (300, 500))
    assert state_bytes([wave(1, *few)]) < STATE_MAX_BYTES < state_bytes([wave(1, *many)])
    short = [f"cluster-{number:020}" for number in range(CLUSTERS_MAX)]
    assert state_bytes([wave(1, *short)]) < STATE_MAX_BYTES
