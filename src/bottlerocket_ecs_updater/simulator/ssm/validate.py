"""API limits, with the API's own error codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_IDS = 50
MIN_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS = 30, 2_592_000
MAX_COMMENT = 100
MAX_RESULTS = 50
COMMAND_ID_LENGTH = 36


def invalid(value: object, at: str, constraint: str) -> AwsError:
    """The error for a value outside its limits, in AWS's words."""
    return AwsError(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{at}' failed to satisfy constraint: {constraint}",
    )


def within(value: int, at: str, least: int, most: int) -> int:
    """Return a number within its limits. Raises ValidationException otherwise."""
    if value < least:
        raise invalid(value, at, f"Member must have value greater than or equal to {least}")
    if value > most:
        raise invalid(value, at, f"Member must have value less than or equal to {most}")
    return value


def required(request: Mapping[str, Any], name: str) -> Any:
    """Return a required field. Raises ValidationException if it is missing."""
    if request.get(name) is None:
        raise invalid("null", name[0].lower() + name[1:], "Member must not be null")
    return request[name]


def at_most(values: Sequence[object], at: str, most: int) -> None:
    """Reject a list that is too long."""
    if len(values) > most:
        raise invalid(list(values), at, f"Member must have length less than or equal to {most}")


def command_id(request: Mapping[str, Any]) -> str:
    """The command id of a request. Raises ValidationException if its length is wrong."""
    given: str = required(request, "CommandId")
    if len(given) != COMMAND_ID_LENGTH:
        raise invalid(given, "commandId", f"Member must have length equal to {COMMAND_ID_LENGTH}")
    return given


def by_tag(target: Mapping[str, Any]) -> bool:
    """Whether a target names instances by a tag."""
    key = str(target.get("Key", ""))
    return key == "tag-key" or key.startswith("tag:")


def send(request: Mapping[str, Any]) -> tuple[str, ...]:
    """Validate a SendCommand request, except what only the service knows. Returns its instance ids."""
    required(request, "DocumentName")
    ids = list(request.get("InstanceIds") or [])
    targets = request.get("Targets") or []
    at_most(ids, "instanceIds", MAX_IDS)
    at_most(targets, "targets", 5)
    at_most(request.get("Comment") or "", "comment", MAX_COMMENT)
    timeout = request.get("TimeoutSeconds")
    if timeout is not None:
        within(timeout, "timeoutSeconds", MIN_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS)
    for target in targets:
        if by_tag(target):
            continue
        if target.get("Key") != "InstanceIds":
            raise AwsError("InvalidParameters", f"SendCommand: a target by {target.get('Key')} is not simulated.")
        at_most(target.get("Values") or [], "targets.1.member.values", MAX_IDS)
        ids.extend(target.get("Values") or [])
    if not ids and not any(map(by_tag, targets)):
        raise AwsError("InvalidParameters", "Neither InstanceIds nor Targets name an instance.")
    if len(set(ids)) != len(ids):
        raise AwsError("DuplicateInstanceId", "You can't specify an instance ID in more than one place.")
    return tuple(ids)
