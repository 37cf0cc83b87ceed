"""How Auto Scaling groups start instances, as it was read: what `core/launching.py` gives advice about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LaunchImage:
    """An AMI."""

    id: str
    name: str
    """Empty where EC2 does not show it."""


@dataclass(frozen=True, slots=True)
class LaunchParameter:
    """Whatever AMI a public or own parameter of Systems Manager names at the time, with its revision behind a colon."""

    name: str


@dataclass(frozen=True, slots=True)
class LaunchUnknown:
    """No image could be found."""

    why: str


@dataclass(frozen=True, slots=True)
class Launch:
    """One way in which an Auto Scaling group starts instances."""

    source: str
    """What says it: a launch template and its version, or a launch configuration."""
    boots: LaunchImage | LaunchParameter | LaunchUnknown


@dataclass(frozen=True, slots=True)
class Launches:
    """How Auto Scaling groups start instances. Only plans look; no decision depends on it."""

    by_group: Mapping[str, tuple[Launch, ...]]
    unread: str = ""
    """Why some groups, or all, could not be asked; empty where all were."""
