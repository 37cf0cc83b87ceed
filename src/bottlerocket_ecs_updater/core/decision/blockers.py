"""What a drain in vain teaches: which tasks did not leave, and so which other hosts are not drained for now.

Tasks that ECS has told to stop are disturbed, whether the drain comes to its end or not. So after the first drain that
is given up, no further host with tasks of the same service or family is drained in the run. Later runs try one such
host at a time, and ever more rarely, until a drain has moved them.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import Blocker
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import time_text

FIRST_WAIT = timedelta(hours=6)
"""A run later the same day would most often find the same."""

LONGEST_WAIT = timedelta(days=4)

REPEATED = 2
"""What kept so many drains in a row from their end does not pass by itself."""


def blocking_groups(instance: Instance) -> tuple[str, ...]:
    """The groups of the tasks that are left on a host whose drain is given up.

    ECS stops daemons last: where others are left, they are not what it waits for.
    """
    tasks = instance.tasks.left if instance.tasks is not None else ()
    left = [task for task in tasks if not task.daemon] or tasks
    return tuple(sorted({task.group for task in left if task.group}))


def groups_on(instance: Instance) -> frozenset[str]:
    """The groups of the tasks on a host."""
    tasks = instance.tasks.left if instance.tasks is not None else ()
    return frozenset(task.group for task in tasks)


def blocked(instance: Instance, fleet: Fleet, picked: Collection[str] = ()) -> Hold | None:
    """Why a host is not drained for tasks that kept another one from becoming empty, None where none did.

    `picked` are the groups of those that are about to be drained in the same pass.
    """
    blockers = fleet.past.blockers
    found = sorted(groups_on(instance) & blockers.keys()) if blockers else ()
    for group in found:
        one = blockers[group]
        if one.last >= fleet.started_at:
            return _hold(group, one, "in this run")
        if fleet.at < tried_again(one):
            return _hold(group, one, f"before {time_text(tried_again(one))}")
        if group in picked or _tried_now(group, instance, fleet):
            return _hold(group, one, "beside another one that is tried now")
    return None


def tried_again(one: Blocker) -> datetime:
    """When a host with tasks of such a group may be drained again."""
    wait: timedelta = min(FIRST_WAIT * 2 ** min(one.times - 1, 10), LONGEST_WAIT)
    return one.last + wait


def _tried_now(group: str, instance: Instance, fleet: Fleet) -> bool:
    claimed = (one for one in fleet.instances.values() if one.claim is not None and one.id != instance.id)
    return any(group in one.progress.groups or group in groups_on(one) for one in claimed)


def _hold(group: str, one: Blocker, when: str) -> Hold:
    times = "once" if one.times == 1 else f"in {one.times} runs in a row"
    return hold(
        Reason.DRAIN_BLOCKED,
        what=group,
        instance=one.instance,
        times=times,
        since=time_text(one.first),
        when=when,
    )
