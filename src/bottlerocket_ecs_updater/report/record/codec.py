"""The JSON format of events, in which the record of a run is written, and which later versions read.

    {"format": 1, "event": "instance.updated", "at": "2026-01-05T09:24:11Z", "instance": "i-…", "source": "1.20.0", …}

Times are RFC 3339 in UTC, spans are seconds, versions are text, reasons and failures are their code with their facts.
If a value can be of several kinds, a key next to it names the kind: `answer` for the answer of a host, `became` for
the outcome of an instance. Unknown keys are ignored, so that a newer updater may add some. A change that an older
updater would misread raises FORMAT.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from string import Formatter
from typing import Any, TypeVar

from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.strategies import configure_tagged_union

from bottlerocket_ecs_updater.core.model import event as events
from bottlerocket_ecs_updater.core.model.event import Event, LookPostponed
from bottlerocket_ecs_updater.core.model.host_report import HostAnswer, HostProblem, HostReport
from bottlerocket_ecs_updater.core.model.outcome import Outcome, OutcomeKind, Quarantined, Updated, UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Failed, Failure, Hold, Reason
from bottlerocket_ecs_updater.engine.store import read_json as readjson
from bottlerocket_ecs_updater.engine.store.json_values import converter, structured
from bottlerocket_ecs_updater.engine.store.read_json import read_object
from bottlerocket_ecs_updater.errors import UpdaterError

RECORD_FORMAT = 1

NOT_RECORDED = "?"

_E = TypeVar("_E")

EVENTS: Mapping[str, type[Event]] = {
    kind.name: kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind.name
}
"""Event classes by name."""

_RENAMED = {"telling.failed": "output.failed"}
"""Event names in records of earlier versions."""

_ANSWERS: Mapping[type, str] = {HostReport: "report", HostProblem: "problem"}
_BECAME: Mapping[type, str] = {
    Updated: OutcomeKind.UPDATED.value,
    UpToDate: OutcomeKind.UP_TO_DATE.value,
    Hold: OutcomeKind.HELD.value,
    Failed: OutcomeKind.FAILED.value,
    Quarantined: OutcomeKind.QUARANTINED.value,
}


@dataclass
class UnreadableLine(UpdaterError):
    """A line of a record that this version does not understand. It is skipped."""


def encode(event: Event) -> str:
    """The event as one line of JSON, without its line end; ASCII only."""
    value = {"format": RECORD_FORMAT, "event": event.name, **_converter().unstructure(event)}
    return json.dumps(value, separators=(",", ":"))


def decode(line: str | bytes) -> Event:
    """Read what `encode` wrote. Raises Unreadable for anything else, and for what a newer updater wrote."""
    try:
        return read_object(line, _event, halves=True)
    except readjson.Unreadable as problem:
        raise UnreadableLine(str(problem)) from problem


def _event(value: Mapping[str, Any]) -> Event:
    if value.get("format") != RECORD_FORMAT:
        raise readjson.Unreadable(f"format {value.get('format')!r}; this updater reads format {RECORD_FORMAT}")
    name = str(value.get("event"))
    kind = EVENTS.get(_RENAMED.get(name, name))
    if kind is None:
        raise readjson.Unreadable(f"an event that this updater does not know: {value.get('event')!r}")
    try:
        return structured(_converter(), value, kind)
    except readjson.Unreadable as problem:
        raise readjson.Unreadable(f"{kind.name}: {problem}") from problem


@cache
def _converter() -> Converter:
    made = converter()
    made.register_unstructure_hook(Reason, lambda reason: reason.code)
    made.register_structure_hook(Reason, lambda code, _: _named(_REASONS, code))
    made.register_unstructure_hook(Failure, lambda failure: failure.code)
    made.register_structure_hook(Failure, lambda code, _: _named(_FAILURES, code))
    for kind in (Hold, Failed):
        _facts_as_object(made, kind)
    configure_tagged_union(HostAnswer, made, tag_generator=_ANSWERS.__getitem__, tag_name="answer")
    configure_tagged_union(Outcome, made, tag_generator=_BECAME.__getitem__, tag_name="became")
    # `for` is a Python keyword, so the field has another name than the key in the record.
    renamed = override(rename="for")
    made.register_unstructure_hook(LookPostponed, make_dict_unstructure_fn(LookPostponed, made, for_=renamed))
    made.register_structure_hook(LookPostponed, make_dict_structure_fn(LookPostponed, made, for_=renamed))
    return made


_REASONS = {reason.code: reason for reason in Reason} | {"release-suspect": Reason.VERSION_SUSPECT}
"""Reasons by code, also by the codes in records of earlier versions."""
_FAILURES = {failure.code: failure for failure in Failure}


def _named(known: Mapping[str, _E], code: object) -> _E:
    if code not in known:
        raise ValueError(f"a word that this updater does not know: {code!r}")
    return known[str(code)]


def _facts_as_object(made: Converter, kind: type) -> None:
    """Facts are ordered pairs. In JSON they are an object, which keeps the order."""
    hooks = override(unstruct_hook=dict, struct_hook=_read_facts)
    made.register_unstructure_hook(kind, make_dict_unstructure_fn(kind, made, facts=hooks))
    read: Callable[[Any, Any], Hold | Failed] = make_dict_structure_fn(kind, made, facts=hooks)
    made.register_structure_hook(kind, lambda value, as_: _with_all_facts(read(value, as_)))


def _with_all_facts(said: Hold | Failed) -> Hold | Failed:
    """Add placeholders for facts that a newer sentence needs and an older record does not have."""
    words = said.reason.value if isinstance(said, Hold) else said.failure.value
    named = {name for _, name, _, _ in Formatter().parse(f"{words.sentence} {words.remedy}") if name}
    missing = sorted(named - dict(said.facts).keys())
    return replace(said, facts=(*said.facts, *((name, NOT_RECORDED) for name in missing)))


def _read_facts(value: Any, _: object) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(text)) for name, text in value.items())
