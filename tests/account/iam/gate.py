"""Authorizes every call, and records the denials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from tests.account.iam.callers import Caller, Callers
from tests.account.iam.iam_requests import Facts, IamRequest, asks_of
from tests.account.iam.policy import Decision

from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

_JSON_SERVICES = frozenset({"ecs", "ssm", "logs", "ecr", "events", "kms", "dynamodb"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A denied request."""

    caller: str
    ask: IamRequest
    decision: Decision


class Gate:
    """Allows calls that the caller's policies allow. Raises AwsError for the others, as each service does."""

    def __init__(self, callers: Callers, facts: Facts) -> None:
        self._callers = callers
        self._facts = facts
        self.refusals: list[Refusal] = []

    def authorize(self, call: Call) -> None:
        """Authorize one call to the world."""
        caller = self._callers.of(call.caller)
        if caller is None:
            return
        for ask in asks_of(call.service, call.operation, call.params, self._facts):
            self.check(caller, ask, call.service)

    def check(self, caller: Caller, ask: IamRequest, service: str) -> None:
        """Authorize one request, with the service's own error."""
        decision = caller.may(ask)
        if decision is Decision.ALLOWED:
            return
        self.refusals.append(Refusal(caller.arn, ask, decision))
        raise refused(caller, ask, decision, service)


def refused(caller: Caller, ask: IamRequest, decision: Decision, service: str) -> AwsError:
    """The error, with the service's own code and the message that all services share."""
    asked = f"perform: {ask.action} on resource: {ask.resource}"
    said = f"User: {caller.arn} is not authorized to {asked} {_why(decision, ask)}"
    if service == "ec2":
        return AwsError("UnauthorizedOperation", f"You are not authorized to perform this operation. {said}", 403)
    if service in _JSON_SERVICES:
        return AwsError("AccessDeniedException", said, 400)
    return AwsError("AccessDenied", said, 403)


def _why(decision: Decision, ask: IamRequest) -> str:
    match decision:
        case Decision.NOT_ALLOWED:
            return f"because no identity-based policy allows the {ask.action} action"
        case Decision.DENIED:
            return "with an explicit deny in an identity-based policy"
        case Decision.BEYOND_BOUNDARY:
            return f"because no permissions boundary allows the {ask.action} action"
        case Decision.ALLOWED:
            raise AssertionError("what is allowed is not refused")
        case _:
            assert_never(decision)
