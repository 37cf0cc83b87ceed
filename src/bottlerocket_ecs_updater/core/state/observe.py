"""Updates an instance with what ECS shows about it: pure functions that take an instance and a fact and return the new
instance.

They keep what later decisions need: that the agent disconnected, that a boot id is new, that a claim disappeared.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, Claim, ClaimPhase, read_claim
from bottlerocket_ecs_updater.core.model.container_instance import HealthStatus, Registration, Status
from bottlerocket_ecs_updater.core.model.ids import CommandId, RunId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reboots import SentReboot
from bottlerocket_ecs_updater.core.model.run_progress import Impaired, RunProgress, TakenOut
from bottlerocket_ecs_updater.core.model.time_text import has_passed

_ORDER = (ClaimPhase.DRAINING, ClaimPhase.REBOOTING, ClaimPhase.QUARANTINED)


READ_LAG_MAX = timedelta(minutes=2)
"""An instance that looks show as ACTIVE for longer than this after our drain was returned by somebody."""


def see_registration(
    instance: Instance,
    registration: Registration,
    run: RunId,
    apart: timedelta = timedelta(0),
    doubts_apart: timedelta = timedelta(0),
    store: str = "",
) -> Instance:
    """ECS described it. For its connection, looks less than `apart` from each other count as one.

    A look after twice that time or more counts as two, because the agent has to stay connected for some time.

    For a missing or overwritten claim, looks less than `doubts_apart` from each other count as one. `store` is this
    run's state store: it distinguishes claims of earlier runs from claims of rival runs.
    """
    written = registration.attributes.get(CLAIM_ATTRIBUTE)
    on_instance, unreadable = _read_claim(written)
    if instance.progress.unmarked:
        on_instance, unreadable = None, ""  # this run removed it: the read is stale
    if _rival_is_done(instance, on_instance, run, store) and _apart(instance.progress, registration.at, doubts_apart):
        instance = _as_new(instance)
    seen = replace(
        instance,
        registration=registration,
        undescribed="",
        claim=_prevailing(instance.claim, on_instance, run),
        claim_on_instance=on_instance is not None,
        claim_unreadable=unreadable,
    )
    progress = _overwriting(_connection(seen, registration, apart), seen.claim, on_instance, run)
    if seen.claim is not None and (seen.claim != instance.claim or progress.phase_seen_at is None):
        progress = _with(progress, phase_seen_at=registration.at)
    progress = _with_claim_lag(progress, seen.claim, on_instance, registration, run)
    after = _trail_after(seen, progress, registration, run)
    progress = _doubting(instance.progress, after, registration.at, doubts_apart)
    progress = _with(progress, taken_out=_taken_out(instance, seen, registration.at))
    reboots = _reboots_of_dead_run(seen, registration, run)
    return (
        seen
        if (progress, reboots) == (seen.progress, seen.reboots)
        else replace(seen, progress=progress, reboots=reboots)
    )


def _with(progress: RunProgress, **changes: Any) -> RunProgress:
    """The progress with these values; itself where it has them, as most looks show nothing new."""
    return (
        replace(progress, **changes) if any(getattr(progress, name) != changes[name] for name in changes) else progress
    )


def _reboots_of_dead_run(instance: Instance, registration: Registration, run: RunId) -> tuple[SentReboot, ...]:
    """Add the reboot that a dead run may have sent after its mark, until just before this run first looked."""
    claim = instance.claim
    found = instance.progress.claimed_at is None and claim is not None and claim.run != run
    if found and claim is not None and claim.phase is ClaimPhase.REBOOTING:
        return (*instance.reboots, SentReboot(CommandId(""), registration.at, sent_by_us=False))
    return instance.reboots


def _taken_out(before: Instance, after: Instance, at: datetime | None) -> TakenOut | None:
    """How many tasks it had room for when somebody else took it out of service; None if nobody has.

    Tasks that our own drain moved may not be back on it yet.
    """
    registration = after.registration
    if after.claim is not None or (registration is not None and registration.in_service):
        return None
    known = before.registration
    if known is None or not known.in_service or before.claim is not None or at is None:
        return before.progress.taken_out
    moved_by_us = sum(before.progress.moving.values())
    return TakenOut(at, max(known.counted_tasks, moved_by_us))


def _rival_is_done(instance: Instance, on_instance: Claim | None, run: RunId, store: str) -> bool:
    """Whether the claim of a run with another state store has been gone for two looks."""
    known, progress = instance.claim, instance.progress
    rival = known is not None and known.run != run and known.store != store
    return rival and on_instance is None and progress.claim_seen and progress.claim_absent_looks >= 1


def _as_new(instance: Instance) -> Instance:
    """Forget earlier answers, because another updater has worked on the instance since."""
    return Instance(
        instance.id,
        reach=instance.reach,
        shown_version=instance.shown_version,
        backoff=instance.backoff,
        around=instance.around,
        progress=RunProgress(connected_looks=instance.progress.connected_looks),
    )


def _read_claim(text: str | None) -> tuple[Claim | None, str]:
    try:
        return read_claim(text), ""
    except ValueError as error:
        return None, str(error)


def _prevailing(known: Claim | None, on_instance: Claim | None, run: RunId) -> Claim | None:
    """The copy of the claim that is further along; this run's own last write wins over a stale read."""
    if known is None or on_instance is None:
        return known or on_instance
    if known.run == run:
        return known
    return max(known, on_instance, key=lambda claim: (*_order(claim), claim.since))


def _overwriting(progress: RunProgress, ours: Claim | None, on_instance: Claim | None, run: RunId) -> RunProgress:
    """Count the looks that find a rival run's claim instead of ours."""
    if ours is None or ours.run != run or on_instance is None or on_instance.run in (run, progress.taken_from):
        return replace(progress, overwritten_looks=0) if progress.overwritten_looks else progress
    return replace(progress, overwritten_looks=progress.overwritten_looks + 1, overwritten_by=on_instance.run)


def _connection(instance: Instance, registration: Registration, apart: timedelta) -> RunProgress:
    progress, claim = instance.progress, instance.claim
    since = None if registration.connected else progress.disconnected_since or registration.at
    absences = progress.absences + (since is not None and progress.disconnected_since is None)
    progress = _containers(progress, instance.claim, registration)
    progress = _with(progress, disconnected_since=since, absences=absences)
    if registration.connected:
        closely = progress.connected_at is not None and registration.at < progress.connected_at + apart
        if progress.connected_looks and closely:
            return progress
        twice = progress.connected_at + 2 * apart if progress.connected_at is not None and apart else None
        looks = 2 if progress.connected_looks and twice is not None and registration.at >= twice else 1
        return _with(progress, connected_looks=progress.connected_looks + looks, connected_at=registration.at)
    went = progress.away_at is None or progress.connected_looks > 0
    if claim is None:
        progress = _with(progress, last_away_at=registration.at)
    elif claim.phase is not ClaimPhase.DRAINING and went:
        progress = _with(progress, away_at=registration.at)
    return _with(progress, connected_looks=0)


def _containers(progress: RunProgress, claim: Claim | None, registration: Registration) -> RunProgress:
    """Record since when tasks have been pending on it, and since when ECS has reported it as IMPAIRED."""
    waits = claim is None and registration.in_service and registration.pending_tasks > 0
    pending = (progress.pending_since or registration.at) if waits else None
    after = progress if progress.pending_since == pending else replace(progress, pending_since=pending)
    return _impaired(after, claim, registration)


def _impaired(progress: RunProgress, claim: Claim | None, registration: Registration) -> RunProgress:
    """Record since when ECS has reported it as IMPAIRED.

    An instance whose agent is disconnected also counts as IMPAIRED (AGENT_CONNECTIVITY), and so does one that goes down
    for its reboot. Neither says anything about its containers.
    """
    before = progress.impaired
    counts = registration.connected and (claim is None or progress.new_boot is not None)
    if not (counts and registration.impaired):
        over = before is not None and before.since is not None
        return replace(progress, impaired=replace(before, since=None)) if before is not None and over else progress
    if before is None:
        return replace(progress, impaired=Impaired(registration.at, registration.at))
    began = before.since is None
    found = Impaired(before.since or registration.at, registration.at, before.times + began)
    return replace(progress, impaired=found)


IMPAIRED_LATELY = timedelta(hours=1)
"""An instance that was IMPAIRED this shortly before its drain was IMPAIRED before the update, even if it flaps."""


def health_before(instance: Instance) -> HealthStatus | None:
    """Its ECS health status before its drain, if it is drained now; None if ECS reports none."""
    progress, registration = instance.progress, instance.registration
    if instance.claim is not None or registration is None:
        return progress.health_before
    impaired = progress.impaired
    if impaired is not None and not has_passed(impaired.last_at, IMPAIRED_LATELY, registration.at):
        return HealthStatus.IMPAIRED
    return registration.health.status if registration.health is not None else None


def _trail_after(instance: Instance, progress: RunProgress, registration: Registration, run: RunId) -> RunProgress:
    claim = instance.claim
    missing = progress.missing_looks + 1 if registration.status is Status.INACTIVE else 0
    progress = _with(progress, missing_looks=missing, undescribed_looks=0)
    if claim is None:
        return progress
    if progress.claimed_at is None:
        quarantined = claim.phase is ClaimPhase.QUARANTINED
        progress = _with(progress, claimed_at=registration.at, found_in_quarantine=quarantined)
    drained = progress.drain is not None or claim.run != run
    if registration.status is Status.DRAINING and drained:
        progress = _with(progress, drain_seen=True)
    progress = _with_read_lag(progress, claim, registration)
    if instance.claim_on_instance:
        return _with(progress, claim_seen=True, claim_absent_looks=0)
    absent = progress.claim_absent_looks + 1 if progress.claim_seen else 0
    return _with(progress, claim_absent_looks=absent)


def _with_read_lag(progress: RunProgress, claim: Claim, registration: Registration) -> RunProgress:
    """Measure how late ECS shows our drain: it has confirmed it, but no look has shown it yet."""
    if progress.drain is None or claim.phase is not ClaimPhase.DRAINING or progress.drain_shown:
        return progress
    if registration.status is Status.DRAINING:
        return replace(progress, drain_shown=True)
    late = progress.drain_seen and registration.status is Status.ACTIVE
    return _lagging(progress, progress.drain.at, registration) if late else progress


def _with_claim_lag(
    progress: RunProgress, ours: Claim | None, on_instance: Claim | None, registration: Registration, run: RunId
) -> RunProgress:
    """Measure how late ECS shows our claim for the reboot: a run that continues a drain has no drain to measure by."""
    wrote = ours is not None and ours.run == run and ours.phase is ClaimPhase.REBOOTING
    if not wrote or ours is None or on_instance is None or progress.phase_seen_at is None:
        return progress
    earlier = _order(on_instance) < _order(ours) and on_instance.run in (run, progress.taken_from)
    return _lagging(progress, progress.phase_seen_at, registration) if earlier else progress


def _order(claim: Claim) -> tuple[int, int]:
    return _ORDER.index(claim.phase), claim.reboots


def _lagging(progress: RunProgress, call_at: datetime, registration: Registration) -> RunProgress:
    """This look showed the state from before a call that ECS had confirmed."""
    lag = min(registration.at - call_at, READ_LAG_MAX)
    return _with(progress, read_lag=max(progress.read_lag, lag))


def _doubting(before: RunProgress, after: RunProgress, at: datetime, apart: timedelta) -> RunProgress:
    """Ignore a look that misses our claim if it follows too soon after the last one that did."""
    earlier = before.claim_absent_looks + before.overwritten_looks
    if after.claim_absent_looks + after.overwritten_looks <= earlier:
        return after
    if earlier and not _apart(before, at, apart):
        absent, overwritten = before.claim_absent_looks, before.overwritten_looks
        return replace(after, claim_absent_looks=absent, overwritten_looks=overwritten)
    return replace(after, doubted_at=at, doubted_since=before.doubted_since if earlier else at)


def _apart(before: RunProgress, at: datetime, apart: timedelta) -> bool:
    """Whether the last look that missed our claim was at least `apart` earlier."""
    return before.doubted_at is None or at >= before.doubted_at + apart


def see_missing(instance: Instance, at: datetime | None = None) -> Instance:
    """ECS does not list it, at that time."""
    progress = replace(
        instance.progress, missing_looks=instance.progress.missing_looks + 1, undescribed_looks=0, connected_looks=0
    )
    gone = instance.registration is None or progress.missing_looks > 1
    after = replace(instance, registration=None if gone else instance.registration, undescribed="")
    return replace(after, progress=replace(progress, taken_out=_taken_out(instance, after, at)))


def see_undescribed(instance: Instance, why: str, *, listed: bool = True) -> Instance:
    """ECS did not describe it: the known facts are out of date. If ECS listed it, it exists."""
    progress = instance.progress
    missing = 0 if listed else progress.missing_looks
    progress = replace(
        progress,
        undescribed_looks=progress.undescribed_looks + 1,
        absences=progress.absences + (not progress.undescribed_looks),
        missing_looks=missing,
        connected_looks=0,
    )
    return replace(instance, undescribed=why, progress=progress)
