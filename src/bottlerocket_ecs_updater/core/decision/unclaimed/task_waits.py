"""Waits for standalone and protected tasks that may end soon, when a run has nothing else to do.

Such tasks often run for minutes, and on every host. A run that ended at once would find others the next time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.draft import DecisionDraft
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.model.time_text import has_passed

LONG_TASK = timedelta(hours=1)
"""A standalone task that has run for so long may run for hours: no run waits for it."""


def wait_for_tasks(this_pass: Pass, draft: DecisionDraft) -> datetime | None:
    """When to look again at hosts whose tasks hold them; None to end the run.

    The run waits for up to `settle-timeout` from its start, and from the last update.
    """
    fleet, policy = this_pass.fleet, this_pass.policy
    if has_passed(_last_update(fleet), policy.settle_timeout, this_pass.at):
        return None
    held = [id_ for id_ in draft.steps if _may_end_soon(id_, this_pass, draft)]
    if not held:
        return None
    at = this_pass.at + policy.tasks_spacing
    draft.steps |= {id_: replace(draft.steps[id_], look_at=at, wants_tasks=True) for id_ in held}
    return at


def _last_update(fleet: Fleet) -> datetime:
    """When the last instance was updated in this run; when the run started if none was."""
    return max([fleet.started_at, *(one.at for one in fleet.past.updated.values())])


def _may_end_soon(id_: InstanceId, this_pass: Pass, draft: DecisionDraft) -> bool:
    hold, instance = draft.steps[id_].hold, this_pass.fleet.instances[id_]
    if hold is None:
        return False
    match hold.reason:
        case Reason.STANDALONE_TASK:
            return all(at is not None and not has_passed(at, LONG_TASK, this_pass.at) for at in _launches(instance))
        case Reason.TASK_PROTECTED:
            ends = instance.around.protected.values() if instance.around is not None else ()
            return max(ends, default=this_pass.at) - this_pass.at <= this_pass.policy.settle_timeout
        case _:
            return False


def _launches(instance: Instance) -> Iterable[datetime | None]:
    """When each standalone task on it was launched; None if ECS did not say."""
    return (task.launched_at for task in instance.tasks_left if not task.of_service)
