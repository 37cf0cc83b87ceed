"""Several simulated clusters in one account, the state machine that updates them, and its tasks as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bottlerocket_ecs_updater.simulator.services.documents import APPLY, CHECK, REBOOT
from bottlerocket_ecs_updater.simulator.waves.cluster_list import Control
from bottlerocket_ecs_updater.simulator.waves.definition import waves_definition
from bottlerocket_ecs_updater.simulator.waves.interpreter import Interpreter, interpreter
from bottlerocket_ecs_updater.simulator.waves.one_cluster import CONTAINER
from bottlerocket_ecs_updater.simulator.wire import Wire
from bottlerocket_ecs_updater.simulator.world.findings import UpdaterLimits

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.clock import ScaledClock
    from bottlerocket_ecs_updater.simulator.scenarios import Scenario
    from bottlerocket_ecs_updater.simulator.world.world import World

VARIABLE = "BOTTLEROCKET_ECS_UPDATER_"
CLUSTER_VARIABLE, SETTINGS_VARIABLE = f"{VARIABLE}CLUSTER", f"{VARIABLE}CONFIG_TEXT"


@dataclass
class TaskProcess:
    """One task, as a process."""

    arn: str
    command: Sequence[str]
    cluster: str
    process: subprocess.Popen[str] | None = None
    lines: list[str] = field(default_factory=list)
    exit_code: int | None = None


@dataclass
class Processes:
    """Runs the updater's tasks as processes, each against the world of its cluster."""

    environments: Mapping[str, Mapping[str, str]]
    """The environment of a process, by cluster; "" for a task without a cluster."""
    each: dict[str, TaskProcess] = field(default_factory=dict)
    sidecars: Mapping[str, int] = field(default_factory=dict)
    """Clusters whose task has a second container, and that container's exit code."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, request: Mapping[str, Any]) -> str:
        """Start a task for a RunTask request."""
        [override] = request["overrides"]["containerOverrides"]
        environment = {one["name"]: one["value"] for one in override["environment"]}
        cluster = environment.get(CLUSTER_VARIABLE, "")
        with self._lock:
            arn = f"arn:aws:ecs:us-east-1:123456789012:task/runner/{len(self.each) + 1:032x}"
            task = self.each[arn] = TaskProcess(arn, override["command"], cluster)
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", VARIABLE, "ECS_"))}
        task.process = subprocess.Popen(  # noqa: S603 - our own
            [sys.executable, "-m", "bottlerocket_ecs_updater", *task.command],
            env={**mine, **self.environments[cluster], **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        threading.Thread(target=self._listen, args=(task,), name=f"task {cluster}", daemon=True).start()
        return arn

    def look(self, arn: str) -> Mapping[str, Any]:
        """The task as DescribeTasks shows it."""
        task = self.each[arn]
        ended = task.exit_code is not None
        containers = [{"name": CONTAINER, **({"exitCode": task.exit_code} if ended else {})}]
        if task.cluster in self.sidecars:
            containers.append({"name": "sidecar", **({"exitCode": self.sidecars[task.cluster]} if ended else {})})
        return {
            "taskArn": arn,
            "clusterArn": "arn:aws:ecs:us-east-1:123456789012:cluster/runner",
            "lastStatus": "STOPPED" if ended else "RUNNING",
            "containers": containers,
        }

    def of(self, cluster: str) -> Sequence[TaskProcess]:
        """The tasks that ran for a cluster."""
        return [task for task in self.each.values() if task.cluster == cluster]

    def stop(self) -> None:
        """Send SIGTERM to processes that are still running, as ECS does when a task is stopped."""
        for task in list(self.each.values()):
            if task.process is not None and task.process.poll() is None:
                task.process.terminate()

    def kill(self) -> None:
        """Kill processes that are still running."""
        for task in self.each.values():
            if task.process is not None and task.process.poll() is None:
                task.process.kill()
                task.process.wait()

    def _listen(self, task: TaskProcess) -> None:
        assert task.process is not None
        with task.process as process:
            for line in process.stdout or ():
                task.lines.append(line.rstrip("\n"))
        # If a signal ended a container, its exit code is 128 plus the signal's number.
        code = task.process.returncode
        task.exit_code = code if code >= 0 else 128 - code


@dataclass
class SimulatedFleet:
    """The whole simulation: worlds, processes and interpreter."""

    worlds: Mapping[str, World]
    clock: ScaledClock
    state: Path
    processes: Processes
    states: Interpreter
    answered: set[str] = field(default_factory=set)
    """The tokens of requests that were answered."""

    def start(self) -> str:
        """Start an execution over the clusters. Returns its ARN."""
        return self.states.start(json.loads(filled(json.dumps(waves_definition()), self.state)))

    def follow(self, execution: str, *, approve: bool) -> None:
        """Wait for the end of an execution, and answer each request for approval."""
        while self.states.status(execution) == "RUNNING":
            for message in list(self.states.messages.sent):
                _, asked, rest = str(message["Message"]).partition("--task-token ")
                if asked and rest.split()[0] not in self.answered:
                    token = rest.split()[0]
                    self.answered.add(token)
                    (self.states.approve if approve else self.states.decline)(token)
            threading.Event().wait(0.1)

    def stop(self, execution: str) -> None:
        """Stop an execution, as a person does. Step Functions then stops the tasks that it waits for."""
        self.states.stop(execution)
        self.processes.stop()

    def versions(self) -> Mapping[str, set[str]]:
        """The versions that each cluster's hosts run."""
        return {name: {host.running for host in world.hosts.values()} for name, world in self.worlds.items()}


def filled(text: str, state: Path) -> str:
    """The definition with the stack's values filled in."""
    values = {
        "Partition": "aws",
        "RunsOn": "runner",
        "TaskDefinition": "updater",
        "AssignPublicIp": "DISABLED",
        "Topic": "arn:aws:sns:us-east-1:123456789012:updates",
        "Where": "123456789012 us-east-1",
        "Region": "us-east-1",
        "Page": f"{state}/fleet/index.html",
    }
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    lists = {"SecurityGroups": ["sg-0123456789abcdef0"], "Subnets": ["subnet-0123456789abcdef0"]}
    for name, several in lists.items():
        text = text.replace(json.dumps(f"${{{name}}}"), json.dumps(several))
    return text


@contextmanager
def simulated_fleet(
    scenarios: Mapping[str, Scenario],
    clock: ScaledClock,
    settings: str,
    state: Path,
    *,
    tags: Mapping[str, Mapping[str, str]] | None = None,
    sidecars: Mapping[str, int] | None = None,
) -> Iterator[SimulatedFleet]:
    """Serve worlds, by cluster name, each on its own HTTP server. All processes end with the context."""
    origin = clock.now().isoformat()
    worlds = {
        name: replace(one, cluster=name).build(clock, budget=UpdaterLimits(1))
        for name, one in sorted(scenarios.items())
    }
    common = {
        f"{VARIABLE}TIME_SCALE": str(clock.speed),
        f"{VARIABLE}TIME_ORIGIN": origin,
        f"{VARIABLE}STATE": str(state),
        f"{VARIABLE}CHECK_DOCUMENT": CHECK,
        f"{VARIABLE}APPLY_DOCUMENT": APPLY,
        f"{VARIABLE}REBOOT_DOCUMENT": REBOOT,
        f"{VARIABLE}LOG_FORMAT": "text",
        SETTINGS_VARIABLE: settings,
    }
    clock.start()
    with ExitStack() as stack:
        stack.callback(clock.stop)
        wires = {name: stack.enter_context(Wire(world)) for name, world in worlds.items()}
        environments = {name: {**common, **wire.environment()} for name, wire in wires.items()}
        control = stack.enter_context(Control(worlds, tags or {}))
        first = next(iter(environments.values()))
        environments[""] = {**first, "AWS_ENDPOINT_URL": control.endpoint}
        processes = Processes(environments, sidecars=sidecars or {})
        names = next(iter(worlds.values())).names
        states = stack.enter_context(interpreter(names.account, names.region, processes, clock.speed))
        stack.callback(processes.kill)
        yield SimulatedFleet(worlds, clock, state, processes, states)
