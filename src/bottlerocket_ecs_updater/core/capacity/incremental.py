"""Incremental placement: keeps the places found so far while a pass picks one instance after another.

`will_drain` in `will_it_fit.py` searches all places from scratch, which takes longer the larger the cluster is. With
hundreds of picks that would be slow. Here earlier places stay, and only those for one more instance are searched. If
places are found, the tasks fit. If not, that shows nothing, and the full search must decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from bottlerocket_ecs_updater.core.capacity.host_room import Capacity, HostRoom, RoomSnapshot, ServiceRules
from bottlerocket_ecs_updater.core.capacity.will_it_fit import blocked_by_limits, will_place
from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn


class IncrementalPlacement:
    """The places found so far. `emptied` are the instances that are draining already."""

    def __init__(self, capacity: Mapping[InstanceId, Capacity], emptied: Collection[InstanceId]) -> None:
        usable = ((id_, left) for id_, left in sorted(capacity.items()) if left.accepts and id_ not in emptied)
        self._rooms = [HostRoom(id_, left) for id_, left in usable]
        self._closed: set[InstanceId] = set()
        self._guests: dict[InstanceId, Counter[ServiceArn]] = {}
        """How many tasks of each service have a reserved place on an instance."""
        self._placed: Counter[ServiceArn] = Counter()
        self._first: dict[ServiceArn, int] = {}
        """The index of the first room that may take another task of a service. Rooms only fill, so it only grows."""
        self._try: _Try | None = None

    def fits(
        self,
        instance: InstanceId,
        rules: Mapping[ServiceArn, ServiceRules],
        here: Iterable[ServiceArn],
        leaving: Mapping[ServiceArn, int],
    ) -> bool:
        """Whether all leaving tasks still have places if that instance is drained too.

        `here` are the services on it, and `leaving` counts the leaving tasks of each service on it and on all draining
        instances. The places are dropped at the next call unless `keep` is called before.
        """
        self._forget()
        if any(arn not in rules or blocked_by_limits(arn, rules[arn], leaving[arn]) for arn in here):
            return False
        self._try = _Try(instance, self._guests.pop(instance, Counter()), Counter(self._placed), dict(self._first))
        self._closed.add(instance)
        self._placed.subtract(self._try.evicted)
        return all(self._place(service, leaving.get(arn, 0), self._try) for arn, service in rules.items())

    def keep(self) -> None:
        """Keep the places of the last instance, because its update starts."""
        self._try = None

    def _place(self, service: ServiceRules, leaving: int, tried: _Try) -> bool:
        count, place = will_place(service, leaving), self._first.get(service.arn, 0)
        while self._placed[service.arn] < count and place < len(self._rooms):
            room = self._rooms[place]
            if room.instance in self._closed or next(room.lacks(service), None) is not None:
                place += 1
                continue
            tried.taken.append((room, room.left(), service.arn))
            room.take(service)
            self._placed[service.arn] += 1
            self._guests.setdefault(room.instance, Counter())[service.arn] += 1
        self._first[service.arn] = place
        return service.grows or self._placed[service.arn] >= count

    def _forget(self) -> None:
        tried, self._try = self._try, None
        if tried is None:
            return
        for room, left, service in reversed(tried.taken):
            room.restore(left)
            self._guests[room.instance][service] -= 1
        self._closed.discard(tried.instance)
        self._guests[tried.instance] = tried.evicted
        self._placed, self._first = tried.placed, tried.first


class _Try:
    """What one call changed, and the state before it."""

    def __init__(
        self,
        instance: InstanceId,
        evicted: Counter[ServiceArn],
        placed: Counter[ServiceArn],
        first: dict[ServiceArn, int],
    ) -> None:
        self.instance = instance
        self.evicted = evicted
        """Tasks that had a reserved place on it."""
        self.placed = placed
        self.first = first
        self.taken: list[tuple[HostRoom, RoomSnapshot, ServiceArn]] = []
