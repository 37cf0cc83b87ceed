"""The hosts, behind Run Command of Systems Manager."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.aws.ecs_shapes import UNKNOWN_TIME, moment
from bottlerocket_ecs_updater.aws.ssm_shapes import (
    activated_node,
    end_of,
    fetched_answer,
    joined_answer,
    life_of,
    listed_answer,
    managed,
    needs_fetching,
)
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.batches import chunks, narrow, pages, sift, told_before_denied
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.aws.transport.translate import NOT_ALLOWED, CallRefused, NeverSent
from bottlerocket_ecs_updater.core.model.container_instance import ManagedNode, PingStatus
from bottlerocket_ecs_updater.core.model.ids import CommandId, InstanceId
from bottlerocket_ecs_updater.core.model.instance import Node
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind, PendingCommand
from bottlerocket_ecs_updater.engine.ports import Answer, FoundCommand, Later, Refused, Sent, Unclear
from bottlerocket_ecs_updater.errors import Denied, LeaseLapsed, NotFound, Throttled, Unreachable

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient
    from types_boto3_ssm.type_defs import (
        CommandFilterTypeDef,
        CommandInvocationTypeDef,
        CommandTypeDef,
        DescribeInstanceInformationRequestTypeDef,
        GetCommandInvocationRequestTypeDef,
        InstanceInformationTypeDef,
        ListCommandInvocationsRequestTypeDef,
        ListCommandsRequestTypeDef,
    )

SEND_MAX = 50
"""SendCommand takes so many instance ids."""

REACHED_AT_ONCE = 50
"""DescribeInstanceInformation takes a hundred ids, and gives fifty instances a page."""

ACTIVATED_PAGES = 4
"""Nodes of hybrid activations are looked for on so many pages: they serve advice alone."""

DEFAULT_VERSION = "$DEFAULT"
"""The version that whoever owns the document says is in use."""

DELIVERY_TIMEOUT_SECONDS: Mapping[DocumentKind, int] = {
    DocumentKind.CHECK: 30,
    DocumentKind.APPLY: 60,
    DocumentKind.REBOOT: 30,
    DocumentKind.BEFORE_DRAIN: 60,
    DocumentKind.AFTER_REBOOT: 60,
}
"""A command that is not delivered by then never is. 30 s is the least that Systems Manager takes."""

AT_ONCE = "50"
"""MaxConcurrency and MaxErrors: all of a batch. The default of no errors would stop a batch at its first bad host."""

COMMENT_MAX_CHARACTERS = 100

CLOCK_SKEW_MAX = timedelta(minutes=5)
"""How far our clock may be off when commands are looked for by their time: AWS takes no signature that is older."""

LONGEST_COMMAND = timedelta(hours=49)
"""No command is under way for longer, whoever sent it: a step of a document may run for 48 hours, and Systems Manager
tries to deliver one for an hour where nothing else is said. It remembers commands for thirty days."""

_ENDED_COMMANDS = frozenset({"Success", "Cancelled", "Failed", "TimedOut"})
_NOT_OFFERED_CODES = frozenset(
    {"InvalidAction", "NotImplemented", "UnknownOperation", "UnknownOperationException", "UnsupportedOperation"}
)
_NO_FILTER = _NOT_OFFERED_CODES | {"InvalidFilterKey", "ValidationException"}
_CULPRIT_CODES = frozenset({"InvalidInstanceId", "UnsupportedPlatformType", "InvalidTarget"})
_INSTANCE_ID = re.compile(r"\bm?i-[0-9a-zA-Z]+")
_OF_DOCUMENT = re.compile(r"(^|:)document/")


class SsmHosts:
    """Implements `engine.ports.Hosts`; `documents` names the Run Command document of each kind."""

    def __init__(self, clients: Pair[SSMClient], api: Api, documents: Mapping[DocumentKind, str], comment: str) -> None:
        self._clients = clients
        self._api = api
        self._documents = documents
        self._comment = comment[:COMMENT_MAX_CHARACTERS]
        self._fetched: dict[CommandId, dict[InstanceId, Answer]] = {}
        self._lives: dict[CommandId, timedelta] = {}
        """How long after it was sent each reboot command expires."""
        self._activated: dict[str, Node] = {}
        """Nodes that hybrid activations registered, as they were met."""
        self._sent: dict[CommandId, tuple[datetime, int]] = {}
        """When Systems Manager took each command, by its own clock, and for how many instances."""
        self._ahead = timedelta(0)
        """How far the clock of Systems Manager was ahead of ours when a command was last sent."""

    def reach(self, instances: Sequence[InstanceId]) -> Mapping[InstanceId, ManagedNode]:
        """What Systems Manager knows of these instances: whether it has a connection to each, and what it runs.

        They are asked for by their ids, fifty a call: an account may have thousands of other managed nodes. One that it
        knows by another id than ECS does, as after a hybrid activation, is left out, as one that it does not know.
        """
        found: dict[InstanceId, ManagedNode] = {}
        for some in chunks(instances, REACHED_AT_ONCE):
            found |= narrow(some, self._reach, lambda _, __: ManagedNode(PingStatus.UNKNOWN))
        return found

    def _reach(self, instances: Sequence[InstanceId]) -> Mapping[InstanceId, ManagedNode]:
        found: dict[InstanceId, ManagedNode] = {}
        request: DescribeInstanceInformationRequestTypeDef = {
            "MaxResults": REACHED_AT_ONCE,
            "Filters": [{"Key": "InstanceIds", "Values": instances}],
        }

        def ask(token: str | None) -> str | None:
            asked: DescribeInstanceInformationRequestTypeDef = {**request, "NextToken": token} if token else request
            method = self._clients.looking.describe_instance_information
            reply = self._api.look(Operation.DESCRIBE_INSTANCE_INFORMATION, "*", method, **asked)
            for shape in reply.get("InstanceInformationList", ()):
                found[InstanceId(shape.get("InstanceId", ""))] = managed(shape)
                self._note_activated(shape)
            # Pages may go on though all were told of: nobody else is asked about.
            return reply.get("NextToken") if any(id_ not in found for id_ in instances) else None

        for _ in pages(ask, lambda token: token):
            pass
        return found

    def activated(self) -> Sequence[Node]:
        """Nodes that hybrid activations registered, as far as a few pages tell: an account may have thousands."""
        request: DescribeInstanceInformationRequestTypeDef = {
            "MaxResults": REACHED_AT_ONCE,
            "Filters": [{"Key": "ResourceType", "Values": ["ManagedInstance"]}],
        }
        token: str | None = None
        for _ in range(ACTIVATED_PAGES):
            asked: DescribeInstanceInformationRequestTypeDef = {**request, "NextToken": token} if token else request
            method = self._clients.looking.describe_instance_information
            reply = self._api.look(Operation.DESCRIBE_INSTANCE_INFORMATION, "*", method, **asked)
            for shape in reply.get("InstanceInformationList", ()):
                self._note_activated(shape)
            token = reply.get("NextToken")
            if not token:
                break
        return tuple(self._activated.values())

    def _note_activated(self, shape: InstanceInformationTypeDef) -> None:
        node = activated_node(shape)
        if node is not None:
            self._activated[node.id] = node

    # Sending

    def prove_document(self, kind: DocumentKind) -> None:
        """See that there is such a document. Raises NotFound, and Denied where it may not be looked at."""
        name = self._documents.get(kind)
        if name is not None:
            method = self._clients.looking.describe_document
            self._api.look(Operation.DESCRIBE_DOCUMENT, f"document {name}", method, Name=name)

    def send(self, kind: DocumentKind, instances: Sequence[InstanceId]) -> Sent:
        """Send a document, fifty instances a call, each call once.

        Instances that AWS does not allow it to are found, and cost no other its command. Raises Denied where AWS says
        that of the document, and NotFound for the document, where nothing was sent. The operator's document after the
        reboot raises neither: it is refused then, host by host.
        """
        telling = told_before_denied(lambda group: self._send_group(kind, group), _denied_ones)
        results = sift(list(dict.fromkeys(instances)), SEND_MAX, telling, _denied_ones)
        denials = {id_: result for id_, result in results.items() if isinstance(result, Denied)}
        if kind is DocumentKind.AFTER_REBOOT:
            results |= {id_: Refused(str(denial)) for id_, denial in denials.items()}
            denials = {}
        return Sent(
            commands={id_: result for id_, result in results.items() if isinstance(result, str)},
            refused={id_: result.why for id_, result in results.items() if isinstance(result, Refused)},
            unclear={id_: result.why for id_, result in results.items() if isinstance(result, Unclear)},
            later={id_: result.why for id_, result in results.items() if isinstance(result, Later)},
            denied={id_: str(denial).removeprefix(NOT_ALLOWED) for id_, denial in denials.items()},
            lives=self._lives,
        )

    def _send_group(
        self, kind: DocumentKind, group: Sequence[InstanceId]
    ) -> Mapping[InstanceId, CommandId | Refused | Later | Unclear]:
        """Send to all of them, or raise Denied for all; what is denied after a part was sent is for later."""
        return narrow(group, told_before_denied(lambda batch: self._send(kind, batch)), _refused, _suspects)

    def _send(
        self, kind: DocumentKind, batch: Sequence[InstanceId]
    ) -> Mapping[InstanceId, CommandId | Refused | Later | Unclear]:
        document = self._documents[kind]
        try:
            reply = self._api.act(
                Operation.SEND_COMMAND,
                f"document {document}",
                self._clients.acting.send_command,
                DocumentName=document,
                DocumentVersion=DEFAULT_VERSION,
                InstanceIds=batch,
                TimeoutSeconds=DELIVERY_TIMEOUT_SECONDS[kind],
                Comment=self._comment,
                MaxConcurrency=AT_ONCE,
                MaxErrors=AT_ONCE,
            )
        except (Throttled, NeverSent, LeaseLapsed) as error:
            # One that lapsed is said again at the next look; what was done before is not lost with an error.
            return dict.fromkeys(batch, Later(str(error)))
        except Unreachable as error:
            return dict.fromkeys(batch, Unclear(str(error)))
        except (Denied, NotFound) as error:
            single = isinstance(error, Denied) and _denied_ones(error) is not None
            if single or kind is not DocumentKind.AFTER_REBOOT:
                raise
            # These hosts are out of service because of us: what is wrong with the operator's document ends no run
            # that has them in hand, and is told of each.
            return dict.fromkeys(batch, Refused(str(error)))
        except CallRefused as refusal:
            if refusal.code in _CULPRIT_CODES:
                raise
            # What is wrong is the call, not an instance: parts of it would be refused just the same.
            return dict.fromkeys(batch, Refused(str(refusal)))
        shape = reply.get("Command", {})
        if "RequestedDateTime" in shape:
            self._ahead = moment(shape["RequestedDateTime"]) - self._api.now()
        command = shape.get("CommandId")
        if not command:
            return dict.fromkeys(batch, Unclear("Systems Manager named no command in its answer"))
        if "RequestedDateTime" in shape:
            self._sent[CommandId(command)] = moment(shape["RequestedDateTime"]), len(batch)
        life = life_of(shape)
        if kind is DocumentKind.REBOOT and life is not None:
            self._lives[CommandId(command)] = life
        return dict.fromkeys(batch, CommandId(command))

    def cancel(self, command: CommandId, instances: Sequence[InstanceId]) -> None:
        """Call a command back where that still can be done. Raises Denied."""
        for some in chunks(instances, SEND_MAX):
            method = self._clients.acting.cancel_command
            try:
                self._api.act(Operation.CANCEL_COMMAND, command, method, CommandId=command, InstanceIds=some)
            except (CallRefused, NotFound, Throttled, Unreachable):
                # Nothing rests on it: a command that was not called back shows in what the host says later.
                continue

    # Hearing

    def answers(self, command: CommandId, kind: DocumentKind) -> Mapping[InstanceId, Answer]:
        """What is known of a command, by instance; output is fetched singly only where it matters and may be cut."""
        return self._read(command, kind, self._invocations(command, details=True))

    def answers_to(
        self, commands: Sequence[CommandId], kind: DocumentKind
    ) -> Mapping[CommandId, Mapping[InstanceId, Answer]]:
        """What is known of several commands of one document: those that this run sent are listed together."""
        together = [command for command in commands if command in self._sent]
        listed = self._listed_together(together, kind) if len(together) > 1 else {}
        found = {command: self._read(command, kind, shapes) for command, shapes in listed.items()}
        return found | {command: self.answers(command, kind) for command in commands if command not in found}

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
            # Nobody asks again about a command that has ended everywhere.
            self._fetched.pop(command, None)
        return found

    def _listed_together(
        self, commands: Sequence[CommandId], kind: DocumentKind
    ) -> Mapping[CommandId, Sequence[CommandInvocationTypeDef]]:
        """The invocations of these commands, as far as fewer pages than commands show all of each.

        Other clusters may use the same document at the same time: what their invocations keep from the pages is left
        out, and asked for by the id of its command. So is everything where the document goes by its ARN, which the
        filter does not take for certain.
        """
        document = self._documents[kind]
        if _OF_DOCUMENT.search(document):
            return {}
        # By Systems Manager's own clock, in whole seconds: what it took before the first of them is not asked for.
        after = min(self._sent[command][0] for command in commands).astimezone(UTC) - timedelta(seconds=1)
        request: ListCommandInvocationsRequestTypeDef = {
            "Details": True,
            "MaxResults": 50,
            "Filters": [
                {"key": "DocumentName", "value": document},
                {"key": "InvokedAfter", "value": f"{after:%Y-%m-%dT%H:%M:%SZ}"},
            ],
        }
        listed: dict[CommandId, list[CommandInvocationTypeDef]] = {command: [] for command in commands}
        for shapes in islice(self._invocation_pages(request, "*"), len(commands) - 1):
            for shape in shapes:
                listed.get(CommandId(shape.get("CommandId", "")), []).append(shape)
            if all(self._all_shown(command, listed[command]) for command in commands):
                break
        return {command: shapes for command, shapes in listed.items() if self._all_shown(command, shapes)}

    def _all_shown(self, command: CommandId, shapes: Sequence[CommandInvocationTypeDef]) -> bool:
        return len({shape.get("InstanceId", "") for shape in shapes}) >= self._sent[command][1]

    def _in_full(
        self, command: CommandId, kind: DocumentKind, id_: InstanceId, shape: CommandInvocationTypeDef
    ) -> Answer | None:
        listed = listed_answer(shape)
        plugins = shape.get("CommandPlugins", ())
        if not needs_fetching(listed, kind):
            return listed
        kept = self._fetched.setdefault(command, {})
        if id_ not in kept:
            # A document of several steps has an output for each, and must be asked for them by name.
            steps = [plugin.get("Name", "") for plugin in plugins] if len(plugins) > 1 else [""]
            parts = [self._fetch(command, id_, step, listed) for step in steps]
            whole = [part for part in parts if part is not None]
            if len(whole) < len(parts):
                return None
            kept[id_] = joined_answer(whole)
        return kept[id_]

    def _fetch(self, command: CommandId, id_: InstanceId, step: str, listed: Answer) -> Answer | None:
        """One step's output, None where Systems Manager does not have it yet."""
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

    def _invocations(self, command: CommandId, *, details: bool) -> Iterator[CommandInvocationTypeDef]:
        request: ListCommandInvocationsRequestTypeDef = {"CommandId": command, "Details": details, "MaxResults": 50}
        for shapes in self._invocation_pages(request, command):
            yield from shapes

    def _invocation_pages(
        self, request: ListCommandInvocationsRequestTypeDef, what: str
    ) -> Iterator[Sequence[CommandInvocationTypeDef]]:
        def ask(token: str | None) -> tuple[Sequence[CommandInvocationTypeDef], str | None]:
            asked: ListCommandInvocationsRequestTypeDef = {**request, "NextToken": token} if token else request
            method = self._clients.looking.list_command_invocations
            try:
                reply = self._api.look(Operation.LIST_COMMAND_INVOCATIONS, what, method, **asked)
            except CallRefused as refusal:
                if refusal.code == "InvalidCommandId" or (not request.get("CommandId") and refusal.code in _NO_FILTER):
                    # Sent a moment ago, it is not known everywhere yet; or commands must be asked for one by one.
                    return (), None
                raise
            return reply.get("CommandInvocations", ()), reply.get("NextToken")

        for shapes, _ in pages(ask, lambda page: page[1]):
            yield shapes

    # What others, or a run before this one, have sent

    def under_way(self, kind: DocumentKind, since: datetime | None = None) -> Mapping[InstanceId, PendingCommand]:
        """Commands of the kind's document, whoever sent them since then or ever, that have not ended, by instance.

        Ever is as far back as one may still be under way. Where an instance has several, the last one counts. Empty
        where Systems Manager does not offer the list.
        """
        pending_commands: dict[InstanceId, PendingCommand] = {}
        for shape in sorted(self._open_commands(kind, since), key=_requested):
            # Limits are measured on our clock, on which nothing was sent in the future.
            sent_at = min(_requested(shape), self._api.now())
            pending = PendingCommand(kind, CommandId(shape.get("CommandId", "")), sent_at)
            ends = {
                InstanceId(one.get("InstanceId", "")): end_of(one.get("Status", ""), one.get("StatusDetails", ""))
                for one in self._invocations(pending.command, details=False)
            }
            # An instance that is not listed yet was only just sent to.
            targets = ends.keys() | {InstanceId(id_) for id_ in shape.get("InstanceIds", ())}
            pending_commands |= {id_: pending for id_ in targets if ends.get(id_) is None}
        return pending_commands

    def listed(self, kind: DocumentKind, since: datetime) -> Mapping[InstanceId, Sequence[FoundCommand]]:
        """Commands of the kind's document that were sent since then, ended or not, the oldest first, by instance."""
        found: dict[InstanceId, list[FoundCommand]] = {}
        shapes = self._commands(kind, since)
        for shape in sorted(shapes, key=_requested):
            command = CommandId(shape.get("CommandId", ""))
            sent_at = min(_requested(shape) - self._ahead, self._api.now())
            listed = self._invocations(command, details=True)
            answers = {InstanceId(one.get("InstanceId", "")): listed_answer(one) for one in listed}
            for id_ in answers.keys() | {InstanceId(id_) for id_ in shape.get("InstanceIds", ())}:
                one = FoundCommand(command, sent_at, life_of(shape), answers.get(id_))
                found.setdefault(id_, []).append(one)
        return found

    def _open_commands(self, kind: DocumentKind, since: datetime | None) -> Sequence[CommandTypeDef]:
        return [shape for shape in self._commands(kind, since) if shape.get("Status", "") not in _ENDED_COMMANDS]

    def _commands(self, kind: DocumentKind, since: datetime | None) -> Sequence[CommandTypeDef]:
        document = self._documents[kind]
        filters: list[CommandFilterTypeDef] = [{"key": "DocumentName", "value": document}]
        earliest = UNKNOWN_TIME
        if since is not None:
            earliest = since.astimezone(UTC).replace(microsecond=0) + self._ahead - CLOCK_SKEW_MAX
            filters.append({"key": "InvokedAfter", "value": f"{earliest:%Y-%m-%dT%H:%M:%SZ}"})

        def ask(token: str | None) -> tuple[Sequence[CommandTypeDef], str | None]:
            request: ListCommandsRequestTypeDef = {"MaxResults": 50, "Filters": filters}
            if token:
                request["NextToken"] = token
            try:
                reply = self._api.look(Operation.LIST_COMMANDS, "*", self._clients.looking.list_commands, **request)
            except CallRefused as refusal:
                if refusal.code in _NOT_OFFERED_CODES:
                    return (), None
                raise
            return reply.get("Commands", ()), reply.get("NextToken")

        found: list[CommandTypeDef] = []
        for shapes, _ in pages(ask, lambda page: page[1]):
            found += shapes
            if since is None:
                # The newest come first, and say what the time is at Systems Manager, whatever our own clock says.
                earliest = max([earliest, *(_requested(shape) - LONGEST_COMMAND for shape in shapes if _dated(shape))])
            if shapes and all(_dated(shape) and _requested(shape) < earliest for shape in shapes):
                break
        return [
            shape
            for shape in found
            if _same_document(shape.get("DocumentName", ""), document) and _requested(shape) >= earliest
        ]


def _dated(shape: CommandTypeDef) -> bool:
    return "RequestedDateTime" in shape


def _requested(shape: CommandTypeDef) -> datetime:
    return moment(shape.get("RequestedDateTime"))


def _same_document(one: str, other: str) -> bool:
    """A document of one's own goes by its name or by its ARN."""
    return one.rpartition("/")[2] == other.rpartition("/")[2]


def _refused(_: InstanceId, refusal: CallRefused) -> Refused:
    return Refused(str(refusal))


def _denied_ones(denial: Denied) -> Collection[str] | None:
    """The instances that a denial of a command names, if any; None where it is no instance's."""
    if denial.action != Operation.SEND_COMMAND.action:
        return None
    if not denial.named:
        return ()
    return None if _OF_DOCUMENT.search(denial.resource) else set(_INSTANCE_ID.findall(denial.resource))


def _suspects(refusal: CallRefused) -> Collection[str]:
    """The instances that a refusal names: "Instances [[i-0123]] not in a valid state for account 111122223333"."""
    return set(_INSTANCE_ID.findall(refusal.message))
