"""Run Command: operations in botocore's shapes.

A command is Pending until a connected agent takes it, Delayed if that takes long, InProgress while its script runs,
and ends once. Callers must hold the clock's lock and have pumped it; the clients do that.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.ssm import validate
from bottlerocket_ecs_updater.simulator.ssm.agent import Agent
from bottlerocket_ecs_updater.simulator.ssm.documents import RUN_SHELL_SCRIPT, read_plugin
from bottlerocket_ecs_updater.simulator.ssm.inventory import ForeignNode, ManagedInstance, filters_of, passes
from bottlerocket_ecs_updater.simulator.ssm.invocation import Invocation, SsmCommand, State
from bottlerocket_ecs_updater.simulator.ssm.pages import newest_first, oldest_first
from bottlerocket_ecs_updater.simulator.ssm.timing import SsmTiming

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from bottlerocket_ecs_updater.simulator.clock import WorldClock
    from bottlerocket_ecs_updater.simulator.host import Host
    from bottlerocket_ecs_updater.simulator.ssm.inventory import KnownNode

DEFAULT_TIMEOUT_SECONDS = 3600
DEFAULT_INSTANCES, MIN_INSTANCES, MAX_INSTANCES = 10, 5, 50


class RunCommand:
    """The service. Requests and replies are dictionaries in botocore's format."""

    def __init__(
        self,
        clock: WorldClock,
        chances: random.Random,
        timing: SsmTiming | None = None,
        document_source: Callable[[str], str | None] = lambda _: None,
        account: str = "123456789012",
        tags_of: Callable[[str], Mapping[str, str]] = lambda _: {},
    ) -> None:
        self._tags_of = tags_of
        self._clock = clock
        self._chances = chances
        self._timing = timing or SsmTiming()
        self._document_source = document_source
        self._account = account
        self._agent = Agent(clock, self._timing)
        self._made = 0
        self._managed: dict[str, ManagedInstance] = {}
        self._foreign: dict[str, ForeignNode] = {}
        self._commands: dict[str, SsmCommand] = {}
        self._all_commands: list[SsmCommand] = []
        self._invocations: list[Invocation] = []
        self._of_instance: dict[str, list[Invocation]] = defaultdict(list)

    def handlers(self) -> dict[str, Callable[[Shape], Shape]]:
        """By the operation's name."""
        return {
            "SendCommand": self.send_command,
            "GetCommandInvocation": self.get_command_invocation,
            "ListCommandInvocations": self.list_command_invocations,
            "ListCommands": self.list_commands,
            "CancelCommand": self.cancel_command,
            "DescribeInstanceInformation": self.describe_instance_information,
        }

    def register(self, host: Host) -> None:
        """Register a host as a managed instance, connected for some time. Skips hosts that never register."""
        if not host.managed:
            return
        since = self._clock.now() - self._timing.ping * self._chances.random()
        managed = ManagedInstance(self._number(), self._clock, self._timing, host, since)
        self._managed[host.node_id] = managed
        host.on_ssm_agent.append(partial(self._agent_changed, managed))

    def add_foreign_nodes(self, count: int) -> None:
        """Add nodes in the account that are unrelated to the cluster."""
        for _ in range(count):
            node = ForeignNode(self._number(), self._clock.now())
            self._foreign[node.id] = node

    def forget(self, instance_id: str) -> None:
        """Remove a managed instance, as SSM does after termination. Does nothing for an unknown one."""
        self._managed.pop(instance_id, None)

    def send_command(self, request: Shape) -> Shape:
        """SendCommand: one invalid instance id fails the whole call."""
        ids = (*validate.send(request), *self._with_tags(request.get("Targets") or []))
        document, content = self._document(request["DocumentName"])
        parameters = dict(request.get("Parameters") or {})
        plugin = read_plugin(content, parameters)
        unknown = [instance_id for instance_id in ids if instance_id not in self._managed]
        if unknown:
            raise AwsError(
                "InvalidInstanceId",
                f"Instances [[{', '.join(unknown)}]] not in a valid state for account {self._account}",
            )
        now = self._clock.now()
        deliver_by = now + timedelta(seconds=request.get("TimeoutSeconds") or DEFAULT_TIMEOUT_SECONDS)
        expires = deliver_by + plugin.timeout
        command = SsmCommand(
            number=self._number(),
            command_id=str(uuid.UUID(int=self._chances.getrandbits(128), version=4)),
            document=document,
            plugin=plugin,
            comment=request.get("Comment") or "",
            parameters=parameters,
            request=dict(request),
            requested=now,
            visible=now + self._timing.visible,
            deliver_by=deliver_by,
            taken_until=expires if self._timing.delivers_until_expiry else deliver_by,
            expires=expires,
        )
        self._commands[command.command_id] = command
        self._all_commands.append(command)
        for instance_id in ids:
            self._send(command, self._managed[instance_id])
        return {"Command": command.to_shape(now)}

    def _with_tags(self, targets: Sequence[Shape]) -> list[str]:
        """The managed instances with all the tags in the targets; empty if the targets name no tags."""
        asked = [(str(each["Key"]), frozenset(each.get("Values") or [])) for each in targets if validate.by_tag(each)]
        found = [(name, self._tags_of(managed.host.instance_id)) for name, managed in self._managed.items()]
        return [name for name, tags in found if asked and all(_has_tag(tags, key, values) for key, values in asked)]

    def get_command_invocation(self, request: Shape) -> Shape:
        """GetCommandInvocation: the result on one instance, once it is visible."""
        instance_id = validate.required(request, "InstanceId")
        command = self._commands.get(validate.command_id(request))
        invocation = command.invocations.get(instance_id) if command else None
        if command is None or invocation is None or not self._is_visible(command):
            raise AwsError("InvocationDoesNotExist", "")
        plugin = request.get("PluginName")
        if plugin is not None and plugin != command.plugin.name:
            raise AwsError("InvalidPluginName", "")
        return invocation.to_answer(self._clock.now())

    def list_command_invocations(self, request: Shape) -> Shape:
        """ListCommandInvocations: for a command, for an instance, or all, newest first."""
        size, token = _paging(request)
        now = self._clock.now()
        instance_id = request.get("InstanceId")
        source = self._invocations_of(request.get("CommandId"), instance_id)
        wanted = _filter(request)

        def shown(invocation: Invocation) -> bool:
            of_instance = instance_id is None or invocation.instance_id == instance_id
            visible = self._is_visible(invocation.command)
            return of_instance and visible and wanted(invocation.command, invocation.settled(now))

        page, following = newest_first(source, token, size, shown)
        details = bool(request.get("Details", False))
        shapes = [invocation.to_shape(now, details=details) for invocation in page]
        return {"CommandInvocations": shapes} | _next(following)

    def list_commands(self, request: Shape) -> Shape:
        """ListCommands: newest first."""
        size, token = _paging(request)
        now = self._clock.now()
        command_id, instance_id = request.get("CommandId"), request.get("InstanceId")
        wanted = _filter(request)

        def shown(command: SsmCommand) -> bool:
            of_instance = instance_id is None or instance_id in command.invocations
            return of_instance and self._is_visible(command) and wanted(command, command.state(now))

        page, following = newest_first(self._commands_of(command_id, instance_id), token, size, shown)
        return {"Commands": [command.to_shape(now) for command in page]} | _next(following)

    def cancel_command(self, request: Shape) -> Shape:
        """CancelCommand: best effort. A running script is killed if its agent is connected."""
        command = self._commands.get(validate.command_id(request))
        if command is None:
            raise AwsError("InvalidCommandId", "")
        ids = request.get("InstanceIds") or list(command.invocations)
        validate.at_most(ids, "instanceIds", validate.MAX_IDS)
        if any(instance_id not in command.invocations for instance_id in ids):
            raise AwsError("InvalidInstanceId", "")
        for instance_id in ids:
            self._agent.cancel(command.invocations[instance_id])
        return {}

    def describe_instance_information(self, request: Shape) -> Shape:
        """DescribeInstanceInformation: all registered instances, connected or not."""
        size = request.get("MaxResults", DEFAULT_INSTANCES)
        validate.within(size, "maxResults", MIN_INSTANCES, MAX_INSTANCES)
        filters = filters_of(request)
        named = filters.get("InstanceIds")
        known: Mapping[str, KnownNode] = {**self._managed, **self._foreign}
        found = known.values() if named is None else (known[name] for name in named if name in known)
        source: Sequence[KnownNode] = sorted(found, key=lambda each: each.number)
        page, following = oldest_first(source, request.get("NextToken"), size, lambda managed: passes(managed, filters))
        return {"InstanceInformationList": [managed.to_shape() for managed in page]} | _next(following)

    def _document(self, name: str) -> tuple[str, str]:
        """The name and content of a document, given by name or ARN."""
        bare = name.rpartition("/")[2]
        content = self._document_source(name) or self._document_source(bare)
        if content is None and bare == "AWS-RunShellScript":
            content = RUN_SHELL_SCRIPT
        if content is None:
            raise AwsError("InvalidDocument", f"Document with name {name} does not exist.")
        return bare, content

    def _send(self, command: SsmCommand, managed: ManagedInstance) -> None:
        delayed_at = command.requested + self._timing.delayed
        invocation = Invocation(self._number(), command, managed, delayed_at)
        command.invocations[managed.id] = invocation
        self._invocations.append(invocation)
        self._of_instance[managed.id].append(invocation)
        self._agent.deliver(invocation)

    def _agent_changed(self, managed: ManagedInstance, _host: Host, up: bool) -> None:  # noqa: FBT001 - a listener
        if not up:
            managed.agent_goes()
            return
        for invocation in self._of_instance[managed.id]:
            invocation.settled(self._clock.now())  # before the return hides how long the agent was away
        managed.agent_comes()

    def _is_visible(self, command: SsmCommand) -> bool:
        return self._clock.now() >= command.visible

    def _invocations_of(self, command_id: str | None, instance_id: str | None) -> Sequence[Invocation]:
        if command_id is not None:
            command = self._commands.get(command_id)
            return list(command.invocations.values()) if command else []
        return self._of_instance.get(instance_id, []) if instance_id is not None else self._invocations

    def _commands_of(self, command_id: str | None, instance_id: str | None) -> Sequence[SsmCommand]:
        if command_id is not None:
            return [self._commands[command_id]] if command_id in self._commands else []
        if instance_id is not None:
            return [invocation.command for invocation in self._of_instance.get(instance_id, [])]
        return self._all_commands

    def _number(self) -> int:
        self._made += 1
        return self._made


def _has_tag(tags: Mapping[str, str], key: str, values: frozenset[str]) -> bool:
    if key == "tag-key":
        return not values.isdisjoint(tags)
    return tags.get(key.removeprefix("tag:")) in values


def _paging(request: Shape) -> tuple[int, str | None]:
    size = validate.within(request.get("MaxResults", validate.MAX_RESULTS), "maxResults", 1, validate.MAX_RESULTS)
    return size, request.get("NextToken")


def _next(token: str | None) -> Shape:
    return {} if token is None else {"NextToken": token}


def _filter(request: Shape) -> Callable[[SsmCommand, State], bool]:
    """The predicate for the filters of a List operation. Raises InvalidFilterKey for unknown ones."""
    tests = [_test(each["key"], each["value"]) for each in request.get("Filters") or []]
    return lambda command, state: all(test(command, state) for test in tests)


def _test(key: str, value: str) -> Callable[[SsmCommand, State], bool]:
    match key:
        case "InvokedAfter":
            return lambda command, _: command.requested > datetime.fromisoformat(value)
        case "InvokedBefore":
            return lambda command, _: command.requested < datetime.fromisoformat(value)
        case "Status":
            return lambda _, state: value in {state.status, state.details}
        case "ExecutionStage":
            return lambda _, state: state.terminal == (value == "Complete")
        case "DocumentName":
            return lambda command, _: command.document == value
        case _:
            raise AwsError("InvalidFilterKey", f"The specified key isn't valid: {key}")
