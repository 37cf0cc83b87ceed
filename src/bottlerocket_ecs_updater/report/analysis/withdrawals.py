"""Versions that AWS withdrew, which some instances may run by now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bottlerocket_ecs_updater.core.model.event import Event, VersionWithdrawn
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.model.wording import counted
from bottlerocket_ecs_updater.report.analysis.version_progress import running_in


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A version that was published for a build of Bottlerocket, and no longer is."""

    version: Version
    build: str
    """Variant and architecture, such as `aws-ecs-2/x86_64`."""
    latest: Version
    """The newest version that is published now."""
    since: datetime
    """When a run first saw it."""
    instances: tuple[InstanceId, ...]
    """Those that ran it when the run last saw them. They are of any build: a record does not say which each has."""

    def __str__(self) -> str:
        if not self.instances:
            return f"AWS withdrew {self.version}"
        return f"AWS withdrew {self.version}, which {counted(len(self.instances), 'instance runs', 'instances run')}"


def withdrawals(events: Sequence[Event]) -> tuple[Withdrawal, ...]:
    """The withdrawals that a run recorded, in its order."""
    found = [event for event in events if isinstance(event, VersionWithdrawn)]
    running = running_in(events) if found else {}
    return tuple(
        Withdrawal(
            event.version,
            event.build,
            event.latest,
            event.since,
            tuple(sorted(id_ for id_, version in running.items() if version == event.version)),
        )
        for event in found
    )
