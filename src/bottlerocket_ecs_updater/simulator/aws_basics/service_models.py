"""Validates requests and answers with botocore's service models.

Almost all are valid, and botocore's validator takes longer than the simulated service itself. So values are first
checked by `ShapeCheck`s, built once from the models. Only what they reject goes to botocore, which has the last word.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.validate import ParamValidator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from botocore.model import ServiceModel

ShapeCheck = Callable[[object], bool]
"""Whether a value surely fits a shape; False means that botocore must say."""


@cache
def _session() -> botocore.session.Session:
    """One shared session, because creating it is slow. Only its models are used."""
    return botocore.session.get_session()


@cache
def service_model(service: str) -> ServiceModel:
    """The model of a service, by botocore's name for it."""
    return _session().get_service_model(service)


@cache
def operation_model(service: str, operation: str) -> OperationModel | None:
    """The model of one operation; None if botocore does not know it."""
    model = service_model(service)
    return model.operation_model(operation) if operation in model.operation_names else None


def request_problem(service: str, operation: str, params: Mapping[str, Any]) -> str | None:
    """botocore's validation error for a request; None if it is valid."""
    model = operation_model(service, operation)
    if model is None or model.input_shape is None:
        return None
    if _request_check(service, operation)(params):
        return None
    unknown = next(_unknown_names(params, model.input_shape, "request"), None)
    if unknown is not None:
        return unknown
    report = ParamValidator().validate(dict(params), model.input_shape)
    return report.generate_report() if report.has_errors() else None


def answer_problems(service: str, operation: str, answer: Mapping[str, Any]) -> list[str]:
    """Everything in an answer that the model does not allow, except minimum lengths.

    The real services return empty strings where their models require a character.
    """
    model = operation_model(service, operation)
    if model is None or model.output_shape is None:
        return []
    if _answer_check(service, operation)(answer):
        return []
    problems = list(_unknown_names(answer, model.output_shape, operation))
    report = ParamValidator().validate(dict(answer), model.output_shape)
    problems += [
        line
        for line in report.generate_report().splitlines()
        if line and "Invalid length" not in line and "valid min length" not in line
    ]
    return problems


def _unknown_names(value: object, shape: Shape, path: str) -> Iterator[str]:
    match value, shape:
        case dict(), StructureShape():
            for name, inner in value.items():
                if name in shape.members:
                    yield from _unknown_names(inner, shape.members[name], f"{path}.{name}")
                else:
                    yield f"Unknown parameter in {path}: {name}"
        case dict(), MapShape():
            for name, inner in value.items():
                yield from _unknown_names(inner, shape.value, f"{path}.{name}")
        case ((list() | tuple()), ListShape()):
            for place, inner in enumerate(value):
                yield from _unknown_names(inner, shape.member, f"{path}[{place}]")
        case _:
            return


@cache
def _request_check(service: str, operation: str) -> ShapeCheck:
    model = operation_model(service, operation)
    assert model is not None
    return check_of(model.input_shape, lengths=True)


@cache
def _answer_check(service: str, operation: str) -> ShapeCheck:
    model = operation_model(service, operation)
    assert model is not None
    return check_of(model.output_shape, lengths=False)


def check_of(shape: Shape | None, *, lengths: bool) -> ShapeCheck:
    """The check of a shape; without `lengths`, strings and lists may be shorter than it says."""
    match shape:
        case StructureShape(is_document_type=False):
            return _structure_check(shape, lengths=lengths)
        case ListShape():
            return _list_check(shape, _least(shape, lengths=lengths), lengths=lengths)
        case MapShape():
            return _map_check(shape, lengths=lengths)
        case Shape(type_name="string") if not shape.serialization.keys() & {"jsonvalue", "hostLabel"}:
            least = _least(shape, lengths=lengths)
            return lambda value: isinstance(value, str) and len(value) >= least
        case Shape(type_name="integer" | "long", metadata=limits):
            return lambda value: isinstance(value, int) and value >= limits.get("min", value)
        case Shape(type_name="float" | "double", metadata=limits):
            return lambda value: isinstance(value, int | float) and value >= limits.get("min", value)
        case Shape(type_name="boolean"):
            return lambda value: isinstance(value, bool)
        case Shape(type_name="timestamp"):
            return lambda value: isinstance(value, datetime)
        case _:
            return lambda _: False


def _least(shape: Shape, *, lengths: bool) -> int:
    return int(shape.metadata.get("min", 0)) if lengths else 0


def _structure_check(shape: StructureShape, *, lengths: bool) -> ShapeCheck:
    required = frozenset(shape.metadata.get("required", ()))
    # Build each check at its first use, because shapes may contain themselves.
    checks: dict[str, ShapeCheck] = {}

    def check(value: object) -> bool:
        if not isinstance(value, dict) or not required <= value.keys():
            return False
        if shape.is_tagged_union and len(value) != 1:
            return False
        for name, inner in value.items():
            if name not in checks:
                if name not in shape.members:
                    return False
                checks[name] = check_of(shape.members[name], lengths=lengths)
            if not checks[name](inner):
                return False
        return True

    return check


def _list_check(shape: ListShape, least: int, *, lengths: bool) -> ShapeCheck:
    member = cache(lambda: check_of(shape.member, lengths=lengths))

    def check(value: object) -> bool:
        return isinstance(value, list | tuple) and len(value) >= least and all(map(member(), value))

    return check


def _map_check(shape: MapShape, *, lengths: bool) -> ShapeCheck:
    key = cache(lambda: check_of(shape.key, lengths=lengths))
    held = cache(lambda: check_of(shape.value, lengths=lengths))

    def check(value: object) -> bool:
        return isinstance(value, dict) and all(map(key(), value)) and all(map(held(), value.values()))

    return check
