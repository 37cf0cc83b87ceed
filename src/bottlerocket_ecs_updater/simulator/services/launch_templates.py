"""The parts of EC2 launches that an updater reads: launch templates and images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.clock import WorldClock

VERSIONS_AT_ONCE = 200
ALIASES = ("$Latest", "$Default")


@dataclass(slots=True)
class _Template:
    id: str
    name: str
    images: list[str]
    """The image of each version, in order."""
    default: int
    created_at: datetime


class LaunchTemplates:
    """Templates and images that tests add."""

    def __init__(self, clock: WorldClock) -> None:
        self._clock = clock
        self._images: dict[str, str] = {}
        self._templates: dict[str, _Template] = {}

    def handlers(self) -> dict[str, Callable[[Shape], Shape]]:
        """By the operation's name."""
        return {
            "DescribeLaunchTemplateVersions": self.describe_launch_template_versions,
            "DescribeImages": self.describe_images,
        }

    @property
    def has_templates(self) -> bool:
        """Whether the world has any templates."""
        return bool(self._templates)

    def add_image(self, image_id: str, name: str) -> None:
        """Add an AMI that is visible in the account."""
        self._images[image_id] = name

    def add_template(self, name: str, *images: str, default: int = 1) -> None:
        """Add a launch template with one version per image. An image may be a `resolve:ssm:` parameter."""
        template_id = f"lt-{len(self._templates) + 1:017x}"
        self._templates[name] = _Template(template_id, name, list(images), default, self._clock.now())

    def template_id(self, name: str) -> str | None:
        """The id of a template; None if there is none with that name."""
        found = self._templates.get(name)
        return found.id if found is not None else None

    def describe_launch_template_versions(self, request: Shape) -> Shape:
        """The requested versions of one template, by number or alias."""
        template = self._asked(request)
        versions = request.get("Versions") or [str(number) for number in range(1, len(template.images) + 1)]
        if len(versions) > VERSIONS_AT_ONCE:
            raise AwsError("InvalidParameterValue", f"At most {VERSIONS_AT_ONCE} versions may be given.")
        numbers = sorted({_number(template, version) for version in versions}, reverse=True)
        return {"LaunchTemplateVersions": [_version(template, number) for number in numbers]}

    def describe_images(self, request: Shape) -> Shape:
        """Images by their ids; other filters are not simulated."""
        filters = request.get("Filters", [])
        unknown = [each["Name"] for each in filters if each["Name"] != "image-id"]
        if unknown:
            raise AwsError("InvalidParameterValue", f"The filter '{unknown[0]}' is not simulated")
        missing = [each for each in request.get("ImageIds", []) if each not in self._images]
        if missing:
            raise AwsError("InvalidAMIID.NotFound", f"The image id '[{', '.join(missing)}]' does not exist")
        asked = request.get("ImageIds") or self._images
        found = [each for each in asked if all(each in one["Values"] for one in filters)]
        return {"Images": [{"ImageId": each, "Name": self._images[each], "State": "available"} for each in found]}

    def _asked(self, request: Shape) -> _Template:
        name, template_id = request.get("LaunchTemplateName"), request.get("LaunchTemplateId")
        templates: Iterable[_Template] = self._templates.values()
        found = next((each for each in templates if name == each.name or template_id == each.id), None)
        if found is None:
            kind = "Name" if name is not None else "Id"
            raise AwsError(
                f"InvalidLaunchTemplate{kind}.NotFound{'Exception' if name is not None else ''}",
                f"The specified launch template, with template {kind.lower()} {name or template_id}, does not exist.",
            )
        return found


def _number(template: _Template, version: str) -> int:
    if version in ALIASES:
        return len(template.images) if version == "$Latest" else template.default
    number = int(version) if version.isdecimal() else 0
    if not 1 <= number <= len(template.images):
        raise AwsError(
            "InvalidLaunchTemplateId.VersionNotFound",
            f"Could not find launch template version {version} for launch template {template.id}.",
        )
    return number


def _version(template: _Template, number: int) -> Shape:
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "VersionNumber": number,
        "DefaultVersion": number == template.default,
        "CreateTime": template.created_at,
        "LaunchTemplateData": {"ImageId": template.images[number - 1]},
    }
