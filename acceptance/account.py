"""The tested account: calls, stacks, tasks, logs and waits, on AWS or at AWS_ENDPOINT_URL."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

from acceptance.result import Wrong

TAG = "bottlerocket-ecs-updater-acceptance"
"""The tag of everything that is created; `make acceptance-clean` finds leftovers by it."""

ENDED = ("_COMPLETE", "_FAILED")
LEAST_WAIT = timedelta(seconds=45)
"""In real time, whatever the speed of a simulated world."""

PLAIN_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")

DELETIONS = 3
"""Attempts to delete a stack: a cluster can only be deleted some time after its last instance is gone."""

EVIDENCE = frozenset(
    {
        "CreateStack",
        "PutAttributes",
        "RunTask",
        "SendCommand",
        "StopTask",
        "TerminateInstanceInAutoScalingGroup",
        "UpdateContainerInstancesState",
        "UpdateStack",
    }
)
"""Operations that change something: the page lists their request ids, which are also in CloudTrail."""

DENIED = ("AccessDenied", "Unauthorized")
"""Prefixes of the error codes of denials, after "Client." in EC2."""


@dataclass(frozen=True)
class Ran:
    """A task of the updater that ended."""

    task: str
    lines: tuple[str, ...]
    stopped: str

    @property
    def finished(self) -> Mapping[str, Any]:
        """The run's last line; empty if there is none."""
        return next((line for line in reversed(self.log) if line.get("event") == "run.finished"), {})

    @property
    def log(self) -> list[Mapping[str, Any]]:
        """The lines of the log that are JSON."""
        found = []
        for line in self.lines:
            with suppress(ValueError):
                found.append(json.loads(line))
        return [line for line in found if isinstance(line, dict)]

    @property
    def denied(self) -> list[str]:
        """The denials in the log."""
        return [line for line in self.lines if "AccessDenied" in line or "not authorized" in line]


def denied_calls(events: Iterable[str], of: str) -> list[str]:
    """The denied calls in CloudTrail records with a stack's name in the caller's ARN: each action with its count."""
    seen: Counter[str] = Counter()
    for event in map(json.loads, events):
        code = str(event.get("errorCode", "")).removeprefix("Client.")
        if code.startswith(DENIED) and of in json.dumps(event.get("userIdentity", {})):
            service = str(event.get("eventSource", "")).partition(".")[0]
            seen[f"{service}:{event.get('eventName')}: {event.get('errorMessage', code)}"] += 1
    return [f"{what} ({count} times)" if count > 1 else what for what, count in sorted(seen.items())]


@dataclass
class Account:
    """Clients of one Region. `speed` is the speed of its world; 1 on AWS."""

    region: str
    endpoint: str | None = None
    keys: Mapping[str, Any] = field(default_factory=dict)
    speed: float = 1.0
    evidence: list[tuple[str, str]] = field(default_factory=list)
    """Changes since this was last emptied: each operation with its request id."""
    _made: dict[str, Any] = field(default_factory=dict)
    _ends: float | None = None

    def client(self, service: str) -> Any:
        """A client, created once."""
        if service not in self._made:
            # Hours of polling include throttling, and a lost connection or two.
            config = Config(retries={"mode": "standard", "total_max_attempts": 10})
            client = Session().create_client(
                service, region_name=self.region, endpoint_url=self.endpoint, config=config, **self.keys
            )
            client.meta.events.register("after-call", self._heard)
            self._made[service] = client
        return self._made[service]

    def _heard(self, model: Any, parsed: Mapping[str, Any], **_: object) -> None:
        if model.name in EVIDENCE:
            self.evidence.append((model.name, str(parsed.get("ResponseMetadata", {}).get("RequestId", "unknown"))))

    def limit(self, at_most: timedelta | None) -> None:
        """Limit the total time of all waits from now on; None removes the limit."""
        self._ends = None if at_most is None else time.monotonic() + at_most.total_seconds()

    def wait(self, what: str, happened: Callable[[], Any], at_most: timedelta) -> Any:
        """Repeat until there is an answer, and return it. Raises Wrong when the time is over."""
        end = time.monotonic() + max(at_most / self.speed, LEAST_WAIT).total_seconds()
        while not (found := happened()):
            if self._ends is not None and time.monotonic() > self._ends:
                raise Wrong(f"the time limit of the check passed while it waited for {what}")
            if time.monotonic() > end:
                raise Wrong(f"{what} did not happen within {at_most}")
            time.sleep(0.3 if self.speed > 1 else 5)  # noqa: TID251 - not the program itself
        return found

    def pass_time(self, time_: timedelta) -> None:
        """Wait for that long, by the world's clock."""
        time.sleep(time_ / self.speed / timedelta(seconds=1))  # noqa: TID251 - not the program itself

    def key(self) -> str:
        """The ARN of a KMS key with our tag: that of an earlier check, or a new one."""
        kms = self.client("kms")
        for arn in self._with_tag("kms"):
            if kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Enabled":
                return arn
        tags = [{"TagKey": TAG, "TagValue": "yes"}]
        return str(kms.create_key(Description="acceptance of the updater", Tags=tags)["KeyMetadata"]["Arn"])

    def delete_keys(self) -> list[str]:
        """Schedule the deletion of our keys, after the shortest time that KMS allows: a week."""
        kms, found = self.client("kms"), []
        for arn in self._with_tag("kms"):
            with suppress(ClientError):
                kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
                found.append(arn)
        return found

    # Stacks

    def deploy(self, stack: str, template: str, **parameters: str) -> str:
        """Create or update a stack; returns its final status. Raises ClientError if AWS rejects it."""
        client = self.client("cloudformation")
        known = self.stack(stack)
        request = {
            "StackName": stack,
            "TemplateBody": template,
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            "Tags": [{"Key": TAG, "Value": "yes"}],
        }
        try:
            client.update_stack(**request) if known else client.create_stack(**request)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
        return str(self.wait(f"the stack {stack}", lambda: self._ended(stack), timedelta(minutes=20)))

    def _ended(self, stack: str) -> str:
        status = str((self.stack(stack) or {}).get("StackStatus", "DELETE_COMPLETE"))
        return status if status.endswith(ENDED) and "IN_PROGRESS" not in status else ""

    def stack(self, name: str) -> Mapping[str, Any] | None:
        """A stack as described; None if it does not exist. Raises ClientError if AWS does not say."""
        try:
            [found] = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            # Expired credentials must not look like a deleted stack.
            if "does not exist" not in str(error):
                raise
            return None
        return dict(found)

    def outputs(self, stack: str) -> dict[str, str]:
        """The outputs of a stack."""
        return {each["OutputKey"]: each["OutputValue"] for each in (self.stack(stack) or {}).get("Outputs", ())}

    def resource(self, stack: str, logical_id: str) -> str:
        """The physical id of a resource; empty if it does not exist."""
        found = self.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        return next((each["PhysicalResourceId"] for each in found if each["LogicalResourceId"] == logical_id), "")

    def delete_stack(self, stack: str) -> None:
        """Delete a stack and its bucket, and wait for it."""
        known = self.stack(stack)
        bucket = self.resource(stack, "StateBucket") if known else ""
        if known and known["StackStatus"].endswith("_IN_PROGRESS") and known["StackStatus"] != "CREATE_IN_PROGRESS":
            # CloudFormation does not delete a stack during its update, or during a rollback.
            self.wait(f"the end of what {stack} does", lambda: self._ended(stack), timedelta(minutes=20))
        for _ in range(DELETIONS):
            self.client("cloudformation").delete_stack(StackName=stack)
            self.wait(f"the deletion of {stack}", lambda: self._deleted(stack), timedelta(minutes=20))
            if self.gone(stack):
                break
        if bucket:
            self.empty(bucket)

    def _deleted(self, stack: str) -> bool:
        return self.gone(stack) or (self.stack(stack) or {}).get("StackStatus") == "DELETE_FAILED"

    def gone(self, stack: str) -> bool:
        """Whether a stack is deleted."""
        return bool((self.stack(stack) or {}).get("StackStatus", "DELETE_COMPLETE") == "DELETE_COMPLETE")

    def stacks_with_tag(self) -> list[str]:
        """The names of all stacks with our tag."""
        pages = self.client("cloudformation").get_paginator("describe_stacks").paginate()
        stacks = [stack for page in pages for stack in page["Stacks"]]
        return [stack["StackName"] for stack in stacks if any(tag["Key"] == TAG for tag in stack.get("Tags", ()))]

    def buckets_with_tag(self) -> list[str]:
        """The names of all buckets with our tag, which CloudFormation passes on to them. Stacks leave theirs behind."""
        return [arn.rsplit(":", 1)[-1] for arn in self._with_tag("s3")]

    def _with_tag(self, service: str) -> list[str]:
        asked = {"TagFilters": [{"Key": TAG}], "ResourceTypeFilters": [service]}
        pages = self.client("resourcegroupstaggingapi").get_paginator("get_resources").paginate(**asked)
        return [each["ResourceARN"] for page in pages for each in page["ResourceTagMappingList"]]

    def empty(self, bucket: str) -> None:
        """Delete a bucket with all versions of its objects."""
        s3 = self.client("s3")
        with suppress(ClientError):
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
                for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                    s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])
            s3.delete_bucket(Bucket=bucket)

    # Tasks

    def start(self, cluster: str, stack: str, subnets: str, **more: Any) -> str:
        """Start the updater of a stack; returns the task's ARN."""
        network = {"subnets": subnets.split(","), "assignPublicIp": more.pop("public", "DISABLED")}
        reply = self.client("ecs").run_task(
            cluster=cluster,
            launchType="FARGATE",
            taskDefinition=self.outputs(stack)["UpdaterTaskDefinitionArn"],
            networkConfiguration={"awsvpcConfiguration": network},
            **more,
        )
        if not reply["tasks"]:
            raise Wrong(f"the task did not start: {reply.get('failures')}")
        return str(reply["tasks"][0]["taskArn"])

    def ended(self, cluster: str, task: str, group: str, at_most: timedelta = timedelta(hours=2)) -> Ran:
        """A task that has stopped, with its log."""

        def stopped() -> Any:
            [shape] = self.client("ecs").describe_tasks(cluster=cluster, tasks=[task])["tasks"]
            return shape if shape["lastStatus"] == "STOPPED" else None

        shape = self.wait(f"the end of {task}", stopped, at_most)
        return Ran(task, tuple(self.log(group, task.rsplit("/", 1)[-1])), shape.get("stoppedReason", ""))

    def log(self, group: str, of: str) -> Iterator[str]:
        """The lines of a task's stream."""
        logs = self.client("logs")
        with suppress(ClientError):
            for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
                if not stream["logStreamName"].endswith(of):
                    continue
                token: dict[str, str] = {}
                while True:
                    reply = logs.get_log_events(
                        logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True, **token
                    )
                    yield from (event["message"] for event in reply["events"])
                    if reply.get("nextForwardToken") == token.get("nextToken") or not reply["events"]:
                        break
                    token = {"nextToken": reply["nextForwardToken"]}

    def stop_tasks(self, stack: str) -> list[str]:
        """Stop the updater tasks of a stack, which a killed acceptance run leaves running, and wait for their end."""
        given = {
            each["ParameterKey"]: each["ParameterValue"] for each in (self.stack(stack) or {}).get("Parameters", ())
        }
        definition = self.outputs(stack).get("UpdaterTaskDefinitionArn")
        if definition is None:
            return []
        return self.stop(given["ClusterName"], family=definition.rsplit("/", 1)[-1].split(":")[0])

    def stop(self, cluster: str, **which: str) -> list[str]:
        """Stop the tasks of a cluster and wait for their end; returns their ids. None if the cluster does not exist."""
        ecs = self.client("ecs")

        def running() -> list[str]:
            with suppress(ecs.exceptions.ClusterNotFoundException):
                return list(ecs.list_tasks(cluster=cluster, **which)["taskArns"])
            return []

        tasks = running()
        for task in tasks:
            with suppress(ClientError):
                ecs.stop_task(cluster=cluster, task=task, reason="acceptance is cleaned up")
        self.wait("the end of the tasks", lambda: not running(), timedelta(minutes=5))
        return [task.rsplit("/", 1)[-1] for task in tasks]

    def denials(self, since: datetime, of: str) -> list[str]:
        """The denied calls of a stack's roles in CloudTrail; events arrive up to a quarter of an hour late."""
        pages = self.client("cloudtrail").get_paginator("lookup_events").paginate(StartTime=since)
        return denied_calls((event["CloudTrailEvent"] for page in pages for event in page["Events"]), of)

    # Container instances

    def instances(self, cluster: str) -> list[Mapping[str, Any]]:
        """All container instances, described."""
        ecs = self.client("ecs")
        arns = ecs.list_container_instances(cluster=cluster)["containerInstanceArns"]
        arns += ecs.list_container_instances(cluster=cluster, status="DRAINING")["containerInstanceArns"]
        return (
            list(
                ecs.describe_container_instances(cluster=cluster, containerInstances=sorted(set(arns)))[
                    "containerInstances"
                ]
            )
            if arns
            else []
        )

    def third_newest(self, folder: str) -> str:
        """The third newest version in a folder of public parameters. Raises Wrong if there are fewer."""
        pages = self.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=folder, Recursive=True)
        names = {
            each["Name"].removeprefix(folder).strip("/").split("/")[0] for page in pages for each in page["Parameters"]
        }
        versions = sorted(
            (name for name in names if PLAIN_VERSION.fullmatch(name)),
            key=lambda name: [int(part) for part in name.split(".")],
        )
        if len(versions) < 3:
            raise Wrong(f"{folder} names {len(versions)} versions: say which one hosts start with, by --version")
        return str(versions[-3])

    def check(self, stack: str, instance: str) -> str:
        """The output of a stack's check document on a host: its boot id, and its update status."""
        return self.command(self.resource(stack, "UpdateCheckCommand"), instance)

    def command(self, document: str, instance: str) -> str:
        """Run a document on a host; returns its output."""
        ssm = self.client("ssm")
        sent = ssm.send_command(DocumentName=document, InstanceIds=[instance])["Command"]["CommandId"]

        def answer() -> Any:
            with suppress(ClientError):
                found = ssm.get_command_invocation(CommandId=sent, InstanceId=instance)
                return found if found["Status"] not in ("Pending", "InProgress", "Delayed") else None
            return None

        found = self.wait(f"the answer of {instance}", answer, timedelta(minutes=5))
        return str(found["StandardOutputContent"])
