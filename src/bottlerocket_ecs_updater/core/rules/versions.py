"""Which versions are admitted: pinned, allowed, denied, old enough, and whether downgrades are followed.

The host's update repository chooses the version; these rules only accept or reject it. A range is a list of clauses
that must all hold:

    1.26.0           that version          >=1.20,<1.26     from 1.20.0 up to the last 1.25
    1.26.*           every 1.26            !=1.26.1         any but that one

A bound compares only the numbers that it contains: `<1.26` and `<1.26.0` exclude `1.26.0-rc.1`, a pre-release of
1.26.0, and `<=1.26` includes every 1.26. A bound with a pre-release compares in the order of Semantic Versioning. Build
metadata matters only if a clause contains it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import assert_never

from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import duration_text, time_text
from bottlerocket_ecs_updater.core.model.version import Version


class _Comparison(Enum):
    EQUAL = "=="
    NOT_EQUAL = "!="
    AT_LEAST = ">="
    AT_MOST = "<="
    ABOVE = ">"
    BELOW = "<"


_CLAUSE = re.compile(r"(==|!=|>=|<=|>|<)?\s*v?(.+)")
_NUMBERS = re.compile(r"(?:0|[1-9]\d{0,17})(?:\.(?:0|[1-9]\d{0,17})){0,2}")


@dataclass(frozen=True, slots=True)
class _Clause:
    comparison: _Comparison
    numbers: tuple[int, ...]
    """The numbers that were written; fewer than three mean all versions that start with them."""
    exact: Version | None = None
    """The whole version, if a pre-release or build was written."""

    def __str__(self) -> str:
        text = str(self.exact) if self.exact is not None else ".".join(str(number) for number in self.numbers)
        match self.comparison:
            case _Comparison.EQUAL:
                return f"{text}{self._star}"
            case _Comparison.NOT_EQUAL:
                return f"!={text}{self._star}"
            case bound:
                return f"{bound.value}{text}"

    @property
    def _star(self) -> str:
        return ".*" if len(self.numbers) < 3 else ""

    def holds(self, version: Version) -> bool:
        match self.comparison:
            case _Comparison.EQUAL:
                return self._names(version)
            case _Comparison.NOT_EQUAL:
                return not self._names(version)
            case _Comparison.AT_LEAST:
                return self._side(version) >= 0
            case _Comparison.AT_MOST:
                return self._side(version) <= 0
            case _Comparison.ABOVE:
                return self._side(version) > 0
            case _Comparison.BELOW:
                return self._side(version) < 0
            case _:
                assert_never(self.comparison)

    def _names(self, version: Version) -> bool:
        if self.exact is not None:
            return self._comparable(version, self.exact) == self.exact
        return _numbers(version, len(self.numbers)) == self.numbers and (len(self.numbers) < 3 or not version.pre)

    def _side(self, version: Version) -> int:
        if self.exact is not None:
            have = self._comparable(version, self.exact)
            return (have > self.exact) - (have < self.exact)
        numbers = _numbers(version, len(self.numbers))
        return (numbers > self.numbers) - (numbers < self.numbers)

    @staticmethod
    def _comparable(version: Version, other: Version) -> Version:
        return version if other.build else replace(version, build="")


@dataclass(frozen=True, slots=True)
class VersionRange:
    """The versions that satisfy every clause."""

    clauses: tuple[_Clause, ...]

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """Read `>=1.20,<1.26`, `1.26.*` or `1.26.0`. Raises ValueError with what is wrong."""
        return cls(tuple(_parse_clause(part.strip(), text) for part in text.split(",")))

    def __str__(self) -> str:
        return ",".join(str(clause) for clause in self.clauses)

    def holds(self, version: Version) -> bool:
        """Whether the version is in the range."""
        return all(clause.holds(version) for clause in self.clauses)


class Downgrades(Enum):
    """What to do if the repository chose an older version, usually because the newer one was withdrawn."""

    FOLLOW = "follow"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class VersionRules:
    """Which versions the operator admits; by default all."""

    pin: VersionRange | None = None
    allow: tuple[VersionRange, ...] = ()
    """Any of these; empty for all."""
    deny: tuple[VersionRange, ...] = ()
    """Versions that are never admitted, whatever the other rules say."""
    minimum_age: timedelta = timedelta()
    downgrades: Downgrades = Downgrades.FOLLOW
    published_only: bool = False
    """Whether a version is held that is newer than the newest published one; see `published.py`."""


def admit(
    target: Version, running: Version, rules: VersionRules, first_seen: Mapping[Version, datetime], now: datetime
) -> Hold | None:
    """Why a host that runs one version may not be updated to another now; None if it may."""
    denied = next((rule for rule in rules.deny if rule.holds(target)), None)
    if denied is not None:
        return hold(Reason.VERSION_DENIED, version=target, rule=denied)
    if rules.pin is not None and not rules.pin.holds(target):
        return hold(Reason.VERSION_NOT_PINNED, version=target, rule=rules.pin)
    if rules.allow and not any(rule.holds(target) for rule in rules.allow):
        return hold(Reason.VERSION_NOT_ALLOWED, version=target, rule=" or ".join(map(str, rules.allow)))
    if rules.downgrades is Downgrades.HOLD and target < running:
        return hold(Reason.DOWNGRADE_HELD, version=target, running=running)
    if rules.minimum_age <= timedelta():
        return None
    return _too_young(target, rules.minimum_age, first_seen.get(target), now)


def _too_young(target: Version, minimum_age: timedelta, seen: datetime | None, now: datetime) -> Hold | None:
    if seen is None:
        return hold(Reason.VERSION_NEW, version=target, minimum_age=duration_text(minimum_age))
    if now - seen >= minimum_age:
        return None
    return hold(
        Reason.VERSION_TOO_YOUNG,
        version=target,
        first_seen=time_text(seen),
        minimum_age=duration_text(minimum_age),
        until=time_text(seen + minimum_age),
    )


def _numbers(version: Version, count: int) -> tuple[int, ...]:
    return (version.major, version.minor, version.patch)[:count]


def _parse_clause(text: str, whole: str) -> _Clause:
    match = _CLAUSE.fullmatch(text)
    if match is None:
        raise ValueError(f"not a version or range of versions: {whole[:80]!r}")
    comparison, body = _Comparison(match[1] or "=="), match[2].strip()
    naming = comparison in (_Comparison.EQUAL, _Comparison.NOT_EQUAL)
    star = body.endswith(".*")
    numbers = body.removesuffix(".*")
    if star and not naming:
        raise ValueError(f"a bound takes no star: {text[:40]!r}; write {match[1]}{numbers}")
    if _NUMBERS.fullmatch(numbers) is not None:
        parts = tuple(int(part) for part in numbers.split("."))
        if naming and not star and len(parts) < 3:
            raise ValueError(f"{text[:40]!r} could mean one version or many; write {numbers}.* or all three numbers")
        if star and len(parts) == 3:
            raise ValueError(f"a version has three numbers, so no star may follow them: {text[:40]!r}")
        return _Clause(comparison, parts)
    try:
        version = Version.parse(body)
    except ValueError as error:
        raise ValueError(f"not a version or range of versions: {whole[:80]!r}") from error
    return _Clause(comparison, _numbers(version, 3), version)
