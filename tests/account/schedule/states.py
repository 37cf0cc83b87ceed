"""Step Functions: executions that really run, with their state machine's role and its permissions.

`simulator/waves/interpreter.py` lists what the interpreter does not cover.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tests.account.iam.iam_requests import IamRequest

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.waves.interpreter import interpreting

if TYPE_CHECKING:
    from tests.account.cloudformation.cloud import HttpCloud, Shape
    from tests.account.schedule.roles import Roles

STATES = "states.amazonaws.com"
MANAGED_RULE = "StepFunctionsGetEventsForECSTaskRule"
MANAGING = ("events:PutTargets", "events:PutRule", "events:DescribeRule")
MADE_WITH = frozenset({"CreateStateMachine", "UpdateStateMachine"})


class States:
    """The clients of executions. It patches moto for the whole process while it runs."""

    def __init__(self, roles: Roles, speed: float, limits_speed: float | None = None) -> None:
        self._roles = roles
        self._speed = speed
        self._limits_speed = limits_speed
        self._stack = ExitStack()
        self._client = lru_cache(maxsize=None)(self._make_client)

    def start(self) -> None:
        """Start to run state machines."""
        self._stack.enter_context(interpreting(self._client, self._speed, self._limits_speed))

    def stop(self) -> None:
        """Stop running them."""
        self._stack.close()

    def _make_client(self, service: str, role_arn: str) -> Any:
        return self._roles.cloud(role_arn, STATES, "execution", role_arn)._client(service)


class StatesCloud:
    """All services. A state machine can only be created with a role that may manage the rule for ended tasks."""

    def __init__(self, cloud: HttpCloud, roles: Roles) -> None:
        self._cloud = cloud
        self._roles = roles

    def __call__(self, service: str, operation: str, request: Shape) -> Shape:
        if service == "stepfunctions" and operation in MADE_WITH and "runTask.sync" in request["definition"]:
            self._check(request["roleArn"])
        return self._cloud(service, operation, request)

    def _check(self, role_arn: str) -> None:
        rule = self._roles.names.arn("events", f"rule/{MANAGED_RULE}")
        try:
            for action in MANAGING:
                self._roles.check(role_arn, "states", IamRequest(action, rule), "events")
        except AwsError as error:
            said = f"'{role_arn}' is not authorized to create managed-rule."
            raise AwsError("AccessDeniedException", said, 400) from error
