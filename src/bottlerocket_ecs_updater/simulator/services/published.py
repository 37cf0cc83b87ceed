"""The public parameters of Parameter Store that name the newest version of each Bottlerocket variant."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.published import PUBLISHED_FOLDER, read_published
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.aws_basics.names import Names
    from bottlerocket_ecs_updater.simulator.clock import WorldClock
    from bottlerocket_ecs_updater.simulator.repository import Repository

NAMES_MAX = 10
"""Limit of names for GetParameters."""

TAIL = "/latest/image_version"


class PublicParameters:
    """They name the newest version in the repository for a variant and architecture, unless they are set.

    In a served world, anyone sets one with PutParameter and deletes one with DeleteParameter, in place of AWS.
    """

    def __init__(self, clock: WorldClock, names: Names, repository: Repository) -> None:
        self._clock = clock
        self._names = names
        self._repository = repository
        self._set: dict[tuple[str, str], list[tuple[datetime, str | None]]] = {}
        """The values that were set, by variant and architecture, with the time of each."""

    def name(self, version: str, variant: str = "aws-ecs-2", arch: str = "x86_64") -> None:
        """Let a parameter name this version, whatever is in the repository."""
        self.say(_value_of(version), variant, arch)

    def say(self, value: str | None, variant: str = "aws-ecs-2", arch: str = "x86_64") -> None:
        """Let a parameter have this value, whatever it is; None for no such parameter."""
        before = [(datetime.min.replace(tzinfo=UTC), self.value(variant, arch))]
        self._set.setdefault((variant, arch), before).append((self._clock.now(), value))

    def value(self, variant: str, arch: str) -> str | None:
        """The value of a parameter; None if there is no such parameter."""
        if (variant, arch) in self._set:
            return self._set[variant, arch][-1][1]
        releases = self._repository.releases().get((variant, arch), ())
        return _value_of(releases[0].version) if releases else None

    def named(self, version: str, variant: str, arch: str, since: datetime) -> bool:
        """Whether a parameter named this version, or a newer one, at any time since then; True if it was never set."""
        values = self._set.get((variant, arch))
        if values is None:
            return True
        last = max((at for at, _ in values if at <= since), default=since)
        return any(_names(value, version) for at, value in values if at >= last)

    def handlers(self) -> dict[str, Callable[[Shape], Shape]]:
        """By the operation's name."""
        return {
            "GetParameters": self.get_all,
            "GetParameter": self.get,
            "PutParameter": self.put,
            "DeleteParameter": self.delete,
        }

    def is_ours(self, request: Shape) -> bool:
        """Whether a request is about public parameters of Bottlerocket alone."""
        names = request.get("Names") or [request.get("Name", "")]
        return all(name.startswith(PUBLISHED_FOLDER) for name in names)

    def get_all(self, request: Shape) -> Shape:
        """GetParameters."""
        names = list(dict.fromkeys(request["Names"]))
        if len(names) > NAMES_MAX:
            raise AwsError("ValidationException", f"Member must have length less than or equal to {NAMES_MAX}")
        found = {name: value for name in names if (value := self._find(name)) is not None}
        return {
            "Parameters": [self._shape(name, value) for name, value in found.items()],
            "InvalidParameters": [name for name in names if name not in found],
        }

    def get(self, request: Shape) -> Shape:
        """GetParameter."""
        value = self._find(request["Name"])
        if value is None:
            raise AwsError("ParameterNotFound", "")
        return {"Parameter": self._shape(request["Name"], value)}

    def put(self, request: Shape) -> Shape:
        """PutParameter: what AWS does when it publishes or withdraws a version."""
        self.say(request["Value"], *_build_of(request["Name"]))
        return {"Version": 1, "Tier": "Standard"}

    def delete(self, request: Shape) -> Shape:
        """DeleteParameter."""
        self.say(None, *_build_of(request["Name"]))
        return {}

    def _shape(self, name: str, value: str) -> Shape:
        return {
            "Name": name,
            "Type": "String",
            "Value": value,
            "Version": 1,
            "LastModifiedDate": self._clock.now(),
            "ARN": f"arn:{self._names.partition}:ssm:{self._names.region}::parameter{name}",
            "DataType": "text",
        }

    def _find(self, name: str) -> str | None:
        return self.value(*_build_of(name)) if name.startswith(PUBLISHED_FOLDER) and name.endswith(TAIL) else None


def _build_of(name: str) -> tuple[str, str]:
    """The variant and architecture of a parameter."""
    variant, _, arch = name.removeprefix(PUBLISHED_FOLDER).removesuffix(TAIL).partition("/")
    return variant, arch


def _names(value: str | None, version: str) -> bool:
    with suppress(ValueError):
        return value is not None and read_published(value) >= Version.parse(version)
    return False


def _value_of(version: str) -> str:
    """The version with eight hexadecimal digits that stand for its commit."""
    return f"{version}-{hashlib.sha256(version.encode()).hexdigest()[:8]}"
