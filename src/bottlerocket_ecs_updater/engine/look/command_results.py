"""Reads the results of commands that were sent to hosts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from bottlerocket_ecs_updater.core.decision.host_checks import poll_spacing
from bottlerocket_ecs_updater.core.model.event import HostChecked, Rebooted
from bottlerocket_ecs_updater.core.model.host_report import HostProblem, Problem, lock_held, read_check
from bottlerocket_ecs_updater.core.model.ids import CommandId, InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.run_command import (
    CheckAnswer,
    CommandResult,
    CommandStatus,
    DocumentKind,
    PendingCommand,
)
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.state.run_commands import see_check_answer, see_ended
from bottlerocket_ecs_updater.engine.look.command_answers import ANSWERS, Answers, CommandAnswers
from bottlerocket_ecs_updater.engine.look.context import LookContext
from bottlerocket_ecs_updater.engine.look.reboot_results import ALONG_FOR, RebootResults
from bottlerocket_ecs_updater.engine.ports import Answer, Hosts

POLLED_AGAIN_SHARE = 0.4
"""A command's result is read no more often than this: shared looks are half a poll apart, or slightly less."""

FEW_COMMANDS, FEW_POLLED_AGAIN_SHARE = 5, 0.25
"""The results of so few commands are read twice as often, because that takes few calls.

A look that was promised when a command was sent comes half a poll later at the earliest, so it is never too early,
however long the sending took.
"""


READ_EARLIER_SHARE = 10
"""A shared look also reads a late result that is due within the poll interval divided by this."""

ByCommand = Mapping[tuple[CommandId, DocumentKind], Collection[InstanceId]]
"""The instances of each command, with the document that it runs."""


class CommandResults:
    """Polls pending commands, and records what each host answered."""

    def __init__(self, context: LookContext, hosts: Hosts, answers: CommandAnswers, reboots: RebootResults) -> None:
        self._known = context.known
        self._policy = context.policy
        self._recorder = context.recorder
        self._calls = context.calls
        self._hosts = hosts
        self._answers = answers
        self._reboots = reboots
        self._polled_at: dict[CommandId, datetime] = {}
        """When each pending command was last polled."""

    def adopt_applies(self) -> None:
        """Adopt apply commands that are still in progress, from any sender.

        Systems Manager reports whether they have ended, however old they are. Its clock may differ from ours, so their
        time limits start now.
        """
        known = self._known
        for id_, pending in (
            self._calls.ask("ssm:ListCommands", partial(self._hosts.commands_in_progress, DocumentKind.APPLY)) or {}
        ).items():
            if id_ in known.instances and known.instances[id_].pending is None:
                known.learn(replace(known.instances[id_], pending=replace(pending, sent_at=known.now)))

    def read(self, reboot_ends: Collection[InstanceId]) -> None:
        """Read the results of all pending commands that may have ended, and of these instances' reboot commands."""
        known = self._known
        waiting: dict[tuple[CommandId, DocumentKind], list[InstanceId]] = {}
        for instance in known.instances.values():
            pending = instance.pending
            if pending is not None:
                waiting.setdefault((pending.command, pending.kind), []).append(instance.id)
        open_commands = {command for command, _ in waiting}
        self._polled_at = {command: at for command, at in self._polled_at.items() if command in open_commands}
        few = len(waiting) <= FEW_COMMANDS
        asked = {one: ids for one, ids in waiting.items() if self._may_answer(one[0], ids, few=few)}
        late = {one: ids for one, ids in waiting.items() if one not in asked and self._sent_lately(ids)}
        self._reboots.find(reboot_ends)
        ends = self._reboots.open_commands(reboot_ends)
        others = self._reboots.open_commands_of_others(reboot_ends) if ends or asked else {}
        answers = self._read(asked, ends, late, others)
        for (command, kind), ids in asked.items():
            if not command:
                self._calls.ask(ANSWERS, partial(self._adopt, kind, ids), hosts_denied=True)
        for (command, _), ids in (asked | {one: ids for one, ids in late.items() if one[0] in answers}).items():
            self._polled_at[command] = self._known.now
            for id_ in ids:
                self._note_answer(id_, answers.get(command, {}).get(id_))
        self._reboots.note(ends, others, answers)

    def _read(
        self,
        asked: ByCommand,
        ends: Mapping[CommandId, Collection[InstanceId]],
        late: ByCommand,
        others: Mapping[CommandId, Collection[InstanceId]],
    ) -> Answers:
        """The results of the commands in `asked` and `ends`, and of the rest if that takes no extra call."""
        commands = {command: kind for command, kind in asked if command}
        commands |= dict.fromkeys(ends, DocumentKind.REBOOT)
        instances = {id_ for ids in (*asked.values(), *ends.values()) for id_ in ids}
        if len(commands) > 1 and len(instances) == 1:
            [instance] = instances
            return self._answers.on_instance(instance, commands)
        along = {command: kind for command, kind in late if command} | dict.fromkeys(others, DocumentKind.REBOOT)
        return self._answers.to_commands(commands, along)

    def _sent_lately(self, ids: Collection[InstanceId]) -> bool:
        now = self._known.now
        sent = [pending.sent_at for id_ in ids if (pending := self._known.instance(id_).pending) is not None]
        least = self._policy.poll_interval * FEW_POLLED_AGAIN_SHARE
        return any(has_passed(at, least, now) and not has_passed(at, ALONG_FOR, now) for at in sent)

    def _may_answer(self, command: CommandId, ids: Collection[InstanceId], *, few: bool) -> bool:
        """Whether to poll a command: not if it was sent or polled a moment ago, and less often the longer it takes.

        Passes may follow each other at once; hosts take longer to answer.
        """
        if not command:
            return True
        pending_commands = (self._known.instance(id_).pending for id_ in ids)
        sent = max((pending.sent_at for pending in pending_commands if pending is not None), default=None)
        last = self._polled_at.get(command, sent)
        if last is None or sent is None:
            return True
        poll = self._policy.poll_interval
        least = poll * (FEW_POLLED_AGAIN_SHARE if few else POLLED_AGAIN_SHARE)
        # A look that was promised for it is never too early.
        apart = poll_spacing(last - sent, poll) - poll / READ_EARLIER_SHARE if last > sent else least
        # If the clock was set back, ignore the last time.
        return not timedelta(0) <= self._known.now - last < max(least, apart)

    def _adopt(self, kind: DocumentKind, ids: Collection[InstanceId]) -> None:
        """Find the id of a command whose SendCommand reply was lost, among the commands in progress."""
        sent = {id_: pending.sent_at for id_ in ids if (pending := self._known.instance(id_).pending) is not None}
        for id_, found in self._hosts.commands_in_progress(kind, min(sent.values())).items():
            if id_ in sent:
                # Use the send time on our own clock.
                ours = replace(found, sent_at=sent[id_])
                self._known.learn(replace(self._known.instance(id_), pending=ours))

    def _note_answer(self, id_: InstanceId, answer: Answer | None) -> None:
        instance = self._known.instance(id_)
        pending = instance.pending
        if pending is None:
            return
        if answer is not None and answer.end is not None:
            self._ended(instance, pending, answer.end, answer)
        elif has_passed(pending.sent_at, self._waits_for(pending, instance), self._known.now):
            silence = Answer(None, -1, "", "", "it gave no result")
            self._ended(instance, pending, CommandStatus.ABANDONED, silence)

    def _waits_for(self, pending: PendingCommand, instance: Instance) -> timedelta:
        if pending.kind is DocumentKind.APPLY and pending.command:
            return self._policy.apply_timeout
        if pending.kind in (DocumentKind.BEFORE_DRAIN, DocumentKind.AFTER_REBOOT) and pending.command:
            return self._policy.hook_timeout
        # Wait a little longer each time, so that a periodic fault does not coincide every time.
        return self._policy.answer_timeout + instance.progress.applies.unheard * self._policy.poll_interval

    def _ended(self, instance: Instance, pending: PendingCommand, end: CommandStatus, answer: Answer) -> None:
        said = answer.cause
        busy = end is CommandStatus.FAILED and lock_held(answer.stderr)
        ended = CommandResult(
            pending.kind, pending.command, pending.sent_at, self._known.now, end, answer.exit_code, said, busy
        )
        instance = see_ended(instance, ended)
        if pending.kind is DocumentKind.CHECK:
            instance = self._with_check_answer(instance, pending, ended, answer)
        self._known.learn(instance)

    def _with_check_answer(
        self, instance: Instance, pending: PendingCommand, ended: CommandResult, answer: Answer
    ) -> Instance:
        now = self._known.now
        if ended.end in (CommandStatus.SUCCESS, CommandStatus.FAILED):
            exit_code = answer.exit_code if ended.end is CommandStatus.FAILED else 0
            reported = read_check(exit_code, answer.stdout, answer.stderr)
        else:
            reported = HostProblem(Problem.NO_ANSWER, ended.detail)
        verified_before = instance.progress.new_boot
        after = see_check_answer(instance, CheckAnswer(reported, pending.sent_at, now))
        self._recorder.record(HostChecked(now, instance.id, reported))
        report = after.report
        if verified_before is None and after.progress.new_boot is not None and report is not None:
            sent = after.progress.reboot_sent_at
            self._recorder.record(Rebooted(now, after.id, report.running, now - sent if sent else None))
            self._known.learn_reboot(after)
        return after
