"""The one reader of JSON that somebody else may have written: it gives a value, or says why there is none.

Every object of the state store may hold anything: a person edited it, a disk was full, a newer version wrote it, or
somebody has a permission too many. What becomes of an object that cannot be read is said where that object is read:

    object                what becomes of it
    pause.json            pauses: somebody wanted something
    lease.json            counts as held, for the longest term that there is
    ledger.json           bars the run: it gives back what carries a claim, begins nothing, and exits with 1
    first-seen/…          the release counts as first seen when this cluster first saw it
    events-….jsonl        the lines that cannot be read are left out, and named in the report
    index.json            is made again, from the records
    .counts of a folder   stand for a content that nobody has seen

No reader raises anything else, whatever it finds: nesting without end, times that no clock shows, numbers without
bounds, halves of characters, names that are there twice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

NESTED_MAX = 64
"""How deep values may lie in each other: what the program writes has a tenth of that."""

DIGITS_MAX = 18
"""Of a whole number: it fits into 64 bits, and no sum of such is too long to be shown."""

WHY_MAX_CHARACTERS = 200
"""Of what is said about an object: a line of a log has room for other things, too."""

MISFITS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What Python raises where a value is not of the shape that was expected."""


class Unreadable(ValueError):
    """It cannot be read; the text says why, in a line."""

    def __init__(self, why: object) -> None:
        super().__init__(_short(why))


def read_json(data: bytes | str, *, halves: bool = False) -> Any:
    """The value. Raises Unreadable for everything that is no JSON in UTF-8, or that no program of ours would write.

    `halves` are lone halves of characters: text of hosts may have them, and JSON alone can keep them.
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
        raise Unreadable(f"it is not JSON, from line {error.lineno}, column {error.colno} on") from error
    except RecursionError as error:
        raise Unreadable("it is nested too deep") from error
    except MISFITS as error:
        raise Unreadable(f"it is not JSON: {error}") from error
    return value


def read_object(data: bytes | str, shape: Callable[[Mapping[str, Any]], T], *, halves: bool = False) -> T:
    """What `shape` makes of a JSON object. Raises Unreadable, also where the values in it are of another kind."""
    value = read_json(data, halves=halves)
    if not isinstance(value, dict):
        raise Unreadable("it is not a JSON object")
    return shaped(value, shape)


def shaped(value: Any, shape: Callable[[Any], T]) -> T:
    """What `shape` makes of a value that was read. Raises Unreadable where it is of another kind."""
    try:
        return shape(value)
    except Unreadable:
        raise
    except KeyError as error:
        raise Unreadable(f"it has no {error}") from error
    except MISFITS as error:
        raise Unreadable(error) from error


def text_of(value: object) -> str:
    """A value that must be text. Raises Unreadable for any other."""
    if not isinstance(value, str):
        raise Unreadable(f"not text: {value!r}")
    return value


def number_of(value: object) -> float:
    """A value that must be a number. Raises Unreadable for any other."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable(f"not a number: {value!r}")
    return value


def whole_of(value: object) -> int:
    """A value that must be a whole number. Raises Unreadable for any other."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unreadable(f"not a whole number: {value!r}")
    return value


def _no_number(name: str) -> float:
    raise Unreadable(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Unreadable("a number without bounds")
    return number


def _whole(text: str) -> int:
    if len(text) > DIGITS_MAX + 1:
        raise Unreadable(f"a number of {len(text)} digits")
    return int(text)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise Unreadable("a name is there twice")
    return value


def _check(text: str, value: Any, *, halves: bool) -> None:
    """See that whatever takes the value apart, or writes it again, comes to an end with it."""
    if (halves or "\\u" not in text) and text.count("[") + text.count("{") <= NESTED_MAX:
        return
    left: list[tuple[Any, int]] = [(value, 1)]
    while left:
        one, depth = left.pop()
        if isinstance(one, str) and not halves and not one.isascii():
            # Raises ValueError for half of a character.
            one.encode()
        elif isinstance(one, dict | list):
            if depth > NESTED_MAX:
                raise Unreadable("it is nested too deep")
            left += ((part, depth + 1) for part in one)
            left += ((part, depth + 1) for part in one.values()) if isinstance(one, dict) else ()


def _short(why: object) -> str:
    text = " ".join(str(why).split())
    return text if len(text) <= WHY_MAX_CHARACTERS else f"{text[:WHY_MAX_CHARACTERS]}…"
