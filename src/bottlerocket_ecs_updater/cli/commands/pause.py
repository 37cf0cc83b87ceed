"""`pause`: no run starts new updates on a cluster until `resume`; updates in progress are finished."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli.acts import Why, caller, record
from bottlerocket_ecs_updater.cli.settings.settings import ConfigFile, Target
from bottlerocket_ecs_updater.cli.wiring import Wired, wire_read_only
from bottlerocket_ecs_updater.engine.lease.store_lease import lease_key
from bottlerocket_ecs_updater.engine.ports import Store
from bottlerocket_ecs_updater.engine.store.pause_switch import Pause, look_for_pause, set_pause
from bottlerocket_ecs_updater.errors import UsageError


@Parameter(name="*", group="Pause")
@dataclass(frozen=True, slots=True, kw_only=True)
class PauseSettings:
    """Which cluster, and why."""

    target: Target
    config: ConfigFile = None
    why: Why = ""


def pause(*, settings: PauseSettings) -> int:
    """Start no new updates on a cluster until `resume`; updates in progress are finished."""
    wired = wire_read_only(settings.target, os.environ)
    store = store_of(wired)
    before = look_for_pause(store, wired.state)
    made = Pause(wired.clock.now(), caller(wired), settings.why)
    set_pause(store, wired.state, made)
    instead = f", replacing the pause {before}" if before else ""
    record(wired, "pause", "", settings.why, f"paused the updates{instead}", made.who)
    said = f"Updates of {wired.cluster_name} are paused {made}"
    if before:
        said += f"\nThis replaces an earlier pause, {before}. `resume` ends both."
    print(said)
    if not _used(store, wired):
        where, who = f"{settings.target.state} holds no lease of {wired.cluster_name}", "no run has used it yet"
        print(f"warning: {where}: {who}; check --state", file=sys.stderr)
    return 0


def _used(store: Store, wired: Wired) -> bool:
    """Whether a run ever used this store.

    A pause in another store, for example after a typo in its name, has no effect.
    """
    return store.get(lease_key(wired.state)) is not None


def store_of(wired: Wired) -> Store:
    """The state store. Raises UsageError if none is given."""
    if wired.store is None:
        raise UsageError("the pause switch is kept in the state store: give --state")
    return wired.store
