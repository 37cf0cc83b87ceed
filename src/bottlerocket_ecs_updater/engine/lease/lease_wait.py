"""Waits until another run's lease has ended: it was released, or was not renewed for its whole term.

It takes nothing. Several runs may wait for the same lease, and `acquire` decides which of them gets it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from bottlerocket_ecs_updater.engine.lease.lease_note import read_lease
from bottlerocket_ecs_updater.engine.ports import Clock, Store
from bottlerocket_ecs_updater.errors import Throttled, Unreachable

LEASE_READ_EVERY = timedelta(seconds=30)
"""Half a minute more does not matter to a run that may wait for hours."""


def wait_for_lease(store: Store, key: str, clock: Clock, until: datetime) -> bool:
    """Wait until no run renews the lease. Returns False if one still does at `until`, or after a signal.

    An outage of the store counts as held. Raises what else the store raises.
    """
    tag, since = "", clock.now()
    while True:
        now = clock.now()
        try:
            stored = store.get(key)
        except (Throttled, Unreachable):
            tag = ""
        else:
            note = read_lease(stored)
            if stored is None or note is None or note.released:
                return True
            if stored.tag != tag:
                tag, since = stored.tag, now
            elif now - since > note.term:
                return True
        if now >= until or not clock.sleep(min(LEASE_READ_EVERY, until - now)):
            return False
