"""Takes back the claim of an instance that an earlier run left DRAINING to its group, if the group keeps it.

A group that terminates an instance does not change its mind. But a person may, and a termination with instance reuse
ends in the warm pool. Then nobody else would return the instance: it is DRAINING because of the updater.
"""

from __future__ import annotations

from bottlerocket_ecs_updater.core.decision.left_claim import left_by_us
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.auto_scaling import taken_away
from bottlerocket_ecs_updater.core.model.command import Mark, NextStep
from bottlerocket_ecs_updater.core.model.instance import Instance


def take_back(instance: Instance, this_pass: Pass) -> NextStep | None:
    """Write the claim again, so that the update is finished like any other; None if it is not ours, or leaves."""
    claim = left_by_us(instance)
    known = instance.membership is not None and taken_away(instance.membership) is None
    if claim is None or not known or instance.progress.outcome is not None:
        return None
    return NextStep((Mark(instance.id, claim),), look_at=this_pass.next_poll)
