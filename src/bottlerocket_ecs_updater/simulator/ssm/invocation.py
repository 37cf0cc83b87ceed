"""The service's records of a command: one for the command, and one per instance."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from bottlerocket_ecs_updater.simulator.ssm.output import STDERR_LIMIT, STDOUT_LIMIT, combined, prefix

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from bottlerocket_ecs_updater.simulator.host import Script
    from bottlerocket_ecs_updater.simulator.ssm.documents import Plugin
    from bottlerocket_ecs_updater.simulator.ssm.inventory import ManagedInstance

NO_CODE = -1


class State(Enum):
    """The state of an invocation: a pair of Status and StatusDetails."""

    PENDING = ("Pending", "Pending")
    DELAYED = ("Delayed", "Delayed")
    IN_PROGRESS = ("InProgress", "InProgress")
    CANCELLING = ("Cancelling", "Cancelling")
    SUCCESS = ("Success", "Success")
    FAILED = ("Failed", "Failed")
    CANCELLED = ("Cancelled", "Cancelled")
    EXECUTION_TIMED_OUT = ("TimedOut", "ExecutionTimedOut")
    DELIVERY_TIMED_OUT = ("TimedOut", "DeliveryTimedOut")
    UNDELIVERABLE = ("Failed", "Undeliverable")

    @property
    def status(self) -> str:
        """The API's Status."""
        return self.value[0]

    @property
    def details(self) -> str:
        """The API's StatusDetails."""
        return self.value[1]

    @property
    def terminal(self) -> bool:
        """Whether it is final."""
        return self not in _OPEN


_OPEN = frozenset({State.PENDING, State.DELAYED, State.IN_PROGRESS, State.CANCELLING})
_WAITING = frozenset({State.PENDING, State.DELAYED})


@dataclass(slots=True)
class SsmCommand:
    """One SendCommand, with its document's content."""

    number: int
    command_id: str
    document: str
    plugin: Plugin
    comment: str
    parameters: dict[str, list[str]]
    request: dict[str, Any]
    requested: datetime
    visible: datetime
    deliver_by: datetime
    """Until when it is delivered, according to its TimeoutSeconds."""
    taken_until: datetime
    """Until when an agent takes it."""
    expires: datetime
    invocations: dict[str, Invocation] = field(default_factory=dict)

    def state(self, now: datetime) -> State:
        """The command's overall state: the worst final state of its invocations, or InProgress once one has started."""
        states = {each.settled(now) for each in self.invocations.values()}
        if any(not state.terminal for state in states):
            return State.PENDING if states <= _WAITING else State.IN_PROGRESS
        worst = (State.FAILED, State.UNDELIVERABLE, State.EXECUTION_TIMED_OUT, State.DELIVERY_TIMED_OUT)
        return next((state for state in (*worst, State.CANCELLED) if state in states), State.SUCCESS)

    def to_shape(self, now: datetime) -> dict[str, Any]:
        """The command as SendCommand and ListCommands show it."""
        states = [each.settled(now) for each in self.invocations.values()]
        state = self.state(now)
        errors = {State.FAILED, State.UNDELIVERABLE, State.EXECUTION_TIMED_OUT}
        return {
            "CommandId": self.command_id,
            "DocumentName": self.document,
            "DocumentVersion": self.request.get("DocumentVersion", "$DEFAULT"),
            "Comment": self.comment,
            "ExpiresAfter": self.expires,
            "Parameters": self.parameters,
            "InstanceIds": list(self.request.get("InstanceIds") or []),
            "Targets": list(self.request.get("Targets") or []),
            "RequestedDateTime": self.requested,
            "Status": state.status,
            "StatusDetails": state.details,
            "MaxConcurrency": self.request.get("MaxConcurrency", "50"),
            "MaxErrors": self.request.get("MaxErrors", "0"),
            "TargetCount": len(states),
            "CompletedCount": sum(each.terminal for each in states),
            "ErrorCount": sum(each in errors for each in states),
            "DeliveryTimedOutCount": states.count(State.DELIVERY_TIMED_OUT),
            "TimeoutSeconds": int((self.deliver_by - self.requested).total_seconds()),
        }


@dataclass(slots=True)
class Invocation:
    """One command on one instance."""

    number: int
    command: SsmCommand
    managed: ManagedInstance
    delayed_at: datetime
    state: State = State.PENDING
    response_code: int = NO_CODE
    started: datetime | None = None
    ended: datetime | None = None
    stdout: str = ""
    stderr: str = ""
    script: Script | None = None
    attempt: int = 0

    @property
    def instance_id(self) -> str:
        """Where it runs."""
        return self.managed.id

    def settled(self, now: datetime) -> State:
        """The current state, after delays and expiry, which depend only on time."""
        command = self.command
        if self.state in _WAITING:
            if now >= command.taken_until and self.managed.lost_by(command.taken_until):
                self.end(State.UNDELIVERABLE, command.taken_until)
            elif now >= self.delayed_at:
                self.state = State.DELAYED
        if not self.state.terminal and now >= command.expires:
            self.end(State.DELIVERY_TIMED_OUT, command.expires)
        return self.state

    def end(self, state: State, when: datetime, code: int = NO_CODE, stdout: str = "", stderr: str = "") -> None:
        """Record the final state. Later changes are ignored."""
        self.state, self.ended, self.response_code = state, when, code
        self.stdout, self.stderr = stdout, stderr

    def to_answer(self, now: datetime) -> dict[str, Any]:
        """The invocation as GetCommandInvocation shows it."""
        state = self.settled(now)
        return {
            "CommandId": self.command.command_id,
            "InstanceId": self.instance_id,
            "Comment": self.command.comment,
            "DocumentName": self.command.document,
            "DocumentVersion": self.command.request.get("DocumentVersion", "$DEFAULT"),
            "PluginName": self.command.plugin.name,
            "ResponseCode": self.response_code,
            "ExecutionStartDateTime": _iso(self.started),
            "ExecutionElapsedTime": _elapsed(self.started, self.ended),
            "ExecutionEndDateTime": _iso(self.ended if self.started else None),
            "Status": state.status,
            "StatusDetails": state.details,
            "StandardOutputContent": prefix(self.stdout, STDOUT_LIMIT),
            "StandardOutputUrl": "",
            "StandardErrorContent": prefix(self.stderr, STDERR_LIMIT),
            "StandardErrorUrl": "",
            "CloudWatchOutputConfig": {"CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": False},
        }

    def to_shape(self, now: datetime, *, details: bool) -> dict[str, Any]:
        """The invocation as ListCommandInvocations shows it."""
        state = self.settled(now)
        return {
            "CommandId": self.command.command_id,
            "InstanceId": self.instance_id,
            "InstanceName": "",
            "Comment": self.command.comment,
            "DocumentName": self.command.document,
            "DocumentVersion": self.command.request.get("DocumentVersion", "$DEFAULT"),
            "RequestedDateTime": self.command.requested,
            "Status": state.status,
            "StatusDetails": state.details,
            "StandardOutputUrl": "",
            "StandardErrorUrl": "",
            "CommandPlugins": [self._plugin(state)] if details else [],
            "ServiceRole": "",
        }

    def _plugin(self, state: State) -> dict[str, Any]:
        # Plugins have no Delayed or Cancelling state.
        shown = {State.DELAYED: State.PENDING, State.CANCELLING: State.IN_PROGRESS}.get(state, state)
        plugin: dict[str, Any] = {
            "Name": self.command.plugin.name,
            "Status": shown.status,
            "StatusDetails": shown.details,
            "ResponseCode": self.response_code,
            "Output": combined(self.stdout, self.stderr),
            "StandardOutputUrl": "",
            "StandardErrorUrl": "",
            "OutputS3Region": "",
            "OutputS3BucketName": "",
            "OutputS3KeyPrefix": "",
        }
        if self.started:
            plugin["ResponseStartDateTime"] = self.started
        if self.started and self.ended:
            plugin["ResponseFinishDateTime"] = self.ended
        return plugin


def _iso(when: datetime | None) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z" if when else ""


def _elapsed(started: datetime | None, ended: datetime | None) -> str:
    if started is None or ended is None:
        return ""
    return iso_duration(ended - started)


def iso_duration(length: timedelta) -> str:
    """A duration in ISO 8601 as SSM writes it: PT0.484S, PT1M2.5S."""
    seconds = length.total_seconds()
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = "PT" + (f"{hours:.0f}H" if hours else "") + (f"{minutes:.0f}M" if minutes else "")
    return text + (f"{round(rest, 3):g}S" if rest or text == "PT" else "")
