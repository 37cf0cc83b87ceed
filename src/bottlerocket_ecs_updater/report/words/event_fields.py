"""An event as the flat fields of a log line, with one name for each fact and units at the end of names.

It is for people who query the log. `codec` has the format that is read back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum

from bottlerocket_ecs_updater.core.model.event import ClaimFound, Event
from bottlerocket_ecs_updater.core.model.host_report import HostProblem, HostReport
from bottlerocket_ecs_updater.core.model.outcome import Quarantined
from bottlerocket_ecs_updater.core.model.reasons import Failed, Failure, Hold, Reason
from bottlerocket_ecs_updater.core.model.time_text import write_time
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.report.words.sanitize import sanitize

Field = str | int | float | bool | None | dict[str, "Field"] | list["Field"]


def event_fields(event: Event) -> dict[str, Field]:
    """All facts of an event except its time, as fields."""
    flat: dict[str, Field] = {}
    for field in fields(event):
        if field.name != "at":
            flat |= _fact(_name(event, field.name), getattr(event, field.name))
    return flat


def _name(event: Event, field: str) -> str:
    # In every line, `run` is the run that writes it. The run that left a claim needs another name.
    return "of_run" if isinstance(event, ClaimFound) and field == "run" else field.rstrip("_")


def _fact(name: str, value: object) -> dict[str, Field]:
    match value:
        case Hold(reason=reason, facts=facts):
            return {"hold": reason.code, "facts": _texts(facts)}
        case Failed(failure=failure, facts=facts):
            return {"failure": failure.code, "facts": _texts(facts)}
        case Quarantined(why=why):
            return _fact(name, why)
        case HostReport() | HostProblem():
            return {key: fact for field in fields(value) for key, fact in _fact(field.name, _get(value, field)).items()}
        case timedelta():
            return {f"{name}_seconds": value.total_seconds()}
        case _:
            return {name: _plain(value)}


def _get(value: object, field: object) -> object:
    return getattr(value, field.name)  # type: ignore[attr-defined]


def _texts(facts: tuple[tuple[str, str], ...]) -> dict[str, Field]:
    return {name: sanitize(text) for name, text in facts}


def _plain(value: object) -> Field:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return sanitize(value)
        case datetime():
            return write_time(value)
        case Version():
            return str(value)
        case Reason() | Failure():
            return value.code
        case Enum():
            return str(value.value)
        case Mapping():
            return {sanitize(str(key)): _plain(part) for key, part in value.items()}
        case tuple() | list() | frozenset():
            return [_plain(part) for part in value]
        case _ if is_dataclass(value):
            return {key: fact for field in fields(value) for key, fact in _fact(field.name, _get(value, field)).items()}
        case _:
            return sanitize(str(value))
