"""What earlier runs, and this one, did and saw: what rules that reach beyond one moment ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.version import Version


@dataclass(frozen=True, slots=True)
class PastUpdate:
    """The last update of an instance."""

    version: Version
    at: datetime


@dataclass(frozen=True, slots=True)
class RecordedDurations:
    """Durations of earlier updates in this cluster, the oldest first."""

    stages: tuple[timedelta, ...] = ()
    drains: tuple[timedelta, ...] = ()
    reboots: tuple[timedelta, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A reason that has kept runs from beginning anything, though it should have passed by itself."""

    runs: int
    """In how many runs in a row."""
    since: datetime


@dataclass(frozen=True, slots=True)
class Blocker:
    """A service or a task family whose tasks kept drains from their end."""

    times: int
    """In how many runs in a row."""
    instance: InstanceId
    """The last host that they kept from becoming empty."""
    first: datetime
    last: datetime
    """When the first of these drains was given up, and the last one."""


@dataclass(frozen=True, slots=True)
class BrokenVersion:
    """What tasks, or ECS's own checks, said against a version that boots well."""

    hosts: tuple[InstanceId, ...]
    services: tuple[str, ...]
    """The groups of the tasks that failed; empty where ECS's checks said it."""
    words: str
    """The tasks' own words."""
    at: datetime


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered of updates. Empty where there is no state store, but for what this run did itself."""

    first_seen: Mapping[Version, datetime] = field(default_factory=dict)
    """When each release was first seen, in this cluster or in one that shares the store."""
    updated: Mapping[InstanceId, PastUpdate] = field(default_factory=dict)
    begun: tuple[datetime, ...] = ()
    """When instances were begun of which no name was written down, as far back as a day."""
    recorded: RecordedDurations = field(default_factory=RecordedDurations)
    begun_on: Mapping[InstanceId, datetime] = field(default_factory=dict)
    """When each instance was last drained for an update, as far back as a day."""
    found_on: Mapping[InstanceId, PastUpdate] = field(default_factory=dict)
    """Instances that ran a release to which no run had brought them, and when they were first found on it."""
    failed_on: Mapping[Version, frozenset[InstanceId]] = field(default_factory=dict)
    """Releases that failed after a reboot since a person last released them, and on which instances."""
    released: Mapping[Version, datetime] = field(default_factory=dict)
    """Releases that a person declared good, and when."""
    broken: Mapping[Version, BrokenVersion] = field(default_factory=dict)
    """Versions on which tasks failed, since a person last released them."""
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    """The reasons, by their codes, that kept the last runs from beginning anything."""
    blockers: Mapping[str, Blocker] = field(default_factory=dict)
    """Groups of tasks, such as `service:web`, that kept the last drain of a host that carried them from its end."""

    def came_to(self, instance: InstanceId, version: Version) -> datetime | None:
        """When an instance came to a release, None where nobody wrote that down."""
        known = (self.updated.get(instance), self.found_on.get(instance))
        return next((one.at for one in known if one is not None and one.version == version), None)


SUSPECT_AFTER = 2
"""Instances on which a release must fail after the reboot before no further one takes it: one may be hardware."""
