"""Everything we know at one moment: what core decides on.

`Instance` gathers what four witnesses say of one instance: ECS (`Registration`, `Task`), Systems Manager
(`Reach`, commands), the host itself (`Told`), and the run's own record (`Trail`). A witness that has not been
heard is None, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.auto_scaling import Launches
from bottlerocket_ecs_updater.core.model.calendars import CalendarState
from bottlerocket_ecs_updater.core.model.capacity_provider import CapacityProvider
from bottlerocket_ecs_updater.core.model.history import History
from bottlerocket_ecs_updater.core.model.ids import (
    InstanceId,
    OwnTask,
    RunId,
)
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.resources import Definition
from bottlerocket_ecs_updater.core.model.services import Health, Services, Slot
from bottlerocket_ecs_updater.core.model.shared import Shared
from bottlerocket_ecs_updater.core.model.version import Version


@dataclass(frozen=True, slots=True)
class Durations:
    """The shortest drain and reboot seen in this run: before that, looking is waste."""

    drain: timedelta | None = None
    reboot: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Halt:
    """The run starts nothing more; what is in flight finishes; a person must look."""

    why: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """One cluster, at one moment."""

    run: RunId
    started_at: datetime
    at: datetime
    """When this look was taken."""
    full_at: datetime
    """When all instances were last listed and described."""
    instances: Mapping[InstanceId, Instance]
    services: Services | None = None
    slots: tuple[Slot, ...] = ()
    durations: Durations = Durations()
    halt: Halt | None = None
    stopping: str = ""
    """Why the run was told to begin nothing more; empty while it may."""
    blocked: str = ""
    """What AWS does not let us do, so that no update can be brought to its end; empty while it lets us."""
    hosts_mute: bool = False
    """Whether AWS does not let us send commands to hosts, or hear their answers."""
    suspects: Mapping[Version, int] = field(default_factory=dict)
    """Releases that failed after a reboot, and on how many instances of this cluster."""
    past: History = field(default_factory=History)
    """What this cluster's ledger remembers, this run's own deeds included."""
    paused: str = ""
    """Who paused the updates, and why; empty while nobody did."""
    attributes_survive: bool = False
    """Whether an attribute was seen on an instance of this cluster after its reboot."""
    rival_at: datetime | None = None
    """When the claim of a run with another store last appeared, or was gone."""
    store: str = ""
    """A short name of the state store that this run shares with others; empty for a run that has none."""
    surveyed: bool = False
    """Whether instances are surveyed before they begin."""
    health: Health | None = None
    """What the operator watches beside the services, None where that is nothing."""
    calendars: Mapping[str, CalendarState] = field(default_factory=dict)
    """The change calendars that updates wait for, by ARN."""
    definitions: Mapping[str, Definition] | None = None
    """Task definitions that were read so far, None where they cannot be read: then nobody asks whether tasks fit."""
    providers: Mapping[str, CapacityProvider] | None = None
    """The capacity providers of its instances and services by name, None where they were not read."""
    interfaces: Mapping[str, int] | None = None
    """How many network interfaces an instance has, by its type; None where that was not read."""
    own: OwnTask | None = None
    """The task that this run is, None where it is none or cannot tell."""
    launches: Launches | None = None
    """How its Auto Scaling groups start instances, None where nobody looked."""
    shared: Shared = field(default_factory=Shared)
    """What other clusters that share the state store, and people, said of versions."""
