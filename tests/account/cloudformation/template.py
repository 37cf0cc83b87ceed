"""Templates: YAML or JSON, with the short forms of the intrinsic functions written out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError

NUMBERS_AT_MOST = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # libyaml's, ten times as fast
    """Supports the short forms, and does not parse dates: a policy's version is text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _short_form(loader: _Loader, tag: str, node: yaml.Node) -> Any:
    match node:
        case yaml.ScalarNode():
            value: Any = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            value = loader.construct_mapping(node, deep=True)
        case _:
            raise invalid(f"Template format error: !{tag} of nothing")
    if tag in ("Ref", "Condition"):
        return {tag: value}
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _short_form)


def invalid(message: str) -> AwsError:
    """CloudFormation's error for invalid input."""
    return AwsError("ValidationError", message)


@dataclass(frozen=True, slots=True)
class Template:
    """A template's text, and its parsed form."""

    text: str
    body: Mapping[str, Any]

    @classmethod
    def read(cls, text: str) -> Template:
        """Raises AwsError."""
        return _read(text)

    def section(self, name: str) -> Mapping[str, Any]:
        """A section, empty when the template has none."""
        return self.body.get(name) or {}

    @property
    def resources(self) -> Mapping[str, Any]:
        """By logical id."""
        return self.section("Resources")

    def capability(self) -> str | None:
        """The capabilities that a deployment must acknowledge."""
        roles = [resource for resource in self.resources.values() if resource["Type"] == "AWS::IAM::Role"]
        if not roles:
            return None
        named = any("RoleName" in resource.get("Properties", {}) for resource in roles)
        return "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"


@lru_cache(maxsize=32)
def _read(text: str) -> Template:
    try:
        body = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise invalid(f"Template format error: {error}") from error
    if not isinstance(body, dict) or not body.get("Resources"):
        raise invalid("Template format error: At least one Resources member must be defined.")
    return Template(text, body)


def settle_parameters(template: Template, given: Mapping[str, str]) -> dict[str, str]:
    """Each parameter with its value as text. Raises AwsError for one that is missing or not allowed."""
    slots = template.section("Parameters")
    unknown = sorted(given.keys() - slots.keys())
    if unknown:
        raise invalid(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    missing = [name for name, slot in slots.items() if name not in given and "Default" not in slot]
    if missing:
        raise invalid(f"Parameters: [{', '.join(missing)}] must have values")
    settled = {name: str(given.get(name, slot.get("Default"))) for name, slot in slots.items()}
    for name, value in settled.items():
        _check(name, value, slots[name])
    return settled


def _check(name: str, value: str, slot: Mapping[str, Any]) -> None:
    kind = slot["Type"]
    if kind == "Number":
        if not NUMBERS_AT_MOST.fullmatch(value):
            raise invalid(f"Parameter '{name}' must be a number.")
        if not float(slot.get("MinValue", value)) <= float(value) <= float(slot.get("MaxValue", value)):
            raise invalid(f"Parameter '{name}' must be between {slot.get('MinValue')} and {slot.get('MaxValue')}.")
    allowed = [str(each) for each in slot.get("AllowedValues", ())]
    if allowed and value not in allowed:
        raise invalid(f"Parameter '{name}' must be one of AllowedValues")
    pattern = slot.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        why = slot.get("ConstraintDescription") or f"must match pattern {pattern}"
        raise invalid(f"Parameter {name} failed to satisfy constraint: {why}")


def parameter_value(value: str, slot: Mapping[str, Any]) -> str | list[str]:
    """What a Ref to a parameter gives: lists are written with commas."""
    kind = slot["Type"]
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        return [part.strip() for part in value.split(",")]
    return value
