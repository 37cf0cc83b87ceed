"""What earlier runs, and this one, did and saw: what rules that reach beyond one moment ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.ids import InstanceId
from bottlerocket_ecs_updater.core.version import Version


@dataclass(frozen=True, slots=True)
class PastUpdate:
    """The last update of an instance."""

    version: Version
    at: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """Durations of earlier updates in this cluster, the oldest first."""

    stages: tuple[timedelta, ...] = ()
    drains: tuple[timedelta, ...] = ()
    reboots: tuple[timedelta, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """What is remembered of updates. Empty where there is no state store, but for what this run did itself."""

    first_seen: Mapping[Version, datetime] = field(default_factory=dict)
    """When each release was first seen, in this cluster or in one that shares the store."""
    updated: Mapping[InstanceId, PastUpdate] = field(default_factory=dict)
    begun: tuple[datetime, ...] = ()
    """When instances were begun, as far back as a day."""
    recorded: Recorded = field(default_factory=Recorded)
