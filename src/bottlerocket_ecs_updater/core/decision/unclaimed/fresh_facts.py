"""Whether the facts that a drain depends on were just read. If not, they are requested, and the drain waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bottlerocket_ecs_updater.core.capacity.fleet_capacity import accepts_tasks, tasks_changed
from bottlerocket_ecs_updater.core.capacity.unread_facts import constraints_ask_for_tasks, missed, unsurveyed
from bottlerocket_ecs_updater.core.decision.blockers import stopping_unread
from bottlerocket_ecs_updater.core.decision.draft import DecisionDraft
from bottlerocket_ecs_updater.core.decision.polling import is_crowd
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.budget import count_budget
from bottlerocket_ecs_updater.core.model.command import NextStep
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.time_text import has_passed

READ_AGAIN_SHARE = 0.9
"""From this part of a poll on, what was read counts as about to be too old for a drain."""


def with_fresh_facts(picks: Sequence[Instance], this_pass: Pass, draft: DecisionDraft) -> Sequence[Instance]:
    """The picks for which everything that a drain depends on was just read. For the others, it is requested.

    Picks start together, so if the facts of one are missing, all wait. In a crowd they do not wait: a look takes so
    long there that slots become free in between, so each look would find new picks, and none would ever start.

    The facts are every container instance with its claim; the services, alarms and probes; and for each pick its tasks
    (also stopping ones if blockers are known), their protection and its Auto Scaling group. The tasks of other
    instances are read again if they changed and a placement constraint depends on them. The pause and the blocks are
    at most a minute old. These are not read again: revisions of task definitions, which never change; and the host's
    report and its connection to Systems Manager if younger than `report_max_age`. The last two are read again before
    the reboot, and an instance that does not answer then is returned.
    """
    fleet, policy = this_pass.fleet, this_pass.policy
    crowd = is_crowd(count_budget(this_pass).limit)
    if not fleet_is_fresh(this_pass):
        # If looks take longer than a poll, or are a poll apart, facts read one after the other would never be fresh
        # together, and no update would ever start. Then everything is read in one look.
        draft.wants_full_look = True
        services, poll = fleet.services, policy.poll_interval
        # In a crowd, the next look may take longer than a poll: services that were read in this one would be too old.
        aging = crowd or services is None or has_passed(services.at, poll / 2, this_pass.at)
        draft.wants_services = draft.wants_services or aging
        for pick in picks:
            draft.steps[pick.id] = NextStep(hold=missed(pick), wants_tasks=True, look_at=this_pass.at)
        return ()
    unseen = [
        pick
        for pick in picks
        if pick.tasks is None
        or has_passed(pick.tasks.at, policy.poll_interval, this_pass.at)
        or stopping_unread(pick, fleet, policy.poll_interval)
        or unsurveyed(pick, fleet, policy.poll_interval)
    ]
    others = _with_unknown_tasks(picks, this_pass)
    if unseen or others:
        # Read everything else again too if it is about to be too old. If the look takes so long that it is too old
        # then, the next look reads everything.
        again = has_passed(fleet.full_at, policy.poll_interval * READ_AGAIN_SHARE, this_pass.at)
        draft.wants_full_look = draft.wants_full_look or again
        draft.wants_services = draft.wants_services or again
    unseen_ids = {pick.id for pick in unseen}
    all_wait = bool(others) or (bool(unseen) and not crowd)
    for pick in picks if all_wait else unseen:
        wants = pick.id in unseen_ids
        draft.steps[pick.id] = NextStep(hold=missed(pick), wants_tasks=wants, look_at=this_pass.at)
    for one in others:
        step = draft.steps.get(one.id, NextStep())
        draft.steps[one.id] = replace(step, wants_tasks=True, look_at=this_pass.at)
    return () if all_wait else [pick for pick in picks if pick.id not in unseen_ids]


def facts_are_fresh(instance: Instance, this_pass: Pass, draft: DecisionDraft) -> bool:
    """Whether everything that a drain of this instance depends on was just read; if not, it is requested."""
    return bool(with_fresh_facts([instance], this_pass, draft))


def _with_unknown_tasks(picks: Sequence[Instance], this_pass: Pass) -> list[Instance]:
    """Other instances whose tasks changed since they were listed, if the room on them depends on these.

    The check for room skips a constraint that depends on unknown tasks, so everything would seem to fit there.
    """
    fleet, poll = this_pass.fleet, this_pass.policy.poll_interval
    if fleet.definitions is None or not constraints_ask_for_tasks(fleet):
        return []
    picked = {pick.id for pick in picks}
    return [
        one
        for one in fleet.instances.values()
        if one.claim is None and one.id not in picked and accepts_tasks(one) and tasks_changed(one)
        if one.tasks is None or has_passed(one.tasks.at, poll, this_pass.at)
    ]


def fleet_is_fresh(this_pass: Pass) -> bool:
    """Whether all instances and the services were read within the last poll interval."""
    fleet, poll = this_pass.fleet, this_pass.policy.poll_interval
    if fleet.services is None or has_passed(fleet.services.at, poll, this_pass.at):
        return False
    return not has_passed(fleet.full_at, poll, this_pass.at)


def services_for_start(this_pass: Pass) -> datetime | None:
    """When the services must be read before an update may start: now; None if that was just done."""
    services = this_pass.fleet.services
    fresh = services is not None and not has_passed(services.at, this_pass.policy.poll_interval, this_pass.at)
    return None if fresh else this_pass.at
