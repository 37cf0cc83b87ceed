"""`history`: the runs of a cluster: how they ended, how long they took, and which versions they installed."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli.settings import parameters
from bottlerocket_ecs_updater.cli.settings.settings import ConfigFile, OutputFormat, Target
from bottlerocket_ecs_updater.cli.wiring import wire_read_only
from bottlerocket_ecs_updater.engine.store.shared_state import look_for_acts
from bottlerocket_ecs_updater.errors import UsageError
from bottlerocket_ecs_updater.report.outputs.index import Index, acts_text, entries_of, history_text, index_json
from bottlerocket_ecs_updater.report.outputs.json_report import act_object


@Parameter(name="*", group="History")
@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySettings:
    """Which cluster, and the output format."""

    target: Target
    config: ConfigFile = None
    form: OutputFormat = "text"
    last: Annotated[int, parameters.integer("Show this many of the newest runs and actions.")] = 30


def history(*, settings: HistorySettings) -> int:
    """List the runs of a cluster, and what people did, newest first."""
    wired = wire_read_only(settings.target, os.environ)
    if wired.store is None:
        raise UsageError("the history of runs is kept in the state store: give --state")
    entries = entries_of(wired.store, wired.state)[: settings.last]
    acts = look_for_acts(wired.store).about(wired.state)[-settings.last :]
    if settings.form == "json":
        value = index_json(Index(entries)) | {"acts": [act_object(act) for act in reversed(acts)]}
        text = json.dumps(value, indent=1) + "\n"
    else:
        text = history_text(entries) + acts_text(acts)
    sys.stdout.write(text)
    return 0
