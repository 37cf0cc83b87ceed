"""How Auto Scaling groups launch instances: reads groups, then launch templates, then images, each in batches.

Only plan and status use it, with the caller's permissions; a run never does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.batches import GROUPS_PER_CALL, chunks
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Clients, Pair
from bottlerocket_ecs_updater.aws.transport.translate import CallRefused
from bottlerocket_ecs_updater.core.model.auto_scaling import Launch, LaunchImage, LaunchParameter, LaunchUnknown

if TYPE_CHECKING:
    from types_boto3_autoscaling import AutoScalingClient
    from types_boto3_autoscaling.type_defs import AutoScalingGroupTypeDef
    from types_boto3_ec2 import EC2Client


CONFIGURATIONS_MAX = 50
VERSIONS_MAX = 200
"""Limit of versions of one template for DescribeLaunchTemplateVersions."""

IMAGES_MAX = 200
"""Limit of values in one EC2 filter."""

RESOLVE = "resolve:ssm:"
DEFAULT = "$Default"


@dataclass(frozen=True, slots=True)
class _Template:
    """A launch template version, as the group writes it."""

    id: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"launch template {self.name or self.id}, version {self.version}"


@dataclass(frozen=True, slots=True)
class _Configuration:
    """A launch configuration, which launch templates replace."""

    name: str

    def __str__(self) -> str:
        return f"launch configuration {self.name}"


@dataclass(frozen=True, slots=True)
class _Image:
    """An image that the group sets as an override for some instance types."""

    image: str

    def __str__(self) -> str:
        return "the group's own override"


_Way = _Template | _Configuration | _Image


class AwsLaunches:
    """Implements `engine.ports.LaunchReader`."""

    def __init__(self, groups: Pair[AutoScalingClient], ec2: Pair[EC2Client], api: Api) -> None:
        self._groups = groups
        self._ec2 = ec2
        self._api = api

    @classmethod
    def of(cls, clients: Clients, api: Api) -> AwsLaunches:
        """Use the clients of a command. Each client is created on first use."""
        return cls(clients.autoscaling, clients.ec2, api)

    def launches(self, groups: Sequence[str]) -> Mapping[str, tuple[Launch, ...]]:
        """How each of these groups launches instances."""
        ways = {group: ways for some in chunks(groups, GROUPS_PER_CALL) for group, ways in self._ways(some)}
        wanted = {way for of_group in ways.values() for way in of_group}
        named: dict[_Way, str] = {way: way.image for way in wanted if isinstance(way, _Image)}
        named |= self._of_templates([way for way in wanted if isinstance(way, _Template)])
        named |= self._of_configurations([way for way in wanted if isinstance(way, _Configuration)])
        names = self._image_names({image for image in named.values() if image and not image.startswith(RESOLVE)})
        return {
            group: tuple(Launch(str(way), _boots(named.get(way), names)) for way in of_group)
            for group, of_group in ways.items()
        }

    def _ways(self, groups: Sequence[str]) -> Iterator[tuple[str, list[_Way]]]:
        reply = self._api.look(
            Operation.DESCRIBE_AUTO_SCALING_GROUPS,
            ", ".join(groups),
            self._groups.looking.describe_auto_scaling_groups,
            AutoScalingGroupNames=list(groups),
            MaxRecords=GROUPS_PER_CALL,
        )
        for shape in reply.get("AutoScalingGroups", ()):
            yield shape.get("AutoScalingGroupName", ""), list(dict.fromkeys(_ways_of(shape)))

    def _of_templates(self, templates: Iterable[_Template]) -> Mapping[_Way, str]:
        by_template: dict[tuple[str, str], list[_Template]] = {}
        for template in sorted(templates, key=str):
            by_template.setdefault((template.id, template.name), []).append(template)
        found: dict[_Way, str] = {}
        for (id_, name), wanted in by_template.items():
            for some in chunks(wanted, VERSIONS_MAX):
                which: Mapping[str, Any] = {"LaunchTemplateId": id_} if id_ else {"LaunchTemplateName": name}
                found |= _images_of_versions(some, self._versions(which, [each.version for each in some]))
        return found

    def _versions(self, which: Mapping[str, Any], versions: list[str]) -> Sequence[Mapping[str, Any]]:
        try:
            reply = self._api.look(
                Operation.DESCRIBE_LAUNCH_TEMPLATE_VERSIONS,
                ", ".join(which.values()),
                self._ec2.looking.describe_launch_template_versions,
                Versions=versions,
                **which,
            )
        except CallRefused as error:
            # If one template was deleted, still read the others.
            if error.code.startswith("InvalidLaunchTemplate"):
                return ()
            raise
        return reply.get("LaunchTemplateVersions", ())

    def _of_configurations(self, configurations: Iterable[_Configuration]) -> Mapping[_Way, str]:
        found: dict[_Way, str] = {}
        for some in chunks(sorted(each.name for each in configurations), CONFIGURATIONS_MAX):
            reply = self._api.look(
                Operation.DESCRIBE_LAUNCH_CONFIGURATIONS,
                ", ".join(some),
                self._groups.looking.describe_launch_configurations,
                LaunchConfigurationNames=list(some),
                MaxRecords=CONFIGURATIONS_MAX,
            )
            for shape in reply.get("LaunchConfigurations", ()):
                found[_Configuration(shape.get("LaunchConfigurationName", ""))] = shape.get("ImageId", "")
        return found

    def _image_names(self, images: Iterable[str]) -> Mapping[str, str]:
        """Image names by id. Uses a filter, because a list of ids fails as a whole if one does not exist."""
        found: dict[str, str] = {}
        for some in chunks(sorted(images), IMAGES_MAX):
            reply = self._api.look(
                Operation.DESCRIBE_IMAGES,
                ", ".join(some),
                self._ec2.looking.describe_images,
                Filters=[{"Name": "image-id", "Values": list(some)}],
                # Groups often launch old AMIs, and old public AMIs are deprecated.
                IncludeDeprecated=True,
            )
            for shape in reply.get("Images", ()):
                found[shape.get("ImageId", "")] = shape.get("Name", "")
        return found


def _ways_of(group: AutoScalingGroupTypeDef) -> Iterator[_Way]:
    if "LaunchTemplate" in group:
        yield _template(group["LaunchTemplate"])
    configuration = group.get("LaunchConfigurationName")
    if configuration:
        yield _Configuration(configuration)
    mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    overrides: Sequence[Mapping[str, Any]] = mixed.get("Overrides", ())
    # If every instance type overrides the image, the policy's own template is never used.
    all_own = bool(overrides) and all(map(_has_own, overrides))
    if "LaunchTemplateSpecification" in mixed and not all_own:
        yield _template(mixed["LaunchTemplateSpecification"])
    for override in overrides:
        if override.get("ImageId"):
            yield _Image(override["ImageId"])
        elif "LaunchTemplateSpecification" in override:
            yield _template(override["LaunchTemplateSpecification"])


def _has_own(override: Mapping[str, Any]) -> bool:
    return bool(override.get("ImageId")) or "LaunchTemplateSpecification" in override


def _template(shape: Mapping[str, Any]) -> _Template:
    # Without a version, Auto Scaling uses the default one.
    return _Template(
        shape.get("LaunchTemplateId", ""), shape.get("LaunchTemplateName", ""), shape.get("Version") or DEFAULT
    )


def _images_of_versions(wanted: Sequence[_Template], versions: Iterable[Mapping[str, Any]]) -> Mapping[_Way, str]:
    """Match each template to its version. EC2 returns version numbers, also for `$Latest` and `$Default`."""
    shown = list(versions)
    by_number = {str(shape.get("VersionNumber")): shape for shape in shown}
    only = shown[0] if len(shown) == 1 else None
    default = next((shape for shape in shown if shape.get("DefaultVersion")), only)
    latest = max(shown, key=lambda shape: shape.get("VersionNumber", 0), default=None)
    meant = {DEFAULT: default, "$Latest": latest}
    found: dict[_Way, str] = {}
    for template in wanted:
        shape = meant[template.version] if template.version in meant else by_number.get(template.version)
        if shape is not None:
            found[template] = shape.get("LaunchTemplateData", {}).get("ImageId", "")
    return found


def _boots(image: str | None, names: Mapping[str, str]) -> LaunchImage | LaunchParameter | LaunchUnknown:
    if image is None:
        return LaunchUnknown("it was not found")
    if not image:
        return LaunchUnknown("it names no image")
    if image.startswith(RESOLVE):
        return LaunchParameter(image.removeprefix(RESOLVE))
    return LaunchImage(image, names.get(image, ""))
