"""Blockers: tasks that made a drain time out, so that other hosts with such tasks are not drained for now.

A drain disturbs the tasks that ECS stops, whether or not it finishes. So after the first drain that times out, no other
host with tasks of the same service or family is drained in the run. Later runs try one such host at a time, less and
less often, until a drain has moved these tasks.
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
"""A run soon afterwards would most often find the same."""

LONGEST_WAIT = timedelta(days=4)

REPEATED = 2
"""After this many timed-out drains in a row, the blocker does not pass by itself."""


def blocking_groups(instance: Instance) -> tuple[str, ...]:
    """The groups of the tasks left on a host whose drain timed out.

    ECS stops daemons last, so while other tasks are left, daemons are not the blocker.
    """
    tasks = instance.tasks.left if instance.tasks is not None else ()
    left = [task for task in tasks if not task.daemon] or tasks
    return tuple(sorted({task.group for task in left if task.group}))


def groups_on(instance: Instance) -> frozenset[str]:
    """The groups of the tasks on a host."""
    tasks = instance.tasks.left if instance.tasks is not None else ()
    return frozenset(task.group for task in tasks)


def blocked(instance: Instance, fleet: Fleet, picked: Collection[str] = ()) -> Hold | None:
    """Why a host is not drained: it has tasks that made another drain time out. None if it has none.

    `picked` are the groups of tasks on the hosts that are about to be drained in the same pass.
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
            return _hold(group, one, "while another one is tried")
    return None


def tried_again(one: Blocker) -> datetime:
    """When a host with tasks of this blocker may be drained again."""
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
