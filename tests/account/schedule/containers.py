"""Runs a task as a process, with its command, environment, role and log.

On a container instance it dies with its host. Everything that ECS does with the execution role uses the execution role
here too, so missing permissions show.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.account.iam.iam_requests import IamRequest

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.ecs.model import Desired, Last

if TYPE_CHECKING:
    from tests.account.cloudformation.cloud import HttpCloud
    from tests.account.schedule.endpoint import TaskEndpoint
    from tests.account.schedule.roles import Roles

    from bottlerocket_ecs_updater.simulator.ecs.model import Task
    from bottlerocket_ecs_updater.simulator.host import Host
    from bottlerocket_ecs_updater.simulator.world.world import World

ECS_TASKS = "ecs-tasks.amazonaws.com"

LINES_AT_ONCE = 100
"""Lines that are sent to CloudWatch in one call."""

ECR_IMAGE = re.compile(r"([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)")

Entrypoint = Callable[[str], Sequence[str]]
"""The entry point of an image, by its name: the words that come before a container's command."""


@dataclass(slots=True)
class Container:
    """One process, and its result."""

    task: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    lines: list[str] = field(default_factory=list)
    """Its output, from stdout and stderr."""
    exit_code: int | None = None
    failed_to_start: str = ""


class Containers:
    """Runs the first container of each task of a world that no service placed, as long as its desired status is
    RUNNING.
    """

    def __init__(
        self,
        world: World,
        roles: Roles,
        endpoint: TaskEndpoint,
        entrypoint: Entrypoint,
        environment: Mapping[str, str],
    ) -> None:
        self._world = world
        self._roles = roles
        self._endpoint = endpoint
        self._entrypoint = entrypoint
        self._environment = dict(environment)
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._threads: list[threading.Thread] = []
        self.ran: dict[str, Container] = {}
        """By the task's ARN, in the order of their starts."""

    def start(self) -> None:
        """Start to run tasks."""
        self._world.ecs.registry.on_task.append(self._task_changed)
        for host in self._world.hosts.values():
            host.on_containers_die.append(self._host_goes_down)

    def stop(self) -> None:
        """Kill the running processes, and wait for them."""
        self._world.ecs.registry.on_task.remove(self._task_changed)
        for host in self._world.hosts.values():
            host.on_containers_die.remove(self._host_goes_down)
        for process in list(self._processes.values()):
            process.kill()
        for thread in self._threads:
            thread.join()

    def wait(self, task_arn: str, at_most: timedelta) -> Container:
        """The container of a task, once it has ended. Raises TimeoutError."""
        for thread in list(self._threads):
            if thread.name == task_arn:
                thread.join(at_most.total_seconds())
                if thread.is_alive():
                    raise TimeoutError(f"{task_arn} still runs")
        return self.ran[task_arn]

    def _task_changed(self, task: Task) -> None:
        """Called under the world's lock, so slow work runs on a thread."""
        if task.service is not None or self._world.ecs.registry.defines(task.definition.arn):
            # The world's own tasks have no command.
            return
        if task.desired is Desired.RUNNING and task.last is Last.RUNNING and task.arn not in self.ran:
            container = Container(task.arn, (), {})
            thread = threading.Thread(target=self._run, args=(task, container), name=task.arn, daemon=True)
            thread.start()
            self._threads.append(thread)
            self.ran[task.arn] = container
        elif task.desired is Desired.STOPPED and task.arn in self._processes:
            self._processes[task.arn].send_signal(signal.SIGTERM)

    def _host_goes_down(self, host: Host, _reason: str) -> None:
        """Kill its processes immediately."""
        for task in self._world.instance(host.instance_id).tasks.values():
            if task.arn in self._processes:
                self._processes[task.arn].kill()

    def _run(self, task: Task, container: Container) -> None:
        try:
            definition = self._describe(task)
            shape = definition["containerDefinitions"][0]
            log = self._initialize(task, definition, shape, container)
        except AwsError as error:
            container.failed_to_start = f"{error.code}: {error.message}"
            why = f"ResourceInitializationError: {error.message}"
            self._ended(task, "TaskFailedToStart", why, None)
            self._tell(task, definition_arn=task.definition.arn, code="TaskFailedToStart", reason=why)
            return
        try:
            self._carry_out(task, container, log)
        finally:
            self._endpoint.withdraw(_id(task))
        self._ended(task, "EssentialContainerExited", "Essential container in task exited", container.exit_code)

    def _describe(self, task: Task) -> dict[str, Any]:
        request = {"taskDefinition": task.definition.arn}
        found: dict[str, Any] = self._roles.operator("ecs", "DescribeTaskDefinition", request)["taskDefinition"]
        return found

    def _initialize(
        self, task: Task, definition: Mapping[str, Any], shape: Mapping[str, Any], container: Container
    ) -> Log:
        """Do what the ECS agent does before it starts a container, with the task's execution role."""
        role = definition["executionRoleArn"]
        agent = self._roles.cloud(role, ECS_TASKS, _id(task), task.arn)
        for ask in _pull(shape["image"], self._roles.names.partition):
            self._roles.check(role, _id(task), ask, "ecr")
        log = Log(agent, shape, _id(task), self._world.clock.now)
        log.open()
        offered = self._endpoint.offer(
            _id(task),
            lambda: _credentials(self._roles, definition["taskRoleArn"], task),
            lambda: _metadata(task, definition),
        )
        container.arguments = [*self._entrypoint(shape["image"]), *_command(task, shape)]
        container.environment = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "SYSTEMROOT")},
            **self._environment,
            **offered,
            **{each["name"]: each["value"] for each in shape.get("environment", ())},
            **_secrets(agent, shape),
            **_overrides(task, shape["name"]),
        }
        return log

    def _carry_out(self, task: Task, container: Container, log: Log) -> None:
        process = subprocess.Popen(
            container.arguments,
            env=dict(container.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._processes[task.arn] = process
        with process:
            for line in process.stdout or ():
                container.lines.append(line.rstrip("\n"))
                log.take(container.lines[-1])
        container.exit_code = process.returncode
        del self._processes[task.arn]
        log.flush()

    def _ended(self, task: Task, code: str, reason: str, exit_code: int | None) -> None:
        with self._world.clock.lock:
            task.exit_code = exit_code
            self._world.ecs.lifecycle.stop(task, code, reason)

    def _tell(self, task: Task, definition_arn: str, code: str, reason: str) -> None:
        """Send ECS's event about a stopped task, with the fields that rules use."""
        detail = {
            "clusterArn": task.cluster.arn,
            "taskArn": task.arn,
            "taskDefinitionArn": definition_arn,
            "lastStatus": "STOPPED",
            "stopCode": code,
            "stoppedReason": reason,
        }
        entry = {"Source": "aws.ecs", "DetailType": "ECS Task State Change", "Detail": json.dumps(detail)}
        self._roles.operator("events", "PutEvents", {"Entries": [entry]})


class Log:
    """The awslogs driver, with the execution role."""

    def __init__(self, agent: HttpCloud, shape: Mapping[str, Any], task_id: str, now: Callable[[], datetime]) -> None:
        options = shape.get("logConfiguration", {}).get("options", {})
        self._agent = agent
        self._now = now
        self._create = options.get("awslogs-create-group") == "true"
        self._where = {
            "logGroupName": options.get("awslogs-group", ""),
            "logStreamName": f"{options.get('awslogs-stream-prefix')}/{shape['name']}/{task_id}",
        }
        self._waiting: list[dict[str, Any]] = []

    def open(self) -> None:
        """Create the group, if requested, and the stream. Raises AwsError."""
        if self._create:
            try:
                self._agent("logs", "CreateLogGroup", {"logGroupName": self._where["logGroupName"]})
            except AwsError as error:
                if error.code != "ResourceAlreadyExistsException":
                    raise
        self._agent("logs", "CreateLogStream", self._where)

    def take(self, line: str) -> None:
        """Keep a line for the next call."""
        milliseconds = int(self._now().timestamp() * 1000)
        self._waiting.append({"timestamp": milliseconds, "message": line or " "})
        if len(self._waiting) >= LINES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Send the waiting lines. Lines that the group or the role no longer accepts are lost, as with the driver."""
        events, self._waiting = self._waiting, []
        if events:
            with suppress(AwsError):
                self._agent("logs", "PutLogEvents", {**self._where, "logEvents": events})


def _pull(image: str, partition: str) -> Iterator[IamRequest]:
    """Make the calls that pull an image from a private ECR repository."""
    found = ECR_IMAGE.match(image)
    if found is None:
        return
    account, region, repository = found.groups()
    yield IamRequest("ecr:GetAuthorizationToken")
    for action in ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"):
        yield IamRequest(f"ecr:{action}", f"arn:{partition}:ecr:{region}:{account}:repository/{repository}")


def _id(task: Task) -> str:
    return task.arn.rsplit("/", 1)[-1]


def _command(task: Task, shape: Mapping[str, Any]) -> Sequence[str]:
    for override in task.overrides.get("containerOverrides", ()):
        if override.get("name") == shape["name"] and override.get("command"):
            return list(override["command"])
    return list(shape.get("command", ()))


def _overrides(task: Task, container: str) -> dict[str, str]:
    return {
        each["name"]: each["value"]
        for override in task.overrides.get("containerOverrides", ())
        if override.get("name") == container
        for each in override.get("environment", ())
    }


def _secrets(agent: HttpCloud, shape: Mapping[str, Any]) -> dict[str, str]:
    """Parameters that become variables. Raises AwsError."""
    values: dict[str, str] = {}
    for secret in shape.get("secrets", ()):
        name = secret["valueFrom"].split(":parameter/", 1)[-1]
        # The ARN of a name in a hierarchy leaves out its first slash.
        name = f"/{name}" if "/" in name else name
        found = agent("ssm", "GetParameters", {"Names": [name], "WithDecryption": True})["Parameters"]
        if not found:
            raise AwsError("InvalidParameters", f"invalid ssm parameters: {name}")
        values[secret["name"]] = found[0]["Value"]
    return values


def _credentials(roles: Roles, role_arn: str, task: Task) -> dict[str, Any]:
    found = roles.credentials(role_arn, ECS_TASKS, _id(task), task.arn)
    return {
        "RoleArn": role_arn,
        "AccessKeyId": found["AccessKeyId"],
        "SecretAccessKey": found["SecretAccessKey"],
        "Token": found["SessionToken"],
        "Expiration": f"{found['Expiration']:%Y-%m-%dT%H:%M:%SZ}",
    }


def _metadata(task: Task, definition: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Cluster": task.cluster.arn,
        "TaskARN": task.arn,
        "Family": definition["family"],
        "Revision": str(definition["revision"]),
        "DesiredStatus": task.desired.value,
        "KnownStatus": task.last.value,
        "LaunchType": task.launch.value,
    }
