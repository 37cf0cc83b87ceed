"""The state that the programs on one host share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.faults import (
    BootHangs,
    ControlContainerMissing,
    DockerDead,
    DowngradeOffered,
    GpusGone,
    GrubFails,
    HealthImpaired,
    RollsBack,
    SingleBank,
    TasksBreak,
    VariantEnded,
    VersionLocked,
    WaveLate,
)
from bottlerocket_ecs_updater.simulator.host.active_faults import ActiveFaults
from bottlerocket_ecs_updater.simulator.host.partitions import Partitions
from bottlerocket_ecs_updater.simulator.host.status import Image
from bottlerocket_ecs_updater.simulator.repository import Offer, Repository, Viewer

if TYPE_CHECKING:
    import random

    from bottlerocket_ecs_updater.simulator.clock import WorldClock
    from bottlerocket_ecs_updater.simulator.host.spec import HostSpec


@dataclass(slots=True)
class Settings:
    """`settings.updates.*`: on the data volume, so they survive boots and updates."""

    seed: int
    ignore_waves: bool
    version_lock: str
    metadata_base_url: str

    @property
    def targets_base_url(self) -> str:
        """The base URL of the images."""
        return self.metadata_base_url.removesuffix("/") + "/targets/"


OfVersion = (
    GrubFails | BootHangs | RollsBack | DockerDead | ControlContainerMissing | TasksBreak | HealthImpaired | GpusGone
)
"""Faults of a version, on every host that runs it."""


class HostMachine:
    """The disk, settings and environment of one host, which survive a reboot."""

    def __init__(self, clock: WorldClock, spec: HostSpec, repository: Repository, chances: random.Random) -> None:
        self.clock = clock
        self.spec = spec
        self.repository = repository
        self.chances = chances
        self.active_faults = ActiveFaults(spec.faults, clock)
        ended = self.active_faults.active(VariantEnded)
        late = self.active_faults.active(WaveLate)
        locked = self.active_faults.active(VersionLocked)
        self.variant = ended.variant if ended else spec.variant
        self.partitions = Partitions(spec.version, single=self.active_faults.active(SingleBank) is not None)
        self.settings = Settings(
            seed=late.seed if late else spec.seed,
            ignore_waves=spec.ignore_waves,
            version_lock=locked.version if locked else spec.version_lock,
            metadata_base_url=f"https://updates.bottlerocket.aws/2020-07-07/{self.variant}/{spec.arch}/",
        )

    @property
    def running(self) -> str:
        """The version of the active partition set."""
        image = self.partitions.active.image
        if image is None:
            raise RuntimeError("a host cannot run from an empty bank")
        return image

    def image(self, version: str) -> Image:
        """The image of a version for this machine."""
        return Image(self.spec.arch, version, self.variant)

    def offer(self) -> Offer:
        """What updog currently finds in the repository."""
        lowered = self.active_faults.active(DowngradeOffered)
        viewer = Viewer(
            variant=self.variant,
            arch=self.spec.arch,
            running=self.running,
            seed=self.settings.seed,
            ignore_waves=self.settings.ignore_waves,
            version_lock=self.settings.version_lock,
            max_version=lowered.max_version if lowered else None,
        )
        return self.repository.offer(viewer, self.clock.now())

    def is_update(self, wanted: str | None) -> bool:
        """Whether a fault that is tied to version `wanted` (None: any update) affects the running version."""
        return self.running == wanted if wanted is not None else self.running != self.spec.version

    def concerns(self, fault: OfVersion) -> bool:
        """Whether a fault of a version affects the running one."""
        return self.is_update(fault.version)
