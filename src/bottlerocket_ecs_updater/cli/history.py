"""`history`: the runs of a cluster, with how they ended, how long they took, and which releases they brought."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli import kinds
from bottlerocket_ecs_updater.cli.settings import ConfigFile, Target
from bottlerocket_ecs_updater.cli.wiring import wire_to_look
from bottlerocket_ecs_updater.core.errors import UsageError
from bottlerocket_ecs_updater.report.index import entries_of, history_text, write_index


@Parameter(name="*", group="History")
@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySettings:
    """Which cluster, and how its runs are shown."""

    target: Target
    config: ConfigFile = None
    form: Annotated[Literal["text", "json"], kinds.choice("Form.", "text", "json", name="--format")] = "text"
    last: Annotated[int, kinds.count("At most so many, the newest.")] = 30


def history(*, settings: HistorySettings) -> int:
    """List the runs of a cluster, newest first."""
    wired = wire_to_look(settings.target, os.environ)
    if wired.store is None:
        raise UsageError("the history of runs is in the state store: give --state")
    entries = entries_of(wired.store, wired.state, wired.cluster_name)[: settings.last]
    if settings.form == "json":
        text = json.dumps(json.loads(write_index(entries)), indent=2) + "\n"
    else:
        text = history_text(entries)
    sys.stdout.write(text)
    return 0
