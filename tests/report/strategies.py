"""Generated events with any facts, for properties of everything that reads events."""

from __future__ import annotations

import string
import types
import typing
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from hypothesis import strategies as st

from bottlerocket_ecs_updater.core.model.event import Event
from bottlerocket_ecs_updater.core.model.host_report import HostAnswer
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Quarantined, Updated, UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Failed, Failure, Hold, Reason
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.report.record.codec import EVENTS

TEXTS = st.text(max_size=30) | st.sampled_from(
    [
        "\x1b[31mred\x1b[0m",
        "two\nlines\r",
        "<script>alert(1)</script>",
        "\u202eright to left",
        "\x00",
        "a\u2028b",
        "\ud800",
    ]
)
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
SPANS = st.timedeltas(timedelta(), timedelta(days=400))
VERSIONS = st.builds(
    Version,
    st.integers(0, 9),
    st.integers(0, 99),
    st.integers(0, 99),
    st.just("") | st.text(string.ascii_letters + string.digits, min_size=1, max_size=5),
    st.just("") | st.text(string.ascii_letters + string.digits, min_size=1, max_size=5),
)


def _facts_for(words: Any) -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
    """The facts that a sentence or its remedy needs, and no others."""
    asked = {
        name for text in (words.sentence, words.remedy) for _, name, _, _ in string.Formatter().parse(text) if name
    }
    return st.tuples(*(st.tuples(st.just(name), TEXTS) for name in sorted(asked)))


HOLDS = st.sampled_from(Reason).flatmap(lambda reason: st.builds(Hold, st.just(reason), _facts_for(reason.value)))
FAILURES = st.sampled_from(Failure).flatmap(
    lambda failure: st.builds(Failed, st.just(failure), _facts_for(failure.value))
)
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Updated, VERSIONS, VERSIONS),
    st.builds(UpToDate, VERSIONS),
    HOLDS,
    FAILURES,
    st.builds(Quarantined, FAILURES),
)

_BY_TYPE: dict[object, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: st.integers(0, 10**6),
    bool: st.booleans(),
    datetime: TIMES,
    timedelta: SPANS,
    Version: VERSIONS,
    Hold: HOLDS,
    Failed: FAILURES,
    Outcome: OUTCOMES,
    type(None): st.none(),
}


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of an annotation."""
    kind = getattr(kind, "__supertype__", kind)
    if kind in _BY_TYPE:
        return _BY_TYPE[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*map(of_type, arguments))
    if origin is Mapping:
        return st.dictionaries(of_type(arguments[0]), of_type(arguments[1]), max_size=4)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    return values(kind)


def values(kind: type) -> st.SearchStrategy[Any]:
    """Any value of a dataclass."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{field.name: of_type(hints[field.name]) for field in fields(kind)})


ANSWERS: st.SearchStrategy[HostAnswer] = of_type(HostAnswer)
ANY_EVENT: st.SearchStrategy[Event] = st.sampled_from(sorted(EVENTS.values(), key=lambda kind: kind.name)).flatmap(
    values
)
