"""The interface of a resource type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.account.cloudformation.cloud import Cloud

from bottlerocket_ecs_updater.simulator.aws_basics.names import Names

Properties = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a resource is created, and its name if its properties give none."""

    names: Names
    logical_id: str
    name: str
    """`STACK-LOGICALID-SUFFIX`, new for every resource."""


@dataclass(frozen=True, slots=True)
class Made:
    """An existing resource."""

    physical_id: str
    """The value of a Ref."""
    attributes: Mapping[str, str] = field(default_factory=dict)


class Resource(Protocol):
    """One type of resource. All methods raise AwsError."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        """Make one."""

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        """Update one to new properties.

        A different physical id means that it was replaced, and the old one must be deleted.
        """

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        """Remove one."""


def without(properties: Properties, *names: str) -> dict[str, Any]:
    """The other properties."""
    return {name: value for name, value in properties.items() if name not in names}


def changed(old: Properties, new: Properties, *names: str) -> bool:
    """Whether any of these properties differs."""
    return any(old.get(name) != new.get(name) for name in names)
