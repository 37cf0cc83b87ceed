"""Patterns: `*` and `?` in text and in ARNs, and policy variables in patterns.

A pattern is stored as a tuple of tokens, so that a variable's value is never read as a wildcard.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache

Context = Mapping[str, Sequence[str]]
"""Condition keys of a request, in lower case, with their values."""

_VARIABLE = re.compile(r"\$\{([^${}]*)\}")
_DEFAULTED = re.compile(r"\s*([^,]+?)\s*,\s*'([^']*)'\s*")
_LITERAL_CHARACTERS = ("*", "?", "$")

ARN_PARTS = 6


class Wild(Enum):
    """A wildcard."""

    ANY = "*"
    ONE = "?"


class Unset(Exception):
    """A variable without a single value in the request: the pattern matches nothing."""


Token = str | Wild


def tokens(pattern: str, context: Context, *, variables: bool) -> tuple[Token, ...]:
    """A pattern with its variables filled in. Raises Unset.

    `variables` is false for policies of the version 2008-10-17, in which `${…}` is text.
    """
    if not variables:
        return tuple(_wildcards(pattern))
    found: list[Token] = []
    at = 0
    for variable in _VARIABLE.finditer(pattern):
        found += _wildcards(pattern[at : variable.start()])
        found.append(_value(variable[1], context))
        at = variable.end()
    found += _wildcards(pattern[at:])
    return tuple(found)


def _wildcards(text: str) -> Iterator[Token]:
    for part in re.split(r"([*?])", text):
        if part in ("*", "?"):
            yield Wild(part)
        elif part:
            yield part


def _value(name: str, context: Context) -> str:
    if name in _LITERAL_CHARACTERS:
        return name
    defaulted = _DEFAULTED.fullmatch(name)
    key, default = (defaulted[1], defaulted[2]) if defaulted else (name, None)
    values = context.get(key.lower(), ())
    if len(values) == 1:
        return values[0]
    if default is None:
        raise Unset(name)
    return default


def literal(pattern: Sequence[Token]) -> str:
    """The pattern as text, for operators without wildcards."""
    return "".join(token.value if isinstance(token, Wild) else token for token in pattern)


def like(pattern: Sequence[Token], value: str) -> bool:
    """Whether the whole value matches; case counts."""
    return _compiled(tuple(pattern)).fullmatch(value) is not None


def like_ignoring_case(pattern: str, value: str) -> bool:
    """The same for action names, which are case-insensitive."""
    return like(tuple(_wildcards(pattern.lower())), value.lower())


def arn_like(pattern: Sequence[Token], value: str) -> bool:
    """Whether an ARN matches, each of its six parts on its own; the last may hold further colons."""
    wanted, parts = split_pattern(pattern), value.split(":", ARN_PARTS - 1)
    if len(wanted) != ARN_PARTS or len(parts) != ARN_PARTS:
        return False
    return all(like(part_wanted, part) for part_wanted, part in zip(wanted, parts, strict=True))


def split_pattern(pattern: Sequence[Token]) -> list[list[Token]]:
    """A pattern's six parts. Colons that a variable brought in separate too, as they would in the filled-in text."""
    parts: list[list[Token]] = [[]]
    for token in pattern:
        if isinstance(token, Wild):
            parts[-1].append(token)
            continue
        first, *others = token.split(":", ARN_PARTS - len(parts))
        parts[-1].append(first)
        parts += [[other] for other in others]
    return parts


def resource_like(pattern: Sequence[Token], resource: str) -> bool:
    """Whether a statement's resource covers a request's resource. `*` alone covers all."""
    return tuple(pattern) == (Wild.ANY,) or arn_like(pattern, resource)


@cache
def _compiled(pattern: tuple[Token, ...]) -> re.Pattern[str]:
    return re.compile("".join(_piece(token) for token in pattern), re.DOTALL)


def _piece(token: Token) -> str:
    match token:
        case Wild.ANY:
            return ".*"
        case Wild.ONE:
            return "."
        case str():
            return re.escape(token)


Matcher = Callable[[Sequence[Token], str], bool]
