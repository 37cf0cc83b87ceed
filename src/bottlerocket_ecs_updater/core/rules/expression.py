"""Expressions about container instances, in the cluster query language of ECS.

    attribute:ring in [a, b] and not (attribute:ecs.instance-type =~ 't3.*' or runningTasksCount > 20)

Parentheses bind first, then `not`, `and`, `or`. The words (`equals`, `not_equals`, `greater_than`, `matches`, …)
and the signs (`==`, `!=`, `>`, `=~`, `&&`, `||`, `!`) mean the same. Values with spaces or signs need quotes. For an
attribute that an instance does not have, `!=`, `not_in` and `!~` are true and all other operators are false. A pattern
must match the whole value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import assert_never


class Operator(Enum):
    """The operator of a comparison, with its sign."""

    EQUALS = "=="
    NOT_EQUALS = "!="
    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="
    EXISTS = "exists"
    NOT_EXISTS = "!exists"
    IN = "in"
    NOT_IN = "!in"
    MATCHES = "=~"
    NOT_MATCHES = "!~"


_WORDS = {
    "equals": "==",
    "not_equals": "!=",
    "greater_than": ">",
    "greater_than_equal": ">=",
    "less_than": "<",
    "less_than_equal": "<=",
    "not_exists": "!exists",
    "not_in": "!in",
    "matches": "=~",
    "not_matches": "!~",
    "&&": "and",
    "||": "or",
    "!": "not",
}
_TOKEN = re.compile(
    r"\s*(?:(?P<quoted>'[^']*'|\"[^\"]*\")"
    r"|(?P<sign>!(?:in|exists)\b|==|!=|>=|<=|=~|!~|&&|\|\||[()\[\],><!])"
    r"|(?P<word>[^\s()\[\],=!<>~&|'\"]+))"
)
_PLAIN = re.compile(r"[^\s()\[\],=!<>~&|'\"]+")
_ATTRIBUTE = "attribute:"
_FIELDS = frozenset({"agentConnected", "agentVersion", "ec2InstanceId", "registeredAt", "runningTasksCount"})
_GROUP = "task:group"
_VERSION = "agentVersion"
_LONGEST = 2000
"""The ECS limit for an expression, in characters."""
_DEEPEST = 50
"""The deepest nesting of parentheses and `not`. Deeper nesting is a mistake, and would exhaust the stack."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of one subject with values."""

    subject: str
    operator: Operator
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        match self.operator:
            case Operator.EXISTS | Operator.NOT_EXISTS:
                return f"{self.subject} {self.operator.value}"
            case Operator.IN | Operator.NOT_IN:
                return f"{self.subject} {self.operator.value} [{', '.join(map(_quoted, self.values))}]"
            case _:
                return f"{self.subject} {self.operator.value} {_quoted(self.values[0])}"


@dataclass(frozen=True, slots=True)
class Not:
    """True if the inner expression is false."""

    inner: Expression

    def __str__(self) -> str:
        return f"not {_grouped(self.inner)}"


@dataclass(frozen=True, slots=True)
class All:
    """True if every part is true."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " and ".join(map(_grouped, self.parts))


@dataclass(frozen=True, slots=True)
class Any:
    """True if at least one part is true."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " or ".join(map(_grouped, self.parts))


Expression = Comparison | Not | All | Any

TermReader = Callable[[str], str | None]
"""Gives the value of a subject on one instance; None if it has none."""

TermValues = Callable[[str], "frozenset[str] | None"]
"""Gives all values of a subject on one instance (`task:group` has several); empty if none, None if not known."""


def parse_expression(text: str) -> Expression:
    """Read an expression. Raises ValueError with the place of the error."""
    if len(text) > _LONGEST:
        raise ValueError(f"an expression has at most {_LONGEST} characters, not {len(text)}")
    parser = _Parser(text)
    expression = parser.any_of(0)
    parser.end()
    return expression


def evaluate(expression: Expression, read: TermReader) -> bool:
    """Whether it is true for the instance whose values `read` gives."""

    def values(subject: str) -> frozenset[str]:
        have = read(subject)
        return frozenset() if have is None else frozenset({have})

    return judge(expression, values) is True


def judge(expression: Expression, facts: TermValues) -> bool | None:
    """Whether it is true for the instance whose facts are given; None if that depends on unknown facts."""
    match expression:
        case Comparison():
            have = facts(expression.subject)
            return None if have is None else _holds(expression, have)
        case Not(inner=inner):
            answer = judge(inner, facts)
            return None if answer is None else not answer
        case All(parts=parts):
            return _all(judge(part, facts) for part in parts)
        case Any(parts=parts):
            none = _all(_opposite(judge(part, facts)) for part in parts)
            return _opposite(none)
        case _:
            assert_never(expression)


def subjects(expression: Expression) -> frozenset[str]:
    """All subjects in the expression."""
    match expression:
        case Comparison(subject=subject):
            return frozenset({subject})
        case Not(inner=inner):
            return subjects(inner)
        case All(parts=parts) | Any(parts=parts):
            return frozenset().union(*map(subjects, parts))
        case _:
            assert_never(expression)


def _all(answers: Iterable[bool | None]) -> bool | None:
    """False if any answer is False; else None if any is not known; else True."""
    answer: bool | None = True
    for one in answers:
        if one is False:
            return False
        answer = None if one is None else answer
    return answer


def _opposite(answer: bool | None) -> bool | None:  # noqa: FBT001 - it is the answer that is turned
    return None if answer is None else not answer


def _holds(comparison: Comparison, have: frozenset[str]) -> bool:
    """Of several values, one match is enough; `!=`, `not_in` and `!~` are true if none matches."""
    wanted = comparison.values
    match comparison.operator:
        case Operator.EXISTS:
            return bool(have)
        case Operator.NOT_EXISTS:
            return not have
        case Operator.EQUALS | Operator.IN:
            return not have.isdisjoint(wanted)
        case Operator.NOT_EQUALS | Operator.NOT_IN:
            return have.isdisjoint(wanted)
        case Operator.MATCHES:
            return any(re.fullmatch(wanted[0], one) for one in have)
        case Operator.NOT_MATCHES:
            return not any(re.fullmatch(wanted[0], one) for one in have)
        case operator:
            if comparison.subject == _VERSION:
                return any(_signed(operator, _versions(one, wanted[0])) for one in have)
            return any(_ordered(operator, one, wanted[0]) for one in have)


def _versions(have: str, wanted: str) -> int:
    """Compare two versions of the agent number by number: 1.9.0 is before 1.89.2."""
    left, right = (tuple(map(int, re.findall(r"\d+", text))) for text in (have, wanted))
    return (left > right) - (left < right)


def _ordered(operator: Operator, have: str, wanted: str) -> bool:
    left, right = _sortable(have), _sortable(wanted)
    if left[0] != right[0]:
        left, right = ("text", 0, have), ("text", 0, wanted)
    return _signed(operator, (left > right) - (left < right))


def _signed(operator: Operator, sign: int) -> bool:
    match operator:
        case Operator.ABOVE:
            return sign > 0
        case Operator.AT_LEAST:
            return sign >= 0
        case Operator.BELOW:
            return sign < 0
        case _:
            return sign <= 0


def _sortable(text: str) -> tuple[str, float, str]:
    """Sort key of a value: numbers as numbers, dates as times, everything else as text."""
    if re.fullmatch(r"-?\d{1,15}(\.\d{1,9})?", text):
        return "number", float(text), ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return "text", 0, text
    return "moment", (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(), ""


def _grouped(part: Expression) -> str:
    return f"({part})" if isinstance(part, All | Any) else str(part)


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value) and value not in _WORDS and value not in ("and", "or", "not"):
        return value
    return f'"{value}"' if "'" in value else f"'{value}'"


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    at: int
    literal: bool
    """Whether it was quoted, so that it is always a value."""


class _Parser:
    """Recursive descent: or, and, not, comparison."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._next = 0

    def any_of(self, depth: int) -> Expression:
        parts = [self._all_of(depth)]
        while self._take("or"):
            parts.append(self._all_of(depth))
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def end(self) -> None:
        if self._next < len(self._tokens):
            raise self._wrong("and, or, or the end")

    def _all_of(self, depth: int) -> Expression:
        parts = [self._one(depth)]
        while self._take("and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self, depth: int) -> Expression:
        if depth > _DEEPEST:
            raise ValueError(f"an expression is nested at most {_DEEPEST} deep")
        if self._take("not"):
            return Not(self._one(depth + 1))
        if self._take("("):
            inner = self.any_of(depth + 1)
            self._need(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Expression:
        subject = self._subject()
        token = self._peek()
        known = {operator.value: operator for operator in Operator}
        if token is None or token.literal or token.text not in known:
            raise self._wrong("an operator such as ==, !=, in, exists")
        self._next += 1
        operator = known[token.text]
        match operator:
            case Operator.EXISTS | Operator.NOT_EXISTS:
                return Comparison(subject, operator)
            case Operator.IN | Operator.NOT_IN:
                return Comparison(subject, operator, self._list())
            case Operator.MATCHES | Operator.NOT_MATCHES:
                return Comparison(subject, operator, (self._pattern(),))
            case _:
                return Comparison(subject, operator, (self._value(),))

    def _subject(self) -> str:
        token = self._peek()
        known = token is not None and (
            token.text in _FIELDS
            or token.text == _GROUP
            or (token.text.startswith(_ATTRIBUTE) and len(token.text) > len(_ATTRIBUTE))
        )
        if token is None or token.literal or not known:
            raise self._wrong(f"attribute:NAME or one of {', '.join(sorted(_FIELDS))}")
        self._next += 1
        return token.text

    def _list(self) -> tuple[str, ...]:
        self._need("[")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._need("]")
        return tuple(values)

    def _pattern(self) -> str:
        pattern = self._value()
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a pattern: {pattern!r}: {error}") from error
        return pattern

    def _value(self) -> str:
        token = self._peek()
        if token is None or not (token.literal or _PLAIN.fullmatch(token.text)):
            raise self._wrong("a value, in quotes if it has spaces or signs in it")
        self._next += 1
        return token.text

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, text: str) -> bool:
        token = self._peek()
        if token is None or token.literal or token.text != text:
            return False
        self._next += 1
        return True

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise self._wrong(f"{text!r}")

    def _wrong(self, wanted: str) -> ValueError:
        token = self._peek()
        where = f"at {self._text[token.at :][:40]!r}" if token is not None else "at its end"
        return ValueError(f"cannot read the expression {self._text[:80]!r}: {where} there should be {wanted}")


def _tokens(text: str) -> Iterator[_Token]:
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"cannot read the expression {text[:80]!r} at {text[position:][:40].strip()!r}")
        at = match.start(match.lastgroup or 0)
        if match["quoted"] is not None:
            yield _Token(match["quoted"][1:-1], at, literal=True)
        else:
            found = match["sign"] or match["word"]
            yield _Token(_WORDS.get(found, found), at, literal=False)
        position = match.end()
