"""`status`: the state of a cluster. It sends nothing to hosts and changes nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli.settings import parameters
from bottlerocket_ecs_updater.cli.settings.settings import ConfigFile, OutputFormat, Target
from bottlerocket_ecs_updater.cli.wiring import Wired, began_at, wire_read_only
from bottlerocket_ecs_updater.core.model.event import RunFinished, RunStarted
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.outcome import OutcomeKind, RunOutcome, kind_of
from bottlerocket_ecs_updater.core.model.reasons import Hold
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.engine.lease.lease_note import read_lease
from bottlerocket_ecs_updater.engine.lease.store_lease import lease_key
from bottlerocket_ecs_updater.engine.ports import Store
from bottlerocket_ecs_updater.engine.safe_recorder import DiscardEvents
from bottlerocket_ecs_updater.engine.snapshot import take_snapshot
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.report.record.record import read_record, runs_of
from bottlerocket_ecs_updater.report.views.status import ClusterStatus, NewestRun, next_run, status_json, status_text

WATCH_EVERY = timedelta(seconds=10)

LEFT_MAX = 5
"""How many past runs are searched for one that did not exit at once."""

CLEAR_SCREEN = "\x1b[H\x1b[2J"


@Parameter(name="*", group="Status")
@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSettings:
    """Which cluster, and the output format."""

    target: Target
    config: ConfigFile = None
    form: OutputFormat = "text"
    watch: Annotated[bool, parameters.switch("Refresh every ten seconds until interrupted.", "w")] = False


def status(*, settings: StatusSettings) -> int:
    """Show instances by version and state, claims, backoffs, the lease, the last run, and what it held."""
    wired = wire_read_only(settings.target, os.environ)
    while True:
        now = _status(wired)
        text = status_text(now) if settings.form == "text" else json.dumps(status_json(now), indent=1) + "\n"
        clear = CLEAR_SCREEN if settings.watch and sys.stdout.isatty() else ""
        print(clear + text, end="", flush=True)
        if not settings.watch or not wired.clock.sleep(WATCH_EVERY):
            return 0


def _status(wired: Wired) -> ClusterStatus:
    ledger = wired.ledger.load()
    fleet = take_snapshot(wired.ports(DiscardEvents()), Policy(), launches=wired.launches, ask=False)
    store = wired.store
    runs = runs_of(store, wired.state) if store is not None else ()
    lease = read_lease(store.get(lease_key(wired.state))) if store is not None else None
    began = [at for run in runs if (at := began_at(run)) is not None]
    return ClusterStatus(
        wired.cluster_name,
        fleet,
        ledger,
        lease,
        _last_run(wired, runs),
        store is not None,
        next_run(began, wired.clock.now()),
    )


def _last_run(wired: Wired, runs: Sequence[RunId]) -> NewestRun | None:
    if wired.store is None or not runs:
        return None
    past = [as_last(wired.store, wired.state, run) for run in sorted(runs, reverse=True)[:LEFT_MAX]]
    # A run that exited because another held the lease did nothing. People want to see the run before it.
    return next((one for one in past if one.outcome is not RunOutcome.LEFT), past[0])


def as_last(store: Store, state: str, run: RunId) -> NewestRun:
    """A run as the last one, by its record. Raises what the store raises."""
    events = read_record(store, state, run).events
    began = next((event.at for event in events if isinstance(event, RunStarted)), began_at(run))
    ended = next((event for event in events if isinstance(event, RunFinished)), None)
    if ended is None:
        return NewestRun(run, None, began, None, "", {}, max((event.at for event in events), default=None))
    ending = run_report(events).ending.value
    ours = {id_: one for id_, one in ended.outcomes.items() if kind_of(one) is OutcomeKind.HELD}
    held = {id_: one for id_, one in ours.items() if isinstance(one, Hold)}
    return NewestRun(run, ended.outcome, began, ended.at, ended.why, dict(ended.counts), ending=ending, held=held)
