"""Saves a fleet to a file, so that a plan can be made without access to the cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from cattrs import Converter
from cattrs.gen import make_dict_structure_fn

from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import History
from bottlerocket_ecs_updater.core.model.instance import Instance, SurveyedFacts
from bottlerocket_ecs_updater.core.model.reasons import Failure, Reason
from bottlerocket_ecs_updater.core.model.resources import Port
from bottlerocket_ecs_updater.core.model.run_progress import RunProgress
from bottlerocket_ecs_updater.core.model.services import Service
from bottlerocket_ecs_updater.engine.store.json_values import converter, structured
from bottlerocket_ecs_updater.engine.store.read_json import Unreadable, read_object, text_of, whole_of
from bottlerocket_ecs_updater.errors import UsageError

FLEET_FILE_FORMAT = 2
"""Format version. New keys do not change it; a changed meaning of a key does."""

_RENAMED: Mapping[type, Mapping[str, str]] = {
    RunProgress: {"proof": "new_boot", "dark_looks": "undescribed_looks"},
    Service: {"restless": "flaps_by", "unasked_starts": "extra_starts", "moving": "deployment"},
    SurveyedFacts: {"unasked": "unanswered", "unasked_since": "unanswered_since"},
    Instance: {"mute": "check_denied"},
    History: {"begun": "started_nameless", "begun_on": "started"},
    Fleet: {"hosts_mute": "hosts_denied"},
}
"""Keys that earlier versions wrote under another name; inner values first."""


def write_fleet(fleet: Fleet, cluster: str) -> str:
    """The fleet as human-readable JSON."""
    value = {"format": FLEET_FILE_FORMAT, "cluster": cluster, "fleet": _converter().unstructure(fleet, Fleet)}
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def read_fleet(text: bytes | str, source: str) -> tuple[Fleet, str]:
    """The fleet, and the name of its cluster. Raises UsageError with the problem and its place."""
    try:
        return read_object(text, _saved, halves=True)
    except Unreadable as error:
        raise UsageError(f"{source} is not a saved fleet: {error}") from error


def _saved(value: Mapping[str, Any]) -> tuple[Fleet, str]:
    if whole_of(value["format"]) != FLEET_FILE_FORMAT:
        raise Unreadable(f"it has format {value['format']}; this updater reads format {FLEET_FILE_FORMAT}")
    return structured(_converter(), value["fleet"], Fleet), text_of(value["cluster"])


@cache
def _converter() -> Converter:
    made = converter()
    reasons: dict[str, Reason | Failure] = {each.code: each for each in (*Reason, *Failure)}

    def read(code: Any, kind: type) -> Any:
        found = reasons.get(code)
        if not isinstance(found, kind):
            raise ValueError(f"unknown reason {code!r}")  # noqa: TRY004 - one kind of error for every reader
        return found

    made.register_unstructure_hook_func(
        lambda kind: kind == frozenset[Port], lambda ports: [str(port) for port in sorted(ports)]
    )
    made.register_structure_hook(Port, _read_port)
    for kind in (Reason, Failure):
        made.register_unstructure_hook(kind, lambda each: each.code)
        made.register_structure_hook(kind, read)
    for value, names in _RENAMED.items():
        made.register_structure_hook(value, _with_names(make_dict_structure_fn(value, made), names))
    return made


def _with_names(read: Callable[[Any, Any], Any], names: Mapping[str, str]) -> Callable[[Any, Any], Any]:
    """Read an object, also if it has keys of an earlier version."""
    return lambda value, kind: read({names.get(key, key): each for key, each in value.items()}, kind)


def _read_port(text: Any, _: object) -> Port:
    number, slash, protocol = str(text).partition("/")
    if not slash or not number.isdigit():
        raise ValueError(f"not a port: {text!r}")
    return Port(int(number), protocol)
