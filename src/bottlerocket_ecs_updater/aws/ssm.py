"""Sends commands to hosts with Run Command of Systems Manager: implements `engine.ports.Hosts`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.aws.ecs_shapes import moment
from bottlerocket_ecs_updater.aws.ssm_commands import commands_of, requested_at
from bottlerocket_ecs_updater.aws.ssm_nodes import SsmNodes
from bottlerocket_ecs_updater.aws.ssm_results import NONE_ALONG, OF_DOCUMENT, CommandResultReader
from bottlerocket_ecs_updater.aws.ssm_shapes import end_of, life_of, listed_answer
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.batches import chunks, keep_earlier_results, narrow, sift
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.aws.transport.translate import NOT_ALLOWED, CallRefused, NeverSent
from bottlerocket_ecs_updater.core.model.container_instance import ManagedNode
from bottlerocket_ecs_updater.core.model.ids import BootId, CommandId, InstanceId
from bottlerocket_ecs_updater.core.model.instance import Node
from bottlerocket_ecs_updater.core.model.reboots import BoundTo
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind, PendingCommand
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.engine.ports import Answer, FoundCommand, Later, Refused, Sent, Unclear
from bottlerocket_ecs_updater.errors import Denied, LeaseLapsed, NotFound, Throttled, Unreachable

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient
    from types_boto3_ssm.type_defs import (
        CommandTypeDef,
        DescribeDocumentResultTypeDef,
    )

SEND_MAX = 50
"""Limit of instance ids for SendCommand."""

DEFAULT_VERSION = "$DEFAULT"
"""The version that the document's owner set as the default."""

DELIVERY_TIMEOUT_SECONDS: Mapping[DocumentKind, int] = {
    DocumentKind.CHECK: 30,
    DocumentKind.APPLY: 60,
    DocumentKind.REBOOT: 30,
    DocumentKind.BEFORE_DRAIN: 60,
    DocumentKind.AFTER_REBOOT: 60,
}
"""A command that is not delivered by then is never delivered. Systems Manager accepts 30 s or more."""

MAX_CONCURRENCY = "50"
"""MaxConcurrency and MaxErrors: the whole batch. By default, the first failed host would stop the batch."""

REPLACE = "replace"
"""The apply document's parameter: the staged version to cancel first. It is given only if there is one."""

BOOTS_PARAMETER, VERSION_PARAMETER = "boots", "version"
"""The reboot document's parameters: the boots on which a host reboots, and the version into which."""

NO_SUCH_PARAMETERS = "InvalidParameters"
"""The error for parameters that the document does not declare."""

DESCRIBED_TRIES = 3
"""If AWS has not described the reboot document by then, it is used without parameters: a host that is drained must not
wait for an answer that may never come.
"""

Parameters = Mapping[str, Sequence[str]]

COMMENT_MAX_CHARACTERS = 100

_ENDED_COMMANDS = frozenset({"Success", "Cancelled", "Failed", "TimedOut"})
_CULPRIT_CODES = frozenset({"InvalidInstanceId", "UnsupportedPlatformType", "InvalidTarget"})
_INSTANCE_ID = re.compile(r"\bm?i-[0-9a-zA-Z]+")


class SsmHosts:
    """Implements `engine.ports.Hosts`; `documents` names the Run Command document of each kind."""

    def __init__(self, clients: Pair[SSMClient], api: Api, documents: Mapping[DocumentKind, str], comment: str) -> None:
        self._clients = clients
        self._api = api
        self._documents = documents
        self._comment = comment[:COMMENT_MAX_CHARACTERS]
        self._nodes = SsmNodes(clients, api)
        self._lives: dict[CommandId, timedelta] = {}
        """Time from sending to expiry, for each reboot command."""
        self._results = CommandResultReader(clients, api, documents)
        self._lacks: str | None = None
        """Why reboots cannot be bound, or empty; None if the reboot document was not described yet."""
        self._undescribed = 0
        """How often AWS did not answer when the reboot document was to be described."""
        self._ahead = timedelta(0)
        """How far the clock of Systems Manager was ahead of ours when a command was last sent."""

    def reach(self, instances: Sequence[InstanceId]) -> Mapping[InstanceId, ManagedNode]:
        """Whether Systems Manager has a connection to each of these instances, and the version that each runs."""
        return self._nodes.reach(instances)

    def activated(self) -> Sequence[Node]:
        """Nodes from hybrid activations, from the first few pages."""
        return self._nodes.activated()

    # Sending

    def check_document_exists(self, kind: DocumentKind) -> None:
        """Check that the document exists. Raises NotFound, and Denied if AWS denies the call."""
        if kind in self._documents:
            self._describe(kind)

    def _describe(self, kind: DocumentKind, **version: str) -> DescribeDocumentResultTypeDef:
        name, method = self._documents[kind], self._clients.looking.describe_document
        return self._api.look(Operation.DESCRIBE_DOCUMENT, f"document {name}", method, Name=name, **version)

    def send(
        self,
        kind: DocumentKind,
        instances: Sequence[InstanceId],
        replaces: Version | None = None,
        bound_to: BoundTo | None = None,
    ) -> Sent:
        """Send a document, 50 instances a call. Each call is made once.

        If AWS denies the command for some instances, the others still get it. Raises Denied if AWS denies the document,
        and NotFound if the document does not exist; in both cases nothing was sent. The operator's after-reboot
        document raises neither: the result of each host is then `Refused`.
        """
        if bound_to is not None:
            try:
                lacks = self._lacks_parameters(kind)
            except (Throttled, Unreachable) as error:
                self._undescribed += 1
                if self._undescribed < DESCRIBED_TRIES:
                    return Sent({}, {}, {}, dict.fromkeys(instances, str(error)))
                self._lacks = lacks = f"its parameters could not be read: {error}"
            if lacks:
                return Sent({}, {}, {}, {}, not_bound=dict.fromkeys(instances, lacks))
        parameters = _parameters(replaces, bound_to)
        attempt_batch = keep_earlier_results(lambda group: self._send_group(kind, group, parameters), _denied_ones)
        results = sift(list(dict.fromkeys(instances)), SEND_MAX, attempt_batch, _denied_ones)
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
            not_bound={id_: result.why for id_, result in results.items() if isinstance(result, _NotBound)},
            lives=self._lives,
        )

    def _lacks_parameters(self, kind: DocumentKind) -> str:
        """Why hosts would not check the boot and the version; empty if the document declares both parameters.

        Systems Manager should refuse undeclared parameters, but the updater does not rely on that: a document without
        parameters reboots a host on any boot.
        """
        if self._lacks is None:
            try:
                reply = self._describe(kind, DocumentVersion=DEFAULT_VERSION)
            except (Denied, NotFound, CallRefused) as error:
                self._lacks = str(error) or "its parameters are not known"
            else:
                declared = {one.get("Name") for one in reply.get("Document", {}).get("Parameters", ())}
                self._lacks = (
                    ""
                    if {BOOTS_PARAMETER, VERSION_PARAMETER} <= declared
                    else f"the document {self._documents[kind]} does not declare them"
                )
        return self._lacks

    def _send_group(
        self, kind: DocumentKind, group: Sequence[InstanceId], parameters: Parameters
    ) -> Mapping[InstanceId, _SendResult]:
        """Send to all of them, or raise Denied for all. A denial after a part was sent becomes `Later`."""
        return narrow(
            group, keep_earlier_results(lambda batch: self._send(kind, batch, parameters)), _refused, _suspects
        )

    def _send(
        self, kind: DocumentKind, batch: Sequence[InstanceId], parameters: Parameters
    ) -> Mapping[InstanceId, _SendResult]:
        document, method = self._documents[kind], self._clients.acting.send_command
        if parameters:
            method = partial(method, Parameters=parameters)
        try:
            reply = self._api.act(
                Operation.SEND_COMMAND,
                f"document {document}",
                method,
                DocumentName=document,
                DocumentVersion=DEFAULT_VERSION,
                InstanceIds=batch,
                TimeoutSeconds=DELIVERY_TIMEOUT_SECONDS[kind],
                Comment=self._comment,
                MaxConcurrency=MAX_CONCURRENCY,
                MaxErrors=MAX_CONCURRENCY,
            )
        except (Throttled, NeverSent, LeaseLapsed) as error:
            # The next look raises a lapsed lease again; returning here keeps the results of what was done before.
            return dict.fromkeys(batch, Later(str(error)))
        except Unreachable as error:
            return dict.fromkeys(batch, Unclear(str(error)))
        except (Denied, NotFound) as error:
            single = isinstance(error, Denied) and _denied_ones(error) is not None
            if single or kind is not DocumentKind.AFTER_REBOOT:
                raise
            # These hosts are out of service because of us. A fault in the operator's document must not end the run
            # that updates them, so report it for each host.
            return dict.fromkeys(batch, Refused(str(error)))
        except CallRefused as refusal:
            if refusal.code in _CULPRIT_CODES:
                raise
            # The call is wrong, not an instance: smaller batches would fail the same way.
            return dict.fromkeys(batch, _refusal(refusal, parameters))
        shape = reply.get("Command", {})
        if "RequestedDateTime" in shape:
            self._ahead = moment(shape["RequestedDateTime"]) - self._api.now()
        command = shape.get("CommandId")
        if not command:
            return dict.fromkeys(batch, Unclear("Systems Manager's reply contains no command id"))
        if "RequestedDateTime" in shape:
            self._results.lists.note_sent(CommandId(command), kind, moment(shape["RequestedDateTime"]), len(batch))
        life = life_of(shape)
        if kind is DocumentKind.REBOOT and life is not None:
            self._lives[CommandId(command)] = life
        return dict.fromkeys(batch, CommandId(command))

    def cancel(self, command: CommandId, instances: Sequence[InstanceId]) -> None:
        """Cancel a command if that is still possible. Raises Denied."""
        for some in chunks(instances, SEND_MAX):
            method = self._clients.acting.cancel_command
            try:
                self._api.act(Operation.CANCEL_COMMAND, command, method, CommandId=command, InstanceIds=some)
            except (CallRefused, NotFound, Throttled, Unreachable):
                # Nothing depends on it: if the command still runs, the host's later checks show that.
                continue

    # Results

    def answers(self, command: CommandId, kind: DocumentKind) -> Mapping[InstanceId, Answer]:
        """Results of a command, by instance."""
        return self._results.of(command, kind)

    def answers_to(
        self, commands: Mapping[CommandId, DocumentKind], along: Mapping[CommandId, DocumentKind] = NONE_ALONG
    ) -> Mapping[CommandId, Mapping[InstanceId, Answer]]:
        """Results of several commands, and of those in `along` if the same pages show them."""
        return self._results.of_several(commands, along)

    def answers_on(
        self, instance: InstanceId, commands: Mapping[CommandId, DocumentKind]
    ) -> Mapping[CommandId, Mapping[InstanceId, Answer]]:
        """Results of several commands on one instance."""
        return self._results.on_instance(instance, commands)

    # Commands that others, or an earlier run, sent

    def commands_in_progress(
        self, kind: DocumentKind, since: datetime | None = None
    ) -> Mapping[InstanceId, PendingCommand]:
        """Commands in progress for the kind's document, by instance, from any sender.

        Without `since`, goes back as far as a command may still be in progress. If an instance has several, the last
        one counts. Empty if the service does not offer ListCommands.
        """
        pending_commands: dict[InstanceId, PendingCommand] = {}
        for shape in sorted(self._open_commands(kind, since), key=requested_at):
            # Time limits use our clock, so a command cannot have been sent in the future.
            sent_at = min(requested_at(shape), self._api.now())
            pending = PendingCommand(kind, CommandId(shape.get("CommandId", "")), sent_at)
            ends = {
                InstanceId(one.get("InstanceId", "")): end_of(one.get("Status", ""), one.get("StatusDetails", ""))
                for one in self._results.invocations(pending.command, details=False)
            }
            # If an instance is not listed yet, the command was just sent to it.
            targets = ends.keys() | {InstanceId(id_) for id_ in shape.get("InstanceIds", ())}
            pending_commands |= {id_: pending for id_ in targets if ends.get(id_) is None}
        return pending_commands

    def listed(
        self, kind: DocumentKind, since: datetime, instances: Collection[InstanceId]
    ) -> Mapping[InstanceId, Sequence[FoundCommand]]:
        """Commands sent since then to these instances for the kind's document, ended or not, oldest first.

        Reads the results of only those commands, by instance; other instances of the same commands are included.
        """
        found: dict[InstanceId, list[FoundCommand]] = {}
        shapes = (shape for shape in self._commands(kind, since) if _may_target(shape, instances))
        for shape in sorted(shapes, key=requested_at):
            command = CommandId(shape.get("CommandId", ""))
            sent_at = min(requested_at(shape) - self._ahead, self._api.now())
            if sent_at < since:
                continue
            listed = self._results.invocations(command, details=True)
            answers = {InstanceId(one.get("InstanceId", "")): listed_answer(one) for one in listed}
            for id_ in answers.keys() | {InstanceId(id_) for id_ in shape.get("InstanceIds", ())}:
                one = FoundCommand(command, sent_at, life_of(shape), answers.get(id_), _boots_of(shape))
                found.setdefault(id_, []).append(one)
        return found

    def _commands(self, kind: DocumentKind, since: datetime | None) -> Sequence[CommandTypeDef]:
        return commands_of(self._documents[kind], since, self._clients, self._api, self._ahead)

    def _open_commands(self, kind: DocumentKind, since: datetime | None) -> Sequence[CommandTypeDef]:
        return [shape for shape in self._commands(kind, since) if shape.get("Status", "") not in _ENDED_COMMANDS]


@dataclass(frozen=True, slots=True)
class _NotBound:
    """The document does not declare the parameters, so nothing was sent."""

    why: str


_SendResult = CommandId | Refused | Later | Unclear | _NotBound


def _refusal(refusal: CallRefused, parameters: Parameters) -> Refused | _NotBound:
    lacks_parameters = refusal.code == NO_SUCH_PARAMETERS and BOOTS_PARAMETER in parameters
    return _NotBound(str(refusal)) if lacks_parameters else Refused(str(refusal))


def _parameters(replaces: Version | None, bound_to: BoundTo | None) -> Parameters:
    """The parameters of the document; none if it is sent as it is."""
    if bound_to is not None:
        return {BOOTS_PARAMETER: ["|".join(sorted({*bound_to.boots}))], VERSION_PARAMETER: [str(bound_to.version)]}
    return {REPLACE: [str(replaces)]} if replaces is not None else {}


def _boots_of(shape: CommandTypeDef) -> frozenset[BootId]:
    """The boots that a reboot command is bound to; none if it is bound to none."""
    given = shape.get("Parameters", {}).get(BOOTS_PARAMETER, ())
    return frozenset(BootId(boot) for text in given for boot in text.split("|") if boot)


def _may_target(shape: CommandTypeDef, instances: Collection[InstanceId]) -> bool:
    """Whether the command was sent to one of these; unknown if it was sent to targets."""
    named = shape.get("InstanceIds", ())
    return not named or any(id_ in instances for id_ in named)


def _refused(_: InstanceId, refusal: CallRefused) -> Refused:
    return Refused(str(refusal))


def _denied_ones(denial: Denied) -> Collection[str] | None:
    """The instances that a denied SendCommand names, possibly none; None if the denial is not about instances."""
    if denial.action != Operation.SEND_COMMAND.action:
        return None
    if not denial.named:
        return ()
    return None if OF_DOCUMENT.search(denial.resource) else set(_INSTANCE_ID.findall(denial.resource))


def _suspects(refusal: CallRefused) -> Collection[str]:
    """The instances that an error names: "Instances [[i-0123]] not in a valid state for account 111122223333"."""
    return set(_INSTANCE_ID.findall(refusal.message))
