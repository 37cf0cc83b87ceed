"""An instance with an update in progress that ECS describes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.container_instance import Registration
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.run_progress import RunProgress


@dataclass(frozen=True, slots=True)
class ClaimedInstance:
    """An instance with its claim and its registration, all present."""

    instance: Instance
    claim: Claim
    registration: Registration

    @property
    def id(self) -> InstanceId:
        """The EC2 id of the instance."""
        return self.instance.id

    @property
    def progress(self) -> RunProgress:
        """What this run did with the instance and saw since."""
        return self.instance.progress

    @property
    def phase_began(self) -> datetime:
        """When the phase of its claim began, from which its limits count."""
        return self.instance.phase_began
