"""Faults of the AWS API itself: failed calls, lost replies, denied callers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.faults import (
    ApiFails,
    CommandsDenied,
    PartialFailures,
    RepliesLost,
    StaleReads,
    StoreOutage,
    UpdaterDies,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime, timedelta

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
    from bottlerocket_ecs_updater.simulator.aws_basics.names import Names
    from bottlerocket_ecs_updater.simulator.faults import FaultPlan


SEND_COMMAND = "ssm:SendCommand"


_STORE_WRITES = ("PutObject", "DeleteObject")


class ReplyLostError(Exception):
    """The call took effect, but its reply is lost."""


_BATCHES = {
    "DescribeContainerInstances": "containerInstances",
    "DescribeTasks": "tasks",
    "DescribeServices": "services",
    "UpdateContainerInstancesState": "containerInstances",
}
"""Operations that return `failures`, and the name of their request list."""


class KilledError(BaseException):
    """The caller is killed. Not an Exception, so that the caller's code cannot catch it."""


class ApiFaultsAtWork:
    """The API faults of a plan, with how often each has struck."""

    def __init__(self, plan: FaultPlan, began: datetime, names: Names) -> None:
        self._began = began
        self._names = names
        faults = plan.world
        self._denials = [(one.on, one.fault) for one in plan.faults if isinstance(one.fault, CommandsDenied)]
        self._fails = [(fault, _Counted(fault)) for fault in faults if isinstance(fault, ApiFails)]
        self._losses = [_Counted(fault) for fault in faults if isinstance(fault, RepliesLost)]
        self._stale = [fault for fault in faults if isinstance(fault, StaleReads)]
        self._partial = [fault for fault in faults if isinstance(fault, PartialFailures)]
        self._items = 0
        self._outages = [fault for fault in faults if isinstance(fault, StoreOutage)]
        self._deaths = [fault for fault in faults if isinstance(fault, UpdaterDies)]

    def before(self, call: Call) -> None:
        """Raise KilledError if the caller is killed first, or AwsError if the call fails without effect."""
        self._kill(call, after=False)
        for fault, counted in self._fails:
            if self._holds(fault.at, fault.lasts, call.at) and counted.strikes(call):
                raise AwsError(fault.code, "Rate exceeded" if fault.status == 400 else "", fault.status)
        if any(self._is_out(fault, call) for fault in self._outages):
            raise AwsError("ServiceUnavailable", "Please reduce your request rate.", 503)
        if call.action == SEND_COMMAND:
            self._authorize_each(call)

    def _authorize_each(self, call: Call) -> None:
        """Authorize every instance of a call, as IAM does, and deny it for the first one that is not allowed."""
        ids, document = call.params.get("InstanceIds", ()), call.params["DocumentName"]
        for instance, fault in self._denials:
            concerned = instance in ids and fault.document in ("", document)
            if concerned and self._holds(fault.at, fault.lasts, call.at):
                raise denied(call, self._names.arn("ec2", f"instance/{instance}") if fault.named else "*")

    def spoil(self, call: Call) -> tuple[Call | None, list[dict[str, str]]]:
        """The call without the items that fail (None if all fail), and the failures."""
        items = _BATCHES.get(call.operation)
        struck = [fault for fault in self._partial if fault.operation == call.operation]
        struck = [fault for fault in struck if self._holds(fault.at, fault.lasts, call.at)]
        if items is None or not struck:
            return call, []
        kept, failures = [], []
        for item in call.params.get(items, ()):
            self._items += 1
            fault = next((fault for fault in struck if self._items % fault.every == 0), None)
            if fault is None:
                kept.append(item)
            else:
                failures.append({"arn": item, "reason": fault.reason, "detail": "try again"})
        return replace(call, params={**call.params, items: kept}) if kept else None, failures

    def after(self, call: Call) -> None:
        """Raise ReplyLostError or KilledError if the caller never gets the reply."""
        self._kill(call, after=True)
        if any(counted.strikes(call) for counted in self._losses):
            raise ReplyLostError(call.action)

    def after_refusal(self, call: Call) -> None:
        """Raise KilledError if the caller is killed before it gets the error."""
        self._kill(call, after=True)

    def lag(self, now: datetime) -> timedelta | None:
        """How stale reads are; None if they are current."""
        held = [fault.lag for fault in self._stale if self._holds(fault.at, fault.lasts, now)]
        return max(held, default=None)

    @property
    def may_be_stale(self) -> bool:
        """Whether reads will ever be stale, so that earlier states must be kept."""
        return bool(self._stale)

    def _is_out(self, fault: StoreOutage, call: Call) -> bool:
        struck = call.operation in _STORE_WRITES if fault.writes_only else call.service == "s3"
        return struck and fault.caller in ("", call.caller) and self._holds(fault.at, fault.lasts, call.at)

    def _kill(self, call: Call, *, after: bool) -> None:
        if any(death.call == call.number and death.after is after for death in self._deaths):
            raise KilledError(call.number)

    def _holds(self, at: timedelta, lasts: timedelta | None, now: datetime) -> bool:
        age = now - self._began
        return age >= at and (lasts is None or age < at + lasts)


def denying(*actions: str, instances: Collection[str] | None = None, named: bool = True) -> Callable[[Call], None]:
    """A hook for `World.authorize` that denies these actions, such as `ecs:PutAttributes`, to everyone.

    With `instances`, only calls about one of these EC2 instances; `named` is whether the denial names it.
    """

    def authorize(call: Call) -> None:
        if call.action not in actions:
            return
        if instances is None:
            raise denied(call)
        for instance in call.params.get("InstanceIds", ()):
            if instance in instances:
                raise denied(call, f"instance/{instance}" if named else "*")

    return authorize


def denied(call: Call, resource: str = "*") -> AwsError:
    """The denial of a call, with its service's error code."""
    text = f"User: {call.caller} is not authorized to perform: {call.action} on resource: {resource}"
    match call.service:
        case "ec2":
            return AwsError("UnauthorizedOperation", text, 403)
        case "s3":
            return AwsError("AccessDenied", text, 403)
        case _:
            return AwsError("AccessDeniedException", text, 400)


class _Counted:
    """A fault, how many calls it has seen, and how often it struck."""

    def __init__(self, fault: ApiFails | RepliesLost) -> None:
        self.every, self.times, self.operation = fault.every, fault.times, fault.operation
        self._seen = 0
        self._struck = 0

    def strikes(self, call: Call) -> bool:
        """Count a call, and return whether the fault strikes it."""
        if self.operation not in ("*", call.operation, call.action):
            return False
        self._seen += 1
        if self._seen % self.every or (self.times is not None and self._struck >= self.times):
            return False
        self._struck += 1
        return True
