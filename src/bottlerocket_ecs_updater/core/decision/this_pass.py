"""What one pass bases its decision on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.rules.policy import Policy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pass:
    """The fleet as it was just read, and the operator's policy."""

    fleet: Fleet
    policy: Policy
    _found: dict[Callable[..., Any], Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What `once` has found: it depends on the fleet and the policy only, which do not change during a pass."""

    def once(self, find: Callable[[Pass], T]) -> T:
        """What `find` returns for this pass. It is called once, however many instances need its result."""
        if find not in self._found:
            self._found[find] = find(self)
        found: T = self._found[find]
        return found

    @property
    def at(self) -> datetime:
        """The time of the look, which counts as now."""
        return self.fleet.at

    @property
    def next_poll(self) -> datetime:
        """One poll interval from now: when to look again at what may change at any time."""
        return self.fleet.at + self.policy.poll_interval
