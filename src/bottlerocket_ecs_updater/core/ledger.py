"""The ledger: what outlasts the runs on one cluster, apart from what is written on the instances themselves.

It repeats every open claim by EC2 instance id, since nobody could verify that an attribute survives the agent's
re-registration, and it remembers what no witness can be asked for: rests, releases that failed, first sightings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from bottlerocket_ecs_updater.core.claim import Claim
from bottlerocket_ecs_updater.core.fleet import Rest
from bottlerocket_ecs_updater.core.ids import ContainerInstanceArn, InstanceId
from bottlerocket_ecs_updater.core.past import Past, PastUpdate, Recorded
from bottlerocket_ecs_updater.core.version import Version

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


@dataclass(frozen=True, slots=True)
class OpenClaim:
    """The copy of a claim, and the registration under which the instance was claimed."""

    claim: Claim
    arn: ContainerInstanceArn


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is remembered of one cluster."""

    claims: Mapping[InstanceId, OpenClaim] = field(default_factory=dict)
    rests: Mapping[InstanceId, Rest] = field(default_factory=dict)
    failed_on: Mapping[Version, frozenset[InstanceId]] = field(default_factory=dict)
    """Releases that failed after a reboot since a person last released them, and on which instances."""
    first_seen: Mapping[Version, datetime] = field(default_factory=dict)
    """When each release was first offered to an instance of this cluster."""
    released: Mapping[Version, datetime] = field(default_factory=dict)
    """Releases that a person declared good, and when."""
    updated: Mapping[InstanceId, PastUpdate] = field(default_factory=dict)
    """To which release each instance was last updated, and when."""
    begun: tuple[datetime, ...] = ()
    """When instances were begun, as far back as a day."""
    recorded: Recorded = field(default_factory=Recorded)
    attributes_survive: bool = False
    """Whether an attribute of ours was seen on an instance after its reboot: then none is lost by a reboot."""
    absent_since: Mapping[InstanceId, datetime] = field(default_factory=dict)
    """Since when each instance that something is remembered of was not in the cluster."""

    @property
    def past(self) -> Past:
        """What the rules ask of it."""
        return Past(self.first_seen, self.updated, self.begun, self.recorded)

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


def with_rest(ledger: Ledger, instance: InstanceId, rest: Rest) -> Ledger:
    """Remember a failed attempt; a version that did not survive its boot is remembered against the version too."""
    if rest.rolled_back:
        ledger = with_failure(ledger, rest.version, instance)
    rests = _with(ledger.rests, instance, rest)
    return ledger if rests is ledger.rests else replace(ledger, rests=rests)


def without_rest(ledger: Ledger, instance: InstanceId) -> Ledger:
    """Forget the failed attempts of an instance."""
    rests = _without(ledger.rests, instance)
    return ledger if rests is ledger.rests else replace(ledger, rests=rests)


def with_failure(ledger: Ledger, version: Version, instance: InstanceId) -> Ledger:
    """Remember that a release failed on an instance after its reboot; once per instance."""
    before = ledger.failed_on.get(version, frozenset())
    failed_on = _with(ledger.failed_on, version, before | {instance})
    return ledger if failed_on is ledger.failed_on else replace(ledger, failed_on=failed_on)


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
        rests={id_: rest for id_, rest in ledger.rests.items() if rest.version != version},
    )


def with_begun(ledger: Ledger, at: datetime) -> Ledger:
    """Remember that an instance is begun now, and forget what was begun more than a day ago."""
    return replace(ledger, begun=(*(then for then in ledger.begun if then > at - BEGUN_FOR), at))


def with_update(ledger: Ledger, instance: InstanceId, version: Version, at: datetime) -> Ledger:
    """Remember that an instance came back on a release."""
    kept = {id_: update for id_, update in ledger.updated.items() if update.at > at - UPDATED_FOR}
    return replace(ledger, updated={**kept, instance: PastUpdate(version, at)})


def with_duration(
    ledger: Ledger, stage: timedelta | None = None, drain: timedelta | None = None, reboot: timedelta | None = None
) -> Ledger:
    """Remember how long parts of an update took; None for those of which nothing is known."""
    recorded = ledger.recorded
    return replace(
        ledger,
        recorded=Recorded(
            _newest(recorded.stages, stage), _newest(recorded.drains, drain), _newest(recorded.reboots, reboot)
        ),
    )


def with_survival(ledger: Ledger) -> Ledger:
    """Remember that attributes survive reboots."""
    return ledger if ledger.attributes_survive else replace(ledger, attributes_survive=True)


def without_gone(ledger: Ledger, present: Collection[InstanceId], now: datetime) -> Ledger:
    """Forget what is known of instances that have not been in the cluster for a while.

    A list may lack an instance that is there, for a moment. Claims stay: letting one go is a decision of its own.
    """
    remembered = ledger.rests.keys() | ledger.updated.keys()
    absent = {id_: ledger.absent_since.get(id_, now) for id_ in remembered if id_ not in present}
    forgotten = {id_ for id_, since in absent.items() if now - since >= ABSENT_FOR}
    absent = {id_: since for id_, since in absent.items() if id_ not in forgotten}
    if not forgotten and absent == ledger.absent_since:
        return ledger
    rests = {id_: rest for id_, rest in ledger.rests.items() if id_ not in forgotten}
    updated = {id_: update for id_, update in ledger.updated.items() if id_ not in forgotten}
    return replace(ledger, rests=rests, updated=updated, absent_since=absent)


def _newest(durations: tuple[timedelta, ...], one: timedelta | None) -> tuple[timedelta, ...]:
    return durations if one is None else (*durations, one)[-RECORDED_AT_MOST:]


def _with(mapping: Mapping[_K, _V], key: _K, value: _V) -> Mapping[_K, _V]:
    return mapping if mapping.get(key) == value else {**mapping, key: value}


def _without(mapping: Mapping[_K, _V], key: _K) -> Mapping[_K, _V]:
    return {k: v for k, v in mapping.items() if k != key} if key in mapping else mapping
