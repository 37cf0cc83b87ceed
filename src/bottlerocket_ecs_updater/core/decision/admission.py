"""Whether a version may be installed on an instance now: by the operator's rules, and by what failed before."""

from __future__ import annotations

from bottlerocket_ecs_updater.core.decision.backoff import UNTIL_CLEARED
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import BrokenVersion
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.policy import SUSPECT_AFTER, Policy
from bottlerocket_ecs_updater.core.rules.versions import admit


def not_admitted(instance: Instance, target: Version, running: Version, fleet: Fleet, policy: Policy) -> Hold | None:
    """Why the instance may not go to that version. Asked before it is staged, and again before it is booted."""
    return failed_before(instance, target, fleet, policy) or admit(
        target, running, policy.rules.releases, fleet.past.first_seen, fleet.at
    )


def said_against(broken: BrokenVersion) -> str:
    """What was found, with the tasks' own words."""
    return f"{', '.join(broken.services)}: {broken.words}" if broken.services else broken.words


def hold_for_broken(version: Version, broken: BrokenVersion) -> Hold:
    """Why no further instance takes a version on which tasks failed."""
    hosts = ", ".join(broken.hosts)
    return hold(Reason.VERSION_BREAKS_TASKS, version=version, hosts=hosts, what=said_against(broken))


def failed_before(instance: Instance, target: Version, fleet: Fleet, policy: Policy) -> Hold | None:
    """Why what is remembered speaks against the version: it failed here a while ago, or on other instances."""
    rest = instance.rest
    if rest is not None and (rest.version == target) and fleet.at < rest.until:
        until = UNTIL_CLEARED if rest.rolled_back else f"{rest.until:%Y-%m-%d %H:%M} UTC"
        return hold(Reason.RESTING, until=until, attempts=rest.attempts, version=target, why=rest.why)
    broken = fleet.past.broken.get(target)
    if broken is not None:
        return hold(
            Reason.VERSION_BREAKS_TASKS, version=target, hosts=", ".join(broken.hosts), what=said_against(broken)
        )
    count = fleet.suspects.get(target, 0)
    # Whoever tolerates more failures in a run tolerates them of one release, too.
    if count >= max(SUSPECT_AFTER, policy.max_failures):
        return hold(Reason.RELEASE_SUSPECT, version=target, count=count)
    return None
