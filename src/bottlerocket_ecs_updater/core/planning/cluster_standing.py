"""A cluster's own standing, made at the end of each run from what it saw: what other clusters are promoted by.

`since` is the heart of it: since when the whole cluster has run a version or a newer one, and was healthy at every
look. It is decided afresh at each run:

    something is not healthy        every `since` ends: a quarantine, a failure of the version, a service that lacks
                                    tasks without a deployment, a run that halted
    an instance went back           those `since` end that are of newer versions than it runs
    an instance joined later        nothing ends, and nothing is promoted before it is updated, too
    no run looked for days          every `since` ends: nobody knows what happened

An instance that joined later is told from one that went back by when it registered: Auto Scaling starts instances
from images with older versions, and a cluster that scales would else never prove anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.halting import in_quarantine
from bottlerocket_ecs_updater.core.decision.outside import is_there, not_selected, set_aside
from bottlerocket_ecs_updater.core.model.event import StandingPublished
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.outcome import Outcome
from bottlerocket_ecs_updater.core.model.reasons import Hold
from bottlerocket_ecs_updater.core.model.shared import ClusterStanding, HeldFor, LastRun, Shared
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.policy import Policy

VERSIONS_KEPT = 20
"""A year of releases: nobody waits for an older one."""

NAMED_MAX = 20
"""Instances, and reasons, that are named; the report of the run has all of them."""

SERVICES_NAMED_MAX = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run saw of a cluster, and how it ended."""

    place: Location
    fleet: Fleet
    outcomes: Mapping[InstanceId, Outcome]
    last_run: LastRun


def standing_of(seen: Seen, policy: Policy, before: ClusterStanding | None) -> ClusterStanding:
    """What the run leaves for other clusters. A run that did not see the whole cluster only says how it ended."""
    fleet, stages = seen.fleet, policy.rules.stages
    if fleet.services is None:
        blank = ClusterStanding(seen.place, stages.stage, seen.last_run.at, seen.last_run, trouble=("never looked at",))
        return replace(before or blank, last_run=seen.last_run)
    eligible = tuple(one for one in fleet.instances.values() if _counts(one, policy))
    running = {one.id: version for one in eligible if (version := _running(one)) is not None}
    now = ClusterStanding(
        seen.place,
        stages.stage,
        fleet.at,
        seen.last_run,
        eligible=len(eligible),
        unknown=len(eligible) - len(running),
        running=dict(sorted(Counter(running.values()).items())),
        quarantined=tuple(sorted(in_quarantine(fleet))[:NAMED_MAX]),
        suspects=dict(sorted(fleet.suspects.items())),
        newest=_newest(eligible),
        held=_held(seen.outcomes),
        waits_for=stages.waits_for,
        peers=_peers(stages.waits_for, fleet.shared, before),
    )
    now = replace(now, trouble=tuple(_trouble(now, fleet)))
    now = replace(now, since=_since(now, eligible, before, policy), finished=_finished(now, before))
    within = _updated_within(now, before, fleet.past.first_seen)
    return replace(now, behind_since=_behind_since(eligible, fleet), updated_within=within)


def published(
    now: ClusterStanding, before: ClusterStanding | None, first_seen: Mapping[Version, datetime], at: datetime
) -> StandingPublished:
    """What is told of a standing that was written, and what came of it in this run."""
    lowest = now.lowest
    came = _came(now, before, first_seen)
    return StandingPublished(
        at,
        now.stage,
        lowest,
        now.healthy_since(lowest) if lowest is not None else None,
        max(timedelta(), at - now.behind_since) if now.behind_since is not None else None,
        now.updated_within if came is not None else None,
        "; ".join(now.trouble),
    )


def _came(
    now: ClusterStanding, before: ClusterStanding | None, first_seen: Mapping[Version, datetime]
) -> Version | None:
    """The version that every instance was first seen on in this run; None where there is none."""
    known = before.finished if before is not None else {}
    return max((version for version in now.finished if version not in known and version in first_seen), default=None)


def _updated_within(
    now: ClusterStanding, before: ClusterStanding | None, first_seen: Mapping[Version, datetime]
) -> timedelta | None:
    came = _came(now, before, first_seen)
    if came is not None:
        return max(timedelta(), now.finished[came] - first_seen[came])
    return before.updated_within if before is not None else None


def _counts(instance: Instance, policy: Policy) -> bool:
    there = instance.bottlerocket and is_there(instance) and set_aside(instance) is None
    return there and not_selected(instance, policy) is None


def _running(instance: Instance) -> Version | None:
    report = instance.check_answer.report if instance.check_answer is not None else None
    return report.running if report is not None else None


def _trouble(now: ClusterStanding, fleet: Fleet) -> Iterator[str]:
    """Everything that is not healthy now."""
    quarantined = len(in_quarantine(fleet))
    if quarantined:
        yield f"{quarantined} quarantined"
    for version, count in fleet.suspects.items():
        # What failed and was left behind since says nothing of what runs now.
        if count and (now.lowest is None or version >= now.lowest):
            yield f"{version} failed on {count}"
    services = fleet.services.all if fleet.services is not None else ()
    lacking = sorted(one.name for one in services if one.deficit > one.restless and not one.deploying)
    if lacking:
        more = f" and {len(lacking) - SERVICES_NAMED_MAX} more" if len(lacking) > SERVICES_NAMED_MAX else ""
        yield f"tasks are missing of {', '.join(lacking[:SERVICES_NAMED_MAX])}{more}"
    if fleet.halt is not None:
        yield f"its run halted: {fleet.halt.why}"


def _since(
    now: ClusterStanding, eligible: Sequence[Instance], before: ClusterStanding | None, policy: Policy
) -> Mapping[Version, datetime]:
    at = now.looked_at
    if now.trouble:
        return {}
    gap = before is not None and before.silent(policy.rules.stages.silent_after, at)
    # A time of an earlier run whose clock was fast counts from now.
    kept = {version: min(then, at) for version, then in before.since.items()} if before is not None and not gap else {}
    kept = {
        version: then for version, then in kept.items() if not any(_went_back(one, version, then) for one in eligible)
    }
    lowest = now.lowest
    if lowest is not None and not any(version >= lowest for version in kept):
        kept[lowest] = at
    return dict(sorted(kept.items(), reverse=True)[:VERSIONS_KEPT])


def _went_back(instance: Instance, version: Version, since: datetime) -> bool:
    """Whether an instance that was there when the cluster had finished the version runs an older one now."""
    running, registration = _running(instance), instance.registration
    if running is None or running >= version:
        return False
    return registration is None or registration.registered_at <= since


def _finished(now: ClusterStanding, before: ClusterStanding | None) -> Mapping[Version, datetime]:
    known = dict(before.finished) if before is not None else {}
    if now.lowest is not None and not any(version >= now.lowest for version in known):
        known[now.lowest] = now.looked_at
    return dict(sorted(known.items(), reverse=True)[:VERSIONS_KEPT])


def _newest(eligible: Sequence[Instance]) -> Version | None:
    reports = [one.check_answer.report for one in eligible if one.check_answer is not None]
    named = (version for one in reports if one is not None for version in (one.running, one.target))
    return max((version for version in named if version is not None), default=None)


def _behind_since(eligible: Sequence[Instance], fleet: Fleet) -> datetime | None:
    """Since when the instance that is furthest behind could have had a newer version than it runs."""
    reports = [one.check_answer.report for one in eligible if one.check_answer is not None]
    offers = {(one.running, one.target) for one in reports if one is not None and one.target is not None}
    seen = fleet.past.first_seen.items()
    since = [at for running, target in offers for version, at in seen if running < version <= target]
    return min(since, default=None)


def _held(outcomes: Mapping[InstanceId, Outcome]) -> tuple[HeldFor, ...]:
    by_code: dict[str, list[Hold]] = {}
    for outcome in outcomes.values():
        if isinstance(outcome, Hold):
            by_code.setdefault(outcome.reason.code, []).append(outcome)
    held = [HeldFor(code, len(holds), str(holds[0])) for code, holds in by_code.items()]
    return tuple(sorted(held, key=lambda one: (-one.count, one.code))[:NAMED_MAX])


def _peers(waits_for: Sequence[str], shared: Shared, before: ClusterStanding | None) -> tuple[Location, ...]:
    """The clusters that this one waits for, also those that have lost their standing: a person must forget them."""
    known = {one.place for one in shared.standings if one.stage in waits_for} | set(shared.lost)
    if before is not None and shared.unreadable:
        known |= set(before.peers)
    return tuple(sorted(known, key=str))
