"""The public parameters of Parameter Store that name the newest version of each Bottlerocket variant."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.core.rules.published import FOLDER
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bottlerocket_ecs_updater.simulator.aws_basics.names import Names
    from bottlerocket_ecs_updater.simulator.clock import Clock
    from bottlerocket_ecs_updater.simulator.ecs.model import Shape
    from bottlerocket_ecs_updater.simulator.repository import Repository

NAMES_MAX = 10
"""Limit of names for GetParameters."""

_TAIL = "/latest/image_version"


class PublicParameters:
    """They name the newest version in the repository for a variant and architecture, unless they are set."""

    def __init__(self, clock: Clock, names: Names, repository: Repository) -> None:
        self._clock = clock
        self._names = names
        self._repository = repository
        self._set: dict[tuple[str, str], str | None] = {}

    def name(self, version: str, variant: str = "aws-ecs-2", arch: str = "x86_64") -> None:
        """Let a parameter name this version, whatever is in the repository."""
        self.say(_value_of(version), variant, arch)

    def say(self, value: str | None, variant: str = "aws-ecs-2", arch: str = "x86_64") -> None:
        """Let a parameter have this value, whatever it is; None for no such parameter."""
        self._set[variant, arch] = value

    def follow_repository(self, variant: str = "aws-ecs-2", arch: str = "x86_64") -> None:
        """Let a parameter name the newest version in the repository again."""
        self._set.pop((variant, arch), None)

    def value(self, variant: str, arch: str) -> str | None:
        """The value of a parameter; None if there is no such parameter."""
        if (variant, arch) in self._set:
            return self._set[variant, arch]
        releases = self._repository.releases().get((variant, arch), ())
        return _value_of(releases[0].version) if releases else None

    def handlers(self) -> dict[str, Callable[[Shape], Shape]]:
        """By the operation's name."""
        return {"GetParameters": self.get_all}

    @staticmethod
    def only_these(names: Iterable[str]) -> bool:
        """Whether all of these parameters are public ones of Bottlerocket."""
        return all(name.startswith(FOLDER) for name in names)

    def get_all(self, request: Shape) -> Shape:
        """GetParameters."""
        names = list(dict.fromkeys(request["Names"]))
        if len(names) > NAMES_MAX:
            raise AwsError("ValidationException", f"Member must have length less than or equal to {NAMES_MAX}")
        found = {name: value for name in names if (value := self._find(name)) is not None}
        return {
            "Parameters": [
                {
                    "Name": name,
                    "Type": "String",
                    "Value": value,
                    "Version": 1,
                    "LastModifiedDate": self._clock.now(),
                    "ARN": f"arn:{self._names.partition}:ssm:{self._names.region}::parameter{name}",
                    "DataType": "text",
                }
                for name, value in found.items()
            ],
            "InvalidParameters": [name for name in names if name not in found],
        }

    def _find(self, name: str) -> str | None:
        if not name.startswith(FOLDER) or not name.endswith(_TAIL):
            return None
        variant, _, arch = name.removeprefix(FOLDER).removesuffix(_TAIL).partition("/")
        return self.value(variant, arch)


def _value_of(version: str) -> str:
    """The version with eight hexadecimal digits that stand for its commit."""
    return f"{version}-{hashlib.sha256(version.encode()).hexdigest()[:8]}"
