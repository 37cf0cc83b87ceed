"""The page of all clusters that share a store, with its data.

    fleet/index.html    the standing of every cluster, as the last run that ended saw it, and the same as JSON inside

Each run replaces the standing of its own cluster with a conditional write: of two runs that end together, the later one
writes both. So a run makes as many calls for 300 clusters as for 3. If there is no page, or none that can be read, and
for `fleet page` and `fleet forget`, it is made from all standings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from bottlerocket_ecs_updater.core.model.event import Event, RunFinished
from bottlerocket_ecs_updater.core.model.shared import Act, ClusterStanding
from bottlerocket_ecs_updater.core.model.time_text import write_time
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.engine.ports import Store
from bottlerocket_ecs_updater.engine.store.read_json import Unreadable, read_object
from bottlerocket_ecs_updater.engine.store.rewriting import Sleep, no_wait, rewrite
from bottlerocket_ecs_updater.engine.store.shared_state import (
    Acts,
    look_for_acts,
    place_of_key,
    read_standing,
    standing_key,
    standings_of,
    write_standing,
)
from bottlerocket_ecs_updater.errors import UpdaterError
from bottlerocket_ecs_updater.report.analysis.fleet_overview import FleetOverview, FleetRow, orders, overview_of
from bottlerocket_ecs_updater.report.outputs.data_block import data_in, with_data
from bottlerocket_ecs_updater.report.words.columns import in_columns

PAGE_FORMAT = 1
PAGE_KEY = "fleet/index.html"

_Known = tuple[Mapping[str, ClusterStanding], Mapping[str, str]]
"""The standings by key, and why others are unreadable."""


class FleetPage:
    """Updates the page at the end of a run. If the store fails, only the page is lost."""

    def __init__(self, store: Store, warn: Callable[[str], None], sleep: Sleep = no_wait) -> None:
        self._store = store
        self._warn = warn
        self._sleep = sleep
        self._own: ClusterStanding | None = None
        self.acts: Acts | None = None
        """What people did, as it was read for the page; None if the page was not written."""

    def keep(self, own: ClusterStanding) -> None:
        """Take the cluster's new standing, which the run has just published."""
        self._own = own

    def record(self, event: Event) -> None:
        if not isinstance(event, RunFinished) or self._own is None:
            return
        try:
            self.acts = refresh_fleet_page(self._store, event.at, self._own, self._sleep).acts
        except UpdaterError as error:
            self._warn(f"the page of all clusters could not be written: {error}")


def refresh_fleet_page(
    store: Store, now: datetime, own: ClusterStanding | None = None, sleep: Sleep = no_wait
) -> FleetOverview:
    """Write the page with the cluster's new standing; without one, from all standings. Raises what the store raises."""

    def write(data: bytes | None) -> tuple[FleetOverview, bytes]:
        standings, unreadable = _known(store, data, own)
        # What people did is read after the page: of two writers, the one with older acts finds another tag.
        shown = overview_of(standings.values(), unreadable, look_for_acts(store), now)
        return shown, with_data(fleet_html(shown), _data(standings, unreadable))

    return rewrite(store, PAGE_KEY, write, sleep)


def _known(store: Store, data: bytes | None, own: ClusterStanding | None) -> _Known:
    """What the page will show: the cluster's new standing, and those of the others, from the page or the store."""
    standings, unreadable = _others(store, data, own)
    if own is None:
        return standings, unreadable
    key = standing_key(own.place)
    return {**standings, key: own}, {one: why for one, why in unreadable.items() if one != key}


def _others(store: Store, data: bytes | None, own: ClusterStanding | None) -> _Known:
    if data is not None and own is not None:
        with suppress(Unreadable):
            return read_object(data_in(data), _shape)
    found, unreadable = standings_of(store, without=own.place if own is not None else None)
    return {standing_key(one.place): one for one in found}, unreadable


def _data(standings: Mapping[str, ClusterStanding], unreadable: Mapping[str, str]) -> Mapping[str, object]:
    clusters = {key: json.loads(write_standing(one)) for key, one in sorted(standings.items())}
    return {"format": PAGE_FORMAT, "unreadable": dict(unreadable), "clusters": clusters}


def _shape(value: Mapping[str, Any]) -> _Known:
    if value["format"] != PAGE_FORMAT:
        raise Unreadable(f"format {value['format']!r}")
    found: dict[str, ClusterStanding] = {}
    for key, one in value["clusters"].items():
        place = place_of_key(key)
        if place is not None:
            found[key] = read_standing(json.dumps(one).encode(), place)
    return found, {str(key): str(why) for key, why in value["unreadable"].items()}


def fleet_html(shown: FleetOverview) -> str:
    """The page."""
    from bottlerocket_ecs_updater.report.outputs.page.html import render_page  # noqa: PLC0415 - templates are slow to import

    return render_page("fleet.html.j2", f=shown, rows=list(zip(shown.rows, orders(shown.rows), strict=True)))


def overview_json(shown: FleetOverview) -> dict[str, Any]:
    """The output of `fleet status --format json`."""
    return {
        "format": PAGE_FORMAT,
        "at": write_time(shown.at),
        "clusters": [
            {
                "cluster": row.name,
                "place": row.place,
                "stage": row.stage,
                "state": row.state.value,
                "paused": row.paused or None,
                "versions": dict(row.versions),
                "newest": row.newest,
                "days_behind": round(row.days_behind, 2),
                "updated_within_seconds": row.updated_within.total_seconds() if row.updated_within else None,
                "why": list(row.why),
                "last_run": row.last_run,
                "last_outcome": row.last_outcome,
                "last_run_at": write_time(row.last_at) if row.last_at is not None else None,
            }
            for row in shown.rows
        ],
        "blocked": {str(version): str(act) for version, act in shown.acts.said.blocked.items()},
        "promoted": {str(version): str(act) for version, act in shown.acts.said.promoted.items()},
        "expedited": {str(version): str(act) for version, act in shown.acts.said.expedited.items()},
    }


def overview_text(shown: FleetOverview) -> str:
    """The same as text, worst first."""
    head = ("cluster", "stage", "state", "versions", "days behind", "last run", "why")
    rows = [head, *(_cells(row) for row in shown.rows)]
    said = shown.acts.said
    acts = [
        *(f"paused {cluster} {shown.acts.paused_by(cluster)}" for cluster in sorted(shown.acts.paused)),
        *(_blocked_line(version, act, shown) for version, act in said.blocked.items()),
        *(f"promoted {version} {act}" for version, act in said.promoted.items()),
        *(f"expedited {version} {act}" for version, act in said.expedited.items()),
        *([f"every version is blocked: {said.unreadable}"] if said.unreadable else []),
    ]
    parts = [[shown.headline], in_columns(rows) if shown.rows else [], acts]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _blocked_line(version: Version, act: Act, shown: FleetOverview) -> str:
    return "; ".join(part for part in (f"blocked {version} {act}", shown.running(version)) if part)


def _cells(row: FleetRow) -> tuple[str, ...]:
    versions = ", ".join(f"{count}x {version}" for version, count in row.versions)
    last = f"{row.last_at:%Y-%m-%d %H:%M} {row.last_outcome}" if row.last_at is not None else "none"
    behind = f"{row.days_behind:.1f}" if row.behind is not None else "0"
    return (
        f"{row.name} ({row.place})" if row.place else row.name,
        row.stage,
        row.state_text,
        versions,
        behind,
        last,
        row.why[0] if row.why else "",
    )
