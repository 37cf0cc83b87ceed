"""The host that the updater itself runs on, if it runs on an instance of the cluster that it updates.

A run cannot update this host: before a reboot every task on it must stop, and one of them is the run. So the run
updates all other hosts first, and stages the update on its own host. With `hand-over` it then starts a second run on
another host, which finds the update staged and finishes it. A run never drains its own host: if the second run did not
start, for example for lack of room, no run would return the host, and in a cluster of one instance ECS could never
place a task again.

Other tasks of the updater's family do not hold an instance either: only this run may act, so the others end soon.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import assert_never

from bottlerocket_ecs_updater.core.decision.polling import soon_interval
from bottlerocket_ecs_updater.core.decision.tasks_on_host import is_own_host
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.command import CallSuccessor, Conclude, NextStep
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import duration_text, has_passed
from bottlerocket_ecs_updater.core.rules.policy import OwnHost

NOBODY_ELSE = "and no other instance is in service to start another run on"


def own_last(in_order: Iterable[Instance], fleet: Fleet) -> list[Instance]:
    """The same order, with our own host last."""
    return sorted(in_order, key=lambda instance: is_own_host(instance, fleet))


def own_host_hold(instance: Instance, this_pass: Pass) -> Hold | None:
    """Why our own host is not even staged; None for other hosts, and if another run will update it."""
    policy = this_pass.policy
    if not is_own_host(instance, this_pass.fleet):
        return None
    match policy.own_host:
        case OwnHost.HOLD:
            return hold(Reason.OWN_HOST, why="and --own-host is hold")
        case OwnHost.HAND_OVER:
            return None
        case _:
            assert_never(policy.own_host)


def hand_over(instance: Instance, this_pass: Pass, *, others_done: bool) -> NextStep:
    """The next step for our own host, which is staged and could be drained if this run did not run on it."""
    policy = this_pass.policy
    asked = instance.progress.hand_over
    if asked is not None and asked.task is not None:
        return NextStep((Conclude(instance.id, hold(Reason.HANDED_OVER, task=asked.task)),))
    if not others_done:
        return NextStep(hold=hold(Reason.OWN_HOST_LAST))
    if not _somewhere_else(instance, this_pass.fleet.instances.values()):
        return NextStep(hold=hold(Reason.OWN_HOST, why=NOBODY_ELSE))
    soon = this_pass.at + soon_interval(policy.poll_interval)
    if asked is None:
        return NextStep((CallSuccessor(instance.id),), look_at=soon)
    if has_passed(asked.called_at, policy.successor_timeout, this_pass.at):
        return NextStep((Conclude(instance.id, nobody_came(policy.successor_timeout)),))
    return NextStep(look_at=soon)


def nobody_came(limit: timedelta) -> Hold:
    """The hold if another run was requested but did not start."""
    return hold(Reason.OWN_HOST, why=f"and no other run started on another host within {duration_text(limit)}")


def nobody_could_be_called(why: object) -> Hold:
    """The hold if another run could not be requested."""
    return hold(Reason.OWN_HOST, why=f"and no other run could be requested: {why}")


def _somewhere_else(own: Instance, instances: Collection[Instance]) -> bool:
    """Whether any other instance takes tasks, on any operating system."""
    seen = (one.registration for one in instances if one.id != own.id)
    return any(one is not None and one.in_service for one in seen)
