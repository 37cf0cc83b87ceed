"""Conditions: operators by name, every key of every operator must match, with any of its values.

An unknown operator is an error, not a match: an unreadable policy proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.account.iam.matching import Context, Matcher, Token, Unset, arn_like, like, literal, tokens


class UnreadablePolicy(ValueError):
    """A policy uses an unsupported feature."""


def _equal(wanted: Sequence[Token], value: str) -> bool:
    return literal(wanted) == value


def _equal_ignoring_case(wanted: Sequence[Token], value: str) -> bool:
    return literal(wanted).lower() == value.lower()


OPERATORS: Mapping[str, Matcher] = {
    "StringEquals": _equal,
    "StringEqualsIgnoreCase": _equal_ignoring_case,
    "StringLike": like,
    "ArnEquals": arn_like,
    "ArnLike": arn_like,
    "Bool": _equal_ignoring_case,
}
"""ArnEquals and ArnLike do the same, AWS says."""

NEGATED: Mapping[str, Matcher] = {
    "StringNotEquals": _equal,
    "StringNotEqualsIgnoreCase": _equal_ignoring_case,
    "StringNotLike": like,
    "ArnNotEquals": arn_like,
    "ArnNotLike": arn_like,
}
"""These are true if no value matches, and if the request lacks the key."""

_ALL, _ANY, _IF_EXISTS = "ForAllValues:", "ForAnyValue:", "IfExists"


def hold(conditions: Mapping[str, Any], context: Context, *, variables: bool = True) -> bool:
    """Whether a statement's conditions match a request. Raises UnreadablePolicy."""
    return all(
        _holds(operator, key.lower(), _texts(values), context, variables=variables)
        for operator, keys in conditions.items()
        for key, values in keys.items()
    )


def _holds(operator: str, key: str, wanted: Sequence[str], context: Context, *, variables: bool) -> bool:
    present = bool(context.get(key))
    if operator == "Null":
        return any((text.lower() == "true") != present for text in wanted)
    for_all, for_any = operator.startswith(_ALL), operator.startswith(_ANY)
    name = operator.removeprefix(_ALL).removeprefix(_ANY)
    if_exists = name.endswith(_IF_EXISTS)
    name = name.removesuffix(_IF_EXISTS)
    matcher = OPERATORS.get(name) or NEGATED.get(name)
    if matcher is None:
        raise UnreadablePolicy(f"the condition operator {operator} is not understood")
    negated = name in NEGATED
    if not present:
        return if_exists or for_all or (negated and not for_any)
    values = context[key]
    matches = [any(_matches(matcher, text, value, context, variables=variables) for text in wanted) for value in values]
    passes = [matched != negated for matched in matches]
    if for_any:
        return any(passes)
    return all(passes) if for_all or negated else any(passes)


def _matches(matcher: Matcher, wanted: str, value: str, context: Context, *, variables: bool) -> bool:
    try:
        return matcher(tokens(wanted, context, variables=variables), value)
    except Unset:
        return False


def _texts(values: Any) -> tuple[str, ...]:
    """The values of a key: one or several, of JSON's own types, as text."""
    several = values if isinstance(values, list | tuple) else (values,)
    return tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in several)
