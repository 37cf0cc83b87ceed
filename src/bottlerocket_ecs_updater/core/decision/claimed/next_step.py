"""The next step of a claimed instance."""

from __future__ import annotations

from bottlerocket_ecs_updater.core.decision.claimed.drain import _proceed
from bottlerocket_ecs_updater.core.decision.claimed.let_go import (
    ask_group_first,
)
from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.command import NextStep
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.rules.policy import Policy


def proceed(instance: Instance, claim: Claim, fleet: Fleet, policy: Policy) -> NextStep:
    """What to do next with an instance that carries our claim, on a fresh answer of its Auto Scaling group."""
    return ask_group_first(_proceed(instance, claim, fleet, policy), instance, fleet, policy)
