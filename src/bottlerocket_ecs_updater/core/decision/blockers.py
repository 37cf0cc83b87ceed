"""Blockers: tasks that made a drain time out, so that other hosts with the same tasks are not drained for now.

A drain disturbs the tasks that ECS stops, whether or not it finishes. So after the first drain that times out, no other
host with tasks of the same service or family is drained in the run. Later runs try one of these hosts at a time, less
and less often, until a drain has moved the tasks. They do not wait if a drain would now wait longer for these tasks,
because of a new rule, or if their service was deployed since: its owner may have changed why they do not stop.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.command import NextStep, NoteBlockers
from bottlerocket_ecs_updater.core.model.container_instance import SERVICE_GROUP, Task, family_name
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import UNLISTED, Blocker
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


def blocking_families(instance: Instance) -> Mapping[str, str]:
    """The groups of the tasks left on a host whose drain timed out, each with its family if its tasks are stopping.

    ECS stops daemons last, so while other tasks are left, daemons are not the blocker. If tasks are stopping, it is
    their container that stops slowly, and other services may have the same task definition. If ECS did not stop a task,
    it had no room elsewhere, or it was protected: that concerns only its service.
    """
    tasks = instance.tasks_left
    left = [task for task in tasks if not task.daemon] or tasks
    stopping = {task.group: task.family for task in left if task.stopping}
    found = {group: stopping.get(group, "") for group in sorted({task.group for task in left if task.group})}
    return found or {UNLISTED: ""}


def _tasks_with_stopping(instance: Instance) -> tuple[Task, ...]:
    """The tasks on a host, with those that were stopping already before a drain."""
    return (*instance.tasks_left, *instance.tasks_stopping)


def names_on(instance: Instance) -> frozenset[str]:
    """The groups and families of the tasks on a host, and whether ECS lists all that it counts."""
    return instance.names_of(_tasks_with_stopping(instance))


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
        for group, family in one.families.items():
            known = blockers.get(group, Blocker(1, one.instance, fleet.at, fleet.at))
            blockers[group] = replace(known, instance=one.instance, last=fleet.at, family=family)
    return replace(fleet, past=replace(fleet.past, blockers=blockers))


def blocked(instance: Instance, this_pass: Pass, picked: Collection[str] = ()) -> Hold | None:
    """Why a host is not drained: it has tasks that made another drain time out. None if it has none.

    `picked` are the groups and families of tasks on the hosts that are about to be drained in the same pass.
    """
    fleet = this_pass.fleet
    for group, one in sorted(fleet.past.blockers.items()):
        names = {group, family_name(one.family)} - {""}
        if names.isdisjoint(names_on(instance)):
            continue
        alike = [task for task in _tasks_with_stopping(instance) if not names.isdisjoint(task.names)]
        here = group if not alike or any(task.group == group for task in alike) else alike[0].group
        if one.last >= fleet.started_at:
            return _hold(here, group, one, "in this run")
        if fleet.at < tried_again(one) and not _changed_since(one, alike, here, this_pass):
            return hold_for_blocker(group, one, here)
        if names & {*picked, *_tried_now(instance, fleet)}:
            return _hold(here, group, one, "while another one is tried")
    return None


def hold_for_blocker(group: str, one: Blocker, here: str = "") -> Hold:
    """The hold of a host with such tasks until one is tried again; `here` is the group of its own tasks."""
    return _hold(here or group, group, one, f"before {time_text(tried_again(one))}")


def tried_again(one: Blocker) -> datetime:
    """When a host with tasks of this blocker may be drained again."""
    wait: timedelta = min(FIRST_WAIT * 2 ** min(one.times - 1, 10), LONGEST_WAIT)
    return one.last + wait


def _changed_since(one: Blocker, alike: Sequence[Task], group: str, this_pass: Pass) -> bool:
    """Whether a drain of a host with these tasks may do better now than the last one that such tasks made time out."""
    policy = this_pass.policy
    left = [TaskOnHost(task, task.family) for task in alike]
    if timedelta() < one.waited < shortest_limit(left, policy.rules.tasks, policy.drain_timeout):
        return True
    # A deployment does not help tasks of an earlier one that are still stopping here.
    return not any(task.stopping for task in alike) and _deployed_since(one.last, group, this_pass.fleet)


def _deployed_since(at: datetime, group: str, fleet: Fleet) -> bool:
    deployed = (one.deployed_at for one in fleet.all_services if f"{SERVICE_GROUP}{one.name}" == group)
    return any(since is not None and since > at for since in deployed)


def _tried_now(instance: Instance, fleet: Fleet) -> Iterator[str]:
    """The groups and families of the tasks on the other hosts that are being updated."""
    for one in fleet.instances.values():
        if one.claim is not None and one.id != instance.id:
            yield from one.progress.drain.names if one.progress.drain is not None else ()
            yield from names_on(one)


def _hold(here: str, group: str, one: Blocker, when: str) -> Hold:
    """The hold of a host with tasks of group `here`, because of a blocker that is known as `group`."""
    return hold(
        Reason.TASKS_UNLISTED if group == UNLISTED else Reason.DRAIN_BLOCKED,
        what=here,
        like="" if here == group else f" (family {one.family}, like {group})",
        blocker=group,
        instance=one.instance,
        times="once" if one.times == 1 else f"in {one.times} runs in a row",
        since=time_text(one.first),
        when=when,
    )
