"""Drains instances that this run claimed but has not drained, because a reply was lost in between."""

from __future__ import annotations

from bottlerocket_ecs_updater.core.decision.admission import OfferedUpdate
from bottlerocket_ecs_updater.core.decision.draft import DecisionDraft
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.assess import answers_about
from bottlerocket_ecs_updater.core.decision.unclaimed.budget import count_budget
from bottlerocket_ecs_updater.core.decision.unclaimed.fresh_facts import facts_are_fresh
from bottlerocket_ecs_updater.core.decision.unclaimed.gates import StartGates
from bottlerocket_ecs_updater.core.decision.unclaimed.rule_answers import first_hold
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.command import Drain, NextStep, Unmark
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import has_passed


def drain_marked(this_pass: Pass, gates: StartGates, draft: DecisionDraft) -> None:
    """Drain instances that this run claimed but has not drained, if they may still be drained.

    The reply to the claim may have been lost, and other updates may have started since. An instance that may no longer
    be drained loses its claim and waits for its turn again.
    """
    fleet = this_pass.fleet
    budget = count_budget(this_pass)
    for instance in fleet.instances.values():
        if not _marked_undrained(instance, fleet) or instance.progress.overwritten_looks:
            continue
        if has_passed(instance.phase_began, this_pass.policy.drain_timeout, this_pass.at):
            why = hold(Reason.UNCLEAR, what="DRAINING", why="ECS never showed it")
            draft.steps[instance.id] = NextStep((Unmark(instance.id, why, took_slot=False),), hold=why)
            continue
        if not instance.claim_on_instance and not _mark_is_late(instance, this_pass):
            draft.steps[instance.id] = NextStep(look_at=this_pass.next_poll)
            continue
        refusal = budget.overfull(instance.zone) or _undrainable(instance, this_pass, gates)
        if refusal is not None:
            drop = Unmark(instance.id, None, took_slot=False)
            draft.steps[instance.id] = NextStep((drop,), hold=refusal, look_at=this_pass.next_poll)
        elif facts_are_fresh(instance, this_pass, draft):
            draft.steps[instance.id] = NextStep((Drain(instance.id),), look_at=this_pass.next_poll)


def _marked_undrained(instance: Instance, fleet: Fleet) -> bool:
    claim, registration = instance.claim, instance.registration
    return (
        claim is not None
        and claim.run == fleet.run
        and claim.phase is ClaimPhase.DRAINING
        and instance.progress.drain is None
        and instance.progress.sent_return is None
        and not instance.claim_unreadable
        and not instance.undescribed
        and registration is not None
        and registration.status is Status.ACTIVE
    )


def _mark_is_late(instance: Instance, this_pass: Pass) -> bool:
    """Whether looks would show the claim by now if it had reached the instance."""
    seen_at = instance.registration.at if instance.registration is not None else this_pass.at
    return has_passed(instance.phase_began, this_pass.policy.reader_lag, seen_at)


def _undrainable(instance: Instance, this_pass: Pass, gates: StartGates) -> Hold | None:
    """Why a claimed instance may not be drained now; None if it may. It already counts for checkpoints and limits."""
    if not instance.claim_on_instance:
        return hold(Reason.UNCLEAR, what="the claim", why="ECS does not show it")
    report = instance.report
    if report is None or report.target is None:
        return hold(Reason.NO_ANSWER, detail="its last answer is out of date")
    return (
        gates.global_hold
        or first_hold(answers_about(OfferedUpdate(instance, report, report.target), this_pass))
        or gates.limits.unready()
        or gates.limits.unmovable(instance)
        or gates.limits.no_room(instance)
    )
