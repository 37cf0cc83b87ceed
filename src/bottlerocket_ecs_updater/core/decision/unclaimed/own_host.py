"""The host that the updater itself runs on, where it runs on an instance of the cluster that it looks after.

A run cannot update it: to reboot a host, every task on it must have stopped, and one of them is the run. So the run
takes all others first, stages the update there as anywhere, and then, with `hand-over`, has a second run started on
another host, which finds it staged and takes it. Its own host is never drained by a run on it: were the second run not
to start, for want of room or of anything else, nobody would be left to return it, and in a cluster of one instance
nothing could ever be placed again.

Other tasks of the updater's family hold no instance either: of all runs one has the right to act, and that is this one,
so the others are about to leave.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import assert_never

from bottlerocket_ecs_updater.core.decision.polling import soon_interval
from bottlerocket_ecs_updater.core.decision.tasks_on_host import is_own_host
from bottlerocket_ecs_updater.core.model.command import CallSuccessor, Conclude, NextStep
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import duration_text, has_passed
from bottlerocket_ecs_updater.core.rules.policy import OwnHost, Policy

NOBODY_ELSE = "no other instance is in service that another run could be started on"


def own_last(in_order: Iterable[Instance], fleet: Fleet) -> list[Instance]:
    """The same order, our own host behind all others."""
    return sorted(in_order, key=lambda instance: is_own_host(instance, fleet))


def own_host_hold(instance: Instance, fleet: Fleet, policy: Policy) -> Hold | None:
    """Why it is not even staged, None where it is another's host, or is to be handed over."""
    if not is_own_host(instance, fleet):
        return None
    match policy.own_host:
        case OwnHost.HOLD:
            return hold(Reason.OWN_HOST, why="and --own-host is hold")
        case OwnHost.HAND_OVER:
            return None
        case _:
            assert_never(policy.own_host)


def hand_over(instance: Instance, fleet: Fleet, policy: Policy, *, others_done: bool) -> NextStep:
    """What to do with our own host, which is staged and could be drained now if we were not on it."""
    progress = instance.progress
    if progress.successor is not None:
        return NextStep((Conclude(instance.id, hold(Reason.HANDED_OVER, task=progress.successor)),))
    if not others_done:
        return NextStep(hold=hold(Reason.OWN_HOST_LAST))
    if not _somewhere_else(instance, fleet.instances.values()):
        return NextStep(hold=hold(Reason.OWN_HOST, why=NOBODY_ELSE))
    soon = fleet.at + soon_interval(policy.poll_interval)
    if progress.successor_called_at is None:
        return NextStep((CallSuccessor(instance.id),), look_at=soon)
    if has_passed(progress.successor_called_at, policy.successor_timeout, fleet.at):
        return NextStep((Conclude(instance.id, nobody_came(policy.successor_timeout)),))
    return NextStep(look_at=soon)


def nobody_came(limit: timedelta) -> Hold:
    """The reason where another run was asked for, and none was seen."""
    return hold(Reason.OWN_HOST, why=f"and no other run was started on another host within {duration_text(limit)}")


def nobody_could_be_called(why: object) -> Hold:
    """The reason where another run could not be asked for."""
    return hold(Reason.OWN_HOST, why=f"and no other run could be asked for: {why}")


def _somewhere_else(own: Instance, instances: Collection[Instance]) -> bool:
    """Whether any other instance, of whatever operating system, takes tasks."""
    seen = (one.registration for one in instances if one.id != own.id)
    return any(one is not None and one.status is Status.ACTIVE and one.connected for one in seen)
