"""The commands that Systems Manager lists for a document, from any sender."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.aws.ecs_shapes import UNKNOWN_TIME, moment
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.batches import pages
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.aws.transport.translate import CallRefused

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient
    from types_boto3_ssm.type_defs import CommandFilterTypeDef, CommandTypeDef, ListCommandsRequestTypeDef

CLOCK_SKEW_MAX = timedelta(minutes=5)
"""How far our clock may be off when commands are searched by time: AWS rejects signatures with a larger skew."""

LONGEST_COMMAND = timedelta(hours=49)
"""No command is in progress for longer: a document step may run for 48 hours, and by default Systems Manager tries to
deliver a command for an hour. It keeps commands for thirty days."""

NOT_OFFERED_CODES = frozenset(
    {"InvalidAction", "NotImplemented", "UnknownOperation", "UnknownOperationException", "UnsupportedOperation"}
)
"""Codes of services that do not have an operation."""


def commands_of(
    document: str, since: datetime | None, clients: Pair[SSMClient], api: Api, ahead: timedelta
) -> Sequence[CommandTypeDef]:
    """Commands for a document, from any sender; none if the service does not offer ListCommands.

    Without `since`, goes back as far as a command may still be in progress. `ahead` is how far the clock of Systems
    Manager is ahead of ours.
    """
    filters: list[CommandFilterTypeDef] = [{"key": "DocumentName", "value": document}]
    earliest = UNKNOWN_TIME
    if since is not None:
        earliest = since.astimezone(UTC).replace(microsecond=0) + ahead - CLOCK_SKEW_MAX
        filters.append({"key": "InvokedAfter", "value": f"{earliest:%Y-%m-%dT%H:%M:%SZ}"})

    def ask(token: str | None) -> tuple[Sequence[CommandTypeDef], str | None]:
        request: ListCommandsRequestTypeDef = {"MaxResults": 50, "Filters": filters}
        if token:
            request["NextToken"] = token
        try:
            reply = api.look(Operation.LIST_COMMANDS, "*", clients.looking.list_commands, **request)
        except CallRefused as refusal:
            if refusal.code in NOT_OFFERED_CODES:
                return (), None
            raise
        return reply.get("Commands", ()), reply.get("NextToken")

    found: list[CommandTypeDef] = []
    for shapes, _ in pages(ask, lambda page: page[1]):
        found += shapes
        if since is None:
            # The newest come first. They show the time at Systems Manager, even if our own clock is wrong.
            earliest = max([earliest, *(requested_at(shape) - LONGEST_COMMAND for shape in shapes if _dated(shape))])
        if shapes and all(_dated(shape) and requested_at(shape) < earliest for shape in shapes):
            break
    return [
        shape
        for shape in found
        if _same_document(shape.get("DocumentName", ""), document) and requested_at(shape) >= earliest
    ]


def _dated(shape: CommandTypeDef) -> bool:
    return "RequestedDateTime" in shape


def requested_at(shape: CommandTypeDef) -> datetime:
    """When Systems Manager accepted the command, by its own clock."""
    return moment(shape.get("RequestedDateTime"))


def _same_document(one: str, other: str) -> bool:
    """A document in one's own account may be given by name or by ARN."""
    return one.rpartition("/")[2] == other.rpartition("/")[2]
