"""Holds both leases while a run moves the state to keys with the account and Region."""

from __future__ import annotations

from datetime import timedelta

from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.engine.lease.run_lease import HeldBy, RunLease, Taken
from bottlerocket_ecs_updater.engine.lease.store_lease import lease_key
from bottlerocket_ecs_updater.engine.ports import Store
from bottlerocket_ecs_updater.engine.store.migration import has_left
from bottlerocket_ecs_updater.errors import LeaseLapsed


class BothLeases:
    """The lease of a run that moves the state: its cluster's own lease, and the older one by cluster name alone."""

    def __init__(self, new: RunLease, old: RunLease, store: Store, place: Location) -> None:
        self._new = new
        self._old = old
        self._store = store
        self._place = place
        self._held: tuple[RunLease, ...] = (new,)

    def acquire(self) -> Taken | HeldBy:
        """Acquire both. If another run (perhaps an older updater) holds the old one, release the new one."""
        answer = self._new.acquire()
        if isinstance(answer, HeldBy):
            return answer
        try:
            if has_left(self._store, self._place) or self._store.get(lease_key(self._place.name)) is None:
                return answer
            older = self._old.acquire()
        except BaseException:
            self._new.release()
            raise
        if isinstance(older, HeldBy):
            self._new.release()
            return older
        self._held = (self._new, self._old)
        return answer

    def keep(self) -> timedelta | None:
        spans = [span for one in self._held if (span := one.keep()) is not None]
        return min(spans, default=None)

    def check_before_act(self) -> None:
        for one in self._held:
            one.check_before_act()

    def regain(self) -> None:
        lapse: LeaseLapsed | None = None
        for one in self._held:
            try:
                one.regain()
            except LeaseLapsed as still:
                lapse = still
        if lapse is not None:
            raise lapse

    def release(self) -> None:
        for one in reversed(self._held):
            one.release()
