"""Reads what hosts answered to commands, unless AWS denies it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from bottlerocket_ecs_updater.core.model.ids import CommandId, InstanceId
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.engine.look.denials import DeniableCalls
from bottlerocket_ecs_updater.engine.ports import Answer, Hosts

ANSWERS = "ssm:ListCommandInvocations"
"""The permission that these calls share."""

Answers = Mapping[CommandId, Mapping[InstanceId, Answer]]


class CommandAnswers:
    """The answers to commands, by command and instance. Without the permission, there are none."""

    def __init__(self, hosts: Hosts, calls: DeniableCalls) -> None:
        self._hosts = hosts
        self._calls = calls

    def to_commands(
        self, commands: Mapping[CommandId, DocumentKind], along: Mapping[CommandId, DocumentKind]
    ) -> Answers:
        """The answers to these commands; also to those `along`, if that takes no extra call."""
        if not commands:
            return {}
        return self._calls.ask(ANSWERS, partial(self._hosts.answers_to, commands, along), hosts_denied=True) or {}

    def on_instance(self, instance: InstanceId, commands: Mapping[CommandId, DocumentKind]) -> Answers:
        """The answers of one instance to several commands, in one call."""
        return self._calls.ask(ANSWERS, partial(self._hosts.answers_on, instance, commands), hosts_denied=True) or {}
