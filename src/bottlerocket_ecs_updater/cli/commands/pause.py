"""`pause`: no run starts new updates on a cluster until `resume`; updates in progress are finished."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli.acts import Why, caller, set_pause
from bottlerocket_ecs_updater.cli.settings.settings import ConfigFile, Target
from bottlerocket_ecs_updater.cli.wiring import wire_read_only
from bottlerocket_ecs_updater.core.model.shared import Act
from bottlerocket_ecs_updater.engine.lease.store_lease import lease_key
from bottlerocket_ecs_updater.errors import UpdaterError


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
    made = Act(caller(wired), wired.clock.now(), settings.why)
    store, before = set_pause(wired, made, settings.why)
    said = f"Updates of {wired.cluster_name} are paused {made}"
    if before:
        said += f"\nThis replaces an earlier pause, {before}. `resume` ends both."
    print(said)
    with suppress(UpdaterError):
        # A pause in another store, for example after a typo in its name, has no effect.
        if store.get(lease_key(wired.state)) is None:
            where, who = f"{settings.target.state} holds no lease of {wired.cluster_name}", "no run has used it yet"
            print(f"warning: {where}: {who}; check --state", file=sys.stderr)
    return 0
