"""Validates requests and answers with botocore's service models."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.validate import ParamValidator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from botocore.model import ServiceModel


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
