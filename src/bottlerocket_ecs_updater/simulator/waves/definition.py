"""The state machine that updates all clusters of an account and Region, in waves.

    Network the subnets of the tasks: those of the stack, or those with its tag
    Find   an updater task finds the clusters, divides them into waves, and returns their names
    Wave   a Map runs the updater's task for each cluster of a wave, with limited concurrency
    Judge  if too many clusters of a wave failed, no further wave starts
    Tell   one message with the result

Each cluster catches its own failure, so nothing depends on how a Map stops: an error that a Map's item does not catch
stops the tasks of its other items. The exit code of the updater's own container decides whether it failed, because for
Step Functions a sidecar's exit code fails a task, too.

An intrinsic or a path that fails is `States.Runtime`, and a state above 256 KiB is `States.DataLimitExceeded`: no
Catch of `States.ALL` takes these, and the execution fails without a message. So a Choice looks at a value before a
state reads it, and of each cluster that failed a short text is kept. Source: "Handling errors in Step Functions
workflows".

`stacks/fleet.yaml` contains an exact copy of this definition; a test checks that they match.
"""

from __future__ import annotations

from typing import Any

from bottlerocket_ecs_updater.core.model.time_text import DAY_SECONDS

CONTAINER = "updater"
FIND_SECONDS = 900
"""A task on Fargate starts within two minutes, and thousands of clusters are found in less than one."""

DECLINED = "Declined"
"""The error with which a person declines a wave."""

START_ERRORS = ["AmazonECS.Unknown", "ECS.AmazonECSException", "ECS.ServerException", "ECS.ThrottlingException"]
"""Errors of RunTask that pass: no capacity, too many requests. The lease keeps a task that did start alone."""

RETRIES_MAX = 4
"""Each try adds three events to the history, which has a limit."""

RETRY_START = [
    {
        "ErrorEquals": START_ERRORS,
        "IntervalSeconds": 15,
        "MaxAttempts": RETRIES_MAX,
        # So that tasks that were throttled together are not started together again.
        "JitterStrategy": "FULL",
    }
]

AGAIN = [{"ErrorEquals": ["States.ALL"]}]
"""Up to three more tries, a second later and then twice as late each; for calls that are safe to repeat."""

TASK_IN_CAUSE = '{*"Containers":*[*{*}'
"""Cause of a task that ended: the task, as JSON. It has other forms where Step Functions itself has a word to say."""

Json = dict[str, Any]


def waves_definition(*, tagged: bool = False) -> Json:
    """The definition, with `${…}` for the stack's values: texts, and lists of security groups and subnets.

    `tagged` is for a stack that names a tag instead of subnets.
    """
    return {
        "Comment": "Runs the updater on all clusters of an account and Region, in waves.",
        "StartAt": "Network",
        "States": {**_network(tagged=tagged), **_find(), **_waves(), **_judge(), **_tell()},
    }


def _network(*, tagged: bool) -> Json:
    """Subnets differ from account to account; a tag can be the same in all of them."""
    given = {"Type": "Pass", "Parameters": {"subnets": "${Subnets}"}, "Next": "Placed"}
    found = {
        "Type": "Task",
        "Resource": "arn:${Partition}:states:::aws-sdk:ec2:describeSubnets",
        "Parameters": {"Filters": [{"Name": "tag:${SubnetTagKey}", "Values": ["${SubnetTag}"]}]},
        # No more than a task takes.
        "ResultSelector": {"subnets.$": "$.Subnets[0:16].SubnetId"},
        "Retry": AGAIN,
        "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "NotFound"}],
        "Next": "Placed",
    }
    why = "No subnet has the tag that the stack names, so nothing was started. "
    return {
        "Network": found if tagged else given,
        "Placed": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.subnets[0]", "IsPresent": True, "Next": "Find"}],
            "Default": "NotPlaced",
        },
        "NotPlaced": {
            "Type": "Pass",
            "Parameters": {"failed": [], "done": 0, "ended": False, "why": why},
            "Next": "Report",
        },
    }


def _task(resource: str, command: list[str] | str, environment: Json, **more: Any) -> Json:
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


def _find() -> Json:
    token = {"WAVES_TASK_TOKEN.$": "$$.Task.Token"}
    failed = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "NotFound"}]
    return {
        "Find": _task(
            "runTask.waitForTaskToken",
            ["fleet", "waves"],
            token,
            TimeoutSeconds=FIND_SECONDS,
            ResultPath="$.found",
            Retry=RETRY_START,
            Catch=failed,
            Next="Begin",
        ),
        "NotFound": {
            "Type": "Pass",
            "Parameters": {
                "failed": [],
                "done": 0,
                "ended": False,
                # With its cause: an action that is denied, or a setting that is wrong.
                "why.$": "States.Format('The clusters could not be listed: {} See the log of the task, or ECS. ', "
                "States.JsonToString($.error))",
            },
            "Next": "Report",
        },
        "Begin": {
            "Type": "Pass",
            "Parameters": {
                "subnets.$": "$.subnets",
                "waves.$": "$.found.waves",
                "n.$": "States.ArrayLength($.found.waves)",
                "i": 0,
                "failed": [],
                "done": 0,
            },
            "Next": "More",
        },
    }


def _waves() -> Json:
    run = {"i.$": "$.i", "failed.$": "$.failed", "done.$": "$.done"}
    kept = {"subnets.$": "$.subnets", "waves.$": "$.waves", "n.$": "$.n", **run}
    stopped = {"failed.$": "$.failed", "done.$": "$.done", "ended": False}
    return {
        "More": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.waves[0]", "IsPresent": True, "Next": "Take"}],
            "Default": "Ended",
        },
        "Take": {
            "Type": "Pass",
            # Each name is carried once, by its wave: a state takes 256 KiB.
            "Parameters": {**kept, "waves.$": "$.waves[1:]", "wave.$": "$.waves[0]", "i.$": "States.MathAdd($.i, 1)"},
            "Next": "MustAsk",
        },
        "MustAsk": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.wave.approve", "BooleanEquals": True, "Next": "Ask"}],
            "Default": "Wave",
        },
        "Ask": {
            "Type": "Task",
            "Resource": "arn:${Partition}:states:::sns:publish.waitForTaskToken",
            "Parameters": {
                "TopicArn": "${Topic}",
                "Subject": "Bottlerocket updates: approve the next wave?",
                "Message.$": "States.Format('${Where}: wave {} of {} waits for approval: {}. To start it: "
                "aws stepfunctions send-task-success --region ${Region} --task-output true --task-token {} "
                "To decline it, use send-task-failure --error Declined with the same token.', "
                "$.i, $.n, States.JsonToString($.wave.clusters), $$.Task.Token)",
            },
            "TimeoutSecondsPath": "$.wave.approve_within",
            "ResultPath": "$.approved",
            "Catch": [
                # What a person declines, or leaves unanswered, is not a failure.
                {"ErrorEquals": ["States.Timeout", DECLINED], "ResultPath": "$.error", "Next": "NotApproved"},
                {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "NotAsked"},
            ],
            "Next": "Wave",
        },
        "NotApproved": {
            "Type": "Pass",
            "Parameters": {
                **stopped,
                "ended": True,
                "why.$": "States.Format('Wave {} was not approved, so it and those after it were not started. ', "
                "$.wave.number)",
            },
            "Next": "Report",
        },
        "NotAsked": {
            "Type": "Pass",
            "Parameters": {
                **stopped,
                "why.$": "States.Format('The request to approve wave {} could not be sent: {}. ', "
                "$.wave.number, $.error.Error)",
            },
            "Next": "Report",
        },
        "Wave": {
            "Type": "Map",
            "ItemsPath": "$.wave.clusters",
            "ItemSelector": {
                "cluster.$": "$$.Map.Item.Value",
                "subnets.$": "$.subnets",
                "command.$": "$.wave.command",
            },
            "MaxConcurrencyPath": "$.wave.concurrency",
            "ItemProcessor": _one(),
            "ResultSelector": {
                "failed.$": "$[?(@.ok == false)].text",
                "done.$": "States.ArrayLength($)",
            },
            "ResultPath": "$.result",
            "Catch": [
                {"ErrorEquals": [error], "ResultPath": "$.error", "Next": "Broken"}
                for error in ("States.DataLimitExceeded", "States.ALL")
            ],
            "Next": "Count",
        },
        "Broken": {
            "Type": "Pass",
            "Parameters": {
                **stopped,
                "why.$": "States.Format('Wave {} could not be run: {}. ', $.wave.number, $.error.Error)",
            },
            "Next": "Report",
        },
    }


def _one() -> Json:
    """One cluster."""
    caught = [
        {"ErrorEquals": [error], "ResultPath": "$.error", "Next": then}
        for error, then in (("States.TaskFailed", "Cause"), ("States.Timeout", "TooLong"), ("States.ALL", "NoResult"))
    ]
    cluster = {"BOTTLEROCKET_ECS_UPDATER_CLUSTER.$": "$.cluster"}
    # What ECS says is cut at its first colon, such as "CannotPullContainerError: pull image …": it may be long.
    said = "States.ArrayGetItem(States.StringSplit(States.Format('{}: ', $.read[0].reasons[0]), ':'), 0)"
    return {
        "ProcessorConfig": {"Mode": "INLINE"},
        "StartAt": "Run",
        "States": {
            "Run": _task(
                "runTask.sync",
                "$.command",
                cluster,
                TimeoutSeconds=DAY_SECONDS,
                ResultPath="$.ran",
                Retry=RETRY_START,
                Catch=caught,
                Next="Well",
            ),
            "Cause": {
                "Type": "Choice",
                "Choices": [_is("$.error.Cause", "IsString", "Read", {"StringMatches": TASK_IN_CAUSE})],
                "Default": "NoResult",
            },
            "Read": _reading(),
            "Whose": {
                "Type": "Choice",
                "Choices": [
                    _is("$.read[0].codes[0]", "IsNumeric", "Well", {"NumericEquals": 0}),
                    _is("$.read[0].codes[0]", "IsNumeric", "Failed"),
                    _is("$.read[0].reasons[0]", "IsString", "Stopped"),
                ],
                "Default": "NoResult",
            },
            "Well": {"Type": "Pass", "Parameters": {"ok": True}, "End": True},
            "Failed": _failed("exit code {}", "$.read[0].codes[0]"),
            # Such as an image that could not be pulled.
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
    """Reads a failed task from Cause, in a Parallel, so that what is no JSON after all fails its own cluster only."""
    parse = {"task.$": "States.StringToJson($.error.Cause)"}
    # A task has a StoppedReason of its own only; as a search it is no error where there is none.
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
        "Next": "Whose",
    }


def _is(variable: str, kind: str, then: str, *further: Json) -> Json:
    """A rule of a Choice for a value that may be missing, or of another type."""
    tests: list[Json] = [{"IsPresent": True}, {kind: True}, *further]
    return {"And": [{"Variable": variable, **test} for test in tests], "Next": then}


def _judge() -> Json:
    kept = {"subnets.$": "$.subnets", "waves.$": "$.waves", "n.$": "$.n", "wave.$": "$.wave"}
    return {
        "Count": {
            "Type": "Pass",
            "Parameters": {
                **kept,
                "i.$": "$.i",
                "done.$": "States.MathAdd($.done, $.result.done)",
                "here.$": "States.ArrayLength($.result.failed)",
                # Those of earlier waves, and those of this one.
                "failed.$": "$..failed[*]",
            },
            "Next": "Judge",
        },
        "Judge": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.waves[0]", "IsPresent": False, "Next": "Ended"},
                {"Variable": "$.here", "NumericGreaterThanEqualsPath": "$.wave.stop_after", "Next": "Stop"},
                {"Variable": "$.wave.bake", "NumericGreaterThan": 0, "Next": "Bake"},
            ],
            "Default": "More",
        },
        "Bake": {"Type": "Wait", "SecondsPath": "$.wave.bake", "Next": "More"},
        "Stop": {
            "Type": "Pass",
            "Parameters": {
                "failed.$": "$.failed",
                "done.$": "$.done",
                "ended": False,
                "why.$": "States.Format('Wave {} failed, so those after it were not started. ', $.wave.number)",
            },
            "Next": "Report",
        },
        "Ended": {
            "Type": "Pass",
            "Parameters": {"failed.$": "$.failed", "done.$": "$.done", "ended": True, "why": ""},
            "Next": "Report",
        },
    }


def _tell() -> Json:
    kept = {"failures.$": "States.ArrayLength($.failed)", "ended.$": "$.ended"}
    return {
        "Report": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.failed[0]", "IsPresent": True, "Next": "SomeFailed"}],
            "Default": "NoneFailed",
        },
        "SomeFailed": {
            "Type": "Pass",
            "Parameters": {
                **kept,
                "message.$": "States.Format('${Where}. Clusters run: {}. Failed: {}. {} {}"
                "Exit codes: 1 could not run, 2 wrong settings, 3 an update failed or none could start, 4 halted. "
                "All clusters on one page: ${Page}', "
                "$.done, States.ArrayLength($.failed), States.JsonToString($.failed), $.why)",
            },
            "Next": "Tell",
        },
        "NoneFailed": {
            "Type": "Pass",
            "Parameters": {
                **kept,
                "message.$": "States.Format('${Where}. Clusters run: {}. None failed. {}"
                "All clusters on one page: ${Page}', $.done, $.why)",
            },
            "Next": "Tell",
        },
        "Tell": {
            "Type": "Task",
            "Resource": "arn:${Partition}:states:::sns:publish",
            "Parameters": {
                "TopicArn": "${Topic}",
                "Subject": "Bottlerocket updates of all clusters",
                "Message.$": "$.message",
            },
            "ResultPath": "$.told",
            "Retry": AGAIN,
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.told", "Next": "Verdict"}],
            "Next": "Verdict",
        },
        "Verdict": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.ended", "BooleanEquals": False, "Next": "Fail"},
                {"Variable": "$.failures", "NumericGreaterThan": 0, "Next": "Fail"},
            ],
            "Default": "Succeed",
        },
        "Succeed": {"Type": "Succeed"},
        "Fail": {
            "Type": "Fail",
            "Error": "ClustersFailed",
            "Cause": "a cluster failed, or not all of them were started; see the message, and the page of all clusters",
        },
    }
