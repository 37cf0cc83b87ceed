"""The ledger: the records of one cluster that are kept between runs, apart from the claims on the instances.

It has a copy of every open claim by EC2 instance id, because it is not certain that an attribute survives a new
registration of the agent. It also records what AWS does not: backoffs, failed versions, when versions were first seen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.command import NoteBlockers
from bottlerocket_ecs_updater.core.model.container_instance import HealthStatus, family_name
from bottlerocket_ecs_updater.core.model.history import (
    ANY_REASON,
    SUSPECT_AFTER,
    Blocker,
    BrokenVersion,
    History,
    LastingHold,
    PastUpdate,
    RecordedDurations,
)
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Backoff
from bottlerocket_ecs_updater.core.model.published import NewestPublished, Published, see_published
from bottlerocket_ecs_updater.core.model.version import Version

_K = TypeVar("_K")
_V = TypeVar("_V")

RECORDED_AT_MOST = 50
"""How many durations of each kind are kept: enough for a median, and recent."""

STARTS_KEPT_FOR = timedelta(hours=24)
"""How long the start of an update is kept: the daily limit counts back this far."""

UPDATED_FOR = timedelta(days=180)
"""How long the last update of an instance is kept: its rollout is over by then."""

BLOCKERS_FOR = timedelta(days=30)
"""How long blockers are kept: by then their service has probably changed."""

TROUBLED_MAX = 100
"""The most services in trouble that are recorded for a version."""

FAILED_VERSIONS_MAX = 50
"""How many failed versions are kept, the newest ones: hosts are not offered older ones."""


@dataclass(frozen=True, slots=True)
class OpenClaim:
    """The copy of a claim, with the container instance ARN under which the instance was claimed."""

    claim: Claim
    arn: ContainerInstanceArn
    health_before: HealthStatus | None = None
    """Its ECS health status before its drain; None if ECS reported none."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The records of one cluster."""

    claims: Mapping[InstanceId, OpenClaim] = field(default_factory=dict)
    backoffs: Mapping[InstanceId, Backoff] = field(default_factory=dict)
    failed_on: Mapping[Version, frozenset[InstanceId]] = field(default_factory=dict)
    """Versions that failed after a reboot since a person last released them, and on which instances."""
    first_seen: Mapping[Version, datetime] = field(default_factory=dict)
    """When each version was first offered to an instance of this cluster."""
    released: Mapping[Version, datetime] = field(default_factory=dict)
    """Versions that a person marked as good with `release`, and when."""
    updated: Mapping[InstanceId, PastUpdate] = field(default_factory=dict)
    """The version to which each instance was last updated, and when."""
    found_on: Mapping[InstanceId, PastUpdate] = field(default_factory=dict)
    """Instances on a version that no run had updated them to, and when they were first found on it."""
    started: Mapping[InstanceId, datetime] = field(default_factory=dict)
    """When each instance was last drained for an update, in the last day."""
    started_nameless: tuple[datetime, ...] = ()
    """When updates started, as written by an older updater without instance ids. Nothing is added to it."""
    recorded: RecordedDurations = field(default_factory=RecordedDurations)
    broken: Mapping[Version, BrokenVersion] = field(default_factory=dict)
    """Versions that boot but on which tasks failed, since a person last released them."""
    troubled: Mapping[Version, frozenset[str]] = field(default_factory=dict)
    """The services that lost tasks by themselves before the first instance was updated to each version."""
    blockers: Mapping[str, Blocker] = field(default_factory=dict)
    """Groups of tasks that made the last drain of a host with them time out."""
    waiting: Mapping[str, LastingHold] = field(default_factory=dict)
    """The reasons, by code, that kept the last runs from starting any update; `ANY_REASON` for all together."""
    published: Mapping[str, NewestPublished] = field(default_factory=dict)
    """The newest version that each public parameter has ever named."""
    offered: Mapping[InstanceId, Version] = field(default_factory=dict)
    """The newer version that each host was offered when it was last checked."""
    suspect_after: int = SUSPECT_AFTER
    """On how many instances a version must fail to be suspect, in the last run's policy. Read-only commands use it."""
    attributes_survive: bool = False
    """Whether our attribute was seen on an instance after its reboot, so that reboots do not remove it."""
    absent_since: Mapping[InstanceId, datetime] = field(default_factory=dict)
    """Since when each instance with records has been absent from the cluster."""
    left: Mapping[InstanceId, OpenClaim] = field(default_factory=dict)
    """Claims that were dropped because a group terminated the instances, which stayed DRAINING because of them."""

    @property
    def past(self) -> History:
        """The history that the rules need."""
        return History(
            self.first_seen,
            self.updated,
            self.started_nameless,
            self.recorded,
            self.started,
            self.found_on,
            self.failed_on,
            self.released,
            self.broken,
            self.waiting,
            self.blockers,
            self.published,
            self.troubled,
        )

    @property
    def suspects(self) -> Mapping[Version, int]:
        """On how many instances each version failed."""
        return {version: len(instances) for version, instances in self.failed_on.items()}


Change = Callable[[Ledger], Ledger]
"""A change of the ledger. It returns the same object if there is nothing to change."""


def cannot_wait(saved: Ledger, now: Ledger, *, attributes_survive: bool) -> bool:
    """Whether a run that died now would lose something that the next run must know, and could not find out.

    Claims are also on the instances, but until attributes were seen to survive a reboot, the copy may be the last one.
    A failed version must not go to another instance. The first instance on a version shows the next run which tasks to
    watch. Everything else costs little if it is lost: the next run finds instances on their new version.
    """
    claims_at_risk = not attributes_survive and saved.claims != now.claims
    failures = (saved.broken, saved.failed_on, saved.backoffs) != (now.broken, now.failed_on, now.backoffs)
    return claims_at_risk or failures or saved.troubled.keys() != now.troubled.keys()


def with_claim(
    ledger: Ledger,
    instance: InstanceId,
    claim: Claim,
    arn: ContainerInstanceArn,
    health_before: HealthStatus | None = None,
) -> Ledger:
    """Record an open claim, replacing an earlier one of the same instance."""
    claims = _with(ledger.claims, instance, OpenClaim(claim, arn, health_before))
    left = _without(ledger.left, instance)
    same = claims is ledger.claims and left is ledger.left
    return ledger if same else replace(ledger, claims=claims, left=left)


def with_left(ledger: Ledger, instance: InstanceId, claim: Claim, arn: ContainerInstanceArn) -> Ledger:
    """Record the claim of an instance that is left DRAINING to its group, in case the group keeps it after all."""
    left = _with(ledger.left, instance, OpenClaim(claim, arn))
    return ledger if left is ledger.left else replace(ledger, left=left)


def without_claim(ledger: Ledger, instance: InstanceId) -> Ledger:
    """Drop the claim of an instance that is back in service, or gone."""
    claims = _without(ledger.claims, instance)
    return ledger if claims is ledger.claims else replace(ledger, claims=claims)


def with_backoff(ledger: Ledger, instance: InstanceId, backoff: Backoff) -> Ledger:
    """Record the backoff after a failed attempt; if the version did not boot, also record its failure."""
    if backoff.rolled_back:
        ledger = with_failure(ledger, backoff.version, instance)
    backoffs = _with(ledger.backoffs, instance, backoff)
    return ledger if backoffs is ledger.backoffs else replace(ledger, backoffs=backoffs)


def without_backoff(ledger: Ledger, instance: InstanceId) -> Ledger:
    """Drop the backoff of an instance."""
    backoffs = _without(ledger.backoffs, instance)
    return ledger if backoffs is ledger.backoffs else replace(ledger, backoffs=backoffs)


def with_failure(ledger: Ledger, version: Version, instance: InstanceId) -> Ledger:
    """Record that a version failed on an instance after its reboot; once per instance."""
    before = ledger.failed_on.get(version, frozenset())
    failed_on = _with(ledger.failed_on, version, before | {instance})
    if failed_on is ledger.failed_on:
        return ledger
    kept = sorted(failed_on, reverse=True)[:FAILED_VERSIONS_MAX]
    return replace(ledger, failed_on={each: failed_on[each] for each in kept})


def with_waiting(ledger: Ledger, codes: Collection[str], at: datetime) -> Ledger:
    """Record the reason codes that kept a run from starting any update, and drop all others."""
    before = ledger.waiting
    now = {
        code: replace(before[code], runs=before[code].runs + 1) if code in before else LastingHold(1, at)
        for code in ((*codes, ANY_REASON) if codes else ())
    }
    return replace(ledger, waiting=now) if now or before else ledger


def with_blocked(ledger: Ledger, found: NoteBlockers, at: datetime, run_began: datetime) -> Ledger:
    """Record which groups of tasks made a drain time out, and drop those from long ago.

    Several hosts that were drained at the same time in one run count once.
    """
    blockers = {group: one for group, one in ledger.blockers.items() if one.last > at - BLOCKERS_FOR}
    for group, family in found.families.items():
        before = blockers.get(group)
        times = 1 if before is None else before.times + (before.last < run_began)
        first = at if before is None else before.first
        blockers[group] = Blocker(times, found.instance, first, at, found.waited, family)
    return replace(ledger, blockers=blockers)


def without_blockers(ledger: Ledger, names: Collection[str]) -> Ledger:
    """Drop blockers that a drain has moved since. If it moved another service's tasks, only the family is dropped."""
    left = {
        group: replace(one, family="") if family_name(one.family) in names else one
        for group, one in ledger.blockers.items()
        if group not in names
    }
    return ledger if left == ledger.blockers else replace(ledger, blockers=left)


def with_broken(ledger: Ledger, version: Version, found: BrokenVersion) -> Ledger:
    """Record that tasks failed on a version. The first finding stays until a person releases the version."""
    if version in ledger.broken:
        return ledger
    for instance in found.hosts:
        ledger = with_failure(ledger, version, instance)
    kept = sorted({**ledger.broken, version: found}.items(), key=lambda item: item[0], reverse=True)[
        :FAILED_VERSIONS_MAX
    ]
    return replace(ledger, broken=dict(kept))


def with_troubled(ledger: Ledger, version: Version, services: Collection[str]) -> Ledger:
    """Record which services were in trouble before the first instance ran a version. Later ones are not added."""
    if version in ledger.troubled:
        return ledger
    names = frozenset(sorted(services)[:TROUBLED_MAX])
    kept = sorted({**ledger.troubled, version: names}.items(), key=lambda item: item[0], reverse=True)
    return replace(ledger, troubled=dict(kept[:FAILED_VERSIONS_MAX]))


def without_failure(ledger: Ledger, version: Version, instance: InstanceId) -> Ledger:
    """Drop the failure and the backoff of a version on an instance, because the instance now runs it."""
    failed = ledger.failed_on.get(version, frozenset())
    if instance in failed:
        left = {**ledger.failed_on, version: failed - {instance}}
        ledger = replace(ledger, failed_on={each: ids for each, ids in left.items() if ids})
    backoff = ledger.backoffs.get(instance)
    return without_backoff(ledger, instance) if backoff is not None and backoff.version == version else ledger


def with_sighting(ledger: Ledger, version: Version, at: datetime) -> Ledger:
    """Record when a version was first seen; a later time changes nothing."""
    seen = ledger.first_seen.get(version)
    if seen is not None and seen <= at:
        return ledger
    return replace(ledger, first_seen={**ledger.first_seen, version: at})


def with_release(ledger: Ledger, version: Version, at: datetime) -> Ledger:
    """Record that a person marked a version as good, and drop its failures on every instance."""
    return replace(
        ledger,
        released={**ledger.released, version: at},
        failed_on=_without(ledger.failed_on, version),
        broken=_without(ledger.broken, version),
        backoffs={id_: backoff for id_, backoff in ledger.backoffs.items() if backoff.version != version},
    )


def with_start(ledger: Ledger, instance: InstanceId, at: datetime) -> Ledger:
    """Record when an instance was drained for an update, and drop starts from more than a day before."""
    kept = {id_: then for id_, then in ledger.started.items() if then > at - STARTS_KEPT_FOR}
    nameless = tuple(then for then in ledger.started_nameless if then > at - STARTS_KEPT_FOR)
    return replace(ledger, started={**kept, instance: at}, started_nameless=nameless)


def with_update(
    ledger: Ledger, instance: InstanceId, version: Version, at: datetime, *, impaired_before: bool = False
) -> Ledger:
    """Record that an instance is in service on a version, and drop an earlier failure of it there."""
    ledger = without_failure(ledger, version, instance)
    updated = {**_since(ledger.updated, at - UPDATED_FOR), instance: PastUpdate(version, at, impaired_before)}
    return replace(ledger, updated=updated, found_on=_without(ledger.found_on, instance))


def with_found(ledger: Ledger, instance: InstanceId, version: Version, at: datetime) -> Ledger:
    """Record when an instance was first found on a version that no run had updated it to."""
    known = ledger.found_on.get(instance)
    if known is not None and known.version == version:
        return ledger
    return replace(ledger, found_on={**_since(ledger.found_on, at - UPDATED_FOR), instance: PastUpdate(version, at)})


def with_duration(
    ledger: Ledger, stage: timedelta | None = None, drain: timedelta | None = None, reboot: timedelta | None = None
) -> Ledger:
    """Record how long the steps of an update took; None for unknown ones."""
    recorded = ledger.recorded
    return replace(
        ledger,
        recorded=RecordedDurations(
            _newest(recorded.stages, stage), _newest(recorded.drains, drain), _newest(recorded.reboots, reboot)
        ),
    )


def with_suspect_after(ledger: Ledger, after: int) -> Ledger:
    """Record after how many failures the run calls a version suspect."""
    return ledger if ledger.suspect_after == after else replace(ledger, suspect_after=after)


def with_published(ledger: Ledger, parameter: str, found: Published) -> Ledger:
    """Record the newest version that a public parameter has ever named, and since when it names an older one."""
    published = _with(ledger.published, parameter, see_published(ledger.published.get(parameter), found))
    return ledger if published is ledger.published else replace(ledger, published=published)


def with_offer(ledger: Ledger, instance: InstanceId, offered: Version | None) -> Ledger:
    """Record the newer version that a host is offered; None for none."""
    now = _without(ledger.offered, instance) if offered is None else _with(ledger.offered, instance, offered)
    return ledger if now is ledger.offered else replace(ledger, offered=now)


def with_survival(ledger: Ledger) -> Ledger:
    """Record that attributes survive reboots."""
    return ledger if ledger.attributes_survive else replace(ledger, attributes_survive=True)


def _since(past: Mapping[InstanceId, PastUpdate], then: datetime) -> Mapping[InstanceId, PastUpdate]:
    return {id_: one for id_, one in past.items() if one.at > then}


def _newest(durations: tuple[timedelta, ...], one: timedelta | None) -> tuple[timedelta, ...]:
    return durations if one is None else (*durations, one)[-RECORDED_AT_MOST:]


def _with(mapping: Mapping[_K, _V], key: _K, value: _V) -> Mapping[_K, _V]:
    return mapping if mapping.get(key) == value else {**mapping, key: value}


def _without(mapping: Mapping[_K, _V], key: _K) -> Mapping[_K, _V]:
    return {k: v for k, v in mapping.items() if k != key} if key in mapping else mapping
