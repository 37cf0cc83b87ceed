"""The state machine that updates all clusters of an account and Region, in waves.

    Network  the subnets of the tasks: those of the stack, or those with its tag
    Find     an updater task finds the clusters, divides them into waves, and returns their names
    Wave     a Map runs the updater's task for each cluster of a wave, with limited concurrency (see `one_cluster`)
    Decide   if too many clusters of a wave failed, no further wave starts
    Notify   one message with the result

An intrinsic or a path that fails is `States.Runtime`, and a state above 256 KiB is `States.DataLimitExceeded`: no
Catch of `States.ALL` takes these, and the execution fails without a message. So a Choice looks at a value before a
state reads it, and of each cluster that failed a short text is kept. Source: "Handling errors in Step Functions
workflows".

`stacks/fleet.yaml` contains an exact copy of this definition; a test checks that they match.
"""

from __future__ import annotations

from bottlerocket_ecs_updater.simulator.waves.one_cluster import RETRY_START, Json, for_one_cluster, updater_task

FIND_SECONDS = 900
"""A task on Fargate starts within two minutes, and lists thousands of clusters in less than one."""

DECLINED = "Declined"
"""The error with which a person declines a wave."""

AGAIN = [{"ErrorEquals": ["States.ALL"]}]
"""Up to three retries, after one, two and four seconds; for calls that are safe to repeat."""


def waves_definition(*, tagged: bool = False) -> Json:
    """The definition, with `${…}` for the stack's values: texts, and lists of security groups and subnets.

    `tagged` is for a stack that names a tag instead of subnets.
    """
    return {
        "Comment": "Runs the updater on all clusters of an account and Region, in waves.",
        "StartAt": "Network",
        "States": {**_network(tagged=tagged), **_find(), **_waves(), **_decide(), **_notify()},
    }


def _network(*, tagged: bool) -> Json:
    """Subnets differ from account to account; a tag can be the same in all of them."""
    given = {"Type": "Pass", "Parameters": {"subnets": "${Subnets}"}, "Next": "HasSubnets"}
    found = {
        "Type": "Task",
        "Resource": "arn:${Partition}:states:::aws-sdk:ec2:describeSubnets",
        "Parameters": {"Filters": [{"Name": "tag:${SubnetTagKey}", "Values": ["${SubnetTag}"]}]},
        # A task accepts at most 16.
        "ResultSelector": {"subnets.$": "$.Subnets[0:16].SubnetId"},
        "Retry": AGAIN,
        "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "NotListed"}],
        "Next": "HasSubnets",
    }
    why = "No subnet has the tag that the stack names, so nothing was started. "
    return {
        "Network": found if tagged else given,
        "HasSubnets": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.subnets[0]", "IsPresent": True, "Next": "Find"}],
            "Default": "NoSubnets",
        },
        "NoSubnets": {
            "Type": "Pass",
            "Parameters": {"failed": [], "done": 0, "ended": False, "why": why},
            "Next": "Report",
        },
    }


def _find() -> Json:
    token = {"WAVES_TASK_TOKEN.$": "$$.Task.Token"}
    failed = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "NotListed"}]
    return {
        "Find": updater_task(
            "runTask.waitForTaskToken",
            ["fleet", "waves"],
            token,
            TimeoutSeconds=FIND_SECONDS,
            ResultPath="$.found",
            Retry=RETRY_START,
            Catch=failed,
            Next="Begin",
        ),
        "NotListed": {
            "Type": "Pass",
            "Parameters": {
                "failed": [],
                "done": 0,
                "ended": False,
                # Include the cause, for example a denied action or a wrong setting.
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
            "Next": "WavesLeft",
        },
    }


def _waves() -> Json:
    run = {"i.$": "$.i", "failed.$": "$.failed", "done.$": "$.done"}
    kept = {"subnets.$": "$.subnets", "waves.$": "$.waves", "n.$": "$.n", **run}
    stopped = {"failed.$": "$.failed", "done.$": "$.done", "ended": False}
    return {
        "WavesLeft": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.waves[0]", "IsPresent": True, "Next": "NextWave"}],
            "Default": "Done",
        },
        "NextWave": {
            "Type": "Pass",
            # Each name is in the state only once, in its wave: a state has at most 256 KiB.
            "Parameters": {**kept, "waves.$": "$.waves[1:]", "wave.$": "$.waves[0]", "i.$": "States.MathAdd($.i, 1)"},
            "Next": "NeedsApproval",
        },
        "NeedsApproval": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.wave.approve", "BooleanEquals": True, "Next": "Approval"}],
            "Default": "Wave",
        },
        "Approval": {
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
                # A declined or unanswered request is not a failure.
                {"ErrorEquals": ["States.Timeout", DECLINED], "ResultPath": "$.error", "Next": "NotApproved"},
                {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "NotSent"},
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
        "NotSent": {
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
            "ItemProcessor": for_one_cluster(),
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


def _decide() -> Json:
    kept = {"subnets.$": "$.subnets", "waves.$": "$.waves", "n.$": "$.n", "wave.$": "$.wave"}
    return {
        "Count": {
            "Type": "Pass",
            "Parameters": {
                **kept,
                "i.$": "$.i",
                "done.$": "States.MathAdd($.done, $.result.done)",
                "here.$": "States.ArrayLength($.result.failed)",
                # The failed clusters of earlier waves and of this one.
                "failed.$": "$..failed[*]",
            },
            "Next": "Decide",
        },
        "Decide": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.waves[0]", "IsPresent": False, "Next": "Done"},
                {"Variable": "$.here", "NumericGreaterThanEqualsPath": "$.wave.stop_after", "Next": "Stop"},
                {"Variable": "$.wave.bake", "NumericGreaterThan": 0, "Next": "Bake"},
            ],
            "Default": "WavesLeft",
        },
        "Bake": {"Type": "Wait", "SecondsPath": "$.wave.bake", "Next": "WavesLeft"},
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
        "Done": {
            "Type": "Pass",
            "Parameters": {"failed.$": "$.failed", "done.$": "$.done", "ended": True, "why": ""},
            "Next": "Report",
        },
    }


def _notify() -> Json:
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
            "Next": "Notify",
        },
        "NoneFailed": {
            "Type": "Pass",
            "Parameters": {
                **kept,
                "message.$": "States.Format('${Where}. Clusters run: {}. None failed. {}"
                "All clusters on one page: ${Page}', $.done, $.why)",
            },
            "Next": "Notify",
        },
        "Notify": {
            "Type": "Task",
            "Resource": "arn:${Partition}:states:::sns:publish",
            "Parameters": {
                "TopicArn": "${Topic}",
                "Subject": "Bottlerocket updates of all clusters",
                "Message.$": "$.message",
            },
            "ResultPath": "$.notified",
            "Retry": AGAIN,
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.notified", "Next": "Outcome"}],
            "Next": "Outcome",
        },
        "Outcome": {
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
