"""What a look adds to what was known: pure functions from an instance and new facts to the instance after them.

Here is where facts become history: that the agent was away, that a boot id is new, that a claim vanished.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from bottlerocket_ecs_updater.core.model.claim import ATTRIBUTE, Claim, ClaimPhase, read_claim
from bottlerocket_ecs_updater.core.model.container_instance import Registration, Status
from bottlerocket_ecs_updater.core.model.host_report import HostProblem, HostReport, Problem
from bottlerocket_ecs_updater.core.model.ids import CommandId, RunId, ServiceArn, TaskArn
from bottlerocket_ecs_updater.core.model.instance import Instance, Trail
from bottlerocket_ecs_updater.core.model.outcome import Outcome
from bottlerocket_ecs_updater.core.model.reboots import FIRST_RUN, RebootEnd, SentReboot
from bottlerocket_ecs_updater.core.model.run_command import End, Ended, Flight, Kind, Told

_ORDER = (ClaimPhase.DRAINING, ClaimPhase.REBOOTING, ClaimPhase.QUARANTINED)


def see_registration(
    instance: Instance,
    registration: Registration,
    run: RunId,
    apart: timedelta = timedelta(0),
    doubts_apart: timedelta = timedelta(0),
    store: str = "",
) -> Instance:
    """ECS described it. Looks that follow each other in less than `apart` count as one look at its connection.

    One that follows after twice that time, or more, counts as two: what is asked is that it stays connected for a time.

    Looks that follow each other in less than `doubts_apart` count as one that finds our claim gone or written over.
    `store` is the state store of this run: it tells the claims of earlier runs from those of rivals.
    """
    written = registration.attributes.get(ATTRIBUTE)
    on_instance, unreadable = _read_claim(written)
    if instance.trail.unmarked:
        on_instance, unreadable = None, ""  # we dropped it, whoever wrote it: the reader lags
    if _rival_is_done(instance, on_instance, run, store) and _apart(instance.trail, registration.at, doubts_apart):
        instance = _as_new(instance)
    seen = replace(
        instance,
        registration=registration,
        undescribed="",
        claim=_prevailing(instance.claim, on_instance, run),
        claim_on_instance=on_instance is not None,
        claim_unreadable=unreadable,
    )
    trail = _overwriting(_connection(seen, registration, apart), seen.claim, on_instance, run)
    if seen.claim is not None and (seen.claim != instance.claim or trail.phase_seen_at is None):
        trail = replace(trail, phase_seen_at=registration.at)
    seen = replace(seen, reboots=_reboots_of_dead_run(seen, registration, run))
    after = _trail_after(replace(seen, trail=trail), registration, run)
    return replace(seen, trail=_doubting(instance.trail, after, registration.at, doubts_apart))


def _reboots_of_dead_run(instance: Instance, registration: Registration, run: RunId) -> tuple[SentReboot, ...]:
    """A run that marked it for its reboot may have sent one, until just before this run began to look."""
    claim = instance.claim
    found = instance.trail.claimed_at is None and claim is not None and claim.run != run
    if found and claim is not None and claim.phase is ClaimPhase.REBOOTING:
        return (*instance.reboots, SentReboot(CommandId(""), registration.at, sent_by_us=False))
    return instance.reboots


def _rival_is_done(instance: Instance, on_instance: Claim | None, run: RunId, store: str) -> bool:
    """Whether the claim of a run with another store is gone from it, over two looks."""
    known, trail = instance.claim, instance.trail
    rival = known is not None and known.run != run and known.store != store
    return rival and on_instance is None and trail.claim_seen and trail.claim_absent_looks >= 1


def _as_new(instance: Instance) -> Instance:
    """Another updater was at work on it: nothing that was asked before says anything about it any more."""
    return Instance(
        instance.id,
        reach=instance.reach,
        shown_version=instance.shown_version,
        rest=instance.rest,
        around=instance.around,
        trail=Trail(connected_looks=instance.trail.connected_looks),
    )


def _read_claim(text: str | None) -> tuple[Claim | None, str]:
    try:
        return read_claim(text), ""
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
    trail = replace(_containers(trail, instance.claim, registration), disconnected_since=since)
    if registration.connected:
        closely = trail.connected_at is not None and registration.at < trail.connected_at + apart
        if trail.connected_looks and closely:
            return trail
        twice = trail.connected_at + 2 * apart if trail.connected_at is not None and apart else None
        looks = 2 if trail.connected_looks and twice is not None and registration.at >= twice else 1
        return replace(trail, connected_looks=trail.connected_looks + looks, connected_at=registration.at)
    went = trail.away_at is None or trail.connected_looks > 0
    if claim is not None and claim.phase is not ClaimPhase.DRAINING and went:
        trail = replace(trail, away_at=registration.at)
    return replace(trail, connected_looks=0)


def _containers(trail: Trail, claim: Claim | None, registration: Registration) -> Trail:
    """Since when containers fare badly on it, as far as counts and checks of ECS tell."""
    serves = claim is None and registration.status is Status.ACTIVE and registration.connected
    waits = serves and registration.pending_tasks > 0
    pending = (trail.pending_since or registration.at) if waits else None
    impaired = (trail.impaired_since or registration.at) if registration.impaired else None
    if (pending, impaired) == (trail.pending_since, trail.impaired_since):
        return trail
    return replace(trail, pending_since=pending, impaired_since=impaired)


def _trail_after(instance: Instance, registration: Registration, run: RunId) -> Trail:
    trail = instance.trail
    claim = instance.claim
    missing = trail.missing_looks + 1 if registration.status is Status.INACTIVE else 0
    trail = replace(trail, missing_looks=missing, dark_looks=0)
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
    if earlier and not _apart(before, at, apart):
        absent, overwritten = before.claim_absent_looks, before.overwritten_looks
        return replace(after, claim_absent_looks=absent, overwritten_looks=overwritten)
    return replace(after, doubted_at=at)


def _apart(before: Trail, at: datetime, apart: timedelta) -> bool:
    """Whether the last look that missed our claim was so long before."""
    return before.doubted_at is None or at >= before.doubted_at + apart


def see_missing(instance: Instance) -> Instance:
    """ECS does not list it."""
    trail = replace(instance.trail, missing_looks=instance.trail.missing_looks + 1, dark_looks=0, connected_looks=0)
    gone = instance.registration is None or trail.missing_looks > 1
    registration = None if gone else instance.registration
    return replace(instance, registration=registration, undescribed="", trail=trail)


def see_undescribed(instance: Instance, why: str) -> Instance:
    """ECS lists it and did not describe it: it is there, and what was known of it is out of date."""
    trail = replace(instance.trail, dark_looks=instance.trail.dark_looks + 1, missing_looks=0, connected_looks=0)
    return replace(instance, undescribed=why, trail=trail)


def see_told(instance: Instance, told: Told) -> Instance:
    """The host answered a check, or the check came to nothing."""
    trail = instance.trail
    match told.answer:
        case HostReport():
            trail = replace(trail, checks_failed=0, first_busy_at=None, offered=told.answer.target or trail.offered)
            if _proves_boot(instance, told, told.answer) and trail.proof_boot != told.answer.boot:
                trail = replace(
                    trail,
                    proof_at=told.asked_at,
                    proof_heard_at=told.at,
                    proof_boot=told.answer.boot,
                    connected_looks=_looks_since_boot(trail, told),
                )
        case HostProblem(problem=Problem.BUSY):
            busy_since = trail.first_busy_at or told.at
            trail = replace(trail, checks_failed=trail.checks_failed + 1, first_busy_at=busy_since)
        case HostProblem():
            trail = replace(trail, checks_failed=trail.checks_failed + 1)
    return replace(instance, told=told, trail=trail)


def _looks_since_boot(trail: Trail, told: Told) -> int:
    """How many of the looks that saw its agent connected are surely from after the boot that it proves.

    Where the agent was seen to go before that boot, all since. Where it was not, those since the question, the one that
    led to it included: no host boots in the time from a question to an answer that came at once. After an answer that
    took long, only this look counts.
    """
    went = trail.away_at is not None and (trail.proof_at is None or trail.away_at > trail.proof_at)
    if went:
        return trail.connected_looks
    if told.at - told.asked_at >= FIRST_RUN:
        return min(trail.connected_looks, 1)
    return max(0, trail.connected_looks - trail.looks_when_asked) + min(trail.looks_when_asked, 1)


def _proves_boot(instance: Instance, told: Told, report: HostReport) -> bool:
    claim = instance.claim
    if claim is None or report.boot == claim.boot:
        return False
    return instance.trail.reboot_sent_at is None or told.asked_at >= instance.trail.reboot_sent_at


def see_ended(instance: Instance, ended: Ended) -> Instance:
    """A command of ours ended on it. Reboots have an end of their own: `see_reboot_end`."""
    match ended.kind:
        case Kind.APPLY:
            unheard = instance.trail.applies_unheard + (0 if ended.command else 1)
            trail = replace(instance.trail, applies_unheard=unheard)
            return replace(instance, flight=None, applied=ended, trail=trail)
        case Kind.REBOOT:
            return instance
        case Kind.CHECK:
            return replace(instance, flight=None)
        case Kind.BEFORE_DRAIN:
            return replace(instance, flight=None, prepared=ended)
        case Kind.AFTER_REBOOT:
            return replace(instance, flight=None, vetted=ended)


def see_denied(instance: Instance, kind: Kind, why: str) -> Instance:
    """AWS does not allow a command to it. Where that was a check, it can not be asked at all."""
    return replace(instance, send_denied=why, mute=instance.mute or kind is Kind.CHECK)


def see_sent(instance: Instance, flight: Flight) -> Instance:
    """A document was sent to it."""
    if flight.kind is Kind.CHECK or not instance.mute:
        instance = replace(instance, send_denied="", mute=False)
    trail = instance.trail
    match flight.kind:
        case Kind.CHECK:
            return replace(instance, flight=flight, trail=replace(trail, looks_when_asked=trail.connected_looks))
        case Kind.BEFORE_DRAIN | Kind.AFTER_REBOOT:
            return replace(instance, flight=flight)
        case Kind.APPLY:
            report = instance.told.report if instance.told is not None else None
            boot = report.boot if report is not None else None
            return replace(instance, flight=flight, trail=replace(trail, applies=trail.applies + 1, applied_on=boot))
        case Kind.REBOOT:
            return see_reboot_sent(instance, SentReboot(flight.command, flight.sent_at))


def see_reboot_sent(instance: Instance, reboot: SentReboot) -> Instance:
    """It was asked to reboot, or may have been: what was seen of earlier boots proves nothing any more."""
    trail = replace(
        instance.trail,
        reboot_sent_at=reboot.sent_at,
        away_at=None,
        connected_looks=0,
        proof_at=None,
        proof_heard_at=None,
        proof_boot=None,
    )
    denied = instance.send_denied if instance.mute else ""
    return replace(instance, reboots=(*instance.reboots, reboot), send_denied=denied, vetted=None, trail=trail)


def see_reboot_found(instance: Instance, found: SentReboot) -> Instance:
    """Systems Manager lists a reboot command for it that we did not know: it takes the place of the unknown one."""
    if any(one.command == found.command for one in instance.reboots):
        return instance
    unknown = next((one for one in instance.reboots if not one.command), None)
    others = tuple(one for one in instance.reboots if one is not unknown)
    if unknown is not None:
        found = replace(found, sent_at=max(unknown.sent_at, found.sent_at))
    return replace(instance, reboots=(*others, found))


def see_reboot_end(instance: Instance, command: CommandId, asked_at: datetime, end: RebootEnd | None) -> Instance:
    """Systems Manager was asked how a reboot command ended; None where it has not."""

    def after(one: SentReboot) -> SentReboot:
        return replace(one, end_asked_at=asked_at, end=one.end or end) if one.command == command else one

    return replace(instance, reboots=tuple(map(after, instance.reboots)))


def see_reboots_cancelled(instance: Instance) -> Instance:
    """Systems Manager was asked to cancel what is open of its reboots."""
    cancelled = (replace(one, cancelled=True) if one.open else one for one in instance.reboots)
    return replace(instance, reboots=tuple(cancelled))


def see_marked(instance: Instance, claim: Claim, now: datetime) -> Instance:
    """Our claim was written on it. A mark for one more reboot begins the wait for it anew."""
    trail, before = instance.trail, instance.claim
    if before is not None and before.run != claim.run:
        trail = replace(trail, taken_from=before.run)
    trail = replace(trail, phase_seen_at=now)
    match claim.phase:
        case ClaimPhase.DRAINING:
            trail = Trail(
                claimed_at=now,
                phase_seen_at=now,
                offered=trail.offered,
                applies=trail.applies,
                connected_looks=trail.connected_looks,
                was_impaired=instance.registration is not None and bool(instance.registration.impaired),
            )
            return replace(instance, claim=claim, reboots=(), trail=trail)
        case ClaimPhase.REBOOTING:
            trail = replace(trail, reboot_sent_at=None, away_at=None, proof_at=None)
            trail = replace(trail, proof_heard_at=None, proof_boot=None)
            return replace(instance, claim=claim, vetted=None, trail=trail)
        case ClaimPhase.QUARANTINED:
            return replace(instance, claim=claim, trail=trail)
        case _:
            assert_never(claim.phase)


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
    groups = tuple(sorted({task.group for task in instance.tasks.left})) if instance.tasks is not None else ()
    for task in instance.tasks.left if instance.tasks is not None else ():
        if task.group.startswith("service:") and not task.daemon:
            name = task.group.removeprefix("service:")
            moving[name] = moving.get(name, 0) + 1
    trail = replace(
        instance.trail,
        drain_sent_at=now,
        drain_seen=confirmed,
        groups=groups,
        moving=moving,
        deficits_before=dict(deficits),
    )
    return replace(instance, trail=trail)


def see_return_sent(instance: Instance, now: datetime, verdict: Outcome, *, confirmed: bool) -> Instance:
    """ECS was asked to set it ACTIVE, and said in its reply that it is, or may have done so."""
    trail = replace(instance.trail, return_sent_at=now, return_confirmed=confirmed, verdict=verdict)
    registration = instance.registration
    if confirmed and registration is not None:
        registration = replace(registration, status=Status.ACTIVE)
    return replace(instance, registration=registration, trail=trail)


def see_maybe_sent(instance: Instance, kind: Kind, now: datetime) -> Instance:
    """It may be under way without our knowing its id: it is searched for among the commands that were sent."""
    return see_sent(instance, Flight(kind, CommandId(""), now))


def see_refused(instance: Instance, kind: Kind, why: str, now: datetime) -> Instance:
    """Systems Manager would not send to it: final for one that we may leave alone; one of ours is tried again."""
    if kind is Kind.AFTER_REBOOT:
        return see_ended(instance, Ended(kind, CommandId(""), now, now, End.NOT_DELIVERED, -1, why))
    if instance.claim is None:
        return replace(instance, send_refused=why)
    return see_told(instance, Told(HostProblem(Problem.NO_ANSWER, why), now, now))
