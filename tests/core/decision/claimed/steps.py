"""The next step of a claimed instance, for tests."""

from __future__ import annotations

from typing import Any

from tests.core.builders import NEW, OLD, POLICY, fleet

from bottlerocket_ecs_updater.core.decision.claimed.next_step import proceed
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.command import Command, NextStep
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Updated

UPDATED = Updated(OLD, NEW)


def next_step(one: Instance, **changes: Any) -> NextStep:
    """The next step in a fleet of only this instance, changed by the given fields."""
    assert one.claim is not None
    return proceed(one, one.claim, Pass(fleet(one, **changes), POLICY))


def kinds(step: NextStep) -> list[type[Command]]:
    """The kinds of its commands, in order."""
    return [type(command) for command in step.commands]
