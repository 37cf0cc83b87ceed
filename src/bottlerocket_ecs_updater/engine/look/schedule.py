"""When to look at what next: a look that was promised is not put off by passes that others are due for.

A decision says of each instance when its next fact is due, counted from its own moment. With many instances in
flight there are passes all the time, and each would push back the looks that are not due yet. Here the earliest
promise stands until it is kept, or until an act makes it void.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.decide import Decision
from bottlerocket_ecs_updater.core.model.ids import InstanceId

GATHER_SHARE = 10
"""Who is due within this part of a poll is looked at now: a look that is early by more than that is taken in vain."""


class LookSchedule:
    """The looks that were promised to our instances and to the services."""

    def __init__(self, poll: timedelta) -> None:
        self._gather = poll / GATHER_SHARE
        self._instances: dict[InstanceId, datetime] = {}
        self._idle: set[InstanceId] = set()
        """Ours of which nothing more is expected: they are looked at when others are, as that costs no call."""
        self._services: datetime | None = None

    def take(
        self, decision: Decision, ours: Collection[InstanceId], kept: Collection[InstanceId], now: datetime
    ) -> None:
        """Take over what a decision promised at that moment; `kept` are those that had been looked at for it."""
        promised: dict[InstanceId, datetime] = {}
        self._idle = set()
        for id_ in ours:
            verdict = decision.steps.get(id_)
            if verdict is None:
                continue
            before = None if verdict.commands or id_ in kept else self._instances.get(id_)
            at = now if verdict.commands and verdict.look_at is None else verdict.look_at
            looks = [look for look in (at, before) if look is not None]
            if looks:
                promised[id_] = min(looks)
            else:
                self._idle.add(id_)
        self._instances = promised

    def take_services(self, at: datetime | None, *, kept: bool) -> None:
        """The same for the services."""
        before = self._services
        self._services = at if at is None or before is None or kept else min(before, at)

    def next(self, otherwise: datetime | None) -> datetime | None:
        """The earliest promise, or that moment where it is earlier; None where nothing is due."""
        looks = [*self._instances.values()]
        looks += [look for look in (self._services, otherwise) if look is not None]
        return min(looks, default=None)

    def earliest(self, chosen: Callable[[InstanceId], bool]) -> datetime | None:
        """The earliest promise to one of those instances, None where there is none."""
        return min((at for id_, at in self._instances.items() if chosen(id_)), default=None)

    def due(self, now: datetime) -> set[InstanceId]:
        """Whom to look at now."""
        due = {id_ for id_, at in self._instances.items() if at <= now + self._gather}
        return due | self._idle if due else due

    def services_due(self, now: datetime) -> bool:
        """Whether to look at the services now."""
        return self._services is not None and self._services <= now
