"""The JSON form of the values in state store objects.

Times are RFC 3339 in UTC, durations are seconds, versions and claims are their own text.
Importing cattrs takes a tenth of a second, so this module is imported when JSON is first needed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from cattrs import BaseValidationError, Converter, transform_error
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.v import format_exception

from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.time_text import read_span, read_time, write_time
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.ledger import Ledger
from bottlerocket_ecs_updater.engine.store.read_json import MISFITS, Unreadable, number_of, text_of, whole_of

T = TypeVar("T")


def converter() -> Converter:
    """A converter for the core values that have their own text form."""
    made = Converter()
    made.register_unstructure_hook_func(lambda kind: getattr(kind, "__origin__", None) is frozenset, sorted)
    made.register_unstructure_hook(datetime, write_time)
    made.register_structure_hook(datetime, lambda value, _: read_time(text_of(value)))
    made.register_unstructure_hook(timedelta, timedelta.total_seconds)
    made.register_structure_hook(timedelta, lambda value, _: read_span(number_of(value)))
    made.register_unstructure_hook(Version, str)
    made.register_structure_hook(Version, lambda value, _: Version.parse(text_of(value)))
    made.register_unstructure_hook(Claim, Claim.encode)
    made.register_structure_hook(Claim, lambda value, _: Claim.decode(text_of(value)))
    # By default cattrs coerces types: the text "false" would become True, an object its text.
    made.register_structure_hook(str, lambda value, _: text_of(value))
    made.register_structure_hook(bool, lambda value, _: _flag(value))
    made.register_structure_hook(int, lambda value, _: whole_of(value))
    made.register_structure_hook(float, lambda value, _: number_of(value))
    return made


def structured(made: Converter, value: Any, kind: type[T]) -> T:
    """Convert the value to `kind`. Raises Unreadable with what does not fit, and where."""
    try:
        return made.structure(value, kind)
    except BaseValidationError as error:
        raise Unreadable(explained(error)) from error
    except MISFITS as error:
        raise Unreadable(error) from error


@cache
def ledger_converter() -> Converter:
    """The converter for ledgers, created once: every pass that changes something writes the ledger."""
    made = converter()
    # An older updater, after a rollback, expects `begun` to be a list of times.
    started, nameless = override(rename="begun_on"), override(rename="begun")
    writes = make_dict_unstructure_fn(Ledger, made, started=started, started_nameless=nameless)
    reads = make_dict_structure_fn(Ledger, made, started=started, started_nameless=nameless)
    made.register_unstructure_hook(Ledger, writes)
    made.register_structure_hook(Ledger, reads)
    return made


def explained(error: BaseException) -> str:
    """What is wrong with an unreadable value, and where. Uses the reader's own message if there is one."""
    return "; ".join(transform_error(error, format_exception=_say))


def _say(error: BaseException, kind: type | None) -> str:
    return str(error) if isinstance(error, ValueError) else format_exception(error, kind)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unreadable(f"neither true nor false: {value!r}")
    return value
