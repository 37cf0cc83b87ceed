"""The overview of all clusters that share a store, worst first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.passing import NEEDS_A_PERSON
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.model.shared import ClusterStanding, HeldFor
from bottlerocket_ecs_updater.core.model.time_text import DAY, time_text
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.model.wording import counted
from bottlerocket_ecs_updater.core.rules.promotion import SILENT_AFTER
from bottlerocket_ecs_updater.engine.store.shared_state import Acts, place_of_key


class ClusterState(Enum):
    """The state of a cluster, worst first."""

    QUARANTINE = "quarantined"
    FAILED = "run failed"
    UNREADABLE = "cannot be read"
    SILENT = "silent"
    NEEDS_A_PERSON = "needs a person"
    """An instance is held for a reason that does not pass by itself."""
    UNHEALTHY = "not healthy"
    PAUSED = "paused"
    """A person paused updates there."""
    BEHIND = "behind"
    UNKNOWN = "not known"
    CURRENT = "up to date"

    @property
    def bad(self) -> bool:
        """Whether a person should look at it."""
        return self in (
            ClusterState.QUARANTINE,
            ClusterState.FAILED,
            ClusterState.UNREADABLE,
            ClusterState.SILENT,
            ClusterState.NEEDS_A_PERSON,
        )


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One cluster."""

    name: str
    location: Location | None
    """None if the row is not about one cluster."""
    state: ClusterState
    stage: str = ""
    versions: tuple[tuple[str, int], ...] = ()
    newest: str = ""
    behind: timedelta | None = None
    """How long ago a newer version than its oldest instance runs was first seen."""
    why: tuple[str, ...] = ()
    """What is wrong and what holds it, the most important first."""
    eligible: int = 0
    last_run: str = ""
    last_outcome: str = ""
    last_at: datetime | None = None
    looked_at: datetime | None = None
    updated_within: timedelta | None = None
    """From when its version was first seen to when its last instance was updated to it."""
    paused: str = ""
    """Who paused updates there, when and why; empty if they are not paused."""

    @property
    def state_text(self) -> str:
        """The state as text, and whether updates are paused there."""
        paused = ", paused" if self.paused and self.state is not ClusterState.PAUSED else ""
        return f"{self.state.value}{paused}"

    @property
    def place(self) -> str:
        """The account and the Region; empty if the row is not about one cluster."""
        return f"{self.location.account} {self.location.region}" if self.location is not None else ""

    @property
    def days_behind(self) -> float:
        """In days; 0 if it is not behind."""
        return self.behind / DAY if self.behind is not None else 0.0


@dataclass(frozen=True, slots=True)
class FleetOverview:
    """All clusters, and the acts of people on versions."""

    at: datetime
    rows: tuple[FleetRow, ...]
    acts: Acts

    def count(self, state: ClusterState) -> int:
        """How many clusters are in a state."""
        return sum(row.state is state for row in self.rows)

    def running(self, version: Version) -> str:
        """How many clusters have instances on a version, as text; empty if none has."""
        clusters = sum(any(name == str(version) for name, _ in row.versions) for row in self.rows)
        return f"{counted(clusters, 'cluster runs', 'clusters run')} it" if clusters else ""

    @property
    def headline(self) -> str:
        """The overview in one sentence."""
        total = len(self.rows)
        many = counted(total, "cluster")
        counts = [f"{self.count(state)} {state.value}" for state in ClusterState if self.count(state)]
        return f"{many}: {', '.join(counts)}" if counts else "No cluster has reported"


def overview_of(
    standings: Iterable[ClusterStanding],
    unreadable: Mapping[str, str],
    acts: Acts,
    now: datetime,
) -> FleetOverview:
    """The rows, worst first: by state, then by how far behind, then by name."""
    rows = [_row(one, now, acts.paused_by(str(one.place))) for one in standings]
    rows += (_unreadable_row(key, why, acts) for key, why in unreadable.items())
    order = list(ClusterState)
    rows.sort(key=lambda row: (order.index(row.state), -row.days_behind, row.name, row.place))
    return FleetOverview(now, tuple(rows), acts)


def orders(rows: Sequence[FleetRow]) -> Sequence[Mapping[str, int]]:
    """The position of each row in every sort order of the page, so that sorting needs no script."""
    keys: Mapping[str, Callable[[FleetRow], Any]] = {
        "worst": lambda _: 0,
        "name": lambda row: (row.name, row.place),
        "stage": lambda row: (row.stage, row.name),
        "behind": lambda row: (-row.days_behind, row.name),
        "run": lambda row: row.last_at.timestamp() if row.last_at is not None else 0.0,
    }
    placed: list[dict[str, int]] = [{} for _ in rows]
    for order, key in keys.items():
        keyed = [key(row) for row in rows]
        for position, index in enumerate(sorted(range(len(rows)), key=keyed.__getitem__)):
            placed[index][order] = position
    return placed


def _row(one: ClusterStanding, now: datetime, paused: str) -> FleetRow:
    behind = max(timedelta(), now - one.behind_since) if one.behind_since is not None else None
    last = one.last_run
    return FleetRow(
        one.place.name,
        one.place,
        _state(one, now, paused),
        one.stage,
        tuple((str(version), count) for version, count in sorted(one.running.items(), reverse=True)),
        str(one.newest) if one.newest is not None else "",
        behind,
        tuple(_why(one, now, paused)),
        one.eligible,
        last.run,
        last.outcome,
        last.at,
        one.looked_at,
        one.updated_within,
        paused,
    )


_NEEDING_A_PERSON = frozenset(reason.code for reason in NEEDS_A_PERSON)


def _state(one: ClusterStanding, now: datetime, paused: str) -> ClusterState:
    if one.quarantined:
        return ClusterState.QUARANTINE
    if one.last_run.exit_code:
        return ClusterState.FAILED
    if one.silent(SILENT_AFTER, now):
        return ClusterState.SILENT
    if any(held.code in _NEEDING_A_PERSON for held in one.held):
        return ClusterState.NEEDS_A_PERSON
    if one.trouble:
        return ClusterState.UNHEALTHY
    if paused:
        return ClusterState.PAUSED
    if one.behind_since is not None:
        return ClusterState.BEHIND
    return ClusterState.UNKNOWN if one.unknown or not one.eligible else ClusterState.CURRENT


def _why(one: ClusterStanding, now: datetime, paused: str) -> Iterable[str]:
    if one.quarantined:
        yield f"quarantined: {', '.join(one.quarantined)}"
    if one.last_run.exit_code:
        yield f"run {one.last_run.run} ended with {one.last_run.outcome}" + (
            f": {one.last_run.why}" if one.last_run.why else ""
        )
    if one.silent(SILENT_AFTER, now):
        yield f"no run has checked it since {time_text(one.looked_at)}"
    yield from (_held_text(held) for held in one.held if held.code in _NEEDING_A_PERSON)
    yield from (text for text in one.trouble if not text.endswith("quarantined"))
    if paused:
        yield f"updates are paused {paused}"
    if one.suspects:
        yield f"suspect versions: {', '.join(map(str, one.suspects))}"
    said = {*_NEEDING_A_PERSON, Reason.NOT_BOTTLEROCKET.code, *([Reason.PAUSED.code] if paused else [])}
    yield from (_held_text(held) for held in one.held if held.code not in said)
    if one.unknown:
        yield f"{one.unknown} did not report their version"


def _held_text(held: HeldFor) -> str:
    return f"{held.count} held as {held.code}: {held.why}"


def _unreadable_row(key: str, why: str, acts: Acts) -> FleetRow:
    place = place_of_key(key)
    name, paused = place.name if place is not None else key, acts.paused_by(str(place))
    return FleetRow(name, place, ClusterState.UNREADABLE, why=(f"{key}: {why}",), paused=paused)
