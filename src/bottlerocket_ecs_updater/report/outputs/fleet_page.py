"""The page of all clusters that share a store, and its JSON.

    fleet/index.json    the standing of every cluster, as the last run that ended saw it
    fleet/index.html    the same as a page

Each run adds its own cluster to the JSON with a conditional write, and then writes the page from it in the same way: of
two runs that end together, the later one writes both clusters. So a run reads as many objects for 300 clusters as for
3. A standing that the JSON lacks is read once, by the next run that writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from bottlerocket_ecs_updater.core.model.event import Event, RunFinished
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.core.model.shared import Act, ClusterStanding
from bottlerocket_ecs_updater.core.model.time_text import write_time
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Store, Stored
from bottlerocket_ecs_updater.engine.store.read_json import Unreadable, read_object
from bottlerocket_ecs_updater.engine.store.shared_state import (
    look_for_acts,
    place_of_key,
    read_standing,
    standing_key,
    standing_keys,
    write_standing,
)
from bottlerocket_ecs_updater.errors import Denied, Unreachable, UpdaterError
from bottlerocket_ecs_updater.report.analysis.fleet_overview import FleetOverview, FleetRow, orders, overview_of
from bottlerocket_ecs_updater.report.words.columns import in_columns

PAGE_FORMAT = 1
JSON_KEY, PAGE_KEY = "fleet/index.json", "fleet/index.html"

PAGE_WRITE_TRIES = 10
"""How often to retry when other runs write between our read and our write."""

READ_AT_ONCE = 500
"""How many standings that the JSON lacks are read by one run. Later runs read the rest."""

Standings = Mapping[str, ClusterStanding]


class FleetPage:
    """Updates the page at the end of a run. If the store fails, only the page is lost."""

    def __init__(self, store: Store, place: Location, warn: Callable[[str], None], *, expected: bool) -> None:
        self._store = store
        self._place = place
        self._warn = warn
        self._expected = expected
        """Whether the stack should allow it: one of an older version does not."""

    def record(self, event: Event) -> None:
        if not isinstance(event, RunFinished) or event.outcome is RunOutcome.LEFT:
            return
        try:
            refresh_fleet_page(self._store, event.at, self._place)
        except Denied as error:
            if self._expected:
                self._warn(f"the page of all clusters could not be written: {error}")
        except UpdaterError as error:
            self._warn(f"the page of all clusters could not be written: {error}")


def refresh_fleet_page(store: Store, now: datetime, own: Location | None = None) -> FleetOverview:
    """Update the JSON and the page with the cluster's new standing. Raises what the store raises."""
    # The tag of the page is older than the data that is written to it. So of two runs that write at the same time, the
    # one with older data finds another tag, and reads again.
    page = store.get(PAGE_KEY)
    gathered = _write_json(store, own)
    for _ in range(PAGE_WRITE_TRIES):
        shown = overview_of(gathered[0].values(), gathered[1], look_for_acts(store), now)
        if _put(store, PAGE_KEY, fleet_html(shown).encode(), page):
            return shown
        page = store.get(PAGE_KEY)
        gathered = _read(store.get(JSON_KEY))
    raise Unreachable(f"{PAGE_KEY} could not be written: other writers keep changing it")


def _write_json(store: Store, own: Location | None) -> tuple[Standings, Mapping[str, str]]:
    """Add what the JSON lacks, and the cluster's own standing. Returns what it has now."""
    for _ in range(PAGE_WRITE_TRIES):
        stored = store.get(JSON_KEY)
        standings, unreadable = _gathered(store, _read(stored), own)
        if _put(store, JSON_KEY, _json(standings, unreadable), stored):
            return standings, unreadable
    raise Unreachable(f"{JSON_KEY} could not be written: other writers keep changing it")


def _gathered(
    store: Store, read: tuple[Standings, Mapping[str, str]], own: Location | None
) -> tuple[Standings, dict[str, str]]:
    """All standings: those in the JSON, new ones, and the cluster's own."""
    keys = set(standing_keys(store))
    mine = standing_key(own) if own is not None else ""
    known = {key: one for key, one in read[0].items() if key in keys and key != mine}
    wanted = [mine, *sorted(keys - known.keys() - {mine})] if mine else sorted(keys - known.keys())
    unreadable: dict[str, str] = {}
    for key in wanted[:READ_AT_ONCE]:
        place, stored = place_of_key(key), store.get(key)
        if place is None or stored is None:
            continue
        try:
            known[key] = read_standing(stored.data, place)
        except Unreadable as problem:
            unreadable[key] = str(problem)
    return known, unreadable


def _put(store: Store, key: str, data: bytes, before: Stored | None) -> bool:
    try:
        store.put(key, data, before.tag if before is not None else ABSENT)
    except Conflict:
        return False
    return True


def _json(standings: Standings, unreadable: Mapping[str, str]) -> bytes:
    lines = ",\n".join(
        f"{json.dumps(key)}:{json.dumps(json.loads(write_standing(one)), separators=(',', ':'))}"
        for key, one in sorted(standings.items())
    )
    return (
        f'{{"format":{PAGE_FORMAT},"unreadable":{json.dumps(dict(unreadable))},"clusters":{{\n{lines}\n}}}}\n'.encode()
    )


def _read(stored: Stored | None) -> tuple[Standings, Mapping[str, str]]:
    """The stored JSON; empty if it cannot be read, because it can be made again from the standings."""
    if stored is None:
        return {}, {}
    try:
        return read_object(stored.data, _shape)
    except Unreadable:
        return {}, {}


def _shape(value: Mapping[str, Any]) -> tuple[Standings, Mapping[str, str]]:
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
        f"{row.name} ({row.place})",
        row.stage,
        row.state.value,
        versions,
        behind,
        last,
        row.why[0] if row.why else "",
    )
