"""Capacity providers: on which instances ECS places the tasks of a service, and whether more instances may be added.

A service has a launch type or a capacity provider strategy. With launch type EC2 its tasks go to any EC2 instance of
the cluster, with or without a capacity provider, but never to ECS Anywhere or Managed Instances. With a strategy they
go only to instances of the providers that it names. Managed scaling starts more of those, up to the maximum of the
provider's Auto Scaling group.
Sources: "Amazon ECS launch types", "Amazon ECS capacity providers", "Amazon ECS Anywhere".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

FARGATE_PROVIDERS = frozenset({"FARGATE", "FARGATE_SPOT"})
"""The capacity providers of every cluster that run tasks off container instances."""


class LaunchType(Enum):
    """The launch type of tasks in ECS; OTHER for one that the API may add later."""

    EC2 = "EC2"
    EXTERNAL = "EXTERNAL"
    FARGATE = "FARGATE"
    MANAGED_INSTANCES = "MANAGED_INSTANCES"
    OTHER = "OTHER"


class ProviderKind(Enum):
    """The kind of a capacity provider in ECS."""

    AUTO_SCALING = "EC2_AUTOSCALING"
    MANAGED_INSTANCES = "MANAGED_INSTANCES"
    FARGATE = "FARGATE"
    MISSING = "MISSING"
    """ECS knows no capacity provider of that name."""
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class CapacityProvider:
    """A capacity provider, as ECS and Auto Scaling describe it."""

    name: str
    kind: ProviderKind
    scales: bool = False
    """Whether managed scaling is on and its group may launch instances."""
    why_not: str = ""
    """Why it adds no instances; empty if it may."""
    group: str = ""
    """Its Auto Scaling group."""
    most: int | None = None
    """The maximum size of its group; None if not known."""
    more: int | None = None
    """How many more instances its group may launch; None if not known."""

    protects_busy: bool = False
    """Whether managed termination protection keeps its group from terminating instances with tasks."""

    @property
    def unbounded(self) -> bool:
        """Whether AWS provides the capacity for its tasks, so that no instance of this cluster has to."""
        return self.kind in (ProviderKind.FARGATE, ProviderKind.MANAGED_INSTANCES)


def cannot_grow(provider: str, known: Mapping[str, CapacityProvider]) -> str:
    """Why a provider will add no instance; empty if it may, or if that is not known."""
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


def to_let_it_grow(provider: str, known: Mapping[str, CapacityProvider]) -> str:
    """What a person can do so that a provider adds an instance, in the imperative; empty if it may add one anyway."""
    found = known.get(provider)
    if found is None or not cannot_grow(provider, known):
        return ""
    if found.kind is ProviderKind.MISSING:
        return f"name another capacity provider than {provider} in its strategy"
    if not found.scales:
        return f"let capacity provider {provider} add instances"
    return f"raise the maximum of the Auto Scaling group of capacity provider {provider}"


def doubt_of_growth(provider: str, known: Mapping[str, CapacityProvider], have: Collection[str]) -> str:
    """What is not known about the room a provider may add, and how to provide it; empty if everything is known.

    `have` are the providers with an instance in the cluster, so that the size of another one is known.
    """
    found = known.get(provider)
    if found is None or found.kind is ProviderKind.OTHER:
        return (
            f"it is not known whether capacity provider {provider} may add instances; allow the updater to call "
            "ecs:DescribeCapacityProviders"
        )
    if found.kind is not ProviderKind.AUTO_SCALING or not found.scales:
        return ""
    if found.more is None:
        return (
            f"it is not known how many instances capacity provider {provider} may still add; allow the updater to call "
            "autoscaling:DescribeAutoScalingGroups"
        )
    if found.more and provider not in have:
        return f"the size of instances of capacity provider {provider} is not known: the cluster has none of them"
    return ""
