"""A clock, and clients shaped like boto3's for a small cluster, with AWS's limits and errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from botocore.exceptions import ClientError

from bottlerocket_ecs_updater.aws.ecs import EcsCluster
from bottlerocket_ecs_updater.aws.ssm import SsmHosts
from bottlerocket_ecs_updater.aws.transport.api import Api, no_hook
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.engine.ports import Cluster, Hosts

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
DOCUMENTS = {kind: f"{kind.value}-doc" for kind in DocumentKind}
UNPACED: Mapping[Any, Any] = {}

Shape = dict[str, Any]


class FakeClock:
    """A clock that advances only when somebody sleeps."""

    def __init__(self) -> None:
        self.time = START
        self.slept: list[timedelta] = []
        self.interrupted = False

    def now(self) -> datetime:
        return self.time

    def sleep(self, span: timedelta) -> bool:
        self.slept.append(span)
        if self.interrupted:
            return False
        self.time += span
        return True


def refusal(code: str, message: str = "because", status: int = 400) -> ClientError:
    """An error as botocore raises it for an error response of AWS."""
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "RequestId": "",
                "HostId": "",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        "Operation",
    )


def denial(resource: str = "") -> ClientError:
    """IAM's denial of a command for an updater that runs on an instance."""
    who = "arn:aws:sts::111122223333:assumed-role/updater/i-00000000000000000"
    what = "is not authorized to perform: ssm:SendCommand"
    on = f" on resource: {resource} because no identity-based policy allows it" if resource else ""
    return refusal("AccessDeniedException", f"User: {who} {what}{on}")


def arn(number: int) -> ContainerInstanceArn:
    return ContainerInstanceArn(f"arn:aws:ecs:eu-west-1:111122223333:container-instance/web/{number:032x}")


def instance(number: int, **changes: Any) -> Shape:
    """A Bottlerocket container instance as ECS describes it."""
    return {
        "containerInstanceArn": arn(number),
        "ec2InstanceId": f"i-{number:017x}",
        "status": "ACTIVE",
        "agentConnected": True,
        "runningTasksCount": 2,
        "pendingTasksCount": 0,
        "registeredAt": START,
        "attributes": [
            {"name": "ecs.availability-zone", "value": "eu-west-1a"},
            {"name": "bottlerocket.variant", "value": "aws-ecs-2"},
            {"name": "com.amazonaws.ecs.capability.docker-remote-api.1.44"},
        ],
        **changes,
    }


def task(name: str, on: int | None = 1, **changes: Any) -> Shape:
    """A task of the service `web` as ECS describes it; `on` is the number of its instance, None for Fargate."""
    shape: Shape = {
        "taskArn": f"arn:aws:ecs:eu-west-1:111122223333:task/web/{name}",
        "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING",
        "startedBy": "ecs-svc/1234567890",
        "group": "service:web",
        **changes,
    }
    if on is not None:
        shape["containerInstanceArn"] = arn(on)
    return shape


@dataclass
class Fake:
    """Shared by the fakes: calls are counted and kept, and errors are raised before answers."""

    calls: list[tuple[str, Shape]] = field(default_factory=list)
    troubles: dict[str, list[BaseException | None]] = field(default_factory=dict)
    """Errors to raise, by method, one per call; None lets a call pass."""
    page_size: int = 100

    def count(self, method: str) -> int:
        return Counter(name for name, _ in self.calls)[method]

    def asked(self, method: str) -> list[Shape]:
        return [request for name, request in self.calls if name == method]

    def _enter(self, method: str, request: Shape) -> None:
        self.calls.append((method, request))
        waiting = self.troubles.get(method, [])
        trouble = waiting.pop(0) if waiting else None
        if trouble is not None:
            raise trouble

    def _page(self, items: Sequence[Any], key: str, token: str | None, name: str) -> Shape:
        start = int(token or 0)
        page: Shape = {key: list(items[start : start + self.page_size])}
        if start + self.page_size < len(items):
            page[name] = str(start + self.page_size)
        return page


@dataclass
class FakeEcs(Fake):
    """A cluster named `web`."""

    instances: dict[str, Shape] = field(default_factory=dict)
    tasks: dict[str, Shape] = field(default_factory=dict)
    all_services: dict[str, Shape] = field(default_factory=dict)
    poison: set[str] = field(default_factory=set)
    """ARNs for which ECS rejects the whole call."""
    failing: dict[str, str] = field(default_factory=dict)
    """ARNs that come back in `failures`, with the reason."""

    def add(self, *shapes: Shape) -> None:
        for shape in shapes:
            if "taskArn" in shape:
                self.tasks[shape["taskArn"]] = shape
            elif "serviceArn" in shape:
                self.all_services[shape["serviceArn"]] = shape
            else:
                self.instances[shape["containerInstanceArn"]] = shape

    def list_container_instances(self, **request: Any) -> Shape:
        self._enter("list_container_instances", request)
        return self._page(list(self.instances), "containerInstanceArns", request.get("nextToken"), "nextToken")

    def describe_container_instances(self, **request: Any) -> Shape:
        self._enter("describe_container_instances", request)
        arns = self._checked(request["containerInstances"], 100)
        return self._described(arns, self.instances, "containerInstances")

    def list_tasks(self, **request: Any) -> Shape:
        self._enter("list_tasks", request)
        desired, on = request.get("desiredStatus", "RUNNING"), request.get("containerInstance")
        arns = [
            arn
            for arn, shape in self.tasks.items()
            if shape["desiredStatus"] == desired and on in (None, shape.get("containerInstanceArn"))
        ]
        return self._page(arns, "taskArns", request.get("nextToken"), "nextToken")

    def describe_tasks(self, **request: Any) -> Shape:
        self._enter("describe_tasks", request)
        return self._described(self._checked(request["tasks"], 100), self.tasks, "tasks")

    def list_services(self, **request: Any) -> Shape:
        self._enter("list_services", request)
        return self._page(list(self.all_services), "serviceArns", request.get("nextToken"), "nextToken")

    def describe_services(self, **request: Any) -> Shape:
        self._enter("describe_services", request)
        return self._described(self._checked(request["services"], 10), self.all_services, "services")

    def update_container_instances_state(self, **request: Any) -> Shape:
        self._enter("update_container_instances_state", request)
        arns = self._checked(request["containerInstances"], 10)
        reply = self._described(arns, self.instances, "containerInstances")
        for shape in reply["containerInstances"]:
            shape["status"] = request["status"]
        return reply

    def put_attributes(self, **request: Any) -> Shape:
        self._enter("put_attributes", request)
        self._checked([attribute["targetId"] for attribute in request["attributes"]], 10)
        return {"attributes": request["attributes"]}

    def delete_attributes(self, **request: Any) -> Shape:
        self._enter("delete_attributes", request)
        self._checked([attribute["targetId"] for attribute in request["attributes"]], 10)
        return {"attributes": request["attributes"]}

    def _checked(self, arns: Sequence[str], limit: int) -> Sequence[str]:
        if len(arns) > limit:
            raise refusal("InvalidParameterException", f"more than {limit}")
        if self.poison & set(arns):
            raise refusal("InvalidParameterException", "one of them is malformed")
        return arns

    def _described(self, arns: Sequence[str], known: Mapping[str, Shape], key: str) -> Shape:
        failures = [{"arn": arn, "reason": self.failing[arn]} for arn in arns if arn in self.failing]
        failures += [{"arn": arn, "reason": "MISSING"} for arn in arns if arn not in known and arn not in self.failing]
        return {key: [known[arn] for arn in arns if arn in known and arn not in self.failing], "failures": failures}


@dataclass
class FakeSsm(Fake):
    """Managed instances, and the results of commands as a test sets them."""

    page_size: int = 50
    unknown: set[str] = field(default_factory=set)
    """Instances for which SSM rejects the whole call with InvalidInstanceId."""
    forbidden: set[str] = field(default_factory=set)
    """Instances for which IAM denies a whole call."""
    telling: bool = True
    """Whether the error names these instances, or the denial one of them."""
    sent: Counter[str] = field(default_factory=Counter)
    information: list[Shape] = field(default_factory=list)
    commands: list[Shape] = field(default_factory=list)
    invocations: dict[str, list[Shape]] = field(default_factory=dict)
    outputs: dict[tuple[str, str], Shape] = field(default_factory=dict)
    declared: tuple[str, ...] = ("boots", "version")
    """The parameters that every document declares."""
    requested_at: datetime | None = None
    """When a command was requested, by the clock of Systems Manager; not reported if None."""

    def send_command(self, **request: Any) -> Shape:
        self._enter("send_command", request)
        ids = request["InstanceIds"]
        if len(ids) > 50:
            raise refusal("ValidationException", "more than 50")
        for id_ in ids:
            if id_ in self.forbidden:
                raise denial(f"arn:aws:ec2:eu-west-1:111122223333:instance/{id_}" if self.telling else "")
        culprits = sorted(self.unknown & set(ids))
        if culprits:
            named = ", ".join(culprits) if self.telling else "some"
            raise refusal("InvalidInstanceId", f"Instances [[{named}]] not in a valid state for account 111122223333")
        self.sent.update(ids)
        shape: Shape = {"CommandId": f"{len(self.calls):036d}"}
        if self.requested_at is not None:
            shape["RequestedDateTime"] = self.requested_at
        return {"Command": shape}

    def describe_document(self, **request: Any) -> Shape:
        self._enter("describe_document", request)
        return {"Document": {"Parameters": [{"Name": name, "Type": "String"} for name in self.declared]}}

    def cancel_command(self, **request: Any) -> Shape:
        self._enter("cancel_command", request)
        return {}

    def list_command_invocations(self, **request: Any) -> Shape:
        self._enter("list_command_invocations", request)
        shapes = self.invocations.get(request["CommandId"], [])
        return self._page(shapes, "CommandInvocations", request.get("NextToken"), "NextToken")

    def get_command_invocation(self, **request: Any) -> Shape:
        self._enter("get_command_invocation", request)
        step = request.get("PluginName", "")
        found = self.outputs.get((request["InstanceId"], step))
        if found is None:
            raise refusal("InvocationDoesNotExist")
        return found

    def list_commands(self, **request: Any) -> Shape:
        self._enter("list_commands", request)
        return self._page(self.commands, "Commands", request.get("NextToken"), "NextToken")

    def describe_instance_information(self, **request: Any) -> Shape:
        self._enter("describe_instance_information", request)
        wanted = [id_ for one in request.get("Filters", ()) for id_ in one["Values"]]
        if self.unknown & set(wanted):
            raise refusal("InvalidInstanceId")
        found = [shape for shape in self.information if not wanted or shape["InstanceId"] in wanted]
        return self._page(found, "InstanceInformationList", request.get("NextToken"), "NextToken")


@dataclass
class Bench:
    """The AWS code over fakes, with everything that a test may check."""

    ecs: FakeEcs = field(default_factory=FakeEcs)
    ssm: FakeSsm = field(default_factory=FakeSsm)
    clock: FakeClock = field(default_factory=FakeClock)
    calls: Calls = field(default_factory=Calls)
    hook: Callable[[bool], None] = no_hook

    @property
    def api(self) -> Api:
        return Api(self.clock, CallPace(self.clock, rates=UNPACED), self.calls, self.hook)

    def cluster(self) -> Cluster:
        return EcsCluster(Pair.of(cast("Any", self.ecs)), self.api, self.clock, "web")

    def hosts(self) -> Hosts:
        return SsmHosts(Pair.of(cast("Any", self.ssm)), self.api, DOCUMENTS, "bottlerocket-ecs-updater run r1")


def bench_with(shapes: Iterable[Shape]) -> Bench:
    bench = Bench()
    bench.ecs.add(*shapes)
    return bench
