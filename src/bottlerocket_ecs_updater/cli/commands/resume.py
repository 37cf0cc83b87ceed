"""`resume`: let runs start updates again on a paused cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli.acts import Why, set_pause
from bottlerocket_ecs_updater.cli.settings.settings import ConfigFile, Target
from bottlerocket_ecs_updater.cli.wiring import wire_read_only


@Parameter(name="*", group="Resume")
@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeSettings:
    """Which cluster, and why."""

    target: Target
    config: ConfigFile = None
    why: Why = ""


def resume(*, settings: ResumeSettings) -> int:
    """Allow new updates again on a paused cluster."""
    wired = wire_read_only(settings.target, os.environ)
    _, was = set_pause(wired, None, settings.why)
    said = f"Updates of {wired.cluster_name} are resumed; they were paused {was}" if was else "Updates were not paused."
    print(said)
    return 0
