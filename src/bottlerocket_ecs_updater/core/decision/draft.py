"""A decision under construction: the next steps decided so far, and what must be read to decide more."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.command import NextStep
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance


@dataclass(slots=True)
class DecisionDraft:
    """What one pass has decided so far; used only while it decides."""

    steps: dict[InstanceId, NextStep] = field(default_factory=dict)
    wants_full_look: bool = False
    wants_services: bool = False
    """Whether a full look must describe the services even if that was done just now."""
    services_at: datetime | None = None
    """When to look again at a deployment that holds an instance."""


def due(instance: Instance, step: NextStep, this_pass: Pass) -> datetime | None:
    """When to look again because of one instance. After a command, and while one is pending, there is another look."""
    if step.look_at is None and step.commands:
        return this_pass.at
    if step.look_at is None and instance.pending is not None and instance.registered:
        return this_pass.next_poll
    return step.look_at
