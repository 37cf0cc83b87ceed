"""What clusters that share a state store tell each other: where each stands, and what people said of versions.

Everything here was written by another run, on a machine with another clock, or by a person. `core.rules.promotion` says
what follows from it, and `core.planning.cluster_standing` makes a cluster's own standing.
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
    """What a person said of a version: who, when and why."""

    who: str
    at: datetime
    why: str = ""

    def __str__(self) -> str:
        return f"by {self.who} since {time_text(self.at)}{': ' if self.why else ''}{self.why}"


@dataclass(frozen=True, slots=True)
class Promotion(Act):
    """The version needs no other stage any more."""

    stages: tuple[str, ...] = ()
    """The stages that it is promoted to; all of them where none is named."""

    def covers(self, stage: str) -> bool:
        """Whether a cluster of that stage may take the version."""
        return not self.stages or stage in self.stages


@dataclass(frozen=True, slots=True)
class Expedite(Act):
    """The version waits neither for its age, nor for promotion, nor at checkpoints."""

    windows: bool = False
    """Whether it does not wait for maintenance windows either."""
    freezes: bool = False
    """Whether it does not wait for the end of a freeze either."""


@dataclass(frozen=True, slots=True)
class VersionActs:
    """Everything that people said of versions, and have not taken back."""

    blocked: Mapping[Version, Act] = field(default_factory=dict)
    promoted: Mapping[Version, Promotion] = field(default_factory=dict)
    expedited: Mapping[Version, Expedite] = field(default_factory=dict)
    unreadable: str = ""
    """Why nobody can tell what they said; empty where that was read. A block may be among it."""


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
    """What a cluster's last run left for the others. Its times are of the clocks of its own runs."""

    place: Location
    stage: str
    looked_at: datetime
    """When a run last saw the whole cluster: what is said here was so then."""
    last_run: LastRun
    eligible: int = 0
    """Instances that the updater looks after."""
    unknown: int = 0
    """Those of them that did not say what they run."""
    running: Mapping[Version, int] = field(default_factory=dict)
    since: Mapping[Version, datetime] = field(default_factory=dict)
    """Since when the whole cluster has run the version or a newer one, and has been healthy at every look."""
    finished: Mapping[Version, datetime] = field(default_factory=dict)
    """When every instance was first seen on the version or a newer one, healthy or not."""
    trouble: tuple[str, ...] = ()
    """What was not healthy at the last look."""
    quarantined: tuple[str, ...] = ()
    suspects: Mapping[Version, int] = field(default_factory=dict)
    """Versions that failed after a reboot and were not released since, and on how many instances."""
    newest: Version | None = None
    """The newest version that an instance runs, or is offered."""
    behind_since: datetime | None = None
    """When a newer version than the oldest instance runs was first seen; None where all run the newest."""
    updated_within: timedelta | None = None
    """From the first sight of the version that all run to the last instance that came to it."""
    held: tuple[HeldFor, ...] = ()
    waits_for: tuple[str, ...] = ()
    """The stages that must finish a version before this cluster takes it."""
    peers: tuple[Location, ...] = ()
    """The clusters of those stages that were seen so far: one that is missing later has lost its standing."""

    @property
    def lowest(self) -> Version | None:
        """The oldest version that runs; None while an instance has not said, or where there is none."""
        known = self.running if self.eligible and not self.unknown else {}
        return min(known, default=None)

    def healthy_since(self, version: Version) -> datetime | None:
        """Since when all of it has run the version or a newer one without trouble; None where it does not now."""
        if self.trouble or self.lowest is None or self.lowest < version:
            return None
        return min((at for one, at in self.since.items() if one >= version), default=None)

    def silent(self, limit: timedelta, now: datetime) -> bool:
        """Whether no run has seen the cluster for longer than the limit."""
        return now - self.looked_at > limit


@dataclass(frozen=True, slots=True)
class Shared:
    """What the other clusters, and people, said. Empty without a state store."""

    acts: VersionActs = field(default_factory=VersionActs)
    standings: tuple[ClusterStanding, ...] = ()
    """Of the clusters in the stages that this one waits for."""
    unreadable: tuple[str, ...] = ()
    """Standings that are there and cannot be read: any of them may be of a stage that this cluster waits for."""
    lost: tuple[Location, ...] = ()
    """Clusters of those stages that were seen earlier, and have no standing now."""
    circle: tuple[str, ...] = ()
    """Stages that wait for each other, this cluster's own among them; empty where there are none."""


def circle_of(stage: str, waits_for: Iterable[str], standings: Iterable[ClusterStanding]) -> tuple[str, ...]:
    """Stages that wait for each other in a circle that this cluster is part of; empty where there is none."""
    edges: dict[str, set[str]] = {}
    for candidate in standings:
        edges.setdefault(candidate.stage, set()).update(candidate.waits_for)
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
