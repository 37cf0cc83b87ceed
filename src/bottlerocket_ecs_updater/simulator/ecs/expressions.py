"""The cluster query language of ListContainerInstances' `filter`.

attribute:bottlerocket.variant == aws-ecs-2 and not (agentConnected == false or runningTasksCount > 3)

core.rules.expression reads the same language. This module shares no code with it on purpose: the simulated ECS checks
core's forecasts, and tests would not notice a mistake that both made.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.ecs.model import Desired

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.ecs.model import ContainerInstance

Predicate = Callable[["ContainerInstance"], bool]

GROUP = "task:group"
"""The only subject with several values: an instance has many tasks."""

_TOKEN = re.compile(
    r"\s*('[^']*'|\"[^\"]*\"|\(|\)|\[|\]|,|==|!=|>=|<=|=~|!~|>|<|!(?:in|exists)\b|!|&&|\|\||[^\s()\[\],=!<>~&|'\"]+)"
)
_WORDS = {
    "equals": "==",
    "not_equals": "!=",
    "greater_than": ">",
    "greater_than_equal": ">=",
    "less_than": "<",
    "less_than_equal": "<=",
    "matches": "=~",
    "not_matches": "!~",
    "&&": "and",
    "||": "or",
    "!": "not",
    "!in": "not_in",
}


def parse_placement(text: str) -> Predicate:
    """Parse an expression. Raises InvalidParameterException if it is not valid."""
    parser = _Parser(_tokens(text))
    predicate = parser.any_of()
    if not parser.at_end:
        raise _refused()
    return predicate


def _tokens(text: str) -> list[str]:
    tokens, position, end = [], 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise _refused()
        quoted = match[1][0] in "'\""
        tokens.append(match[1][1:-1] if quoted else _WORDS.get(match[1], match[1]))
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens: or, and, not, comparison."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._tokens)

    def any_of(self) -> Predicate:
        first = self._all_of()
        while self._take("or"):
            first = _either(first, self._all_of())
        return first

    def _all_of(self) -> Predicate:
        first = self._one()
        while self._take("and"):
            first = _both(first, self._one())
        return first

    def _one(self) -> Predicate:
        if self._take("not"):
            inner = self._one()
            return lambda instance: not inner(instance)
        if self._take("("):
            inner = self.any_of()
            self._need(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Predicate:
        subject, operator = self._next(), self._next()
        if subject == GROUP:
            return self._about_groups(operator)
        read = _subject(subject)
        match operator:
            case "exists":
                return lambda instance: read(instance) is not None
            case "not_exists" | "!exists":
                return lambda instance: read(instance) is None
            case "in":
                wanted = self._list()
                return lambda instance: read(instance) in wanted
            case "not_in":
                wanted = self._list()
                return lambda instance: read(instance) not in wanted
            case _ if subject == "agentVersion" and operator in (">", ">=", "<", "<="):
                release = _release(self._next())
                return lambda instance: _signed(operator, _release(read(instance) or ""), release)
            case _:
                return _compare(read, operator, self._next())

    def _about_groups(self, operator: str) -> Predicate:
        """True if the group of any task on the instance matches."""
        if operator in ("exists", "not_exists", "!exists"):
            return lambda instance: bool(_groups(instance)) is (operator == "exists")
        if operator in ("=~", "!~"):
            pattern, miss = re.compile(self._next()), operator == "!~"
            return lambda instance: any(map(pattern.fullmatch, _groups(instance))) is not miss
        wanted = self._list() if operator in ("in", "not_in") else frozenset({self._next()})
        if operator not in ("==", "!=", "in", "not_in"):
            raise _refused()
        negated = operator in ("!=", "not_in")
        return lambda instance: wanted.isdisjoint(_groups(instance)) is negated

    def _list(self) -> frozenset[str]:
        self._need("[")
        values = [self._next()]
        while self._take(","):
            values.append(self._next())
        self._need("]")
        return frozenset(values)

    def _next(self) -> str:
        if self.at_end:
            raise _refused()
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, token: str) -> bool:
        if not self.at_end and self._tokens[self._at] == token:
            self._at += 1
            return True
        return False

    def _need(self, token: str) -> None:
        if not self._take(token):
            raise _refused()


Reader = Callable[["ContainerInstance"], str | None]


def _subject(name: str) -> Reader:
    if name.startswith("attribute:"):
        attribute = name.removeprefix("attribute:")
        return lambda instance: _attribute(instance, attribute)
    readers: dict[str, Reader] = {
        "agentConnected": lambda instance: str(instance.agent_connected).lower(),
        "agentVersion": lambda instance: instance.spec.agent_version,
        "ec2InstanceId": lambda instance: instance.ec2_instance_id,
        "registeredAt": lambda instance: instance.registered_at.isoformat(),
        "runningTasksCount": lambda instance: str(
            sum(task.desired is Desired.RUNNING for task in instance.tasks.values())
        ),
    }
    if name not in readers:
        raise _refused()
    return readers[name]


def _groups(instance: ContainerInstance) -> set[str]:
    return {task.group for task in instance.tasks.values() if task.desired is Desired.RUNNING}


def _attribute(instance: ContainerInstance, name: str) -> str | None:
    for attributes in (instance.custom, instance.built_in):
        if name in attributes:
            return attributes[name] or ""
    return None


def _compare(read: Reader, operator: str, wanted: str) -> Predicate:
    match operator:
        case "==":
            return lambda instance: read(instance) == wanted
        case "!=":
            return lambda instance: read(instance) != wanted
        case "=~":
            return lambda instance: re.fullmatch(wanted, read(instance) or "") is not None
        case "!~":
            return lambda instance: re.fullmatch(wanted, read(instance) or "") is None
        case ">" | ">=" | "<" | "<=":
            return lambda instance: _ordered(read(instance), operator, wanted)
        case _:
            raise _refused()


def _ordered(have: str | None, operator: str, wanted: str) -> bool:
    if have is None:
        return False
    numeric = have.isdecimal() and wanted.isdecimal()
    if numeric:
        return _signed(operator, (int(have),), (int(wanted),))
    return _signed(operator, _moment(have) or have, _moment(wanted) or wanted)


def _signed(operator: str, left: object, right: object) -> bool:
    sign: int = (left > right) - (left < right)  # type: ignore[operator]  # both of one kind
    return {">": sign > 0, ">=": sign >= 0, "<": sign < 0, "<=": sign <= 0}[operator]


def _release(text: str) -> tuple[int, ...]:
    """An agent version: numbers, compared one by one."""
    return tuple(map(int, re.findall(r"\d+", text)))


def _moment(text: str) -> str:
    """A date as text that sorts in order; empty if it is not a date."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def _both(left: Predicate, right: Predicate) -> Predicate:
    return lambda instance: left(instance) and right(instance)


def _either(left: Predicate, right: Predicate) -> Predicate:
    return lambda instance: left(instance) or right(instance)


def _refused() -> AwsError:
    return AwsError("InvalidParameterException", "The filter expression is not valid.")
