"""What one pass bases its decision on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.rules.policy import Policy


@dataclass(frozen=True, slots=True)
class Pass:
    """The fleet as it was just read, and the operator's policy."""

    fleet: Fleet
    policy: Policy

    @property
    def at(self) -> datetime:
        """The time of the look, which counts as now."""
        return self.fleet.at

    @property
    def next_poll(self) -> datetime:
        """One poll interval from now: when to look again at what may change at any time."""
        return self.fleet.at + self.policy.poll_interval
