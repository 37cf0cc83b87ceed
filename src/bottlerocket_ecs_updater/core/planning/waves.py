"""Waves: in which order the clusters of an account and Region run, how many at once, and when to stop.

    [fleet]
    clusters    = ["*"]            # name patterns; one of them must match
    leave-out   = ["legacy-*"]
    tag         = "updater=on"     # only clusters with this tag
    concurrency = 10
    stop-after  = "1"              # failed clusters in a wave that stop the waves after it; or "20%"
    bake        = "15m"            # between waves
    approve     = [3]              # a person approves before these waves, if they have updates to start
    approve-within = "12h"         # within this time

    [cluster."staging-*"]
    wave = 1

A wave only starts runs. Each cluster's own policy decides whether it takes a version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from fnmatch import fnmatchcase

from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.model.shared import ClusterStanding
from bottlerocket_ecs_updater.core.model.time_text import duration_text
from bottlerocket_ecs_updater.core.rules.policy import ONE_INSTANCE, Limit

CONCURRENCY_MAX = 40
"""Source: "Map state processing modes": an inline Map runs up to 40 iterations at once."""

CLUSTERS_MAX = 700
"""An execution has at most 25,000 events: 12 for a cluster without problems, and 35 for one whose task starts at the
fifth try and then fails."""

STATE_MAX_BYTES = 256 * 1024
"""Source: "Step Functions service quotas": the input or output of a state."""

FAILURE_BYTES = 160
"""The text about a failed cluster in a state, besides its name: an exit code, or the first words of ECS's reason."""

REST_BYTES = 2048
"""Subnets, counts and names of keys."""

WAVE_MAX = 99

LEASE_WAIT = timedelta(hours=12)
"""How long a run of a wave waits if another run acts on its cluster.

The state machine ends a run after a day, and by default the next execution starts after 12 hours. So a run of the
previous execution has ended by then.
"""

BAKE_MAX = timedelta(days=1)
"""A longer wait would overlap the next release. Promotion waits for days, outside the execution."""

APPROVE_WITHIN = timedelta(hours=12)
"""The period of the stack's schedule by default. A longer limit leaves several requests open at once."""

APPROVE_MIN, APPROVE_MAX = timedelta(minutes=1), timedelta(days=7)


@dataclass(frozen=True, slots=True)
class FleetRules:
    """Which clusters of an account and Region run, and how."""

    clusters: tuple[str, ...] = ("*",)
    leave_out: tuple[str, ...] = ()
    tag: tuple[str, str] | None = None
    concurrency: int = 10
    stop_after: Limit = ONE_INSTANCE
    bake: timedelta = timedelta()
    approve: tuple[int, ...] = ()
    approve_within: timedelta = APPROVE_WITHIN

    def takes(self, name: str, tags: Mapping[str, str]) -> bool:
        """Whether a cluster is among those that run."""
        named = any(fnmatchcase(name, pattern) for pattern in self.clusters)
        left_out = any(fnmatchcase(name, pattern) for pattern in self.leave_out)
        tagged = self.tag is None or tags.get(self.tag[0]) == self.tag[1]
        return named and tagged and not left_out


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """A cluster that was found, and its wave by its settings."""

    name: str
    wave: int


@dataclass(frozen=True, slots=True)
class Wave:
    """Clusters that run together."""

    number: int
    clusters: tuple[str, ...]
    concurrency: int
    stop_after: int
    """After this many failed clusters, no further wave starts."""
    bake: timedelta
    """How long to wait after this wave if another one follows."""
    approve: bool
    approve_within: timedelta = APPROVE_WITHIN
    """How long a person may take to approve it."""
    finish_only: bool = False
    """Whether its runs start no update: it must be approved, and nothing is known that a person could approve."""

    def with_news(self, standings: Mapping[str, ClusterStanding]) -> Wave:
        """The wave as it runs: a person is asked only if one of its clusters may have an update to start.

        Its runs then look for new versions without starting an update, and the next execution asks about what they
        found. `standings` are by cluster name; a cluster without one may have an update.
        """
        if not self.approve or any(name not in standings or may_start(standings[name]) for name in self.clusters):
            return self
        return replace(self, approve=False, finish_only=True)


UNFINISHED = frozenset(
    {
        Reason.FINISH_ONLY,
        Reason.BUDGET,
        Reason.ZONE_BUDGET,
        Reason.SETTLING,
        Reason.STAGING_AHEAD,
        Reason.HALTED,
        Reason.STOPPING,
        Reason.NOT_REACHED,
        Reason.OWN_HOST_LAST,
    }
)
"""Holds of instances that the next run may update: nothing spoke against it but this run itself."""


def may_start(standing: ClusterStanding) -> bool:
    """Whether the next run on a cluster may start an update, as far as its last run saw."""
    codes = {reason.code for reason in UNFINISHED}
    return standing.last_run.exit_code == 1 or any(one.code in codes for one in standing.held)


def waves_of(found: Iterable[FoundCluster], rules: FleetRules) -> Sequence[Wave]:
    """The clusters in their order: waves by number, names within."""
    by_number: dict[int, list[str]] = {}
    for one in found:
        by_number.setdefault(one.wave, []).append(one.name)
    return tuple(
        Wave(
            number,
            tuple(sorted(names)),
            min(rules.concurrency, CONCURRENCY_MAX),
            rules.stop_after.of(len(names)),
            rules.bake,
            number in rules.approve,
            rules.approve_within,
        )
        for number, names in sorted(by_number.items())
    )


def state_bytes(waves: Iterable[Wave]) -> int:
    """The most that a state of the machine can take, which is when every cluster has failed."""
    waves = tuple(waves)
    failures = sum(len(name) + FAILURE_BYTES for wave in waves for name in wave.clusters)
    return len(json.dumps(waves_json(waves))) + failures + REST_BYTES


_COMMAND = ("run", "--lease-wait", duration_text(LEASE_WAIT))
"""A wave has ended when a run of this execution has ended on each of its clusters: one that would leave because another
run holds the lease says nothing about the cluster, so it waits."""


def waves_json(waves: Iterable[Wave]) -> dict[str, object]:
    """The input of the state machine."""
    return {
        "waves": [
            {
                "number": wave.number,
                "clusters": list(wave.clusters),
                "concurrency": wave.concurrency,
                "stop_after": wave.stop_after,
                "bake": int(wave.bake.total_seconds()),
                "approve": wave.approve,
                "approve_within": int(wave.approve_within.total_seconds()),
                "command": [*_COMMAND, "--finish-only"] if wave.finish_only else [*_COMMAND],
            }
            for wave in waves
        ]
    }
