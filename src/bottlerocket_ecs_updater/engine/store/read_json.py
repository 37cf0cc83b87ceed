"""Reads untrusted JSON: returns a value, or raises Unreadable with the reason.

An object in the state store may contain anything: a person edited it, the disk was full, a newer updater wrote it, or
someone has too many permissions. Each object's reader defines what happens if it is unreadable:

    object                if unreadable
    acts.json             every version is blocked: a pause or a block may be among them
    lease.json            counts as held for the longest term
    ledger.json           the run returns claimed instances, starts no updates, and exits with 1
    first-seen/…          the version counts as first seen when this cluster first saw it
    events-….jsonl        unreadable lines are skipped and listed in the report
    index.html            is rebuilt from the records
    .counts of a folder   counts as a tag that no one has seen

Readers raise nothing else, for any input: endless nesting, impossible times, infinite numbers, lone surrogates,
duplicate keys.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

NESTED_MAX = 64
"""Limit for nesting: ten times what the updater writes."""

DIGITS_MAX = 18
"""Limit for digits of an integer: it fits in 64 bits, and sums stay short enough to print."""

WHY_MAX_CHARACTERS = 200
"""Limit for the reason, so that it fits in a log line."""

MISFITS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What Python raises if a value does not have the expected shape."""


class Unreadable(ValueError):
    """The input cannot be read. The text gives the reason in one line."""

    def __init__(self, why: object) -> None:
        super().__init__(_short(why))


def read_json(data: bytes | str, *, halves: bool = False) -> Any:
    """Parse JSON. Raises Unreadable if it is not JSON in UTF-8, or contains what the updater never writes.

    With `halves`, lone surrogates are allowed: output from hosts may contain them, and JSON can store them.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        value = json.loads(
            text,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_once_each,
        )
        _check(text, value, halves=halves)
    except Unreadable:
        raise
    except json.JSONDecodeError as error:
        raise Unreadable(f"it is not JSON: error in line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise Unreadable("it is nested too deeply") from error
    except MISFITS as error:
        raise Unreadable(f"it is not JSON: {error}") from error
    return value


def read_object(data: bytes | str, shape: Callable[[Mapping[str, Any]], T], *, halves: bool = False) -> T:
    """Parse a JSON object and convert it with `shape`. Raises Unreadable, also if values have the wrong type."""
    value = read_json(data, halves=halves)
    if not isinstance(value, dict):
        raise Unreadable("it is not a JSON object")
    return shaped(value, shape)


def shaped(value: Any, shape: Callable[[Any], T]) -> T:
    """Convert a parsed value with `shape`. Raises Unreadable if it has the wrong type."""
    try:
        return shape(value)
    except Unreadable:
        raise
    except KeyError as error:
        raise Unreadable(f"it has no {error}") from error
    except MISFITS as error:
        raise Unreadable(error) from error


def text_of(value: object) -> str:
    """The value as text. Raises Unreadable for other types."""
    if not isinstance(value, str):
        raise Unreadable(f"not text: {value!r}")
    return value


def number_of(value: object) -> float:
    """The value as a number. Raises Unreadable for other types."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable(f"not a number: {value!r}")
    return value


def whole_of(value: object) -> int:
    """The value as an integer. Raises Unreadable for other types."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unreadable(f"not a whole number: {value!r}")
    return value


def _no_number(name: str) -> float:
    raise Unreadable(f"{name} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Unreadable("a number is not finite")
    return number


def _whole(text: str) -> int:
    if len(text) > DIGITS_MAX + 1:
        raise Unreadable(f"a number has {len(text)} digits")
    return int(text)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise Unreadable("a key appears twice")
    return value


def _check(text: str, value: Any, *, halves: bool) -> None:
    """Check the nesting, and that all text can be encoded."""
    if (halves or "\\u" not in text) and text.count("[") + text.count("{") <= NESTED_MAX:
        return
    left: list[tuple[Any, int]] = [(value, 1)]
    while left:
        one, depth = left.pop()
        if isinstance(one, str) and not halves and not one.isascii():
            # Raises ValueError for a lone surrogate.
            one.encode()
        elif isinstance(one, dict | list):
            if depth > NESTED_MAX:
                raise Unreadable("it is nested too deeply")
            left += ((part, depth + 1) for part in one)
            left += ((part, depth + 1) for part in one.values()) if isinstance(one, dict) else ()


def _short(why: object) -> str:
    text = " ".join(str(why).split())
    return text if len(text) <= WHY_MAX_CHARACTERS else f"{text[:WHY_MAX_CHARACTERS]}…"
