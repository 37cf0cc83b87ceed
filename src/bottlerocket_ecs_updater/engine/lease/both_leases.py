"""Holds both leases while a run moves the state to keys with the account and Region, and moves the pause switch."""

from __future__ import annotations

from datetime import timedelta

from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.engine.lease.run_lease import HeldBy, RunLease, Taken
from bottlerocket_ecs_updater.engine.lease.store_lease import lease_key
from bottlerocket_ecs_updater.engine.ports import Store
from bottlerocket_ecs_updater.engine.store.migration import MovingLedger, move_pause
from bottlerocket_ecs_updater.errors import LeaseLapsed


class BothLeases:
    """The lease of a run that moves the state: its cluster's own lease, and the older one by cluster name alone."""

    def __init__(self, new: RunLease, old: RunLease, store: Store, place: Location, ledger: MovingLedger) -> None:
        self._new = new
        self._old = old
        self._store = store
        self._place = place
        self._ledger = ledger
        self._held: tuple[RunLease, ...] = (new,)

    def acquire(self) -> Taken | HeldBy:
        """Acquire both, and move the pause switch, unless all state was moved before.

        If another run (perhaps an older updater) holds the old lease, release the new one.
        """
        self._held = (self._new,)
        answer = self._new.acquire()
        if isinstance(answer, HeldBy):
            return answer
        try:
            older = self._moving()
        except BaseException:
            self.release()
            raise
        if older is not None:
            self._new.release()
        return older or answer

    def _moving(self) -> HeldBy | None:
        """Prepare the migration, unless it is complete. Returns who else holds the old lease; None if nobody does."""
        if self._ledger.has_left():
            return None
        if self._store.get(lease_key(self._place.name)) is not None:
            older = self._old.acquire()
            if isinstance(older, HeldBy):
                return older
            self._held = (self._new, self._old)
        move_pause(self._store, self._place)
        return None

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
