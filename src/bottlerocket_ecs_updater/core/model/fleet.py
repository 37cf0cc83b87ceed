"""The fleet: everything known about the cluster at one time. Decisions are made from it and the policy alone.

`Instance` combines four sources: ECS (`Registration`, `Tasks`), Systems Manager (`PingStatus`, commands), the host
itself (`CheckAnswer`), and this run's own record (`RunProgress`). A source that has not answered is None; nothing is
guessed.
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
from bottlerocket_ecs_updater.core.model.published import PublishedState
from bottlerocket_ecs_updater.core.model.resources import Definition, VolumeLimit
from bottlerocket_ecs_updater.core.model.services import Health, Service, Services, Slot
from bottlerocket_ecs_updater.core.model.shared import Shared
from bottlerocket_ecs_updater.core.model.version import Version

NO_SERVICE, DAEMONS = "no service", "daemon services"
"""Among service names, which have no spaces."""

ABOUT_AS_LONG = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Durations:
    """How long drains and reboots usually take, as runs have seen. Polling much earlier only costs calls."""

    drain: timedelta | None = None
    """From a drain until the look that finds the instance empty."""
    stops: Mapping[str, timedelta] = field(default_factory=dict)
    """From the drain until all tasks of a service have stopped, by its name.

    `NO_SERVICE` stands for daemon services on hosts without other tasks. On other hosts, `DAEMONS` is how much later
    they have stopped.
    """
    reboots: Mapping[str, timedelta] = field(default_factory=dict)
    """By instance type."""
    reboot: timedelta | None = None
    """For any other type; None if no earlier run recorded reboots."""

    def reboot_of(self, instance: Instance) -> timedelta | None:
        """How long the reboot of an instance usually takes; None if nothing is known."""
        return self.reboots.get(instance.type, self.reboot)

    def drain_of(self, instance: Instance) -> timedelta | None:
        """How long the drain of an instance usually takes; None if no task like those on it has been seen to stop.

        It is over when the slowest of them has stopped. Instances that take about as long are expected together.
        """
        drain = instance.progress.drain
        moving = (drain.moving if drain is not None else None) or instance.services_to_move
        known = [self.stops[name] for name in moving or (NO_SERVICE,) if name in self.stops]
        after = self.stops.get(DAEMONS, timedelta()) if moving else timedelta()
        if not known:
            return None
        stops = max(known) + after
        return min(max(self.drain, stops - ABOUT_AS_LONG), stops + ABOUT_AS_LONG) if self.drain is not None else stops


@dataclass(frozen=True, slots=True)
class Halt:
    """The run starts no more updates, finishes those in progress, and needs a person to look."""

    why: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """One cluster at one time."""

    run: RunId
    started_at: datetime
    at: datetime
    """The time of this look, which counts as now in all decisions."""
    full_at: datetime
    """When all instances were last listed and described."""
    instances: Mapping[InstanceId, Instance]
    services: Services | None = None
    slots: tuple[Slot, ...] = ()
    durations: Durations = Durations()
    halt: Halt | None = None
    stopping: str = ""
    """Why the run must start no more updates, such as a signal; empty while it may."""
    blocked: str = ""
    """A denied AWS call without which no update can be finished; empty if there is none."""
    hosts_denied: bool = False
    """Whether AWS denies sending commands to hosts, or reading their results."""
    suspects: Mapping[Version, int] = field(default_factory=dict)
    """Versions that failed after a reboot, each with the number of instances of this cluster it failed on."""
    past: History = field(default_factory=History)
    """The history in this cluster's ledger, including what this run has done."""
    read_lag: timedelta = timedelta()
    """The longest time for which looks of this run still showed the state before a call that ECS had confirmed."""
    attributes_survive: bool = False
    """Whether an attribute was seen on an instance of this cluster after its reboot."""
    plain_reboots: bool = False
    """Whether the reboot document takes no parameters, so that the run checks each host right before its reboot."""
    rival_at: datetime | None = None
    """When the claim of a run with another state store last appeared or disappeared."""
    store: str = ""
    """A short name of this run's state store; empty if it has none."""
    surveyed: bool = False
    """Whether instances are surveyed before their update starts."""
    health: Health | None = None
    """The operator's alarms and probes; None if there are none."""
    calendars: Mapping[str, CalendarState] = field(default_factory=dict)
    """The change calendars that updates wait for, by ARN."""
    published: Mapping[str, PublishedState] = field(default_factory=dict)
    """The newest published version, by public parameter."""
    rules_off: Mapping[str, str] = field(default_factory=dict)
    """The rules that are off because AWS does not allow or offer their call, each with the error."""
    definitions: Mapping[str, Definition] | None = None
    """Task definitions read so far; None if they cannot be read, and then room for tasks is not checked."""
    providers: Mapping[str, CapacityProvider] | None = None
    """The capacity providers of its instances and services, by name; None if they were not read."""
    interfaces: Mapping[str, int] | None = None
    """How many network interfaces an instance has, by instance type; None if that was not read."""
    volumes: Mapping[str, VolumeLimit] | None = None
    """How many EBS volumes an instance can have for tasks, by instance type; None if that was not read."""
    own: OwnTask | None = None
    """The task that this run runs in; None if it does not run in a task, or does not know."""
    launches: Launches | None = None
    """How its Auto Scaling groups launch instances; None if that was not read."""
    shared: Shared = field(default_factory=Shared)
    """What other clusters that share the state store, and people, recorded."""

    @property
    def paused(self) -> str:
        """Who paused updates, and why; empty if they are not paused."""
        return self.shared.paused

    @property
    def all_services(self) -> tuple[Service, ...]:
        """The services that may have tasks on our hosts; empty also if they were not read."""
        return self.services.all if self.services is not None else ()
