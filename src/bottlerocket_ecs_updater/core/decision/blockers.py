"""Blockers: tasks that made a drain time out, so that other hosts with the same tasks are not drained for now.

A drain disturbs the tasks that ECS stops, whether or not it finishes. So after the first drain that times out, no other
host with tasks of the same service or family is drained in the run. Later runs try one of these hosts at a time, less
and less often, until a drain has moved the tasks. They do not wait if a drain would now wait longer for these tasks,
because of a new rule, or if their service was deployed since: its owner may have changed why they do not stop.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.tasks_on_host import tasks_on
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.command import NextStep, NoteBlockers
from bottlerocket_ecs_updater.core.model.container_instance import SERVICE_GROUP, Task
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import Blocker
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import has_passed, time_text
from bottlerocket_ecs_updater.core.rules.tasks import TaskOnHost, shortest_limit

FIRST_WAIT = timedelta(hours=6)
"""A run soon afterwards would usually find the same."""

LONGEST_WAIT = timedelta(days=4)

REPEATED = 2
"""After this many timed-out drains in a row, the blocker does not pass by itself."""


def blocking_groups(instance: Instance) -> tuple[str, ...]:
    """The groups of the tasks left on a host whose drain timed out.

    ECS stops daemons last, so while other tasks are left, daemons are not the blocker.
    """
    tasks = instance.tasks_left
    left = [task for task in tasks if not task.daemon] or tasks
    return tuple(sorted({task.group for task in left if task.group}))


def groups_on(instance: Instance) -> frozenset[str]:
    """The groups of the tasks on a host, with those that ECS told to stop earlier and that have not stopped."""
    read = (instance.tasks, instance.stopping)
    return frozenset(task.group for tasks in read if tasks is not None for task in tasks.left)


def stopping_unread(instance: Instance, fleet: Fleet, poll_interval: timedelta) -> bool:
    """Whether its stopping tasks must be listed before a drain: a blocker may still be stopping there.

    An earlier drain may have timed out while ECS was still stopping its tasks.
    """
    read = instance.stopping
    return bool(fleet.past.blockers) and (read is None or has_passed(read.at, poll_interval, fleet.at))


def with_timed_out(fleet: Fleet, steps: Mapping[InstanceId, NextStep]) -> Fleet:
    """The fleet with the blockers of the drains that time out in this pass, which are recorded after it."""
    noted = [one for step in steps.values() for one in step.commands if isinstance(one, NoteBlockers)]
    if not noted:
        return fleet
    blockers = dict(fleet.past.blockers)
    for one in noted:
        for group in one.groups:
            known = blockers.get(group, Blocker(1, one.instance, fleet.at, fleet.at))
            blockers[group] = replace(known, instance=one.instance, last=fleet.at)
    return replace(fleet, past=replace(fleet.past, blockers=blockers))


def blocked(instance: Instance, this_pass: Pass, picked: Collection[str] = ()) -> Hold | None:
    """Why a host is not drained: it has tasks that made another drain time out. None if it has none.

    `picked` are the groups of tasks on the hosts that are about to be drained in the same pass.
    """
    fleet = this_pass.fleet
    blockers = fleet.past.blockers
    found = sorted(groups_on(instance) & blockers.keys()) if blockers else ()
    for group in found:
        one = blockers[group]
        if one.last >= fleet.started_at:
            return _hold(group, one, "in this run")
        if fleet.at < tried_again(one) and not _changed_since(one, group, instance, this_pass):
            return hold_for_blocker(group, one)
        if group in picked or _tried_now(group, instance, fleet):
            return _hold(group, one, "while another one is tried")
    return None


def hold_for_blocker(group: str, one: Blocker) -> Hold:
    """The hold of every host with tasks of this blocker, until the next one is tried."""
    return _hold(group, one, f"before {time_text(tried_again(one))}")


def tried_again(one: Blocker) -> datetime:
    """When a host with tasks of this blocker may be drained again."""
    wait: timedelta = min(FIRST_WAIT * 2 ** min(one.times - 1, 10), LONGEST_WAIT)
    return one.last + wait


def _changed_since(one: Blocker, group: str, instance: Instance, this_pass: Pass) -> bool:
    """Whether a drain of this host may do better now than the last one that these tasks made time out."""
    fleet, policy = this_pass.fleet, this_pass.policy
    stopping = [task for task in _stopping_on(instance) if task.group == group]
    work = [*tasks_on(instance, fleet), *(TaskOnHost(task, task.family) for task in stopping)]
    limit = shortest_limit(
        [each for each in work if each.task.group == group], policy.rules.tasks, policy.drain_timeout
    )
    if timedelta() < one.waited < limit:
        return True
    # A deployment does not help tasks of an earlier one that are still stopping here.
    return not stopping and _deployed_since(one.last, group, fleet)


def _stopping_on(instance: Instance) -> tuple[Task, ...]:
    return instance.stopping.left if instance.stopping is not None else ()


def _deployed_since(at: datetime, group: str, fleet: Fleet) -> bool:
    deployed = (one.deployed_at for one in fleet.all_services if f"{SERVICE_GROUP}{one.name}" == group)
    return any(since is not None and since > at for since in deployed)


def _tried_now(group: str, instance: Instance, fleet: Fleet) -> bool:
    claimed = (one for one in fleet.instances.values() if one.claim is not None and one.id != instance.id)
    return any(group in _groups_at_drain(one) or group in groups_on(one) for one in claimed)


def _groups_at_drain(instance: Instance) -> tuple[str, ...]:
    return instance.progress.drain.groups if instance.progress.drain is not None else ()


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
