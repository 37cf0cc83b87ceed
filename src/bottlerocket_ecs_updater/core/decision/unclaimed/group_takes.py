"""Auto Scaling groups that terminate the instances that this run drains.

Managed termination protection ends when an instance is empty. So a group that wants to scale in terminates the instance
that was drained for its update, and may replace it with one that has the old version. Then a rollout would never end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Updated
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.model.wording import and_more

TAKEN_MAX = 3
"""If a group took away this many drained instances, and more than were updated, no other instance of it is drained."""

TAKEN_AFTER = timedelta(minutes=5)
"""A group that terminates an instance sooner after its update takes it because it was drained. Later, it has tasks."""

_GONE = frozenset({Reason.LEAVING_GROUP, Reason.GONE})


def groups_that_take(fleet: Fleet) -> Mapping[str, Hold]:
    """By group: why no more of its instances are drained in this run."""
    ended = [(last_known_group(one), one) for one in fleet.instances.values() if one.progress.outcome is not None]
    updated: Counter[str] = Counter()
    taken: dict[str, list[str]] = {}
    for group, one in ended:
        if group and (_was_taken(one) or _taken_after_update(one, fleet)):
            taken.setdefault(group, []).append(one.id)
        elif isinstance(one.progress.outcome, Updated):
            updated[group] += 1
    return {
        group: hold(Reason.GROUP_TAKES_DRAINED, group=group, count=len(ids), who=and_more(sorted(ids)))
        for group, ids in taken.items()
        if len(ids) >= TAKEN_MAX and len(ids) > updated[group]
    }


def last_known_group(instance: Instance) -> str:
    """The Auto Scaling group that an instance was last seen in; empty if it has none, or if that is not known."""
    return instance.around.group if instance.around is not None else ""


def _taken_after_update(instance: Instance, fleet: Fleet) -> bool:
    """Whether its group took an instance away as soon as it was updated: it had no tasks yet."""
    update = fleet.past.updated.get(instance.id)
    since = instance.around.leaving_since if instance.around is not None else None
    if since is None and instance.registration is not None and not instance.registered:
        since = instance.registration.at
    updated = isinstance(instance.progress.outcome, Updated)
    return updated and update is not None and since is not None and not has_passed(update.at, TAKEN_AFTER, since)


def _was_taken(instance: Instance) -> bool:
    outcome = instance.progress.outcome
    return instance.progress.claimed_at is not None and isinstance(outcome, Hold) and outcome.reason in _GONE
