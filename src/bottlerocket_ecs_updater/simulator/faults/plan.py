"""Plans of faults: what goes wrong where, in one run."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cattrs import Converter
from cattrs.strategies import configure_tagged_union

from bottlerocket_ecs_updater.simulator.faults.boots import BootFault
from bottlerocket_ecs_updater.simulator.faults.updates import UpdateFault
from bottlerocket_ecs_updater.simulator.faults.world import WorldFault

if TYPE_CHECKING:
    from collections.abc import Mapping


Fault = UpdateFault | BootFault | WorldFault
"""Everything that can go wrong."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A fault and where it strikes: an instance id, or "" for the world as a whole."""

    fault: Fault
    on: str = ""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Everything that goes wrong in one run, and the seed that the world's chances are drawn from."""

    faults: tuple[Placed, ...] = ()
    seed: int = 0

    def on(self, instance_id: str) -> tuple[Fault, ...]:
        """What is planned for one instance, in the order of the plan."""
        return tuple(placed.fault for placed in self.faults if placed.on == instance_id)

    @property
    def world(self) -> tuple[Fault, ...]:
        """What is planned for the world as a whole."""
        return self.on("")

    def to_dict(self) -> dict[str, Any]:
        """The plan as values that JSON knows; durations are in seconds."""
        plan: dict[str, Any] = _CONVERTER.unstructure(self)
        return plan

    @classmethod
    def from_dict(cls, plan: Mapping[str, Any]) -> FaultPlan:
        """Read what `to_dict` wrote. Raises cattrs' errors for anything else."""
        return _CONVERTER.structure(deepcopy(plan), cls)  # cattrs takes the tags out of what it reads


def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(timedelta, timedelta.total_seconds)
    converter.register_structure_hook(timedelta, lambda seconds, _: timedelta(seconds=seconds))
    configure_tagged_union(Fault, converter, tag_name="is")
    return converter


_CONVERTER = _converter()
