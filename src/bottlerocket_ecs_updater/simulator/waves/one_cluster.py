"""The states that run the updater for one cluster of a wave, and read how the task ended.

Each cluster catches its own failure, so nothing depends on how a Map stops: an error that a Map's item does not catch
stops the tasks of its other items. The exit code of the updater's own container decides whether it failed, because for
Step Functions a sidecar's exit code fails a task, too.
"""

from __future__ import annotations

from typing import Any

from bottlerocket_ecs_updater.core.model.time_text import DAY_SECONDS

Json = dict[str, Any]

CONTAINER = "updater"

START_ERRORS = ["AmazonECS.Unknown", "ECS.AmazonECSException", "ECS.ServerException", "ECS.ThrottlingException"]
"""Errors of RunTask that pass: no capacity, too many requests. If a task started anyway, the lease keeps out others."""

RETRIES_MAX = 4
"""Each try adds three events to the history, which has a limit."""

RETRY_START = [
    {
        "ErrorEquals": START_ERRORS,
        "IntervalSeconds": 15,
        "MaxAttempts": RETRIES_MAX,
        # Tasks that were throttled together must not start together again.
        "JitterStrategy": "FULL",
    }
]

TASK_IN_CAUSE = '{*"Containers":*[*{*}'
"""Cause of a task that ended: the task, as JSON. It has other forms if Step Functions itself reports an error."""


def updater_task(resource: str, command: list[str] | str, environment: Json, **more: Any) -> Json:
    """One task of the updater. Its command is given, or the path to it."""
    given = {"Command": command} if isinstance(command, list) else {"Command.$": command}
    variables = [{"Name": name.removesuffix(".$"), _value(name): value} for name, value in environment.items()]
    return {
        "Type": "Task",
        "Resource": f"arn:${{Partition}}:states:::ecs:{resource}",
        "Parameters": {
            "LaunchType": "FARGATE",
            "Cluster": "${RunsOn}",
            "TaskDefinition": "${TaskDefinition}",
            "PropagateTags": "TASK_DEFINITION",
            "NetworkConfiguration": {
                "AwsvpcConfiguration": {
                    "AssignPublicIp": "${AssignPublicIp}",
                    "SecurityGroups": "${SecurityGroups}",
                    "Subnets.$": "$.subnets",
                }
            },
            "Overrides": {
                "ContainerOverrides": [{"Name": CONTAINER, **given, "Environment": variables}],
            },
        },
        **more,
    }


def _value(name: str) -> str:
    return "Value.$" if name.endswith(".$") else "Value"


def for_one_cluster() -> Json:
    """The states for one cluster of a wave: run its task, then read how it ended."""
    caught = [
        {"ErrorEquals": [error], "ResultPath": "$.error", "Next": then}
        for error, then in (("States.TaskFailed", "Cause"), ("States.Timeout", "TooLong"), ("States.ALL", "NoResult"))
    ]
    cluster = {"BOTTLEROCKET_ECS_UPDATER_CLUSTER.$": "$.cluster"}
    # ECS's reason may be long, so keep the text before the first colon, as in "CannotPullContainerError: pull image …".
    said = "States.ArrayGetItem(States.StringSplit(States.Format('{}: ', $.read[0].reasons[0]), ':'), 0)"
    return {
        "ProcessorConfig": {"Mode": "INLINE"},
        "StartAt": "Run",
        "States": {
            "Run": updater_task(
                "runTask.sync",
                "$.command",
                cluster,
                TimeoutSeconds=DAY_SECONDS,
                ResultPath="$.ran",
                Retry=RETRY_START,
                Catch=caught,
                Next="Ok",
            ),
            "Cause": {
                "Type": "Choice",
                "Choices": [_is("$.error.Cause", "IsString", "Read", {"StringMatches": TASK_IN_CAUSE})],
                "Default": "NoResult",
            },
            "Read": _reading(),
            "ExitCode": {
                "Type": "Choice",
                "Choices": [
                    _is("$.read[0].codes[0]", "IsNumeric", "Ok", {"NumericEquals": 0}),
                    _is("$.read[0].codes[0]", "IsNumeric", "Failed"),
                    _is("$.read[0].reasons[0]", "IsString", "Stopped"),
                ],
                "Default": "NoResult",
            },
            "Ok": {"Type": "Pass", "Parameters": {"ok": True}, "End": True},
            "Failed": _failed("exit code {}", "$.read[0].codes[0]"),
            # For example, ECS could not pull the image.
            "Stopped": _failed("{}", said),
            "TooLong": _failed("it did not end within a day"),
            "NoResult": _failed("it gave no result ({})", "$.error.Error"),
        },
    }


def _failed(why: str, *values: str) -> Json:
    """The result of a cluster that failed: its name, and why."""
    text = f"States.Format('{{}}: {why}', {', '.join(['$.cluster', *values])})"
    return {"Type": "Pass", "Parameters": {"ok": False, "text.$": text}, "End": True}


def _reading() -> Json:
    """Reads a failed task from Cause, in a Parallel, so that text that is not JSON fails only its own cluster."""
    parse = {"task.$": "States.StringToJson($.error.Cause)"}
    # Only the task has a StoppedReason. A search for it is no error if it is missing.
    look = {
        "codes.$": f"$.task.Containers[?(@.Name == '{CONTAINER}')].ExitCode",
        "reasons.$": "$.task..StoppedReason",
    }
    return {
        "Type": "Parallel",
        "Branches": [
            {
                "StartAt": "Parse",
                "States": {
                    "Parse": {"Type": "Pass", "Parameters": parse, "Next": "Code"},
                    "Code": {"Type": "Pass", "Parameters": look, "End": True},
                },
            }
        ],
        "ResultPath": "$.read",
        "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.unreadable", "Next": "NoResult"}],
        "Next": "ExitCode",
    }


def _is(variable: str, kind: str, then: str, *further: Json) -> Json:
    """A rule of a Choice for a value that may be missing, or of another type."""
    tests: list[Json] = [{"IsPresent": True}, {kind: True}, *further]
    return {"And": [{"Variable": variable, **test} for test in tests], "Next": then}
