"""Reads the results of commands from Systems Manager: several in one list if that saves calls, and output in full."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.aws.ssm_commands import NOT_OFFERED_CODES
from bottlerocket_ecs_updater.aws.ssm_lists import COMMANDS_PER_CALL, CommandList, CommandLists
from bottlerocket_ecs_updater.aws.ssm_shapes import fetched_answer, joined_answer, listed_answer, needs_fetching
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.batches import pages
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.aws.transport.translate import CallRefused
from bottlerocket_ecs_updater.core.model.ids import CommandId, InstanceId
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.engine.ports import Answer

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient
    from types_boto3_ssm.type_defs import (
        CommandFilterTypeDef,
        CommandInvocationTypeDef,
        GetCommandInvocationRequestTypeDef,
        ListCommandInvocationsRequestTypeDef,
    )

NONE_ALONG: Mapping[CommandId, DocumentKind] = {}

OF_DOCUMENT = re.compile(r"(^|:)document/")
"""Found in the ARN of a document, after its account."""

_NO_FILTER = NOT_OFFERED_CODES | {"InvalidFilterKey", "ValidationException"}


class CommandResultReader:
    """Reads results. `documents` names the Run Command document of each kind."""

    def __init__(self, clients: Pair[SSMClient], api: Api, documents: Mapping[DocumentKind, str]) -> None:
        self._clients = clients
        self._api = api
        self._documents = documents
        self._fetched: dict[CommandId, dict[InstanceId, Answer]] = {}
        """Output that was read for each instance, until its command has ended on all of them."""
        self.lists = CommandLists()
        """The commands that this run sent; `SsmHosts` notes them."""

    def of(self, command: CommandId, kind: DocumentKind) -> Mapping[InstanceId, Answer]:
        """Results of a command, by instance. Output is fetched per instance only if it matters and may be truncated."""
        return self._read(command, kind, self.invocations(command, details=True))

    def of_several(
        self, commands: Mapping[CommandId, DocumentKind], along: Mapping[CommandId, DocumentKind] = NONE_ALONG
    ) -> Mapping[CommandId, Mapping[InstanceId, Answer]]:
        """Results of several commands. Those that this run sent are listed together.

        Those in `along` are left out if the same pages do not show them.
        """
        found: dict[CommandId, Mapping[InstanceId, Answer]] = {}
        for one in self.lists.plan(commands, along, self._api.now()):
            shapes = self._listed_together(one)
            found |= {command: self._read(command, one.commands[command], shown) for command, shown in shapes.items()}
        unlisted = {command: kind for command, kind in commands.items() if command not in found}
        return found | {command: self.of(command, kind) for command, kind in unlisted.items()}

    def on_instance(
        self, instance: InstanceId, commands: Mapping[CommandId, DocumentKind]
    ) -> Mapping[CommandId, Mapping[InstanceId, Answer]]:
        """Results of several commands on one instance. Those that the first page does not show are read by their id."""
        after = self.lists.sent_after(commands.keys())
        request: ListCommandInvocationsRequestTypeDef = {"InstanceId": instance, "Details": True, "MaxResults": 50}
        if after is not None:
            request["Filters"] = [_invoked_after(after)]
        shapes, _ = next(self._invocation_pages(request, instance), ((), False))
        found: dict[CommandId, Mapping[InstanceId, Answer]] = {}
        for command, kind in commands.items():
            shown = [shape for shape in shapes if shape.get("CommandId") == command]
            found[command] = self._read(command, kind, shown) if shown else self.of(command, kind)
        return found

    def _read(
        self, command: CommandId, kind: DocumentKind, shapes: Iterable[CommandInvocationTypeDef]
    ) -> Mapping[InstanceId, Answer]:
        found: dict[InstanceId, Answer] = {}
        for shape in shapes:
            id_ = InstanceId(shape.get("InstanceId", ""))
            answer = self._in_full(command, kind, id_, shape)
            if answer is not None:
                found[id_] = answer
        if all(answer.end is not None for answer in found.values()):
            # The command has ended on every instance, so this is the last call for it.
            self._fetched.pop(command, None)
        return found

    def _listed_together(self, wanted: CommandList) -> Mapping[CommandId, Sequence[CommandInvocationTypeDef]]:
        """The invocations of these commands. Commands that the list does not show in full are left out.

        Others may send commands at the same time, and their invocations fill pages; a command that is left out is read
        by its id. Commands of one document are listed by its name, but never by its ARN, which the filter may not
        accept.
        """
        documents = {self._documents[kind] for kind in wanted.commands.values()}
        named: list[CommandFilterTypeDef] = [
            {"key": "DocumentName", "value": document}
            for document in documents
            if len(documents) == 1 and not OF_DOCUMENT.search(document)
        ]
        request: ListCommandInvocationsRequestTypeDef = {
            "Details": True,
            "MaxResults": COMMANDS_PER_CALL,
            "Filters": [*named, _invoked_after(wanted.after)],
        }
        listed: dict[CommandId, list[CommandInvocationTypeDef]] = {command: [] for command in wanted.commands}
        shown: dict[CommandId, Sequence[CommandInvocationTypeDef]] = {}
        more = False
        for page in islice(self._invocation_pages(request, "*"), wanted.pages):
            shapes, more = page
            for shape in shapes:
                listed.get(CommandId(shape.get("CommandId", "")), []).append(shape)
            shown = {command: found for command, found in listed.items() if self._all_shown(command, found)}
            if len(shown) == len(listed):
                return shown
        if more:
            # A list that ends without a command says nothing about others: the command was just sent.
            self.lists.note_crowded(self._api.now())
        return shown

    def _all_shown(self, command: CommandId, shapes: Sequence[CommandInvocationTypeDef]) -> bool:
        return self.lists.shows_all(command, len({shape.get("InstanceId", "") for shape in shapes}))

    def _in_full(
        self, command: CommandId, kind: DocumentKind, id_: InstanceId, shape: CommandInvocationTypeDef
    ) -> Answer | None:
        listed = listed_answer(shape)
        plugins = shape.get("CommandPlugins", ())
        if not needs_fetching(listed, kind):
            return listed
        kept = self._fetched.setdefault(command, {})
        if id_ not in kept:
            # A document with several steps has an output for each. Each is fetched by the step's name.
            steps = [plugin.get("Name", "") for plugin in plugins] if len(plugins) > 1 else [""]
            parts = [self._fetch(command, id_, step, listed) for step in steps]
            whole = [part for part in parts if part is not None]
            if len(whole) < len(parts):
                return None
            kept[id_] = joined_answer(whole)
        return kept[id_]

    def _fetch(self, command: CommandId, id_: InstanceId, step: str, listed: Answer) -> Answer | None:
        """One step's output; None if Systems Manager does not have it yet."""
        request: GetCommandInvocationRequestTypeDef = {"CommandId": command, "InstanceId": id_}
        if step:
            request["PluginName"] = step
        method = self._clients.looking.get_command_invocation
        try:
            reply = self._api.look(Operation.GET_COMMAND_INVOCATION, command, method, **request)
        except CallRefused as refusal:
            if refusal.code == "InvocationDoesNotExist":
                return None
            return listed
        return fetched_answer(reply, listed)

    def invocations(self, command: CommandId, *, details: bool) -> Iterator[CommandInvocationTypeDef]:
        """A command's invocations on its instances, from all pages."""
        request: ListCommandInvocationsRequestTypeDef = {"CommandId": command, "Details": details, "MaxResults": 50}
        for shapes, _ in self._invocation_pages(request, command):
            yield from shapes

    def _invocation_pages(
        self, request: ListCommandInvocationsRequestTypeDef, what: str
    ) -> Iterator[tuple[Sequence[CommandInvocationTypeDef], bool]]:
        """The pages of a list, each with whether there are more."""

        def ask(token: str | None) -> tuple[Sequence[CommandInvocationTypeDef], str | None]:
            asked: ListCommandInvocationsRequestTypeDef = {**request, "NextToken": token} if token else request
            method = self._clients.looking.list_command_invocations
            try:
                reply = self._api.look(Operation.LIST_COMMAND_INVOCATIONS, what, method, **asked)
            except CallRefused as refusal:
                if refusal.code == "InvalidCommandId" or (not request.get("CommandId") and refusal.code in _NO_FILTER):
                    # It was just sent, and Systems Manager is eventually consistent; or the filters are not offered.
                    return (), None
                raise
            return reply.get("CommandInvocations", ()), reply.get("NextToken")

        for shapes, token in pages(ask, lambda page: page[1]):
            yield shapes, bool(token)


def _invoked_after(first: datetime) -> CommandFilterTypeDef:
    """Nothing older than the first command is listed, by Systems Manager's own clock, in whole seconds."""
    after = first.astimezone(UTC) - timedelta(seconds=1)
    return {"key": "InvokedAfter", "value": f"{after:%Y-%m-%dT%H:%M:%SZ}"}
