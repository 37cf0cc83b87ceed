"""`pause`: no run begins anything new on a cluster until somebody resumes; what is in flight finishes."""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli import kinds
from bottlerocket_ecs_updater.cli.settings import ConfigFile, Target
from bottlerocket_ecs_updater.cli.wiring import Wired, wire_to_look
from bottlerocket_ecs_updater.core.errors import UsageError
from bottlerocket_ecs_updater.engine.pausing import Pause, set_pause
from bottlerocket_ecs_updater.engine.ports import Store

_REASON = r"[^\x00-\x1f\x7f]{1,200}"


@Parameter(name="*", group="Pause")
@dataclass(frozen=True, slots=True, kw_only=True)
class PauseSettings:
    """Which cluster, and why."""

    target: Target
    config: ConfigFile = None
    why: Annotated[
        str, kinds.text("Why, for whoever finds it paused.", _REASON, "a line of at most 200 characters", "TEXT")
    ] = ""


def pause(*, settings: PauseSettings) -> int:
    """Let no run begin anything new on a cluster until `resume`; what is in flight finishes."""
    wired = wire_to_look(settings.target, os.environ)
    store = store_of(wired)
    made = Pause(wired.clock.now(), _who(), settings.why)
    set_pause(store, wired.state, made)
    print(f"Updates of {wired.cluster_name} are paused {made}")  # noqa: T201 - the answer itself
    return 0


def store_of(wired: Wired) -> Store:
    """The state store, where the switch is. Raises UsageError where none is given."""
    if wired.store is None:
        raise UsageError("the pause switch is kept in the state store: give --state")
    return wired.store


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in most containers
        user = "somebody"
    return f"{user} on {socket.gethostname()}"
