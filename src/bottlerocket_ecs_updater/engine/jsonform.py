"""The JSON form of the values that every object in the state store is made of.

Times are RFC 3339 in UTC, spans are seconds, releases and claims are their own text.
cattrs costs a tenth of a second to import, so this module is imported where JSON is first needed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cattrs import Converter, transform_error
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.v import format_exception

from bottlerocket_ecs_updater.core.claim import Claim
from bottlerocket_ecs_updater.core.ledger import Ledger
from bottlerocket_ecs_updater.core.version import Version
from bottlerocket_ecs_updater.engine.times import read_time, write_time


def converter() -> Converter:
    """A converter that knows the values of core that have a text of their own."""
    made = Converter()
    made.register_unstructure_hook_func(lambda kind: getattr(kind, "__origin__", None) is frozenset, sorted)
    made.register_unstructure_hook(datetime, write_time)
    made.register_structure_hook(datetime, lambda value, _: read_time(_text(value)))
    made.register_unstructure_hook(timedelta, timedelta.total_seconds)
    made.register_structure_hook(timedelta, lambda value, _: timedelta(seconds=value))
    made.register_unstructure_hook(Version, str)
    made.register_structure_hook(Version, lambda value, _: Version.parse(_text(value)))
    made.register_unstructure_hook(Claim, Claim.encode)
    made.register_structure_hook(Claim, lambda value, _: Claim.decode(_text(value)))
    return made


@cache
def ledger_converter() -> Converter:
    """The converter of a ledger, made once: it is written at every pass that changes something."""
    made = converter()
    # An older updater, to which one may go back, knows a list of times by the name of `begun`.
    begun, nameless = override(rename="begun_on"), override(rename="begun")
    writes = make_dict_unstructure_fn(Ledger, made, begun=begun, begun_nameless=nameless)
    reads = make_dict_structure_fn(Ledger, made, begun=begun, begun_nameless=nameless)
    made.register_unstructure_hook(Ledger, writes)
    made.register_structure_hook(Ledger, reads)
    return made


def explain(error: BaseException) -> str:
    """What is wrong with a value that could not be read, and where: in the reader's own words where it has some."""
    return "; ".join(transform_error(error, format_exception=_say))


def _say(error: BaseException, kind: type | None) -> str:
    return str(error) if isinstance(error, ValueError) else format_exception(error, kind)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"not text: {value!r}")  # noqa: TRY004 - one kind of error for every reader
    return value
