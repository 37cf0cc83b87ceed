"""The state machine that updates all clusters of an account and Region, in waves.

    Find   an updater task finds the clusters, divides them into waves, and returns their names
    Wave   a Map runs the updater's task for each cluster of a wave, with limited concurrency
    Judge  if too many clusters of a wave failed, no further wave starts
    Tell   one message with the result

Each cluster catches its own failure, so nothing depends on how a Map stops. The exit code of the updater's own
container decides whether it failed, because for Step Functions a sidecar's exit code fails a task, too.

`stacks/fleet.yaml` contains an exact copy of this definition; a test checks that they match.
"""

from __future__ import annotations

from typing import Any

CONTAINER = "updater"
DAY_SECONDS = 86_400
FIND_SECONDS = 1_800
APPROVE_SECONDS = 7 * DAY_SECONDS

Json = dict[str, Any]


def definition() -> Json:
    """The definition, with `${…}` for the stack's values: texts, and lists of security groups and subnets."""
    return {
        "Comment": "Runs the updater on all clusters of an account and Region, in waves.",
        "StartAt": "Find",
        "States": {**_find(), **_waves(), **_judge(), **_tell()},
    }


def _task(resource: str, command: list[str], environment: Json, **more: Any) -> Json:
    """One task of the updater."""
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
                    "Subnets": "${Subnets}",
                }
            },
            "Overrides": {
                "ContainerOverrides": [{"Name": CONTAINER, "Command": command, "Environment": variables}],
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
            Catch=failed,
            Next="Begin",
        ),
        "NotFound": {
            "Type": "Pass",
            "Parameters": {
                "failed": [],
                "done": 0,
                "why.$": "States.Format('The clusters were not found: {}', $.error.Error)",
            },
            "Next": "Tell",
        },
        "Begin": {
            "Type": "Pass",
            "Parameters": {
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
    kept = {"waves.$": "$.waves", "n.$": "$.n", "i.$": "$.i", "failed.$": "$.failed", "done.$": "$.done"}
    stopped = {"failed.$": "$.failed", "done.$": "$.done"}
    return {
        "More": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.i", "NumericLessThanPath": "$.n", "Next": "Take"}],
            "Default": "Ended",
        },
        "Take": {
            "Type": "Pass",
            "Parameters": {**kept, "wave.$": "States.ArrayGetItem($.waves, $.i)"},
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
                "Message.$": "States.Format('Wave {} of {} waits for you: {}. To let it begin: "
                "aws stepfunctions send-task-success --task-output true --task-token {}', "
                "States.MathAdd($.i, 1), $.n, States.JsonToString($.wave.clusters), $$.Task.Token)",
            },
            "TimeoutSeconds": APPROVE_SECONDS,
            "ResultPath": "$.approved",
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "NotApproved"}],
            "Next": "Wave",
        },
        "NotApproved": {
            "Type": "Pass",
            "Parameters": {
                **stopped,
                "why.$": "States.Format('Wave {} was not approved, and nothing after it was begun.', $.wave.number)",
            },
            "Next": "Tell",
        },
        "Wave": {
            "Type": "Map",
            "ItemsPath": "$.wave.clusters",
            "ItemSelector": {"cluster.$": "$$.Map.Item.Value"},
            "MaxConcurrencyPath": "$.wave.concurrency",
            "ItemProcessor": _one(),
            "ResultSelector": {
                "failed.$": "$[?(@.ok == false)]",
                "done.$": "States.ArrayLength($)",
            },
            "ResultPath": "$.result",
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Broken"}],
            "Next": "Count",
        },
        "Broken": {
            "Type": "Pass",
            "Parameters": {
                **stopped,
                "why.$": "States.Format('Wave {} could not be run: {}', $.wave.number, $.error.Error)",
            },
            "Next": "Tell",
        },
    }


def _one() -> Json:
    """One cluster."""
    caught = [
        {"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.error", "Next": "Said"},
        {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "NeverRan"},
    ]
    cluster = {"BOTTLEROCKET_ECS_UPDATER_CLUSTER.$": "$.cluster"}
    return {
        "ProcessorConfig": {"Mode": "INLINE"},
        "StartAt": "Run",
        "States": {
            "Run": _task(
                "runTask.sync",
                ["run"],
                cluster,
                TimeoutSeconds=DAY_SECONDS,
                ResultPath="$.ran",
                Catch=caught,
                Next="Well",
            ),
            "Said": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.error.Cause", "StringMatches": "{*", "Next": "Read"}],
                "Default": "NeverRan",
            },
            "Read": {
                "Type": "Pass",
                "Parameters": {
                    "cluster.$": "$.cluster",
                    "error.$": "$.error",
                    "task.$": "States.StringToJson($.error.Cause)",
                },
                "Next": "Code",
            },
            "Code": {
                "Type": "Pass",
                "Parameters": {
                    "cluster.$": "$.cluster",
                    "error.$": "$.error",
                    "codes.$": f"$.task.Containers[?(@.Name == '{CONTAINER}')].ExitCode",
                },
                "Next": "Whose",
            },
            "Whose": {
                "Type": "Choice",
                "Choices": [
                    {
                        "And": [
                            {"Variable": "$.codes[0]", "IsPresent": True},
                            {"Variable": "$.codes[0]", "NumericEquals": 0},
                        ],
                        "Next": "Well",
                    },
                    {"Variable": "$.codes[0]", "IsPresent": True, "Next": "Failed"},
                ],
                "Default": "NeverRan",
            },
            "Well": {"Type": "Pass", "Parameters": {"cluster.$": "$.cluster", "ok": True}, "End": True},
            "Failed": {
                "Type": "Pass",
                "Parameters": {
                    "cluster.$": "$.cluster",
                    "ok": False,
                    "why.$": "States.Format('exit code {}', $.codes[0])",
                },
                "End": True,
            },
            "NeverRan": {
                "Type": "Pass",
                "Parameters": {"cluster.$": "$.cluster", "ok": False, "why.$": "$.error.Error"},
                "End": True,
            },
        },
    }


def _judge() -> Json:
    kept = {"waves.$": "$.waves", "n.$": "$.n", "wave.$": "$.wave"}
    return {
        "Count": {
            "Type": "Pass",
            "Parameters": {
                **kept,
                "i.$": "States.MathAdd($.i, 1)",
                "done.$": "States.MathAdd($.done, $.result.done)",
                "here.$": "States.ArrayLength($.result.failed)",
                "both.$": "States.Array($.failed, $.result.failed)",
            },
            "Next": "Gather",
        },
        "Gather": {
            "Type": "Pass",
            "Parameters": {
                **kept,
                "i.$": "$.i",
                "done.$": "$.done",
                "here.$": "$.here",
                "failed.$": "$.both[*][*]",
            },
            "Next": "Judge",
        },
        "Judge": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.i", "NumericGreaterThanEqualsPath": "$.n", "Next": "Ended"},
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
                "why.$": "States.Format('Wave {} failed, and nothing after it was begun.', $.wave.number)",
            },
            "Next": "Tell",
        },
        "Ended": {
            "Type": "Pass",
            "Parameters": {"failed.$": "$.failed", "done.$": "$.done", "why": ""},
            "Next": "Tell",
        },
    }


def _tell() -> Json:
    return {
        "Tell": {
            "Type": "Task",
            "Resource": "arn:${Partition}:states:::sns:publish",
            "Parameters": {
                "TopicArn": "${Topic}",
                "Subject": "Bottlerocket updates of all clusters",
                "Message.$": "States.Format('{} clusters were run, {} of them failed. {} Failed: {}. "
                "All clusters on one page: ${Page}', "
                "$.done, States.ArrayLength($.failed), $.why, States.JsonToString($.failed))",
            },
            "ResultPath": "$.told",
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.told", "Next": "Verdict"}],
            "Next": "Verdict",
        },
        "Verdict": {
            "Type": "Choice",
            "Choices": [
                {"Not": {"Variable": "$.why", "StringEquals": ""}, "Next": "Fail"},
                {"Variable": "$.failed[0]", "IsPresent": True, "Next": "Fail"},
            ],
            "Default": "Succeed",
        },
        "Succeed": {"Type": "Succeed"},
        "Fail": {
            "Type": "Fail",
            "Error": "ClustersFailed",
            "Cause": "a cluster failed, or not all of them were begun; see the message, and the page of all clusters",
        },
    }
