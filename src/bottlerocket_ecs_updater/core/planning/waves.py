"""Waves: which clusters of an account and Region are run in which order, how many at once, and what stops the rest.

    [fleet]
    clusters    = ["*"]            # name patterns, of which one must match
    leave-out   = ["legacy-*"]
    tag         = "updater=on"     # of the cluster, where only tagged ones are meant
    concurrency = 10
    stop-after  = "1"              # clusters that fail in a wave before no further wave begins; or "20%"
    bake        = "15m"            # between waves
    approve     = [3]              # a person is asked before these waves

    [cluster."staging-*"]
    wave = 1

A wave only starts runs. Whether a cluster takes a version is its own decision, by its own policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase

from bottlerocket_ecs_updater.core.rules.policy import Limit

CONCURRENCY_MAX = 40
"""Source: "Map state processing modes": an inline Map runs up to 40 iterations at once."""

CLUSTERS_MAX = 1000
"""Names are at most 255 characters, and a state takes 256 KiB; 25,000 events are 20 for each of a thousand."""

WAVE_MAX = 99
ONE = Limit(number=1)


@dataclass(frozen=True, slots=True)
class FleetRules:
    """How the clusters of an account and Region are gone through."""

    clusters: tuple[str, ...] = ("*",)
    leave_out: tuple[str, ...] = ()
    tag: tuple[str, str] | None = None
    concurrency: int = 10
    stop_after: Limit = ONE
    bake: timedelta = timedelta()
    approve: tuple[int, ...] = ()

    def takes(self, name: str, tags: Mapping[str, str]) -> bool:
        """Whether a cluster is one of those that are gone through."""
        named = any(fnmatchcase(name, pattern) for pattern in self.clusters)
        left_out = any(fnmatchcase(name, pattern) for pattern in self.leave_out)
        tagged = self.tag is None or tags.get(self.tag[0]) == self.tag[1]
        return named and tagged and not left_out


@dataclass(frozen=True, slots=True)
class Found:
    """A cluster that was found, and the wave that its settings put it into."""

    name: str
    wave: int


@dataclass(frozen=True, slots=True)
class Wave:
    """Clusters that are run together."""

    number: int
    clusters: tuple[str, ...]
    concurrency: int
    stop_after: int
    """So many clusters must fail before no further wave begins."""
    bake: timedelta
    """After it, where another one follows."""
    approve: bool


def waves_of(found: Iterable[Found], rules: FleetRules) -> Sequence[Wave]:
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
        )
        for number, names in sorted(by_number.items())
    )


def waves_json(waves: Iterable[Wave]) -> dict[str, object]:
    """What the state machine reads."""
    return {
        "waves": [
            {
                "number": wave.number,
                "clusters": list(wave.clusters),
                "concurrency": wave.concurrency,
                "stop_after": wave.stop_after,
                "bake": int(wave.bake.total_seconds()),
                "approve": wave.approve,
            }
            for wave in waves
        ]
    }
