"""What clusters that share a state store publish to each other: their own standing, and which versions people promoted,
blocked or expedited.

Another run, on a machine with another clock, or a person wrote each of these. `core.rules.promotion` applies it, and
`core.planning.cluster_standing` makes a cluster's own standing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.time_text import time_text
from bottlerocket_ecs_updater.core.model.version import Version


@dataclass(frozen=True, slots=True)
class Act:
    """What a person decided: who, when and why."""

    who: str
    at: datetime
    why: str = ""

    def __str__(self) -> str:
        return f"by {self.who} since {time_text(self.at)}{': ' if self.why else ''}{self.why}"


@dataclass(frozen=True, slots=True)
class Promotion(Act):
    """A person promoted the version, so it no longer waits for other stages."""

    stages: tuple[str, ...] = ()
    """The stages that it is promoted to; empty for all."""

    def __str__(self) -> str:
        where = f"to stage {', '.join(self.stages)} " if self.stages else ""
        return f"{where}{Act.__str__(self)}"

    def covers(self, stage: str) -> bool:
        """Whether a cluster of that stage may take the version."""
        return not self.stages or stage in self.stages


@dataclass(frozen=True, slots=True)
class Expedite(Act):
    """A person expedited the version: it does not wait for its age, for promotion or at checkpoints."""

    windows: bool = False
    """Whether it also ignores maintenance windows."""
    freezes: bool = False
    """Whether it also ignores freezes."""

    def __str__(self) -> str:
        ignored = [name for name, yes in (("windows", self.windows), ("freezes", self.freezes)) if yes]
        how = f"ignoring {' and '.join(ignored)} " if ignored else ""
        return f"{how}{Act.__str__(self)}"


@dataclass(frozen=True, slots=True)
class VersionActs:
    """Everything that people decided about versions and have not undone."""

    blocked: Mapping[Version, Act] = field(default_factory=dict)
    promoted: Mapping[Version, Promotion] = field(default_factory=dict)
    expedited: Mapping[Version, Expedite] = field(default_factory=dict)
    unreadable: str = ""
    """Why these acts could not be read; empty if they were. A block may be among them."""


@dataclass(frozen=True, slots=True)
class HeldFor:
    """Instances that are held for one reason."""

    code: str
    count: int
    why: str
    """The sentence of one of them."""


@dataclass(frozen=True, slots=True)
class LastRun:
    """How the last run on a cluster ended."""

    run: str
    outcome: str
    exit_code: int
    at: datetime
    why: str = ""


@dataclass(frozen=True, slots=True)
class ClusterStanding:
    """The state of a cluster, published by its last run for the others. Its times come from its own runs' clocks."""

    place: Location
    stage: str
    looked_at: datetime
    """When a run last saw the whole cluster. Everything here was true at that time."""
    last_run: LastRun
    eligible: int = 0
    """Instances that the updater keeps up to date."""
    unknown: int = 0
    """How many of them have not reported their version."""
    running: Mapping[Version, int] = field(default_factory=dict)
    since: Mapping[Version, datetime] = field(default_factory=dict)
    """Since when the whole cluster has run the version or a newer one, and has been healthy at every look."""
    finished: Mapping[Version, datetime] = field(default_factory=dict)
    """When every instance was first seen on the version or a newer one, healthy or not."""
    trouble: tuple[str, ...] = ()
    """What was not healthy at the last look."""
    quarantined: tuple[str, ...] = ()
    suspects: Mapping[Version, int] = field(default_factory=dict)
    """Versions that failed after a reboot and were not released since, each with its number of instances."""
    newest: Version | None = None
    """The newest version that an instance runs or is offered."""
    behind_since: datetime | None = None
    """When a version newer than the oldest in the cluster was first seen; None if all run the newest."""
    updated_within: timedelta | None = None
    """From when the version that all run was first seen until the last instance ran it."""
    held: tuple[HeldFor, ...] = ()
    waits_for: tuple[str, ...] = ()
    """The stages that must finish a version before this cluster takes it."""
    peers: tuple[Location, ...] = ()
    """The clusters of those stages seen so far. One that is missing later has lost its standing."""

    @property
    def lowest(self) -> Version | None:
        """The oldest version in the cluster; None if an instance has not reported its version, or if there is none."""
        known = self.running if self.eligible and not self.unknown else {}
        return min(known, default=None)

    def healthy_since(self, version: Version) -> datetime | None:
        """Since when the whole cluster has run the version or a newer one and been healthy; None if it does not now."""
        if self.trouble or self.lowest is None or self.lowest < version:
            return None
        return min((at for one, at in self.since.items() if one >= version), default=None)

    def silent(self, limit: timedelta, now: datetime) -> bool:
        """Whether no run has seen the cluster for longer than the limit."""
        return now - self.looked_at > limit


@dataclass(frozen=True, slots=True)
class Shared:
    """What other clusters and people recorded. Empty without a state store."""

    acts: VersionActs = field(default_factory=VersionActs)
    standings: tuple[ClusterStanding, ...] = ()
    """The standings of the clusters in the stages that this one waits for."""
    unreadable: tuple[str, ...] = ()
    """Standings that cannot be read. Any of them may belong to a stage that this cluster waits for."""
    lost: tuple[Location, ...] = ()
    """Clusters of those stages that were seen earlier and have no standing now."""
    paused: str = ""
    """Who paused updates on this cluster, when and why; empty if they are not paused."""
    forgotten: frozenset[Location] = frozenset()
    """Clusters without a standing that a person removed."""


def circle_of(stage: str, waits_for: Iterable[str], standings: Iterable[ClusterStanding]) -> tuple[str, ...]:
    """Stages that wait for each other in a circle that includes this cluster's stage; empty if there is none."""
    edges: dict[str, set[str]] = {}
    for standing in standings:
        edges.setdefault(standing.stage, set()).update(standing.waits_for)
    return _path_back(stage, (stage,), waits_for, edges) if stage else ()


def _path_back(
    home: str, path: tuple[str, ...], waits_for: Iterable[str], edges: Mapping[str, Iterable[str]]
) -> tuple[str, ...]:
    seen = {path[-1]}
    left = [(path, one) for one in sorted(waits_for)]
    while left:
        so_far, stage = left.pop()
        if stage == home:
            return (*so_far, home)
        if stage not in seen:
            seen.add(stage)
            left += (((*so_far, stage), one) for one in sorted(edges.get(stage, ())))
    return ()
