"""The ledger: what outlasts the runs on one cluster, apart from what is written on the instances themselves.

It repeats every open claim by EC2 instance id, since nobody could verify that an attribute survives the agent's
re-registration, and it remembers what no witness can be asked for: rests, releases that failed, first sightings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.history import (
    SUSPECT_AFTER,
    Blocker,
    BrokenVersion,
    History,
    PastUpdate,
    RecordedDurations,
    Waiting,
)
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Backoff, longest_backoff
from bottlerocket_ecs_updater.core.model.version import Version

_K = TypeVar("_K")
_V = TypeVar("_V")

RECORDED_AT_MOST = 50
"""How many durations of each kind are kept: enough for a median, and what they tell of stays recent."""

BEGUN_FOR = timedelta(hours=24)
"""How long it is remembered that an instance was begun: `at most N per day` counts back so far."""

ABSENT_FOR = timedelta(days=7)
"""How long an instance must have been away before what is remembered of it is forgotten."""

UPDATED_FOR = timedelta(days=180)
"""How long it is remembered to which release an instance was updated: a roll is long over by then."""

GONE_FOR = timedelta(days=30)
"""How long it is remembered of one that left the cluster: no wait at a checkpoint is longer."""

BLOCKERS_FOR = timedelta(days=30)
"""How long it is remembered that tasks kept a drain from its end: by then their service is another one."""

FAILED_RELEASES_MAX = 50
"""Of how many releases it is remembered that they failed: of the newest, since no host is offered the others."""


@dataclass(frozen=True, slots=True)
class OpenClaim:
    """The copy of a claim, and the registration under which the instance was claimed."""

    claim: Claim
    arn: ContainerInstanceArn


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is remembered of one cluster."""

    claims: Mapping[InstanceId, OpenClaim] = field(default_factory=dict)
    rests: Mapping[InstanceId, Backoff] = field(default_factory=dict)
    failed_on: Mapping[Version, frozenset[InstanceId]] = field(default_factory=dict)
    """Releases that failed after a reboot since a person last released them, and on which instances."""
    first_seen: Mapping[Version, datetime] = field(default_factory=dict)
    """When each release was first offered to an instance of this cluster."""
    released: Mapping[Version, datetime] = field(default_factory=dict)
    """Releases that a person declared good, and when."""
    updated: Mapping[InstanceId, PastUpdate] = field(default_factory=dict)
    """To which release each instance was last updated, and when."""
    found_on: Mapping[InstanceId, PastUpdate] = field(default_factory=dict)
    """Instances that ran a release to which no run had brought them, and when they were first found on it."""
    begun: Mapping[InstanceId, datetime] = field(default_factory=dict)
    """When each instance was last drained for an update, as far back as a day."""
    begun_nameless: tuple[datetime, ...] = ()
    """When instances were begun, as an older updater wrote it: without their names. Nothing is added to it."""
    recorded: RecordedDurations = field(default_factory=RecordedDurations)
    broken: Mapping[Version, BrokenVersion] = field(default_factory=dict)
    """Versions that boot well and on which tasks failed, since a person last released them."""
    blockers: Mapping[str, Blocker] = field(default_factory=dict)
    """Groups of tasks that kept the last drain of a host that carried them from its end."""
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    """The reasons, by their codes, that kept the last runs from beginning anything."""
    suspect_after: int = SUSPECT_AFTER
    """On how many instances a version must fail to be suspect, as the last run was told: who only looks asks here."""
    attributes_survive: bool = False
    """Whether an attribute of ours was seen on an instance after its reboot: then none is lost by a reboot."""
    absent_since: Mapping[InstanceId, datetime] = field(default_factory=dict)
    """Since when each instance that something is remembered of was not in the cluster."""

    @property
    def past(self) -> History:
        """What the rules ask of it."""
        return History(
            self.first_seen,
            self.updated,
            self.begun_nameless,
            self.recorded,
            self.begun,
            self.found_on,
            self.failed_on,
            self.released,
            self.broken,
            self.waiting,
            self.blockers,
        )

    @property
    def suspects(self) -> Mapping[Version, int]:
        """On how many instances each release failed."""
        return {version: len(instances) for version, instances in self.failed_on.items()}


Change = Callable[[Ledger], Ledger]
"""One step from a ledger to the next; gives back the very same ledger where there is nothing to change."""


def with_claim(ledger: Ledger, instance: InstanceId, claim: Claim, arn: ContainerInstanceArn) -> Ledger:
    """Remember an open claim, in place of an earlier one of the same instance."""
    claims = _with(ledger.claims, instance, OpenClaim(claim, arn))
    return ledger if claims is ledger.claims else replace(ledger, claims=claims)


def without_claim(ledger: Ledger, instance: InstanceId) -> Ledger:
    """Forget the claim of an instance that was seen restored, or gone."""
    claims = _without(ledger.claims, instance)
    return ledger if claims is ledger.claims else replace(ledger, claims=claims)


def with_backoff(ledger: Ledger, instance: InstanceId, backoff: Backoff) -> Ledger:
    """Remember a failed attempt; a version that did not survive its boot is remembered against the version too."""
    if backoff.rolled_back:
        ledger = with_failure(ledger, backoff.version, instance)
    rests = _with(ledger.rests, instance, backoff)
    return ledger if rests is ledger.rests else replace(ledger, rests=rests)


def without_rest(ledger: Ledger, instance: InstanceId) -> Ledger:
    """Forget the failed attempts of an instance."""
    rests = _without(ledger.rests, instance)
    return ledger if rests is ledger.rests else replace(ledger, rests=rests)


def with_failure(ledger: Ledger, version: Version, instance: InstanceId) -> Ledger:
    """Remember that a release failed on an instance after its reboot; once per instance."""
    before = ledger.failed_on.get(version, frozenset())
    failed_on = _with(ledger.failed_on, version, before | {instance})
    if failed_on is ledger.failed_on:
        return ledger
    kept = sorted(failed_on, reverse=True)[:FAILED_RELEASES_MAX]
    return replace(ledger, failed_on={each: failed_on[each] for each in kept})


def with_waiting(ledger: Ledger, codes: Collection[str], at: datetime) -> Ledger:
    """Remember what kept a run from beginning anything, by the codes of the reasons; what did not is forgotten."""
    before = ledger.waiting
    now = {
        code: replace(before[code], runs=before[code].runs + 1) if code in before else Waiting(1, at) for code in codes
    }
    return replace(ledger, waiting=now) if now or before else ledger


def with_blocked(
    ledger: Ledger, groups: Collection[str], instance: InstanceId, at: datetime, run_began: datetime
) -> Ledger:
    """Remember which groups of tasks kept a drain from its end; those that did long ago are forgotten.

    Several hosts that were drained at once in one run count once.
    """
    blockers = {group: one for group, one in ledger.blockers.items() if one.last > at - BLOCKERS_FOR}
    for group in groups:
        before = blockers.get(group)
        if before is None:
            blockers[group] = Blocker(1, instance, at, at)
        else:
            again = before.last < run_began
            blockers[group] = replace(before, times=before.times + again, instance=instance, last=at)
    return replace(ledger, blockers=blockers)


def without_blockers(ledger: Ledger, groups: Collection[str]) -> Ledger:
    """Forget it of groups that a drain has moved since."""
    left = {group: one for group, one in ledger.blockers.items() if group not in groups}
    return ledger if len(left) == len(ledger.blockers) else replace(ledger, blockers=left)


def with_broken(ledger: Ledger, version: Version, found: BrokenVersion) -> Ledger:
    """Remember that tasks failed on a version: what was found first stays, until a person releases it."""
    if version in ledger.broken:
        return ledger
    for instance in found.hosts:
        ledger = with_failure(ledger, version, instance)
    kept = sorted({**ledger.broken, version: found}.items(), key=lambda item: item[0], reverse=True)[
        :FAILED_RELEASES_MAX
    ]
    return replace(ledger, broken=dict(kept))


def without_failure(ledger: Ledger, version: Version, instance: InstanceId) -> Ledger:
    """Forget that a release failed on an instance, and that the instance rests for it: it is proven there since."""
    failed = ledger.failed_on.get(version, frozenset())
    if instance in failed:
        left = {**ledger.failed_on, version: failed - {instance}}
        ledger = replace(ledger, failed_on={each: ids for each, ids in left.items() if ids})
    backoff = ledger.rests.get(instance)
    return without_rest(ledger, instance) if backoff is not None and backoff.version == version else ledger


def with_sighting(ledger: Ledger, version: Version, at: datetime) -> Ledger:
    """Remember when a release was first seen; later sightings change nothing."""
    seen = ledger.first_seen.get(version)
    if seen is not None and seen <= at:
        return ledger
    return replace(ledger, first_seen={**ledger.first_seen, version: at})


def with_release(ledger: Ledger, version: Version, at: datetime) -> Ledger:
    """A person says that a release is good: its failures are forgotten, on every instance."""
    return replace(
        ledger,
        released={**ledger.released, version: at},
        failed_on=_without(ledger.failed_on, version),
        broken=_without(ledger.broken, version),
        rests={id_: backoff for id_, backoff in ledger.rests.items() if backoff.version != version},
    )


def with_begun(ledger: Ledger, instance: InstanceId, at: datetime) -> Ledger:
    """Remember when an instance was drained for an update, and forget what was begun more than a day before."""
    kept = {id_: then for id_, then in ledger.begun.items() if then > at - BEGUN_FOR}
    nameless = tuple(then for then in ledger.begun_nameless if then > at - BEGUN_FOR)
    return replace(ledger, begun={**kept, instance: at}, begun_nameless=nameless)


def with_update(ledger: Ledger, instance: InstanceId, version: Version, at: datetime) -> Ledger:
    """Remember that an instance came back on a release, and is in service. It has not failed there any more."""
    ledger = without_failure(ledger, version, instance)
    updated = {**_since(ledger.updated, at - UPDATED_FOR), instance: PastUpdate(version, at)}
    return replace(ledger, updated=updated, found_on=_without(ledger.found_on, instance))


def with_found(ledger: Ledger, instance: InstanceId, version: Version, at: datetime) -> Ledger:
    """Remember when an instance was first found on a release to which no run had brought it."""
    known = ledger.found_on.get(instance)
    if known is not None and known.version == version:
        return ledger
    return replace(ledger, found_on={**_since(ledger.found_on, at - UPDATED_FOR), instance: PastUpdate(version, at)})


def with_duration(
    ledger: Ledger, stage: timedelta | None = None, drain: timedelta | None = None, reboot: timedelta | None = None
) -> Ledger:
    """Remember how long parts of an update took; None for those of which nothing is known."""
    recorded = ledger.recorded
    return replace(
        ledger,
        recorded=RecordedDurations(
            _newest(recorded.stages, stage), _newest(recorded.drains, drain), _newest(recorded.reboots, reboot)
        ),
    )


def with_suspect_after(ledger: Ledger, after: int) -> Ledger:
    """Remember by how many failures the run judges."""
    return ledger if ledger.suspect_after == after else replace(ledger, suspect_after=after)


def with_survival(ledger: Ledger) -> Ledger:
    """Remember that attributes survive reboots."""
    return ledger if ledger.attributes_survive else replace(ledger, attributes_survive=True)


def without_gone(ledger: Ledger, present: Collection[InstanceId], now: datetime) -> Ledger:
    """Forget what is known of instances that have not been in the cluster for a while.

    A list may lack an instance that is there, for a moment. Claims stay: letting one go is a decision of its own. What
    a release came to on an instance stays longer, since a canary that is terminated has proven something; failures stay
    until a person releases them.
    """
    remembered = ledger.rests.keys() | ledger.updated.keys() | ledger.found_on.keys()
    absent = {id_: ledger.absent_since.get(id_, now) for id_ in remembered if id_ not in present}
    gone = {id_ for id_, since in absent.items() if now - since >= ABSENT_FOR}

    def kept(past: Mapping[InstanceId, PastUpdate]) -> Mapping[InstanceId, PastUpdate]:
        return {id_: one for id_, one in past.items() if id_ not in gone or one.at > now - GONE_FOR}

    rests = {id_: backoff for id_, backoff in ledger.rests.items() if id_ not in gone}
    updated, found_on = kept(ledger.updated), kept(ledger.found_on)
    absent = {id_: since for id_, since in absent.items() if id_ in rests or id_ in updated or id_ in found_on}
    left = replace(ledger, rests=rests, updated=updated, found_on=found_on, absent_since=absent)
    return ledger if left == ledger else left


def without_future(ledger: Ledger, now: datetime) -> Ledger:
    """What a machine whose clock was fast has written counts from now: no wait is longer for it, and no limit."""
    clamped = replace(
        ledger,
        begun=_no_later(ledger.begun, now),
        begun_nameless=tuple(min(at, now) for at in ledger.begun_nameless),
        updated=_until(ledger.updated, now),
        found_on=_until(ledger.found_on, now),
        first_seen=_no_later(ledger.first_seen, now),
        released=_no_later(ledger.released, now),
        waiting={code: replace(one, since=min(one.since, now)) for code, one in ledger.waiting.items()},
        blockers={
            group: replace(one, first=min(one.first, now), last=min(one.last, now))
            for group, one in ledger.blockers.items()
        },
        absent_since=_no_later(ledger.absent_since, now),
        rests={
            id_: replace(backoff, until=min(backoff.until, now + longest_backoff(backoff)))
            for id_, backoff in ledger.rests.items()
        },
    )
    return ledger if clamped == ledger else clamped


def _no_later(times: Mapping[_K, datetime], now: datetime) -> Mapping[_K, datetime]:
    return {key: min(at, now) for key, at in times.items()}


def _until(past: Mapping[InstanceId, PastUpdate], now: datetime) -> Mapping[InstanceId, PastUpdate]:
    return {id_: replace(one, at=min(one.at, now)) for id_, one in past.items()}


def _since(past: Mapping[InstanceId, PastUpdate], then: datetime) -> Mapping[InstanceId, PastUpdate]:
    return {id_: one for id_, one in past.items() if one.at > then}


def _newest(durations: tuple[timedelta, ...], one: timedelta | None) -> tuple[timedelta, ...]:
    return durations if one is None else (*durations, one)[-RECORDED_AT_MOST:]


def _with(mapping: Mapping[_K, _V], key: _K, value: _V) -> Mapping[_K, _V]:
    return mapping if mapping.get(key) == value else {**mapping, key: value}


def _without(mapping: Mapping[_K, _V], key: _K) -> Mapping[_K, _V]:
    return {k: v for k, v in mapping.items() if k != key} if key in mapping else mapping
