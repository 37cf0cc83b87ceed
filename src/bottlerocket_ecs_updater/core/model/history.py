"""What this run and earlier runs did and saw, for rules that need more than the current state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.published import NewestPublished
from bottlerocket_ecs_updater.core.model.version import Version


@dataclass(frozen=True, slots=True)
class PastUpdate:
    """The last update of an instance."""

    version: Version
    at: datetime
    """The earliest time at which ECS can have placed tasks on it on this version."""
    impaired_before: bool = False
    """Whether ECS reported it as IMPAIRED before that update."""


@dataclass(frozen=True, slots=True)
class RecordedDurations:
    """Durations of earlier updates in this cluster, the oldest first."""

    stages: tuple[timedelta, ...] = ()
    drains: tuple[timedelta, ...] = ()
    reboots: tuple[timedelta, ...] = ()


ANY_REASON = "any"
"""Stands for all reasons together: runs may be kept from starting any update for one reason after another."""


@dataclass(frozen=True, slots=True)
class LastingHold:
    """A reason that kept several runs from starting any update, though it should have passed by itself."""

    runs: int
    """How many runs in a row."""
    since: datetime


UNLISTED = "unlisted"
"""The name among groups of tasks for those that ECS counts on an instance but does not list."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """A service or task family whose tasks made drains time out."""

    times: int
    """How many runs in a row."""
    instance: InstanceId
    """The last host whose drain they made time out."""
    first: datetime
    last: datetime
    """When the first and the last of these drains timed out."""
    waited: timedelta = timedelta()
    """How long the last of these drains waited for the tasks; 0 if that is not known."""
    family: str = ""
    """The family of their task definition if they are stopping: tasks of other services with it stop as slowly."""


@dataclass(frozen=True, slots=True)
class BrokenVersion:
    """The evidence of tasks, or of ECS's own health checks, against a version that boots."""

    hosts: tuple[InstanceId, ...]
    services: tuple[str, ...]
    """The groups of the tasks that failed; empty if ECS's health checks are the evidence."""
    words: str
    """The stop reasons of the tasks."""
    at: datetime


@dataclass(frozen=True, slots=True)
class History:
    """The recorded history of updates. Without a state store it holds only what this run did itself."""

    first_seen: Mapping[Version, datetime] = field(default_factory=dict)
    """When each version was first seen, in this cluster or in one that shares the state store."""
    updated: Mapping[InstanceId, PastUpdate] = field(default_factory=dict)
    started_nameless: tuple[datetime, ...] = ()
    """When updates started in the last day whose instances were not recorded."""
    recorded: RecordedDurations = field(default_factory=RecordedDurations)
    started: Mapping[InstanceId, datetime] = field(default_factory=dict)
    """When each instance was last drained for an update, in the last day."""
    found_on: Mapping[InstanceId, PastUpdate] = field(default_factory=dict)
    """Instances on a version that no run had updated them to, and when they were first found on it."""
    failed_on: Mapping[Version, frozenset[InstanceId]] = field(default_factory=dict)
    """Versions that failed after a reboot since a person last released them, and on which instances."""
    released: Mapping[Version, datetime] = field(default_factory=dict)
    """Versions that a person marked as good with `release`, and when."""
    broken: Mapping[Version, BrokenVersion] = field(default_factory=dict)
    """Versions on which tasks failed, since a person last released them."""
    waiting: Mapping[str, LastingHold] = field(default_factory=dict)
    """The reasons, by code, that kept the last runs from starting any update; `ANY_REASON` for all together."""
    blockers: Mapping[str, Blocker] = field(default_factory=dict)
    """Groups of tasks, such as `service:web`, that made the last drain of a host with them time out."""
    published: Mapping[str, NewestPublished] = field(default_factory=dict)
    """The newest version that each public parameter has ever named."""
    troubled: Mapping[Version, frozenset[str]] = field(default_factory=dict)
    """The services that lost tasks by themselves before the first instance was updated to each version."""

    def came_to(self, instance: InstanceId, version: Version) -> datetime | None:
        """When an instance was updated to a version; None if that was not recorded."""
        known = (self.updated.get(instance), self.found_on.get(instance))
        return next((one.at for one in known if one is not None and one.version == version), None)


SUSPECT_AFTER = 2
"""A version is suspect after it failed on this many instances after their reboot. One may be a hardware fault."""
