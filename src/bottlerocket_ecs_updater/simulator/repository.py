"""The TUF repository that hosts update from: versions, waves, the maximum version.

A host sees the versions for its variant and architecture that its wave has reached. The caller passes the time; the
repository has no clock. The rules are those of updog (`update_required`) and update_metadata (`update_ready`),
including quirks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.core.model.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WAVE_SEEDS = 2048
"""Hosts have a seed from 0 to 2047; waves divide that range."""

parse_version = lru_cache(maxsize=4096)(Version.parse)


@dataclass(frozen=True, slots=True)
class Release:
    """One version for one variant and architecture. `waves` are (seed, start time), in seed order."""

    version: str
    variant: str
    arch: str = "x86_64"
    waves: tuple[tuple[int, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class Viewer:
    """A host as the repository sees it: its identity, version and update settings."""

    variant: str
    arch: str
    running: str
    seed: int = 0
    ignore_waves: bool = False
    version_lock: str = "latest"
    max_version: str | None = None
    """A lower maximum version for this host only; None for the repository's own."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The versions listed for one host, newest first, and the one that it would update to."""

    available: tuple[str, ...] = ()
    chosen: str | None = None


@dataclass(slots=True)
class _Shelf:
    """All versions for one variant and architecture, newest first."""

    releases: list[Release] = field(default_factory=list)
    max_version: str = "0.0.0"


def update_ready(waves: tuple[tuple[int, datetime], ...], seed: int, now: datetime) -> bool:
    """Whether a version with these waves is visible to a host with this seed."""
    if not waves:
        return True
    start = next(((at, when) for at, when in reversed(waves) if at < seed), None)
    end = next(((at, when) for at, when in waves if at >= seed), None)
    if start is None:
        return True  # seed 0, or before the first wave: ready at once, even before the first start time
    if end is None:
        return start[1] <= now
    if end[1] <= now:
        return True
    if start[1] > now:
        return False
    # The source multiplies by the seed itself, not by its distance from the wave's start.
    return now >= start[1] + ((end[1] - start[1]) // (end[0] - start[0])) * seed


class Repository:
    """All published versions. They may change at any time; hosts see changes at their next check."""

    def __init__(self, releases: Iterable[Release] = ()) -> None:
        self._shelves: dict[tuple[str, str], _Shelf] = {}
        for release in releases:
            self.publish(release)

    def publish(self, release: Release) -> None:
        """Publish a version, and raise the maximum version for its variant and architecture if that is lower."""
        shelf = self._shelves.setdefault((release.variant, release.arch), _Shelf())
        kept = [other for other in shelf.releases if other.version != release.version]
        shelf.releases = sorted([*kept, release], key=lambda each: parse_version(each.version), reverse=True)
        if parse_version(release.version) > parse_version(shelf.max_version):
            shelf.max_version = release.version

    def retract(self, version: str, variant: str | None = None, arch: str | None = None) -> None:
        """Retract a version, everywhere or for one variant or architecture, as the maintainers do.

        The maximum version becomes the highest one left, so a host that runs the retracted one is offered a
        downgrade.
        """
        for (shelf_variant, shelf_arch), shelf in self._shelves.items():
            if variant in (None, shelf_variant) and arch in (None, shelf_arch):
                shelf.releases = [each for each in shelf.releases if each.version != version]
                if parse_version(shelf.max_version) == parse_version(version):
                    shelf.max_version = shelf.releases[0].version if shelf.releases else "0.0.0"

    def set_max_version(self, version: str, variant: str, arch: str = "x86_64") -> None:
        """Set the maximum version, without removing higher ones from the list."""
        self._shelves.setdefault((variant, arch), _Shelf()).max_version = version

    def releases(self) -> Mapping[tuple[str, str], tuple[Release, ...]]:
        """All published versions, by variant and architecture, newest first."""
        return {key: tuple(shelf.releases) for key, shelf in self._shelves.items()}

    def offer(self, viewer: Viewer, now: datetime) -> Offer:
        """What this host would see now."""
        shelf = self._shelves.get((viewer.variant, viewer.arch))
        if shelf is None:
            return Offer()
        ceiling = parse_version(viewer.max_version or shelf.max_version)
        available = tuple(
            release.version
            for release in shelf.releases
            if parse_version(release.version) <= ceiling
            and (viewer.ignore_waves or update_ready(release.waves, viewer.seed, now))
        )
        return Offer(available, _choose(available, viewer, ceiling))


def _choose(available: tuple[str, ...], viewer: Viewer, ceiling: Version) -> str | None:
    running = parse_version(viewer.running)
    if viewer.version_lock != "latest":
        wanted = parse_version(viewer.version_lock)
        if wanted == running:
            return None
        return next((version for version in available if parse_version(version) == wanted), None)
    if running > ceiling:
        return available[0] if available else None
    return next((version for version in available if running < parse_version(version)), None)
