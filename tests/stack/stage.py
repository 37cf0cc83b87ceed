"""Shared by tests of the stack: the template, deployed or only rendered, and runs under its policies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from tests.account.cloudformation import CloudFormation
from tests.account.cloudformation.stack import Stack
from tests.account.iam import Caller, Gate, Policy, Refusal
from tests.support.simulated import DOCUMENTS as STANDARD
from tests.support.simulated import EngineClock, Updater

from bottlerocket_ecs_updater.aws.s3_store import S3Store
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.core.model.event import RunFinished
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.rules.policy import Policy as RunPolicy
from bottlerocket_ecs_updater.engine.lease.store_lease import StoreLease, lease_key
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger
from bottlerocket_ecs_updater.errors import Denied
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.names import Names
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.services.documents import APPLY, CHECK, REBOOT
from bottlerocket_ecs_updater.simulator.world.world import World

TEMPLATE = Path(__file__).parents[2] / "stacks" / "bottlerocket-ecs-updater.yaml"
REQUIRED = {"ClusterName": "demo", "Subnets": "subnet-1,subnet-2", "LogGroupName": "/updater"}
OURS = {"UpdaterImage": f"registry.example/updater@sha256:{'1' * 64}", "AnyInstance": "ENABLED"}
"""Other values that the template of the tree requires; any choice of a person will do."""
STACK = "updater"
UPDATER, OPERATOR = "updater", "operator"

DEFAULTS = RunPolicy()
DOCUMENTS = {"UpdateCheckCommand": CHECK, "UpdateApplyCommand": APPLY, "RebootCommand": REBOOT}


@dataclass
class PaperCloud:
    """Services that accept every request and keep it in a list."""

    names: Names
    requests: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    refuse: str = ""
    """An operation that fails."""

    def __call__(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == self.refuse:
            raise AwsError("ServiceUnavailable", "not today", 503)
        self.requests.append((service, operation, request))
        name = str(next((request[key] for key in ("RoleName", "Name", "QueueName", "family") if key in request), ""))
        role = f"arn:{self.names.partition}:iam::{self.names.account}:role{request.get('Path', '/')}{name}"
        answers: dict[str, dict[str, Any]] = {
            "CreateRole": {"Role": {"Arn": role, "RoleId": "AROA"}},
            "PutRule": {"RuleArn": self.names.arn("events", f"rule/{name}")},
            "CreateSchedule": {"ScheduleArn": self.names.arn("scheduler", f"schedule/default/{name}")},
            "CreateTopic": {"TopicArn": self.names.arn("sns", name)},
            "CreateQueue": {"QueueUrl": f"https://sqs/{name}"},
            "Subscribe": {"SubscriptionArn": self.names.arn("sns", "topic:1")},
            "RegisterTaskDefinition": {
                "taskDefinition": {"taskDefinitionArn": self.names.ecs("task-definition", f"{name}:{self._revision()}")}
            },
        }
        return answers.get(operation, {})

    def of(self, operation: str) -> list[dict[str, Any]]:
        """The requests of one operation."""
        return [request for _, asked, request in self.requests if asked == operation]

    def _revision(self) -> int:
        return len(self.of("RegisterTaskDefinition"))


@dataclass
class Paper:
    """CloudFormation over services that only record requests."""

    names: Names = field(default_factory=Names)

    def __post_init__(self) -> None:
        self.cloud = PaperCloud(self.names)
        self.service = CloudFormation(self.names, self.cloud, lambda: datetime(2026, 1, 5, tzinfo=UTC))

    def deploy(self, template: str | None = None, /, **parameters: str) -> Stack:
        """Create or update the stack, with the required parameters, our choices, and these."""
        known = self.service.describe_stacks({})["Stacks"]
        operation = self.service.update_stack if known else self.service.create_stack
        body = TEMPLATE.read_text() if template is None else template
        operation(
            {
                "StackName": STACK,
                "TemplateBody": body,
                "Capabilities": ["CAPABILITY_NAMED_IAM"],
                "Parameters": [
                    {"ParameterKey": name, "ParameterValue": value} for name, value in given(body, parameters).items()
                ],
            }
        )
        stack = self.service._find(STACK)
        assert stack is not None
        return stack

    def deploy_only(self, template: str) -> Stack:
        """Create a stack from a template without parameters."""
        self.service.create_stack({"StackName": STACK, "TemplateBody": template})
        stack = self.service._find(STACK)
        assert stack is not None
        return stack


def given(template: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """The required parameters and these; for our own template, also its other required values."""
    return {**REQUIRED, **(OURS if "  AnyInstance: " in template else {}), **parameters}


def deployed(names: Names | None = None, /, **parameters: str) -> Stack:
    """The stack after one deployment."""
    stack = Paper(names or Names()).deploy(**parameters)
    assert stack.status == "CREATE_COMPLETE", [event.reason for event in stack.events if event.reason]
    return stack


def properties(stack: Stack, logical_id: str) -> Mapping[str, Any]:
    """A resource's properties, resolved."""
    return stack.holdings[logical_id].properties


def statements(stack: Stack, role: str) -> Iterator[dict[str, Any]]:
    """All statements of a role's policies."""
    for policy in properties(stack, role)["Policies"]:
        yield from policy["PolicyDocument"]["Statement"]


def several(value: str | list[str]) -> list[str]:
    """One value or a list, as policies write them."""
    return [value] if isinstance(value, str) else value


def policy_of(stack: Stack, role: str, *, without: str = "", without_action: str = "") -> Policy:
    """A role's policies as one, with the names of the world's documents.

    A statement can be left out by its Sid, or an action.
    """
    kept = [
        {**statement, "Action": [action for action in several(statement["Action"]) if action != without_action]}
        for statement in statements(stack, role)
        if statement["Sid"] != without
    ]
    text = json.dumps({"Version": "2012-10-17", "Statement": kept})
    for logical_id, name in DOCUMENTS.items():
        text = text.replace(stack.holdings[logical_id].made.physical_id, name)
    return Policy.read(text)


@dataclass
class WorldFacts:
    """The facts that the gate needs, from a world in process."""

    world: World
    key: str | None = None

    @property
    def names(self) -> Names:
        return self.world.names

    def instance_tags(self, instance_id: str) -> Mapping[str, str]:
        return {"aws:autoscaling:groupName": f"group-{instance_id[-1]}", "bottlerocket-ecs-updater": "yes"}

    def object_exists(self, bucket: str, key: str) -> bool:
        try:
            self.world.s3.head({"Bucket": bucket, "Key": key})
        except AwsError:
            return False
        return True

    def bucket_key(self, bucket: str) -> str | None:
        return self.key

    def roles_of(self, task_definition: str) -> tuple[str, ...]:
        return ()


@dataclass
class Cast:
    """Everyone except the updater may do everything."""

    policy: Policy

    def of(self, access_key: str) -> Caller | None:
        if access_key != UPDATER:
            return None
        return Caller("arn:aws:sts::123456789012:assumed-role/TaskRole/run", (self.policy,))


@dataclass(frozen=True)
class Judged:
    """The result of a run, and its denied calls."""

    finished: RunFinished | None
    """None if it ended before it started: it acquires the lease first."""
    refusals: Sequence[Refusal]
    why: str

    @property
    def said(self) -> list[str]:
        """All reasons in the texts for people."""
        outcomes = self.finished.outcomes.values() if self.finished else ()
        return [self.why, *(str(outcome) for outcome in outcomes)]

    @property
    def went_well(self) -> bool:
        return self.finished is not None and self.finished.exit_code == 0

    @property
    def updated(self) -> int:
        return self.finished.counts["updated"] if self.finished else 0


def judged_run(
    world: World,
    stack: Stack,
    *,
    without: str = "",
    without_action: str = "",
    key: str | None = None,
    policy: RunPolicy = DEFAULTS,
    documents: Mapping[DocumentKind, str] = STANDARD,
    shared: bool = False,
) -> Judged:
    """One run of the real engine over a world that authorizes its calls with the stack's task role."""
    bucket = stack.holdings["StateBucket"].made.physical_id
    InProcessClients(world, OPERATOR).s3.create_bucket(Bucket=bucket)
    gate = Gate(
        Cast(policy_of(stack, "TaskRole", without=without, without_action=without_action)), WorldFacts(world, key)
    )
    world.authorize = gate.authorize
    clients = InProcessClients(world, UPDATER)
    clock = EngineClock(world)
    api = Api(clock, CallPace(clock), Calls())
    store = S3Store(cast("Any", Pair.of(clients.s3)), api, bucket, "updater")
    run = RunId("run-1")
    place = Location(world.names.account, world.names.region, "demo")
    lease = StoreLease(store, lease_key(str(place)), "a task", run, timedelta(seconds=60), clock, clock.monotonic)
    try:
        lease.acquire()
    except Denied as denied:
        return Judged(None, gate.refusals, str(denied))
    ledger = KeptLedger(store, str(place), run)
    updater = Updater(world, policy, "run-1", ledger, lease, clients=clients, store=store, documents=documents)
    updater.state = str(place)
    updater.place = place if shared else None
    finished = updater.run()
    return Judged(finished, gate.refusals, finished.why)
