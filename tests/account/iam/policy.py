"""Policies: parsed once from JSON, then evaluated.

An explicit Deny wins, and everything that is not allowed is denied.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tests.account.iam.conditions import UnreadablePolicy, hold
from tests.account.iam.iam_requests import IamRequest
from tests.account.iam.matching import Context, Unset, like_ignoring_case, resource_like, tokens

VARIABLES_SINCE = "2012-10-17"
"""Policies of any other version treat `${…}` as text."""

_KNOWN = frozenset(
    {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition", "Principal", "NotPrincipal"}
)


class Decision(Enum):
    """The decision about a request."""

    ALLOWED = "allowed"
    NOT_ALLOWED = "not allowed"
    """No statement allows it."""
    DENIED = "denied"
    """A statement denies it, whatever the others say."""
    BEYOND_BOUNDARY = "beyond boundary"
    """The role's own policies allow it, its permissions boundary does not."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement."""

    allows: bool
    actions: tuple[str, ...]
    actions_excluded: bool
    resources: tuple[str, ...]
    resources_excluded: bool
    conditions: Mapping[str, Any]
    variables: bool
    sid: str = ""
    services: tuple[str, ...] = ()
    """The service principals that a trust policy names."""

    @classmethod
    def read(cls, shape: Mapping[str, Any], *, variables: bool) -> Statement:
        """Raises UnreadablePolicy."""
        unknown = shape.keys() - _KNOWN
        if unknown or shape.get("Effect") not in ("Allow", "Deny"):
            raise UnreadablePolicy(f"not a statement: {sorted(unknown)} {shape.get('Effect')!r}")
        if ("Action" in shape) == ("NotAction" in shape):
            raise UnreadablePolicy("a statement has either Action or NotAction")
        return cls(
            allows=shape["Effect"] == "Allow",
            actions=_several(shape.get("Action", shape.get("NotAction"))),
            actions_excluded="NotAction" in shape,
            resources=_several(shape.get("Resource", shape.get("NotResource", "*"))),
            resources_excluded="NotResource" in shape,
            conditions=shape.get("Condition", {}),
            variables=variables,
            sid=str(shape.get("Sid", "")),
            services=_services(shape.get("Principal", {})),
        )

    def covers(self, ask: IamRequest) -> bool:
        """Whether the statement applies to a request."""
        return (
            self._names(ask.action)
            and self._is_about(ask)
            and hold(self.conditions, ask.context, variables=self.variables)
        )

    def _names(self, action: str) -> bool:
        return any(like_ignoring_case(pattern, action) for pattern in self.actions) != self.actions_excluded

    def _is_about(self, ask: IamRequest) -> bool:
        return any(self._matches(pattern, ask) for pattern in self.resources) != self.resources_excluded

    def _matches(self, pattern: str, ask: IamRequest) -> bool:
        try:
            return resource_like(tokens(pattern, ask.context, variables=self.variables), ask.resource)
        except Unset:
            return False


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy document."""

    statements: tuple[Statement, ...]

    @classmethod
    def read(cls, document: str | Mapping[str, Any]) -> Policy:
        """From JSON, or what JSON is read to. Raises UnreadablePolicy."""
        shape = json.loads(document) if isinstance(document, str) else document
        statements = shape["Statement"]
        several = statements if isinstance(statements, list) else [statements]
        variables = str(shape.get("Version", "")) == VARIABLES_SINCE
        return cls(tuple(Statement.read(statement, variables=variables) for statement in several))


def decide(ask: IamRequest, policies: Iterable[Policy], boundary: Policy | None = None) -> Decision:
    """The decision of a role's policies, and of its permissions boundary if it has one, about one request."""
    said = _said(ask, policies)
    if boundary is None or said is Decision.DENIED:
        return said
    within = _said(ask, (boundary,))
    if within is Decision.DENIED:
        return within
    if said is Decision.ALLOWED and within is not Decision.ALLOWED:
        return Decision.BEYOND_BOUNDARY
    return said


def trusts(trust: Policy, service: str, context: Context) -> bool:
    """Whether a trust policy lets a service assume its role, with the keys that the service sends."""
    ask = IamRequest("sts:AssumeRole", context=context)
    naming = tuple(statement for statement in trust.statements if service in statement.services)
    return _said(ask, (Policy(naming),)) is Decision.ALLOWED


def _services(principal: Any) -> tuple[str, ...]:
    return _several(principal["Service"]) if isinstance(principal, dict) and "Service" in principal else ()


def _said(ask: IamRequest, policies: Iterable[Policy]) -> Decision:
    covering = [statement for policy in policies for statement in policy.statements if statement.covers(ask)]
    if any(not statement.allows for statement in covering):
        return Decision.DENIED
    return Decision.ALLOWED if covering else Decision.NOT_ALLOWED


def _several(value: Any) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (str(value),)
