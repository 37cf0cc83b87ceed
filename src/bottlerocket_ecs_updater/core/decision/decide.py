"""The decision: claimed instances are finished first, then new updates start.

`decide` depends on the fleet and the policy only. `plan` and `run` share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from bottlerocket_ecs_updater.core.decision.backoff import next_backoff
from bottlerocket_ecs_updater.core.decision.blockers import with_timed_out
from bottlerocket_ecs_updater.core.decision.claimed.drain import check_along
from bottlerocket_ecs_updater.core.decision.claimed.next_step import proceed
from bottlerocket_ecs_updater.core.decision.draft import DecisionDraft, due
from bottlerocket_ecs_updater.core.decision.halting import find_halt
from bottlerocket_ecs_updater.core.decision.polling import FIRST_ANSWERS_SHARE
from bottlerocket_ecs_updater.core.decision.rival_runs import find_older_run, left_to_others
from bottlerocket_ecs_updater.core.decision.settling import next_settle_look
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.assess import (
    Asking,
    CandidateState,
    Deferred,
    Finished,
    Held,
    Ready,
    Stageable,
    assess,
    some_may_be_back,
)
from bottlerocket_ecs_updater.core.decision.unclaimed.fresh_facts import services_for_start
from bottlerocket_ecs_updater.core.decision.unclaimed.gates import (
    start_gates,
    why_no_starts,
    why_only_claimed,
    without_starts,
)
from bottlerocket_ecs_updater.core.decision.unclaimed.marked import drain_marked
from bottlerocket_ecs_updater.core.decision.unclaimed.stage import stage
from bottlerocket_ecs_updater.core.decision.unclaimed.start import leave_own_host, start_updates
from bottlerocket_ecs_updater.core.decision.unclaimed.take_back import take_back
from bottlerocket_ecs_updater.core.decision.unclaimed.task_waits import wait_for_tasks
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.command import (
    Apply,
    CallSuccessor,
    Cancel,
    Check,
    Command,
    Conclude,
    Drain,
    Mark,
    NextStep,
    Note,
    RunBeforeDrain,
    Unmark,
)
from bottlerocket_ecs_updater.core.model.fleet import Fleet, Halt
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Outcome
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold
from bottlerocket_ecs_updater.core.rules.policy import Policy


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, what must be read before more can be decided, and when to look again."""

    steps: Mapping[InstanceId, NextStep]
    halt: Halt | None
    look_at: datetime | None
    """None if nothing is left to do now, so that the run is over."""
    wants_full_look: bool = False
    """Whether every instance must be described before an update may start."""
    wants_listing: bool = False
    """Whether the cluster must be listed again: an instance may have left, or come back under another registration."""
    services_at: datetime | None = None
    """When the services must be described; None if nothing needs them."""

    @property
    def commands(self) -> Iterable[Command]:
        """All commands, those for claimed instances first."""
        return (command for step in self.steps.values() for command in step.commands)

    @property
    def holds(self) -> Mapping[InstanceId, Hold]:
        """The hold of each instance that is held."""
        return {id_: step.hold for id_, step in self.steps.items() if step.hold is not None}


def decide(fleet: Fleet, policy: Policy) -> Decision:
    """Decide what to do in one pass over the whole cluster."""
    draft, this_pass = DecisionDraft(), Pass(fleet, policy)
    older_run = find_older_run(this_pass)
    for instance in fleet.instances.values():
        if instance.claim is not None:
            others = left_to_others(instance, this_pass, older_run)
            theirs = NextStep(hold=others) if others is not None else None
            draft.steps[instance.id] = theirs or proceed(instance, instance.claim, this_pass)
    # A quarantined instance that is dropped in this pass, because its group terminates it, no longer fills the budget.
    may_recover = {id_ for id_, step in draft.steps.items() if step.look_at is not None or _is_let_go(step)}
    halt = find_halt(this_pass, may_recover)
    candidates = {
        instance.id: assess(instance, this_pass) for instance in fleet.instances.values() if instance.claim is None
    }
    only_claimed = why_only_claimed(fleet, older_run)
    if only_claimed is not None:
        candidates = {id_: without_starts(candidate, only_claimed) for id_, candidate in candidates.items()}
    for id_, candidate in candidates.items():
        first = take_back(fleet.instances[id_], this_pass) or _first_step(fleet.instances[id_], candidate, this_pass)
        draft.steps[id_] = _cancel_late_apply(fleet.instances[id_], first)
    blocked_now = with_timed_out(fleet, draft.steps)
    this_pass = this_pass if blocked_now is fleet else Pass(blocked_now, policy)
    gates = start_gates(why_no_starts(this_pass, halt, only_claimed), candidates, this_pass)
    stage(this_pass, candidates, gates, draft)
    drain_marked(this_pass, gates, draft)
    start_updates(this_pass, candidates, gates, draft)
    leave_own_host(this_pass, candidates, gates, draft)
    _check_together(this_pass, draft)
    return _close(this_pass, halt, gates.global_hold, draft)


def starts_updates(decision: Decision) -> bool:
    """Whether it stages, prepares or drains an instance, instead of only finishing updates in progress."""
    return any(
        isinstance(command, Apply | RunBeforeDrain | Drain | CallSuccessor)
        or (isinstance(command, Mark) and command.claim.phase is ClaimPhase.DRAINING)
        for command in decision.commands
    )


def _check_together(this_pass: Pass, draft: DecisionDraft) -> None:
    """If any host is checked now, check those with it that would be checked within seconds."""
    if not any(isinstance(command, Check) for step in draft.steps.values() for command in step.commands):
        return
    for id_, step in draft.steps.items():
        along = check_along(this_pass.fleet.instances[id_], this_pass) if _only_waits(step) else None
        if along is not None:
            draft.steps[id_] = along


def _only_waits(step: NextStep) -> bool:
    wants = step.wants_tasks or step.wants_group or step.wants_services or step.wants_listing or step.wants_reboot_end
    return step.look_at is not None and not (step.commands or step.hold or wants)


def _is_let_go(step: NextStep) -> bool:
    return any(isinstance(command, Unmark) for command in step.commands)


def _cancel_late_apply(instance: Instance, step: NextStep) -> NextStep:
    """The step, after the cancellation of an apply that gave no result in time.

    Systems Manager may deliver it to an agent that comes back, possibly until the end of its execution timeout.
    """
    late = instance.applied is not None and instance.applied.given_up and not instance.applied.cancelled
    return replace(step, commands=(Cancel(instance.id), *step.commands)) if late else step


def _first_step(instance: Instance, candidate: CandidateState, this_pass: Pass) -> NextStep:
    match candidate:
        case Held(hold=why):
            return NextStep(hold=why)
        case Asking():
            return NextStep(
                (Check(instance.id),), look_at=this_pass.at + this_pass.policy.poll_interval * FIRST_ANSWERS_SHARE
            )
        case Deferred(until=until):
            return NextStep(look_at=until)
        case Finished(outcome=outcome):
            return _concluded(instance, outcome, this_pass.fleet)
        case Stageable() | Ready():
            return NextStep()
        case _:
            assert_never(candidate)


def _concluded(instance: Instance, outcome: Outcome, fleet: Fleet) -> NextStep:
    if instance.progress.outcome is not None:
        return NextStep(hold=outcome if isinstance(outcome, Hold) else None)
    conclusion = Conclude(instance.id, outcome)
    if isinstance(outcome, Failed) and instance.progress.offered is not None:
        rest = next_backoff(instance.backoff, instance.progress.offered, outcome.failure.code, fleet.at)
        return NextStep((conclusion, Note(instance.id, rest)))
    return NextStep((conclusion,))


def _close(this_pass: Pass, halt: Halt | None, global_hold: Hold | None, draft: DecisionDraft) -> Decision:
    dues = (due(this_pass.fleet.instances[id_], step, this_pass) for id_, step in draft.steps.items())
    looks = [look_at for look_at in dues if look_at is not None]
    waited_for = (next_settle_look(this_pass), draft.services_at)
    services_at = min((look for look in waited_for if look is not None), default=None)
    if services_at is not None:
        looks.append(services_at)
    if not looks and global_hold is None and some_may_be_back(this_pass):
        # Ending now would leave it out, and others too, because it takes a slot in the budget.
        draft.wants_full_look = True
        looks.append(this_pass.at + 2 * this_pass.policy.poll_interval)
    again_at = wait_for_tasks(this_pass, draft) if not looks and global_hold is None else None
    if again_at is not None:
        looks.append(again_at)
    return Decision(
        draft.steps,
        halt,
        min(looks, default=None),
        wants_full_look=draft.wants_full_look,
        wants_listing=any(step.wants_listing for step in draft.steps.values()),
        services_at=_services_with(draft, services_at, this_pass),
    )


def _services_with(draft: DecisionDraft, otherwise: datetime | None, this_pass: Pass) -> datetime | None:
    if draft.wants_services or any(step.wants_services for step in draft.steps.values()):
        return this_pass.at
    return services_for_start(this_pass) if draft.wants_full_look else otherwise
