"""What every type of resource is to a stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.account.cloudformation.cloud import Cloud

from bottlerocket_ecs_updater.simulator.aws_basics.names import Names

Properties = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a resource is made, and the name that it gets when its properties give none."""

    names: Names
    logical_id: str
    name: str
    """`STACK-LOGICALID-SUFFIX`, new for every resource that is made."""


@dataclass(frozen=True, slots=True)
class Made:
    """A resource that there is."""

    physical_id: str
    """What a Ref gives."""
    attributes: Mapping[str, str] = field(default_factory=dict)


class Resource(Protocol):
    """One type of resource. All methods raise AwsError."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        """Make one."""

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        """Bring one to new properties; another physical id says that it was replaced, and the old one is to go."""

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        """Remove one."""


def without(properties: Properties, *names: str) -> dict[str, Any]:
    """The other properties."""
    return {name: value for name, value in properties.items() if name not in names}


def changed(old: Properties, new: Properties, *names: str) -> bool:
    """Whether any of these properties differs."""
    return any(old.get(name) != new.get(name) for name in names)
