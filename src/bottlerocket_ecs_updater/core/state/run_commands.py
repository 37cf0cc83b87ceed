"""Updates an instance with the commands sent to its host: checks, applies, reboots and the operator's documents."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bottlerocket_ecs_updater.core.model.host_report import HostProblem, HostReport, Problem
from bottlerocket_ecs_updater.core.model.ids import CommandId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reboots import FIRST_RUN, RebootEnd, SentReboot
from bottlerocket_ecs_updater.core.model.run_command import (
    CheckAnswer,
    CommandResult,
    CommandStatus,
    DocumentKind,
    PendingCommand,
)
from bottlerocket_ecs_updater.core.model.run_progress import (
    NewBoot,
    RunProgress,
)


def see_check_answer(instance: Instance, check_answer: CheckAnswer) -> Instance:
    """A check ended, with a report or with a problem."""
    progress = instance.progress
    match check_answer.answer:
        case HostReport():
            progress = replace(
                progress, checks_failed=0, first_busy_at=None, offered=check_answer.answer.target or progress.offered
            )
            if _proves_boot(instance, check_answer, check_answer.answer) and (
                progress.new_boot is None or progress.new_boot.boot != check_answer.answer.boot
            ):
                progress = replace(
                    progress,
                    new_boot=NewBoot(check_answer.asked_at, check_answer.at, check_answer.answer.boot),
                    connected_looks=_looks_since_boot(progress, check_answer),
                )
        case HostProblem(problem=Problem.BUSY):
            busy_since = progress.first_busy_at or check_answer.at
            progress = replace(progress, checks_failed=progress.checks_failed + 1, first_busy_at=busy_since)
        case HostProblem():
            progress = replace(progress, checks_failed=progress.checks_failed + 1)
    return replace(instance, check_answer=check_answer, progress=progress)


def _looks_since_boot(progress: RunProgress, check_answer: CheckAnswer) -> int:
    """How many of the looks that saw its agent connected are certainly after the boot that the check shows.

    If the agent was seen to disconnect before that boot: all since then. Otherwise those since the check was sent,
    including the look that led to it, because no host boots while a check is answered quickly. After a slow answer only
    one look counts.
    """
    went = progress.away_at is not None and (progress.new_boot is None or progress.away_at > progress.new_boot.asked_at)
    if went:
        return progress.connected_looks
    if check_answer.at - check_answer.asked_at >= FIRST_RUN:
        return min(progress.connected_looks, 1)
    return max(0, progress.connected_looks - progress.looks_when_asked) + min(progress.looks_when_asked, 1)


def _proves_boot(instance: Instance, check_answer: CheckAnswer, report: HostReport) -> bool:
    claim = instance.claim
    if claim is None or report.boot == claim.boot:
        return False
    return instance.progress.reboot_sent_at is None or check_answer.asked_at >= instance.progress.reboot_sent_at


def see_ended(instance: Instance, ended: CommandResult) -> Instance:
    """One of our commands ended. Reboots are handled by `see_reboot_end`."""
    match ended.kind:
        case DocumentKind.APPLY:
            applies = instance.progress.applies
            unheard = applies.unheard + (0 if ended.command else 1)
            progress = replace(instance.progress, applies=replace(applies, unheard=unheard))
            return replace(instance, pending=None, applied=ended, progress=progress)
        case DocumentKind.REBOOT:
            return instance
        case DocumentKind.CHECK:
            return replace(instance, pending=None)
        case DocumentKind.BEFORE_DRAIN:
            return replace(instance, pending=None, before_drain_result=ended)
        case DocumentKind.AFTER_REBOOT:
            return replace(instance, pending=None, after_reboot_result=ended)


def see_denied(instance: Instance, kind: DocumentKind, why: str) -> Instance:
    """AWS denied a command to it. If that was a check, it cannot be checked at all."""
    return replace(instance, send_denied=why, check_denied=instance.check_denied or kind is DocumentKind.CHECK)


def see_sent(instance: Instance, pending: PendingCommand, *, bound: bool = False) -> Instance:
    """A command was sent to it; `bound` says whether a reboot is bound to the claimed boot and version."""
    if pending.kind is DocumentKind.CHECK or not instance.check_denied:
        instance = replace(instance, send_denied="", check_denied=False)
    progress = instance.progress
    match pending.kind:
        case DocumentKind.CHECK:
            return replace(
                instance, pending=pending, progress=replace(progress, looks_when_asked=progress.connected_looks)
            )
        case DocumentKind.BEFORE_DRAIN | DocumentKind.AFTER_REBOOT:
            return replace(instance, pending=pending)
        case DocumentKind.APPLY:
            report = instance.report
            boot = report.boot if report is not None else None
            target = report.chosen if report is not None else None
            applies = replace(progress.applies, sent=progress.applies.sent + 1, on_boot=boot, target=target)
            offered = target or progress.offered
            return replace(instance, pending=pending, progress=replace(progress, applies=applies, offered=offered))
        case DocumentKind.REBOOT:
            return see_reboot_sent(instance, SentReboot(pending.command, pending.sent_at, bound=bound))


def see_reboot_sent(instance: Instance, reboot: SentReboot) -> Instance:
    """A reboot was sent, or may have been, so that earlier verifications of a boot no longer count."""
    progress = replace(
        instance.progress,
        reboot_sent_at=reboot.sent_at,
        away_at=None,
        connected_looks=0,
        new_boot=None,
    )
    denied = instance.send_denied if instance.check_denied else ""
    return replace(
        instance, reboots=(*instance.reboots, reboot), send_denied=denied, after_reboot_result=None, progress=progress
    )


def see_reboot_found(instance: Instance, found: SentReboot) -> Instance:
    """Systems Manager lists a reboot command that we did not know. It replaces the unknown one."""
    if any(one.command == found.command for one in instance.reboots):
        return instance
    unknown = next((one for one in instance.reboots if not one.command), None)
    others = tuple(one for one in instance.reboots if one is not unknown)
    if unknown is not None:
        found = replace(found, sent_at=max(unknown.sent_at, found.sent_at))
    return replace(instance, reboots=(*others, found))


def see_reboot_end(instance: Instance, command: CommandId, asked_at: datetime, end: RebootEnd | None) -> Instance:
    """The result of a reboot command was read; `end` is None if it is still pending."""

    def after(one: SentReboot) -> SentReboot:
        return replace(one, end_asked_at=asked_at, end=one.end or end) if one.command == command else one

    return replace(instance, reboots=tuple(map(after, instance.reboots)))


def see_cancelled(instance: Instance) -> Instance:
    """Systems Manager was asked to cancel its pending reboots and an apply that was given up."""
    cancelled = (replace(one, cancelled=True) if one.open else one for one in instance.reboots)
    applied = instance.applied
    if applied is not None and applied.given_up:
        applied = replace(applied, cancelled=True)
    return replace(instance, reboots=tuple(cancelled), applied=applied)


def see_maybe_sent(instance: Instance, kind: DocumentKind, now: datetime, *, bound: bool = False) -> Instance:
    """A command may be pending without a known id; it is looked up among the commands that were sent."""
    return see_sent(instance, PendingCommand(kind, CommandId(""), now), bound=bound)


def see_replace_refused(instance: Instance, kind: DocumentKind, why: str, now: datetime) -> Instance:
    """Systems Manager refused an apply that names a version to replace: its document has no parameter for it."""
    sent = see_sent(instance, PendingCommand(kind, REFUSED, now))
    return see_ended(sent, CommandResult(kind, REFUSED, now, now, CommandStatus.FAILED, -1, why))


REFUSED = CommandId("refused")
"""Stands for the id of a command that Systems Manager did not accept."""


def see_refused(instance: Instance, kind: DocumentKind, why: str, now: datetime) -> Instance:
    """Systems Manager refused a command to it: final for an unclaimed instance, tried again for a claimed one."""
    if kind is DocumentKind.AFTER_REBOOT:
        return see_ended(instance, CommandResult(kind, CommandId(""), now, now, CommandStatus.NOT_DELIVERED, -1, why))
    if instance.claim is None:
        return replace(instance, send_refused=why)
    return see_check_answer(instance, CheckAnswer(HostProblem(Problem.NO_ANSWER, why), now, now))
