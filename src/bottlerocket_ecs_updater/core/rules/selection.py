"""Selection: which instances the updater manages. They are included, excluded, or opted out by the host itself.

    attribute:ring == prod              an expression in ECS's cluster query language
    i-0123456789abcdef0                 one instance
    capacity-provider:batch-*           the instances of a capacity provider
    auto-scaling-group:web-*            the instances of an Auto Scaling group

In a name, `*` matches any characters. Exclusion wins over inclusion, and the host's own opt-out wins over both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from enum import Enum
from typing import assert_never

from bottlerocket_ecs_updater.core.model.auto_scaling import InGroup, Membership, NoGroup
from bottlerocket_ecs_updater.core.model.container_instance import Registration
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.rules.expression import (
    All,
    Any,
    Comparison,
    Expression,
    Not,
    evaluate,
    parse_expression,
    subjects,
)

OPT_OUT_ATTRIBUTE = "bottlerocket-ecs-updater.opt-out"
"""A host sets it in its own user data, as `settings.ecs.instance-attributes`."""

_STAYS_IN = frozenset({"false", "no", "0", "off"})
"""Values of the attribute that do not opt out. Any other value, even a mistyped one, does."""

_READABLE = frozenset({"agentConnected", "ec2InstanceId", "registeredAt", "runningTasksCount"})
_ATTRIBUTE = "attribute:"
_INSTANCE = re.compile(r"m?i-[0-9a-f]{8,17}")


class SelectorKind(Enum):
    """What the name in a selector refers to."""

    INSTANCE = "instance"
    CAPACITY_PROVIDER = "capacity-provider"
    GROUP = "auto-scaling-group"


@dataclass(frozen=True, slots=True)
class Named:
    """Instances with that name, or in a capacity provider or group with that name."""

    kind: SelectorKind
    pattern: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.pattern}"

    def fits(self, name: str) -> bool:
        """Whether the name matches the pattern."""
        pattern = ".*".join(re.escape(part) for part in self.pattern.split("*"))
        return re.fullmatch(pattern, name) is not None


Selector = Named | Expression


@dataclass(frozen=True, slots=True)
class Selection:
    """Which instances to update. By default all except hosts that opted out."""

    include: tuple[Selector, ...] = ()
    """Any of these; empty for all."""
    exclude: tuple[Selector, ...] = ()
    """Instances that match any of these are left out."""


def parse_selector(text: str) -> Selector:
    """Read one selector. Raises ValueError with what is wrong."""
    text = text.strip()
    if _INSTANCE.fullmatch(text):
        return Named(SelectorKind.INSTANCE, text)
    prefix, colon, name = text.partition(":")
    kind = next((known for known in SelectorKind if colon and known.value == prefix), None)
    if kind is None:
        return _readable(parse_expression(text))
    if not name.strip():
        raise ValueError(f"{text!r} names nothing")
    return Named(kind, name.strip())


def _readable(expression: Expression) -> Expression:
    unknown = {subject for subject in subjects(expression) - _READABLE if not subject.startswith(_ATTRIBUTE)}
    if unknown:
        raise ValueError(f"the updater selects by attributes and by {', '.join(sorted(_READABLE))}, not by {unknown}")
    return expression


def select(
    registration: Registration, selection: Selection, capacity_provider: str | None, membership: Membership | None
) -> Hold | None:
    """Why an instance is not selected; None if it is.

    The capacity provider is empty if it has none, and None if it is not known.
    """
    opted_out = opt_out(registration)
    if opted_out is not None:
        return opted_out
    facts = _Facts(registration, capacity_provider, membership)
    for selector in selection.exclude:
        meant = facts.meets(selector)
        if meant is None:
            return _unknown(selector)
        if meant:
            return hold(Reason.EXCLUDED, rule=selector)
    return _not_included(selection.include, facts)


def opt_out(registration: Registration) -> Hold | None:
    """The hold if the host has opted out; None if it has not."""
    value = registration.attributes.get(OPT_OUT_ATTRIBUTE)
    if value is None or value.strip().lower() in _STAYS_IN:
        return None
    return hold(Reason.OPTED_OUT, attribute=f"{OPT_OUT_ATTRIBUTE} = {value}" if value else OPT_OUT_ATTRIBUTE)


def _not_included(include: Iterable[Selector], facts: _Facts) -> Hold | None:
    answers = {selector: facts.meets(selector) for selector in include}
    if not answers or True in answers.values():
        return None
    unknown = next((selector for selector, answer in answers.items() if answer is None), None)
    if unknown is not None:
        return _unknown(unknown)
    return hold(Reason.NOT_INCLUDED, rule=" or ".join(map(str, answers)))


def _unknown(selector: Selector) -> Hold:
    what = "Auto Scaling group"
    if isinstance(selector, Named) and selector.kind is SelectorKind.CAPACITY_PROVIDER:
        what = "capacity provider"
    return hold(Reason.MEMBERSHIP_UNKNOWN, what=what, rule=selector)


@dataclass(frozen=True, slots=True)
class _Facts:
    registration: Registration
    capacity_provider: str | None
    membership: Membership | None

    def meets(self, selector: Selector) -> bool | None:
        """Whether the selector matches this instance; None if a fact that it needs is not known."""
        match selector:
            case Named():
                return self._has_name(selector)
            case Comparison() | Not() | All() | Any():
                return evaluate(selector, self._read)
            case _:
                assert_never(selector)

    def _has_name(self, selector: Named) -> bool | None:
        match selector.kind:
            case SelectorKind.INSTANCE:
                return selector.fits(self.registration.id)
            case SelectorKind.CAPACITY_PROVIDER:
                known = self.capacity_provider
                return None if known is None else bool(known) and selector.fits(known)
            case SelectorKind.GROUP:
                return self._in_group(selector)
            case _:
                assert_never(selector.kind)

    def _in_group(self, selector: Named) -> bool | None:
        match self.membership:
            case None:
                return None
            case NoGroup():
                return False
            case InGroup(group=group):
                return selector.fits(group)
            case _:
                assert_never(self.membership)

    def _read(self, subject: str) -> str | None:
        registration = self.registration
        if subject.startswith(_ATTRIBUTE):
            return registration.attributes.get(subject.removeprefix(_ATTRIBUTE))
        readings = {
            "agentConnected": str(registration.connected).lower(),
            "ec2InstanceId": registration.id,
            "registeredAt": registration.registered_at.astimezone(UTC).isoformat(),
            "runningTasksCount": str(registration.running_tasks),
        }
        return readings[subject]
