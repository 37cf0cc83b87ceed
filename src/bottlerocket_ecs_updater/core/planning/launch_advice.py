"""Which version new instances of an Auto Scaling group start with, and whether its hosts run, or will run, a newer one.

An instance that starts with an old version is updated by the next run, and its tasks are moved again. The updater never
changes a group or launch template; it tells a person what to change.

    bottlerocket-aws-ecs-2-x86_64-v1.26.0-abcdef12                            the name of an official Bottlerocket AMI
    resolve:ssm:/aws/service/bottlerocket/aws-ecs-2/x86_64/latest/image_id    always the newest AMI
    resolve:ssm:/aws/service/bottlerocket/aws-ecs-2/x86_64/1.26.0/image_id    always the AMI of one version
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import assert_never

from bottlerocket_ecs_updater.core.model.auto_scaling import (
    InGroup,
    Launch,
    LaunchImage,
    LaunchParameter,
    LaunchUnknown,
)
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.version import Version

_NAME = re.compile(r"bottlerocket-(aws-[a-z0-9.-]+)-(x86_64|aarch64|arm64)-v(\d{1,18}\.\d{1,18}\.\d{1,18})(?![\d.])")
_PARAMETER = re.compile(r"/aws/service/bottlerocket/([^/]+)/([^/]+)/([^/:]+)/image_id(:.+)?")
_BUILD = re.compile(r"(\d{1,18}\.\d{1,18}\.\d{1,18})(-[0-9a-f]{8})?")
LATEST_TEMPLATE = "latest"


@dataclass(frozen=True, slots=True)
class StartsOld:
    """New instances of a group start with an older version than its hosts run, or would be updated to."""

    group: str
    starts_with: Version
    runs: Version
    """The newest version that hosts of the group run."""
    source: str
    """Where the group gets its image from, and which image that is."""
    current: str
    """The parameter that always names the newest image."""
    updated_to: Version | None = None
    """The newest version that its hosts would be updated to; None if no host would be updated."""

    def __str__(self) -> str:
        planned = self.updated_to if self.runs <= self.starts_with else None
        hosts = f"would be updated to {planned}" if planned is not None else f"run up to {self.runs}"
        return (
            f"new instances of Auto Scaling group {self.group} start with {self.starts_with}, but its hosts {hosts}: "
            "each is updated after its start, and its tasks are moved again"
        )

    @property
    def remedy(self) -> str:
        """What a person can do."""
        return f"replace {self.source} by {self.current}, or by a current AMI, in the group's launch template"


@dataclass(frozen=True, slots=True)
class StartsUnknown:
    """It is not known whether new instances of a group start with an old version."""

    group: str
    """Empty if no group could be read."""
    why: str

    def __str__(self) -> str:
        who = f"Auto Scaling group {self.group}" if self.group else "the Auto Scaling groups"
        return f"it is not known whether new instances of {who} start with an old version: {self.why}"


Advice = StartsOld | StartsUnknown


@dataclass(frozen=True, slots=True)
class _Build:
    """A version with its variant and architecture; None for the newest version."""

    variant: str
    arch: str
    version: Version | None


@dataclass(slots=True)
class _Hosts:
    """The hosts of one group; used only in this module."""

    newest: Version | None = None
    updated_to: Version | None = None
    variants: set[str] = field(default_factory=set)


def groups_of(fleet: Fleet) -> tuple[str, ...]:
    """The known Auto Scaling groups of the cluster's Bottlerocket hosts."""
    return tuple(sorted(_hosts_by_group(fleet.instances.values(), {})))


def advise(fleet: Fleet, targets: Mapping[InstanceId, Version] = MappingProxyType({})) -> tuple[Advice, ...]:
    """Advice about the groups' images; none for a group whose image is as new as its hosts, or newer.

    `targets` are the versions that instances would be updated to: an image that is older will be old after the rollout.
    """
    if fleet.launches is None:
        return ()
    unread = (StartsUnknown("", fleet.launches.unread),) if fleet.launches.unread else ()
    return (*unread, *_about_groups(_hosts_by_group(fleet.instances.values(), targets), fleet.launches.by_group))


def _hosts_by_group(instances: Iterable[Instance], targets: Mapping[InstanceId, Version]) -> Mapping[str, _Hosts]:
    found: dict[str, _Hosts] = {}
    for instance in instances:
        membership = instance.membership
        if not instance.bottlerocket or not isinstance(membership, InGroup):
            continue
        hosts = found.setdefault(membership.group, _Hosts())
        hosts.newest = _newer(hosts.newest, _runs(instance))
        hosts.updated_to = _newer(hosts.updated_to, targets.get(instance.id))
        if instance.registration is not None and instance.registration.variant is not None:
            hosts.variants.add(instance.registration.variant)
    return found


def _newer(one: Version | None, other: Version | None) -> Version | None:
    known = [version for version in (one, other) if version is not None]
    return max(known, default=None)


def _runs(instance: Instance) -> Version | None:
    report = instance.report
    return report.running if report is not None else instance.shown_version


def _about_groups(groups: Mapping[str, _Hosts], launches: Mapping[str, tuple[Launch, ...]]) -> Iterator[Advice]:
    for group, hosts in sorted(groups.items()):
        said: set[Advice] = set()
        for launch in launches.get(group, ()):
            advice = _about(group, hosts, launch)
            if advice is not None and advice not in said:
                said.add(advice)
                yield advice


def _about(group: str, hosts: _Hosts, launch: Launch) -> Advice | None:
    build = _build_of(launch)
    if isinstance(build, str):
        return StartsUnknown(group, f"{launch.source}: {build}")
    if build.version is None:
        return None
    if hosts.newest is None:
        return StartsUnknown(group, "none of its hosts has reported its version")
    if not build.version < max(hosts.newest, hosts.updated_to or hosts.newest):
        return None
    # If all hosts of a group are of another variant than its image, the group is moving to the image's variant.
    variant = build.variant if build.variant in hosts.variants or not hosts.variants else min(hosts.variants)
    source, current = f"{launch.source} ({_named(launch)})", _latest(variant, build)
    return StartsOld(group, build.version, hosts.newest, source, current, hosts.updated_to)


def _build_of(launch: Launch) -> _Build | str:
    """The version that the launch starts with, or why it is not known."""
    match launch.boots:
        case LaunchImage(id=image, name=name):
            match_ = _NAME.search(name)
            if match_ is None:
                shown = f"is named {name!r}, which contains no version" if name else "is not shown by EC2"
                return f"its image {image} {shown}"
            return _Build(match_[1], match_[2], Version.parse(match_[3]))
        case LaunchParameter(name=name):
            return _build_of_parameter(name)
        case LaunchUnknown(why=why):
            return why
        case _:
            assert_never(launch.boots)


def _build_of_parameter(name: str) -> _Build | str:
    match = _PARAMETER.fullmatch(name)
    if match is None:
        return f"its image comes from the parameter {name}, which was not read"
    if match[4] is not None:
        return f"its image comes from an older version of a parameter ({name}), which was not read"
    if match[3] == LATEST_TEMPLATE:
        return _Build(match[1], match[2], None)
    build = _BUILD.fullmatch(match[3])
    if build is None:
        return f"the parameter {name} names no version"
    return _Build(match[1], match[2], Version.parse(build[1]))


def _named(launch: Launch) -> str:
    match launch.boots:
        case LaunchImage(id=image, name=name):
            return f"{image}, {name}"
        case LaunchParameter(name=name):
            return name
        case LaunchUnknown(why=why):
            return why
        case _:
            assert_never(launch.boots)


def _latest(variant: str, build: _Build) -> str:
    # Image names use the kernel's word for the architecture, parameters use EC2's.
    arch = "arm64" if build.arch == "aarch64" else build.arch
    return f"resolve:ssm:/aws/service/bottlerocket/{variant}/{arch}/{LATEST_TEMPLATE}/image_id"
