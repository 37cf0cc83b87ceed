"""Schedules looks, so that passes for other instances never delay an instance's scheduled look.

A decision gives each instance's next look, relative to its own time. With many updates in progress there are passes
all the time, and each would push back the looks that are not due yet. So the earliest scheduled look stays until it is
taken, or until an act makes it obsolete.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.decide import Decision
from bottlerocket_ecs_updater.core.model.ids import InstanceId

GATHER_SHARE = 10
"""Looks that are due within the poll interval divided by this are taken now. A look much earlier finds nothing new."""


class LookSchedule:
    """The scheduled looks at claimed instances and at services."""

    def __init__(self, poll: timedelta) -> None:
        self._gather = poll / GATHER_SHARE
        self._instances: dict[InstanceId, datetime] = {}
        self._idle: set[InstanceId] = set()
        """Claimed instances without a scheduled look: they are included in other looks, which costs no extra call."""
        self._services: datetime | None = None

    def take(
        self, decision: Decision, ours: Collection[InstanceId], kept: Collection[InstanceId], now: datetime
    ) -> None:
        """Schedule what a decision at `now` asks for. `kept` are the instances that were looked at for it."""
        promised: dict[InstanceId, datetime] = {}
        self._idle = set()
        for id_ in ours:
            step = decision.steps.get(id_)
            if step is None:
                continue
            before = None if step.commands or id_ in kept else self._instances.get(id_)
            at = now if step.commands and step.look_at is None else step.look_at
            looks = [look for look in (at, before) if look is not None]
            if looks:
                promised[id_] = min(looks)
            else:
                self._idle.add(id_)
        self._instances = promised

    def take_services(self, at: datetime | None, *, kept: bool) -> None:
        """Schedule the next look at services."""
        before = self._services
        self._services = at if at is None or before is None or kept else min(before, at)

    def next(self, otherwise: datetime | None) -> datetime | None:
        """The earliest scheduled look, or `otherwise` if that is earlier; None if nothing is scheduled."""
        looks = [*self._instances.values()]
        looks += [look for look in (self._services, otherwise) if look is not None]
        return min(looks, default=None)

    def earliest(self, chosen: Callable[[InstanceId], bool]) -> datetime | None:
        """The earliest scheduled look at one of those instances; None if there is none."""
        return min((at for id_, at in self._instances.items() if chosen(id_)), default=None)

    def due(self, now: datetime) -> set[InstanceId]:
        """The instances to look at now."""
        due = {id_ for id_, at in self._instances.items() if at <= now + self._gather}
        return due | self._idle if due else due

    def services_due(self, now: datetime) -> bool:
        """Whether to look at the services now."""
        return self._services is not None and self._services <= now
