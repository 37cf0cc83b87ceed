"""How far a cluster is with each version: since when it is known, who has it, and how long that took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from bottlerocket_ecs_updater.core.model.event import (
    Event,
    HostChecked,
    InstanceUpdated,
    Rebooted,
    RunFinished,
    StandingPublished,
    VersionSeen,
)
from bottlerocket_ecs_updater.core.model.host_report import HostReport
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import version_of
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.planning.behind import behind

RELEASES = "https://github.com/bottlerocket-os/bottlerocket/releases/tag/v"


def release_notes(version: Version | str) -> str:
    """The address of the public release notes of a version; empty for one that was never released to the public."""
    try:
        parsed = Version.parse(str(version))
    except ValueError:
        return ""
    return "" if parsed.pre or parsed.build else f"{RELEASES}{parsed}"


@dataclass(frozen=True, slots=True)
class VersionProgress:
    """One version that hosts were updated to, or are offered."""

    version: Version
    first_seen: datetime
    took: tuple[timedelta, ...]
    """From then until each instance was updated to it in this run, shortest first."""
    left: int
    """How many instances are still offered it."""
    whole: timedelta | None
    """From then until the last instance of the cluster had it; None if this run did not see that happen."""

    @property
    def median(self) -> timedelta | None:
        """The median of these times; None if the run updated no instance to it."""
        return timedelta(seconds=median(one.total_seconds() for one in self.took)) if self.took else None


@dataclass(frozen=True, slots=True)
class _Host:
    running: Version | None = None
    target: Version | None = None


def first_seen_in(events: Iterable[Event]) -> Mapping[Version, datetime]:
    """When each version was first seen, as the run recorded it."""
    return {event.version: event.first_seen for event in events if isinstance(event, VersionSeen)}


def days_behind(events: Sequence[Event]) -> Mapping[InstanceId, int]:
    """Whole days that each instance was behind at the end of the run; those that are not behind are left out."""
    seen = first_seen_in(events)
    late = ((id_, behind(host.running, host.target, seen)) for id_, host in _hosts(events).items())
    return {id_: one.days(events[-1].at) for id_, one in late if one is not None}


def running_in(events: Sequence[Event]) -> Mapping[InstanceId, Version]:
    """What each instance ran when the run last saw it; those that were not seen are left out."""
    hosts = _hosts(events)
    known = {id_: host.running for id_, host in hosts.items() if host.running is not None}
    for event in events:
        if isinstance(event, RunFinished):
            known |= {id_: version for id_, one in event.outcomes.items() if (version := version_of(one)) is not None}
    return known


def version_progress(events: Sequence[Event]) -> tuple[VersionProgress, ...]:
    """Each version that this run updated instances to, or that instances are still offered; newest first."""
    seen = first_seen_in(events)
    updated = [event for event in events if isinstance(event, InstanceUpdated) and not event.downgrade]
    whole = {
        event.version: event.updated_within
        for event in events
        if isinstance(event, StandingPublished) and event.updated_within is not None
    }
    left = [host.target for host in _hosts(events).values() if host.target is not None]
    found = {*(event.target for event in updated), *left} & seen.keys()
    return tuple(
        VersionProgress(
            version,
            seen[version],
            tuple(sorted(max(timedelta(), one.at - seen[version]) for one in updated if one.target == version)),
            left.count(version),
            whole.get(version),
        )
        for version in sorted(found, reverse=True)
    )


def _hosts(events: Iterable[Event]) -> Mapping[InstanceId, _Host]:
    """What each host of the cluster ran and was offered last."""
    hosts: dict[InstanceId, _Host] = {}
    for event in events:
        match event:
            case HostChecked(instance=id_, answer=HostReport(running=running, target=target)):
                newer = target is not None and target > running
                hosts[id_] = _Host(running, target if newer else None)
            case Rebooted(instance=id_, version=version) | InstanceUpdated(instance=id_, target=version):
                before = hosts.get(id_, _Host()).target
                hosts[id_] = _Host(version, before if before is not None and before > version else None)
            case RunFinished(outcomes=outcomes):
                hosts = {id_: host for id_, host in hosts.items() if id_ in outcomes}
            case _:
                pass
    return hosts
