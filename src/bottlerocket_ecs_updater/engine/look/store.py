"""Reads the state store for what people and other clusters wrote: pauses, blocks, promotions, versions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from bottlerocket_ecs_updater.core.decision.unclaimed.eligibility import newly_found
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.event import (
    StateUnreadable,
    UpdatesPaused,
    UpdatesResumed,
    VersionSeen,
)
from bottlerocket_ecs_updater.core.model.published import Published
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.state.ledger import with_found, with_offer, with_published, with_sighting
from bottlerocket_ecs_updater.engine.look.conditions import ConditionLooks
from bottlerocket_ecs_updater.engine.run_ports import Ports
from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.engine.store.first_seen import FirstSeen
from bottlerocket_ecs_updater.engine.store.shared_state import SharedState
from bottlerocket_ecs_updater.errors import Interrupted, LeaseLost, Throttled, Unreachable, UpdaterError

ORDERS_KNOWN_FOR = timedelta(seconds=55)
"""How old what people decided may be when an update starts or a host is drained.

So a pause or a block takes effect within a minute.
"""

ORDERS_READ_EVERY = timedelta(minutes=2)
"""How often they are read while nothing depends on them: all updates in progress are past their reboot command."""


class StoreLooks:
    """Reads the shared objects of the state store, as often as the decisions need them."""

    def __init__(self, known: RunState, policy: Policy, ports: Ports, conditions: ConditionLooks) -> None:
        self._known = known
        self._policy = policy
        self._recorder = ports.recorder
        self._ledger = ports.ledger
        self._conditions = conditions
        self._shared = SharedState(ports.store, ports.state, ports.place, policy.rules.stages)
        self._first_seen = FirstSeen(ports.store)
        self._sighted: set[Version] = set()
        """The versions whose first sighting this run has recorded."""

    def refresh_orders(self) -> bool:
        """Read the pause and the blocked versions before updates start. Returns False if they are recent."""
        if not self._shared.is_due(self._known.fleet.at, ORDERS_KNOWN_FOR):
            return False
        self._read_beyond(partial(self._look_at_shared, ORDERS_KNOWN_FOR))
        return True

    def look(self) -> None:
        """Read what people and other clusters wrote, as often as something depends on it.

        While updates are paused, they are read with every look, so that no run ends because of an old pause.
        """
        known_for = ORDERS_KNOWN_FOR if self._any_drained() else ORDERS_READ_EVERY
        self._read_beyond(partial(self._look_at_store, timedelta() if self._known.fleet.paused else known_for))

    def next_look(self, again: datetime) -> datetime:
        """When to look next, if otherwise that is at `again`.

        While a host is drained and not yet rebooted, a block must return it in time, although looks at it may be far
        apart.
        """
        read_at = self._shared.acts_read_at
        if read_at is None or not self._any_drained():
            return again
        return max(self._known.fleet.at, min(again, read_at + ORDERS_KNOWN_FOR))

    def _any_drained(self) -> bool:
        claims = (one.claim for one in self._known.instances.values())
        return any(claim is not None and claim.phase is ClaimPhase.DRAINING for claim in claims)

    def _read_beyond(self, read: Callable[[], None]) -> None:
        """Read something in the store. If that fails, start no updates, but finish those in progress."""
        try:
            read()
        except (Throttled, Unreachable, LeaseLost, Interrupted):
            raise
        except UpdaterError as problem:
            if not self._known.in_progress:
                raise
            self._known.block_denied(problem)

    def _look_at_shared(self, known_for: timedelta) -> None:
        """Read what people decided, if that is older than `known_for`, and what other clusters published."""
        known, before = self._known, self._known.fleet.paused
        known.fleet = replace(known.fleet, shared=self._shared.look(known.fleet.at, known_for))
        self._record_pause(before)
        for key, why in self._shared.take_unreadable():
            self._recorder.record(StateUnreadable(known.fleet.at, key, why))

    def _look_at_store(self, known_for: timedelta) -> None:
        """Read how old versions are, and what other clusters and people recorded about them."""
        known, ledger = self._known, self._ledger
        self._look_at_shared(known_for)
        for version in known.reported_versions():
            new = version not in ledger.value.first_seen
            seen = self._first_seen.note(version, known.fleet.at, new=new)
            ledger.change(partial(with_sighting, version=version, at=seen))
            if version not in self._sighted:
                self._sighted.add(version)
                self._recorder.record(VersionSeen(known.fleet.at, version, seen))
        for id_, offered in known.reported_offers().items():
            ledger.change(partial(with_offer, instance=id_, offered=offered))
        for key, why in self._first_seen.take_unreadable():
            self._recorder.record(StateUnreadable(known.fleet.at, key, why))
        for name, state in known.fleet.published.items():
            if isinstance(state, Published):
                ledger.change(partial(with_published, parameter=name, found=state))
        for id_, version in newly_found(known.fleet, self._policy).items():
            ledger.change(partial(with_found, instance=id_, version=version, at=known.fleet.at))
        known.learn_ledger(ledger.value)
        self._conditions.report_withdrawn(known.fleet.past.published)

    def _record_pause(self, before: str) -> None:
        """Report a new pause, another reason, or a resume."""
        paused = self._known.fleet.paused
        if paused and paused != before:
            self._recorder.record(UpdatesPaused(self._known.fleet.at, paused))
        elif before and not paused:
            self._recorder.record(UpdatesResumed(self._known.fleet.at, before))
