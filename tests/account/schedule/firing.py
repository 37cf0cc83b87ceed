"""EventBridge rules and EventBridge Scheduler schedules: each fires when it is due.

A rule with a pattern fires when an event matches.

A failed start is retried as its target says, and then goes to the dead-letter queue.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.account.schedule.expressions import read_expression

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

if TYPE_CHECKING:
    from tests.account.cloudformation.cloud import HttpCloud
    from tests.account.schedule.roles import Roles

    from bottlerocket_ecs_updater.simulator.clock import WorldClock

LOOK_EVERY = timedelta(seconds=30)
"""New and changed schedules are noticed within this: it is how exact EventBridge promises to be within a minute."""

RETRY_AFTER = timedelta(seconds=60)
ATTEMPTS_DEFAULT = 185
AGE_DEFAULT = timedelta(hours=24)
"""EventBridge's default for retries."""

HOPELESS = frozenset({"AccessDenied", "AccessDeniedException", "ClusterNotFoundException", "ClientException"})
"""Errors that are not retried: "EventBridge doesn't retry … insufficient permissions or a target that no longer
exists".
"""

EVENTS = "events.amazonaws.com"
SCHEDULER = "scheduler.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Target:
    """What to start: an ECS task, or an execution of a state machine."""

    service: str
    source_arn: str
    name: str
    expression: str
    zone: str
    arn: str
    """A cluster's, or a state machine's."""
    role: str
    task: Mapping[str, Any] | None
    overrides: Mapping[str, Any]
    attempts: int
    max_age: timedelta
    dead_letters: str | None


@dataclass(frozen=True, slots=True)
class Start:
    """A successful start, or the last failed one."""

    at: datetime
    name: str
    task: str | None
    error: str = ""


class Schedules:
    """Fires schedules when they are due, on its own thread."""

    def __init__(self, clock: WorldClock, roles: Roles) -> None:
        self._clock = clock
        self._roles = roles
        self._since: dict[tuple[str, str], tuple[datetime, datetime]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, name="schedules", daemon=True)
        self._firing: list[threading.Thread] = []
        self.starts: list[Start] = []

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop firing. The world's clock must keep running, or have stopped, until this returns."""
        self._stopping.set()
        for thread in (self._thread, *self._firing):
            thread.join()

    def look(self) -> None:
        """Fire what has become due since the last look."""
        now = self._clock.now()
        for target in self._targets():
            key = (target.source_arn, f"{target.expression} {target.zone}")
            since, last = self._since.setdefault(key, (now, now))
            due = read_expression(target.expression, target.zone).after(last, since)
            if due is not None and due <= now:
                self._since[key] = (since, now)
                thread = threading.Thread(target=self._fire, args=(target,), name=target.name, daemon=True)
                self._firing.append(thread)
                thread.start()

    def heard(self, rule: str) -> None:
        """An event matched this rule: start its target, on a new thread."""
        thread = threading.Thread(target=self._fire_rule, args=(rule,), name=rule, daemon=True)
        self._firing.append(thread)
        thread.start()

    def _fire_rule(self, name: str) -> None:
        with _unless_deleted():
            rule = self._roles.operator("events", "DescribeRule", {"Name": name})
            for target in self._targets_of(rule, ""):
                self._fire(target)

    def _keep_looking(self) -> None:
        while not self._stopping.is_set():
            self.look()
            self._clock.sleep(LOOK_EVERY)

    def _fire(self, target: Target) -> None:
        """Start the task, as often as the target says; then give up visibly."""
        first, error = self._clock.now(), ""
        for attempt in range(target.attempts + 1):
            if attempt:
                self._clock.sleep(RETRY_AFTER)
            if self._stopping.is_set() or self._clock.now() - first > target.max_age:
                break
            try:
                self.starts.append(Start(self._clock.now(), target.name, self._start(target)))
            except AwsError as refusal:
                error = f"{refusal.code}: {refusal.message}"
                if refusal.code in HOPELESS:
                    break
            else:
                return
        self.starts.append(Start(self._clock.now(), target.name, None, error))
        if target.dead_letters:
            self._leave(target, target.dead_letters, error)

    def _start(self, target: Target) -> str:
        """Start it with the target's role; returns the ARN of the task or the execution. Raises AwsError."""
        cloud = self._roles.cloud(target.role, target.service, target.name, target.source_arn)
        if target.task is None:
            request = {"stateMachineArn": target.arn, "input": json.dumps(dict(target.overrides))}
            return str(cloud("stepfunctions", "StartExecution", request)["executionArn"])
        return self._run_task(target, target.task, cloud)

    def _run_task(self, target: Target, task: Mapping[str, Any], cloud: HttpCloud) -> str:
        request = {
            "cluster": target.arn,
            "taskDefinition": task["TaskDefinitionArn"],
            "count": int(task.get("TaskCount", 1)),
            "launchType": task.get("LaunchType", "EC2"),
            "startedBy": f"events-rule/{target.name}"[:36],
            "overrides": dict(target.overrides),
        }
        network = task.get("NetworkConfiguration", {}).get("awsvpcConfiguration")
        for name in ("PlacementConstraints", "PlacementStrategy", "Group"):
            if task.get(name):
                request[name[0].lower() + name[1:]] = task[name]
        if network:
            lower = {key[0].lower() + key[1:]: value for key, value in network.items()}
            request["networkConfiguration"] = {"awsvpcConfiguration": lower}
        answer = cloud("ecs", "RunTask", request)
        if answer["failures"]:
            raise AwsError("EcsRunTaskFailure", json.dumps(answer["failures"]))
        arn: str = answer["tasks"][0]["taskArn"]
        return arn

    def _leave(self, target: Target, queue_arn: str, error: str) -> None:
        """Send a message about a start that finally failed, in EventBridge's format."""
        queue = self._roles.operator("sqs", "GetQueueUrl", {"QueueName": queue_arn.rsplit(":", 1)[-1]})
        # EventBridge Scheduler writes with the schedule's role, and reports no denial.
        scheduled = target.service == SCHEDULER
        cloud = (
            self._roles.cloud(target.role, target.service, target.name, target.source_arn)
            if scheduled
            else self._roles.operator
        )
        attributes = {
            name: {"DataType": "String", "StringValue": value or "unknown"}
            for name, value in (("ERROR_MESSAGE", error), ("RULE_ARN", target.source_arn))
        }
        request = {"QueueUrl": queue["QueueUrl"], "MessageBody": "{}", "MessageAttributes": attributes}
        with suppress(*([AwsError] if scheduled else [])):
            cloud("sqs", "SendMessage", request)

    # Schedules in moto's stores

    def _targets(self) -> Iterator[Target]:
        yield from self._rule_targets()
        yield from self._schedule_targets()

    def _rule_targets(self) -> Iterator[Target]:
        call = self._roles.operator
        for rule in call("events", "ListRules", {})["Rules"]:
            if rule.get("State") != "ENABLED" or not rule.get("ScheduleExpression"):
                continue
            with _unless_deleted():
                yield from self._targets_of(rule, rule["ScheduleExpression"])

    def _targets_of(self, rule: Mapping[str, Any], expression: str) -> Iterator[Target]:
        for shape in self._roles.operator("events", "ListTargetsByRule", {"Rule": rule["Name"]})["Targets"]:
            if "EcsParameters" in shape:
                yield _target(EVENTS, rule["Arn"], rule["Name"], expression, "UTC", shape)

    def _schedule_targets(self) -> Iterator[Target]:
        for listed in self._roles.operator("scheduler", "ListSchedules", {})["Schedules"]:
            with _unless_deleted():
                yield from self._target_of_schedule(listed["Name"])

    def _target_of_schedule(self, name: str) -> Iterator[Target]:
        schedule = self._roles.operator("scheduler", "GetSchedule", {"Name": name})
        zone = schedule.get("ScheduleExpressionTimezone", "UTC")
        if schedule["State"] == "ENABLED" and _is_known(schedule["Target"]):
            expression, shape = schedule["ScheduleExpression"], schedule["Target"]
            yield _target(SCHEDULER, schedule["Arn"], schedule["Name"], expression, zone, shape)


@contextmanager
def _unless_deleted() -> Iterator[None]:
    """Pass over what a stack deleted since it was listed."""
    try:
        yield
    except AwsError as error:
        if error.code != "ResourceNotFoundException":
            raise


def _is_known(target: Mapping[str, Any]) -> bool:
    return "EcsParameters" in target or ":stateMachine:" in target["Arn"]


def _target(service: str, arn: str, name: str, expression: str, zone: str, shape: Mapping[str, Any]) -> Target:
    retries = shape.get("RetryPolicy", {})
    return Target(
        service=service,
        source_arn=arn,
        name=name,
        expression=expression,
        zone=zone,
        arn=shape["Arn"],
        role=shape["RoleArn"],
        task=shape.get("EcsParameters"),
        overrides=json.loads(shape.get("Input") or "{}"),
        attempts=int(retries.get("MaximumRetryAttempts", ATTEMPTS_DEFAULT)),
        max_age=timedelta(seconds=float(retries.get("MaximumEventAgeInSeconds", AGE_DEFAULT.total_seconds()))),
        dead_letters=shape.get("DeadLetterConfig", {}).get("Arn"),
    )
