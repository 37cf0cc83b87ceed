"""Reads how reboot commands ended, including those that another run sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.ids import CommandId, InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reboots import (
    BOUND_EXITS,
    COMMAND_LIFE,
    COMMAND_PENDING_FOR,
    FIRST_RUN,
    RebootEnd,
    SentReboot,
    judge_acceptance,
)
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus, DocumentKind
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.state.run_commands import see_reboot_end, see_reboot_found
from bottlerocket_ecs_updater.engine.look.command_answers import Answers
from bottlerocket_ecs_updater.engine.look.context import LookContext
from bottlerocket_ecs_updater.engine.ports import Answer, Hosts

RUN_CLOCKS_APART = timedelta(seconds=60)
"""How far the clocks of two runs may differ. No host is updated twice within this time."""

ENDS_AFTER = timedelta(seconds=5)
"""On most hosts a reboot command takes at least this long, so its result is not read earlier, even if that needs no
extra call."""


ALONG_FOR = timedelta(seconds=45)
"""Commands sent longer ago are not read along with others: the list would have to go back further, and be longer."""

OpenCommands = Mapping[CommandId, Sequence[InstanceId]]
"""Reboot commands that have not ended as far as is known, each with its instances."""


class RebootResults:
    """Searches for reboot commands, and notes how they ended."""

    def __init__(self, context: LookContext, hosts: Hosts) -> None:
        self._known = context.known
        self._policy = context.policy
        self._calls = context.calls
        self._hosts = hosts

    def find_left_behind(self) -> None:
        """Search for the reboots of instances that another run left quarantined."""
        known = self._known
        claims = ((one.id, one.claim) for one in known.instances.values() if one.claim is not None)
        left = [id_ for id_, claim in claims if claim.phase is ClaimPhase.QUARANTINED and claim.run != known.fleet.run]
        self._find(left)

    def find(self, ids: Collection[InstanceId]) -> None:
        """Search for reboot commands of these instances whose ids are not known because a reply was lost."""
        self._find([id_ for id_ in ids if any(one.open and not one.command for one in self._reboots(id_))])

    def open_commands(self, ids: Collection[InstanceId]) -> OpenCommands:
        """The open reboot commands of these instances whose ids are known."""
        commands: dict[CommandId, list[InstanceId]] = {}
        for id_ in ids:
            for one in self._by_id(id_):
                commands.setdefault(one.command, []).append(id_)
        return commands

    def open_commands_of_others(self, ids: Collection[InstanceId]) -> OpenCommands:
        """Open reboot commands of other claimed instances that were sent lately, but may have ended by now."""
        now = self._known.now
        found: dict[CommandId, list[InstanceId]] = {}
        for instance in self._known.instances.values():
            if instance.claim is None or instance.id in ids:
                continue
            for one in self._by_id(instance.id):
                if has_passed(one.sent_at, ENDS_AFTER, now) and not has_passed(one.sent_at, ALONG_FOR, now):
                    found.setdefault(one.command, []).append(instance.id)
        return found

    def note(self, asked: OpenCommands, others: OpenCommands, answers: Answers) -> None:
        """Note how the reboots in `asked` ended, or that they have not; and those in `others` that have."""
        now = self._known.now
        for command, ids in others.items():
            for id_ in ids:
                end = _reboot_end(self._reboots(id_), command, answers.get(command, {}).get(id_), now)
                if end is not None:
                    self._known.learn(see_reboot_end(self._known.instance(id_), command, now, end))
        for command, ids in asked.items():
            for id_ in ids:
                end = _reboot_end(self._reboots(id_), command, answers.get(command, {}).get(id_), now)
                self._known.learn(see_reboot_end(self._known.instance(id_), command, now, end))

    def _by_id(self, id_: InstanceId) -> Sequence[SentReboot]:
        return [one for one in self._reboots(id_) if _read_by_id(one)]

    def _reboots(self, id_: InstanceId) -> tuple[SentReboot, ...]:
        return self._known.instance(id_).reboots

    def _find(self, ids: Collection[InstanceId]) -> None:
        """Search recent commands for a reboot that may have been sent without our knowledge.

        Only the last one of each instance counts: by then an earlier one could no longer take effect.
        """
        now = self._known.now
        wanted = {id_: self._reboots_since(self._known.instance(id_)) for id_ in ids}
        if not wanted:
            return
        earliest = max(min(wanted.values()), now - COMMAND_PENDING_FOR)
        search = partial(self._hosts.listed, DocumentKind.REBOOT, earliest, wanted.keys())
        found = self._calls.ask("ssm:ListCommands", search) or {}
        for id_, since in wanted.items():
            instance = self._known.instance(id_)
            for one in [each for each in found.get(id_, ()) if each.sent_at >= since][-1:]:
                bound = instance.claim is not None and instance.claim.boot in one.boots
                sent = SentReboot(one.command, one.sent_at, one.life or COMMAND_LIFE, sent_by_us=False, bound=bound)
                instance = see_reboot_found(instance, sent)
                end = _reboot_end(instance.reboots, one.command, one.answer, now)
                instance = see_reboot_end(instance, one.command, now, end)
            self._known.learn(see_reboot_end(instance, CommandId(""), now, None))

    def _reboots_since(self, instance: Instance) -> datetime:
        """The earliest time at which the claim's last reboot can have been sent: after the claim was written."""
        claim = instance.claim
        if claim is None:
            return self._known.now
        quarantined = claim.phase is ClaimPhase.QUARANTINED
        return instance.phase_began - (self._policy.longest_phase if quarantined else RUN_CLOCKS_APART)


def _read_by_id(one: SentReboot) -> bool:
    return one.open and bool(one.command)


def _reboot_end(
    reboots: Iterable[SentReboot], command: CommandId, answer: Answer | None, now: datetime
) -> RebootEnd | None:
    """How a reboot command ended on a host; None while it is in progress."""
    if answer is None or answer.end is None:
        return None
    sent = next(one for one in reboots if one.command == command)
    soon = answer.took if answer.took is not None else (now - sent.sent_at if sent.sent_by_us else None)
    heard_at = now if sent.sent_by_us else min(now, sent.sent_at + (answer.took or sent.life))
    return RebootEnd(
        judge_acceptance(
            succeeded=answer.end is CommandStatus.SUCCESS,
            failed=answer.end is CommandStatus.FAILED,
            exit_code=answer.exit_code,
            text="\n".join((answer.stdout, answer.stderr, answer.detail)),
            bound=sent.bound,
        ),
        heard_at,
        first_run=soon is not None and soon <= FIRST_RUN,
        detail=BOUND_EXITS.get(answer.exit_code, answer.cause) if sent.bound else answer.cause,
        succeeded=answer.end is CommandStatus.SUCCESS,
        by_document=sent.bound and answer.end is CommandStatus.FAILED and answer.exit_code in BOUND_EXITS,
    )
