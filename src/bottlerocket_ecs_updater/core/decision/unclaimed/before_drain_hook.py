"""The operator's document that runs before a drain."""

from __future__ import annotations

from bottlerocket_ecs_updater.core.decision.host_checks import result_text
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus, DocumentKind
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.rules.policy import Policy


def before_drain_hold(instance: Instance, policy: Policy) -> Hold | None:
    """The hold if its before-drain document failed; None if it succeeded or was not run."""
    ended = instance.before_drain_result
    if not policy.before_drain or ended is None or ended.end is CommandStatus.SUCCESS:
        return None
    return hold(Reason.BEFORE_DRAIN_FAILED, detail=result_text(ended))


def prepared(instance: Instance, this_pass: Pass) -> bool:
    """Whether it needs no before-drain document, or the document succeeded recently enough."""
    policy = this_pass.policy
    ended = instance.before_drain_result
    if not policy.before_drain:
        return True
    return (
        ended is not None
        and ended.end is CommandStatus.SUCCESS
        and not has_passed(ended.ended_at, policy.report_max_age, this_pass.at)
    )


def being_prepared(instance: Instance) -> bool:
    """Whether its before-drain document is pending. It is about to be drained, so it takes a slot."""
    return instance.pending is not None and instance.pending.kind is DocumentKind.BEFORE_DRAIN
