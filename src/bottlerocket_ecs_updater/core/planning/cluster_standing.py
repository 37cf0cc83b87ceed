"""A cluster's own standing, made at the end of each run. Other clusters use it for promotion.

Its main part is `since`: since when the whole cluster has run a version or a newer one and been healthy at every look.
Each run decides it again:

    something is not healthy        every `since` ends: a quarantine, a failure of the version, a service that lacks
                                    tasks without a deployment, a halted run
    an instance went back           `since` ends for versions newer than the one it runs
    an instance joined later        nothing ends, but nothing is promoted before it is updated too
    no run looked for days          every `since` ends, because it is not known what happened

The registration time distinguishes an instance that joined later from one that went back: Auto Scaling launches
instances from images with older versions, and otherwise a cluster that scales would never promote a version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.halting import in_quarantine
from bottlerocket_ecs_updater.core.decision.not_counted import is_there, not_selected, set_aside
from bottlerocket_ecs_updater.core.model.event import StandingPublished
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.outcome import Outcome
from bottlerocket_ecs_updater.core.model.reasons import Hold
from bottlerocket_ecs_updater.core.model.shared import ClusterStanding, HeldFor, LastRun, Shared
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.model.wording import and_more, counted
from bottlerocket_ecs_updater.core.planning.behind import instance_behind
from bottlerocket_ecs_updater.core.rules.policy import Policy

VERSIONS_KEPT = 20
"""About a year of versions: no cluster waits for an older one."""

NAMED_IN_STANDING = 20
"""The most instances and reasons in a standing; the run's report has all of them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run saw of its cluster, and how the run ended."""

    place: Location
    fleet: Fleet
    outcomes: Mapping[InstanceId, Outcome]
    last_run: LastRun


def standing_of(seen: Seen, policy: Policy, before: ClusterStanding | None) -> ClusterStanding:
    """The standing to publish. A run that did not see the whole cluster only updates how it ended."""
    fleet, stages = seen.fleet, policy.rules.stages
    if fleet.services is None:
        blank = ClusterStanding(seen.place, stages.stage, seen.last_run.at, seen.last_run, trouble=("never checked",))
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
        quarantined=tuple(sorted(in_quarantine(fleet))[:NAMED_IN_STANDING]),
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
    """The event for a standing that was published, with what changed in this run."""
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
    """The newest version that the whole cluster was first seen on in this run; None if there is none."""
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
    report = instance.report
    return report.running if report is not None else None


def _trouble(now: ClusterStanding, fleet: Fleet) -> Iterator[str]:
    """Everything that is not healthy now."""
    quarantined = len(in_quarantine(fleet))
    if quarantined:
        yield f"{quarantined} quarantined"
    for version, count in fleet.suspects.items():
        # A version that failed but is older than everything that runs now no longer matters.
        if count and (now.lowest is None or version >= now.lowest):
            yield f"{version} failed on {counted(count, 'instance')}"
    lacking = sorted(one.name for one in fleet.all_services if one.deficit > one.flaps_by and not one.deploying)
    if lacking:
        yield f"services with missing tasks: {and_more(lacking)}"
    if fleet.halt is not None:
        yield f"its run halted: {fleet.halt.why}"


def _since(
    now: ClusterStanding, eligible: Sequence[Instance], before: ClusterStanding | None, policy: Policy
) -> Mapping[Version, datetime]:
    at = now.looked_at
    if now.trouble:
        return {}
    gap = before is not None and before.silent(policy.rules.stages.silent_after, at)
    # A time in the future, written by an earlier run with a fast clock, counts as now.
    known = {version: min(then, at) for version, then in before.since.items()} if before is not None and not gap else {}
    kept = {
        version: then for version, then in known.items() if not any(_went_back(one, version, then) for one in eligible)
    }
    lowest = now.lowest
    if lowest is not None and not any(version >= lowest for version in kept):
        # A cluster that went back from a newer version has been on this one, or a newer one, since then.
        kept[lowest] = min((then for version, then in known.items() if version >= lowest), default=at)
    return dict(sorted(kept.items(), reverse=True)[:VERSIONS_KEPT])


def _went_back(instance: Instance, version: Version, since: datetime) -> bool:
    """Whether an instance that was registered when the cluster had finished the version now runs an older one."""
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
    """Since when the instance that is furthest behind has been behind; None if none is."""
    late = (instance_behind(one, fleet.past.first_seen) for one in eligible)
    return min((one.since for one in late if one is not None), default=None)


def _held(outcomes: Mapping[InstanceId, Outcome]) -> tuple[HeldFor, ...]:
    by_code: dict[str, list[Hold]] = {}
    for outcome in outcomes.values():
        if isinstance(outcome, Hold):
            by_code.setdefault(outcome.reason.code, []).append(outcome)
    held = [HeldFor(code, len(holds), str(holds[0])) for code, holds in by_code.items()]
    return tuple(sorted(held, key=lambda one: (-one.count, one.code))[:NAMED_IN_STANDING])


def _peers(waits_for: Sequence[str], shared: Shared, before: ClusterStanding | None) -> tuple[Location, ...]:
    """The clusters that this one waits for, including those that lost their standing, until a person removes them."""
    known = {one.place for one in shared.standings if one.stage in waits_for} | set(shared.lost)
    if before is not None and shared.unreadable:
        known |= set(before.peers) - shared.forgotten
    return tuple(sorted(known, key=str))
