"""A decision in the making: what was decided of each instance so far, and what must be looked at for more."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bottlerocket_ecs_updater.core.model.command import NextStep
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.rules.policy import Policy


@dataclass(slots=True)
class DecisionDraft:
    """What one pass has decided so far; never seen outside of it."""

    steps: dict[InstanceId, NextStep] = field(default_factory=dict)
    wants_full_look: bool = False
    wants_services: bool = False
    """Whether a full look must bring the services even where they were looked at just now."""
    services_at: datetime | None = None
    """When a deployment that holds an instance is looked at again."""


def due(instance: Instance, verdict: NextStep, fleet: Fleet, policy: Policy) -> datetime | None:
    """When to look because of one instance: who acts looks again, and a run does not end under its own command."""
    if verdict.look_at is None and verdict.commands:
        return fleet.at
    if verdict.look_at is None and instance.pending is not None and instance.registered:
        return fleet.at + policy.poll_interval
    return verdict.look_at
