"""updog: reads the repository, writes images and sets partition flags. It ends with an exit status and a text.

Each command returns a `Work`: how long it holds the lock, and what it does at the end. If the work is interrupted,
nothing happens except the effect of `begin`: prepare discards the old image first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.faults import (
    ActivateError,
    ActivateFails,
    DataVolumeFull,
    HashMismatch,
    MetadataExpired,
    MetadataRegressed,
    RepositoryBlackHole,
    RepositoryDown,
    RepositoryNotFound,
    SlowDownload,
    ThirdVersion,
)
from bottlerocket_ecs_updater.simulator.host.partitions import DISK, PartitionError
from bottlerocket_ecs_updater.simulator.host.status import rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

    from bottlerocket_ecs_updater.simulator.host.machine import HostMachine
    from bottlerocket_ecs_updater.simulator.repository import Offer

REPOSITORY_TIMEOUT = timedelta(seconds=10)
REPOSITORY_TRIES = 5
BACK_OFF = timedelta(milliseconds=220)
"""The time between two tries; tough waits between 100 and 340 ms."""
QUICK = timedelta(milliseconds=300)
PREPARE_JITTER = 0.05


@dataclass(frozen=True, slots=True)
class UpdogResult:
    """How a run of updog ended; `offer` is the result of a successful refresh."""

    exit_status: int = 0
    stderr: str = ""
    offer: Offer | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """A run of updog: it takes time, and takes effect at the end."""

    takes: timedelta
    finish: Callable[[], UpdogResult]


def list_versions(machine: HostMachine) -> Work:
    """`updog whats`: everything that the repository lists for this host."""
    return _unreachable(machine) or Work(machine.spec.timing.refresh, lambda: UpdogResult(offer=machine.offer()))


def prepare(machine: HostMachine) -> Work:
    """`updog update-image`: choose the version again, discard the old image, write the new one."""
    if trouble := _unreachable(machine):
        return trouble
    version = _version_to_write(machine)
    if version is None:
        return Work(QUICK, lambda: UpdogResult(stderr="No update required\n"))
    if machine.active_faults.strike(DataVolumeFull):
        return _fails(
            QUICK,
            "Failed to store manifest and migrations: Error writing target file to "
            "'/var/lib/bottlerocket-migrations/manifest.json': No space left on device (os error 28)",
        )
    try:
        machine.partitions.clear_inactive()
    except PartitionError as refused:
        return _fails(QUICK, str(refused))
    return _write(machine, version)


def activate(machine: HostMachine) -> Work:
    """`updog update-apply`: set the inactive partition set to boot next."""

    def finish() -> UpdogResult:
        if struck := machine.active_faults.strike(ActivateFails):
            return UpdogResult(1, _activate_error(struck.error))
        try:
            machine.partitions.upgrade_to_inactive()
        except PartitionError as refused:
            return UpdogResult(1, f"Could not mark inactive partition for boot: {refused}\n")
        return UpdogResult()

    return Work(machine.spec.timing.activate, finish)


def deactivate(machine: HostMachine) -> Work:
    """`updog update-revert`: set the active partition set to boot next again."""

    def finish() -> UpdogResult:
        try:
            machine.partitions.cancel_upgrade()
        except PartitionError as refused:
            return UpdogResult(1, f"{refused}\n")
        return UpdogResult()

    return Work(machine.spec.timing.activate, finish)


def _version_to_write(machine: HostMachine) -> str | None:
    third = machine.active_faults.active(ThirdVersion)
    chosen = machine.offer().chosen
    return third.version if third and chosen else chosen


def _write(machine: HostMachine, version: str) -> Work:
    slow = machine.active_faults.strike(SlowDownload)
    jitter = machine.chances.uniform(1 - PREPARE_JITTER, 1 + PREPARE_JITTER)
    takes = slow.takes if slow else machine.spec.timing.prepare * jitter
    starting = f"Starting update to {version}\n"

    def finish() -> UpdogResult:
        if machine.active_faults.strike(HashMismatch):
            name = f"bottlerocket-{machine.variant}-{machine.spec.arch}-{version}-root.ext4.lz4"
            got, wanted = (f"{machine.chances.getrandbits(256):064x}" for _ in range(2))
            return UpdogResult(
                1,
                f"{starting}Failed writing update data to disk: "
                f"Hash mismatch for {name}: calculated {got}, expected {wanted}\n",
            )
        machine.partitions.write_inactive(version)
        return UpdogResult(stderr=starting)

    return Work(takes, finish)


def _unreachable(machine: HostMachine) -> Work | None:
    """How updog ends if the metadata is unavailable or not valid; None if it is fine."""
    active_faults = machine.active_faults
    if active_faults.active(RepositoryBlackHole):
        takes = REPOSITORY_TIMEOUT * REPOSITORY_TRIES + BACK_OFF * (REPOSITORY_TRIES - 1)
        return _fails(takes, _fetch_error(machine, "2.root.json", "other"))
    if active_faults.active(RepositoryDown):
        return _fails(BACK_OFF * (REPOSITORY_TRIES - 1), _fetch_error(machine, "2.root.json", "other"))
    if active_faults.active(RepositoryNotFound):
        return _fails(QUICK, _fetch_error(machine, "timestamp.json", "file not found"))
    if expired := active_faults.active(MetadataExpired):
        return _fails(QUICK, _clock_error(machine) if expired.clock_stepped_back else _EXPIRED)
    if active_faults.active(MetadataRegressed):
        return _fails(
            QUICK,
            "Metadata error: Found version 41 of timestamp metadata when we had previously fetched version 42",
        )
    return None


_EXPIRED = "Metadata error: timestamp metadata is expired"


def _fetch_error(machine: HostMachine, file: str, kind: str) -> str:
    url = machine.settings.metadata_base_url + file
    cause = f"error sending request for url ({url})"
    if kind == "file not found":
        cause = f"HTTP status client error (403 Forbidden) for url ({url})"
    return f"Metadata error: Failed to fetch {url}: Transport '{kind}' error fetching '{url}': {cause}"


def _clock_error(machine: HostMachine) -> str:
    now = machine.clock.now()
    return (
        f"Metadata error: System time stepped backward: system time '{rfc3339(now)}', "
        f"last known time '{rfc3339(now + timedelta(hours=1))}'"
    )


def _activate_error(error: ActivateError) -> str:
    match error:
        case ActivateError.OPEN_PARTITION:
            return f"Failed to open partition {DISK}p7: No such device or address (os error 6)\n"
        case ActivateError.NOT_VALID:
            return (
                "Could not mark inactive partition for boot: "
                f"Inactive partition {DISK} has not been marked valid for upgrade\n"
            )


def _fails(takes: timedelta, text: str) -> Work:
    return Work(takes, lambda: UpdogResult(1, f"{text}\n"))
