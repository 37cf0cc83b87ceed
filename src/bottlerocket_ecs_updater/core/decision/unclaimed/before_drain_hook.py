"""The operator's document that runs before an instance is drained."""

from __future__ import annotations

from datetime import datetime

from bottlerocket_ecs_updater.core.decision.host_checks import _said
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus, DocumentKind
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.rules.policy import Policy


def before_drain_hold(instance: Instance, policy: Policy) -> Hold | None:
    """Why the document before the drain keeps it in service, None where it was not run, or said yes."""
    ended = instance.before_drain_result
    if not policy.before_drain or ended is None or ended.end is CommandStatus.SUCCESS:
        return None
    return hold(Reason.BEFORE_DRAIN_FAILED, detail=_said(ended))


def prepared(instance: Instance, policy: Policy, now: datetime) -> bool:
    """Whether nothing of the operator's has to be run on it before its drain; what was run long ago is run again."""
    ended = instance.before_drain_result
    if not policy.before_drain:
        return True
    return (
        ended is not None
        and ended.end is CommandStatus.SUCCESS
        and not has_passed(ended.ended_at, policy.report_max_age, now)
    )


def being_prepared(instance: Instance) -> bool:
    """Whether the document before the drain runs on it now: it is about to be taken, and takes a place."""
    return instance.pending is not None and instance.pending.kind is DocumentKind.BEFORE_DRAIN
