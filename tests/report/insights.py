"""The part of the CloudWatch Logs Insights query language that the documentation uses, over lines of JSON.

It rejects everything else, so a query that passes here uses nothing untested. Source: "CloudWatch Logs Insights
language query syntax", "Supported logs and discovered fields" in the user guide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

FIELDS_MAX = 200
"""The number of fields that Insights finds in one JSON line; queries do not see later ones."""

LIMIT_USUAL = 10_000
"""The number of results of a query without a limit."""

_T = TypeVar("_T")

Row = dict[str, Any]
Value = Callable[[Row], Any]

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"[^"]*"|'[^']*')|(?P<regex>/(?:[^/\\]|\\.)+/)|(?P<ticked>`[^`]+`)
      |(?P<number>\d+(?:\.\d+)?)(?P<unit>[smhd]?)(?![A-Za-z0-9_.@])|(?P<name>@?[A-Za-z_][A-Za-z0-9_.]*)
      |(?P<sign>!=|<=|>=|=~|[=<>(),\[\]*]))""",
    re.VERBOSE,
)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_WORDS = frozenset({"and", "or", "not", "in", "like", "as", "by", "asc", "desc"})


class Refused(Exception):
    """Syntax that this implementation, or the language itself, does not have."""


def ask(query: str, lines: Iterable[str]) -> list[Row]:
    """The result of a query: its rows, each with the shown fields."""
    rows = [discovered(json.loads(line)) for line in lines]
    shown: list[str] = []
    limit = LIMIT_USUAL
    for part in query.strip().split("\n| "):
        command, _, rest = part.strip().partition(" ")
        parser = _Parser(_tokens(rest))
        match command:
            case "fields":
                named = parser.listed(parser.named)
                shown += [name for name, _ in named]
                rows = [row | {name: value(row) for name, value in named} for row in rows]
            case "filter":
                passes = parser.condition()
                rows = [row for row in rows if passes(row)]
            case "stats":
                rows, shown = parser.stats(rows)
            case "sort":
                for value, backwards in reversed(parser.listed(parser.direction)):
                    rows.sort(key=lambda row, value=value: _rank(value(row)), reverse=backwards)  # type: ignore[misc]
            case "limit":
                limit = int(parser.take("number"))
            case _:
                raise Refused(f"the command {command!r}")
        parser.end()
    return [{name: row.get(name) for name in shown} for row in rows[:limit]]


def discovered(line: Mapping[str, Any]) -> Row:
    """The fields of a line: nested ones with dots, list members by number, no nulls."""
    flat: Row = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, part in value.items():
                walk(f"{name}.{key}" if name else key, part)
        elif isinstance(value, list):
            for number, part in enumerate(value):
                walk(f"{name}.{number}", part)
        elif value is not None and len(flat) < FIELDS_MAX:
            flat[name] = value

    walk("", line)
    return {"@timestamp": datetime.fromisoformat(line["time"]), "@message": json.dumps(line)} | flat


def _one(_: Row) -> Any:
    """The value that each row counts as."""
    return 1


def _rank(value: Any) -> tuple[int, Any]:
    """Missing values before numbers, and numbers before texts."""
    if value is None:
        return (0, 0)
    return (1, value) if isinstance(value, int | float) else (2, str(value))


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    unit: str = ""


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise Refused(f"at {text[at:]!r}: a name with other characters stands in back-ticks")
        kind = next(name for name in ("text", "regex", "ticked", "number", "name", "sign") if match[name])
        found.append(_Token("word" if match[kind] in _WORDS else kind, match[kind], match["unit"] or ""))
        at = match.end()
    return found


def _sum_up(function: str, pairs: Sequence[tuple[datetime, Any]]) -> Any:
    """A function of `stats`, applied to the values of a group's rows, each with its time."""
    values = [value for _, value in pairs]
    match function:
        case "count":
            return len(values)
        case "sum":
            return sum(values)
        case "avg":
            return sum(values) / len(values) if values else None
        case "min" | "max":
            return (min if function == "min" else max)(values, default=None)
        case "latest" | "earliest":
            pick = max if function == "latest" else min
            return pick(pairs, key=lambda one: one[0])[1] if pairs else None
        case _:
            raise Refused(f"the function {function}")


class _Parser:
    """Reads one command."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens

    # Tokens

    def _next_is(self, *texts: str) -> bool:
        return bool(self._tokens) and self._tokens[0].text in texts and self._tokens[0].kind in ("word", "sign")

    def take(self, kind: str, text: str | None = None) -> str:
        if not self._tokens or self._tokens[0].kind != kind or text not in (None, self._tokens[0].text):
            raise Refused(f"{text or kind} is missing before {[token.text for token in self._tokens]}")
        return self._tokens.pop(0).text

    def _may(self, kind: str, text: str) -> bool:
        if self._next_is(text):
            self.take(kind, text)
            return True
        return False

    def end(self) -> None:
        if self._tokens:
            raise Refused(f"left over: {[token.text for token in self._tokens]}")

    def listed(self, one: Callable[[], _T]) -> list[_T]:
        parts = [one()]
        while self._may("sign", ","):
            parts.append(one())
        return parts

    # Parts of commands

    def named(self) -> tuple[str, Value]:
        name, value = self._value()
        return (self.take("name") if self._may("word", "as") else name), value

    def direction(self) -> tuple[Value, bool]:
        _, value = self._value()
        if self._may("word", "desc"):
            return value, True
        self._may("word", "asc")
        return value, False

    def condition(self) -> Callable[[Row], bool]:
        parts = [self._all_of()]
        while self._may("word", "or"):
            parts.append(self._all_of())
        return lambda row: any(one(row) for one in parts)

    def _all_of(self) -> Callable[[Row], bool]:
        parts = [self._one()]
        while self._may("word", "and"):
            parts.append(self._one())
        return lambda row: all(one(row) for one in parts)

    def _one(self) -> Callable[[Row], bool]:
        if self._may("word", "not"):
            denied = self._one()
            return lambda row: not denied(row)
        if self._may("sign", "("):
            inside = self.condition()
            self.take("sign", ")")
            return inside
        name, value = self._value()
        if name.startswith("ispresent("):
            return lambda row: bool(value(row))
        if self._may("word", "in"):
            self.take("sign", "[")
            wanted = [one(Row()) for _, one in self.listed(self._value)]
            self.take("sign", "]")
            return lambda row: value(row) in wanted
        if self._may("word", "like"):
            pattern = re.compile(self.take("regex")[1:-1])
            return lambda row: isinstance(value(row), str) and pattern.search(value(row)) is not None
        return self._compared(value)

    def _compared(self, left: Value) -> Callable[[Row], bool]:
        sign = self.take("sign")
        _, right = self._value()
        compare: Mapping[str, Callable[[Any, Any], bool]] = {
            "=": lambda a, b: a == b,
            "!=": lambda a, b: a != b,
            "<": lambda a, b: a < b,
            ">": lambda a, b: a > b,
            "<=": lambda a, b: a <= b,
            ">=": lambda a, b: a >= b,
        }
        if sign not in compare:
            raise Refused(f"the comparison {sign}")
        return lambda row: left(row) is not None and compare[sign](left(row), right(row))

    def _value(self) -> tuple[str, Value]:
        """A field, a text, a number, or a function of a field, with the name of its result."""
        if not self._tokens:
            raise Refused("a value is missing")
        token = self._tokens.pop(0)
        text = token.text
        match token.kind:
            case "text":
                return text, lambda _: text[1:-1]
            case "number":
                number = float(text) if "." in text else int(text)
                return text, lambda _: number
            case "ticked":
                return text[1:-1], lambda row: row.get(text[1:-1])
            case "name" if self._next_is("("):
                return self._function(text)
            case "name":
                return text, lambda row: row.get(text)
            case _:
                raise Refused(f"{text} where a value should be")

    def _function(self, name: str) -> tuple[str, Value]:
        self.take("sign", "(")
        if name == "bin":
            length = timedelta(**{_UNITS[self._tokens[0].unit]: float(self.take("number"))})
            self.take("sign", ")")
            return "bin", lambda row: _floor(row["@timestamp"], length)
        inside, value = self._value()
        self.take("sign", ")")
        if name == "ispresent":
            return f"ispresent({inside})", lambda row: value(row) is not None
        raise Refused(f"the function {name}")

    # stats

    def stats(self, rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
        gathered = self.listed(self._gathered)
        by = self.listed(self.named) if self._may("word", "by") else []
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in rows:
            groups.setdefault(tuple(value(row) for _, value in by), []).append(row)
        answer = []
        for key, members in groups.items():
            # A row that lacks a grouping field is in no group.
            if None not in key:
                about = dict(zip((name for name, _ in by), key, strict=True))
                answer.append(about | {name: gather(members) for name, gather in gathered})
        return answer, [name for name, _ in [*by, *gathered]]

    def _gathered(self) -> tuple[str, Callable[[Sequence[Row]], Any]]:
        function = self.take("name")
        _sum_up(function, ())
        self.take("sign", "(")
        if function == "count" and self._may("sign", "*"):
            inside, value = "*", cast("Value", _one)
        else:
            inside, value = self._value()
        self.take("sign", ")")
        name = self.take("name") if self._may("word", "as") else f"{function}({inside})"

        def gather(rows: Sequence[Row]) -> Any:
            pairs = [(row["@timestamp"], value(row)) for row in rows if value(row) is not None]
            return _sum_up(function, pairs)

        return name, gather


def _floor(at: datetime, length: timedelta) -> datetime:
    start = datetime(1970, 1, 1, tzinfo=at.tzinfo)
    return start + (at - start) // length * length
