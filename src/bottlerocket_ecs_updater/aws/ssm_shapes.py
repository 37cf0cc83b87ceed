"""Parses Systems Manager responses."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

from bottlerocket_ecs_updater.aws.ecs_shapes import moment
from bottlerocket_ecs_updater.core.model.container_instance import ManagedNode, PingStatus
from bottlerocket_ecs_updater.core.model.instance import Node
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus, DocumentKind
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.engine.ports import Answer

if TYPE_CHECKING:
    from types_boto3_ssm.type_defs import (
        CommandInvocationTypeDef,
        CommandTypeDef,
        GetCommandInvocationResultTypeDef,
        InstanceInformationTypeDef,
    )

ERROR_SEPARATOR = "----------ERROR-------"
"""The agent puts this line between stdout and stderr when it sends both as one text."""

SURE_CHARACTERS = 2_300
"""ListCommandInvocations truncates output at 2,500 characters; output close to that may be truncated."""

TRUNCATION_MARK = "--output truncated--"
"""The agent's mark for truncated output."""

NOT_STARTED = -1
"""The ResponseCode of a command that has not run."""

_ENDS: Mapping[str, CommandStatus] = {
    "success": CommandStatus.SUCCESS,
    "failed": CommandStatus.FAILED,
    "accessdenied": CommandStatus.FAILED,
    "invalidplatform": CommandStatus.FAILED,
    "timedout": CommandStatus.TIMED_OUT,
    "executiontimedout": CommandStatus.TIMED_OUT,
    "deliverytimedout": CommandStatus.NOT_DELIVERED,
    "undeliverable": CommandStatus.NOT_DELIVERED,
    "cancelled": CommandStatus.CANCELLED,
    "terminated": CommandStatus.CANCELLED,
}
"""By StatusDetails, or by Status if the details are unknown."""

_UNDER_WAY = frozenset({"pending", "inprogress", "delayed", "cancelling"})

NO_STATUS = "missing"
"""In place of the ping status of a node that Systems Manager lists without one."""

_REACHES = {
    "Online": PingStatus.ONLINE,
    "ConnectionLost": PingStatus.CONNECTION_LOST,
    "Inactive": PingStatus.CONNECTION_LOST,
}


def end_of(status: str, details: str) -> CommandStatus | None:
    """How a command ended on an instance; None while Systems Manager reports it as in progress."""
    plain_status, plain_details = _plain(status), _plain(details)
    if plain_status in _UNDER_WAY:
        return None
    return _ENDS.get(plain_details) or _ENDS.get(plain_status)


def _plain(words: str) -> str:
    return words.replace(" ", "").lower()


def read_ping_status(ping_status: str) -> PingStatus:
    """Parse a PingStatus: whether Systems Manager has a connection to an instance. UNKNOWN for any new status."""
    return _REACHES.get(ping_status, PingStatus.UNKNOWN)


def managed(shape: InstanceInformationTypeDef) -> ManagedNode:
    """An instance's ping status and version, without a command. Source: PlatformName is Bottlerocket from 1.7.0 on."""
    version = None
    if shape.get("PlatformName") == "Bottlerocket":
        with suppress(ValueError):
            version = Version.parse(shape.get("PlatformVersion", ""))
    ping = shape.get("PingStatus", NO_STATUS)
    return ManagedNode(read_ping_status(ping), version, ping)


BOTTLEROCKET = "Bottlerocket"
POSSIBLE_PLATFORMS = (BOTTLEROCKET, "Amazon Linux", "")
"""The platforms of Bottlerocket hosts: before 1.7.0 they report that of their control container."""


def activated_node(shape: InstanceInformationTypeDef) -> Node | None:
    """The node if a hybrid activation registered it and it may be a Bottlerocket host; None for all others."""
    id_, platform = shape.get("InstanceId", ""), shape.get("PlatformName", "")
    if not id_.startswith("mi-") or platform not in POSSIBLE_PLATFORMS:
        return None
    return Node(id_, shape.get("IPAddress", ""), platform == BOTTLEROCKET)


def listed_answer(shape: CommandInvocationTypeDef) -> Answer:
    """One instance's result from ListCommandInvocations; its output may be truncated."""
    details = shape.get("StatusDetails") or shape.get("Status", "")
    end = end_of(shape.get("Status", ""), details)
    if end is None:
        return Answer(None, NOT_STARTED, "", "", details)
    plugins = shape.get("CommandPlugins", ())
    codes = [plugin.get("ResponseCode", NOT_STARTED) for plugin in plugins]
    parts = [_split(plugin.get("Output", "")) for plugin in plugins]
    return Answer(
        end,
        0 if end is CommandStatus.SUCCESS else _exit_code(codes),
        "\n".join(output for output, _ in parts if output),
        "\n".join(errors for _, errors in parts if errors),
        details,
        _took(shape),
    )


def _took(shape: CommandInvocationTypeDef) -> timedelta | None:
    """Time from the request to the end of the last step. The end is from the agent's clock, which NTP keeps in sync."""
    requested = shape.get("RequestedDateTime")
    finished = [at for plugin in shape.get("CommandPlugins", ()) if (at := plugin.get("ResponseFinishDateTime"))]
    return moment(max(finished)) - moment(requested) if requested is not None and finished else None


def life_of(shape: CommandTypeDef) -> timedelta | None:
    """Time from a command's request to its expiry; None if Systems Manager does not report it."""
    requested, expires = shape.get("RequestedDateTime"), shape.get("ExpiresAfter")
    return moment(expires) - moment(requested) if requested is not None and expires is not None else None


def fetched_answer(shape: GetCommandInvocationResultTypeDef, listed: Answer) -> Answer:
    """The same answer with the longer output of GetCommandInvocation."""
    return Answer(
        listed.end,
        shape.get("ResponseCode", listed.exit_code),
        shape.get("StandardOutputContent", ""),
        shape.get("StandardErrorContent", ""),
        shape.get("StatusDetails", listed.detail),
        listed.took,
    )


def joined_answer(parts: list[Answer]) -> Answer:
    """Join the answers of several steps into one."""
    return Answer(
        parts[0].end,
        _exit_code([part.exit_code for part in parts]),
        "\n".join(part.stdout for part in parts if part.stdout),
        "\n".join(part.stderr for part in parts if part.stderr),
        parts[-1].detail,
        parts[-1].took,
    )


def _exit_code(codes: list[int]) -> int:
    """The exit code of the first step that failed."""
    return next((code for code in codes if code != 0), 0) if codes else NOT_STARTED


def _split(output: str) -> tuple[str, str]:
    stdout, _, stderr = output.partition(ERROR_SEPARATOR)
    return stdout.strip("\n"), stderr.strip("\n")


def needs_fetching(listed: Answer, kind: DocumentKind) -> bool:
    """Whether the output matters and the list may have truncated it."""
    match listed.end:
        case None | CommandStatus.NOT_DELIVERED | CommandStatus.CANCELLED | CommandStatus.ABANDONED:
            return False
        case CommandStatus.SUCCESS:
            # A check's output ends with a JSON object.
            return kind is DocumentKind.CHECK and (_may_be_cut(listed) or not listed.stdout.rstrip().endswith("}"))
        case CommandStatus.FAILED | CommandStatus.TIMED_OUT:
            return _may_be_cut(listed)
        case _:
            assert_never(listed.end)


def _may_be_cut(listed: Answer) -> bool:
    text = listed.stdout + listed.stderr
    return not text or len(text) >= SURE_CHARACTERS or TRUNCATION_MARK in text
