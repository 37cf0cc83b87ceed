"""Sends commands to hosts through Systems Manager, and cancels them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bottlerocket_ecs_updater.core.model.command import Cancel
from bottlerocket_ecs_updater.core.model.event import ActDenied, CommandSent, RuleOff
from bottlerocket_ecs_updater.core.model.ids import CommandId, InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reboots import COMMAND_LIFE, BoundTo, SentReboot
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind, PendingCommand
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.run_commands import (
    see_cancelled,
    see_denied,
    see_maybe_sent,
    see_reboot_sent,
    see_refused,
    see_replace_refused,
    see_sent,
)
from bottlerocket_ecs_updater.engine.act.context import ActContext
from bottlerocket_ecs_updater.engine.ports import Hosts, Sent
from bottlerocket_ecs_updater.errors import Denied

HOOKS = (DocumentKind.BEFORE_DRAIN, DocumentKind.AFTER_REBOOT)
"""The operator's documents, if the settings name them."""


class HostCommands:
    """Sends and cancels commands. Create one per run."""

    def __init__(self, context: ActContext, hosts: Hosts) -> None:
        self._known = context.known
        self._clock = context.clock
        self._recorder = context.recorder
        self._outcomes = context.outcomes
        self._hosts = hosts
        self._hooks_exist = False
        self._cancel_denied = False

    def check_hooks_exist(self) -> None:
        """Check that the operator's documents exist before the first host is out of service and needs one."""
        if not self._hooks_exist:
            for kind in HOOKS:
                self._hosts.check_document_exists(kind)
            self._hooks_exist = True

    def send(
        self,
        kind: DocumentKind,
        ids: Sequence[InstanceId],
        replaces: Version | None = None,
        bound_to: BoundTo | None = None,
    ) -> set[InstanceId]:
        """Send one document to these hosts. Returns those whose following commands must be skipped."""
        if kind is DocumentKind.BEFORE_DRAIN:
            self.check_hooks_exist()
        now, bound = self._clock.now(), bound_to is not None
        sent = self._hosts.send(kind, ids, replaces, bound_to)
        if sent.not_bound:
            # The next pass checks the hosts, and then reboots them by the document as it is.
            self._known.fleet = replace(self._known.fleet, plain_reboots=True)
        for id_, command in sent.commands.items():
            instance = self._known.instance(id_)
            if kind is DocumentKind.REBOOT:
                self._note_own_check(instance, now)
                reboot = SentReboot(command, now, sent.lives.get(command, COMMAND_LIFE), bound=bound)
                self._known.learn(see_reboot_sent(instance, reboot))
            else:
                self._known.learn(see_sent(instance, PendingCommand(kind, command, now)))
            self._recorder.record(CommandSent(now, id_, kind, command))
        for id_, why in sent.unclear.items():
            self._outcomes.unclear(id_, kind.value, why)
            if kind is not DocumentKind.CHECK:
                self._known.learn(see_maybe_sent(self._known.instance(id_), kind, now, bound=bound))
        for id_, why in sent.refused.items():
            refused = see_replace_refused if replaces is not None else see_refused
            self._known.learn(refused(self._known.instance(id_), kind, why, now))
        self._learn_denials(kind, sent)
        return {*sent.later, *sent.unclear, *sent.refused, *sent.denied, *sent.not_bound}

    def _note_own_check(self, instance: Instance, now: datetime) -> None:
        """Report a host that is rebooted although the reboot document refused: a check found nothing wrong with it."""
        refused = next((one.end for one in instance.reboots if one.refused_by_document), None)
        if refused is not None:
            why = f"it says {refused.detail!r}, but an update check of the host finds nothing wrong"
            self._recorder.record(RuleOff(now, f"check by the reboot document on {instance.id}", why))

    def _learn_denials(self, kind: DocumentKind, sent: Sent) -> None:
        self._known.documents.note(kind, {*sent.commands, *sent.refused}, sent.denied)
        for id_, why in sent.denied.items():
            self._known.learn(see_denied(self._known.instance(id_), kind, why))

    def cancel(self, batch: Sequence[Cancel]) -> set[InstanceId]:
        """Cancel each command once, if AWS allows it. A denial does not end the run: nothing depends on it."""
        by_command: dict[CommandId, list[InstanceId]] = {}
        for command in batch:
            instance = self._known.instance(command.instance)
            for one in instance.reboots:
                if one.open and one.command and not one.cancelled:
                    by_command.setdefault(one.command, []).append(instance.id)
            if instance.applied is not None and instance.applied.given_up and not instance.applied.cancelled:
                by_command.setdefault(instance.applied.command, []).append(instance.id)
            self._known.learn(see_cancelled(instance))
        for id_, instances in by_command.items():
            if not self._cancel_denied:
                self._cancel_one(id_, instances)
        return set()

    def _cancel_one(self, command: CommandId, instances: Sequence[InstanceId]) -> None:
        try:
            self._hosts.cancel(command, instances)
        except Denied as denied:
            self._cancel_denied = True
            self._recorder.record(ActDenied(self._clock.now(), denied.action, str(denied)))
