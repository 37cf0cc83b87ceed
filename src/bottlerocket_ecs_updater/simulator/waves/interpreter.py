"""moto's States Language interpreter, extended with ECS tasks that really run.

Not covered: limits of payloads and events, Step Functions' own retries, express executions, and JSONata. Permissions
are those of the clients that `interpreting` is given. Waits and limits are shortened by the speed of the simulated
worlds.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol
from uuid import uuid4

import botocore.session
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.model import StructureShape
from moto.core.config import default_user_config
from moto.core.responses import EmptyResult
from moto.stepfunctions import responses
from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name import custom_error_name
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.component.common.timeouts import timeout
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service as services,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_aws_sdk as sdk_service,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_callback as callback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_ecs as ecs_service,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_sns as sns_service,
)
from moto.stepfunctions.parser.asl.component.state.wait.wait_function import wait_function
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.utils.json_path import NoSuchJsonPathError, extract_json
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from bottlerocket_ecs_updater.simulator.waves.definition import DECLINED

ROLE = "arn:aws:iam::{account}:role/fleet"

Connect = Callable[[str, str], Any]
"""A client of a service, for the role of a state machine: `connect("ecs", role_arn)`."""


class NotStartedError(Exception):
    """RunTask started nothing. Its `failures` become the error `AmazonECS.Unknown`."""


class TaskRunner(Protocol):
    """Runs tasks."""

    def run(self, request: Mapping[str, Any]) -> str:
        """Start a task for a RunTask request. Returns its ARN."""

    def look(self, arn: str) -> Mapping[str, Any]:
        """The task as DescribeTasks shows it."""


@dataclass
class PublishedMessages:
    """Messages published to topics."""

    sent: list[Mapping[str, Any]] = field(default_factory=list)

    def publish(self, **request: Any) -> dict[str, Any]:
        self.sent.append(request)
        return {"MessageId": f"{len(self.sent):036}"}


class _Ecs:
    """The ECS client that the interpreter calls, with tasks of this process."""

    def __init__(self, tasks: TaskRunner) -> None:
        self._tasks = tasks

    def run_task(self, **request: Any) -> dict[str, Any]:
        try:
            arn = self._tasks.run(request)
        except NotStartedError as error:
            return {"tasks": [], "failures": [{"reason": str(error)}]}
        return {"tasks": [self._tasks.look(arn)], "failures": []}

    def describe_tasks(self, *, tasks: Sequence[str], **_: Any) -> dict[str, Any]:
        return {"tasks": [self._tasks.look(arn) for arn in tasks], "failures": []}


@dataclass(frozen=True)
class _Starting:
    """An ECS client whose RunTask raises NotStartedError, while a plain client returns failures."""

    client: Any

    def run_task(self, **request: Any) -> Any:
        answer = self.client.run_task(**request)
        if not answer["tasks"]:
            raise NotStartedError(json.dumps(answer["failures"]))
        return answer

    def describe_tasks(self, **request: Any) -> Any:
        return self.client.describe_tasks(**request)


@dataclass(frozen=True)
class Interpreter:
    """Runs state machines, with `tasks` to run their tasks."""

    account: str
    region: str
    messages: PublishedMessages

    def start(self, definition: Mapping[str, Any]) -> str:
        """Start an execution. Returns its ARN."""
        backend = stepfunctions_parser_backends[self.account][self.region]
        # Names of executions and state machines must be unique in the process.
        machine = backend.create_state_machine(
            f"fleet-{uuid4()}", json.dumps(definition), ROLE.format(account=self.account), tags=[]
        )
        execution = backend.start_execution(machine.arn, "run-1", "{}")
        return str(execution.execution_arn)

    def status(self, execution: str) -> str:
        """RUNNING, SUCCEEDED, FAILED or TIMED_OUT."""
        return str(self._execution(execution).exec_status.value)

    def events(self, execution: str) -> Sequence[Mapping[str, Any]]:
        """The execution history."""
        backend = stepfunctions_parser_backends[self.account][self.region]
        found: Sequence[Mapping[str, Any]] = backend.get_execution_history(execution)["events"]
        return found

    def approve(self, token: str) -> None:
        """Approve, as a person does."""
        self.succeed(token, {})

    def decline(self, token: str) -> None:
        """Decline, as a person does."""
        stepfunctions_parser_backends[self.account][self.region].send_task_failure(token, error=DECLINED, cause="")

    def succeed(self, token: str, output: Mapping[str, Any]) -> None:
        """Report success, as a task does."""
        stepfunctions_parser_backends[self.account][self.region].send_task_success(token, json.dumps(output))

    def stop(self, execution: str) -> None:
        """Stop an execution."""
        stepfunctions_parser_backends[self.account][self.region].stop_execution(execution)

    def _execution(self, execution: str) -> Any:
        return stepfunctions_parser_backends[self.account][self.region].describe_execution(execution)


@contextmanager
def interpreter(account: str, region: str, tasks: TaskRunner, speed: float) -> Iterator[Interpreter]:
    """Provide the interpreter within the context. It patches moto for the whole process."""
    messages = PublishedMessages()
    clients = {"ecs": _Ecs(tasks), "sns": messages}
    with interpreting(lambda service, _: clients[service], speed):
        yield Interpreter(account, region, messages)


@contextmanager
def interpreting(connect: Connect, speed: float, limits_speed: float | None = None) -> Iterator[None]:
    """Let moto run state machines within the context, with these clients. It patches moto for the whole process.

    Time limits of states can have a different speed, because tasks that are processes start in real time.
    """

    def client_for(*, service: str, state_credentials: Any, **_: Any) -> Any:
        client = connect(service, state_credentials.role_arn)
        return _Starting(client) if service == "ecs" else client

    def shorter(_: Any, env: Any, wait_seconds: int) -> None:
        env.program_state_event.wait(wait_seconds / speed)

    def sleep(seconds: float) -> None:
        threading.Event().wait(seconds / speed)

    def limit(self: Any, env: Any) -> None:
        env.stack.append(self._eval_seconds(env=env) / (limits_speed or speed))

    changes: list[tuple[Any, str, Any]] = [
        (services.StateTaskService, "_normalise_parameters", _parameters),
        (services.StateTaskService, "_normalise_response", _response),
        (
            ecs_service.StateTaskServiceEcs,
            "_build_sync_resolver",
            _with_exit_codes(ecs_service.StateTaskServiceEcs._build_sync_resolver),
        ),
        (ecs_service.StateTaskServiceEcs, "_from_error", _ecs_error),
        (sns_service.StateTaskServiceSns, "_from_error", _sns_error),
        (ecs_service, "boto_client_for", client_for),
        (sns_service, "boto_client_for", client_for),
        (sdk_service, "boto_client_for", client_for),
        (custom_error_name.CustomErrorName, "__init__", _any_name),
        (string_expression, "extract_json", _none_for_no_match),
        (wait_function.WaitFunction, "_wait_interval", shorter),
        (retrier_decl, "time", SimpleNamespace(sleep=sleep)),
        (timeout.Timeout, "_eval_body", limit),
        (responses.StepFunctionResponse, "send_task_failure", _send_task_failure),
    ]
    before = [(thing, name, getattr(thing, name)) for thing, name, _ in changes]
    executes = default_user_config["stepfunctions"]["execute_state_machine"]
    default_user_config["stepfunctions"]["execute_state_machine"] = True
    # It logs missing paths as errors, even if a Choice only tests whether they exist.
    log = logging.getLogger("moto.stepfunctions")
    level = log.level
    log.setLevel(logging.CRITICAL)
    for thing, name, value in changes:
        setattr(thing, name, value)
    try:
        yield
    finally:
        default_user_config["stepfunctions"]["execute_state_machine"] = executes
        log.setLevel(level)
        for thing, name, value in before:
            setattr(thing, name, value)


_models: dict[str, Any] = {}
_lock = threading.Lock()


def _shape(self: Any, which: str, service: str | None, action: str | None) -> Any:
    """The shape of an operation's input or output; states use the API's names."""
    name = self._get_boto_service_name(service)
    with _lock:
        if name not in _models:
            _models[name] = botocore.session.get_session().get_service_model(name)
    snake, model = self._get_boto_service_action(action), _models[name]
    operation = next(one for one in model.operation_names if xform_name(one) == snake)
    return getattr(model.operation_model(operation), which)


def _parameters(
    self: Any, parameters: Any, boto_service_name: str | None = None, service_action_name: str | None = None
) -> None:
    shape = _shape(self, "input_shape", boto_service_name, service_action_name)
    if isinstance(shape, StructureShape):
        self._to_boto_request(parameters, shape)


def _response(
    self: Any, response: Any, boto_service_name: str | None = None, service_action_name: str | None = None
) -> None:
    shape = _shape(self, "output_shape", boto_service_name, service_action_name)
    if isinstance(shape, StructureShape):
        self._from_boto_response(response, shape)


def _none_for_no_match(path: str, data: Any) -> Any:
    """In Step Functions, a path with several possible matches returns a list, even for one match or none."""
    try:
        found = extract_json(path, data)
    except NoSuchJsonPathError:
        if any(part in path for part in ("[?(", "[*]", "..")):
            return []
        raise
    return [found] if ".." in path and not isinstance(found, list) else found


def _send_task_failure(self: Any) -> EmptyResult:
    """The operation of moto, with the cause, which moto drops."""
    token, error, cause = (self._get_param(name) for name in ("taskToken", "error", "cause"))
    self.stepfunction_backend.send_task_failure(token, error=error, cause=cause)
    return EmptyResult()


def _any_name(self: Any, error_name: str | None) -> None:
    ErrorName.__init__(self, error_name=error_name)


def _with_exit_codes(original: Callable[..., Any]) -> Callable[..., Any]:
    """A container with a nonzero exit code fails the state. Source: aws/copilot-cli#3160."""

    def build(self: Any, env: Any, **more: Any) -> Any:
        resolve = original(self, env=env, **more)

        def look() -> Any:
            task = resolve()
            if task and any(one.get("ExitCode", 1) for one in task.get("Containers", ())):
                raise _failed(env, task)
            return task

        return look

    return build


def cause_of(task: Mapping[str, Any]) -> str:
    """What Step Functions writes into Cause about a task that failed: the task, as JSON."""
    return json.dumps(task, default=str)


def _failed(env: Any, task: Mapping[str, Any]) -> FailureEventException:
    name = StatesErrorName(typ=StatesErrorNameType.StatesTaskFailed)
    return FailureEventException(_failure(env, name, "ecs", "States.TaskFailed", cause_of(task)))


def _ecs_error(self: Any, env: Any, ex: Exception) -> Any:
    """The names that Step Functions has for what RunTask answers. Source: "Connect to Amazon ECS"."""
    if isinstance(ex, NotStartedError):
        return _failure(env, CustomErrorName("AmazonECS.Unknown"), "ecs", "AmazonECS.Unknown", str(ex))
    return _service_error(self, env, ex, "ECS")


def _sns_error(self: Any, env: Any, ex: Exception) -> Any:
    return _service_error(self, env, ex, "SNS")


def _service_error(self: Any, env: Any, ex: Exception, service: str) -> Any:
    if isinstance(ex, ClientError):
        name = f"{service}.{ex.response['Error']['Code'].removesuffix('Exception')}Exception"
        return _failure(env, CustomErrorName(name), service.lower(), name, str(ex))
    return callback.StateTaskServiceCallback._from_error(self, env, ex)


def _failure(env: Any, name: ErrorName, kind: str, error: str, cause: str) -> FailureEvent:
    details = TaskFailedEventDetails(resourceType=kind, resource="runTask.sync", error=error, cause=cause)
    return FailureEvent(
        env=env,
        error_name=name,
        event_type=HistoryEventType.TaskFailed,
        event_details=EventDetails(taskFailedEventDetails=details),  # type: ignore[typeddict-item]
    )
