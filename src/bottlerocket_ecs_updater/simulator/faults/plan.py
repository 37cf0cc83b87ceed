"""Fault plans: which faults strike where in one run."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cattrs import Converter
from cattrs.strategies import configure_tagged_union

from bottlerocket_ecs_updater.simulator.faults.boots import (
    BootFault,
    GpusGone,
    HealthImpaired,
    HealthUnknown,
    TasksBreak,
)
from bottlerocket_ecs_updater.simulator.faults.updates import UpdateFault
from bottlerocket_ecs_updater.simulator.faults.world import WorldFault

if TYPE_CHECKING:
    from collections.abc import Mapping


Fault = UpdateFault | BootFault | WorldFault
"""All faults."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A fault and where it strikes: an instance id, or "" for the whole world."""

    fault: Fault
    on: str = ""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All faults in one run, and the seed of the world's random numbers."""

    faults: tuple[Placed, ...] = ()
    seed: int = 0

    def on(self, instance_id: str) -> tuple[Fault, ...]:
        """The faults of one instance, in plan order."""
        return tuple(placed.fault for placed in self.faults if placed.on == instance_id)

    @property
    def world(self) -> tuple[Fault, ...]:
        """The faults of the whole world."""
        return self.on("")

    @property
    def of_versions(self) -> tuple[Fault, ...]:
        """The faults of versions, which affect every host that runs them."""
        return tuple(
            fault for fault in self.world if isinstance(fault, TasksBreak | HealthImpaired | HealthUnknown | GpusGone)
        )

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON values; durations are in seconds."""
        plan: dict[str, Any] = _CONVERTER.unstructure(self)
        return plan

    @classmethod
    def from_dict(cls, plan: Mapping[str, Any]) -> FaultPlan:
        """Parse the result of `to_dict`. Raises cattrs errors for anything else."""
        return _CONVERTER.structure(deepcopy(plan), cls)  # cattrs takes the tags out of what it reads


def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(timedelta, timedelta.total_seconds)
    converter.register_structure_hook(timedelta, lambda seconds, _: timedelta(seconds=seconds))
    configure_tagged_union(Fault, converter, tag_name="is")
    return converter


_CONVERTER = _converter()
