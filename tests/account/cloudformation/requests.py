"""Converts a resource's properties to an operation's request: the same members, with the API's spelling and types.

It rejects unknown properties, as CloudFormation does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape
from tests.account.cloudformation.template import invalid

from bottlerocket_ecs_updater.simulator.aws_basics.service_models import operation_model


def request_of(service: str, operation: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """A request with the properties as its members. Raises AwsError."""
    model = operation_model(service, operation)
    if model is None or model.input_shape is None:
        raise LookupError(f"{service} has no operation {operation} that takes anything")
    return _structure(dict(properties), model.input_shape)


def _shaped(value: Any, shape: Shape) -> Any:
    match shape:
        case StructureShape() if isinstance(value, dict):
            return _structure(value, shape)
        case ListShape() if isinstance(value, list):
            return [_shaped(each, shape.member) for each in value]
        case MapShape() if isinstance(value, dict):
            return {key: _shaped(each, shape.value) for key, each in value.items()}
    return _scalar(value, shape.type_name)


def _structure(value: dict[str, Any], shape: StructureShape) -> dict[str, Any]:
    members = {name.lower(): name for name in shape.members}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        name = members.get(key.lower())
        if name is None:
            raise invalid(f"Properties validation failed: extraneous key [{key}] is not permitted in {shape.name}")
        found[name] = _shaped(inner, shape.members[name])
    return found


def _scalar(value: Any, kind: str) -> Any:
    match kind:
        case "integer" | "long":
            return int(value)
        case "float" | "double":
            return float(value)
        case "boolean":
            return value if isinstance(value, bool) else str(value).lower() == "true"
        case "string":
            return as_text(value)
        case _:
            return value


def as_text(value: Any) -> str:
    """Text as the APIs take it; documents are JSON."""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
