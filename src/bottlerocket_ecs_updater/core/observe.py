"""What a look adds to what was known: pure functions from an instance and new facts to the instance after them.

Here is where facts become history: that the agent was away, that a boot id is new, that a claim vanished.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.claim import ATTRIBUTE, Claim, ClaimPhase
from bottlerocket_ecs_updater.core.fleet import (
    End,
    Ended,
    Flight,
    Instance,
    Kind,
    Outcome,
    Registration,
    Status,
    Told,
    Trail,
)
from bottlerocket_ecs_updater.core.host import HostProblem, HostReport, Problem
from bottlerocket_ecs_updater.core.ids import CommandId, RunId, ServiceArn, TaskArn

_ORDER = (ClaimPhase.DRAINING, ClaimPhase.REBOOTING, ClaimPhase.QUARANTINED)


def see_registration(
    instance: Instance,
    registration: Registration,
    run: RunId,
    apart: timedelta = timedelta(0),
    doubts_apart: timedelta = timedelta(0),
) -> Instance:
    """ECS described it. Looks that follow each other in less than `apart` count as one look at its connection.

    Looks that follow each other in less than `doubts_apart` count as one that finds our claim gone or written over.
    """
    written = registration.attributes.get(ATTRIBUTE)
    on_instance, unreadable = _read_claim(written)
    if instance.trail.unmarked:
        on_instance, unreadable = None, ""  # we dropped it, whoever wrote it: the reader lags
    seen = replace(
        instance,
        registration=registration,
        undescribed="",
        claim=_prevailing(instance.claim, on_instance, run),
        claim_on_instance=on_instance is not None,
        claim_unreadable=unreadable,
    )
    trail = _overwriting(_connection(seen, registration, apart), seen.claim, on_instance, run)
    after = _trail_after(replace(seen, trail=trail), registration, run)
    return replace(seen, trail=_doubting(instance.trail, after, registration.at, doubts_apart))


def _read_claim(text: str | None) -> tuple[Claim | None, str]:
    if text is None:
        return None, ""
    try:
        return Claim.decode(text), ""
    except ValueError as error:
        return None, str(error)


def _prevailing(known: Claim | None, on_instance: Claim | None, run: RunId) -> Claim | None:
    """Of two copies the one that went further; what this run itself wrote last prevails over a reader that lags."""
    if known is None or on_instance is None:
        return known or on_instance
    if known.run == run:
        return known
    return max(known, on_instance, key=lambda claim: (_ORDER.index(claim.phase), claim.reboots, claim.since))


def _overwriting(trail: Trail, ours: Claim | None, on_instance: Claim | None, run: RunId) -> Trail:
    """Count the looks that find the claim of a rival where this run wrote its own."""
    if ours is None or ours.run != run or on_instance is None or on_instance.run in (run, trail.taken_from):
        return replace(trail, overwritten_looks=0) if trail.overwritten_looks else trail
    return replace(trail, overwritten_looks=trail.overwritten_looks + 1, overwritten_by=on_instance.run)


def _connection(instance: Instance, registration: Registration, apart: timedelta) -> Trail:
    trail, claim = instance.trail, instance.claim
    since = None if registration.connected else trail.disconnected_since or registration.at
    trail = replace(trail, disconnected_since=since)
    if registration.connected:
        closely = trail.connected_at is not None and registration.at < trail.connected_at + apart
        if trail.connected_looks and closely:
            return trail
        return replace(trail, connected_looks=trail.connected_looks + 1, connected_at=registration.at)
    went = trail.away_at is None or trail.connected_looks > 0
    if claim is not None and claim.phase is ClaimPhase.REBOOTING and trail.proof_at is None and went:
        trail = replace(trail, away_at=registration.at)
    return replace(trail, connected_looks=0)


def _trail_after(instance: Instance, registration: Registration, run: RunId) -> Trail:
    trail = instance.trail
    claim = instance.claim
    missing = trail.missing_looks + 1 if registration.status is Status.INACTIVE else 0
    trail = replace(trail, missing_looks=missing)
    if claim is None:
        return trail
    if trail.claimed_at is None:
        quarantined = claim.phase is ClaimPhase.QUARANTINED
        trail = replace(trail, claimed_at=registration.at, found_in_quarantine=quarantined)
    drained = trail.drain_sent_at is not None or claim.run != run
    if registration.status is Status.DRAINING and drained:
        trail = replace(trail, drain_seen=True)
    if instance.claim_on_instance:
        return replace(trail, claim_seen=True, claim_absent_looks=0)
    absent = trail.claim_absent_looks + 1 if trail.claim_seen else 0
    return replace(trail, claim_absent_looks=absent)


def _doubting(before: Trail, after: Trail, at: datetime, apart: timedelta) -> Trail:
    """A look that misses our claim counts for nothing where it follows too closely on the last one that did."""
    earlier = before.claim_absent_looks + before.overwritten_looks
    if after.claim_absent_looks + after.overwritten_looks <= earlier:
        return after
    if earlier and before.doubted_at is not None and at < before.doubted_at + apart:
        absent, overwritten = before.claim_absent_looks, before.overwritten_looks
        return replace(after, claim_absent_looks=absent, overwritten_looks=overwritten)
    return replace(after, doubted_at=at)


def see_missing(instance: Instance, why: str) -> Instance:
    """ECS did not list it, or would not describe it."""
    trail = replace(instance.trail, missing_looks=instance.trail.missing_looks + 1, connected_looks=0)
    gone = instance.registration is None or trail.missing_looks > 1
    registration = None if gone else instance.registration
    return replace(instance, registration=registration, undescribed=why, trail=trail)


def see_told(instance: Instance, told: Told) -> Instance:
    """The host answered a check, or the check came to nothing."""
    trail = instance.trail
    match told.answer:
        case HostReport():
            trail = replace(trail, checks_failed=0, first_busy_at=None, offered=told.answer.target or trail.offered)
            if _proves_boot(instance, told, told.answer) and trail.proof_at is None:
                # Where the agent was never seen away, looks from before the reboot must not count: only this one may.
                looks = trail.connected_looks if trail.away_at is not None else min(trail.connected_looks, 1)
                trail = replace(trail, proof_at=told.asked_at, connected_looks=looks)
        case HostProblem(problem=Problem.BUSY):
            busy_since = trail.first_busy_at or told.at
            trail = replace(trail, checks_failed=trail.checks_failed + 1, first_busy_at=busy_since)
        case HostProblem():
            trail = replace(trail, checks_failed=trail.checks_failed + 1)
    return replace(instance, told=told, trail=trail)


def _proves_boot(instance: Instance, told: Told, report: HostReport) -> bool:
    claim = instance.claim
    if claim is None or report.boot == claim.boot:
        return False
    return instance.trail.reboot_sent_at is None or told.asked_at >= instance.trail.reboot_sent_at


def see_ended(instance: Instance, ended: Ended) -> Instance:
    """A command of ours ended on it."""
    match ended.kind:
        case Kind.APPLY:
            unheard = instance.trail.applies_unheard + (0 if ended.command else 1)
            trail = replace(instance.trail, applies_unheard=unheard)
            return replace(instance, flight=None, applied=ended, trail=trail)
        case Kind.REBOOT:
            return replace(instance, reboot_flight=None, rebooted=ended)
        case Kind.CHECK:
            return replace(instance, flight=None)
        case Kind.BEFORE_DRAIN:
            return replace(instance, flight=None, prepared=ended)
        case Kind.AFTER_REBOOT:
            return replace(instance, flight=None, vetted=ended)


def see_denied(instance: Instance, why: str, now: datetime) -> Instance:
    """AWS does not allow a command to it. One of ours is asked again where only its answer tells what became of it."""
    denied = replace(instance, send_denied=why)
    if instance.claim is None:
        return denied
    return see_told(denied, Told(HostProblem(Problem.NO_ANSWER, why), now, now))


def see_sent(instance: Instance, flight: Flight) -> Instance:
    """A document was sent to it."""
    instance = replace(instance, send_denied="")
    trail = instance.trail
    match flight.kind:
        case Kind.CHECK | Kind.BEFORE_DRAIN | Kind.AFTER_REBOOT:
            return replace(instance, flight=flight)
        case Kind.APPLY:
            report = instance.told.report if instance.told is not None else None
            boot = report.boot if report is not None else None
            return replace(instance, flight=flight, trail=replace(trail, applies=trail.applies + 1, applied_on=boot))
        case Kind.REBOOT:
            trail = replace(
                trail,
                reboot_sent_at=flight.sent_at,
                away_at=None,
                connected_looks=0,
                proof_at=None,
                reboot_end_asked_at=None,
            )
            return replace(instance, reboot_flight=flight, rebooted=None, vetted=None, trail=trail)


def see_marked(instance: Instance, claim: Claim, now: datetime) -> Instance:
    """Our claim was written on it. A mark for one more reboot begins the wait for it anew."""
    trail, before = instance.trail, instance.claim
    if before is not None and before.run != claim.run:
        trail = replace(trail, taken_from=before.run)
    if claim.phase is ClaimPhase.DRAINING:
        trail = Trail(
            claimed_at=now, offered=trail.offered, applies=trail.applies, connected_looks=trail.connected_looks
        )
    if claim.phase is ClaimPhase.REBOOTING:
        trail = replace(trail, reboot_sent_at=None, away_at=None, proof_at=None)
        return replace(instance, claim=claim, reboot_flight=None, vetted=None, trail=trail)
    return replace(instance, claim=claim, trail=trail)


def see_successor_called(instance: Instance, now: datetime) -> Instance:
    """Another run was asked for, since this one runs on it."""
    return replace(instance, trail=replace(instance.trail, successor_called_at=now))


def see_successor(instance: Instance, task: TaskArn) -> Instance:
    """That other run has its place on another host."""
    return replace(instance, trail=replace(instance.trail, successor=task))


def see_drain_sent(
    instance: Instance, now: datetime, deficits: Mapping[ServiceArn, int], *, confirmed: bool
) -> Instance:
    """ECS was asked to drain it, and confirmed that it does, or may do so."""
    moving: dict[str, int] = {}
    for task in instance.tasks.left if instance.tasks is not None else ():
        if task.group.startswith("service:") and not task.daemon:
            name = task.group.removeprefix("service:")
            moving[name] = moving.get(name, 0) + 1
    trail = replace(
        instance.trail, drain_sent_at=now, drain_seen=confirmed, moving=moving, deficits_before=dict(deficits)
    )
    return replace(instance, trail=trail)


def see_return_sent(instance: Instance, now: datetime, verdict: Outcome, *, confirmed: bool) -> Instance:
    """ECS was asked to set it ACTIVE, and confirmed that it does, or may do so."""
    trail = replace(instance.trail, return_sent_at=now, return_confirmed=confirmed, verdict=verdict)
    return replace(instance, trail=trail)


def see_maybe_sent(instance: Instance, kind: Kind, now: datetime) -> Instance:
    """It may be under way without our knowing its id: an apply is searched for, a reboot shows in the boot id."""
    sent = see_sent(instance, Flight(kind, CommandId(""), now))
    return replace(sent, reboot_flight=None)


def see_refused(instance: Instance, kind: Kind, why: str, now: datetime) -> Instance:
    """Systems Manager would not send to it: final for one that we may leave alone; one of ours is tried again."""
    if kind is Kind.AFTER_REBOOT:
        return see_ended(instance, Ended(kind, CommandId(""), now, now, End.NOT_DELIVERED, -1, why))
    if instance.claim is None:
        return replace(instance, send_refused=why)
    return see_told(instance, Told(HostProblem(Problem.NO_ANSWER, why), now, now))
