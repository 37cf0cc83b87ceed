"""Capacity providers: on which instances ECS places the tasks of a service, and whether more instances may come.

A service has a launch type or a capacity provider strategy. By launch type EC2 its tasks go to any EC2 instance of the
cluster, those of capacity providers among them, but never to ECS Anywhere or to Managed Instances. By a strategy they
go to instances of the providers that it names, and nowhere else. Managed scaling starts more of those, up to the
maximum of the provider's Auto Scaling group.
Sources: "Amazon ECS launch types", "Amazon ECS capacity providers", "Amazon ECS Anywhere".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum


class LaunchType(Enum):
    """What tasks run on, as ECS writes it; OTHER for one that a later API may add."""

    EC2 = "EC2"
    EXTERNAL = "EXTERNAL"
    FARGATE = "FARGATE"
    MANAGED_INSTANCES = "MANAGED_INSTANCES"
    OTHER = "OTHER"


class ProviderKind(Enum):
    """What a capacity provider provides, as ECS writes it."""

    AUTO_SCALING = "EC2_AUTOSCALING"
    MANAGED_INSTANCES = "MANAGED_INSTANCES"
    FARGATE = "FARGATE"
    MISSING = "MISSING"
    """ECS knows none of that name."""
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class CapacityProvider:
    """A capacity provider as it was read."""

    name: str
    kind: ProviderKind
    scales: bool = False
    """Whether its managed scaling is on, and nothing keeps its group from starting instances."""
    why_not: str = ""
    """Why it adds no instances; empty where it may."""
    group: str = ""
    """Its Auto Scaling group."""
    most: int | None = None
    """The maximum size of its group, None where that is not known."""
    more: int | None = None
    """How many more instances its group may start, None where that is not known."""

    protects_busy: bool = False
    """Whether managed termination protection keeps its group from taking instances that have tasks."""

    @property
    def unbounded(self) -> bool:
        """Whether AWS finds the room for its tasks, and no instance of this cluster has to."""
        return self.kind in (ProviderKind.FARGATE, ProviderKind.MANAGED_INSTANCES)


def is_managed(provider: str, known: Mapping[str, CapacityProvider] | None) -> bool:
    """Whether an instance of that provider is an ECS Managed Instance, as far as is known."""
    found = (known or {}).get(provider)
    return found is not None and found.kind is ProviderKind.MANAGED_INSTANCES


def cannot_grow(provider: str, known: Mapping[str, CapacityProvider]) -> str:
    """Why a provider will add no instance, empty where it may, or where nobody knows."""
    found = known.get(provider)
    if found is None or found.unbounded or found.kind is ProviderKind.OTHER:
        return ""
    if found.kind is ProviderKind.MISSING:
        return f"there is no capacity provider {provider}"
    if not found.scales:
        return f"capacity provider {provider} adds no instances: {found.why_not}"
    if found.more == 0:
        return (
            f"capacity provider {provider} adds no instances: its Auto Scaling group {found.group} has reached its "
            f"maximum of {found.most}"
        )
    return ""


def doubt_of_growth(provider: str, known: Mapping[str, CapacityProvider], have: Collection[str]) -> str:
    """What is not known of the room that a provider may add, with how to supply it; empty where all is known.

    `have` are the providers of which the cluster has an instance, so that the size of another one is known.
    """
    found = known.get(provider)
    if found is None or found.kind is ProviderKind.OTHER:
        return (
            f"whether capacity provider {provider} may add instances is not known; see whether the updater may call "
            "ecs:DescribeCapacityProviders"
        )
    if found.kind is not ProviderKind.AUTO_SCALING or not found.scales:
        return ""
    if found.more is None:
        return (
            f"how many instances capacity provider {provider} may still add is not known; see whether the updater may "
            "call autoscaling:DescribeAutoScalingGroups"
        )
    if found.more and provider not in have:
        return f"how large the instances of capacity provider {provider} are is not known: the cluster has none of them"
    return ""
