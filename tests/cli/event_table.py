"""The tables of the record: every event with its fields and their JSON form."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from bottlerocket_ecs_updater.core.model.event import Event, InstanceEvent
from bottlerocket_ecs_updater.core.model.host_report import HostAnswer, Problem, UpdateState
from bottlerocket_ecs_updater.core.model.outcome import Outcome
from bottlerocket_ecs_updater.core.model.phase import Phase
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.report.record.codec import EVENTS

_FORMS: Mapping[Any, str] = {
    str: "text",
    int: "number",
    bool: "true or false",
    datetime: "time",
    timedelta: "seconds",
    Version: "version",
    Hold: "hold",
    Failed: "failure",
    HostAnswer: "answer",
    Outcome: "outcome",
    Phase: "phase",
}
"""Forms that the page describes once."""


def event_rows() -> list[tuple[str, ...]]:
    """Name, meaning and fields of each event, in the order in which the program defines them."""
    return [(f"`{name}`", _sentence(kind), _fields_of(kind)) for name, kind in EVENTS.items()]


def word_rows() -> list[tuple[str, ...]]:
    """The values of the forms that have a fixed list of them."""
    kinds: Mapping[str, type[Enum]] = {"phase": Phase, "`state`": UpdateState, "`problem`": Problem}
    return [(name, ", ".join(f"`{one.value}`" for one in kind)) for name, kind in kinds.items()]


def _sentence(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def _fields_of(kind: type[Event]) -> str:
    hints = typing.get_type_hints(kind)
    meanings = dict(_meanings(kind))
    # The page describes `at` and the instance once, above the table.
    shown = [field.name for field in fields(kind) if field.name not in ("at", "instance")]
    facts = ["*of an instance*"] if issubclass(kind, InstanceEvent) else []
    for name in shown:
        meaning = f" ({meanings[name].rstrip('.').replace('None', 'null')})" if name in meanings else ""
        facts.append(f"`{name.rstrip('_')}`: {form_of(hints[name])}{meaning}")
    return "; ".join(facts)


def form_of(hint: Any) -> str:
    """The form of a field in words."""
    if hint in _FORMS:
        return _FORMS[hint]
    hint = getattr(hint, "__supertype__", hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        (some,) = [one for one in arguments if one is not types.NoneType]
        return f"{form_of(some)} or null"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"object of {form_of(arguments[1])}"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "one of " + ", ".join(f"`{one.value}`" for one in hint)
    return _FORMS[hint]


def _meanings(kind: type) -> Iterator[tuple[str, str]]:
    """The docstrings below the fields in the source."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            yield field.target.id, ast.literal_eval(text.value)
