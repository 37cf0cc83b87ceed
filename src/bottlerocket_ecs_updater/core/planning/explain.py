"""Explains an instance: each rule that applies to it, in order, with its result.

The results come from the functions that decide, so the explanation matches what a run would do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from bottlerocket_ecs_updater.core.decision.admission import OfferedUpdate, offered_update
from bottlerocket_ecs_updater.core.decision.not_counted import not_selected
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.assess import (
    CandidateState,
    answers_about,
    assess,
    excluded,
    out_of_reach,
)
from bottlerocket_ecs_updater.core.decision.unclaimed.budget import count_budget
from bottlerocket_ecs_updater.core.decision.unclaimed.eligibility import RolloutLimits
from bottlerocket_ecs_updater.core.decision.unclaimed.rule_answers import RuleAnswer
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold, Reason
from bottlerocket_ecs_updater.core.model.unchecked import unchecked_rules
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.planning.plan import Plan, make_plan
from bottlerocket_ecs_updater.core.rules.policy import Policy


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """The place of an instance in the order of updates."""

    number: int
    of: int
    begins: datetime | None
    """When its update starts, by the forecast; None if the forecast ends earlier."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything known about one instance, with the result of every rule."""

    instance: Instance
    candidate: CandidateState | None
    """None if it is claimed: then no rules apply, because its update is finished first."""
    answers: tuple[RuleAnswer, ...]
    outcome: Hold | Failed | UpToDate | None = None
    """Its outcome in a plan: held, failed or up to date. None if it is claimed or would be updated."""
    position: QueuePosition | None = None
    """None if a run would not update it now."""
    target: Version | None = None
    """The version that it would be updated to; None if there is none, or if it is claimed."""


def explain_instance(instance: Instance, fleet: Fleet, policy: Policy) -> Explanation:
    """Evaluate every rule for the instance, including those after the first hold."""
    if instance.claim is not None:
        return Explanation(instance, None, ())
    planned, this_pass = make_plan(fleet, policy), Pass(fleet, policy)
    outcome = _outcome(instance.id, planned)
    answered = (one for one in _answers(instance, this_pass) if one.hold is not None or not _is_off(one.rule, fleet))
    unchecked = (RuleAnswer(rule, None, unchecked=why) for rule, why in unchecked_rules(fleet.rules_off))
    answers = tuple(_with_outcome((*answered, *unchecked), outcome))
    offered = offered_update(instance, this_pass)
    target = offered.target if offered is not None else None
    return Explanation(instance, assess(instance, this_pass), answers, outcome, _position(instance, planned), target)


def _is_off(rule: str, fleet: Fleet) -> bool:
    """Whether a rule, or a part of it, is off, so that it does not say that the update may start."""
    parts = ("auto-scaling", "instance-refreshes") if rule == "auto-scaling" else (rule,)
    return any(part in fleet.rules_off for part in parts)


def _outcome(id_: InstanceId, planned: Plan) -> Hold | Failed | UpToDate | None:
    """The plan's outcome of an instance that it would not update, so that plan and explanation always agree."""
    current = {id_: UpToDate(version) for id_, version in planned.current}
    outcomes: dict[InstanceId, Hold | Failed | UpToDate] = {**current, **dict(planned.failing), **dict(planned.held)}
    return outcomes.get(id_)


def _with_outcome(answers: tuple[RuleAnswer, ...], outcome: Hold | Failed | UpToDate | None) -> Iterator[RuleAnswer]:
    """The answers, plus the plan's hold if no rule gave it: from its check, or because no slot will ever be free."""
    yield from answers
    if isinstance(outcome, Hold) and outcome.reason not in {a.hold.reason for a in answers if a.hold is not None}:
        yield RuleAnswer("budget" if outcome.reason is Reason.NO_PLACE else "check", outcome)


def _position(instance: Instance, planned: Plan) -> QueuePosition | None:
    order = [update.instance for update in planned.updates]
    if instance.id not in order:
        return None
    begins = (batch.begins for batch in planned.forecast.batches if instance.id in batch.instances)
    return QueuePosition(order.index(instance.id) + 1, len(order), next(begins, None))


def _answers(instance: Instance, this_pass: Pass) -> Iterator[RuleAnswer]:
    reach = out_of_reach(instance)
    refused = excluded(instance, reach, this_pass.policy)
    if refused is not None:
        yield RuleAnswer("selection", refused)
    yield RuleAnswer("reach", reach)
    if reach is not None and reach.reason is Reason.NOT_BOTTLEROCKET:
        return
    offered = offered_update(instance, this_pass)
    if offered is None:
        if refused is None:
            yield RuleAnswer("selection", not_selected(instance, this_pass.policy))
        return
    asked: set[str] = {"selection"} if refused is not None else set()
    for answer in _about_update(offered, this_pass):
        # Some rules apply both before staging and before a drain: show them once.
        if answer.rule not in asked or answer.hold is not None:
            yield answer
        asked.add(answer.rule)


def _about_update(offered: OfferedUpdate, this_pass: Pass) -> Iterator[RuleAnswer]:
    before = answers_about(offered, this_pass)
    yield from before
    said = {(answer.rule, answer.hold) for answer in before}
    drain = RolloutLimits(this_pass).answers(offered, room=True)
    yield from (answer for answer in drain if (answer.rule, answer.hold) not in said)
    yield RuleAnswer("budget", count_budget(this_pass).refusal(offered.instance.zone))
