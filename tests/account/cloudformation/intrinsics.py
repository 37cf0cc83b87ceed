"""Intrinsic functions and conditions, resolved to plain values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any

from tests.account.cloudformation.template import Template, invalid, parameter_value

_SUBSTITUTED = re.compile(r"\$\{(!?)([^}]+)\}")


class Nothing(Enum):
    """`AWS::NoValue`: a property with this value is left out."""

    NO_VALUE = "AWS::NoValue"


Reference = Callable[[str], Any]
Attribute = Callable[[str, str], Any]


class Resolver:
    """Resolves values of one template with one set of parameters.

    `reference` and `attribute` answer for resources; they are called only for resources in the chosen branches.
    """

    def __init__(
        self,
        template: Template,
        parameters: Mapping[str, str],
        pseudo: Mapping[str, str],
        reference: Reference,
        attribute: Attribute,
        imports: Mapping[str, str] | None = None,
    ) -> None:
        self._template = template
        slots = template.section("Parameters")
        self._values: dict[str, Any] = {
            **pseudo,
            "AWS::NoValue": Nothing.NO_VALUE,
            **{name: parameter_value(value, slots[name]) for name, value in parameters.items()},
        }
        self._reference = reference
        self._attribute = attribute
        self._imports = imports or {}
        self._functions: Mapping[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::If": self._if,
            "Fn::Join": self._join,
            "Fn::Split": self._split,
            "Fn::Select": self._select,
            "Fn::FindInMap": self._find_in_map,
            "Fn::ImportValue": self._import,
            "Fn::ToJsonString": lambda value: json.dumps(self.resolve(value)),
        }

    def resolve(self, value: Any) -> Any:
        """A value without functions in it. Raises AwsError."""
        if isinstance(value, dict):
            function = next(iter(value)) if len(value) == 1 else ""
            if function in self._functions:
                return self._functions[function](value[function])
            resolved = {key: self.resolve(inner) for key, inner in value.items()}
            return {key: inner for key, inner in resolved.items() if inner is not Nothing.NO_VALUE}
        if isinstance(value, list):
            return [inner for inner in map(self.resolve, value) if inner is not Nothing.NO_VALUE]
        return value

    def condition(self, name: str) -> bool:
        """Whether a condition of the template holds."""
        conditions = self._template.section("Conditions")
        if name not in conditions:
            raise invalid(f"Template error: unresolved condition dependency {name}")
        return self._holds(conditions[name])

    def _holds(self, condition: Mapping[str, Any]) -> bool:
        (function, value), *_ = condition.items()
        match function:
            case "Condition":
                return self.condition(value)
            case "Fn::Equals":
                left, right = (self.resolve(side) for side in value)
                return str(left) == str(right)
            case "Fn::Not":
                return not self._holds(value[0])
            case "Fn::And":
                return all(self._holds(each) for each in value)
            case "Fn::Or":
                return any(self._holds(each) for each in value)
            case "Fn::Contains":
                members, wanted = (self.resolve(side) for side in value)
                return str(wanted) in map(str, members)
            case "Fn::EachMemberEquals":
                members, wanted = (self.resolve(side) for side in value)
                return all(str(member) == str(wanted) for member in members)
            case _:
                raise invalid(f"Template error: {function} is no condition")

    def check_rules(self) -> None:
        """Check the parameters against the template's rules. Raises AwsError with the rule's message."""
        failed = [
            str(assertion.get("AssertDescription", f"rule {name}"))
            for name, rule in self._template.section("Rules").items()
            if "RuleCondition" not in rule or self._holds(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self._holds(assertion["Assert"])
        ]
        if failed:
            raise invalid(f"Template Validation Error: {' '.join(failed)}")

    def _ref(self, name: str) -> Any:
        return self._values[name] if name in self._values else self._reference(name)

    def _get_att(self, path: list[str]) -> Any:
        return self._attribute(path[0], ".".join(path[1:]))

    def _sub(self, value: Any) -> str:
        text, given = value if isinstance(value, list) else (value, {})

        def put_in(found: re.Match[str]) -> str:
            literal, name = found.groups()
            if literal:
                return f"${{{name}}}"
            if name in given:
                return str(self.resolve(given[name]))
            if name in self._values or "." not in name:
                return str(self._ref(name))
            return str(self._get_att(name.split(".", 1)))

        return _SUBSTITUTED.sub(put_in, text)

    def _if(self, value: list[Any]) -> Any:
        name, yes, no = value
        return self.resolve(yes if self.condition(name) else no)

    def _join(self, value: list[Any]) -> str:
        return str(value[0]).join(str(part) for part in self.resolve(value[1]))

    def _split(self, value: list[Any]) -> list[str]:
        return str(self.resolve(value[1])).split(value[0])

    def _select(self, value: list[Any]) -> Any:
        return self.resolve(value[1])[int(self.resolve(value[0]))]

    def _find_in_map(self, value: list[Any]) -> Any:
        found: Any = self._template.section("Mappings")
        for step in self.resolve(value):
            if step not in found:
                raise invalid(f"Template error: Unable to get mapping for {'::'.join(map(str, value))}")
            found = found[step]
        return found

    def _import(self, value: Any) -> str:
        name = self.resolve(value)
        if name not in self._imports:
            raise invalid(f"No export named {name} found.")
        return self._imports[name]


def needs(value: Any, resolver: Resolver, logical_ids: frozenset[str]) -> Iterator[str]:
    """The resources that a value refers to, in the branches that its conditions choose."""
    if isinstance(value, list):
        for inner in value:
            yield from needs(inner, resolver, logical_ids)
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        match key:
            case "Ref" if inner in logical_ids:
                yield inner
            case "Fn::GetAtt":
                yield inner[0]
            case "Fn::If" if len(value) == 1:
                yield from needs(inner[1] if resolver.condition(inner[0]) else inner[2], resolver, logical_ids)
            case "Fn::Sub":
                yield from _named_in(inner, logical_ids)
                yield from needs(inner, resolver, logical_ids)
            case _:
                yield from needs(inner, resolver, logical_ids)


def _named_in(value: Any, logical_ids: frozenset[str]) -> Iterator[str]:
    text = value[0] if isinstance(value, list) else value
    for _, name in _SUBSTITUTED.findall(text):
        if name.split(".")[0] in logical_ids:
            yield name.split(".")[0]
